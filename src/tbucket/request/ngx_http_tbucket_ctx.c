
/*
 * What came of a request's decision hangs on its pool as a clean-up, since
 * internal redirects clear the contexts of modules.
 */


#include "src/tbucket/request/ngx_http_tbucket_ctx.h"


/* The pool's list of clean-ups is where a context is found again. */

ngx_http_tbucket_ctx_t *
ngx_http_tbucket_create_ctx(ngx_http_request_t *r)
{
    ngx_http_tbucket_ctx_t  *ctx;

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_tbucket_ctx_t));
    if (ctx == NULL) {
        return NULL;
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


void
ngx_http_tbucket_cleanup(void *data)
{
    return;
}
