
/*
 * From a request to a decision.
 */


#ifndef NGX_HTTP_TBUCKET_DECIDE_H
#define NGX_HTTP_TBUCKET_DECIDE_H


#include "src/tbucket/ngx_http_tbucket.h"

#include "src/tbucket/request/ngx_http_tbucket_charge.h"


/*
 * Charges the request to the buckets of all limits, or to none of them, and
 * counts the outcome; dry_run says that refusals are only counted.  Returns
 * NGX_OK if all admit, NGX_BUSY if one refuses, NGX_ABORT if one would but only
 * counts, NGX_DECLINED if no limit applies, NGX_ERROR; on the first three
 * ctx->charge is that of the tightest bucket, ctx->others are those of the
 * other limits, and ctx->hold is for how long the request is to wait.
 * NGX_AGAIN: nothing was charged or counted, and the request is to wait for a
 * lease of the bucket of ctx->charge.
 */

ngx_gw_noinline ngx_int_t ngx_http_tbucket_decide(
    ngx_http_request_t *r, ngx_array_t *limits, ngx_flag_t dry_run,
    ngx_http_tbucket_ctx_t *ctx);

/* The same of one limit, for ctx->charge as it is before a take. */

ngx_gw_noinline ngx_int_t ngx_http_tbucket_decide_one(
    ngx_http_request_t *r, ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx);

/*
 * The same for limits that are checked after others: charges are those of all
 * of them, and a refusal gives back what the first ones had taken.  On
 * NGX_AGAIN it waits for a lease already.
 */

ngx_int_t ngx_http_tbucket_decide_late(ngx_http_request_t *r,
    ngx_array_t *limits, ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx);


/*
 * The same of the only limit, a plain one: inline is what most requests need,
 * and it ends where anything else is met.
 */

static ngx_gw_inline ngx_int_t
ngx_http_tbucket_decide_plain(ngx_http_request_t *r,
    ngx_http_tbucket_loc_conf_t *lcf, ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                   rc;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_charge_t  *c;

    c = &ctx->charge;
    zone = lcf->only->zone;

    rc = ngx_http_tbucket_charge_key(r, lcf->only, zone, c, NULL);

    if (rc != NGX_OK) {
        return rc;
    }

    c->cost = lcf->only->utok;
    c->verdict = tb_table_take_first(zone->shared->table, &c->hash,
                                     ngx_current_msec, zone->limits,
                                     lcf->only->utok, &c->result);

    if (c->verdict != TB_PASS) {
        return ngx_http_tbucket_decide_one(r, lcf->dry_run, ctx);
    }

    ngx_http_tbucket_count_passed(c, zone);

    return NGX_OK;
}


/*
 * A request that waits has learnt that its turn is too far away: it is refused,
 * and what it took goes back.
 */

void ngx_http_tbucket_decide_overdue(ngx_http_tbucket_ctx_t *ctx);


#endif /* NGX_HTTP_TBUCKET_DECIDE_H */
