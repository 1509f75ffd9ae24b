
/*
 * Jobs in threads; see ngx_gw_job.h.
 */


#include "src/common/ngx_gw_job.h"

#include "src/core/gw_atomic.h"


/* ms after which a worker that shuts down looks again whether it may exit */
#define NGX_GW_JOB_GUARD  10000


#if (NGX_THREADS)

static void ngx_gw_job_thread(void *data, ngx_log_t *log);
static void ngx_gw_job_done(ngx_event_t *ev);
static void ngx_gw_job_guard(ngx_event_t *ev);


ngx_int_t
ngx_gw_job_conf(ngx_conf_t *cf, const char *what)
{
    (void) what;

    return ngx_thread_pool_add(cf, NULL) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_gw_job_start(ngx_gw_job_t *job)
{
    ngx_str_t           name = ngx_string("default");
    ngx_thread_pool_t  *pool;

    pool = ngx_thread_pool_get((ngx_cycle_t *) ngx_cycle, &name);

    if (pool == NULL) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "thread pool \"default\" not found");
        return NGX_ERROR;
    }

    job->task.ctx = job;
    job->task.handler = ngx_gw_job_thread;
    job->task.event.data = job;
    job->task.event.handler = ngx_gw_job_done;
    job->task.event.log = ngx_cycle->log;

    gw_store_relaxed(&job->runs, 1);

    if (ngx_thread_task_post(pool, &job->task) != NGX_OK) {
        gw_store_relaxed(&job->runs, 0);
        return NGX_ERROR;
    }

    job->busy = 1;

    /* a worker that exits waits for timers, but not for threads */

    job->guard.handler = ngx_gw_job_guard;
    job->guard.data = job;
    job->guard.log = ngx_cycle->log;

    ngx_add_timer(&job->guard, NGX_GW_JOB_GUARD);

    return NGX_OK;
}


static void
ngx_gw_job_thread(void *data, ngx_log_t *log)
{
    ngx_gw_job_t  *job = data;

    (void) log;

    job->run(job->data);

    gw_store_release(&job->runs, 0);
}


static void
ngx_gw_job_done(ngx_event_t *ev)
{
    ngx_gw_job_t  *job = ev->data;

    if (job->guard.timer_set) {
        ngx_del_timer(&job->guard);
    }

    job->busy = 0;
    job->done(job->data);
}


static void
ngx_gw_job_guard(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_GW_JOB_GUARD);
}


ngx_uint_t
ngx_gw_job_runs(ngx_gw_job_t *job)
{
    return gw_load_acquire(&job->runs);
}

#else

ngx_int_t
ngx_gw_job_conf(ngx_conf_t *cf, const char *what)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "%s needs an nginx that was configured "
                       "--with-threads", what);
    return NGX_ERROR;
}


ngx_int_t
ngx_gw_job_start(ngx_gw_job_t *job)
{
    (void) job;

    return NGX_ERROR;
}


ngx_uint_t
ngx_gw_job_runs(ngx_gw_job_t *job)
{
    (void) job;

    return 0;
}

#endif
