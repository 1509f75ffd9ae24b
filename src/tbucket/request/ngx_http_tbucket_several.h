
/*
 * Several limits of a request.
 */


#ifndef NGX_HTTP_TBUCKET_SEVERAL_H
#define NGX_HTTP_TBUCKET_SEVERAL_H


#include "src/tbucket/ngx_http_tbucket_source.h"


/* As ngx_http_tbucket_decide(). */

ngx_gw_noinline ngx_int_t ngx_http_tbucket_decide_all(ngx_http_request_t *r,
    ngx_array_t *limits, ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx);

/*
 * Makes the tightest of the charges the request's own; the others follow.
 * charges: in the request's pool, in any order afterwards; rc: the decision.
 */

void ngx_http_tbucket_set_charges(ngx_http_tbucket_ctx_t *ctx,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n, ngx_int_t rc);


/* The same where it is known which one is the tightest. */

static ngx_inline void
ngx_http_tbucket_put_charges(ngx_http_tbucket_ctx_t *ctx,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n, ngx_uint_t tightest)
{
    ctx->charge = charges[tightest];
    charges[tightest] = charges[0];

    ctx->others = charges + 1;
    ctx->nothers = n - 1;
    ctx->places = 1;
}


/* How many further requests like this a charge that has passed leaves. */

static ngx_inline uint64_t
ngx_http_tbucket_more(ngx_http_tbucket_charge_t *c)
{
    return ngx_http_tbucket_left(c) / ngx_max(c->cost, 1);
}


#endif /* NGX_HTTP_TBUCKET_SEVERAL_H */
