
/*
 * TLS sessions to upstream servers, kept in the worker that made them.
 */


#include "src/lb/ngx_http_lb.h"


#if (NGX_HTTP_SSL)


ngx_int_t
ngx_http_lb_session_init(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf)
{
    lcf->sessions = ngx_pcalloc(cycle->pool, lcf->capacity
                                             * sizeof(ngx_http_lb_session_t));

    return (lcf->sessions == NULL) ? NGX_ERROR : NGX_OK;
}


void
ngx_http_lb_session_free(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t  i;

    if (lcf->sessions == NULL) {
        return;
    }

    for (i = 0; i < lcf->capacity; i++) {

        if (lcf->sessions[i].session) {
            ngx_ssl_free_session(lcf->sessions[i].session);
            lcf->sessions[i].session = NULL;
        }
    }
}


ngx_int_t
ngx_http_lb_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_lb_ctx_t  *ctx = data;

    ngx_http_lb_session_t  *s;

    s = &ctx->conf->sessions[ctx->index];

    if (s->session && s->generation != ctx->generation) {
        ngx_ssl_free_session(s->session);
        s->session = NULL;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb set session: %p", s->session);

    return ngx_ssl_set_session(pc->connection, s->session);
}


void
ngx_http_lb_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_lb_ctx_t  *ctx = data;

    ngx_ssl_session_t      *session;
    ngx_http_lb_session_t  *s;

    /* a ticket may come when the server has been given back already */

    if (ctx->index == LB_NONE) {
        return;
    }

    session = ngx_ssl_get_session(pc->connection);

    if (session == NULL) {
        return;
    }

    s = &ctx->conf->sessions[ctx->index];

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb save session: %p, old: %p", session, s->session);

    if (s->session) {
        ngx_ssl_free_session(s->session);
    }

    s->session = session;
    s->generation = ctx->generation;
}


#endif
