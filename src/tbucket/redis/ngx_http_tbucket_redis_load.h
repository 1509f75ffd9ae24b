
/*
 * The Redis store in the master.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_LOAD_H
#define NGX_HTTP_TBUCKET_REDIS_LOAD_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


ngx_int_t ngx_http_tbucket_redis_load(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle);
void ngx_http_tbucket_redis_finish(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle);


#endif /* NGX_HTTP_TBUCKET_REDIS_LOAD_H */
