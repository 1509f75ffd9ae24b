
/*
 * The stream of changes of a shard.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_SYNC_H
#define NGX_HTTP_TBUCKET_REDIS_SYNC_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/* Begins with it, once the connection is there. */

void ngx_http_tbucket_redis_follow(ngx_http_tbucket_rzone_t *rz);

/* Waits for entries, or looks whether there are any. */

void ngx_http_tbucket_redis_wait(ngx_http_tbucket_rzone_t *rz);

/* Ends it, until it is followed again. */

void ngx_http_tbucket_redis_unread(ngx_http_tbucket_rzone_t *rz);


#endif /* NGX_HTTP_TBUCKET_REDIS_SYNC_H */
