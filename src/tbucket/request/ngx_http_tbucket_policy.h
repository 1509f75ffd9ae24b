
/*
 * What responses say of a limit, as far as that is the same for all of them.
 */


#ifndef NGX_HTTP_TBUCKET_POLICY_H
#define NGX_HTTP_TBUCKET_POLICY_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/tbucket/ngx_http_tbucket.h"


/* of a zone, 2 to the power of this */
#define NGX_HTTP_TBUCKET_POLICIES_BITS  8


struct ngx_http_tbucket_policy_s {
    tb_limits_t      limits;        /* see ngx_http_tbucket_policy() */
    uint64_t         rate;          /* of tb_spend_seconds(), in single units;
                                       0: time earns nothing */
    ngx_table_elt_t  headers[2];    /* RateLimit-Policy, and RateLimit that
                                       has no value yet */
};


/* Gives a zone room for its policies. */

ngx_int_t ngx_http_tbucket_init_policies(ngx_pool_t *pool,
    ngx_http_tbucket_zone_t *zone);

/*
 * The policy of these limits, good for as long as the request; NULL without
 * memory.  Of a quota the limits have a number of the window, in place of
 * which a policy has the window's length, since a month has its own.
 */

ngx_http_tbucket_policy_t *ngx_http_tbucket_policy(ngx_pool_t *pool,
    ngx_http_tbucket_zone_t *zone, tb_limits_t limits);


/* Where the policy is, if it has been made and others have not taken it. */

static ngx_inline ngx_http_tbucket_policy_t **
ngx_http_tbucket_policy_place(ngx_http_tbucket_zone_t *zone,
    tb_limits_t limits)
{
    return &zone->policies[(limits * UINT64_C(0x9e3779b97f4a7c15))
                           >> (64 - NGX_HTTP_TBUCKET_POLICIES_BITS)];
}


#endif /* NGX_HTTP_TBUCKET_POLICY_H */
