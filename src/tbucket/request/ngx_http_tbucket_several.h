
/*
 * Several limits of a request.
 */


#ifndef NGX_HTTP_TBUCKET_SEVERAL_H
#define NGX_HTTP_TBUCKET_SEVERAL_H


#include "src/tbucket/ngx_http_tbucket.h"


/* As ngx_http_tbucket_decide(). */

ngx_gw_noinline ngx_int_t ngx_http_tbucket_decide_all(ngx_http_request_t *r,
    ngx_array_t *limits, ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx);

/*
 * Makes the tightest of the charges the request's own; the others follow.
 * charges: in the request's pool, in any order afterwards; rc: the decision.
 */

void ngx_http_tbucket_set_charges(ngx_http_tbucket_ctx_t *ctx,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n, ngx_int_t rc);


#endif /* NGX_HTTP_TBUCKET_SEVERAL_H */
