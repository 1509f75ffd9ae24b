
/*
 * From a request to a decision.
 */


#ifndef NGX_HTTP_TBUCKET_DECIDE_H
#define NGX_HTTP_TBUCKET_DECIDE_H


#include "src/tbucket/ngx_http_tbucket.h"


/*
 * Charges the request to the buckets of all limits, or to none of them, and
 * counts the outcome; dry_run says how refusals are counted.  Returns
 * NGX_OK if all admit, NGX_BUSY if one refuses, NGX_DECLINED if no limit
 * applies, NGX_ERROR; on NGX_OK and NGX_BUSY ctx->charge is that of the
 * tightest bucket, and ctx->others are those of the other limits.  NGX_AGAIN:
 * nothing was charged or counted, and the request is to wait for a lease of
 * the bucket of ctx->charge.
 */

ngx_int_t ngx_http_tbucket_decide(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx);


#endif /* NGX_HTTP_TBUCKET_DECIDE_H */
