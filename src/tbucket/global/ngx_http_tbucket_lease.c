
/*
 * Leases in shared memory.  A lease says itself whose it is, so that a slot
 * which gets another owner, by whatever way, is noticed by who looks at it
 * next.
 *
 * While there are no leases, words refill by the clock, with the node's share,
 * or with all of the limit where there is no other node.  Tokens are added
 * where a request finds too few; the ticker frees buckets that hold as much as
 * they may, which are as good as new.
 */


#include "src/tbucket/global/ngx_http_tbucket_lease.h"
#include "src/core/limit/tb_table_edit.h"
#include "src/core/limit/tb_take.h"
#include "src/tbucket/global/ngx_http_tbucket_lease_quota.h"


/* leases that one tick looks at, and with the mutex held once */
#define NGX_HTTP_TBUCKET_LEASE_SWEEP  4096
#define NGX_HTTP_TBUCKET_LEASE_SLICE  128


static uint32_t ngx_http_tbucket_lease_max(ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_lease_begin(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, ngx_str_t *client);
static void ngx_http_tbucket_lease_again(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h);
static int64_t ngx_http_tbucket_lease_earned(ngx_http_tbucket_global_t *g,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, tb_word_t word,
    tb_limits_t limits, uint64_t share, uint64_t since);
static void ngx_http_tbucket_lease_sweep_shard(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard);
static void ngx_http_tbucket_lease_sweep_one(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard, uint32_t place, uint64_t share, uint64_t since);


ngx_int_t
ngx_http_tbucket_lease_create_zone(ngx_http_tbucket_zone_t *zone)
{
    ngx_uint_t                  i;
    ngx_http_tbucket_global_t  *g;

    g = ngx_slab_calloc(zone->shpool, zone->shards
                                      * sizeof(ngx_http_tbucket_global_t));
    if (g == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < zone->shards; i++) {
        tb_node_begin(&g[i].node, TB_LEASE_ALL);
    }

    zone->shared->global = g;

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_lease_init_zone(ngx_http_tbucket_zone_t *zone)
{
    size_t                      size;
    uint32_t                    max;
    ngx_uint_t                  i;
    ngx_slab_pool_t            *shpool;
    ngx_http_tbucket_global_t  *g;

    shpool = zone->shpool;
    g = zone->shared->global;

    size = tb_table_slots(zone->shared->table);
    max = ngx_http_tbucket_lease_max(zone);

    g->list = ngx_slab_alloc(shpool, zone->shards * max * sizeof(uint32_t));
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

    for (i = 0; i < zone->shards; i++) {
        g[i].list = g->list + i * max;
        g[i].max = max;
        g[i].leases = g->leases;
        g[i].recall = g->recall;
        g[i].nrecall = g->nrecall;
    }

    return NGX_OK;
}


/*
 * Leases of a shard, at most: a keyed hash says which shard it is, so that
 * nobody can choose it, and they differ by six standard deviations at most.
 */

static uint32_t
ngx_http_tbucket_lease_max(ngx_http_tbucket_zone_t *zone)
{
    uint32_t  mean, root, slots;

    slots = tb_table_slots(zone->shared->table);

    if (zone->shards == 1) {
        return slots;
    }

    mean = slots / (uint32_t) zone->shards + 1;

    for (root = 1; root * root < mean; root++) { /* void */ }

    return mean + 6 * root + 32;
}


void
ngx_http_tbucket_lease_anew(ngx_http_tbucket_zone_t *zone, ngx_uint_t shard)
{
    uint64_t                    share;
    ngx_http_tbucket_global_t  *g;

    g = &zone->shared->global[shard];

    /* the nodes that were there are likely to come to the other one */

    share = gw_load_seq_cst(&g->share);

    tb_node_begin(&g->node, share ? share : TB_LEASE_ALL);
    gw_store_seq_cst(&g->unknown, 1);

    /* and so is what is remembered */

    ngx_memzero((void *) g->recall, g->nrecall * sizeof(uint32_t));
    gw_store_seq_cst(&g->caution, 0);
}


ngx_http_tbucket_lease_t *
ngx_http_tbucket_lease_find(ngx_http_tbucket_zone_t *zone, tb_slot_t *slot,
    const tb_hash_t *h)
{
    uint64_t                   now;
    ngx_http_tbucket_lease_t  *l;

    l = zone->shared->global->leases
        + (slot - tb_table_slot(zone->shared->table, 0));

    return (ngx_http_tbucket_lease_owns(l, h)
            && !ngx_http_tbucket_lease_ended(l, ngx_http_tbucket_limits(zone,
                                                                      &now)))
           ? l : NULL;
}


ngx_http_tbucket_lease_t *
ngx_http_tbucket_lease_enter(ngx_http_tbucket_zone_t *zone,
    const tb_hash_t *h, ngx_str_t *client)
{
    uint64_t                   most, now;
    tb_slot_t                 *slot, *victim;
    tb_table_t                *table;
    tb_limits_t                dflt;
    ngx_http_tbucket_lease_t  *l;

    table = zone->shared->table;
    dflt = ngx_http_tbucket_limits(zone, &now);
    most = UINT64_MAX;
    victim = NULL;

    ngx_shmtx_lock(&zone->shpool->mutex);

    slot = tb_table_find(table, h);

    if (slot == NULL) {
        victim = tb_table_victim(table, h, now, dflt);

        if (victim != NULL
            && (tb_limits_are_places(zone->limits)
                || !ngx_http_tbucket_lease_yield(zone, victim, &most)))
        {
            ngx_shmtx_unlock(&zone->shpool->mutex);
            return NULL;
        }

        (void) tb_table_put(table, h, now, dflt, 0, 0);
        slot = tb_table_find(table, h);

        if (victim != NULL && slot != victim) {
            zone->shared->global->leases[victim - tb_table_slot(table, 0)]
                .debt = 0;
        }
    }

    if (slot == NULL) {
        ngx_shmtx_unlock(&zone->shpool->mutex);
        return NULL;
    }

    l = zone->shared->global->leases + (slot - tb_table_slot(table, 0));

    if (ngx_http_tbucket_lease_find(zone, slot, h) == NULL) {
        if (ngx_http_tbucket_lease_begin(zone, l, h, client) != NGX_OK) {
            ngx_shmtx_unlock(&zone->shpool->mutex);
            return NULL;
        }

        if (victim != NULL) {
            ngx_http_tbucket_lease_credit(zone, l,
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

static ngx_int_t
ngx_http_tbucket_lease_begin(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, ngx_str_t *client)
{
    uint32_t                    n, shard, slot;
    tb_hash_t                   key;
    ngx_http_tbucket_global_t  *g;

    g = ngx_http_tbucket_lease_global(zone, l);
    slot = (uint32_t) (l - g->leases);

    if (l->place < gw_load_seq_cst(&g->n) && g->list[l->place] == slot) {
        ngx_http_tbucket_lease_drop(zone, l->shard, l->place, 1);
    }

    atomic_store_explicit(&l->tag, 0, memory_order_release);

    key.lo = 0;
    key.hi = 0;

    if (gw_load_seq_cst(&zone->shared->global->keyed)) {
        key = tb_hash(client->data, client->len,
                      zone->shared->global->secret);
    }

    shard = (uint32_t) ((key.lo ? key.lo : h->lo) % zone->shards);

    g = &zone->shared->global[shard];
    n = gw_load_seq_cst(&g->n);

    if (n == g->max) {
        return NGX_DECLINED;
    }

    ngx_memzero(&l->lease, sizeof(tb_lease_t));

    l->key = key;
    l->lease.window = ngx_http_tbucket_quota_word(zone);
    l->shard = shard;
    l->alone = 0;
    l->debt = 0;

    /* what others have called about it is none of this one's */

    l->lease.heard = gw_load_seq_cst(&g->seq);

    if (ngx_current_msec < gw_load_seq_cst(&zone->shared->global->caution)) {
        l->lease.full = tb_recall_full(g->recall, g->nrecall, h);
    }

    if (key.lo != 0) {
        ngx_http_tbucket_lease_again(zone, l, h);
    }

    l->place = n;

    gw_store_seq_cst(&l->wanted, 0);
    gw_store_seq_cst(&l->unit, 0);

    g->list[n] = slot;
    gw_store_seq_cst(&g->n, n + 1);

    atomic_store_explicit(&l->check, h->hi, memory_order_release);
    atomic_store_explicit(&l->tag, h->lo, memory_order_release);

    return NGX_OK;
}


/* Its own first report is that of the one that was displaced. */

static void
ngx_http_tbucket_lease_again(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h)
{
    uint32_t                     i;
    uint64_t                     charged, now;
    tb_limits_t                  dflt;
    tb_result_t                  result;
    ngx_http_tbucket_global_t   *g;
    ngx_http_tbucket_dropped_t  *dropped;

    g = ngx_http_tbucket_lease_global(zone, l);

    for (i = 0; i < g->ndropped; i++) {
        dropped = &g->dropped[i];

        if (dropped->key.lo != l->key.lo || dropped->key.hi != l->key.hi
            || dropped->window != l->lease.window)
        {
            continue;
        }

        if (dropped->alone) {
            l->alone = ngx_current_msec;
            l->lease.alone = (uint32_t) ngx_current_msec | 1;
            l->lease.whole = dropped->whole;
        }

        if (dropped->refund != 0) {
            l->lease.heard = dropped->heard;
            gw_store_seq_cst(&l->lease.refund, dropped->refund);
        }

        if (dropped->debt != 0) {
            l->lease.heard = dropped->heard;
            dflt = ngx_http_tbucket_limits(zone, &now);

            (void) tb_table_charge(zone->shared->table, h, now, dflt,
                                   dropped->debt, -TB_DEBT_MAX, &result,
                                   &charged);
        }

        *dropped = g->dropped[--g->ndropped];

        return;
    }
}


void
ngx_http_tbucket_lease_drop(ngx_http_tbucket_zone_t *zone, ngx_uint_t shard,
    uint32_t place, ngx_uint_t keep)
{
    uint32_t                     last, slot;
    uint64_t                     now;
    tb_limits_t                  dflt;
    ngx_http_tbucket_lease_t    *l;
    ngx_http_tbucket_global_t   *g;
    ngx_http_tbucket_dropped_t  *dropped;

    g = &zone->shared->global[shard];
    slot = g->list[place];
    l = &g->leases[slot];
    dflt = ngx_http_tbucket_limits(zone, &now);

    /* an entry that is there twice was left by a death in between */

    if (l->place == place && l->shard == shard) {

        if (keep && l->tag != 0 && l->key.lo != 0
            && !ngx_http_tbucket_lease_ended(l, dflt)
            && g->ndropped < NGX_HTTP_TBUCKET_DROPPED)
        {
            dropped = &g->dropped[g->ndropped];
            dropped->key = l->key;
            dropped->limits = zone->limits;
            dropped->debt = l->debt;
            dropped->window = l->lease.window;
            dropped->refund = l->lease.window
                              ? gw_load_seq_cst(&l->lease.refund) : 0;
            dropped->heard = l->lease.heard;
            dropped->gen = l->lease.warm ? l->lease.gen : TB_LEASE_ANY_GEN;
            dropped->alone = (l->lease.alone != 0);
            dropped->whole = l->lease.whole;
            g->ndropped++;
        }

        atomic_store_explicit(&l->tag, 0, memory_order_release);
        gw_store_seq_cst(&l->lease.seq, 0);
    }

    last = gw_load_seq_cst(&g->n) - 1;

    if (place != last) {
        g->list[place] = g->list[last];
        g->leases[g->list[place]].place = place;
    }

    gw_store_seq_cst(&g->n, last);
}


ngx_uint_t
ngx_http_tbucket_lease_read(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, tb_hash_t *h, tb_word_t *word,
    tb_limits_t *limits)
{
    uint64_t     now;
    tb_limits_t  dflt;

    h->lo = atomic_load_explicit(&l->tag, memory_order_acquire);
    h->hi = atomic_load_explicit(&l->check, memory_order_relaxed);

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (h->lo == 0 || ngx_http_tbucket_lease_ended(l, dflt)
        || !tb_slot_read(zone->shared->table,
                         ngx_http_tbucket_lease_slot(zone, l), h, dflt, word,
                         limits))
    {
        return 0;
    }

    if (tb_limits_are_blocked(*limits) || tb_limits_are_unlimited(*limits)) {

        /* what stands for being blocked, or unlimited, is not for Redis */

        *limits = zone->limits;
    }

    if (dflt & TB_LIMITS_WINDOW) {
        *word = tb_word_settle(*word, dflt, now);
        *limits = tb_limits(tb_limits_capacity(*limits), 0, 0);
    }

    return 1;
}


void
ngx_http_tbucket_lease_empty(ngx_http_tbucket_zone_t *zone, tb_slot_t *slot,
    const tb_hash_t *h)
{
    uint64_t      now;
    tb_table_t   *table;
    tb_limits_t   dflt;

    table = zone->shared->table;
    dflt = ngx_http_tbucket_limits(zone, &now);

    (void) tb_table_set_tokens(table, h, now, dflt, 0);
    tb_table_forget(table, h, now, dflt, 0);
}


ngx_uint_t
ngx_http_tbucket_lease_clear(ngx_http_tbucket_zone_t *zone, ngx_uint_t shard,
    ngx_uint_t n)
{
    uint32_t                    left;
    tb_hash_t                   h;
    tb_word_t                   word;
    ngx_uint_t                  careful, note;
    tb_limits_t                 limits;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = &zone->shared->global[shard];
    careful = (gw_load_seq_cst(&g->node.share) == TB_LEASE_ALL);

    /* nothing of another Redis is remembered */

    note = g->node.known || !gw_load_seq_cst(&g->unknown);

    ngx_shmtx_lock(&zone->shpool->mutex);

    g->ndropped = 0;

    while ((left = gw_load_seq_cst(&g->n)) > 0 && n-- > 0) {
        l = &g->leases[g->list[left - 1]];

        if (ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits)) {
            if (note) {
                ngx_http_tbucket_lease_note(zone, l, careful);
            }

            ngx_http_tbucket_lease_empty(zone,
                                        ngx_http_tbucket_lease_slot(zone, l),
                                        &h);
        }

        ngx_http_tbucket_lease_drop(zone, shard, left - 1, 0);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return left == 0;
}


void
ngx_http_tbucket_lease_name(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, ngx_str_t *client)
{
    if (!gw_load_seq_cst(&zone->shared->global->keyed)) {
        return;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (ngx_http_tbucket_lease_owns(l, h) && l->key.lo == 0) {
        (void) ngx_http_tbucket_lease_begin(zone, l, h, client);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


ngx_uint_t
ngx_http_tbucket_lease_alone(ngx_http_tbucket_zone_t *zone, ngx_uint_t shard,
    uint64_t *share, uint64_t *since)
{
    tb_node_t  *node;

    node = &zone->shared->global[shard].node;

    tb_node_seek(node, ngx_current_msec);

    if (!tb_node_is_alone(node, ngx_current_msec, since)) {
        return 0;
    }

    *share = atomic_load_explicit(&node->share, memory_order_relaxed);

    return 1;
}


uint64_t
ngx_http_tbucket_lease_share(ngx_http_tbucket_zone_t *zone)
{
    uint64_t      since;
    tb_node_t  *node;

    node = &zone->shared->global->node;

    if (atomic_load_explicit(&node->contact, memory_order_relaxed) == 0
        && !tb_node_is_alone(node, ngx_current_msec, &since))
    {
        return 0;
    }

    return atomic_load_explicit(&node->share, memory_order_relaxed);
}


void
ngx_http_tbucket_lease_credit(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, uint64_t most)
{
    int64_t      tokens;
    uint64_t     now, over, share, since;
    tb_hash_t    h;
    tb_word_t    word;
    tb_limits_t  limits;

    if (!ngx_http_tbucket_lease_alone(zone, l->shard, &share, &since)
        || !ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits))
    {
        return;
    }

    if (l->lease.window != 0) {
        ngx_http_tbucket_lease_quota_credit(zone, l, &h, word, limits, share,
                                            most);
        return;
    }

    now = ngx_current_msec;

    tokens = ngx_http_tbucket_lease_earned(ngx_http_tbucket_lease_global(zone,
                                                                         l),
                                           l, &h, word, limits, share, since);

    if (tokens > 0 && (uint64_t) tokens > most) {
        tokens = (int64_t) most;
    }

    if (tokens <= tb_word_tokens(word) && most == UINT64_MAX) {
        return;
    }

    /* what it takes over of a debt, Redis has got back with the next call */

    over = tb_lease_taken_over(&l->lease, share);
    l->lease.over += over;
    (void) atomic_fetch_add_explicit(&l->lease.refund, (int64_t) over,
                                     memory_order_seq_cst);

    /* until that has been reported, a smaller share does not undo it */

    l->lease.whole = (share == TB_LEASE_ALL
                      || (l->lease.alone != 0 && l->lease.whole));
    l->lease.alone = (uint32_t) now | 1;
    l->lease.credited = tokens;
    l->alone = now;

    (void) tb_table_add(zone->shared->table,
                        ngx_http_tbucket_lease_slot(zone, l), &h, now,
                        zone->limits,
                        tokens - tb_word_tokens(word));
}


/* What the word may have by now. */

static int64_t
ngx_http_tbucket_lease_earned(ngx_http_tbucket_global_t *g,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, tb_word_t word,
    tb_limits_t limits, uint64_t share, uint64_t since)
{
    int64_t   over, recalled, tokens;
    uint64_t  age, full, now, spent;

    now = ngx_current_msec;
    age = tb_word_age(word, now);
    spent = age < TB_AGE_MAX ? now - age : now;
    tokens = tb_word_tokens(word);

    if (l->lease.alone != 0) {
        return tb_lease_alone(l->lease.credited, tokens, limits, share,
                              ngx_max(since, l->alone), spent, now);
    }

    full = tb_recall_full(g->recall, g->nrecall, h);

    if (share == TB_LEASE_ALL) {
        return tb_lease_whole(&l->lease, limits, tokens, full,
                              gw_load_seq_cst(&g->node.others), spent, now);
    }

    over = (int64_t) tb_lease_taken_over(&l->lease, share);
    tokens = tb_lease_alone((int64_t) l->lease.held - over, tokens - over,
                            limits, share, since, spent, now);

    if (l->lease.warm) {
        return tokens;
    }

    /* it may have been here before, and have used its share */

    recalled = tb_recall_tokens(limits, full, now);

    if (recalled > 0) {
        recalled = recalled / TB_LEASE_ALL * (int64_t) share;
    }

    return ngx_min(tokens, recalled);
}


void
ngx_http_tbucket_lease_note(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, ngx_uint_t careful)
{
    uint64_t                    caution, full;
    tb_hash_t                   h;
    tb_word_t                   word;
    tb_limits_t                 limits;
    ngx_http_tbucket_global_t  *g;

    g = ngx_http_tbucket_lease_global(zone, l);

    if (!ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits)) {
        return;
    }

    if (l->lease.window != 0) {
        ngx_http_tbucket_lease_quota_note(zone, l, &h, word, limits, careful);
        return;
    }

    full = tb_lease_full(&l->lease, limits, tb_word_tokens(word),
                         ngx_current_msec);

    if (full == 0) {
        return;
    }

    tb_recall_note(g->recall, g->nrecall, &h, full);

    /* the shard that it will be in may be another one */

    g = zone->shared->global;
    caution = gw_load_seq_cst(&g->caution);

    if ((careful || tb_word_tokens(word) < 0) && full > caution) {
        gw_store_seq_cst(&g->caution, full);
    }
}


ngx_uint_t
ngx_http_tbucket_lease_yield(ngx_http_tbucket_zone_t *zone,
    tb_slot_t *victim, uint64_t *tokens)
{
    int64_t                     left;
    tb_hash_t                   h;
    tb_word_t                   word;
    tb_limits_t                 limits;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    l = &zone->shared->global->leases[victim
                                   - tb_table_slot(zone->shared->table, 0)];
    g = ngx_http_tbucket_lease_global(zone, l);

    if (l->lease.alone != 0) {
        ngx_http_tbucket_lease_credit(zone, l, UINT64_MAX);
    }

    if (!ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits)) {
        *tokens = 0;
        return 1;
    }

    left = tb_word_tokens(word);

    if ((l->lease.alone != 0 || left < 0) && l->key.lo != 0
        && g->ndropped == NGX_HTTP_TBUCKET_DROPPED)
    {
        return 0;
    }

    *tokens = left > 0 ? (uint64_t) left : 0;
    l->debt = left < 0 ? (uint64_t) -left : 0;

    ngx_http_tbucket_lease_note(zone, l, l->lease.alone != 0
                                         && l->lease.window == 0);

    return 1;
}


void
ngx_http_tbucket_lease_sweep(ngx_http_tbucket_zone_t *zone)
{
    ngx_uint_t  i;

    for (i = 0; i < zone->shards; i++) {
        ngx_http_tbucket_lease_sweep_shard(zone, i);
    }
}


static void
ngx_http_tbucket_lease_sweep_shard(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard)
{
    uint32_t                    budget, i, n;
    uint64_t                    share, since;
    ngx_http_tbucket_global_t  *g;

    if (!ngx_http_tbucket_lease_alone(zone, shard, &share, &since)) {
        return;
    }

    g = &zone->shared->global[shard];
    budget = ngx_min(gw_load_seq_cst(&g->n),
                     NGX_HTTP_TBUCKET_LEASE_SWEEP / zone->shards);

    while (budget > 0) {
        n = ngx_min(budget, NGX_HTTP_TBUCKET_LEASE_SLICE);
        budget -= n;

        ngx_shmtx_lock(&zone->shpool->mutex);

        for (i = 0; i < n && gw_load_seq_cst(&g->n) > 0; i++) {
            if (g->swept == 0 || g->swept > gw_load_seq_cst(&g->n)) {
                g->swept = gw_load_seq_cst(&g->n);
            }

            ngx_http_tbucket_lease_sweep_one(zone, shard, --g->swept, share,
                                             since);
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);
    }
}


/* A bucket that is as full as it may be is what a new one would be. */

static void
ngx_http_tbucket_lease_sweep_one(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard, uint32_t place, uint64_t share, uint64_t since)
{
    tb_hash_t                   h;
    tb_word_t                   word;
    tb_limits_t                 limits;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = &zone->shared->global[shard];
    l = &g->leases[g->list[place]];

    if (l->place != place || l->shard != shard
        || !ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits))
    {
        ngx_http_tbucket_lease_drop(zone, shard, place, 1);
        return;
    }

    if (l->lease.window != 0) {

        /* it is not as good as a new one before the window ends */

        return;
    }

    if (l->lease.alone == 0
        && ((share != TB_LEASE_ALL && tb_word_tokens(word) > 0)
            || tb_word_tokens(word) < 0
            || gw_load_seq_cst(&l->lease.refund) != 0))
    {
        return;
    }

    if (l->lease.alone != 0
        ? ngx_http_tbucket_lease_earned(g, l, &h, word, limits, share, since)
          < (int64_t) (tb_limits_full(limits) / TB_LEASE_ALL * share)
        : tb_lease_full(&l->lease, limits, tb_word_tokens(word),
                        ngx_current_msec) != 0)
    {
        return;
    }

    /* nobody may take any in between, or it is not full */

    if (tb_slot_swap(ngx_http_tbucket_lease_slot(zone, l), word,
                     tb_word(0, word)))
    {
        ngx_http_tbucket_lease_drop(zone, shard, place, 0);
        tb_table_forget(zone->shared->table, &h, ngx_current_msec,
                        zone->limits, 0);
    }
}
