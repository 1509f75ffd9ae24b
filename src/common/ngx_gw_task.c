
/*
 * Requests over several passes of the event loop.
 */


#include "src/common/ngx_gw_task.h"


/* ms that a worker which shuts down waits for a task at most */
#define NGX_GW_TASK_GUARD  60000


static ngx_int_t ngx_gw_task_init(ngx_gw_task_t *task, ngx_http_request_t *r);
static void ngx_gw_task_body(ngx_http_request_t *r);
static void ngx_gw_task_next(ngx_event_t *ev);
static void ngx_gw_task_guard(ngx_event_t *ev);
static void ngx_gw_task_gone(void *data);
static void ngx_gw_task_stop(ngx_gw_task_t *task);


ngx_int_t
ngx_gw_task_run(ngx_gw_task_t *task, ngx_http_request_t *r)
{
    if (ngx_gw_task_init(task, r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->main->count++;

    ngx_gw_task_wake(task);

    return NGX_DONE;
}


ngx_int_t
ngx_gw_task_read(ngx_gw_task_t *task, ngx_http_request_t *r)
{
    ngx_int_t  rc;

    if (ngx_gw_task_init(task, r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_read_client_request_body(r, ngx_gw_task_body);

    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}


static ngx_int_t
ngx_gw_task_init(ngx_gw_task_t *task, ngx_http_request_t *r)
{
    task->cleanup = ngx_http_cleanup_add(r, 0);

    if (task->cleanup == NULL) {

        if (task->gone) {
            task->gone(task);
        }

        return NGX_ERROR;
    }

    task->cleanup->handler = ngx_gw_task_gone;
    task->cleanup->data = task;

    task->request = r;

    task->next.handler = ngx_gw_task_next;
    task->next.data = task;
    task->next.log = r->connection->log;

    task->guard.handler = ngx_gw_task_guard;
    task->guard.data = task;
    task->guard.log = r->connection->log;

    return NGX_OK;
}


/* The last task that was started for the request is the one that reads. */

static void
ngx_gw_task_body(ngx_http_request_t *r)
{
    ngx_gw_task_t       *task;
    ngx_http_cleanup_t  *cln;

    for (cln = r->main->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_gw_task_gone) {
            continue;
        }

        task = cln->data;

        if (task->request == r) {
            ngx_gw_task_wake(task);
            return;
        }
    }
}


void
ngx_gw_task_again(ngx_gw_task_t *task)
{
    ngx_gw_task_wait(task);

    ngx_post_event(&task->next, &ngx_posted_next_events);
}


/*
 * A worker that shuts down exits when no timers are left, whatever its
 * requests wait for; hence a timer that is not cancelable.
 */

void
ngx_gw_task_wait(ngx_gw_task_t *task)
{
    if (!task->guard.timer_set) {
        ngx_add_timer(&task->guard, NGX_GW_TASK_GUARD);
    }
}


void
ngx_gw_task_wake(ngx_gw_task_t *task)
{
    ngx_post_event(&task->next, &ngx_posted_events);
}


void
ngx_gw_task_end(ngx_gw_task_t *task, ngx_int_t rc)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = task->request;
    c = r->connection;

    ngx_gw_task_stop(task);

    task->cleanup->handler = NULL;

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static void
ngx_gw_task_next(ngx_event_t *ev)
{
    ngx_gw_task_t       *task;
    ngx_http_request_t  *r;

    task = ev->data;
    r = task->request;

    ngx_http_set_log_request(r->connection->log, r);

    task->step(task);
}


static void
ngx_gw_task_guard(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0,
                   "gateway: a request has been waiting for a minute");
}


static void
ngx_gw_task_gone(void *data)
{
    ngx_gw_task_t  *task = data;

    ngx_gw_task_stop(task);

    if (task->gone) {
        task->gone(task);
    }
}


static void
ngx_gw_task_stop(ngx_gw_task_t *task)
{
    if (task->next.posted) {
        ngx_delete_posted_event(&task->next);
    }

    if (task->guard.timer_set) {
        ngx_del_timer(&task->guard);
    }
}
