
/*
 * Where a request keeps what came of its decision.
 */


#ifndef NGX_HTTP_TBUCKET_CTX_H
#define NGX_HTTP_TBUCKET_CTX_H


#include "src/tbucket/ngx_http_tbucket.h"


/* This worker's that serve no request. */

extern ngx_http_tbucket_ctx_t  *ngx_http_tbucket_idle_ctx;


/* One more of them, or NULL. */

ngx_gw_noinline ngx_http_tbucket_ctx_t *ngx_http_tbucket_alloc_ctx(
    ngx_log_t *log);

/* The context whose clean-up that is, or NULL. */

ngx_http_tbucket_ctx_t *ngx_http_tbucket_cleanup_ctx(ngx_pool_cleanup_t *cln);

/* The request's context after an internal redirect, or NULL. */

ngx_http_tbucket_ctx_t *ngx_http_tbucket_find_ctx(ngx_http_request_t *r);


/*
 * A context for the request that has none; NULL without memory.  The pool's
 * list of clean-ups is where it is found again.
 */

static ngx_gw_inline ngx_http_tbucket_ctx_t *
ngx_http_tbucket_create_ctx(ngx_http_request_t *r)
{
    ngx_http_tbucket_ctx_t  *ctx;

    ctx = ngx_http_tbucket_idle_ctx;

    if (ctx == NULL) {
        ctx = ngx_http_tbucket_alloc_ctx(r->connection->log);

        if (ctx == NULL) {
            return NULL;
        }
    }

    ngx_http_tbucket_idle_ctx = ctx->idle;

    ngx_memzero(&ctx->status, offsetof(ngx_http_tbucket_ctx_t, headers)
                              - offsetof(ngx_http_tbucket_ctx_t, status));

    ctx->request = r;
    ctx->cleanup.next = r->pool->cleanup;
    r->pool->cleanup = &ctx->cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_tbucket_module);

    return ctx;
}


/* The request's context, or NULL. */

static ngx_inline ngx_http_tbucket_ctx_t *
ngx_http_tbucket_get_ctx(ngx_http_request_t *r)
{
    ngx_http_tbucket_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_tbucket_module);

    if (ctx == NULL && (r->internal || r->filter_finalize)) {
        return ngx_http_tbucket_find_ctx(r);
    }

    return ctx;
}


#endif /* NGX_HTTP_TBUCKET_CTX_H */
