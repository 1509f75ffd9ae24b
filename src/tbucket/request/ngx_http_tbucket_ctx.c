
/*
 * What came of a request's decision hangs on its pool as a clean-up, since
 * internal redirects clear the contexts of modules.  It lies outside of the
 * pool, which most requests would need another block for, and serves the next
 * request when its own is gone.
 */


#include "src/tbucket/request/ngx_http_tbucket_ctx.h"


/* This worker's that serve no request, by cleanup.data. */

static ngx_http_tbucket_ctx_t  *ngx_http_tbucket_idle_ctx;


/* The pool's list of clean-ups is where a context is found again. */

ngx_http_tbucket_ctx_t *
ngx_http_tbucket_create_ctx(ngx_http_request_t *r)
{
    ngx_http_tbucket_ctx_t  *ctx;

    ctx = ngx_http_tbucket_idle_ctx;

    if (ctx != NULL) {
        ngx_http_tbucket_idle_ctx = ctx->cleanup.data;

    } else {
        ctx = ngx_alloc(sizeof(ngx_http_tbucket_ctx_t), r->connection->log);
        if (ctx == NULL) {
            return NULL;
        }
    }

    ctx->request = r;
    ctx->status = NGX_HTTP_TBUCKET_NOT_LIMITED;
    ctx->due = 0;
    ctx->added = 0;
    ctx->grpc = 0;
    ctx->checked = 0;
    ctx->untaken = 0;
    ctx->nothers = 0;
    ctx->hold = 0;
    ctx->held = 0;
    ctx->waiter = NULL;

    ctx->cleanup.handler = ngx_http_tbucket_cleanup;
    ctx->cleanup.data = ctx;
    ctx->cleanup.next = r->pool->cleanup;
    r->pool->cleanup = &ctx->cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_tbucket_module);

    return ctx;
}


ngx_http_tbucket_ctx_t *
ngx_http_tbucket_find_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_tbucket_ctx_t  *ctx;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_tbucket_cleanup) {
            ctx = cln->data;

            if (ctx->request == r) {
                return ctx;
            }
        }
    }

    return NULL;
}


/* nginx goes on to cleanup.next, which stays until the context is used. */

void
ngx_http_tbucket_cleanup(void *data)
{
    ngx_http_tbucket_ctx_t  *ctx = data;

    ctx->cleanup.handler = NULL;
    ctx->cleanup.data = ngx_http_tbucket_idle_ctx;

    ngx_http_tbucket_idle_ctx = ctx;
}
