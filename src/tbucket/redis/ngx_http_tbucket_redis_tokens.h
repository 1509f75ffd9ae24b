
/*
 * The states of buckets that are not full, into Redis.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_TOKENS_H
#define NGX_HTTP_TBUCKET_REDIS_TOKENS_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/* Saves what is due, shows that the node is alive. */

void ngx_http_tbucket_redis_save(ngx_http_tbucket_rzone_t *rz);

/*
 * Arguments to stage the next buckets, up to a page of them; how many there
 * are.
 */

ngx_uint_t ngx_http_tbucket_redis_stage_args(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args);

/* The arguments of SAVE: mode is "beat", "save" or "leave". */

void ngx_http_tbucket_redis_save_args(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args, const char *mode);

/* Begins, and goes on with, what all shards save next, if that is due. */

void ngx_http_tbucket_redis_gather_states(ngx_http_tbucket_rzone_t *first);

/* Gathers for all shards until then (us); whether that was all. */

ngx_uint_t ngx_http_tbucket_redis_gather(ngx_http_tbucket_rzone_t *first,
    uint64_t until);
ngx_int_t ngx_http_tbucket_redis_gather_begin(
    ngx_http_tbucket_rzone_t *first);

/* Nothing is saved any more: frees what gathering took. */

void ngx_http_tbucket_redis_save_done(ngx_http_tbucket_rzone_t *rz);


#endif /* NGX_HTTP_TBUCKET_REDIS_TOKENS_H */
