
/*
 * Whether Redis has a zone in as many shards as we do.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_SHARDS_H
#define NGX_HTTP_TBUCKET_REDIS_SHARDS_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/* Looks, if it is time to; of the leader. */

void ngx_http_tbucket_redis_agree(ngx_http_tbucket_rzone_t *first);

/*
 * Takes what Redis has; NULL: nothing.  The zone is used, or is not any more,
 * which is told; 0: what there is has to be looked at, *found shards.
 */

ngx_uint_t ngx_http_tbucket_redis_judge_shards(
    ngx_http_tbucket_rzone_t *first, redisReply *reply, ngx_uint_t *found);

/* Why a zone is not used, in reason of NGX_GW_REDIS_REASON bytes; or 0. */

ngx_uint_t ngx_http_tbucket_redis_disagrees(ngx_http_tbucket_rzone_t *rz,
    char *reason);


#endif /* NGX_HTTP_TBUCKET_REDIS_SHARDS_H */
