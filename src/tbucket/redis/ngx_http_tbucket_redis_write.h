
/*
 * Writes of the API, in Redis.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_WRITE_H
#define NGX_HTTP_TBUCKET_REDIS_WRITE_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


void ngx_http_tbucket_redis_persist(ngx_http_tbucket_store_t *store,
    ngx_http_tbucket_write_t *write);
ngx_uint_t ngx_http_tbucket_redis_is_latest(ngx_http_tbucket_write_t *write,
    const ngx_str_t *id, const tb_hash_t *h);

/* Sees to the writes that wait for a connection, whatever came of it. */

void ngx_http_tbucket_redis_pending(ngx_http_tbucket_redis_t *redis);


#endif /* NGX_HTTP_TBUCKET_REDIS_WRITE_H */
