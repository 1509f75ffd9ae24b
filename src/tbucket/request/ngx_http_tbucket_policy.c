
/*
 * What RateLimit-Policy says of a limit.  Limits are few, so each worker has
 * the text of those that it has met.
 */


#include "src/tbucket/request/ngx_http_tbucket_policy.h"

#include "src/tbucket/request/ngx_http_tbucket_figures.h"


/* a power of two */
#define NGX_HTTP_TBUCKET_POLICIES  32


struct ngx_http_tbucket_policy_s {
    tb_limits_t  limits;
    ngx_str_t    text;          /* empty: none yet */
};


ngx_str_t
ngx_http_tbucket_policy(ngx_pool_t *pool, ngx_http_tbucket_zone_t *zone)
{
    ngx_str_t  policy;

    policy.data = ngx_pnalloc(pool, ngx_http_tbucket_policy_len(zone));

    policy.len = policy.data == NULL
                 ? 0
                 : ngx_http_tbucket_print_policy(policy.data, zone,
                                                 zone->limits)
                   - policy.data;

    return policy;
}


/*
 * What is printed stays as it is: headers that point to it are read until
 * their request is logged.  Limits for which there is no place are printed
 * each time.
 */

const ngx_str_t *
ngx_http_tbucket_find_policy(ngx_http_tbucket_zone_t *zone,
    tb_limits_t limits)
{
    u_char                     *p;
    ngx_pool_t                 *pool;
    ngx_http_tbucket_policy_t  *policy;

    if (zone->kind == NGX_HTTP_TBUCKET_QUOTA) {

        /* a month has its own length */

        return NULL;
    }

    pool = ngx_cycle->pool;

    if (zone->policies == NULL) {
        zone->policies = ngx_pcalloc(pool, NGX_HTTP_TBUCKET_POLICIES
                                           * sizeof(*policy));
        if (zone->policies == NULL) {
            return NULL;
        }
    }

    policy = &zone->policies[(limits * UINT64_C(0x9e3779b97f4a7c15) >> 32)
                             % NGX_HTTP_TBUCKET_POLICIES];

    if (policy->text.len != 0) {
        return policy->limits == limits ? &policy->text : NULL;
    }

    p = ngx_pnalloc(pool, ngx_http_tbucket_policy_len(zone));
    if (p == NULL) {
        return NULL;
    }

    policy->limits = limits;
    policy->text.data = p;
    policy->text.len = ngx_http_tbucket_print_policy(p, zone, limits) - p;

    return &policy->text;
}


u_char *
ngx_http_tbucket_print_policy(u_char *p, ngx_http_tbucket_zone_t *zone,
    tb_limits_t limits)
{
    *p++ = '"';
    p = ngx_cpymem(p, zone->name.data, zone->name.len);
    p = ngx_cpymem(p, "\";q=", sizeof("\";q=") - 1);
    p = gw_digits(p, ngx_http_tbucket_limit(zone, limits));

    if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        return ngx_cpymem(p, ";qu=\"concurrent-requests\"",
                          sizeof(";qu=\"concurrent-requests\"") - 1);
    }

    p = ngx_cpymem(p, ";w=", sizeof(";w=") - 1);

    return gw_digits(p, ngx_http_tbucket_window(zone, limits));
}
