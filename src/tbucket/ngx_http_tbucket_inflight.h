
/*
 * Requests in flight: the ledger of a zone over its life, and the places that
 * requests take in it and give back (tb_ledger.h).
 */


#ifndef NGX_HTTP_TBUCKET_INFLIGHT_H
#define NGX_HTTP_TBUCKET_INFLIGHT_H


#include "src/tbucket/ngx_http_tbucket.h"


/* Makes the ledger of a new zone, of so many bytes.  NGX_OK or NGX_ERROR. */

ngx_int_t ngx_http_tbucket_inflight_create(ngx_http_tbucket_zone_t *zone,
    size_t size);

/* Makes this worker one whose requests are counted.  NGX_OK or NGX_ERROR. */

ngx_int_t ngx_http_tbucket_inflight_join(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf);

/* For a worker that is leaving: other ones count what old workers have. */

void ngx_http_tbucket_inflight_hand_over(ngx_http_tbucket_main_conf_t *mcf);

/* For a worker that exits. */

void ngx_http_tbucket_inflight_leave(ngx_http_tbucket_main_conf_t *mcf);

/*
 * The ticker's part: gives back what processes held that are dead, or as much
 * as can be done until then (us).  For the leader.
 */

void ngx_http_tbucket_inflight_settle(ngx_http_tbucket_zone_t *zone,
    uint64_t until);

/*
 * The same for requests of old workers that go on with the zone as it was
 * before a reload changed its size.  For every worker.
 */

void ngx_http_tbucket_inflight_follow(ngx_http_tbucket_zone_t *zone,
    uint64_t until);

/*
 * The decision on a charge: sets its verdict, result and entry.  Who has taken
 * a place sets ctx->places, or gives it back.  NGX_OK or NGX_AGAIN: see
 * ngx_http_tbucket_source_t.
 */

ngx_int_t ngx_http_tbucket_inflight_take(ngx_http_tbucket_charge_t *charge,
    ngx_http_tbucket_ctx_t *ctx);

/*
 * The same of a charge for which tb_table_look() has found the place free.
 * Returns 0 if it has not got it after all.
 */

ngx_uint_t ngx_http_tbucket_inflight_take_seen(
    ngx_http_tbucket_charge_t *charge);

/*
 * What a source decides by: takes one of the places that are leased, or one
 * that clients without a bucket share, of which the limits are part.  Sets the
 * verdict, which may be TB_ABSENT, and the result.
 */

void ngx_http_tbucket_inflight_leased(ngx_http_tbucket_charge_t *charge,
    tb_limits_t part);
void ngx_http_tbucket_inflight_share(ngx_http_tbucket_charge_t *charge,
    tb_limits_t part);

/* Gives the place of a charge back, if it has one. */

void ngx_http_tbucket_inflight_return(ngx_http_tbucket_charge_t *charge);


#endif /* NGX_HTTP_TBUCKET_INFLIGHT_H */
