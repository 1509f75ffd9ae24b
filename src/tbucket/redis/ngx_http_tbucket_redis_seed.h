
/*
 * A Redis without an epoch gets its clients back.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_SEED_H
#define NGX_HTTP_TBUCKET_REDIS_SEED_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/*
 * What Redis' epoch means: NGX_OK: memory is of the same; NGX_DECLINED: it
 * is adopted, and a full comparison is due; NGX_AGAIN: Redis has lost its
 * data and gets it from us, or from another node, first.
 */

ngx_int_t ngx_http_tbucket_redis_judge(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view);

/* Gives the stream's connection to seeding; rz->retry comes after it. */

void ngx_http_tbucket_redis_seed(ngx_http_tbucket_rzone_t *rz);

/* The last step, or the only one where there is nothing to seed. */

void ngx_http_tbucket_redis_seed_args(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args, ngx_str_t *key, const char *epoch);

/* A new epoch in buf of NGX_HTTP_TBUCKET_EPOCH_SIZE bytes. */

void ngx_http_tbucket_redis_new_epoch(char *buf, ngx_uint_t fresh);


#endif /* NGX_HTTP_TBUCKET_REDIS_SEED_H */
