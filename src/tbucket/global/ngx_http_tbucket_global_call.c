
/*
 * Calls to Redis about leases.  Each worker asks for what its own requests
 * wait for; the leader goes through all leases in rounds besides, and shows
 * that the node lives.  A worker has one call under way at a time, and what
 * comes up meanwhile goes with the next.
 */


#include "src/tbucket/global/ngx_http_tbucket_global_call.h"
#include "src/common/ngx_gw_clock.h"
#include "src/core/limit/tb_take.h"
#include "src/tbucket/global/ngx_http_tbucket_global_join.h"
#include "src/tbucket/global/ngx_http_tbucket_global_places.h"
#include "src/tbucket/global/ngx_http_tbucket_global_round.h"
#include "src/tbucket/global/ngx_http_tbucket_global_wait.h"
#include "src/tbucket/global/ngx_http_tbucket_lease_places.h"


/* us by which the leader comes first */
#define NGX_HTTP_TBUCKET_GLOBAL_YIELD  2000


static ngx_int_t ngx_http_tbucket_global_scratch(
    ngx_http_tbucket_rzone_t *rz, ngx_cycle_t *cycle);
static void ngx_http_tbucket_global_post(ngx_event_t *ev);
static void ngx_http_tbucket_global_timer(ngx_event_t *ev);
static void ngx_http_tbucket_global_pump(ngx_http_tbucket_asking_t *a);
static ngx_uint_t ngx_http_tbucket_global_rests(ngx_http_tbucket_asking_t *a);
static void ngx_http_tbucket_global_tell(ngx_http_tbucket_asking_t *a);
static void ngx_http_tbucket_global_send(ngx_http_tbucket_asking_t *a);
static void ngx_http_tbucket_global_on_reply(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_global_replied(ngx_http_tbucket_asking_t *a,
    tb_lease_reply_t *reply);
static void ngx_http_tbucket_global_answered(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_entry_t *e, tb_lease_answer_t *answer);
static void ngx_http_tbucket_global_dropped_again(
    ngx_http_tbucket_asking_t *a, ngx_http_tbucket_entry_t *e);
static void ngx_http_tbucket_global_lost(ngx_http_tbucket_asking_t *a);


ngx_int_t
ngx_http_tbucket_global_create(ngx_http_tbucket_rzone_t *rz,
    ngx_cycle_t *cycle)
{
    ngx_http_tbucket_asking_t  *a;

    if (rz->shard == 0
        && ngx_http_tbucket_global_scratch(rz, cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    a = &rz->zone->asking[rz->shard];

    a->key_len = ngx_http_tbucket_global_key_len(rz);
    a->answers = rz->zone->asking->answers;
    a->parts = rz->zone->asking->parts;
    a->keys = rz->zone->asking->keys;

    a->entries = ngx_palloc(cycle->pool, TB_LEASE_BATCH
                                         * sizeof(ngx_http_tbucket_entry_t));
    if (a->entries == NULL) {
        return NGX_ERROR;
    }

    a->rz = rz;
    a->global = &rz->zone->shared->global[rz->shard];
    a->period = NGX_MAX_UINT32_VALUE;

    ngx_rbtree_init(&a->askers, &a->sentinel, ngx_rbtree_insert_value);
    ngx_queue_init(&a->queue);

    a->post.handler = ngx_http_tbucket_global_post;
    a->post.data = a;
    a->post.log = cycle->log;

    a->timer.handler = ngx_http_tbucket_global_timer;
    a->timer.data = a;
    a->timer.log = cycle->log;
    a->timer.cancelable = 1;

    return NGX_OK;
}


/* What all shards of a zone take turns with, when the first one comes. */

static ngx_int_t
ngx_http_tbucket_global_scratch(ngx_http_tbucket_rzone_t *rz,
    ngx_cycle_t *cycle)
{
    size_t                      len;
    ngx_http_tbucket_asking_t  *a;

    a = ngx_pcalloc(cycle->pool, rz->redis->nshards
                                 * sizeof(ngx_http_tbucket_asking_t));
    if (a == NULL) {
        return NGX_ERROR;
    }

    /* the number of another shard may have more digits */

    len = ngx_http_tbucket_global_key_len(rz) + NGX_INT_T_LEN;

    a->answers = ngx_palloc(cycle->pool, TB_LEASE_BATCH
                                         * sizeof(tb_lease_answer_t));
    a->parts = ngx_palloc(cycle->pool, TB_LEASE_CALL_MAX);
    a->keys = ngx_palloc(cycle->pool, TB_LEASE_BATCH * len);

    if (a->answers == NULL || a->parts == NULL || a->keys == NULL) {
        return NGX_ERROR;
    }

    rz->zone->asking = a;

    return NGX_OK;
}


void
ngx_http_tbucket_global_stop(ngx_http_tbucket_rzone_t *rz)
{
    ngx_http_tbucket_asking_t  *a;

    a = &rz->zone->asking[rz->shard];

    if (a->timer.timer_set) {
        ngx_del_timer(&a->timer);
    }

    if (a->post.posted) {
        ngx_delete_posted_event(&a->post);
    }
}


void
ngx_http_tbucket_global_joined(ngx_http_tbucket_rzone_t *rz)
{
    ngx_http_tbucket_asking_t  *a;

    a = &rz->zone->asking[rz->shard];

    a->round = 0;
    a->looked = ngx_current_msec;

    if (rz->leader && !a->timer.timer_set) {
        ngx_add_timer(&a->timer, 1);
    }

    ngx_post_event(&a->post, &ngx_posted_events);
}


static void
ngx_http_tbucket_global_post(ngx_event_t *ev)
{
    ngx_http_tbucket_global_pump(ev->data);
}


static void
ngx_http_tbucket_global_timer(ngx_event_t *ev)
{
    uint64_t                    share, since;
    ngx_msec_t                  wait;
    ngx_http_tbucket_asking_t  *a;

    a = ev->data;

    if (ngx_http_tbucket_lease_alone(a->rz->zone, a->rz->shard, &share,
                                     &since))
    {
        ngx_http_tbucket_global_wake(a, UINT32_MAX);

        if (a->rz->leader) {
            (void) atomic_fetch_add_explicit(&a->global->degraded,
                                             ngx_current_msec - a->looked,
                                             memory_order_relaxed);
        }
    }

    a->looked = ngx_current_msec;

    wait = NGX_HTTP_TBUCKET_GLOBAL_POLL;

    if (a->rz->leader) {
        ngx_http_tbucket_global_plan(a);

        wait = a->next - ngx_current_msec;
        wait = ngx_min(wait, TB_LEASE_BEAT);
        wait = ngx_max(wait, 1);
    }

    ngx_http_tbucket_global_pump(a);

    if (a->askers.root != a->askers.sentinel) {
        wait = ngx_min(wait, NGX_HTTP_TBUCKET_GLOBAL_POLL);

    } else if (!a->rz->leader) {
        return;
    }

    ngx_add_timer(ev, wait);
}


/* Sends what is to be sent, as soon as it can be. */

static void
ngx_http_tbucket_global_pump(ngx_http_tbucket_asking_t *a)
{
    ngx_http_tbucket_global_t  *g;

    g = a->global;

    if (a->busy || !ngx_gw_redis_is_up(a->rz->redis->command)
        || ngx_http_tbucket_redis_rest(a->rz, NGX_HTTP_TBUCKET_TROUBLE_LEASE))
    {
        return;
    }

    if (gw_load_relaxed(&a->rz->mirror->store) != a->rz->redis->identity
        || gw_load_seq_cst(&a->rz->first->mirror->agreed)
           != NGX_HTTP_TBUCKET_AGREED)
    {
        /* a reload has named another Redis: this worker is about to exit; or
           this one has the buckets elsewhere */

        return;
    }

    a->n = 0;
    a->beat = 0;

    if (gw_load_seq_cst(&g->node.contact) == 0
        || gw_load_seq_cst(&g->unknown))
    {

        if (!a->rz->leader) {
            return;
        }

        a->seq = ngx_http_tbucket_lease_next(g);

        ngx_http_tbucket_global_join(a);

        if (a->beat) {
            ngx_http_tbucket_global_send(a);
        }

        return;
    }

    a->beat = a->rz->leader
              && (ngx_msec_t) (ngx_current_msec - a->beaten) >= TB_LEASE_BEAT;

    if (!a->beat && ngx_http_tbucket_global_rests(a)) {
        return;
    }

    a->seq = ngx_http_tbucket_lease_next(g);

    ngx_http_tbucket_global_askers(a);

    if (a->rz->leader) {
        ngx_http_tbucket_global_told(a);
        ngx_http_tbucket_global_dropped(a);
        ngx_http_tbucket_global_round(a);
    }

    if (a->beat && !ngx_http_tbucket_global_proves(a)) {
        a->beat = 0;
    }

    if (a->n > 0 || a->beat) {
        ngx_http_tbucket_global_send(a);

    } else if (a->round) {
        ngx_post_event(&a->post, &ngx_posted_next_events);
    }
}


/*
 * How often a node calls Redis, whatever comes: all workers share the turns
 * that tb_node_rest() gives.  A worker whose turn it is not tells the leader
 * what its requests wait for, so that all of it goes with that one's next call
 * and no worker waits for many turns.
 */

static ngx_uint_t
ngx_http_tbucket_global_rests(ngx_http_tbucket_asking_t *a)
{
    uint64_t                    now, rest;
    ngx_msec_t                  wait;
    ngx_http_tbucket_global_t  *g;

    g = a->global;
    now = ngx_gw_usec();

    if (!a->rz->leader) {
        now -= NGX_HTTP_TBUCKET_GLOBAL_YIELD;
    }

    rest = tb_node_rest(&g->turn, now);

    if (rest == 0) {
        return 0;
    }

    if (ngx_queue_empty(&a->queue)
        && (!a->rz->leader || (!a->round && gw_load_seq_cst(&g->ntold) == 0)))
    {
        return 1;
    }

    if (!a->rz->leader) {
        ngx_http_tbucket_global_tell(a);
    }

    wait = (ngx_msec_t) (rest / 1000) + 1;

    if (a->timer.timer_set
        && (ngx_msec_int_t) (a->timer.timer.key - ngx_current_msec - wait) > 0)
    {
        /* or it would be left as it is */

        ngx_del_timer(&a->timer);
    }

    if (!a->timer.timer_set) {
        ngx_add_timer(&a->timer, wait);
    }

    return 1;
}


static void
ngx_http_tbucket_global_tell(ngx_http_tbucket_asking_t *a)
{
    uint32_t                    n;
    ngx_uint_t                  budget;
    ngx_queue_t                *q;
    ngx_shmtx_t                *mutex;
    ngx_http_tbucket_asker_t   *asker;
    ngx_http_tbucket_global_t  *g;

    g = a->global;
    mutex = &a->rz->zone->shpool->mutex;
    budget = 2 * TB_LEASE_BATCH;

    ngx_shmtx_lock(mutex);

    n = gw_load_relaxed(&g->ntold);

    for (q = ngx_queue_head(&a->queue);
         q != ngx_queue_sentinel(&a->queue) && n < TB_LEASE_BATCH
         && budget-- > 0;
         q = ngx_queue_next(q))
    {
        asker = ngx_queue_data(q, ngx_http_tbucket_asker_t, queue);

        if ((ngx_msec_t) (ngx_current_msec - asker->told)
            >= NGX_HTTP_TBUCKET_GLOBAL_TELL)
        {
            asker->told = ngx_current_msec;
            g->told[n++] = (uint32_t) asker->node.key;
        }
    }

    gw_store_relaxed(&g->ntold, n);

    ngx_shmtx_unlock(mutex);
}


static void
ngx_http_tbucket_global_send(ngx_http_tbucket_asking_t *a)
{
    ngx_http_tbucket_args_t  *args;

    args = &a->rz->redis->scratch->args;

    ngx_http_tbucket_global_args(a, 0);

    a->busy = 1;
    a->calls++;
    a->sent = ngx_gw_usec();

    (void) atomic_fetch_add_explicit(&a->global->calls, 1,
                                     memory_order_relaxed);
    tb_node_called(&a->global->turn, gw_load_seq_cst(&a->global->n), a->sent);

    if (a->beat) {
        a->beaten = ngx_current_msec;
    }

    if (ngx_gw_redis_command(a->rz->redis->command,
                             ngx_http_tbucket_global_on_reply, a, args->n,
                             args->value, args->len)
        != NGX_OK)
    {
        a->busy = 0;
        ngx_http_tbucket_global_lost(a);
    }
}


static void
ngx_http_tbucket_global_on_reply(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    tb_lease_reply_t            r;
    ngx_http_tbucket_asking_t  *a = data;

    (void) link;

    a->busy = 0;

    if (reply == NULL) {
        ngx_http_tbucket_global_lost(a);
        return;
    }

    if (reply->type == REDIS_REPLY_STRING
        && tb_lease_read((unsigned char *) reply->str, (size_t) reply->len,
                         (uint32_t) a->n, &r, a->answers))
    {
        a->rtt = (a->rtt * 7 + ngx_gw_usec() - a->sent) / 8;

        if (a->n > 0) {
            atomic_store_explicit(&a->global->refused, 0,
                                  memory_order_relaxed);
        }

        ngx_http_tbucket_redis_fine(a->rz, NGX_HTTP_TBUCKET_TROUBLE_LEASE);
        ngx_http_tbucket_global_replied(a, &r);

    } else {

        if (a->n > 0) {
            atomic_store_explicit(&a->global->refused, 1,
                                  memory_order_relaxed);
        }

        ngx_http_tbucket_redis_refused(a->rz, NGX_HTTP_TBUCKET_TROUBLE_LEASE,
                                       "tokens cannot be leased", reply);

        if (a->beat) {
            a->beaten = ngx_current_msec;
        }

        ngx_http_tbucket_global_lost(a);
        return;
    }

    ngx_post_event(&a->post, &ngx_posted_events);
}


static void
ngx_http_tbucket_global_replied(ngx_http_tbucket_asking_t *a,
    tb_lease_reply_t *reply)
{
    ngx_uint_t                  i;
    ngx_http_tbucket_global_t  *g;

    g = a->global;

    if (reply->status == TB_LEASE_UNKNOWN) {
        gw_store_seq_cst(&g->unknown, 1);
        ngx_http_tbucket_global_lost(a);
        return;
    }

    /* words that have refilled alone are nothing that it knows of */

    if (a->beat && gw_load_seq_cst(&g->node.contact) == 0
        && a->rz->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT)
    {
        ngx_http_tbucket_places_clear(a->rz->zone, a->rz->shard);

    } else if (a->beat && gw_load_seq_cst(&g->node.contact) == 0
        && !ngx_http_tbucket_lease_clear(a->rz->zone, a->rz->shard,
                                          NGX_HTTP_TBUCKET_LEASE_CLEAR))
    {
        ngx_http_tbucket_global_lost(a);
        return;
    }

    if (a->beat) {
        tb_node_replied(&g->node, a->seq, reply, ngx_current_msec);

        gw_store_seq_cst(&g->nodes, reply->nodes);

        if (reply->share > 0) {
            gw_store_seq_cst(&g->share, reply->share);
        }
    }

    for (i = 0; i < a->n; i++) {
        ngx_http_tbucket_global_answered(a, &a->entries[i], &a->answers[i]);
    }
}


static void
ngx_http_tbucket_global_answered(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_entry_t *e, tb_lease_answer_t *answer)
{
    int64_t                    delta;
    uint64_t                   granted, now, seq;
    tb_limits_t                dflt;
    ngx_http_tbucket_zone_t   *zone;
    ngx_http_tbucket_lease_t  *l;

    l = e->lease;
    zone = a->rz->zone;
    seq = a->seq;

    /* an answer that comes too late is of no use: what it grants is lost */

    if (l == NULL || gw_load_seq_cst(&l->lease.seq) != a->seq
        || !ngx_http_tbucket_lease_owns(l, &e->hash))
    {
        return;
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (ngx_http_tbucket_lease_ended(l, dflt)) {

        /* void: the window is over */

    } else if (answer->status == TB_LEASE_OK && e->ask.op == TB_LEASE_PLACES) {
        granted = ngx_http_tbucket_global_places_answered(a, e, answer);
        (void) atomic_fetch_add_explicit(&a->global->granted, granted,
                                         memory_order_relaxed);

    } else if (answer->status == TB_LEASE_OK) {
        delta = tb_lease_answered(&l->lease, &e->ask, answer,
                                  ngx_current_msec);

        if (delta != 0) {
            (void) tb_table_add(zone->shared->table,
                                ngx_http_tbucket_lease_slot(zone, l),
                                &e->hash, now, dflt, delta);
        }

        if (delta > 0) {
            (void) atomic_fetch_add_explicit(&a->global->granted,
                                             (uint64_t) delta,
                                             memory_order_relaxed);
        }
    }

    (void) atomic_compare_exchange_strong_explicit(&l->lease.seq, &seq, 0,
                                                   memory_order_seq_cst,
                                                   memory_order_seq_cst);

    ngx_http_tbucket_global_wake(a, (uint32_t) (l - a->global->leases));
}


/* What was displaced is reported once more. */

static void
ngx_http_tbucket_global_dropped_again(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_entry_t *e)
{
    ngx_shmtx_t                 *mutex;
    ngx_http_tbucket_global_t   *g;
    ngx_http_tbucket_dropped_t  *dropped;

    g = a->global;
    mutex = &a->rz->zone->shpool->mutex;

    ngx_shmtx_lock(mutex);

    if (g->ndropped < NGX_HTTP_TBUCKET_DROPPED) {
        dropped = &g->dropped[g->ndropped++];

        dropped->key = e->hash;
        dropped->limits = e->ask.limits;
        dropped->debt = (uint64_t) -e->ask.hold;
        dropped->refund = e->ask.refund;
        dropped->window = e->window;
        dropped->heard = e->ask.heard;
        dropped->gen = e->ask.gen;
        dropped->alone = e->alone;
        dropped->whole = (e->ask.op == TB_LEASE_CAP);
    }

    ngx_shmtx_unlock(mutex);
}


/* Nobody knows what came of the call: tokens may be lost, none is doubled. */

static void
ngx_http_tbucket_global_lost(ngx_http_tbucket_asking_t *a)
{
    uint64_t                   seq;
    ngx_uint_t                 i;
    ngx_http_tbucket_lease_t  *l;

    for (i = 0; i < a->n; i++) {
        l = a->entries[i].lease;
        seq = a->seq;

        if (l != NULL) {
            (void) atomic_compare_exchange_strong_explicit(
                       &l->lease.seq, &seq, 0,
                       memory_order_seq_cst, memory_order_seq_cst);
            ngx_http_tbucket_global_wake(a,
                                         (uint32_t) (l - a->global->leases));

        } else {
            ngx_http_tbucket_global_dropped_again(a, &a->entries[i]);
        }
    }

    a->n = 0;
}
