
/*
 * Requests that find too few tokens in a leased bucket: whether they are to
 * wait for a lease, are refused, or are served from our share because there
 * are no leases; and what they are charged, or given back, later.
 */


#include "src/tbucket/global/ngx_http_tbucket_global_take.h"
#include "src/core/lease/tb_lease_places.h"
#include "src/core/limit/tb_table_overflow.h"
#include "src/core/limit/tb_take.h"
#include "src/tbucket/global/ngx_http_tbucket_global_places.h"
#include "src/tbucket/global/ngx_http_tbucket_lease_places.h"
#include "src/tbucket/global/ngx_http_tbucket_global_wait.h"
#include "src/tbucket/ngx_http_tbucket_inflight.h"


static ngx_int_t ngx_http_tbucket_global_decide(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t take);
static void ngx_http_tbucket_global_try(ngx_http_tbucket_charge_t *c,
    ngx_uint_t take);
static void ngx_http_tbucket_global_take_known(ngx_http_tbucket_charge_t *c);
static ngx_http_tbucket_lease_t *ngx_http_tbucket_global_enter(
    ngx_http_tbucket_charge_t *c);
static ngx_uint_t ngx_http_tbucket_global_waits(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_lease_t *l);
static uint64_t ngx_http_tbucket_global_retry_quota(
    ngx_http_tbucket_charge_t *c);
static tb_limits_t ngx_http_tbucket_lease_limits(
    ngx_http_tbucket_charge_t *c);
static ngx_http_tbucket_lease_t *ngx_http_tbucket_lease_of(
    ngx_http_tbucket_charge_t *c);
static uint64_t ngx_http_tbucket_global_give_alone(
    ngx_http_tbucket_zone_t *zone, ngx_http_tbucket_lease_t *l,
    uint64_t utok);
static void ngx_http_tbucket_global_overflow(ngx_http_tbucket_charge_t *c,
    ngx_uint_t take);
static ngx_inline tb_limits_t ngx_http_tbucket_global_part(
    ngx_http_tbucket_zone_t *zone, tb_limits_t dflt, uint64_t share);


ngx_int_t
ngx_http_tbucket_global_take(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx)
{
    if (c->verdict != TB_REFUSE) {
        ngx_http_tbucket_global_take_known(c);
    }

    return c->verdict == TB_PASS ? NGX_OK
                                 : ngx_http_tbucket_global_decide(c, ctx, 1);
}


ngx_int_t
ngx_http_tbucket_global_peek(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx)
{
    uint64_t                  now;
    tb_limits_t               dflt;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;
    dflt = ngx_http_tbucket_limits(zone, &now);

    c->verdict = tb_table_peek_known(zone->shared->table, &c->hash, now, dflt,
                                     c->cost, &c->result);

    return c->verdict == TB_PASS ? NGX_OK
                                 : ngx_http_tbucket_global_decide(c, ctx, 0);
}


/*
 * There are too few tokens, or there is no bucket.  NGX_AGAIN: a lease has to
 * be waited for, which never happens if the request has waited.  Only looks
 * unless take.
 */

static ngx_int_t
ngx_http_tbucket_global_decide(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t take)
{
    uint64_t                    now, share, since;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_global_t  *g;

    zone = c->zone;

    if (c->verdict == TB_ABSENT && c->cost == 0) {
        c->verdict = TB_PASS;
        c->result.slot = tb_table_slot(zone->shared->table, 0);
        c->result.limits = ngx_http_tbucket_limits(zone, &now);
        c->result.left = tb_limits_full(zone->limits);
        return NGX_OK;
    }

    l = c->verdict == TB_ABSENT
        ? NULL
        : ngx_http_tbucket_lease_find(zone, c->result.slot, &c->hash);

    if (l == NULL) {
        l = ngx_http_tbucket_global_enter(c);

        if (l == NULL) {
            ngx_http_tbucket_global_overflow(c, take);
            return NGX_OK;
        }

        ngx_http_tbucket_global_try(c, take);

        if (c->verdict == TB_PASS) {
            return NGX_OK;
        }

    } else if (l->key.lo == 0) {

        /* it has been there before there was a name for it */

        ngx_http_tbucket_lease_name(zone, l, &c->hash, &c->client);

        if (c->verdict == TB_PASS) {
            return NGX_OK;
        }
    }

    g = ngx_http_tbucket_lease_global(zone, l);

    if (ngx_http_tbucket_lease_alone(zone, l->shard, &share, &since)) {
        ngx_shmtx_lock(&zone->shpool->mutex);

        if (!ngx_http_tbucket_lease_owns(l, &c->hash)) {
            /* void */

        } else if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
            ngx_http_tbucket_places_credit(zone, l);

        } else {
            ngx_http_tbucket_lease_credit(zone, l, UINT64_MAX);
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);

        ngx_http_tbucket_global_try(c, take);
        return NGX_OK;
    }

    if (c->cost > tb_limits_full(c->result.limits)) {
        return NGX_OK;
    }

    atomic_store_explicit(&l->wanted, 1, memory_order_relaxed);
    atomic_store_explicit(&l->unit, c->cost, memory_order_relaxed);

    if (ctx == NULL || ngx_http_tbucket_global_waited(ctx)) {
        return NGX_OK;
    }

    if (atomic_load_explicit(&g->node.contact, memory_order_relaxed) == 0
        || atomic_load_explicit(&g->node.joining, memory_order_relaxed))
    {
        return NGX_AGAIN;
    }

    return ngx_http_tbucket_global_waits(c, l) ? NGX_AGAIN : NGX_OK;
}


