
/*
 * Calls to Redis about leases; see ngx_http_tbucket_source_t, of which all of
 * these are operations.
 */


#ifndef NGX_HTTP_TBUCKET_GLOBAL_CALL_H
#define NGX_HTTP_TBUCKET_GLOBAL_CALL_H


#include "src/tbucket/global/ngx_http_tbucket_global.h"


ngx_int_t ngx_http_tbucket_global_create(ngx_http_tbucket_rzone_t *rz,
    ngx_cycle_t *cycle);
void ngx_http_tbucket_global_stop(ngx_http_tbucket_rzone_t *rz);
void ngx_http_tbucket_global_joined(ngx_http_tbucket_rzone_t *rz);


#endif /* NGX_HTTP_TBUCKET_GLOBAL_CALL_H */
