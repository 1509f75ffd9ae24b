
/*
 * Leases in shared memory, one beside each slot of the table, and the list of
 * those in use.  A lease says itself whose it is, so that a slot which gets
 * another owner, by whatever way, is noticed by who looks at it next.
 */


#include "src/tbucket/global/ngx_http_tbucket_global.h"
#include "src/core/limit/tb_take.h"


static void ngx_http_tbucket_global_begin(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, ngx_str_t *client);
static void ngx_http_tbucket_global_again(ngx_http_tbucket_global_t *g,
    ngx_http_tbucket_lease_t *l);


size_t
ngx_http_tbucket_global_table(size_t size)
{
    size_t  each;

    each = sizeof(tb_slot_t) + sizeof(ngx_http_tbucket_lease_t)
           + sizeof(uint32_t) + TB_RECALL_CELLS * sizeof(uint32_t);

    size = size / each * sizeof(tb_slot_t);

    return size - size % ngx_pagesize;
}


ngx_int_t
ngx_http_tbucket_global_create_zone(ngx_http_tbucket_zone_t *zone)
{
    ngx_http_tbucket_global_t  *g;

    g = ngx_slab_calloc(zone->shpool, sizeof(ngx_http_tbucket_global_t));
    if (g == NULL) {
        return NGX_ERROR;
    }

    tb_node_begin(&g->node, TB_LEASE_ALL);

    zone->shared->global = g;

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_global_init(ngx_http_tbucket_zone_t *zone)
{
    size_t                      size;
    ngx_slab_pool_t            *shpool;
    ngx_http_tbucket_global_t  *g;

    shpool = zone->shpool;
    g = zone->shared->global;

    size = tb_table_slots(zone->shared->table);

    g->list = ngx_slab_alloc(shpool, size * sizeof(uint32_t));
    g->leases = ngx_slab_alloc(shpool,
                               size * sizeof(ngx_http_tbucket_lease_t));

    g->nrecall = (uint32_t) size * TB_RECALL_CELLS;
    g->recall = ngx_slab_alloc(shpool, g->nrecall * sizeof(uint32_t));

    if (g->list == NULL || g->leases == NULL || g->recall == NULL) {
        return NGX_ERROR;
    }

#if (NGX_DEBUG_MALLOC)
    /* otherwise the pages come fresh from the system, and are not touched */
    ngx_memzero(g->leases, size * sizeof(ngx_http_tbucket_lease_t));
    ngx_memzero((void *) g->recall, g->nrecall * sizeof(uint32_t));
#endif

    return NGX_OK;
}


void
ngx_http_tbucket_global_anew(ngx_http_tbucket_zone_t *zone)
{
    uint64_t                    share;
    ngx_http_tbucket_global_t  *g;

    g = zone->shared->global;

    /* the nodes that were there are likely to come to the other one */

    share = atomic_load(&g->share);

    tb_node_begin(&g->node, share ? share : TB_LEASE_ALL);
    atomic_store(&g->unknown, 1);

    /* and so is what is remembered */

    ngx_memzero((void *) g->recall, g->nrecall * sizeof(uint32_t));
    atomic_store(&g->caution, 0);
}


ngx_http_tbucket_lease_t *
ngx_http_tbucket_global_find(ngx_http_tbucket_zone_t *zone, tb_slot_t *slot,
    const tb_hash_t *h)
{
    ngx_http_tbucket_lease_t  *l;

    l = zone->shared->global->leases
        + (slot - tb_table_slot(zone->shared->table, 0));

    return ngx_http_tbucket_global_owns(l, h) ? l : NULL;
}


ngx_http_tbucket_lease_t *
ngx_http_tbucket_global_enter(ngx_http_tbucket_zone_t *zone,
    const tb_hash_t *h, ngx_str_t *client)
{
    uint64_t                   most;
    tb_slot_t                 *slot, *victim;
    tb_table_t                *table;
    ngx_http_tbucket_lease_t  *l;

    table = zone->shared->table;
    most = UINT64_MAX;
    victim = NULL;

    ngx_shmtx_lock(&zone->shpool->mutex);

    slot = tb_table_find(table, h);

    if (slot == NULL) {
        victim = tb_table_victim(table, h, ngx_current_msec, zone->limits);

        if (victim != NULL
            && !ngx_http_tbucket_global_yield(zone, victim, &most))
        {
            ngx_shmtx_unlock(&zone->shpool->mutex);
            return NULL;
        }

        (void) tb_table_put(table, h, ngx_current_msec, zone->limits, 0, 0);
        slot = tb_table_find(table, h);
    }

    if (slot == NULL) {
        ngx_shmtx_unlock(&zone->shpool->mutex);
        return NULL;
    }

    l = zone->shared->global->leases + (slot - tb_table_slot(table, 0));

    if (ngx_http_tbucket_global_find(zone, slot, h) == NULL) {
        ngx_http_tbucket_global_begin(zone, l, h, client);

        if (victim != NULL) {
            ngx_http_tbucket_global_credit(zone, l,
                                           slot == victim ? most : 0);
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return l;
}


/*
 * In an order in which a death leaves no harm: the owner is set when all else
 * is, and a place in the list counts if it leads back to the lease.
 */

static void
ngx_http_tbucket_global_begin(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, ngx_str_t *client)
{
    uint32_t                    n, slot;
    ngx_http_tbucket_global_t  *g;

    g = zone->shared->global;
    n = atomic_load(&g->n);
    slot = (uint32_t) (l - g->leases);

    if (l->place < n && g->list[l->place] == slot) {
        ngx_http_tbucket_global_drop(zone, l->place, 1);
        n = atomic_load(&g->n);
    }

    atomic_store_explicit(&l->tag, 0, memory_order_release);

    ngx_memzero(&l->lease, sizeof(tb_lease_t));

    l->key.lo = 0;
    l->key.hi = 0;

    l->alone = 0;

    if (ngx_current_msec < atomic_load(&g->caution)) {
        l->lease.full = tb_recall_full(g->recall, g->nrecall, h);
    }

    if (atomic_load(&g->ready)) {
        l->key = tb_hash(client->data, client->len, g->secret);
        ngx_http_tbucket_global_again(g, l);
    }

    l->place = n;

    atomic_store(&l->wanted, 0);
    atomic_store(&l->unit, 0);

    g->list[n] = slot;
    atomic_store(&g->n, n + 1);

    atomic_store_explicit(&l->check, h->hi, memory_order_release);
    atomic_store_explicit(&l->tag, h->lo, memory_order_release);
}


/* Its own first report is that of the one that was displaced. */

static void
ngx_http_tbucket_global_again(ngx_http_tbucket_global_t *g,
    ngx_http_tbucket_lease_t *l)
{
    uint32_t                     i;
    ngx_http_tbucket_dropped_t  *dropped;

    for (i = 0; i < g->ndropped; i++) {
        dropped = &g->dropped[i];

        if (dropped->key.lo != l->key.lo || dropped->key.hi != l->key.hi) {
            continue;
        }

        if (dropped->alone) {
            l->alone = ngx_current_msec;
            l->lease.alone = (uint32_t) ngx_current_msec | 1;
            l->lease.whole = dropped->whole;
        }

        *dropped = g->dropped[--g->ndropped];

        return;
    }
}


void
ngx_http_tbucket_global_drop(ngx_http_tbucket_zone_t *zone, uint32_t place,
    ngx_uint_t keep)
{
    uint32_t                     last, slot;
    ngx_http_tbucket_lease_t    *l;
    ngx_http_tbucket_global_t   *g;
    ngx_http_tbucket_dropped_t  *dropped;

    g = zone->shared->global;
    slot = g->list[place];
    l = &g->leases[slot];

    /* an entry that is there twice was left by a death in between */

    if (l->place == place) {

        if (keep && l->tag != 0 && l->key.lo != 0
            && g->ndropped < NGX_HTTP_TBUCKET_DROPPED)
        {
            dropped = &g->dropped[g->ndropped];
            dropped->key = l->key;
            dropped->limits = zone->limits;
            dropped->gen = l->lease.gen;
            dropped->alone = (l->lease.alone != 0);
            dropped->whole = l->lease.whole;
            g->ndropped++;
        }

        atomic_store_explicit(&l->tag, 0, memory_order_release);
        atomic_store(&l->lease.seq, 0);
    }

    last = atomic_load(&g->n) - 1;

    if (place != last) {
        g->list[place] = g->list[last];
        g->leases[g->list[place]].place = place;
    }

    atomic_store(&g->n, last);
}


ngx_uint_t
ngx_http_tbucket_global_read(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, tb_hash_t *h, tb_word_t *word,
    tb_limits_t *limits)
{
    h->lo = atomic_load_explicit(&l->tag, memory_order_acquire);
    h->hi = atomic_load_explicit(&l->check, memory_order_relaxed);

    return h->lo != 0
           && tb_slot_read(zone->shared->table,
                           ngx_http_tbucket_global_slot(zone, l), h,
                           zone->limits, word, limits);
}