static ngx_http_tbucket_lease_t *
ngx_http_tbucket_global_enter(ngx_http_tbucket_charge_t *c)
{
    ngx_uint_t                 room;
    ngx_http_tbucket_zone_t   *zone;
    ngx_http_tbucket_lease_t  *l;

    zone = c->zone;

    l = ngx_http_tbucket_lease_enter(zone, &c->hash, &c->client);

    if (l != NULL || zone->kind != NGX_HTTP_TBUCKET_INFLIGHT) {
        return l;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    room = ngx_http_tbucket_places_yield(zone, &c->hash);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return room ? ngx_http_tbucket_lease_enter(zone, &c->hash, &c->client)
                : NULL;
}


static ngx_uint_t
ngx_http_tbucket_global_waits(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_lease_t *l)
{
    uint32_t     period;
    tb_limits_t  limits;

    limits = ngx_http_tbucket_lease_limits(c);
    period = tb_lease_period(limits, c->zone->refill, 0);

    return c->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT
           ? tb_lease_places_waits(&l->lease, period, ngx_current_msec)
           : tb_lease_waits(&l->lease, limits, c->result.left, c->cost,
                            period, ngx_current_msec);
}


static void
ngx_http_tbucket_global_try(ngx_http_tbucket_charge_t *c, ngx_uint_t take)
{
    uint64_t      now;
    tb_table_t   *table;
    tb_limits_t   limits;

    table = c->zone->shared->table;
    limits = ngx_http_tbucket_limits(c->zone, &now);

    if (take) {
        ngx_http_tbucket_global_take_known(c);

    } else {
        c->verdict = tb_table_peek_known(table, &c->hash, now, limits, c->cost,
                                         &c->result);
    }

    if (c->verdict == TB_ABSENT) {
        ngx_http_tbucket_global_overflow(c, take);
    }
}


static void
ngx_http_tbucket_global_take_known(ngx_http_tbucket_charge_t *c)
{
    uint64_t                  now;
    tb_limits_t               dflt;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;

    if (zone->kind != NGX_HTTP_TBUCKET_INFLIGHT) {
        dflt = ngx_http_tbucket_limits(zone, &now);
        c->verdict = tb_table_take_known(zone->shared->table, &c->hash, now,
                                         dflt, c->cost, &c->result);
        return;
    }

    ngx_http_tbucket_inflight_leased(c,
        ngx_http_tbucket_global_part(zone, zone->limits,
                                     ngx_http_tbucket_lease_share(zone)));

    if (c->result.slot == NULL) {
        c->result.slot = tb_table_slot(zone->shared->table, 0);
    }
}


/*
 * The word owes it, and the next call about the bucket says so.  A request may
 * have lasted longer than its bucket was here.
 */

uint64_t
ngx_http_tbucket_global_charge(ngx_http_tbucket_charge_t *c, uint64_t utok,
    tb_result_t *result)
{
    uint64_t                  charged, now;
    tb_table_t               *table;
    tb_limits_t               dflt;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;
    table = zone->shared->table;
    dflt = ngx_http_tbucket_limits(zone, &now);

    if (tb_table_charge(table, &c->hash, now, dflt, utok,
                        -TB_DEBT_MAX, result, &charged)
        == TB_PASS)
    {
        if (ngx_http_tbucket_lease_find(zone, result->slot, &c->hash)
            == NULL)
        {
            (void) ngx_http_tbucket_lease_enter(zone, &c->hash, &c->client);
        }

        return charged;
    }

    if (ngx_http_tbucket_lease_enter(zone, &c->hash, &c->client) == NULL
        || tb_table_charge(table, &c->hash, now, dflt, utok,
                           -TB_DEBT_MAX, result, &charged)
           != TB_PASS)
    {
        tb_table_charge_overflow(table, now,
                                 ngx_http_tbucket_global_part(zone, dflt,
                                         ngx_http_tbucket_lease_share(zone)),
                                 utok, -TB_DEBT_MAX, result, &charged);
    }

    return charged;
}


/*
 * A word holds no more than Redis has recorded for it, so what is given back
 * goes along with the next call; while there are none, it goes into the word,
 * as far as that had more before.
 */

void
ngx_http_tbucket_global_give(ngx_http_tbucket_charge_t *c, uint64_t utok)
{
    tb_slot_t                 *slot;
    ngx_shmtx_t               *mutex;
    ngx_http_tbucket_zone_t   *zone;
    ngx_http_tbucket_lease_t  *l;

    zone = c->zone;
    mutex = &zone->shpool->mutex;

    if (c->cost != 0 && !(c->result.limits & TB_LIMITS_LEASED)) {
        tb_table_give_overflow(zone->shared->table, ngx_current_msec,
                               c->result.limits, utok);
        return;
    }

    slot = tb_table_find(zone->shared->table, &c->hash);
    l = slot ? ngx_http_tbucket_lease_find(zone, slot, &c->hash) : NULL;

    if (l == NULL) {
        l = ngx_http_tbucket_lease_enter(zone, &c->hash, &c->client);
    }

    if (l == NULL) {
        return;
    }

    ngx_shmtx_lock(mutex);

    /* or it is another's by now */

    if (ngx_http_tbucket_lease_owns(l, &c->hash)) {
        utok -= ngx_http_tbucket_global_give_alone(zone, l, utok);
        (void) atomic_fetch_add_explicit(&l->lease.refund, (int64_t) utok,
                                         memory_order_seq_cst);
    }

    ngx_shmtx_unlock(mutex);
}


/* With the mutex held; what it came to. */

static uint64_t
ngx_http_tbucket_global_give_alone(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, uint64_t utok)
{
    int64_t      room;
    uint64_t     now, share, since;
    tb_hash_t    h;
    tb_word_t    word;
    tb_limits_t  dflt, limits;

    if (!ngx_http_tbucket_lease_alone(zone, l->shard, &share, &since)) {
        return 0;
    }

    ngx_http_tbucket_lease_credit(zone, l, UINT64_MAX);

    if (l->lease.alone == 0
        || !ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits)
        || l->lease.credited <= tb_word_tokens(word))
    {
        return 0;
    }

    room = ngx_min(l->lease.credited - tb_word_tokens(word), (int64_t) utok);

    /* a call that is under way does not know of it */

    l->lease.alone = (uint32_t) ngx_current_msec | 1;
    dflt = ngx_http_tbucket_limits(zone, &now);

    return (uint64_t) tb_table_add(zone->shared->table,
                                   ngx_http_tbucket_lease_slot(zone, l), &h,
                                   now, dflt, room);
}


