
/*
 * What touches the disk in a worker: in a thread of nginx's pool, if nginx
 * has any, else at once.
 */


#include "src/common/ngx_gw_child.h"
#include "src/tbucket/ngx_http_tbucket_store_file.h"


#define NGX_HTTP_TBUCKET_FILE_STUCK  5000      /* ms without getting on */


#if (NGX_THREADS)

#define NGX_HTTP_TBUCKET_FILE_GUARD  10000     /* ms */


static void ngx_http_tbucket_file_thread(void *data, ngx_log_t *log);
static void ngx_http_tbucket_file_posted(ngx_event_t *ev);
static void ngx_http_tbucket_file_guard(ngx_event_t *ev);


void
ngx_http_tbucket_file_post(ngx_http_tbucket_file_job_t *job)
{
    ngx_str_t           name = ngx_string("default");
    ngx_thread_pool_t  *pool;

    job->busy = 1;

    pool = ngx_thread_pool_get((ngx_cycle_t *) ngx_cycle, &name);

    job->task.ctx = job;
    job->task.handler = ngx_http_tbucket_file_thread;
    job->task.event.data = job;
    job->task.event.handler = ngx_http_tbucket_file_posted;
    job->task.event.log = ngx_cycle->log;

    if (pool == NULL || ngx_thread_task_post(pool, &job->task) != NGX_OK) {
        job->run(job->data);
        job->busy = 0;
        job->done(job->data);
        return;
    }

    /* a worker that exits waits for timers, but not for threads */

    job->guard.handler = ngx_http_tbucket_file_guard;
    job->guard.data = job;
    job->guard.log = ngx_cycle->log;

    ngx_add_timer(&job->guard, NGX_HTTP_TBUCKET_FILE_GUARD);
}


static void
ngx_http_tbucket_file_thread(void *data, ngx_log_t *log)
{
    ngx_http_tbucket_file_job_t  *job = data;

    (void) log;

    job->run(job->data);
}


static void
ngx_http_tbucket_file_posted(ngx_event_t *ev)
{
    ngx_http_tbucket_file_job_t  *job = ev->data;

    if (job->guard.timer_set) {
        ngx_del_timer(&job->guard);
    }

    job->busy = 0;
    job->done(job->data);
}


static void
ngx_http_tbucket_file_guard(ngx_event_t *ev)
{
    ngx_http_tbucket_file_job_t  *job = ev->data;

    if (job->busy) {
        ngx_add_timer(ev, NGX_HTTP_TBUCKET_FILE_GUARD);
    }
}

#else

void
ngx_http_tbucket_file_post(ngx_http_tbucket_file_job_t *job)
{
    job->run(job->data);
    job->done(job->data);
}

#endif


void
ngx_http_tbucket_file_alive(ngx_http_tbucket_file_zone_t *fz)
{
    ngx_gw_child_alive();

    atomic_store_explicit(&fz->alive, ngx_http_tbucket_usec(),
                          memory_order_relaxed);
}


void
ngx_http_tbucket_file_watch(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_job_t *job, uint64_t begin, uint32_t bit)
{
    uint64_t                       alive;
    ngx_http_tbucket_file_error_t  error;

    if (!job->busy || job->stuck) {
        return;
    }

    alive = atomic_load_explicit(&fz->alive, memory_order_relaxed);

    if (ngx_http_tbucket_usec() - ngx_max(alive, begin)
        < NGX_HTTP_TBUCKET_FILE_STUCK * 1000)
    {
        return;
    }

    job->stuck = 1;
    error.err = 0;

    (void) snprintf(error.text, sizeof(error.text),
                    "the disk has not answered for %d ms",
                    NGX_HTTP_TBUCKET_FILE_STUCK);

    ngx_http_tbucket_file_verdict(fz, bit, 0, &error);
}


void
ngx_http_tbucket_file_tell(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_job_t *job, ngx_int_t rc, uint32_t bit,
    ngx_http_tbucket_file_error_t *error)
{
    if (rc == NGX_OK || rc == NGX_ERROR || job->stuck) {
        ngx_http_tbucket_file_verdict(fz, bit, rc != NGX_ERROR, error);
    }

    job->stuck = 0;
}
