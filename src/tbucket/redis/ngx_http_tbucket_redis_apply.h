
/*
 * From what was read of Redis to shared memory.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_APPLY_H
#define NGX_HTTP_TBUCKET_REDIS_APPLY_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/*
 * The items of a view, those in order of their changes; NGX_DECLINED: the
 * view is too old to be judged.
 */

ngx_int_t ngx_http_tbucket_redis_apply(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view);

/*
 * Tells that a value of that key is malformed, once each, as long as there are
 * not too many of them.
 */

void ngx_http_tbucket_redis_malformed(ngx_http_tbucket_rzone_t *rz,
    ngx_str_t *key, redisReply *name, redisReply *value, const char *reason);

/*
 * Up to a page of registered clients after *after, which is moved on, of all
 * shards; *end is set when there are no more.  Bounded work: there may be none,
 * and no end.
 */

ngx_uint_t ngx_http_tbucket_redis_list(ngx_http_tbucket_rzone_t *rz,
    uint64_t *after, tb_registry_entry_t *entries, ngx_uint_t *end);


#endif /* NGX_HTTP_TBUCKET_REDIS_APPLY_H */
