
/*
 * What goes into a call: buckets that requests of this worker wait for, and,
 * in rounds through all leases, those about which a call is due.
 */


#include "src/tbucket/global/ngx_http_tbucket_global_round.h"
#include "src/core/limit/tb_table_edit.h"
#include "src/core/limit/tb_take.h"
#include "src/core/lease/tb_lease_places.h"
#include "src/tbucket/global/ngx_http_tbucket_global_places.h"
#include "src/tbucket/global/ngx_http_tbucket_global_wait.h"


/* leases that are looked at for one that is free */
#define NGX_HTTP_TBUCKET_GLOBAL_PROOF  16

/* leases that are looked at in one pass of the event loop */
#define NGX_HTTP_TBUCKET_GLOBAL_LOOK   2048

/* ms beyond the timeout after which a call that nobody ends is given up */
#define NGX_HTTP_TBUCKET_GLOBAL_STUCK  1000

/* calls that requests may cause in the time of one that is due anyway */
#define NGX_HTTP_TBUCKET_GLOBAL_GAP    4

/* ms between rounds, if buckets do not need more */
#define NGX_HTTP_TBUCKET_GLOBAL_STEP   10

/* calls take one part in so many of the time of rounds */
#define NGX_HTTP_TBUCKET_GLOBAL_PART   6


static void ngx_http_tbucket_global_visit(ngx_http_tbucket_asking_t *a,
    uint32_t place);
static ngx_uint_t ngx_http_tbucket_global_early(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_lease_t *l);
static ngx_uint_t ngx_http_tbucket_global_busy(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_lease_t *l);
static ngx_uint_t ngx_http_tbucket_global_is_over(ngx_http_tbucket_lease_t *l,
    tb_word_t word, tb_limits_t limits);
static ngx_uint_t ngx_http_tbucket_global_is_due(ngx_http_tbucket_lease_t *l,
    tb_word_t word, tb_limits_t limits, uint32_t period);
static void ngx_http_tbucket_global_over(ngx_http_tbucket_asking_t *a,
    uint32_t place, tb_hash_t *h);
static ngx_uint_t ngx_http_tbucket_global_claim(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_lease_t *l, uint64_t need, uint64_t unit);


void
ngx_http_tbucket_global_plan(ngx_http_tbucket_asking_t *a)
{
    ngx_msec_t  refill, step;

    if (a->round || (ngx_msec_int_t) (ngx_current_msec - a->next) < 0) {
        return;
    }

    refill = ngx_max(a->rz->zone->refill, a->spacing);
    step = ngx_min(a->period / 2, NGX_HTTP_TBUCKET_GLOBAL_STEP);
    step = ngx_max(step, ngx_max(TB_LEASE_PERIOD, a->spacing / 4));

    a->round = 1;
    a->settled = 1;
    a->cursor = gw_load_seq_cst(&a->global->n);
    a->period = NGX_MAX_UINT32_VALUE;
    a->calls = 0;
    a->next = ngx_current_msec + step;
    a->wide = 0;

    /* what would be due soon goes with the tick, and not with calls after */

    if ((ngx_msec_int_t) (ngx_current_msec - a->tick) >= 0) {
        a->wide = 1;
        a->tick = ngx_current_msec + refill;
    }
}


void
ngx_http_tbucket_global_askers(ngx_http_tbucket_asking_t *a)
{
    uint64_t                    need, now, unit;
    ngx_queue_t                *q, *next;
    tb_limits_t                 dflt;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_asker_t   *asker;

    dflt = ngx_http_tbucket_limits(a->rz->zone, &now);

    for (q = ngx_queue_head(&a->queue);
         q != ngx_queue_sentinel(&a->queue) && a->n < TB_LEASE_BATCH;
         q = next)
    {
        next = ngx_queue_next(q);

        asker = ngx_queue_data(q, ngx_http_tbucket_asker_t, queue);
        l = &a->global->leases[asker->node.key];

        if (l->lease.answered != asker->answered
            || !ngx_http_tbucket_lease_owns(l, &asker->hash)
            || ngx_http_tbucket_lease_ended(l, dflt))
        {
            /* another worker's call was about it, or it has gone */

            ngx_http_tbucket_global_wake(a, (uint32_t) asker->node.key);

        } else if (ngx_http_tbucket_global_busy(a, l)
                   || ngx_http_tbucket_global_early(a, l))
        {
            continue;

        } else {
            unit = gw_load_seq_cst(&l->unit);
            need = ngx_http_tbucket_global_need(asker, &unit);

            if (!ngx_http_tbucket_global_claim(a, l, need, unit)) {
                continue;
            }
        }

        asker->queued = 0;
        ngx_queue_remove(q);
    }
}


