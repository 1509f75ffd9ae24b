
/*
 * Answers of the APIs: what they say takes a look at much, or a body, or a
 * store that has to be waited for.
 *
 * A task has events of its own, and its request ends in one of them, in
 * step(), and nowhere else.  To end a request may free it, and others as
 * well: in the content handler, in the handler of a body, or while a store
 * goes through its queue, somebody up the stack would go on with what is
 * gone.  So whoever has what a task waits for wakes it and returns.
 */


#ifndef NGX_GW_TASK_H
#define NGX_GW_TASK_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* us of one pass of the event loop that a task takes at most, about */
#define NGX_GW_TASK_TIME  1000


typedef struct ngx_gw_task_s  ngx_gw_task_t;

typedef void (*ngx_gw_task_pt)(ngx_gw_task_t *task);

struct ngx_gw_task_s {
    ngx_http_request_t  *request;

    /* does a part; ngx_gw_task_again(), wait() or end() is its last call */
    ngx_gw_task_pt       step;

    /* the request goes before the task has ended: what to free; or NULL */
    ngx_gw_task_pt       gone;

    /* private */
    ngx_http_cleanup_t  *cleanup;
    ngx_event_t          next;
    ngx_event_t          guard;
};


/* What a task, or another part by that name, is in. */

#define ngx_gw_task_data(task, type, field)                                  \
    ((type *) ((u_char *) task - offsetof(type, field)))


/*
 * For content handlers, which return what these return: has step() called,
 * at once or when the request's body has been read.  The task is in memory
 * that lasts as long as it does, zeroed but for step and gone; from now on,
 * it ends or gone() is called, even if it cannot be started.
 */

ngx_int_t ngx_gw_task_run(ngx_gw_task_t *task, ngx_http_request_t *r);
ngx_int_t ngx_gw_task_read(ngx_gw_task_t *task, ngx_http_request_t *r);

/* For step(): to be called again in the next pass. */

void ngx_gw_task_again(ngx_gw_task_t *task);

/* For step(): somebody has been asked to call ngx_gw_task_wake(). */

void ngx_gw_task_wait(ngx_gw_task_t *task);

/* Has step() called when the caller has returned to the event loop. */

void ngx_gw_task_wake(ngx_gw_task_t *task);

/*
 * For step(): finalizes the request with rc.  Task and request are gone
 * afterwards.
 */

void ngx_gw_task_end(ngx_gw_task_t *task, ngx_int_t rc);


#endif /* NGX_GW_TASK_H */
