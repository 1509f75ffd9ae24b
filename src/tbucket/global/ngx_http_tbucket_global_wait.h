
/*
 * Requests of this worker that wait for a lease.
 */


#ifndef NGX_HTTP_TBUCKET_GLOBAL_WAIT_H
#define NGX_HTTP_TBUCKET_GLOBAL_WAIT_H


#include "src/tbucket/global/ngx_http_tbucket_global.h"


/* See ngx_http_tbucket_source_t. */

ngx_int_t ngx_http_tbucket_global_wait(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);

/* Whether the request has waited for long enough. */

ngx_uint_t ngx_http_tbucket_global_waited(ngx_http_tbucket_ctx_t *ctx);

/* Has all requests that wait for the bucket (any: UINT32_MAX) looked at. */

void ngx_http_tbucket_global_wake(ngx_http_tbucket_asking_t *a,
    uint32_t slot);

/* What requests of this worker want of it, all together, µtok. */

uint64_t ngx_http_tbucket_global_need(ngx_http_tbucket_asker_t *asker,
    uint64_t *unit);

ngx_http_tbucket_asker_t *ngx_http_tbucket_global_asker(
    ngx_http_tbucket_asking_t *a, uint32_t slot);


#endif /* NGX_HTTP_TBUCKET_GLOBAL_WAIT_H */
