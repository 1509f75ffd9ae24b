
/*
 * Requests in flight.  A place is given back by the clean-up of the request's
 * context, whatever ended the request; those of a worker that was killed come
 * back through the ledger.
 */


#include "src/tbucket/ngx_http_tbucket_inflight.h"

#include "src/common/ngx_gw_clock.h"
#include "src/tbucket/ngx_http_tbucket_guests.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"


/* more processes than nginx has at a time, where the zone has room for them */
#define NGX_HTTP_TBUCKET_ROWS_MIN  16
#define NGX_HTTP_TBUCKET_ROWS_MAX  1024

/* blocks of a dead process that are gone through with the mutex held once */
#define NGX_HTTP_TBUCKET_BLOCKS    16


/* What a worker has for a zone; in its own memory. */

struct ngx_http_tbucket_places_s {
    tb_ledger_own_t              own;
    ngx_uint_t                   joined;    /* it has a row */

    /* the dead process that is being settled for, or TB_LEDGER_NONE */
    uint32_t                     dead;
    uint32_t                     at;        /* its next block */
};


static ngx_int_t ngx_http_tbucket_inflight_join_zone(ngx_cycle_t *cycle,
    ngx_http_tbucket_zone_t *zone);
static ngx_uint_t ngx_http_tbucket_inflight_claim(
    ngx_http_tbucket_zone_t *zone);
static uint32_t ngx_http_tbucket_inflight_dead(ngx_http_tbucket_zone_t *zone);
static tb_verdict_t ngx_http_tbucket_inflight_ask(
    ngx_http_tbucket_charge_t *c);


