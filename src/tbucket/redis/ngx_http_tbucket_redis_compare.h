
/*
 * Full comparisons of a zone and Redis.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_COMPARE_H
#define NGX_HTTP_TBUCKET_REDIS_COMPARE_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/* Asks for the next pages, as far as they are due. */

void ngx_http_tbucket_redis_compare(ngx_http_tbucket_rzone_t *rz);

/* A shard was looked at: the zone agrees with Redis if all shards do. */

void ngx_http_tbucket_redis_in_line(ngx_http_tbucket_rzone_t *rz);


#endif /* NGX_HTTP_TBUCKET_REDIS_COMPARE_H */