void
ngx_http_tbucket_global_told(ngx_http_tbucket_asking_t *a)
{
    uint32_t                    n;
    uint64_t                    unit;
    ngx_shmtx_t                *mutex;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = a->global;

    if (gw_load_seq_cst(&g->ntold) == 0) {
        return;
    }

    mutex = &a->rz->zone->shpool->mutex;

    ngx_shmtx_lock(mutex);

    while ((n = gw_load_relaxed(&g->ntold)) > 0 && a->n < TB_LEASE_BATCH) {
        gw_store_relaxed(&g->ntold, n - 1);
        l = &g->leases[g->told[n - 1]];
        unit = gw_load_seq_cst(&l->unit);

        /* each of them wants one unit at least; who has more asks again */

        if (gw_load_seq_cst(&l->wanted)
            && !ngx_http_tbucket_global_busy(a, l)
            && !ngx_http_tbucket_global_early(a, l))
        {
            (void) ngx_http_tbucket_global_claim(a, l, unit, unit);
        }
    }

    ngx_shmtx_unlock(mutex);
}


void
ngx_http_tbucket_global_dropped(ngx_http_tbucket_asking_t *a)
{
    uint64_t                     window;
    ngx_shmtx_t                 *mutex;
    ngx_http_tbucket_entry_t    *e;
    ngx_http_tbucket_global_t   *g;
    ngx_http_tbucket_dropped_t  *dropped;

    g = a->global;

    if (g->ndropped == 0) {
        return;
    }

    mutex = &a->rz->zone->shpool->mutex;

    ngx_shmtx_lock(mutex);

    window = ngx_http_tbucket_quota_word(a->rz->zone);

    while (g->ndropped > 0 && a->n < TB_LEASE_BATCH) {
        dropped = &g->dropped[--g->ndropped];

        if (dropped->window != window) {
            continue;
        }

        e = &a->entries[a->n++];

        ngx_memzero(e, sizeof(ngx_http_tbucket_entry_t));

        e->hash = dropped->key;
        e->window = dropped->window;
        e->ask.refund = dropped->refund;
        e->ask.limits = dropped->limits;
        e->ask.hold = -(int64_t) dropped->debt;
        e->ask.heard = dropped->heard;
        e->ask.gen = dropped->gen;
        e->ask.unit = TB_TOKEN;
        e->ask.op = (dropped->alone && dropped->whole && window == 0)
                    ? TB_LEASE_CAP : TB_LEASE_TAKE;

        if (a->rz->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
            ngx_http_tbucket_global_places_none(e, dropped->limits);
        }

        e->alone = dropped->alone;

        /* not before the answer */

        a->settled = 0;
    }

    ngx_shmtx_unlock(mutex);
}


void
ngx_http_tbucket_global_round(ngx_http_tbucket_asking_t *a)
{
    uint32_t      budget;
    uint64_t      since;
    tb_node_t  *node;

    budget = NGX_HTTP_TBUCKET_GLOBAL_LOOK;

    while (a->round && a->cursor > 0 && a->n < TB_LEASE_BATCH
           && budget-- > 0)
    {
        ngx_http_tbucket_global_visit(a, --a->cursor);
    }

    if (!a->round || a->cursor > 0) {
        return;
    }

    node = &a->global->node;

    if (node->unreported && a->settled && a->global->ndropped == 0
        && !tb_node_is_alone(node, ngx_current_msec, &since))
    {
        tb_node_settled(node);
    }

    a->round = 0;
    a->spacing = (uint32_t) ngx_min(a->rtt * a->calls
                                    * NGX_HTTP_TBUCKET_GLOBAL_PART / 1000,
                                    10000);
}


