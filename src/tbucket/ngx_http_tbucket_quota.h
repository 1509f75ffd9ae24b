
/*
 * The default limits of a zone at a time.  Those of a quota depend on the
 * calendar's window; what is here of windows is where zone and time come
 * from, and the rest is in tb_window.h.
 */


#ifndef NGX_HTTP_TBUCKET_QUOTA_H
#define NGX_HTTP_TBUCKET_QUOTA_H


#include "src/tbucket/ngx_http_tbucket.h"


/*
 * "N/day" and the like, for a zone whose unit is known: sets the limits and
 * the period.  NGX_OK or NGX_DECLINED.
 */

ngx_int_t ngx_http_tbucket_quota_parse(ngx_http_tbucket_zone_t *zone,
    ngx_str_t *value);

/*
 * Reads the time zone of that name; an empty one is UTC.  NGX_OK, or NGX_ERROR
 * after a line in the log.
 */

ngx_int_t ngx_http_tbucket_quota_tz(ngx_conf_t *cf,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *name);

/* ngx_http_tbucket_limits() of a zone with a quota. */

tb_limits_t ngx_http_tbucket_quota_limits(ngx_http_tbucket_zone_t *zone,
    uint64_t *now);

/* The word of the window in force (tb_window.h); 0: the zone has no quota. */

uint64_t ngx_http_tbucket_quota_word(ngx_http_tbucket_zone_t *zone);

/* The window in force; not for threads, as the next function. */

void ngx_http_tbucket_quota_window(ngx_http_tbucket_zone_t *zone,
    tb_window_t *window);

/*
 * The same limits with the wall clock's time in place of the table's, to judge
 * what was saved (tb_tokens.h).
 */

tb_limits_t ngx_http_tbucket_saved_limits(ngx_http_tbucket_zone_t *zone,
    tb_limits_t limits);

/* The quota of these limits, in single units; 0: the zone has none. */

static ngx_inline uint32_t
ngx_http_tbucket_quota_of(ngx_http_tbucket_zone_t *zone, tb_limits_t limits)
{
    return zone->kind == NGX_HTTP_TBUCKET_QUOTA
           ? (uint32_t) (tb_limits_full(limits) / TB_TOKEN * zone->unit) : 0;
}


/* Milliseconds until a new window is in force, at least 1. */

uint64_t ngx_http_tbucket_quota_left(ngx_http_tbucket_zone_t *zone);


/*
 * ngx_http_tbucket_quota_limits() where this worker's clock is in a window that
 * is in force already, as nearly always; else 0.
 */

static ngx_inline tb_limits_t
ngx_http_tbucket_quota_present(ngx_http_tbucket_zone_t *zone)
{
    time_t   t;
    int64_t  begin;

    t = ngx_time();
    begin = atomic_load_explicit(&zone->quota.begin, memory_order_relaxed);

    return (t >= begin
            && t < atomic_load_explicit(&zone->quota.end,
                                        memory_order_relaxed))
           ? tb_window_present(&zone->shared->window, begin,
                               tb_limits_capacity(zone->limits),
                               ngx_current_msec)
           : 0;
}


/*
 * The limits in force now of clients without own ones, for all functions of
 * the zone's table; *now is set to the time to use with them.
 */

static ngx_inline tb_limits_t
ngx_http_tbucket_limits(ngx_http_tbucket_zone_t *zone, uint64_t *now)
{
    *now = ngx_current_msec;

    if (zone->kind == NGX_HTTP_TBUCKET_QUOTA) {
        return ngx_http_tbucket_quota_limits(zone, now);
    }

    return zone->limits;
}


#endif /* NGX_HTTP_TBUCKET_QUOTA_H */
