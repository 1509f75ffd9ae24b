
/*
 * Limits that all admit: each bucket is read once, and taken from by a
 * compare-and-swap on what was read, so there is no second look at it.
 */


#include "src/tbucket/request/ngx_http_tbucket_fast.h"

#include "src/tbucket/ngx_http_tbucket_inflight.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/request/ngx_http_tbucket_charge.h"
#include "src/tbucket/request/ngx_http_tbucket_settle.h"
#include "src/tbucket/request/ngx_http_tbucket_several.h"


static ngx_inline ngx_uint_t ngx_http_tbucket_least(
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n);
static ngx_gw_noinline ngx_uint_t ngx_http_tbucket_look(
    ngx_http_request_t *r, ngx_http_tbucket_limit_t *limit,
    ngx_http_tbucket_charge_t *charge, ngx_http_tbucket_charge_t *before);
static ngx_inline ngx_uint_t ngx_http_tbucket_see(
    ngx_http_tbucket_charge_t *charge, ngx_http_tbucket_zone_t *zone);
static ngx_gw_noinline ngx_uint_t ngx_http_tbucket_see_quota(
    ngx_http_tbucket_charge_t *charge, ngx_http_tbucket_zone_t *zone);
static ngx_inline ngx_uint_t ngx_http_tbucket_take_seen(
    ngx_http_tbucket_charge_t *charge);


ngx_int_t
ngx_http_tbucket_decide_fast(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_uint_t                   i, n;
    ngx_http_tbucket_limit_t   **limit;
    ngx_http_tbucket_charge_t   *charges;

    n = limits->nelts;
    limit = limits->elts;
    charges = &ctx->charge;

    if (n > 1) {
        charges = ngx_palloc(r->pool, n * sizeof(ngx_http_tbucket_charge_t));
        if (charges == NULL) {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < n; i++) {
        if (!ngx_http_tbucket_look(r, limit[i], &charges[i],
                                   i ? &charges[i - 1] : NULL))
        {
            return NGX_DECLINED;
        }
    }

    for (i = 0; i < n; i++) {
        if (!ngx_http_tbucket_take_seen(&charges[i])) {

            while (i-- > 0) {
                ngx_http_tbucket_give(&charges[i]);
            }

            return NGX_DECLINED;
        }
    }

    for (i = 0; i < n; i++) {
        ngx_http_tbucket_count_passed(&charges[i], charges[i].zone);
    }

    ctx->hold = 0;
    ctx->untaken = 0;
    ctx->places = 1;

    if (n > 1) {
        ngx_http_tbucket_put_charges(ctx, charges, n,
                                     ngx_http_tbucket_least(charges, n));
    }

    return NGX_OK;
}


/* The charge that leaves the fewest requests like this. */

static ngx_inline ngx_uint_t
ngx_http_tbucket_least(ngx_http_tbucket_charge_t *charges, ngx_uint_t n)
{
    uint64_t    least, more;
    ngx_uint_t  i, tightest;

    least = UINT64_MAX;
    tightest = 0;

    for (i = 0; i < n; i++) {
        more = ngx_http_tbucket_more(&charges[i]);

        if (more < least) {
            least = more;
            tightest = i;
        }
    }

    return tightest;
}


/*
 * Whether the charge may be taken as it is seen.  before: the one before it, or
 * NULL, whose key may be the same.
 */

static ngx_uint_t
ngx_http_tbucket_look(ngx_http_request_t *r, ngx_http_tbucket_limit_t *limit,
    ngx_http_tbucket_charge_t *c, ngx_http_tbucket_charge_t *before)
{
    ngx_http_tbucket_zone_t  *zone;

    zone = limit->zone;

    if (!limit->constant
        || ngx_http_tbucket_charge_key(r, limit, zone, c, before) != NGX_OK
        || !ngx_http_tbucket_see(c, zone))
    {
        return 0;
    }

    if (!(c->result.limits & TB_LIMITS_REGISTERED)) {

        if (zone->known) {
            return 0;
        }

    } else if (tb_limits_are_blocked(c->result.limits)
               || tb_limits_are_unlimited(c->result.limits))
    {
        return 0;
    }

    c->cost = limit->utok;
    c->verdict = TB_PASS;
    c->wait = 0;

    return 1;
}


static ngx_inline ngx_uint_t
ngx_http_tbucket_see(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_zone_t *zone)
{
    tb_table_t  *table;

    table = zone->shared->table;

    switch (zone->kind) {

    case NGX_HTTP_TBUCKET_RATE:
        return tb_table_look(table, &c->hash, ngx_current_msec, zone->limits,
                             0, c->limit->utok, &c->result);

    case NGX_HTTP_TBUCKET_INFLIGHT:
        return tb_table_look(table, &c->hash, ngx_current_msec, zone->limits,
                             TB_LIMITS_PLACES, c->limit->utok, &c->result);

    default:
        return ngx_http_tbucket_see_quota(c, zone);
    }
}


static ngx_uint_t
ngx_http_tbucket_see_quota(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_zone_t *zone)
{
    uint64_t     now;
    tb_limits_t  dflt;

    now = ngx_current_msec;
    dflt = ngx_http_tbucket_quota_limits(zone, &now);

    /* the first moments of a window have a time of their own */

    return now == ngx_current_msec
           && tb_table_look(zone->shared->table, &c->hash, now, dflt,
                            TB_LIMITS_WINDOW, c->limit->utok, &c->result);
}


static ngx_inline ngx_uint_t
ngx_http_tbucket_take_seen(ngx_http_tbucket_charge_t *c)
{
    return c->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT
           ? ngx_http_tbucket_inflight_take_seen(c)
           : tb_result_take(&c->result, ngx_current_msec);
}