/*
 * Takes the cost into debt.  Where others do the same, each has a turn of its
 * own all the same, as all of it is charged to one bucket.
 */

ngx_uint_t
ngx_http_tbucket_global_lend(ngx_http_tbucket_charge_t *c)
{
    uint64_t                   charged, share, since;
    tb_result_t                result;
    ngx_http_tbucket_lease_t  *l;

    l = c->result.slot ? ngx_http_tbucket_lease_of(c) : NULL;

    if (l == NULL
        || tb_table_charge(c->zone->shared->table, &c->hash, ngx_current_msec,
                           c->zone->limits, c->cost, -TB_DEBT_MAX, &result,
                           &charged)
           != TB_PASS)
    {
        return 0;
    }

    if (charged != c->cost) {
        ngx_http_tbucket_global_give(c, charged);
        return 0;
    }

    c->ticket = 0;

    if (!ngx_http_tbucket_lease_alone(c->zone, l->shard, &share, &since)) {
        c->ticket = atomic_fetch_add_explicit(&l->lease.lent, c->cost,
                                              memory_order_seq_cst)
                    + c->cost;
    }

    c->verdict = TB_PASS;
    c->result = result;
    c->result.left = ngx_min(result.left, -1);

    return 1;
}


uint64_t
ngx_http_tbucket_global_turn(ngx_http_tbucket_charge_t *c)
{
    uint64_t                   ms, share, since;
    ngx_http_tbucket_lease_t  *l;

    l = c->ticket ? ngx_http_tbucket_lease_of(c) : NULL;

    if (l == NULL) {
        return 0;
    }

    if (tb_lease_turn(&l->lease, c->result.limits, c->ticket,
                      ngx_current_msec, &ms))
    {
        c->ticket = 0;
        return ms;
    }

    if (ngx_http_tbucket_lease_alone(c->zone, l->shard, &share, &since)) {

        /* there will be no answer; c->result is as it was when it came */

        c->ticket = 0;
        return tb_lease_wait_alone(c->result.limits, share, c->result.left,
                                   0);
    }

    return TB_LEASE_PERIOD;
}


