
/*
 * What Redis says of itself: whether it may evict keys, and has.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_INFO_H
#define NGX_HTTP_TBUCKET_REDIS_INFO_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/* Asks a new connection whether Redis may evict what is ours, and warns. */

void ngx_http_tbucket_redis_inform(ngx_http_tbucket_redis_t *redis);

/*
 * Whether a view is not to be believed, as Redis seems to have lost most of
 * the clients.  It is found out whether it has evicted them, and then it is
 * given them back; else the next view is believed.
 */

ngx_uint_t ngx_http_tbucket_redis_gone(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view);


#endif /* NGX_HTTP_TBUCKET_REDIS_INFO_H */
