
/*
 * Keys for which there is neither room nor anybody to displace, since all
 * in reach are registered: they share a bucket of this node, with the node's
 * share of the limit, which needs no lease.  It begins empty, so that no
 * node that comes brings tokens along.
 */


#include "src/core/limit/tb_table_overflow.h"
#include "src/tbucket/global/ngx_http_tbucket_global.h"


static ngx_inline tb_limits_t ngx_http_tbucket_global_part(
    ngx_http_tbucket_zone_t *zone, uint64_t share);


void
ngx_http_tbucket_global_overflow(ngx_http_tbucket_charge_t *c,
    ngx_uint_t take)
{
    uint64_t                  now, share;
    tb_limits_t               limits;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;
    now = ngx_current_msec;

    /* a larger share counts when the time before has been credited */

    share = ngx_min(atomic_load(&zone->shared->global->credited),
                    ngx_http_tbucket_global_share(zone));

    limits = ngx_http_tbucket_global_part(zone, share);

    c->result.slot = tb_table_slot(zone->shared->table, 0);

    if (tb_limits_capacity(limits) == 0 || tb_limits_rate(limits) == 0) {
        c->verdict = TB_REFUSE;
        c->result.word = tb_word(0, now);
        c->result.limits = zone->limits;
        c->result.left = 0;
        return;
    }

    c->verdict = tb_table_take_overflow(zone->shared->table, now, limits,
                                        c->cost, &c->result, take != 0);
}


void
ngx_http_tbucket_global_tick(ngx_http_tbucket_zone_t *zone)
{
    uint64_t                    credited, share;
    tb_limits_t                 limits;
    ngx_http_tbucket_global_t  *g;

    g = zone->shared->global;

    share = ngx_http_tbucket_global_share(zone);
    credited = atomic_load(&g->credited);

    limits = ngx_http_tbucket_global_part(zone, ngx_min(share, credited));

    /* no share for now: what it holds stays, and time earns nothing */

    if (tb_limits_capacity(limits) == 0) {
        limits = tb_limits(tb_limits_capacity(zone->limits), 0, 0);
    }

    tb_table_tick_overflow(zone->shared->table, ngx_current_msec, limits, true);

    atomic_store(&g->credited, share);

    ngx_http_tbucket_global_sweep(zone);
}


/* Rounded down: parts of all nodes are no more than the whole. */

static ngx_inline tb_limits_t
ngx_http_tbucket_global_part(ngx_http_tbucket_zone_t *zone, uint64_t share)
{
    return tb_limits((uint32_t) (tb_limits_capacity(zone->limits) * share
                                 / TB_LEASE_ALL),
                     tb_limits_rate(zone->limits) * share / TB_LEASE_ALL, 0);
}
