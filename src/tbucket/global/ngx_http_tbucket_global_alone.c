
/*
 * A node on its own, since there are no leases: words refill by the clock,
 * with the node's share, or with all of the limit where there is no other
 * node.  Tokens are added where a request finds too few; the ticker frees
 * buckets that hold as much as they may, which are as good as new.
 */


#include "src/tbucket/global/ngx_http_tbucket_global.h"
#include "src/core/limit/tb_take.h"


/* leases that one tick looks at, and with the mutex held once */
#define NGX_HTTP_TBUCKET_GLOBAL_SWEEP  4096
#define NGX_HTTP_TBUCKET_GLOBAL_SLICE  128


static uint64_t ngx_http_tbucket_global_earned(
    ngx_http_tbucket_global_t *g, ngx_http_tbucket_lease_t *l,
    const tb_hash_t *h, tb_word_t word, tb_limits_t limits, uint64_t share,
    uint64_t since);
static void ngx_http_tbucket_global_sweep_one(ngx_http_tbucket_zone_t *zone,
    uint32_t place, uint64_t share, uint64_t since);


ngx_uint_t
ngx_http_tbucket_global_alone(ngx_http_tbucket_zone_t *zone, uint64_t *share,
    uint64_t *since)
{
    tb_node_t  *node;

    node = &zone->shared->global->node;

    tb_node_seek(node, ngx_current_msec);

    if (!tb_node_is_alone(node, ngx_current_msec, since)) {
        return 0;
    }

    *share = atomic_load_explicit(&node->share, memory_order_relaxed);

    return 1;
}


uint64_t
ngx_http_tbucket_global_share(ngx_http_tbucket_zone_t *zone)
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
ngx_http_tbucket_global_credit(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, uint64_t most)
{
    uint64_t     now, share, since, tokens;
    tb_hash_t    h;
    tb_word_t    word;
    tb_limits_t  limits;

    if (!ngx_http_tbucket_global_alone(zone, &share, &since)
        || !ngx_http_tbucket_global_read(zone, l, &h, &word, &limits))
    {
        return;
    }

    now = ngx_current_msec;
    tokens = ngx_http_tbucket_global_earned(zone->shared->global, l, &h, word,
                                            limits, share, since);
    tokens = ngx_min(tokens, most);

    if ((int64_t) tokens <= tb_word_tokens(word) && most == UINT64_MAX) {
        return;
    }

    l->lease.alone = (uint32_t) now | 1;
    l->lease.whole = (share == TB_LEASE_ALL);
    l->lease.credited = tokens;
    l->alone = now;

    (void) tb_table_add(zone->shared->table,
                        ngx_http_tbucket_global_slot(zone, l), &h, now,
                        zone->limits,
                        (int64_t) tokens - tb_word_tokens(word));
}


/* What the word may have by now. */

static uint64_t
ngx_http_tbucket_global_earned(ngx_http_tbucket_global_t *g,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, tb_word_t word,
    tb_limits_t limits, uint64_t share, uint64_t since)
{
    uint64_t  age, full, now, spent, tokens;

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
                              atomic_load(&g->node.others), spent, now);
    }

    tokens = tb_lease_alone(l->lease.held, tokens, limits, share, since,
                            spent, now);

    if (l->lease.warm) {
        return tokens;
    }

    /* it may have been here before, and have used its share */

    full = tb_recall_tokens(limits, full, now) / TB_LEASE_ALL * share;

    return ngx_min(tokens, full);
}


void
ngx_http_tbucket_global_note(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, ngx_uint_t careful)
{
    uint64_t                    caution, full;
    tb_hash_t                   h;
    tb_word_t                   word;
    tb_limits_t                 limits;
    ngx_http_tbucket_global_t  *g;

    g = zone->shared->global;

    if (!ngx_http_tbucket_global_read(zone, l, &h, &word, &limits)) {
        return;
    }

    full = tb_lease_full(&l->lease, limits, tb_word_tokens(word),
                         ngx_current_msec);

    if (full == 0) {
        return;
    }

    tb_recall_note(g->recall, g->nrecall, &h, full);

    caution = atomic_load(&g->caution);

    if (careful && full > caution) {
        atomic_store(&g->caution, full);
    }
}


ngx_uint_t
ngx_http_tbucket_global_yield(ngx_http_tbucket_zone_t *zone,
    tb_slot_t *victim, uint64_t *tokens)
{
    tb_hash_t                   h;
    tb_word_t                   word;
    tb_limits_t                 limits;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = zone->shared->global;
    l = &g->leases[victim - tb_table_slot(zone->shared->table, 0)];

    if (l->lease.alone != 0) {
        ngx_http_tbucket_global_credit(zone, l, UINT64_MAX);
    }

    if (!ngx_http_tbucket_global_read(zone, l, &h, &word, &limits)) {
        *tokens = 0;
        return 1;
    }

    if (l->lease.alone != 0 && l->key.lo != 0
        && g->ndropped == NGX_HTTP_TBUCKET_DROPPED)
    {
        return 0;
    }

    *tokens = tb_word_tokens(word);

    ngx_http_tbucket_global_note(zone, l, l->lease.alone != 0);

    return 1;
}


void
ngx_http_tbucket_global_sweep(ngx_http_tbucket_zone_t *zone)
{
    uint32_t                    budget, i, n;
    uint64_t                    share, since;
    ngx_http_tbucket_global_t  *g;

    if (!ngx_http_tbucket_global_alone(zone, &share, &since)) {
        return;
    }

    g = zone->shared->global;
    budget = ngx_min(atomic_load(&g->n), NGX_HTTP_TBUCKET_GLOBAL_SWEEP);

    while (budget > 0) {
        n = ngx_min(budget, NGX_HTTP_TBUCKET_GLOBAL_SLICE);
        budget -= n;

        ngx_shmtx_lock(&zone->shpool->mutex);

        for (i = 0; i < n && atomic_load(&g->n) > 0; i++) {
            if (g->swept == 0 || g->swept > atomic_load(&g->n)) {
                g->swept = atomic_load(&g->n);
            }

            ngx_http_tbucket_global_sweep_one(zone, --g->swept, share, since);
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);
    }
}


/* A bucket that is as full as it may be is what a new one would be. */

static void
ngx_http_tbucket_global_sweep_one(ngx_http_tbucket_zone_t *zone,
    uint32_t place, uint64_t share, uint64_t since)
{
    tb_hash_t                   h;
    tb_word_t                   word;
    tb_limits_t                 limits;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = zone->shared->global;
    l = &g->leases[g->list[place]];

    if (l->place != place
        || !ngx_http_tbucket_global_read(zone, l, &h, &word, &limits))
    {
        ngx_http_tbucket_global_drop(zone, place, 1);
        return;
    }

    if (l->lease.alone == 0 && share != TB_LEASE_ALL
        && tb_word_tokens(word) > 0)
    {
        return;
    }

    if (l->lease.alone != 0
        ? ngx_http_tbucket_global_earned(g, l, &h, word, limits, share, since)
          < tb_limits_full(limits) / TB_LEASE_ALL * share
        : tb_lease_full(&l->lease, limits, tb_word_tokens(word),
                        ngx_current_msec) != 0)
    {
        return;
    }

    /* nobody may take any in between, or it is not full */

    if (tb_slot_swap(ngx_http_tbucket_global_slot(zone, l), word,
                     tb_word(0, word)))
    {
        ngx_http_tbucket_global_drop(zone, place, 0);
        tb_table_forget(zone->shared->table, &h, ngx_current_msec,
                        zone->limits, 0);
    }
}
