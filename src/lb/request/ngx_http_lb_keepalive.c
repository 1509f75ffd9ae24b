
/*
 * Connections that requests share.  A request is given one only if it would
 * have opened the same: to the same server (slot and generation) and with the
 * same key, which the connection has in its pool.
 */


#include "src/lb/request/ngx_http_lb_keepalive.h"

#include "src/common/ngx_gw_leader.h"
#include "src/common/ngx_gw_param.h"
#include "src/lb/request/ngx_http_lb_conn_key.h"
#include "src/lb/upstream/ngx_http_lb_idle.h"


/* bytes before the payload of a frame of HTTP/2 */
#define NGX_HTTP_LB_FRAME_HEAD  9


static ngx_http_lb_conn_key_t *ngx_http_lb_keepalive_key(
    ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
static ngx_uint_t ngx_http_lb_keepalive_can(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
static ngx_uint_t ngx_http_lb_keepalive_more(ngx_http_request_t *r);
static ngx_uint_t ngx_http_lb_keepalive_once(ngx_http_request_t *r);


char *
ngx_http_lb_keepalive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                     *p = conf;
    ngx_http_lb_keepalive_t  *keepalive;

    static const ngx_gw_param_t  number = {
        .name = ngx_string("number"), .kind = NGX_GW_PARAM_NUMBER,
        ngx_gw_param_field(ngx_http_lb_keepalive_t, max),
        .max = NGX_HTTP_LB_KEEPALIVE_MAX
    };

    static const ngx_gw_param_t  params[] = {

        { .name = ngx_string("requests="), .kind = NGX_GW_PARAM_NUMBER,
          ngx_gw_param_field(ngx_http_lb_keepalive_t, requests),
          .min = 1, .max = NGX_MAX_INT_T_VALUE,
          .allowed = "a number of 1 or more" },

        { .name = ngx_string("timeout="), .kind = NGX_GW_PARAM_TIME,
          ngx_gw_param_field(ngx_http_lb_keepalive_t, timeout),
          .min = 1, .max = NGX_MAX_INT_T_VALUE,
          .allowed = "a time of 1ms or more" },

        { .name = ngx_string("time="), .kind = NGX_GW_PARAM_TIME,
          ngx_gw_param_field(ngx_http_lb_keepalive_t, time),
          .min = 1, .max = NGX_MAX_INT_T_VALUE,
          .allowed = "a time of 1ms or more" },

        { .name = ngx_null_string }
    };

    keepalive = (ngx_http_lb_keepalive_t *) (p + cmd->offset);

    ngx_http_lb_needs_method(cf, cmd, conf);

    if (keepalive->set) {
        return "is duplicate";
    }

    keepalive->set = 1;

    if (ngx_gw_param_argument(cf, 1, &number, keepalive) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_gw_params(cf, 2, params, keepalive, NULL);
}


ngx_int_t
ngx_http_lb_keepalive_get(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_queue_t             *q, *next;
    ngx_connection_t        *c;
    lb_server_t             *server;
    ngx_http_lb_idle_t      *idle;
    ngx_http_lb_stack_t     *stack;
    ngx_http_lb_conn_key_t   key;

    stack = &ctx->conf->keepalive.stacks[ctx->index];

    if (stack->number == 0
        || ngx_http_lb_conn_key(ctx->request, pc, &key) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    server = lb_roster_server(ctx->conf->roster, ctx->index);

    for (q = ngx_queue_head(&stack->queue);
         q != ngx_queue_sentinel(&stack->queue);
         q = next)
    {
        next = ngx_queue_next(q);
        idle = ngx_queue_data(q, ngx_http_lb_idle_t, queue);

        if (ngx_http_lb_idle_is_stale(idle, server)) {
            ngx_http_lb_idle_close(idle);
            continue;
        }

        if (!ngx_http_lb_conn_key_equal(idle->key, &key)) {
            continue;
        }

        if (ngx_http_lb_keepalive_once(ctx->request)
            && ngx_http_lb_idle_is_closed(idle->connection))
        {
            ngx_http_lb_idle_close(idle);
            continue;
        }

        goto found;
    }

    return NGX_DECLINED;

found:

    c = idle->connection;
    ctx->key = idle->key;

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

    pc->connection = c;
    pc->cached = 1;

    return NGX_OK;
}


void
ngx_http_lb_keepalive_put(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_http_lb_conn_key_t  *key;

    if (!ngx_http_lb_keepalive_can(ctx, pc)) {
        return;
    }

    key = ngx_http_lb_keepalive_key(ctx, pc);

    if (key == NULL
        || ngx_http_lb_idle_add(ctx->conf, ctx->index, ctx->generation,
                                pc->connection, key)
           != NGX_OK)
    {
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb keepalive: saving connection %p", pc->connection);

    pc->connection = NULL;
}


void
ngx_http_lb_keepalive_restart(ngx_http_request_t *r)
{
    u_char     *p;
    size_t      length;
    ngx_buf_t  *b;

    static const u_char  preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    b = r->upstream->request_bufs ? r->upstream->request_bufs->buf : NULL;

    if (b == NULL || !b->temporary
        || (size_t) (b->last - b->start) < sizeof(preface) - 1
        || ngx_memcmp(b->start, preface, sizeof(preface) - 1) != 0)
    {
        return;
    }

    p = b->start + sizeof(preface) - 1;

    while (b->last - p >= NGX_HTTP_LB_FRAME_HEAD) {
        length = ((size_t) p[0] << 16) + (p[1] << 8) + p[2];

        /* those of the connection itself have stream 0 */

        if (p[5] | p[6] | p[7] | p[8]) {
            p[5] = 0;
            p[6] = 0;
            p[7] = 0;
            p[8] = 1;
        }

        p += NGX_HTTP_LB_FRAME_HEAD;

        if ((size_t) (b->last - p) < length) {
            return;
        }

        p += length;
    }
}


/* A connection keeps the key that it has been opened with. */

static ngx_http_lb_conn_key_t *
ngx_http_lb_keepalive_key(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_http_lb_conn_key_t  key;

    if (ctx->key) {
        return ctx->key;
    }

    if (ngx_http_lb_conn_key(ctx->request, pc, &key) != NGX_OK) {
        return NULL;
    }

    return ngx_http_lb_conn_key_copy(pc->connection->pool, &key);
}


/* the request is done with, and the connection good for another one */

static ngx_uint_t
ngx_http_lb_keepalive_can(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_connection_t         *c;
    ngx_http_upstream_t      *u;
    ngx_http_lb_keepalive_t  *conf;

    c = pc->connection;
    u = ctx->request->upstream;
    conf = &ctx->conf->keepalive;

    if (c == NULL
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

    if (!u->keepalive || !u->request_body_sent
        || ngx_http_lb_keepalive_more(ctx->request))
    {
        return 0;
    }

    if (ngx_gw_is_leaving() || ngx_http_lb_idle_is_out(ctx->conf, ctx->index)) {
        return 0;
    }

    return ngx_handle_read_event(c->read, 0) == NGX_OK;
}


/*
 * Whether the server has more to say than nginx has looked for: the answer
 * itself after one of 1xx, or a body where there is to be none.  The next
 * request would get it.
 */

static ngx_uint_t
ngx_http_lb_keepalive_more(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    return (u->headers_in.status_n && u->headers_in.status_n < NGX_HTTP_OK)
           || (r->header_only && !u->cacheable && !u->store
               && u->buffer.pos != u->buffer.last);
}


/*
 * Whether nginx would not send the request again, so that it is worth a look
 * if the connection is still there.
 */

static ngx_uint_t
ngx_http_lb_keepalive_once(ngx_http_request_t *r)
{
    ngx_uint_t  next;

    next = r->upstream->conf->next_upstream;

    return r->request_body_no_buffering
           || !(next & NGX_HTTP_UPSTREAM_FT_ERROR)
           || ((r->method & (NGX_HTTP_POST|NGX_HTTP_LOCK|NGX_HTTP_PATCH))
               && !(next & NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT));
}
