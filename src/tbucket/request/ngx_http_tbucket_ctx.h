
/*
 * Where a request keeps what came of its decision.
 */


#ifndef NGX_HTTP_TBUCKET_CTX_H
#define NGX_HTTP_TBUCKET_CTX_H


#include "src/tbucket/ngx_http_tbucket.h"


/* A context for the request that has none; NULL without memory. */

ngx_http_tbucket_ctx_t *ngx_http_tbucket_create_ctx(ngx_http_request_t *r);

/* The request's context after an internal redirect, or NULL. */

ngx_http_tbucket_ctx_t *ngx_http_tbucket_find_ctx(ngx_http_request_t *r);

/* Tells a context from other clean-ups; ends it with the request's pool. */

void ngx_http_tbucket_cleanup(void *data);

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
