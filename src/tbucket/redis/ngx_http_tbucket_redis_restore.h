
/*
 * Token states back from Redis into buckets.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_RESTORE_H
#define NGX_HTTP_TBUCKET_REDIS_RESTORE_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/* Asks for a page of what the master could not read, Redis being away. */

void ngx_http_tbucket_redis_ask_states(ngx_http_tbucket_rzone_t *rz);

/*
 * States as HSCAN has them (a list of names and values), with the time that
 * has passed credited; a bucket never gets more than it holds.  hashes: those
 * of unregistered clients are of our secret.  Returns how many were used.
 */

ngx_uint_t ngx_http_tbucket_redis_restore(ngx_http_tbucket_rzone_t *rz,
    redisReply *list, ngx_uint_t hashes);


#endif /* NGX_HTTP_TBUCKET_REDIS_RESTORE_H */
