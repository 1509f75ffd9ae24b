
/*
 * The refill ticker: a timer in every worker, of whom the leader of a
 * zone goes through its table, a slice of bounded time at a tick.
 * Decisions do not wait for it: they settle their bucket themselves.
 */


#include "src/tbucket/ngx_http_tbucket_refill.h"

#include "src/common/ngx_gw_clock.h"
#include "src/tbucket/clients/ngx_http_tbucket_clients.h"
#include "src/tbucket/ngx_http_tbucket_inflight.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"


/* what one tick may take of the event loop, all zones together, in us */
#define NGX_HTTP_TBUCKET_SLICE  500

/* ms; a leader renews at every tick, and resigns when it exits */
#define NGX_HTTP_TBUCKET_TERM   2000


static void ngx_http_tbucket_tick(ngx_event_t *ev);
static void ngx_http_tbucket_tick_zone(ngx_http_tbucket_zone_t *zone,
    uint64_t until);


ngx_int_t
ngx_http_tbucket_start_ticker(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf)
{
    if (mcf->zones.nelts == 0 || !ngx_gw_is_worker()) {
        return NGX_OK;
    }

    mcf->ticker.handler = ngx_http_tbucket_tick;
    mcf->ticker.data = mcf;
    mcf->ticker.log = cycle->log;
    mcf->ticker.cancelable = 1;

    ngx_add_timer(&mcf->ticker, mcf->refill);

    return NGX_OK;
}


void
ngx_http_tbucket_stop_ticker(ngx_http_tbucket_main_conf_t *mcf)
{
    ngx_uint_t                 i;
    ngx_http_tbucket_zone_t  **zones;

    zones = mcf->zones.elts;

    for (i = 0; i < mcf->zones.nelts; i++) {
        if (zones[i]->shared) {
            ngx_gw_leader_resign(&zones[i]->shared->refill);
        }
    }
}


static void
ngx_http_tbucket_tick(ngx_event_t *ev)
{
    uint64_t                        now, until;
    ngx_uint_t                      i;
    ngx_http_tbucket_zone_t       **zones;
    ngx_http_tbucket_main_conf_t   *mcf;

    mcf = ev->data;

    if (ngx_gw_is_leaving()) {
        ngx_http_tbucket_inflight_hand_over(mcf);
        ngx_http_tbucket_stop_ticker(mcf);
        return;
    }

    zones = mcf->zones.elts;
    now = ngx_gw_usec();

    for (i = 0; i < mcf->zones.nelts; i++) {

        until = now + NGX_HTTP_TBUCKET_SLICE * (i + 1) / mcf->zones.nelts;

        if (zones[i]->former != NULL) {
            ngx_http_tbucket_inflight_follow(zones[i], until);
        }

        if (ngx_gw_leader_claim(&zones[i]->shared->refill,
                                mcf->refill * 2 + NGX_HTTP_TBUCKET_TERM))
        {
            ngx_http_tbucket_tick_zone(zones[i], until);
        }
    }

    ngx_add_timer(ev, mcf->refill);
}


/* A pass over the table at most, or what can be done until then (us). */

static void
ngx_http_tbucket_tick_zone(ngx_http_tbucket_zone_t *zone, uint64_t until)
{
    bool                        again;
    uint32_t                    begin, i, n;
    uint64_t                    counted, now;
    tb_sweep_t                  seen;
    tb_table_t                 *table;
    tb_limits_t                 limits;
    ngx_http_tbucket_shared_t  *shared;

    ngx_http_tbucket_clients_mend(zone);

    if (zone->source != NULL) {
        zone->source->refill(zone);
    }

    if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        ngx_http_tbucket_inflight_settle(zone, until);
    }

    shared = zone->shared;
    table = shared->table;
    limits = ngx_http_tbucket_limits(zone, &now);

    begin = atomic_load_explicit(&shared->cursor, memory_order_relaxed);
    counted = atomic_load_explicit(&shared->counted, memory_order_relaxed);
    again = begin != 0;
    i = begin;

    do {
        if (!tb_table_each(table, &i, &n)) {
            atomic_store_explicit(&shared->buckets, (uint32_t) counted,
                                  memory_order_relaxed);
            counted = 0;
            i = 0;

            if (!again) {
                break;
            }

            again = false;
            continue;
        }

        if (!again && begin != 0 && i >= begin) {
            break;
        }

        ngx_memzero(&seen, sizeof(tb_sweep_t));

        tb_table_tick(table, i, n, now, limits, &seen);
        counted += seen.buckets;

        if (seen.unclean || seen.buckets == 0) {
            ngx_shmtx_lock(&zone->shpool->mutex);

            tb_table_collect(table, i, n, now, limits);

            ngx_shmtx_unlock(&zone->shpool->mutex);
        }

        i += n;

    } while (ngx_gw_usec() < until);

    atomic_store_explicit(&shared->counted, (uint32_t) counted,
                          memory_order_relaxed);
    atomic_store_explicit(&shared->cursor, i, memory_order_relaxed);
}
