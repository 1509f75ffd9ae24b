
/*
 * One limit of a request: whose bucket it is charged to and what it costs, and
 * the taking from it.  What most requests need is inline.
 */


#ifndef NGX_HTTP_TBUCKET_CHARGE_H
#define NGX_HTTP_TBUCKET_CHARGE_H


#include "src/tbucket/ngx_http_tbucket.h"

#include "src/core/limit/tb_take.h"
#include "src/tbucket/ngx_http_tbucket_top.h"
#include "src/tbucket/request/ngx_http_tbucket_key.h"
#include "src/tbucket/request/ngx_http_tbucket_plan.h"


/*
 * Only the key of a registered client stands for itself; rc: what came of
 * reading it.  Returns the same of the key that the charge goes to.
 */

ngx_gw_noinline ngx_int_t ngx_http_tbucket_fall_back(
    ngx_http_request_t *r, ngx_http_tbucket_charge_t *charge, ngx_int_t rc);

/* Counts what has been decided. */

void ngx_http_tbucket_count(ngx_http_tbucket_charge_t *charge,
    ngx_flag_t dry_run);

/* Fills in whose bucket it is and the cost; NGX_DECLINED: nobody's. */

ngx_int_t ngx_http_tbucket_charge(ngx_http_request_t *r,
    ngx_http_tbucket_limit_t *limit, ngx_http_tbucket_charge_t *charge);

/* What taking from the bucket would come to; NGX_OK or NGX_AGAIN. */

ngx_int_t ngx_http_tbucket_peek(ngx_http_tbucket_charge_t *charge,
    ngx_http_tbucket_ctx_t *ctx);

/*
 * Takes from the bucket, of any kind of limit, with debt where the request may
 * wait.
 * NGX_OK, NGX_BUSY, NGX_AGAIN (only with a ctx) or NGX_ERROR.
 */

ngx_int_t ngx_http_tbucket_take_one(ngx_http_tbucket_charge_t *charge,
    ngx_http_tbucket_ctx_t *ctx);

/*
 * Whether the limits of the result are those that stand for being blocked or
 * not limited at all; then what was taken is given back.
 */

ngx_gw_noinline ngx_uint_t ngx_http_tbucket_stand(
    ngx_http_tbucket_charge_t *charge, ngx_uint_t taken);

/*
 * When the request would pass, as its penalty leaves it; its cost becomes what
 * it has been charged.  Counts the refusal.
 */

void ngx_http_tbucket_refusal(ngx_http_tbucket_charge_t *charge,
    ngx_flag_t dry_run);


/*
 * Fills in whose bucket it is; NGX_DECLINED: nobody's.  before: another charge
 * of the request, or NULL: what has been read for that is not read again.
 */

static ngx_gw_inline ngx_int_t
ngx_http_tbucket_charge_key(ngx_http_request_t *r,
    ngx_http_tbucket_limit_t *limit, ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_charge_t *charge, ngx_http_tbucket_charge_t *before)
{
    ngx_int_t  rc;

    charge->limit = limit;
    charge->zone = zone;
    charge->standing = NGX_HTTP_TBUCKET_LIMITED;

    if (before != NULL && before->zone->key.number == zone->key.number
        && !before->zone->has_fallback)
    {
        charge->client = before->client;
        rc = NGX_OK;

    } else {
        rc = ngx_http_tbucket_key_value(r, &zone->key, &charge->client);
    }

    if (rc == NGX_OK) {
        charge->hash = tb_hash(charge->client.data, charge->client.len,
                               zone->shared->secret);
    }

    if (zone->has_fallback && rc != NGX_ERROR) {
        rc = ngx_http_tbucket_fall_back(r, charge, rc);
    }

    return rc;
}


static ngx_gw_inline void
ngx_http_tbucket_count_passed(ngx_http_tbucket_charge_t *charge,
    ngx_http_tbucket_zone_t *zone)
{
    atomic_fetch_add_explicit(&zone->counters->passed, 1,
                              memory_order_relaxed);

    ngx_http_tbucket_top_see_passed(charge);
}


#endif /* NGX_HTTP_TBUCKET_CHARGE_H */
