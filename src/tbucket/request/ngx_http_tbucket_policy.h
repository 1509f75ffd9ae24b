
/*
 * RateLimit-Policy.
 */


#ifndef NGX_HTTP_TBUCKET_POLICY_H
#define NGX_HTTP_TBUCKET_POLICY_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/text/gw_digits.h"
#include "src/tbucket/ngx_http_tbucket.h"


/* digits of a number of single units */
#define NGX_HTTP_TBUCKET_TOKENS_LEN  (sizeof("1000000000") - 1)


/* The policy of the zone's own limits, in memory of the pool, or empty. */

ngx_str_t ngx_http_tbucket_policy(ngx_pool_t *pool,
    ngx_http_tbucket_zone_t *zone);

/* The policy of these limits as it has been printed, or NULL. */

const ngx_str_t *ngx_http_tbucket_find_policy(ngx_http_tbucket_zone_t *zone,
    tb_limits_t limits);

static ngx_inline const ngx_str_t *
ngx_http_tbucket_known_policy(ngx_http_tbucket_zone_t *zone,
    tb_limits_t limits)
{
    return (limits == zone->limits && zone->policy.len != 0)
           ? &zone->policy : ngx_http_tbucket_find_policy(zone, limits);
}


/* Room for a policy of the zone. */

static ngx_inline size_t
ngx_http_tbucket_policy_len(ngx_http_tbucket_zone_t *zone)
{
    return sizeof("\"\";q=;qu=\"concurrent-requests\"") - 1 + zone->name.len
           + NGX_HTTP_TBUCKET_TOKENS_LEN + GW_DIGITS_MAX;
}


/* Prints a policy; returns its end. */

u_char *ngx_http_tbucket_print_policy(u_char *p,
    ngx_http_tbucket_zone_t *zone, tb_limits_t limits);


#endif /* NGX_HTTP_TBUCKET_POLICY_H */
