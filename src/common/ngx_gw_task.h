
/*
 * Answers to requests that take more than one pass of the event loop:
 * because there is much to look at, or because a store has to be waited for.
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

    /* does a part, and calls one of the functions below at its end */
    ngx_gw_task_pt       step;

    /* the request goes before the task has ended: what to free; or NULL */
    ngx_gw_task_pt       gone;

    /* private */
    ngx_http_cleanup_t  *cleanup;
    ngx_event_t          next;
    ngx_event_t          guard;
    unsigned             waited:1;
};


/*
 * Prepares a task in memory of r->pool that is zeroed but for step and
 * gone.  For content handlers and body handlers, which call step() next
 * and have counted a reference of the request for the task.
 */

ngx_int_t ngx_gw_task_start(ngx_gw_task_t *task, ngx_http_request_t *r);

/* The task of a request that has not ended, or NULL; for body handlers. */

ngx_gw_task_t *ngx_gw_task_find(ngx_http_request_t *r);

/* Has step() called in the next pass. */

void ngx_gw_task_again(ngx_gw_task_t *task);

/* Says that somebody else will call ngx_gw_task_end(). */

void ngx_gw_task_wait(ngx_gw_task_t *task);

/* Finalizes the request with rc.  Task and request are gone afterwards. */

void ngx_gw_task_end(ngx_gw_task_t *task, ngx_int_t rc);


#endif /* NGX_GW_TASK_H */
