
/*
 * What the client and the log get to see.
 */


#ifndef NGX_HTTP_TBUCKET_REPLY_H
#define NGX_HTTP_TBUCKET_REPLY_H


#include "src/tbucket/ngx_http_tbucket.h"


/* Adds the headers of limited requests to every response there is. */

void ngx_http_tbucket_init_header_filter(void);

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

/*
 * The RateLimit value up to the number of tokens that remain; an empty string
 * without memory.
 */

ngx_str_t ngx_http_tbucket_remaining_prefix(ngx_pool_t *pool,
    ngx_str_t *zone);


#endif /* NGX_HTTP_TBUCKET_REPLY_H */
