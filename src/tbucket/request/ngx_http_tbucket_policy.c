
/*
 * What responses say of a limit, as far as that is the same for all of them.
 * Limits are few, so each worker has what it has made for those that it met.
 */


#include "src/tbucket/request/ngx_http_tbucket_policy.h"

#include "src/common/ngx_gw_compat.h"
#include "src/core/text/gw_digits.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/request/ngx_http_tbucket_figures.h"


static ngx_http_tbucket_policy_t *ngx_http_tbucket_create_policy(
    ngx_pool_t *pool, ngx_http_tbucket_zone_t *zone, tb_limits_t limits);
static u_char *ngx_http_tbucket_print_policy(u_char *p,
    ngx_http_tbucket_zone_t *zone, tb_limits_t limits);
static void ngx_http_tbucket_name_header(ngx_table_elt_t *h, u_char *name,
    u_char *lowcase, size_t len);


ngx_int_t
ngx_http_tbucket_init_policies(ngx_pool_t *pool,
    ngx_http_tbucket_zone_t *zone)
{
    zone->policies = ngx_pcalloc(pool, sizeof(ngx_http_tbucket_policy_t *)
                                       << NGX_HTTP_TBUCKET_POLICIES_BITS);

    return zone->policies == NULL ? NGX_ERROR : NGX_OK;
}


ngx_http_tbucket_policy_t *
ngx_http_tbucket_policy(ngx_pool_t *pool, ngx_http_tbucket_zone_t *zone,
    tb_limits_t limits)
{
    tb_window_t                  window;
    ngx_http_tbucket_policy_t  **place;

    if (zone->kind == NGX_HTTP_TBUCKET_QUOTA) {
        ngx_http_tbucket_quota_window(zone, &window);

        limits = tb_limits(tb_limits_capacity(limits),
                           window.end - window.begin, TB_LIMITS_WINDOW);
    }

    place = ngx_http_tbucket_policy_place(zone, limits);

    if (*place == NULL) {
        *place = ngx_http_tbucket_create_policy(ngx_cycle->pool, zone, limits);
        return *place;
    }

    return (*place)->limits == limits
           ? *place : ngx_http_tbucket_create_policy(pool, zone, limits);
}


/*
 * What is made stays as it is: headers that point to it are read until their
 * request is logged.  Limits for which there is no place have a policy made
 * for each response.
 */

static ngx_http_tbucket_policy_t *
ngx_http_tbucket_create_policy(ngx_pool_t *pool,
    ngx_http_tbucket_zone_t *zone, tb_limits_t limits)
{
    u_char                     *p;
    ngx_table_elt_t            *h;
    ngx_http_tbucket_policy_t  *policy;

    policy = ngx_palloc(pool, sizeof(ngx_http_tbucket_policy_t)
                              + sizeof("\"\";q=;qu=\"concurrent-requests\"")
                              + zone->name.len + 2 * GW_DIGITS_MAX);
    if (policy == NULL) {
        return NULL;
    }

    policy->limits = limits;
    policy->rate = (limits & (TB_LIMITS_WINDOW | TB_LIMITS_PLACES))
                   ? 0 : tb_unit_rate(limits, zone->unit);

    h = policy->headers;
    p = (u_char *) (policy + 1);

    ngx_http_tbucket_name_header(&h[0], (u_char *) "RateLimit-Policy",
                                 (u_char *) "ratelimit-policy",
                                 sizeof("RateLimit-Policy") - 1);
    h[0].value.data = p;
    h[0].value.len = ngx_http_tbucket_print_policy(p, zone, limits) - p;

    ngx_http_tbucket_name_header(&h[1], (u_char *) "RateLimit",
                                 (u_char *) "ratelimit",
                                 sizeof("RateLimit") - 1);
    ngx_str_null(&h[1].value);

    return policy;
}


static u_char *
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

    return gw_digits(p, zone->kind == NGX_HTTP_TBUCKET_QUOTA
                        ? tb_limits_rate(limits) : tb_bucket_window(limits));
}


static void
ngx_http_tbucket_name_header(ngx_table_elt_t *h, u_char *name,
    u_char *lowcase, size_t len)
{
    ngx_gw_header_init(h);

    h->key.data = name;
    h->key.len = len;
    h->lowcase_key = lowcase;
}
