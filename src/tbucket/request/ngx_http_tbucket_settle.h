
/*
 * What a request is charged beside the decision: its true cost once that is
 * known, and the penalty of a refusal.
 */


#ifndef NGX_HTTP_TBUCKET_SETTLE_H
#define NGX_HTTP_TBUCKET_SETTLE_H


#include "src/tbucket/ngx_http_tbucket.h"


/*
 * A handler of the log phase, when all is known of a request: charges what
 * was taken too little for it and its subrequests, into debt, and gives back
 * what was taken too much.  Always NGX_OK.
 */

ngx_int_t ngx_http_tbucket_settle(ngx_http_request_t *r);

/* Gives back what the charge has taken. */

void ngx_http_tbucket_give(ngx_http_tbucket_charge_t *charge);

/* The same for all that the request has taken. */

void ngx_http_tbucket_give_all(ngx_http_tbucket_ctx_t *ctx);

/*
 * Charges the penalty of its limit for a refusal, into debt, and returns what
 * it came to, µtok.  What is left in charge->result is what the client has to
 * wait with.
 */

uint64_t ngx_http_tbucket_penalize(ngx_http_tbucket_charge_t *charge);


#endif /* NGX_HTTP_TBUCKET_SETTLE_H */
