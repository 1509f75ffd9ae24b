
/*
 * From a request to a decision.
 */


#ifndef NGX_HTTP_TBUCKET_DECIDE_H
#define NGX_HTTP_TBUCKET_DECIDE_H


#include "src/tbucket/ngx_http_tbucket.h"


/*
 * Charges the request to the buckets of all limits, or to none of them, and
 * counts the outcome; dry_run says that refusals are only counted.  Returns
 * NGX_OK if all admit, NGX_BUSY if one refuses, NGX_ABORT if one would but only
 * counts, NGX_DECLINED if no limit applies, NGX_ERROR; on the first three
 * ctx->charge is that of the tightest bucket, ctx->others are those of the
 * other limits, and ctx->hold is for how long the request is to wait.
 * NGX_AGAIN: nothing was charged or counted, and the request is to wait for a
 * lease of the bucket of ctx->charge.
 */

ngx_int_t ngx_http_tbucket_decide(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx);

/*
 * The same for limits that are checked after others: charges are those of all
 * of them, and a refusal gives back what the first ones had taken.  On
 * NGX_AGAIN it waits for a lease already.
 */

ngx_int_t ngx_http_tbucket_decide_late(ngx_http_request_t *r,
    ngx_array_t *limits, ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx);


#endif /* NGX_HTTP_TBUCKET_DECIDE_H */