ngx_int_t
ngx_http_tbucket_inflight_create(ngx_http_tbucket_zone_t *zone, size_t size)
{
    void      *mem;
    uint32_t   nblocks, nrows;

    nrows = size / 4 / sizeof(tb_ledger_row_t);
    nrows = ngx_min(nrows, NGX_HTTP_TBUCKET_ROWS_MAX);
    nrows = ngx_max(nrows, NGX_HTTP_TBUCKET_ROWS_MIN);

    nblocks = (size - tb_ledger_size(nrows, 0))
              / (tb_ledger_size(0, 1) - tb_ledger_size(0, 0));

    mem = ngx_slab_alloc(zone->shpool, size);
    if (mem == NULL) {
        return NGX_ERROR;
    }

#if (NGX_DEBUG_MALLOC)
    ngx_memzero(mem, size);
#endif

    zone->shared->ledger = tb_ledger_create(mem, nrows, nblocks);

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_inflight_join(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf)
{
    ngx_uint_t                 i;
    ngx_http_tbucket_zone_t  **zones;

    zones = mcf->zones.elts;

    for (i = 0; i < mcf->zones.nelts; i++) {

        if (zones[i]->kind == NGX_HTTP_TBUCKET_INFLIGHT
            && ngx_http_tbucket_inflight_join_zone(cycle, zones[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_inflight_join_zone(ngx_cycle_t *cycle,
    ngx_http_tbucket_zone_t *zone)
{
    size_t                      size;
    ngx_http_tbucket_places_t  *places;

    places = ngx_pcalloc(cycle->pool, sizeof(ngx_http_tbucket_places_t));
    if (places == NULL) {
        return NGX_ERROR;
    }

    places->dead = TB_LEDGER_NONE;

    /* a number for each entry; memory that is not used is not touched */

    size = (size_t) zone->shared->ledger->nblocks * TB_LEDGER_BLOCK
           * sizeof(uint32_t);

    places->own.next = ngx_palloc(cycle->pool, size);
    if (places->own.next == NULL) {
        return NGX_ERROR;
    }

    zone->places = places;

    if (!ngx_http_tbucket_inflight_claim(zone)) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "tbucket: zone \"%V\" is used by more than %uD "
                      "processes: this one refuses all of its requests until "
                      "another one exits", &zone->name,
                      zone->shared->ledger->nrows);

        return NGX_OK;
    }

    ngx_http_tbucket_guests_follow(zone, &places->own, 0);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_tbucket_inflight_claim(ngx_http_tbucket_zone_t *zone)
{
    ngx_http_tbucket_places_t  *places;

    places = zone->places;

    ngx_shmtx_lock(&zone->shpool->mutex);

    places->joined = tb_ledger_claim(zone->shared->ledger, &places->own,
                                     ngx_pid, ngx_process_slot,
                                     places->own.next);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return places->joined;
}


void
ngx_http_tbucket_inflight_hand_over(ngx_http_tbucket_main_conf_t *mcf)
{
    ngx_uint_t                 i;
    ngx_http_tbucket_zone_t  **zones;

    zones = mcf->zones.elts;

    for (i = 0; i < mcf->zones.nelts; i++) {
        if (zones[i]->former != NULL && zones[i]->places->joined) {
            ngx_http_tbucket_guests_leave(zones[i], &zones[i]->places->own);
        }
    }
}


/* What requests hold that end with the process comes back later. */

void
ngx_http_tbucket_inflight_leave(ngx_http_tbucket_main_conf_t *mcf)
{
    ngx_uint_t                  i;
    ngx_http_tbucket_zone_t   **zones;
    ngx_http_tbucket_places_t  *places;

    zones = mcf->zones.elts;

    for (i = 0; i < mcf->zones.nelts; i++) {
        places = zones[i]->places;

        if (places == NULL || !places->joined
            || tb_ledger_row(places->own.ledger, places->own.row)->held != 0
            || !ngx_shmtx_trylock(&zones[i]->shpool->mutex))
        {
            continue;
        }

        tb_ledger_leave(&places->own);
        places->joined = 0;

        ngx_shmtx_unlock(&zones[i]->shpool->mutex);
    }
}


void
ngx_http_tbucket_inflight_settle(ngx_http_tbucket_zone_t *zone,
    uint64_t until)
{
    bool                        done;
    uint64_t                    now;
    tb_limits_t                 dflt;
    ngx_http_tbucket_places_t  *places;

    places = zone->places;

    if (places == NULL
        || (!places->joined && !ngx_http_tbucket_inflight_claim(zone)))
    {
        return;
    }

    do {
        if (places->dead == TB_LEDGER_NONE) {
            places->dead = ngx_http_tbucket_inflight_dead(zone);
            places->at = 0;

            if (places->dead == TB_LEDGER_NONE) {
                return;
            }
        }

        dflt = ngx_http_tbucket_limits(zone, &now);

        ngx_shmtx_lock(&zone->shpool->mutex);

        done = tb_ledger_settle(&places->own, zone->shared->table,
                                places->dead, &places->at,
                                NGX_HTTP_TBUCKET_BLOCKS, now, dflt);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        if (done) {
            places->dead = TB_LEDGER_NONE;
        }

    } while (ngx_gw_usec() < until);
}


void
ngx_http_tbucket_inflight_follow(ngx_http_tbucket_zone_t *zone,
    uint64_t until)
{
    ngx_http_tbucket_places_t  *places;

    places = zone->places;

    if (places != NULL && places->joined) {
        ngx_http_tbucket_guests_follow(zone, &places->own, until);
    }
}


/*
 * A process id may have been used again, but whoever has our process slot
 * had it before us.
 */

static uint32_t
ngx_http_tbucket_inflight_dead(ngx_http_tbucket_zone_t *zone)
{
    uint32_t          i, owner;
    tb_ledger_t      *ledger;
    tb_ledger_row_t  *row;

    ledger = zone->shared->ledger;

    for (i = 0; i < ledger->nrows; i++) {
        row = tb_ledger_row(ledger, i);
        owner = atomic_load_explicit(&row->owner, memory_order_acquire);

        if (owner == 0 || i == zone->places->own.row) {
            continue;
        }

        if (atomic_load_explicit(&row->slot, memory_order_relaxed)
            == (uint32_t) ngx_process_slot
            || (kill((ngx_pid_t) owner, 0) == -1 && ngx_errno == NGX_ESRCH))
        {
            return i;
        }
    }

    return TB_LEDGER_NONE;
}


ngx_int_t
ngx_http_tbucket_inflight_take(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx)
{
    c->entry = TB_LEDGER_NONE;

    if (c->zone->source != NULL && c->zone->places->joined) {
        c->verdict = TB_ABSENT;

        return c->zone->source->take(c, ctx);
    }

    c->verdict = ngx_http_tbucket_inflight_ask(c);

    return NGX_OK;
}


ngx_uint_t
ngx_http_tbucket_inflight_take_seen(ngx_http_tbucket_charge_t *c)
{
    ngx_http_tbucket_places_t  *places;

    places = c->zone->places;

    return places->joined
           && tb_ledger_take_seen(&places->own, &c->hash, ngx_current_msec,
                                  &c->result, &c->entry);
}


static tb_verdict_t
ngx_http_tbucket_inflight_ask(ngx_http_tbucket_charge_t *c)
{
    uint64_t                    now;
    tb_limits_t                 dflt;
    tb_verdict_t                verdict;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_places_t  *places;

    zone = c->zone;
    places = zone->places;
    dflt = ngx_http_tbucket_limits(zone, &now);

    if (!places->joined) {
        c->result.slot = NULL;
        c->result.limits = dflt;
        c->result.left = tb_limits_lowest(dflt);
        c->result.word = tb_word(c->result.left, now);

        return TB_REFUSE;
    }

    verdict = tb_ledger_take(&places->own, zone->shared->table, &c->hash, now,
                             dflt, false, &c->result, &c->entry);

    if (verdict == TB_ABSENT) {
        ngx_shmtx_lock(&zone->shpool->mutex);

        verdict = tb_ledger_take(&places->own, zone->shared->table, &c->hash,
                                 now, dflt, true, &c->result, &c->entry);

        ngx_shmtx_unlock(&zone->shpool->mutex);
    }

    return verdict;
}


void
ngx_http_tbucket_inflight_leased(ngx_http_tbucket_charge_t *c,
    tb_limits_t part)
{
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;

    c->verdict = tb_ledger_take_leased(&zone->places->own,
                                       zone->shared->table, &c->hash,
                                       ngx_current_msec, zone->limits, part,
                                       &c->result, &c->entry);
}


void
ngx_http_tbucket_inflight_share(ngx_http_tbucket_charge_t *c,
    tb_limits_t part)
{
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;

    c->verdict = tb_ledger_share(&zone->places->own, zone->shared->table,
                                 ngx_current_msec, part, &c->result,
                                 &c->entry);
}


void
ngx_http_tbucket_inflight_return(ngx_http_tbucket_charge_t *c)
{
    ngx_http_tbucket_zone_t  *zone;

    if (c->entry == TB_LEDGER_NONE) {
        return;
    }

    zone = c->zone;

    tb_ledger_return(&zone->places->own, zone->shared->table, c->entry,
                     zone->source == NULL ? c->result.slot : NULL,
                     ngx_current_msec, zone->limits);

    c->entry = TB_LEDGER_NONE;
}
