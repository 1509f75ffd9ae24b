
/*
 * A node's first and last calls.
 */


#ifndef NGX_HTTP_TBUCKET_GLOBAL_JOIN_H
#define NGX_HTTP_TBUCKET_GLOBAL_JOIN_H


#include "src/tbucket/global/ngx_http_tbucket_global.h"


/* Goes on with becoming known; the worker is the leader and connected. */

void ngx_http_tbucket_global_join(ngx_http_tbucket_asking_t *a);

/* See ngx_http_tbucket_source_t. */

ngx_int_t ngx_http_tbucket_global_finish(ngx_gw_redis_sync_t *sync,
    ngx_http_tbucket_rzone_t *rz);


#endif /* NGX_HTTP_TBUCKET_GLOBAL_JOIN_H */
