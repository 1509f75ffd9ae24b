
/*
 * The figures of a charge that a client is told, in single units: limit, what
 * is left, times.  Not here: how headers and variables say it.
 */


#ifndef NGX_HTTP_TBUCKET_FIGURES_H
#define NGX_HTTP_TBUCKET_FIGURES_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/limit/tb_text.h"
#include "src/tbucket/ngx_http_tbucket_source.h"


/*
 * Seconds in which the client may use no more than what is left; on a refusal
 * those until it may come again; _NEVER if there is no such time.
 */

uint64_t ngx_http_tbucket_spend_time(ngx_http_tbucket_charge_t *charge,
    uint64_t left);

/*
 * Seconds until there is more, of a charge that was admitted, or until a
 * refused request would pass; or _NEVER.
 */

uint64_t ngx_http_tbucket_reset(ngx_http_tbucket_charge_t *charge,
    ngx_uint_t passed);

/* Whole seconds for a header, rounded up, at least 1; _NEVER as it is. */

uint64_t ngx_http_tbucket_seconds(uint64_t ms);


/* Whether the client is limited here; else there is nothing to tell. */

static ngx_inline ngx_uint_t
ngx_http_tbucket_is_told(ngx_http_tbucket_charge_t *c)
{
    return c->standing == NGX_HTTP_TBUCKET_LIMITED
           || c->standing == NGX_HTTP_TBUCKET_UNKNOWN;
}


/* Of these limits: tokens, requests a window, or requests in flight. */

static ngx_inline uint64_t
ngx_http_tbucket_limit(ngx_http_tbucket_zone_t *zone, tb_limits_t limits)
{
    return zone->kind == NGX_HTTP_TBUCKET_INFLIGHT
           ? tb_limits_rate(limits) : tb_unit_capacity(limits, zone->unit);
}


/* How much of that is left, in whole ones. */

static ngx_inline uint64_t
ngx_http_tbucket_remaining(ngx_http_tbucket_charge_t *c)
{
    return ngx_http_tbucket_left(c) * c->zone->unit / TB_TOKEN;
}


#endif /* NGX_HTTP_TBUCKET_FIGURES_H */
