
/*
 * What the client and the log get to see of a refusal.
 */


#ifndef NGX_HTTP_TBUCKET_REPLY_H
#define NGX_HTTP_TBUCKET_REPLY_H


#include "src/tbucket/ngx_http_tbucket.h"


/* Logs the refusal at the level, with the client as a hash. */

void ngx_http_tbucket_log_refusal(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t level);

/*
 * Ends the request with the status: through error_page if one is set for
 * it, else with a body of that form (_BODY_*), or with the status of gRPC if
 * that is what the client speaks.  The request must not be used afterwards.
 */

void ngx_http_tbucket_refuse(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t status, ngx_uint_t form);


#endif /* NGX_HTTP_TBUCKET_REPLY_H */