uint64_t
ngx_http_tbucket_global_left(ngx_http_tbucket_charge_t *c)
{
    int64_t                    left;
    uint64_t                   share, since;
    ngx_http_tbucket_lease_t  *l;

    l = ngx_http_tbucket_lease_of(c);

    if (l != NULL
        && ngx_http_tbucket_lease_alone(c->zone, l->shard, &share, &since))
    {
        l = NULL;
    }

    if (c->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        left = ngx_max(c->result.left - tb_limits_lowest(c->result.limits),
                       0);

        return l ? tb_lease_places_left(&l->lease, (uint64_t) left,
                             ngx_http_tbucket_places_limit(c->result.limits))
                 : (uint64_t) left;
    }

    left = l ? tb_lease_remainder(&l->lease, c->result.limits,
                                  c->result.left)
             : c->result.left - tb_limits_lowest(c->result.limits);

    return left > 0 ? (uint64_t) left : 0;
}


uint64_t
ngx_http_tbucket_global_retry(ngx_http_tbucket_charge_t *c)
{
    uint64_t                   share, since;
    tb_word_t                  word;
    tb_limits_t                limits;
    ngx_http_tbucket_lease_t  *l;

    if (c->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        return NGX_HTTP_TBUCKET_INFLIGHT_WAIT;
    }

    if (c->zone->kind == NGX_HTTP_TBUCKET_QUOTA) {
        return ngx_http_tbucket_global_retry_quota(c);
    }

    limits = c->result.limits;
    l = ngx_http_tbucket_lease_of(c);

    if (l != NULL && c->cost <= tb_limits_full(limits)
        && ngx_http_tbucket_lease_alone(c->zone, l->shard, &share, &since))
    {
        return tb_lease_wait_alone(limits, share, c->result.left
                                   - (int64_t) tb_lease_taken_over(&l->lease,
                                                                   share),
                                   c->cost);
    }

    if (l != NULL) {
        return tb_lease_wait(&l->lease, limits, c->result.left, c->cost,
                             ngx_current_msec);
    }

    word = c->result.word;

    if ((limits & TB_LIMITS_LEASED) || c->cost > tb_limits_full(limits)) {

        /* not what is shared here, whose limits are a part that may grow */

        word = tb_word(0, ngx_current_msec);
        limits = c->zone->limits;
    }

    return tb_word_wait(word, limits, ngx_current_msec, c->cost);
}


/*
 * A quota is full again with the next window; of who has not been told what is
 * left, nobody knows, and what others have may come back.
 */

static uint64_t
ngx_http_tbucket_global_retry_quota(ngx_http_tbucket_charge_t *c)
{
    uint64_t                   share, since;
    tb_limits_t                limits;
    ngx_http_tbucket_lease_t  *l;

    limits = ngx_http_tbucket_lease_limits(c);

    if (c->cost > tb_limits_full(limits)) {
        return NGX_HTTP_TBUCKET_NEVER;
    }

    l = ngx_http_tbucket_lease_of(c);

    if (l != NULL
        && !ngx_http_tbucket_lease_alone(c->zone, l->shard, &share, &since)
        && (!l->lease.warm
            || tb_lease_wait(&l->lease, limits, c->result.left, c->cost,
                             ngx_current_msec) != UINT64_MAX))
    {
        return 1;
    }

    return ngx_http_tbucket_quota_left(c->zone);
}


/* The limits in force as those of a lease. */

static tb_limits_t
ngx_http_tbucket_lease_limits(ngx_http_tbucket_charge_t *c)
{
    return c->zone->kind == NGX_HTTP_TBUCKET_QUOTA
           ? tb_limits(tb_limits_capacity(c->result.limits), 0, 0)
           : c->result.limits;
}


