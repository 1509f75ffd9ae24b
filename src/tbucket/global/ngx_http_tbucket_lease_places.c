
/*
 * Leases of places for requests in flight in shared memory.
 */


#include "src/tbucket/global/ngx_http_tbucket_lease_places.h"
#include "src/core/lease/tb_lease_places.h"
#include "src/core/limit/tb_table_edit.h"
#include "src/core/limit/tb_table_lease.h"


/* leases that are looked at with the mutex held once */
#define NGX_HTTP_TBUCKET_PLACES_SLICE  128


static ngx_uint_t ngx_http_tbucket_places_release(
    ngx_http_tbucket_zone_t *zone, ngx_uint_t shard, uint32_t place,
    ngx_uint_t keep);
static void ngx_http_tbucket_places_sweep_one(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard, uint32_t place);


void
ngx_http_tbucket_places_clear(ngx_http_tbucket_zone_t *zone, ngx_uint_t shard)
{
    uint32_t                    i, n;
    tb_hash_t                   h;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = &zone->shared->global[shard];
    i = gw_load_seq_cst(&g->n);

    do {
        ngx_shmtx_lock(&zone->shpool->mutex);

        g->ndropped = 0;

        for (n = 0; n < NGX_HTTP_TBUCKET_PLACES_SLICE && i > 0; n++) {

            if (--i >= gw_load_seq_cst(&g->n)
                || ngx_http_tbucket_places_release(zone, shard, i, 0))
            {
                continue;
            }

            l = &g->leases[g->list[i]];

            h.lo = gw_load_seq_cst(&l->tag);
            h.hi = gw_load_seq_cst(&l->check);

            (void) tb_table_lease(zone->shared->table,
                                  ngx_http_tbucket_lease_slot(zone, l), &h,
                                  ngx_current_msec, zone->limits,
                                  -TB_CAPACITY_MAX);

            ngx_memzero(&l->lease, sizeof(tb_lease_t));
            l->alone = 0;
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);

    } while (i > 0);
}


/*
 * With the mutex held: gives up what is free of the places of a lease, and with
 * it the bucket and its lease, if that leaves none; 0: some are in use.
 */

static ngx_uint_t
ngx_http_tbucket_places_release(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard, uint32_t place, ngx_uint_t keep)
{
    tb_hash_t                   h;
    tb_word_t                   word;
    tb_slot_t                  *slot;
    tb_table_t                 *table;
    tb_limits_t                 limits;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = &zone->shared->global[shard];
    l = &g->leases[g->list[place]];
    table = zone->shared->table;

    if (l->place != place || l->shard != shard
        || !ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits))
    {
        ngx_http_tbucket_lease_drop(zone, shard, place, keep);
        return 1;
    }

    slot = ngx_http_tbucket_lease_slot(zone, l);

    (void) tb_table_unlease(table, slot, &h, ngx_current_msec, zone->limits,
                            TB_CAPACITY_MAX);

    /* nobody takes any that is not leased, and that takes the mutex */

    if (!tb_slot_read(table, slot, &h, zone->limits, &word, &limits)
        || tb_places_used(word) > 0)
    {
        return 0;
    }

    ngx_http_tbucket_lease_drop(zone, shard, place, keep);
    tb_table_forget(table, &h, ngx_current_msec, zone->limits, 0);

    return 1;
}


void
ngx_http_tbucket_places_unname(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard)
{
    uint32_t                    i;
    ngx_http_tbucket_global_t  *g;

    g = &zone->shared->global[shard];

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (i = 0; i < gw_load_seq_cst(&g->n); i++) {
        g->leases[g->list[i]].key.lo = 0;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


ngx_uint_t
ngx_http_tbucket_places_yield(ngx_http_tbucket_zone_t *zone,
    const tb_hash_t *h)
{
    tb_slot_t                  *victim;
    tb_table_t                 *table;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    table = zone->shared->table;
    victim = tb_table_victim(table, h, ngx_current_msec, zone->limits);

    if (victim == NULL) {
        return 0;
    }

    l = &zone->shared->global->leases[victim - tb_table_slot(table, 0)];
    g = ngx_http_tbucket_lease_global(zone, l);

    if (l->place >= gw_load_seq_cst(&g->n) || &g->leases[g->list[l->place]] != l
        || (l->lease.held != 0 && l->key.lo != 0
            && g->ndropped == NGX_HTTP_TBUCKET_DROPPED))
    {
        return 0;
    }

    return ngx_http_tbucket_places_release(zone, l->shard, l->place,
                                           l->lease.held != 0);
}


void
ngx_http_tbucket_places_credit(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l)
{
    uint32_t     leased, n;
    uint64_t     now, share, since;
    tb_hash_t    h;
    tb_word_t    word;
    tb_limits_t  limits;

    if (!ngx_http_tbucket_lease_alone(zone, l->shard, &share, &since)
        || !ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits))
    {
        return;
    }

    now = ngx_current_msec;
    leased = tb_places_leased(word);
    n = tb_lease_places_alone(leased, (uint32_t) tb_limits_rate(limits),
                              share, since, now);

    if (n == leased) {
        return;
    }

    l->lease.alone = (uint32_t) now | 1;
    l->lease.whole = (share == TB_LEASE_ALL);
    l->alone = now;

    (void) tb_table_lease(zone->shared->table,
                          ngx_http_tbucket_lease_slot(zone, l), &h, now,
                          zone->limits, (int32_t) n - (int32_t) leased);
}


void
ngx_http_tbucket_places_sweep(ngx_http_tbucket_zone_t *zone)
{
    uint32_t                    i, n;
    uint64_t                    share, since;
    ngx_uint_t                  shard;
    ngx_http_tbucket_global_t  *g;

    for (shard = 0; shard < zone->shards; shard++) {

        if (!ngx_http_tbucket_lease_alone(zone, shard, &share, &since)) {
            continue;
        }

        g = &zone->shared->global[shard];
        i = gw_load_seq_cst(&g->n);

        while (i > 0) {
            ngx_shmtx_lock(&zone->shpool->mutex);

            for (n = 0; n < NGX_HTTP_TBUCKET_PLACES_SLICE && i > 0; n++) {

                if (--i < gw_load_seq_cst(&g->n)) {
                    ngx_http_tbucket_places_sweep_one(zone, shard, i);
                }
            }

            ngx_shmtx_unlock(&zone->shpool->mutex);
        }
    }
}


static void
ngx_http_tbucket_places_sweep_one(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard, uint32_t place)
{
    tb_hash_t                   h;
    tb_word_t                   word;
    tb_limits_t                 limits;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = &zone->shared->global[shard];
    l = &g->leases[g->list[place]];

    /* what Redis thinks that it has is to be reported first */

    if (l->lease.held == 0 && gw_load_seq_cst(&l->lease.seq) == 0
        && ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits)
        && tb_places_used(word) == 0)
    {
        (void) ngx_http_tbucket_places_release(zone, shard, place, 0);
        return;
    }

    ngx_http_tbucket_places_credit(zone, l);
}
