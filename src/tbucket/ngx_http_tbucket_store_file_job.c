
/*
 * What touches the disk in a worker: in a thread of nginx's pool, if nginx
 * has any, else at once.
 */


#include "src/tbucket/ngx_http_tbucket_store_file.h"


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