ngx_uint_t
ngx_http_tbucket_global_proves(ngx_http_tbucket_asking_t *a)
{
    uint32_t                    i, n;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = a->global;
    n = gw_load_seq_cst(&g->n);

    if (a->n > 0 || n == 0 || !gw_load_seq_cst(&g->refused)) {
        return 1;
    }

    for (i = 0; i < n && i < NGX_HTTP_TBUCKET_GLOBAL_PROOF; i++) {
        l = &g->leases[g->list[n - 1 - i]];

        if (!ngx_http_tbucket_global_busy(a, l)
            && ngx_http_tbucket_global_claim(a, l, 0,
                                             gw_load_seq_cst(&l->unit)))
        {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_tbucket_global_visit(ngx_http_tbucket_asking_t *a, uint32_t place)
{
    uint32_t                    period;
    tb_hash_t                   h;
    tb_word_t                   word;
    tb_limits_t                 limits;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = a->global;
    zone = a->rz->zone;

    if (place >= gw_load_seq_cst(&g->n)) {
        return;
    }

    l = &g->leases[g->list[place]];

    if (l->place != place || l->shard != a->rz->shard
        || !ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits))
    {
        ngx_http_tbucket_global_over(a, place, NULL);
        return;
    }

    if (l->lease.alone != 0) {
        a->settled = 0;
    }

    if (ngx_http_tbucket_global_busy(a, l)) {
        return;
    }

    if (ngx_http_tbucket_global_is_over(l, word, limits)) {
        ngx_http_tbucket_global_over(a, place, &h);
        return;
    }

    period = tb_lease_period(limits, (uint32_t) zone->refill, a->spacing);
    a->period = ngx_min(a->period, period);

    if (a->wide) {
        period -= period / 8 * 3;
    }

    if (tb_limits_are_places(limits)) {
        ngx_http_tbucket_global_places_trim(a, l, &h, &word,
                                      ngx_http_tbucket_places_limit(limits));
    }

    if (ngx_http_tbucket_global_is_due(l, word, limits, period)) {
        (void) ngx_http_tbucket_global_claim(a, l, 0,
                                             gw_load_seq_cst(&l->unit));
    }
}


static ngx_uint_t
ngx_http_tbucket_global_is_over(ngx_http_tbucket_lease_t *l, tb_word_t word,
    tb_limits_t limits)
{
    if (gw_load_seq_cst(&l->wanted)) {
        return 0;
    }

    return tb_limits_are_places(limits)
           ? tb_lease_places_over(&l->lease, word, ngx_current_msec)
           : tb_lease_is_over(&l->lease, tb_word_tokens(word),
                              ngx_current_msec);
}


static ngx_uint_t
ngx_http_tbucket_global_is_due(ngx_http_tbucket_lease_t *l, tb_word_t word,
    tb_limits_t limits, uint32_t period)
{
    uint64_t  unit;

    if (tb_limits_are_places(limits)) {
        return tb_lease_places_due(&l->lease, word, gw_load_seq_cst(&l->wanted),
                                   period, ngx_current_msec);
    }

    unit = gw_load_seq_cst(&l->unit);

    return tb_lease_is_due(&l->lease, limits, tb_word_tokens(word),
                           unit ? unit : TB_TOKEN, period, ngx_current_msec);
}


/*
 * Requests of a client that asks for more than there is would make a call
 * for each token; they wait for some to come together.
 */

static ngx_uint_t
ngx_http_tbucket_global_early(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_lease_t *l)
{
    uint32_t                  age;
    tb_hash_t                 h;
    tb_word_t                 word;
    tb_limits_t               limits;
    ngx_http_tbucket_zone_t  *zone;

    zone = a->rz->zone;

    if (!l->lease.warm
        || !ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits))
    {
        return 0;
    }

    age = (uint32_t) ngx_current_msec - l->lease.answered;

    return age < tb_lease_period(limits, (uint32_t) zone->refill, a->spacing)
                 / NGX_HTTP_TBUCKET_GLOBAL_GAP;
}


/* Whether a call about the bucket is under way that somebody will end. */

static ngx_uint_t
ngx_http_tbucket_global_busy(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_lease_t *l)
{
    uint32_t  age;
    uint64_t  seq;

    seq = gw_load_seq_cst(&l->lease.seq);

    if (seq == 0) {
        return 0;
    }

    age = (uint32_t) ngx_current_msec - gw_load_seq_cst(&l->claimed);

    if ((int32_t) age <= (int32_t) a->rz->redis->store->timeout
                         + NGX_HTTP_TBUCKET_GLOBAL_STUCK)
    {
        return 1;
    }

    (void) atomic_compare_exchange_strong_explicit(&l->lease.seq, &seq, 0,
                                                   memory_order_seq_cst,
                                                   memory_order_seq_cst);

    return 0;
}


/* h: the lease and the bucket may go, if nothing has changed. */

static void
ngx_http_tbucket_global_over(ngx_http_tbucket_asking_t *a, uint32_t place,
    tb_hash_t *h)
{
    uint64_t                    now;
    tb_hash_t                   owner;
    tb_word_t                   word;
    tb_limits_t                 dflt, limits;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    g = a->global;
    zone = a->rz->zone;
    dflt = ngx_http_tbucket_limits(zone, &now);

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (place < gw_load_seq_cst(&g->n)) {
        l = &g->leases[g->list[place]];

        if (l->place != place || l->shard != a->rz->shard
            || !ngx_http_tbucket_lease_read(zone, l, &owner, &word, &limits))
        {
            ngx_http_tbucket_lease_drop(zone, a->rz->shard, place, 1);

        } else if (h != NULL && owner.lo == h->lo
                   && tb_word_tokens(word) == tb_limits_nothing(limits)
                   && gw_load_seq_cst(&l->lease.seq) == 0)
        {
            if (!tb_limits_are_places(limits)) {
                ngx_http_tbucket_lease_note(zone, l, 0);
            }

            ngx_http_tbucket_lease_drop(zone, a->rz->shard, place, 0);
            tb_table_forget(zone->shared->table, h, now, dflt, 0);
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


/*
 * Adds the bucket to the call, if no other call is about it.  need, unit: see
 * tb_lease_plan().
 */

static ngx_uint_t
ngx_http_tbucket_global_claim(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_lease_t *l, uint64_t need, uint64_t unit)
{
    uint32_t                   period;
    uint64_t                   lent, none, now;
    tb_word_t                  word;
    tb_limits_t                dflt, limits;
    ngx_http_tbucket_zone_t   *zone;
    ngx_http_tbucket_entry_t  *e;

    zone = a->rz->zone;
    e = &a->entries[a->n];

    none = 0;

    gw_store_seq_cst(&l->claimed, (uint32_t) ngx_current_msec);

    /* what nobody has used alone waits until that has been reported */

    if (l->key.lo == 0
        || (gw_load_seq_cst(&a->global->node.returning) && l->lease.alone == 0)
        || gw_load_seq_cst(&a->global->node.joining)
        || !atomic_compare_exchange_strong_explicit(&l->lease.seq, &none,
                                                    a->seq,
                                                    memory_order_seq_cst,
                                                    memory_order_seq_cst))
    {
        return 0;
    }

    /* what is lent by now is in the word that is read after it */

    lent = gw_load_seq_cst(&l->lease.lent);

    if (!ngx_http_tbucket_lease_read(zone, l, &e->hash, &word, &limits)) {
        gw_store_seq_cst(&l->lease.seq, 0);
        return 0;
    }

    if (tb_limits_are_places(limits)) {
        ngx_http_tbucket_global_places_plan(a, l, e, need);

    } else {
        period = tb_lease_period(limits, (uint32_t) zone->refill, a->spacing);

        tb_lease_plan(&l->lease, limits, tb_word_tokens(word), need,
                      unit ? unit : TB_TOKEN, period, ngx_current_msec,
                      &e->ask);

        e->ask.lent = lent;

        /* what requests have taken meanwhile does not go back */

        if (e->ask.back != 0 && e->ask.op == TB_LEASE_TAKE) {
            dflt = ngx_http_tbucket_limits(zone, &now);

            e->ask.back = -tb_table_add(zone->shared->table,
                                        ngx_http_tbucket_lease_slot(zone, l),
                                        &e->hash, now, dflt, -e->ask.back);
        }

        tb_lease_sent(&l->lease, &e->ask, ngx_current_msec);
    }

    e->lease = l;
    e->window = l->lease.window;
    a->n++;

    gw_store_seq_cst(&l->wanted, 0);

    (void) atomic_fetch_add_explicit(&a->global->asked, e->ask.want,
                                     memory_order_relaxed);
    if (e->ask.op == TB_LEASE_TAKE) {
        (void) atomic_fetch_add_explicit(&a->global->returned,
                                         (uint64_t) e->ask.back,
                                         memory_order_relaxed);
    }

    return 1;
}


void
ngx_http_tbucket_global_key(ngx_http_tbucket_rzone_t *rz, u_char *key,
    const tb_hash_t *h, uint64_t window)
{
    key = ngx_sprintf(key, "%V:%016xL%016xL", &rz->bucket, h->hi, h->lo);

    if (rz->zone->kind == NGX_HTTP_TBUCKET_QUOTA) {
        (void) ngx_sprintf(key, ":%012uL", tb_window_minute(window) * 60);
    }
}


void
ngx_http_tbucket_global_window(ngx_http_tbucket_zone_t *zone,
    unsigned char *head)
{
    int64_t       ahead, now, past;
    ngx_time_t   *tp;
    tb_window_t   window;

    if (zone->kind != NGX_HTTP_TBUCKET_QUOTA) {
        return;
    }

    ngx_http_tbucket_quota_window(zone, &window);

    /* a clock that is set, or behind another worker's, is outside of it */

    tp = ngx_timeofday();
    now = tp->sec * (int64_t) 1000000 + tp->msec * 1000;
    past = now - window.begin * 1000000;
    ahead = window.end * 1000000 - now;

    tb_lease_put_window(head, (uint64_t) ngx_max(past, 0),
                        (uint64_t) ngx_max(ahead, 1));
}


void
ngx_http_tbucket_global_args(ngx_http_tbucket_asking_t *a, ngx_uint_t leave)
{
    u_char                    *key;
    tb_hash_t                 *h;
    ngx_uint_t                 i;
    ngx_http_tbucket_args_t   *args;
    ngx_http_tbucket_rzone_t  *rz;

    rz = a->rz;
    args = &rz->redis->scratch->args;

    *ngx_sprintf((u_char *) a->nkeys, "%ui", a->n + 1) = '\0';

    ngx_http_tbucket_redis_begin(rz->redis, args,
                                 NGX_HTTP_TBUCKET_SCRIPT_LEASE, a->nkeys);
    ngx_http_tbucket_redis_str(args, &rz->nodes);

    key = a->keys;

    for (i = 0; i < a->n; i++) {
        h = a->entries[i].lease ? &a->entries[i].lease->key
                                : &a->entries[i].hash;

        ngx_http_tbucket_global_key(rz, key, h, a->entries[i].window);
        ngx_http_tbucket_redis_put(args, key, a->key_len);
        key += a->key_len;

        tb_lease_put(a->parts + i * TB_LEASE_PART, &a->entries[i].ask);
    }

    tb_node_call(&a->global->node, a->seq, a->beat, leave, a->head);
    ngx_http_tbucket_global_window(rz->zone, a->head);

    ngx_http_tbucket_redis_put(args, a->head, TB_LEASE_HEAD);
    ngx_http_tbucket_redis_put(args, a->parts, a->n * TB_LEASE_PART);
}
