
/*
 * Work that may block, in a thread of nginx's "default" pool: one job at a
 * time of each kind.  Not here: what is shared between the thread and the
 * event loop, which the owner of the job sees to.
 */


#ifndef NGX_GW_JOB_H
#define NGX_GW_JOB_H


#include <ngx_config.h>
#include <ngx_core.h>

#include <stdatomic.h>

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif


typedef struct {
    /* set by the owner, before the first ngx_gw_job_start() */
    void               (*run)(void *data);     /* in a thread; may block */
    void               (*done)(void *data);    /* in the event loop */
    void                *data;

    unsigned             busy:1;    /* until done() is called */

    /* private */
    _Atomic ngx_uint_t   runs;
    ngx_event_t          guard;
#if (NGX_THREADS)
    ngx_thread_task_t    task;
#endif
} ngx_gw_job_t;


/*
 * For the configuration of what will have jobs.  Returns NGX_ERROR, after an
 * [emerg] line that names what needs them, if nginx has no threads.
 */

ngx_int_t ngx_gw_job_conf(ngx_conf_t *cf, const char *what);

/*
 * Has run() called in a thread, and done() afterwards in the event loop.  A
 * worker that shuts down waits for that.  The job is in zeroed memory that
 * lives as long as the process, and not busy.  Returns NGX_ERROR, with the
 * reason in the log, if the pool takes no more.
 */

ngx_int_t ngx_gw_job_start(ngx_gw_job_t *job);

/*
 * Whether a thread has it: a process that exits has no event loop any more in
 * which done() could be called.
 */

ngx_uint_t ngx_gw_job_runs(ngx_gw_job_t *job);


#endif /* NGX_GW_JOB_H */
