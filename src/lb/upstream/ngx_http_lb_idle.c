
/*
 * Idle connections: kept, found to be of no use, closed.
 */


#include "src/lb/upstream/ngx_http_lb_idle.h"

#include "src/common/ngx_gw_compat.h"


#define NGX_HTTP_LB_IDLE_BLOCK  32       /* records allocated at a time */


static void ngx_http_lb_idle_free(void *data);
static void ngx_http_lb_idle_rest(ngx_connection_t *c,
    ngx_http_lb_idle_t *idle);
static ngx_http_lb_idle_t *ngx_http_lb_idle_alloc(ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_idle_expire(ngx_event_t *ev);
static void ngx_http_lb_idle_dummy(ngx_event_t *ev);
static void ngx_http_lb_idle_read(ngx_event_t *ev);
static void ngx_http_lb_idle_shut(ngx_connection_t *c);


ngx_int_t
ngx_http_lb_idle_init(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_lb_keepalive_t  *conf;

    conf = &lcf->keepalive;

    if (conf->max == 0) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    /* a stack of which nothing but zeros has been seen is an empty one */

    conf->stacks = ngx_pcalloc(cycle->pool, lcf->roster->capacity
                                            * sizeof(ngx_http_lb_stack_t));
    if (conf->stacks == NULL) {
        return NGX_ERROR;
    }

    conf->pool = cycle->pool;
    ngx_queue_init(&conf->free);
    ngx_queue_init(&conf->age);

    conf->dummy.fd = (ngx_socket_t) -1;
    conf->dummy.data = conf;

    conf->timer.handler = ngx_http_lb_idle_expire;
    conf->timer.data = &conf->dummy;
    conf->timer.log = cycle->log;
    conf->timer.cancelable = 1;

    cln->handler = ngx_http_lb_idle_free;
    cln->data = conf;

    return NGX_OK;
}


/* The timer may be set when its memory goes, without a master process. */

static void
ngx_http_lb_idle_free(void *data)
{
    ngx_http_lb_keepalive_t  *conf = data;

    if (conf->timer.timer_set) {
        ngx_del_timer(&conf->timer);
    }
}


void
ngx_http_lb_idle_sweep(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t                  i;
    uint64_t                  generation;
    ngx_uint_t                out;
    ngx_queue_t              *q, *next;
    lb_server_t              *server;
    ngx_http_lb_idle_t       *idle;
    ngx_http_lb_stack_t      *stack;
    ngx_http_lb_keepalive_t  *conf;

    conf = &lcf->keepalive;
    generation = lb_roster_generation(lcf->roster);

    if (conf->swept == generation) {
        return;
    }

    conf->swept = generation;

    if (ngx_queue_empty(&conf->age)) {
        return;
    }

    for (i = 0; i < lcf->roster->capacity; i++) {
        stack = &conf->stacks[i];

        if (stack->number == 0) {
            continue;
        }

        server = lb_roster_server(lcf->roster, i);
        out = ngx_http_lb_idle_is_out(lcf, i);

        for (q = ngx_queue_head(&stack->queue);
             q != ngx_queue_sentinel(&stack->queue);
             q = next)
        {
            next = ngx_queue_next(q);
            idle = ngx_queue_data(q, ngx_http_lb_idle_t, queue);

            if (out || ngx_http_lb_idle_is_stale(idle, server)) {
                ngx_http_lb_idle_close(idle);
            }
        }
    }
}


ngx_int_t
ngx_http_lb_idle_add(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    uint32_t generation, ngx_connection_t *c, ngx_http_lb_conn_key_t *key)
{
    ngx_http_lb_idle_t   *idle;
    ngx_http_lb_stack_t  *stack;

    idle = ngx_http_lb_idle_alloc(lcf);

    if (idle == NULL) {
        return NGX_ERROR;
    }

    stack = &lcf->keepalive.stacks[index];

    if (stack->queue.next == NULL) {
        ngx_queue_init(&stack->queue);
    }

    if (stack->number == lcf->keepalive.max) {
        ngx_http_lb_idle_close(ngx_queue_data(ngx_queue_last(&stack->queue),
                                              ngx_http_lb_idle_t, queue));
    }

    idle->connection = c;
    idle->conf = lcf;
    idle->stack = stack;
    idle->expires = ngx_current_msec + lcf->keepalive.timeout;
    idle->generation = generation;
    idle->absences = atomic_load_explicit(
        &lb_roster_server(lcf->roster, index)->absences,
        memory_order_relaxed);
    idle->key = key;

    ngx_queue_insert_head(&stack->queue, &idle->queue);
    stack->number++;

    ngx_queue_insert_head(&lcf->keepalive.age, &idle->age);

    if (!lcf->keepalive.timer.timer_set) {
        ngx_add_timer(&lcf->keepalive.timer, lcf->keepalive.timeout);
    }

    ngx_http_lb_idle_rest(c, idle);

    return NGX_OK;
}


/* From now on what happens on the connection is for us to see. */

static void
ngx_http_lb_idle_rest(ngx_connection_t *c, ngx_http_lb_idle_t *idle)
{
    c->read->delayed = 0;

    /* nginx would take a timer that is about right for that of a new request */

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->write->handler = ngx_http_lb_idle_dummy;
    c->read->handler = ngx_http_lb_idle_read;

    c->data = idle;
    c->idle = 1;
    c->log = ngx_cycle->log;
    c->read->log = ngx_cycle->log;
    c->write->log = ngx_cycle->log;
    c->pool->log = ngx_cycle->log;

    if (c->read->ready) {
        ngx_http_lb_idle_read(c->read);
    }
}


/* Records come in blocks and are used again; they are never given back. */

static ngx_http_lb_idle_t *
ngx_http_lb_idle_alloc(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_uint_t           i;
    ngx_queue_t         *free;
    ngx_http_lb_idle_t  *block;

    free = &lcf->keepalive.free;

    if (ngx_queue_empty(free)) {
        block = ngx_palloc(lcf->keepalive.pool, NGX_HTTP_LB_IDLE_BLOCK
                                                * sizeof(ngx_http_lb_idle_t));
        if (block == NULL) {
            return NULL;
        }

        for (i = 0; i < NGX_HTTP_LB_IDLE_BLOCK; i++) {
            ngx_queue_insert_head(free, &block[i].queue);
        }
    }

    block = ngx_queue_data(ngx_queue_head(free), ngx_http_lb_idle_t, queue);
    ngx_queue_remove(&block->queue);

    return block;
}


void
ngx_http_lb_idle_remove(ngx_http_lb_idle_t *idle)
{
    ngx_queue_remove(&idle->queue);
    ngx_queue_remove(&idle->age);
    idle->stack->number--;

    ngx_queue_insert_head(&idle->conf->keepalive.free, &idle->queue);
}


void
ngx_http_lb_idle_close(ngx_http_lb_idle_t *idle)
{
    ngx_connection_t  *c;

    c = idle->connection;

    ngx_http_lb_idle_remove(idle);
    ngx_http_lb_idle_shut(c);
}


ngx_uint_t
ngx_http_lb_idle_is_stale(ngx_http_lb_idle_t *idle, lb_server_t *server)
{
    return idle->generation != gw_load_acquire(&server->generation)
           || idle->absences != gw_load_relaxed(&server->absences);
}


ngx_uint_t
ngx_http_lb_idle_is_out(ngx_http_lb_srv_conf_t *lcf, uint32_t index)
{
    uint32_t      status;
    lb_roster_t  *roster;

    roster = lcf->roster;
    status = lb_roster_status(roster, index);

    return !(status & LB_USED)
           || (status & (atomic_load_explicit(&roster->panicking,
                                              memory_order_relaxed)
                         ? LB_PANICKING : LB_UNUSABLE));
}


/* Closes those whose time is over, the oldest first. */

static void
ngx_http_lb_idle_expire(ngx_event_t *ev)
{
    ngx_queue_t              *q;
    ngx_msec_int_t            left;
    ngx_connection_t         *dummy;
    ngx_http_lb_idle_t       *idle;
    ngx_http_lb_keepalive_t  *conf;

    dummy = ev->data;
    conf = dummy->data;

    while (!ngx_queue_empty(&conf->age)) {
        q = ngx_queue_last(&conf->age);
        idle = ngx_queue_data(q, ngx_http_lb_idle_t, age);

        left = (ngx_msec_int_t) (idle->expires - ngx_current_msec);

        if (left > 0) {
            ngx_add_timer(ev, (ngx_msec_t) left);
            return;
        }

        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ev->log, 0,
                       "lb keepalive: time is over for connection %p",
                       idle->connection);

        ngx_http_lb_idle_close(idle);
    }
}


static void
ngx_http_lb_idle_dummy(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "lb keepalive: dummy");
}


/*
 * On an idle connection: the server has closed it or says something that
 * nobody has asked for, or the worker wants it closed.
 */

static void
ngx_http_lb_idle_read(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    c = ev->data;

    if (!c->close && !ngx_http_lb_idle_is_closed(c)) {
        ev->ready = 0;

        if (ngx_handle_read_event(c->read, 0) == NGX_OK) {
            return;
        }
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ev->log, 0,
                   "lb keepalive: closing connection %p", c);

    ngx_http_lb_idle_close(c->data);
}


ngx_gw_noinline ngx_uint_t
ngx_http_lb_idle_is_closed(ngx_connection_t *c)
{
    u_char  buf[1];

    return recv(c->fd, buf, 1, MSG_PEEK) != -1
           || ngx_socket_errno != NGX_EAGAIN;
}


static void
ngx_http_lb_idle_shut(ngx_connection_t *c)
{
#if (NGX_HTTP_SSL)

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            c->ssl->handler = ngx_http_lb_idle_shut;
            return;
        }
    }

#endif

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}
