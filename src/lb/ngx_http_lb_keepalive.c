
/*
 * Idle connections to servers, per worker: a stack for each slot, so that
 * keeping one and getting the most recently used one back take a time that
 * depends on neither the number of servers nor that of connections.
 *
 * A connection is given to a request only if that would have opened the same
 * one: the same server (slot and generation), the same place of the
 * configuration (which settles protocol and TLS), and the same local address
 * and TLS name where these are made of variables.
 */


#include "src/lb/ngx_http_lb.h"

#include <ngx_sha1.h>


#define NGX_HTTP_LB_IDLE_BLOCK  32       /* records allocated at a time */


typedef struct {
    ngx_queue_t                queue;    /* in its stack, or among the free */
    ngx_connection_t          *connection;
    ngx_http_lb_srv_conf_t    *conf;
    ngx_http_lb_stack_t       *stack;
    uint32_t                   generation;   /* of the slot */

    ngx_http_upstream_conf_t  *place;
    ngx_sockaddr_t             local;
    socklen_t                  local_len;    /* 0: chosen by the system */
    u_char                     name[20];     /* digest, see below */
} ngx_http_lb_idle_t;


static ngx_http_lb_idle_t *ngx_http_lb_idle_alloc(
    ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_idle_remove(ngx_http_lb_idle_t *idle);
static void ngx_http_lb_idle_close(ngx_http_lb_idle_t *idle);
static ngx_uint_t ngx_http_lb_idle_matches(ngx_http_lb_idle_t *idle,
    ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc, u_char *name);
static ngx_uint_t ngx_http_lb_can_keep(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
static ngx_int_t ngx_http_lb_tls_name(ngx_http_request_t *r, u_char *digest);
static void ngx_http_lb_idle_dummy(ngx_event_t *ev);
static void ngx_http_lb_idle_read(ngx_event_t *ev);
static void ngx_http_lb_close(ngx_connection_t *c);


ngx_int_t
ngx_http_lb_keepalive_init(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf)
{
    if (lcf->keepalive.max == 0) {
        return NGX_OK;
    }

    /* a stack of which nothing but zeros has been seen is an empty one */

    lcf->keepalive.stacks = ngx_pcalloc(cycle->pool, lcf->roster->capacity
                                               * sizeof(ngx_http_lb_stack_t));
    if (lcf->keepalive.stacks == NULL) {
        return NGX_ERROR;
    }

    lcf->keepalive.pool = cycle->pool;
    ngx_queue_init(&lcf->keepalive.free);

    return NGX_OK;
}


ngx_int_t
ngx_http_lb_keepalive_get(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    u_char                name[20];
    ngx_queue_t          *q, *next;
    ngx_connection_t     *c;
    ngx_http_lb_idle_t   *idle;
    ngx_http_lb_stack_t  *stack;

    if (ctx->conf->keepalive.stacks == NULL) {
        return NGX_DECLINED;
    }

    stack = &ctx->conf->keepalive.stacks[ctx->index];

    if (stack->number == 0
        || ngx_http_lb_tls_name(ctx->request, name) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    for (q = ngx_queue_head(&stack->queue);
         q != ngx_queue_sentinel(&stack->queue);
         q = next)
    {
        next = ngx_queue_next(q);
        idle = ngx_queue_data(q, ngx_http_lb_idle_t, queue);

        if (idle->generation != ctx->generation) {

            /* of the server that had the slot before */

            ngx_http_lb_idle_close(idle);
            continue;
        }

        if (ngx_http_lb_idle_matches(idle, ctx, pc, name)) {
            goto found;
        }
    }

    return NGX_DECLINED;

found:

    c = idle->connection;

    ngx_http_lb_idle_remove(idle);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb keepalive: using connection %p", c);

    c->idle = 0;
    c->sent = 0;
    c->data = NULL;
    c->log = pc->log;
    c->read->log = pc->log;
    c->write->log = pc->log;
    c->pool->log = pc->log;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    pc->connection = c;
    pc->cached = 1;

    return NGX_OK;
}


void
ngx_http_lb_keepalive_put(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_connection_t         *c;
    ngx_http_lb_idle_t       *idle;
    ngx_http_lb_stack_t      *stack;
    ngx_http_lb_srv_conf_t   *lcf;

    lcf = ctx->conf;
    c = pc->connection;

    if (!ngx_http_lb_can_keep(ctx, pc)) {
        return;
    }

    idle = ngx_http_lb_idle_alloc(lcf);

    if (idle == NULL
        || ngx_http_lb_tls_name(ctx->request, idle->name) != NGX_OK)
    {
        if (idle) {
            ngx_queue_insert_head(&lcf->keepalive.free, &idle->queue);
        }

        return;
    }

    stack = &lcf->keepalive.stacks[ctx->index];

    if (stack->queue.next == NULL) {
        ngx_queue_init(&stack->queue);
    }

    if (stack->number == lcf->keepalive.max) {
        ngx_http_lb_idle_close(ngx_queue_data(ngx_queue_last(&stack->queue),
                                              ngx_http_lb_idle_t, queue));
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb keepalive: saving connection %p", c);

    idle->connection = c;
    idle->conf = lcf;
    idle->stack = stack;
    idle->generation = ctx->generation;
    idle->place = ctx->request->upstream->conf;
    idle->local_len = 0;

    if (pc->local) {
        idle->local_len = pc->local->socklen;
        ngx_memcpy(&idle->local, pc->local->sockaddr, idle->local_len);
    }

    ngx_queue_insert_head(&stack->queue, &idle->queue);
    stack->number++;

    pc->connection = NULL;

    c->read->delayed = 0;
    ngx_add_timer(c->read, lcf->keepalive.timeout);

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


static void
ngx_http_lb_idle_remove(ngx_http_lb_idle_t *idle)
{
    ngx_queue_remove(&idle->queue);
    idle->stack->number--;

    ngx_queue_insert_head(&idle->conf->keepalive.free, &idle->queue);
}


static void
ngx_http_lb_idle_close(ngx_http_lb_idle_t *idle)
{
    ngx_connection_t  *c;

    c = idle->connection;

    ngx_http_lb_idle_remove(idle);
    ngx_http_lb_close(c);
}


static ngx_uint_t
ngx_http_lb_idle_matches(ngx_http_lb_idle_t *idle, ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc, u_char *name)
{
    if (idle->place != ctx->request->upstream->conf) {
        return 0;
    }

    if (idle->local_len != (pc->local ? pc->local->socklen : 0)
        || (pc->local && ngx_memcmp(&idle->local, pc->local->sockaddr,
                                    idle->local_len)
                         != 0))
    {
        return 0;
    }

    return ngx_memcmp(idle->name, name, sizeof(idle->name)) == 0;
}


/* the request is done with, and the connection good for another one */

static ngx_uint_t
ngx_http_lb_can_keep(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_connection_t         *c;
    ngx_http_upstream_t      *u;
    ngx_http_lb_keepalive_t  *conf;

    c = pc->connection;
    u = ctx->request->upstream;
    conf = &ctx->conf->keepalive;

    if (conf->stacks == NULL
        || c == NULL
        || c->read->eof
        || c->read->error
        || c->read->timedout
        || c->write->error
        || c->write->timedout)
    {
        return 0;
    }

    if (c->requests >= conf->requests
        || ngx_current_msec - c->start_time > conf->time)
    {
        return 0;
    }

    if (!u->keepalive || !u->request_body_sent) {
        return 0;
    }

    if (ngx_gw_is_leaving()) {
        return 0;
    }

    return ngx_handle_read_event(c->read, 0) == NGX_OK;
}


/*
 * A digest of what a TLS connection of this request is opened with, as far
 * as that is made of variables: the name for SNI and verification; all zeros
 * if the configuration settles everything.  NGX_DECLINED: it cannot be told,
 * so the connection must not be shared.
 */

static ngx_int_t
ngx_http_lb_tls_name(ngx_http_request_t *r, u_char *digest)
{
#if (NGX_HTTP_SSL)

    ngx_str_t             name;
    ngx_sha1_t            sha1;
    ngx_http_upstream_t  *u;

    ngx_memzero(digest, 20);

    u = r->upstream;

    if (!u->ssl) {
        return NGX_OK;
    }

    if (u->conf->ssl_certificate && u->conf->ssl_certificate->lengths) {
        return NGX_DECLINED;
    }

    if (u->conf->ssl_name == NULL || u->conf->ssl_name->lengths == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, u->conf->ssl_name, &name) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, name.data, name.len);
    ngx_sha1_final(digest, &sha1);

#else

    ngx_memzero(digest, 20);

#endif

    return NGX_OK;
}


static void
ngx_http_lb_idle_dummy(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "lb keepalive: dummy");
}


/*
 * On an idle connection: the time is over, the server has closed it or says
 * something that nobody has asked for, or the worker wants it closed.
 */

static void
ngx_http_lb_idle_read(ngx_event_t *ev)
{
    int                n;
    u_char             buf[1];
    ngx_connection_t  *c;

    c = ev->data;

    if (!c->close && !c->read->timedout) {
        n = recv(c->fd, buf, 1, MSG_PEEK);

        if (n == -1 && ngx_socket_errno == NGX_EAGAIN) {
            ev->ready = 0;

            if (ngx_handle_read_event(c->read, 0) == NGX_OK) {
                return;
            }
        }
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ev->log, 0,
                   "lb keepalive: closing connection %p", c);

    ngx_http_lb_idle_close(c->data);
}


static void
ngx_http_lb_close(ngx_connection_t *c)
{
#if (NGX_HTTP_SSL)

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            c->ssl->handler = ngx_http_lb_close;
            return;
        }
    }

#endif

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}
