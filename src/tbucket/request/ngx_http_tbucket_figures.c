
/*
 * The figures of a charge that a client is told.
 */


#include "src/tbucket/request/ngx_http_tbucket_figures.h"

#include "src/tbucket/ngx_http_tbucket_quota.h"


uint64_t
ngx_http_tbucket_spend_time(ngx_http_tbucket_charge_t *c, uint64_t left)
{
    uint64_t                  rate;
    ngx_http_tbucket_zone_t  *zone;

    if (c->verdict == TB_REFUSE) {
        return ngx_http_tbucket_seconds(c->wait);
    }

    zone = c->zone;

    switch (zone->kind) {

    case NGX_HTTP_TBUCKET_QUOTA:
        return ngx_http_tbucket_seconds(ngx_http_tbucket_quota_left(zone));

    case NGX_HTTP_TBUCKET_INFLIGHT:
        return NGX_HTTP_TBUCKET_NEVER;

    default:
        rate = tb_unit_rate(c->result.limits, zone->unit);

        return rate != 0 ? tb_spend_seconds(left, rate)
                         : NGX_HTTP_TBUCKET_NEVER;
    }
}


uint64_t
ngx_http_tbucket_reset(ngx_http_tbucket_charge_t *c, ngx_uint_t passed)
{
    uint64_t     left, more, ms;
    tb_limits_t  limits;

    if (!passed) {
        return ngx_http_tbucket_seconds(c->wait);
    }

    limits = c->result.limits;
    left = ngx_http_tbucket_left(c);

    if (c->zone->kind == NGX_HTTP_TBUCKET_QUOTA) {
        return ngx_http_tbucket_seconds(ngx_http_tbucket_quota_left(c->zone));
    }

    if (c->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        return left ? 0 : NGX_HTTP_TBUCKET_INFLIGHT_WAIT / 1000;
    }

    if (tb_limits_is_full(limits, left)) {
        return 0;
    }

    if (tb_unit_rate(limits, c->zone->unit) >= TB_STEPS_A_SECOND) {

        /* one more comes within a second, as with most limits */

        return 1;
    }

    if (c->zone->unit == 1) {
        ms = tb_bucket_next(limits, left);

    } else {
        more = TB_TOKEN / c->zone->unit;
        ms = tb_limits_time(limits, more - left % more);
    }

    return ms ? ngx_http_tbucket_seconds(ms) : 0;
}


uint64_t
ngx_http_tbucket_seconds(uint64_t ms)
{
    if (ms == NGX_HTTP_TBUCKET_NEVER) {
        return ms;
    }

    return ms > 1000 ? ms / 1000 + (ms % 1000 != 0) : 1;
}
