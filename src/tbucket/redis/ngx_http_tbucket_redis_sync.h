
/*
 * The stream of changes, and comparisons of all clients.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_SYNC_H
#define NGX_HTTP_TBUCKET_REDIS_SYNC_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/* The stream's connection has come up. */

void ngx_http_tbucket_redis_follow(ngx_http_tbucket_rzone_t *rz);

/* Asks for the next pages, as far as they are due. */

void ngx_http_tbucket_redis_compare(ngx_http_tbucket_rzone_t *rz);


#endif /* NGX_HTTP_TBUCKET_REDIS_SYNC_H */
