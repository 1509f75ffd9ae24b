
/*
 * Connections that requests share.  A request is given one only if it would
 * have opened the same: to the same server (slot and generation) and with the
 * same key, which the connection has in its pool.
 */


#include "src/lb/request/ngx_http_lb_keepalive.h"

#include "src/common/ngx_gw_leader.h"
#include "src/lb/request/ngx_http_lb_conn_key.h"
#include "src/lb/upstream/ngx_http_lb_idle.h"


static char *ngx_http_lb_keepalive_param(ngx_conf_t *cf, ngx_str_t *param,
    ngx_http_lb_keepalive_t *keepalive);
static ngx_http_lb_conn_key_t *ngx_http_lb_keepalive_key(
    ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
static ngx_uint_t ngx_http_lb_keepalive_can(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
static ngx_uint_t ngx_http_lb_keepalive_once(ngx_http_request_t *r);


char *
ngx_http_lb_keepalive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                     *p = conf;
    char                     *rv;
    ngx_int_t                 max;
    ngx_str_t                *value;
    ngx_uint_t                i;
    ngx_http_lb_keepalive_t  *keepalive;

    keepalive = (ngx_http_lb_keepalive_t *) (p + cmd->offset);

    ngx_http_lb_needs_method(cf, cmd, conf);

    if (keepalive->set) {
        return "is duplicate";
    }

    value = cf->args->elts;

    max = ngx_atoi(value[1].data, value[1].len);

    if (max == NGX_ERROR || max > NGX_HTTP_LB_KEEPALIVE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number \"%V\" in \"%V\", "
                           "it must be between 0 and %d",
                           &value[1], &cmd->name, NGX_HTTP_LB_KEEPALIVE_MAX);
        return NGX_CONF_ERROR;
    }

    keepalive->set = 1;
    keepalive->max = max;

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_lb_keepalive_param(cf, &value[i], keepalive);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_lb_keepalive_param(ngx_conf_t *cf, ngx_str_t *param,
    ngx_http_lb_keepalive_t *keepalive)
{
    ngx_int_t    requests;
    ngx_str_t    s;
    ngx_msec_t  *msec;

    if (ngx_strncmp(param->data, "requests=", 9) == 0) {
        requests = ngx_atoi(param->data + 9, param->len - 9);

        if (requests == NGX_ERROR || requests == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", "
                               "a number of 1 or more is expected", param);
            return NGX_CONF_ERROR;
        }

        if (keepalive->requests != NGX_CONF_UNSET_UINT) {
            return "has duplicate \"requests\" parameter";
        }

        keepalive->requests = requests;

        return NGX_CONF_OK;
    }

    if (ngx_strncmp(param->data, "timeout=", 8) == 0) {
        msec = &keepalive->timeout;
        s.data = param->data + 8;

    } else if (ngx_strncmp(param->data, "time=", 5) == 0) {
        msec = &keepalive->time;
        s.data = param->data + 5;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", param);
        return NGX_CONF_ERROR;
    }

    if (*msec != NGX_CONF_UNSET_MSEC) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate parameter \"%V\"", param);
        return NGX_CONF_ERROR;
    }

    s.len = param->data + param->len - s.data;

    *msec = ngx_parse_time(&s, 0);

    if (*msec == (ngx_msec_t) NGX_ERROR || *msec == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", "
                           "a time of 1ms or more is expected", param);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
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

    if (!u->keepalive || !u->request_body_sent) {
        return 0;
    }

    if (ngx_gw_is_leaving() || ngx_http_lb_idle_is_out(ctx->conf, ctx->index)) {
        return 0;
    }

    return ngx_handle_read_event(c->read, 0) == NGX_OK;
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
