
/*
 * What Redis refuses while it can be reached, and when it is asked again.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_TROUBLE_H
#define NGX_HTTP_TBUCKET_REDIS_TROUBLE_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/*
 * A command of that kind was refused, or its reply made no sense: what this
 * means and the reason are logged, each reason once until it is over, and
 * the worker is to let some time pass before it sends the next one.
 */

void ngx_http_tbucket_redis_refused(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind, const char *what, redisReply *reply);

/* The same with a reason that is no reply of Redis. */

void ngx_http_tbucket_redis_trouble(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind, const char *what, const char *reason);

/* A command of that kind was done. */

void ngx_http_tbucket_redis_fine(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind);

/* Lets some time pass before the next one of that kind, more each time. */

void ngx_http_tbucket_redis_pause(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind);

/* ms until a command of that kind may be sent; 0: now. */

ngx_msec_t ngx_http_tbucket_redis_rest(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind);

/* Whether Redis refuses something that a store has to do. */

ngx_uint_t ngx_http_tbucket_redis_is_troubled(ngx_http_tbucket_rzone_t *rz);

/* Of all shards of a zone, the first of which it is. */

ngx_uint_t ngx_http_tbucket_redis_any_troubled(
    ngx_http_tbucket_rzone_t *first);

/* Why, for people: in reason of NGX_GW_REDIS_REASON bytes. */

void ngx_http_tbucket_redis_told(ngx_http_tbucket_rzone_t *rz,
    redisReply *reply, char *reason);

/* Why a Redis without an epoch takes no writes yet; likewise. */

void ngx_http_tbucket_redis_empty(ngx_http_tbucket_rzone_t *rz,
    char *reason);


#endif /* NGX_HTTP_TBUCKET_REDIS_TROUBLE_H */