static ngx_http_tbucket_lease_t *
ngx_http_tbucket_lease_of(ngx_http_tbucket_charge_t *c)
{
    return ngx_http_tbucket_lease_find(c->zone, c->result.slot, &c->hash);
}


int64_t
ngx_http_tbucket_global_tokens(ngx_http_tbucket_zone_t *zone,
    const tb_hash_t *h, const tb_result_t *bucket)
{
    ngx_http_tbucket_lease_t  *l;

    if (tb_limits_are_places(bucket->limits)) {

        /* as if all others were free */

        return TB_COST_MAX - tb_places_used(bucket->word) * TB_TOKEN;
    }

    l = ngx_http_tbucket_lease_find(zone, bucket->slot, h);

    if (l == NULL || !l->lease.warm) {
        return (int64_t) tb_limits_full(bucket->limits)
               + ngx_min(bucket->left, 0);
    }

    return l->lease.alone ? bucket->left
                          : tb_lease_remainder(&l->lease, bucket->limits,
                                               bucket->left);
}


/*
 * Keys for which there is neither room nor anybody to displace, since all in
 * reach are registered: they share a bucket of this node, with the node's
 * share of the limit, which needs no lease.  It begins empty, so that no node
 * that comes brings tokens along.
 */

static void
ngx_http_tbucket_global_overflow(ngx_http_tbucket_charge_t *c,
    ngx_uint_t take)
{
    uint64_t                  now, share;
    tb_limits_t               dflt, limits;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;
    dflt = ngx_http_tbucket_limits(zone, &now);

    /* a larger share counts when the time before has been credited */

    share = ngx_min(gw_load_seq_cst(&zone->shared->global->credited),
                    ngx_http_tbucket_lease_share(zone));

    limits = ngx_http_tbucket_global_part(zone, dflt, share);

    c->result.slot = tb_table_slot(zone->shared->table, 0);

    if (tb_limits_capacity(limits) == 0 || tb_limits_rate(limits) == 0) {
        c->verdict = TB_REFUSE;
        c->result.word = tb_word(0, now);
        c->result.limits = dflt;
        c->result.left = 0;
        return;
    }

    if (take && zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        ngx_http_tbucket_inflight_share(c, limits);
        c->result.slot = tb_table_slot(zone->shared->table, 0);
        return;
    }

    c->verdict = tb_table_take_overflow(zone->shared->table, now, limits,
                                        c->cost, &c->result, take != 0);
}


void
ngx_http_tbucket_global_refill(ngx_http_tbucket_zone_t *zone)
{
    uint64_t                    credited, now, share;
    tb_limits_t                 dflt, limits;
    ngx_http_tbucket_global_t  *g;

    g = zone->shared->global;

    share = ngx_http_tbucket_lease_share(zone);
    credited = gw_load_seq_cst(&g->credited);

    dflt = ngx_http_tbucket_limits(zone, &now);
    limits = ngx_http_tbucket_global_part(zone, dflt,
                                          ngx_min(share, credited));

    /* no share for now: what it holds stays, and time earns nothing */

    if (tb_limits_capacity(limits) == 0
        && zone->kind == NGX_HTTP_TBUCKET_RATE)
    {
        limits = tb_limits(tb_limits_capacity(zone->limits), 0, 0);
    }

    gw_store_seq_cst(&g->credited, share);

    if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        tb_table_tick_overflow(zone->shared->table, ngx_current_msec,
                               zone->limits & ~TB_LIMITS_LEASED, false);
        ngx_http_tbucket_places_sweep(zone);
        return;
    }

    tb_table_tick_overflow(zone->shared->table, now, limits, true);
    ngx_http_tbucket_lease_sweep(zone);
}


/* Rounded down: parts of all nodes are no more than the whole. */

static ngx_inline tb_limits_t
ngx_http_tbucket_global_part(ngx_http_tbucket_zone_t *zone, tb_limits_t dflt,
    uint64_t share)
{
    uint32_t  capacity;

    capacity = (uint32_t) (tb_limits_capacity(dflt) * share / TB_LEASE_ALL);

    if (dflt & TB_LIMITS_WINDOW) {
        return tb_limits(capacity, tb_limits_rate(dflt), TB_LIMITS_WINDOW);
    }

    if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        return tb_limits(TB_CAPACITY_MAX,
                         tb_limits_rate(zone->limits) * share / TB_LEASE_ALL,
                         TB_LIMITS_PLACES);
    }

    return tb_limits(capacity, tb_limits_rate(dflt) * share / TB_LEASE_ALL,
                     0);
}
