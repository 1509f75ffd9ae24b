
/*
 * What came of a request's decision hangs on its pool as a clean-up, since
 * internal redirects clear the contexts of modules.  It lies outside of the
 * pool, which most requests would need another block for, and serves the next
 * request when its own is gone.
 */


#include "src/tbucket/request/ngx_http_tbucket_ctx.h"

#include "src/tbucket/ngx_http_tbucket_inflight.h"


static void ngx_http_tbucket_cleanup(void *data);
static ngx_gw_noinline void ngx_http_tbucket_return_places(
    ngx_http_tbucket_ctx_t *ctx);
static ngx_inline void ngx_http_tbucket_return_place(
    ngx_http_tbucket_charge_t *charge);


ngx_http_tbucket_ctx_t  *ngx_http_tbucket_idle_ctx;


ngx_http_tbucket_ctx_t *
ngx_http_tbucket_alloc_ctx(ngx_log_t *log)
{
    ngx_http_tbucket_ctx_t  *ctx;

    ctx = ngx_alloc(sizeof(ngx_http_tbucket_ctx_t), log);
    if (ctx == NULL) {
        return NULL;
    }

    ctx->cleanup.handler = ngx_http_tbucket_cleanup;
    ctx->cleanup.data = ctx;
    ctx->idle = NULL;

    return ctx;
}


/* nginx goes on to cleanup.next, which stays until the context is used. */

static void
ngx_http_tbucket_cleanup(void *data)
{
    ngx_http_tbucket_ctx_t  *ctx = data;

    ctx->idle = ngx_http_tbucket_idle_ctx;
    ngx_http_tbucket_idle_ctx = ctx;

    if (ctx->places) {
        ngx_http_tbucket_return_places(ctx);
    }
}


/* The request is over. */

static void
ngx_http_tbucket_return_places(ngx_http_tbucket_ctx_t *ctx)
{
    ngx_uint_t  i;

    ngx_http_tbucket_return_place(&ctx->charge);

    for (i = 0; i < ctx->nothers; i++) {
        ngx_http_tbucket_return_place(&ctx->others[i]);
    }
}


static ngx_inline void
ngx_http_tbucket_return_place(ngx_http_tbucket_charge_t *c)
{
    if (c->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        ngx_http_tbucket_inflight_return(c);
    }
}


ngx_http_tbucket_ctx_t *
ngx_http_tbucket_cleanup_ctx(ngx_pool_cleanup_t *cln)
{
    return cln->handler == ngx_http_tbucket_cleanup ? cln->data : NULL;
}


ngx_http_tbucket_ctx_t *
ngx_http_tbucket_find_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_tbucket_ctx_t  *ctx;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        ctx = ngx_http_tbucket_cleanup_ctx(cln);

        if (ctx != NULL && ctx->request == r) {
            return ctx;
        }
    }

    return NULL;
}
