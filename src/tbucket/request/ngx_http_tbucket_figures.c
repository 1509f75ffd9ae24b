
/*
 * The figures of a charge that a client is told.
 */


#include "src/tbucket/request/ngx_http_tbucket_figures.h"

#include "src/tbucket/ngx_http_tbucket_quota.h"


uint64_t
ngx_http_tbucket_window(ngx_http_tbucket_zone_t *zone, tb_limits_t limits)
{
    tb_window_t  window;

    if (zone->kind != NGX_HTTP_TBUCKET_QUOTA) {
        return tb_bucket_window(limits);
    }

    ngx_http_tbucket_quota_window(zone, &window);

    return window.end - window.begin;
}


uint64_t
ngx_http_tbucket_spend_time(ngx_http_tbucket_charge_t *c, uint64_t left)
{
    uint32_t  unit;

    if (c->verdict == TB_REFUSE) {
        return ngx_http_tbucket_seconds(c->wait);
    }

    unit = c->zone->unit;

    switch (c->zone->kind) {

    case NGX_HTTP_TBUCKET_QUOTA:
        return ngx_http_tbucket_seconds(ngx_http_tbucket_quota_left(c->zone));

    case NGX_HTTP_TBUCKET_INFLIGHT:
        return NGX_HTTP_TBUCKET_NEVER;

    default:
        if (unit == 1) {
            return tb_bucket_spend_time(c->result.limits, left);
        }

        return ngx_http_tbucket_seconds(tb_limits_time(c->result.limits,
                                                     left * TB_TOKEN / unit));
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
