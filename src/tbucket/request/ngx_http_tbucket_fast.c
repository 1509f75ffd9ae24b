
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


static ngx_gw_noinline int64_t ngx_http_tbucket_look(
    ngx_http_request_t *r, ngx_http_tbucket_limit_t *limit,
    ngx_http_tbucket_charge_t *charge, ngx_http_tbucket_charge_t *before);
static ngx_inline int64_t ngx_http_tbucket_see(
    ngx_http_tbucket_charge_t *charge, ngx_http_tbucket_zone_t *zone,
    uint64_t cost);
static ngx_inline ngx_uint_t ngx_http_tbucket_take_seen(
    ngx_http_tbucket_charge_t *charge);


ngx_int_t
ngx_http_tbucket_decide_fast(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_http_tbucket_ctx_t *ctx)
{
    int64_t                      least, left;
    ngx_uint_t                   i, n, tightest;
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

    least = INT64_MAX;
    tightest = 0;

    for (i = 0; i < n; i++) {
        left = ngx_http_tbucket_look(r, limit[i], &charges[i],
                                     i ? &charges[i - 1] : NULL);
        if (left < 0) {
            return NGX_DECLINED;
        }

        if (left < least) {
            least = left;
            tightest = i;
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
        ngx_http_tbucket_put_charges(ctx, charges, n, tightest);
    }

    return NGX_OK;
}


/*
 * If the charge may be taken as it is seen, how many further requests like this
 * that leaves, else -1.  before: the one before it, or NULL, whose key may be
 * the same.
 */

static int64_t
ngx_http_tbucket_look(ngx_http_request_t *r, ngx_http_tbucket_limit_t *limit,
    ngx_http_tbucket_charge_t *c, ngx_http_tbucket_charge_t *before)
{
    int64_t                   left;
    ngx_http_tbucket_zone_t  *zone;

    zone = limit->zone;

    if (!limit->constant
        || ngx_http_tbucket_charge_key(r, limit, zone, c, before) != NGX_OK
        || c->standing != NGX_HTTP_TBUCKET_LIMITED)
    {
        return -1;
    }

    left = ngx_http_tbucket_see(c, zone, limit->utok);

    if (left < 0) {
        return -1;
    }

    if (!(c->result.limits & TB_LIMITS_REGISTERED)) {

        if (zone->known) {
            return -1;
        }

    } else if (tb_limits_are_blocked(c->result.limits)
               || tb_limits_are_unlimited(c->result.limits))
    {
        return -1;
    }

    c->cost = limit->utok;
    c->verdict = TB_PASS;
    c->wait = 0;

    return left / (int64_t) limit->utok;
}


static ngx_inline int64_t
ngx_http_tbucket_see(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_zone_t *zone, uint64_t cost)
{
    uint64_t      now;
    tb_table_t   *table;
    tb_limits_t   dflt;

    now = ngx_current_msec;
    table = zone->shared->table;

    switch (zone->kind) {

    case NGX_HTTP_TBUCKET_RATE:
        return tb_table_look(table, &c->hash, now, zone->limits, 0, cost,
                             &c->result);

    case NGX_HTTP_TBUCKET_INFLIGHT:
        return tb_table_look(table, &c->hash, now, zone->limits,
                             TB_LIMITS_PLACES, cost, &c->result);

    default:
        dflt = ngx_http_tbucket_quota_present(zone);

        return dflt != 0
               ? tb_table_look(table, &c->hash, now, dflt, TB_LIMITS_WINDOW,
                               cost, &c->result)
               : -1;
    }
}


static ngx_inline ngx_uint_t
ngx_http_tbucket_take_seen(ngx_http_tbucket_charge_t *c)
{
    return c->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT
           ? ngx_http_tbucket_inflight_take_seen(c)
           : tb_result_take(&c->result, ngx_current_msec);
}
