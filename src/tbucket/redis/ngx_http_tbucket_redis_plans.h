
/*
 * Plans in Redis: read all at once, into shared memory.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_PLANS_H
#define NGX_HTTP_TBUCKET_REDIS_PLANS_H


#include "src/tbucket/redis/ngx_http_tbucket_redis.h"


/* Asks for all plans, unless that is under way. */

void ngx_http_tbucket_redis_plans(ngx_http_tbucket_rzone_t *rz);

/* The command for it, and what is done with the reply: as for clients. */

void ngx_http_tbucket_redis_plans_args(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args);
ngx_int_t ngx_http_tbucket_redis_plans_apply(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view);

/*
 * Up to a page of the plans with numbers above *plan, which is moved on, or
 * becomes TB_PLAN_NONE at the end: names and values of the scratch, with NULs.
 * Returns how many.
 */

ngx_uint_t ngx_http_tbucket_redis_plans_list(ngx_http_tbucket_rzone_t *rz,
    uint32_t *plan);


#endif /* NGX_HTTP_TBUCKET_REDIS_PLANS_H */
