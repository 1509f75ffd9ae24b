
/*
 * Requests that wait for their tokens instead of being refused.
 */


#ifndef NGX_HTTP_TBUCKET_WAIT_H
#define NGX_HTTP_TBUCKET_WAIT_H


#include "src/tbucket/ngx_http_tbucket.h"


/* Whether what a peek has refused would pass in the time that its limit has. */

ngx_uint_t ngx_http_tbucket_may_wait(ngx_http_tbucket_charge_t *charge);

/*
 * Takes from a bucket that has too little, into debt, if the limit has the
 * request wait for so long: verdict and result are those of that, and the
 * time is returned, ms.
 */

ngx_msec_t ngx_http_tbucket_take_debt(ngx_http_tbucket_charge_t *charge);

/* Counts an admission that has to wait for its tokens, if it is one. */

void ngx_http_tbucket_count_delay(ngx_http_tbucket_charge_t *charge);

/*
 * Has the phase of the request go on after ctx->hold ms.  Returns NGX_AGAIN or
 * a status.  If the client goes away before, all that the request has taken
 * is given back.
 */

ngx_int_t ngx_http_tbucket_hold(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);


#endif /* NGX_HTTP_TBUCKET_WAIT_H */
