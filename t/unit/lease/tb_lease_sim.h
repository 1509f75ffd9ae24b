
/*
 * The lease protocol in virtual time: nodes with real policy code, and calls
 * that are lost, late and out of order.  One meter sees each admission: a
 * bucket of the capacity that fills at the rate may never be overdrawn.  What
 * is charged later it sees at once; so it may be overdrawn by the debts that
 * nodes and Redis have on their books, and by no more.  What is given back it
 * gets when some node may use it: with the call that brings it to Redis.
 *
 * Where there are quotas, each window has a meter of its own, which is full at
 * first; what nodes have taken alone, and Redis has not been charged with yet,
 * is on their books as well.  Nodes' clocks differ by up to 1 s.
 *
 * Here: the state of a run, its events, and what a node does.
 */


#ifndef TB_LEASE_SIM_H
#define TB_LEASE_SIM_H


#include "src/core/lease/tb_lease_quota.h"
#include "src/core/limit/tb_recall.h"
#include "src/core/limit/tb_window.h"
#include "t/unit/lease/tb_lease_redis.h"
#include "t/unit/tb_random.h"


#define NODES     4
#define BUCKETS   2
#define WINDOWS   8                /* of a run, at most */
#define CALLS     512
#define EVENTS    32768
#define TURNS     4096

/* admitted of what is allowed, in 1/1000 */
#define LEAST     950

/* ms that a process' clock may be behind: what it refills is that exact */
#define CLOCK     4

#define MS        UINT64_C(1000)
#define SECOND    (1000 * MS)

/* us; before that the clocks are too close to 0 for differences */
#define START     (1000 * SECOND)


typedef enum {
    TICK,
    REQUEST,
    EXECUTE,
    REPLY,
    TIMEOUT,
    FAULT,
    SETTLE
} kind_t;


typedef struct {
    uint64_t           at;         /* us */
    uint64_t           order;
    kind_t             kind;
    unsigned           node, what;
    uint64_t           life;
    int64_t            utok;       /* of SETTLE: too little was taken, or
                                      too much (< 0) */
    uint64_t           window;     /* in which that was */
} event_t;


typedef struct {
    bool               used, given_up, beat, leaves;
    unsigned           pending;    /* events that name it */
    unsigned           node, n;
    uint64_t           life, seq, window;
    unsigned char      head[TB_LEASE_HEAD];
    unsigned char      parts[BUCKETS * TB_LEASE_PART];
    unsigned           which[BUCKETS];
    tb_lease_ask_t     asks[BUCKETS];
    uint64_t           given[BUCKETS];   /* of refunds, by requests */
    size_t             len;
    unsigned char      reply[TB_LEASE_REPLY_HEAD
                             + BUCKETS * TB_LEASE_REPLY_PART];
} call_t;


typedef struct {
    bool               up, leaving, beating;
    uint64_t           life;       /* events of a former one are void */
    uint64_t           seq, beat;
    uint64_t           offset;     /* ms */
    int64_t            drift;      /* ppm */
    uint64_t           skew;       /* us, of the clock that windows go by */
    uint64_t           window;     /* that it is in, from 0 on */
    uint64_t           cut;        /* us, until when it has no network */
    tb_node_t        node;
    tb_lease_t         leases[BUCKETS];
    int64_t            tokens[BUCKETS];
    uint64_t           alone[BUCKETS];
    uint64_t           spent[BUCKETS];    /* when any was taken last */
    uint64_t           recall[BUCKETS];   /* when it is full without a lease */
    uint64_t           given[BUCKETS];    /* by requests, since the answer */
    uint64_t           seen[BUCKETS];     /* of it by the meter, and since */
    uint64_t           heard[BUCKETS];    /* which call */
    uint64_t           caution;    /* until when Redis may know less */
    unsigned           waiting[BUCKETS];
} node_t;


typedef struct {
    uint64_t           at;
    __int128           level;      /* 1/864000 µtok */
    bool               alone;      /* some node has refilled its word */
    uint64_t           admitted;
    uint64_t           asked;
} meter_t;


/* A request that has waited for its turn, or does. */

typedef struct {
    bool               waits, admitted;
    unsigned           node;
    uint64_t           begin, end;     /* us */
    uint64_t           ticket;         /* 0: it knows when its turn is: "end" */
} turn_t;


typedef struct {
    tb_random_t        rnd;
    uint64_t           now, end, order, ids;
    redis_t           *redis;
    bool               forgetful;  /* nobody caps what he has used alone */
    bool               keeps;      /* leases outlast their window */
    bool               unpaid;     /* what is taken alone is not reported */
    bool               refunds;    /* also what an earlier window has paid */
    uint64_t           length;     /* us, of a window; 0: there are none */
    uint64_t           wait;       /* us, that requests wait; 0: they do not */
    bool               stays;      /* also those whose turn is too far away */
    bool               hasty;      /* before their debt has been told */
    bool               unfair;     /* a node's come later than their turns */
    unsigned           nturns;
    turn_t             turns[TURNS];
    int64_t            step;       /* of Redis' clock, us */
    uint64_t           paused;     /* us, until when */
    unsigned           nnodes;
    node_t             nodes[NODES];
    tb_limits_t        limits[BUCKETS];
    uint64_t           cost[BUCKETS];
    uint64_t           gap[BUCKETS];     /* us between requests */
    unsigned           mix[BUCKETS];
    bool               settles[BUCKETS];
    meter_t            meters[WINDOWS][BUCKETS];
    int64_t            alone[WINDOWS][BUCKETS];  /* taken by who knew nothing */
    call_t             calls[CALLS];
    unsigned           nevents;
    event_t            events[EVENTS];
    unsigned           loss;       /* of 1000 replies */
    unsigned           faults;     /* of 10: how often */
    bool               calm;       /* no late messages */
    bool               violated;
} sim_t;


static inline bool
event_before(const event_t *a, const event_t *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}


static inline void
event_put(sim_t *s, uint64_t delay, kind_t kind, unsigned node, unsigned what,
    int64_t utok)
{
    unsigned  i;
    event_t   e;

    assert_true(s->nevents < EVENTS);

    e.at = s->now + delay;
    e.order = s->order++;
    e.kind = kind;
    e.node = node;
    e.what = what;
    e.life = s->nodes[node].life;
    e.utok = utok;
    e.window = s->nodes[node].window;

    for (i = s->nevents++; i > 0 && event_before(&e, &s->events[(i - 1) / 2]);
         i = (i - 1) / 2)
    {
        s->events[i] = s->events[(i - 1) / 2];
    }

    s->events[i] = e;
}


static inline void
event_add(sim_t *s, uint64_t delay, kind_t kind, unsigned node, unsigned what)
{
    event_put(s, delay, kind, node, what, 0);
}


static inline event_t
event_next(sim_t *s)
{
    unsigned  child, i;
    event_t   last, top;

    top = s->events[0];
    last = s->events[--s->nevents];

    for (i = 0; 2 * i + 1 < s->nevents; i = child) {
        child = 2 * i + 1;

        if (child + 1 < s->nevents
            && event_before(&s->events[child + 1], &s->events[child]))
        {
            child++;
        }

        if (!event_before(&s->events[child], &last)) {
            break;
        }

        s->events[i] = s->events[child];
    }

    s->events[i] = last;

    return top;
}


static inline bool
chance(sim_t *s, unsigned n, unsigned of)
{
    return tb_random_in(&s->rnd, 1, of) <= n;
}


/* The clock of a node's process, which may be some ms behind. */

static inline uint64_t
node_ms(sim_t *s, const node_t *n)
{
    int64_t  us;

    us = (int64_t) s->now + (int64_t) (s->now - START) / 1000 * n->drift
                            / 1000;

    return (uint64_t) us / 1000 + n->offset
           - tb_random_in(&s->rnd, 0, CLOCK - 1);
}


static inline double
redis_wall(const sim_t *s)
{
    return 1.7e15 + (double) s->now + (double) s->step;
}


/* The level of a bucket's meter at this time. */

static inline void
meter_settle(sim_t *s, uint64_t w, unsigned b)
{
    meter_t   *m;
    __int128   top;

    m = &s->meters[w][b];
    top = (__int128) tb_limits_full(s->limits[b]) * 864000;

    m->level += (__int128) tb_limits_rate(s->limits[b]) * (s->now - m->at);
    m->level = m->level < top ? m->level : top;
    m->at = s->now;
}


/* Puts tokens into the meter, up to the capacity; or takes some out. */

static inline void
meter_add(sim_t *s, uint64_t w, unsigned b, int64_t utok)
{
    meter_t   *m;
    __int128   top;

    meter_settle(s, w, b);

    m = &s->meters[w][b];
    top = (__int128) tb_limits_full(s->limits[b]) * 864000;

    m->level += (__int128) utok * 864000;

    /* what nobody will be charged with is more than there was */

    m->level = m->level < top || s->length != 0 ? m->level : top;
}


/* Where Redis has a bucket of that window. */

static inline unsigned
redis_index(uint64_t w, unsigned b)
{
    return b + BUCKETS * (unsigned) (w % WINDOWS);
}


/* What a bucket is in debt with in Redis, µtok. */

static inline int64_t
redis_debt(const sim_t *s, uint64_t w, unsigned b)
{
    double              left;
    const redis_key_t  *key;

    key = &s->redis->keys[1 + redis_index(w, b)];

    if (key->len == 0) {
        return 0;
    }

    memcpy(&left, key->value + 4, sizeof(left));

    if (s->length != 0) {
        left += (double) tb_limits_full(s->limits[b]);
    }

    return left < 0 ? (int64_t) -left : 0;
}


/* What the node has taken of a quota alone, and Redis has not heard of. */

static inline int64_t
node_unpaid(const node_t *n, unsigned b)
{
    return (int64_t) n->given[b] - atomic_load(&n->leases[b].refund)
           + (int64_t) n->leases[b].over;
}


/* Nobody knows any more what the node had to report, but in that call. */

static inline void
node_forgives(sim_t *s, node_t *n, uint64_t seq)
{
    unsigned  b;

    for (b = 0; b < BUCKETS; b++) {
        if (seq != 0 && n->leases[b].seq == seq) {
            continue;
        }

        if (n->tokens[b] < 0) {
            meter_add(s, n->window, b, -n->tokens[b]);
            n->tokens[b] = 0;
        }

        if (s->length != 0 && node_unpaid(n, b) > 0) {
            meter_add(s, n->window, b, node_unpaid(n, b));
            atomic_store(&n->leases[b].refund, (int64_t) n->given[b]);
        }
    }
}


/* As if each window lasted for an hour. */

static inline uint64_t
node_word(const node_t *n)
{
    return (n->window + 1) * 60 << TB_WINDOW_BITS;
}


static inline uint64_t
node_since(const node_t *n)
{
    return tb_recall_window((n->window + 1) * 60);
}


/* What is remembered of a quota that loses its lease. */

static inline uint64_t
node_spent(const sim_t *s, const node_t *n, unsigned b)
{
    int64_t            left;
    const tb_lease_t  *l;

    l = &n->leases[b];

    if (l->alone == 0 && !l->warm) {
        return 0;
    }

    left = l->alone ? 0 : tb_lease_known(l, n->tokens[b]);

    return tb_recall_spent(s->limits[b], node_since(n), left);
}


/* The bucket loses its lease. */

static inline void
node_drop(sim_t *s, node_t *n, unsigned b, uint64_t now)
{
    uint64_t  full;

    full = s->length == 0
           ? tb_lease_full(&n->leases[b], s->limits[b], n->tokens[b], now)
           : node_spent(s, n, b);

    if (full > n->recall[b]) {
        n->recall[b] = full;
    }

    /* a debt that has not been reported is known to this node alone */

    if (n->tokens[b] < 0) {
        n->caution = UINT64_MAX;
        meter_add(s, n->window, b, -n->tokens[b]);
    }

    if (s->length != 0 && node_unpaid(n, b) > 0) {
        n->caution = UINT64_MAX;
        meter_add(s, n->window, b, node_unpaid(n, b));
    }

    memset(&n->leases[b], 0, sizeof(tb_lease_t));
    n->leases[b].heard = n->seq;
    n->leases[b].window = s->length ? node_word(n) : 0;
    n->given[b] = 0;
    n->tokens[b] = 0;
    n->alone[b] = 0;

    if (now < n->caution && !s->forgetful) {
        n->leases[b].full = n->recall[b];
    }
}


/* All that is leased ends with the window. */

static inline void
node_turn(sim_t *s, node_t *n)
{
    unsigned  b;
    uint64_t  window;

    if (s->length == 0) {
        return;
    }

    window = (s->now - START + n->skew) / s->length;

    if (window <= n->window) {
        return;
    }

    /* what has not been reported by then is reported to nobody any more */

    if (!s->keeps) {
        node_forgives(s, n, 0);
    }

    n->window = window;

    for (b = 0; b < BUCKETS && !s->keeps; b++) {
        memset(&n->leases[b], 0, sizeof(tb_lease_t));
        n->leases[b].heard = n->seq;
        n->leases[b].window = node_word(n);
        n->given[b] = 0;
        n->tokens[b] = 0;
        n->alone[b] = 0;
        n->waiting[b] = 0;
    }
}


static inline void
node_empty(sim_t *s, node_t *n, uint64_t now)
{
    unsigned       i;
    uint64_t       id;
    unsigned char  bytes[8];

    id = ++s->ids;
    memcpy(bytes, &id, sizeof(id));

    tb_node_reset(&n->node, bytes, now);

    if (atomic_load(&n->node.share) == TB_LEASE_ALL) {
        n->caution = UINT64_MAX;
    }

    for (i = 0; i < BUCKETS; i++) {
        node_drop(s, n, i, now);
    }
}


static inline void
node_start(sim_t *s, unsigned i)
{
    node_t    *n;
    uint64_t   life, offset, skew, window;

    n = &s->nodes[i];
    life = n->life;
    offset = n->offset;
    skew = n->skew;
    window = n->window;

    memset(n, 0, sizeof(node_t));

    n->life = life + 1;
    n->offset = offset;
    n->skew = skew;
    n->window = window;
    n->drift = (int64_t) tb_random_in(&s->rnd, 0, 100) - 50;
    n->up = true;

    /* who has never met another counts as alone: that is true of one node */

    tb_node_begin(&n->node, TB_LEASE_ALL);
    n->node.tag[0] = (unsigned char) i;

    node_empty(s, n, node_ms(s, n));

    if (s->nnodes == 1 && n->life == 1) {
        tb_node_seek(&n->node, node_ms(s, n));
    }

    event_add(s, tb_random_in(&s->rnd, 1, 20 * MS), TICK, i, 0);
}


/* What it takes of a quota when it begins to be alone. */

static inline void
node_part(sim_t *s, node_t *n, unsigned b, uint64_t now)
{
    int64_t      known, part;
    tb_lease_t  *l;

    l = &n->leases[b];

    if (l->alone != 0) {
        return;
    }

    known = tb_recall_left(s->limits[b], node_since(n), n->recall[b]);
    part = (int64_t) tb_lease_part(l, known, atomic_load(&n->node.share));

    if (!l->warm && n->recall[b] <= node_since(n)) {
        s->alone[n->window][b] += part;
    }

    if (!s->unpaid) {
        atomic_fetch_sub(&l->refund, part);
    }

    l->alone = (uint32_t) now | 1;
    l->credited = n->tokens[b] + part;
    n->alone[b] = now;
    n->tokens[b] += part;
    s->meters[n->window][b].alone = true;
}


/* What a decision of this node sees in the word. */

static inline void
node_refill(sim_t *s, node_t *n, unsigned b, uint64_t now)
{
    int64_t      over, tokens;
    uint64_t     share, since;
    tb_lease_t  *l;

    if (!tb_node_is_alone(&n->node, now, &since)) {
        return;
    }

    if (s->length != 0) {
        node_part(s, n, b, now);
        return;
    }

    share = atomic_load(&n->node.share);

    if (since < n->alone[b]) {
        since = n->alone[b];
    }

    l = &n->leases[b];
    over = (int64_t) tb_lease_taken_over(l, share);
    tokens = share == TB_LEASE_ALL && l->alone == 0
             ? tb_lease_whole(l, s->limits[b], n->tokens[b], n->recall[b],
                              atomic_load(&n->node.others), n->spent[b],
                              now)
             : tb_lease_alone(l->alone ? l->credited
                                       : (int64_t) l->held - over,
                              n->tokens[b] - over, s->limits[b], share, since,
                              n->spent[b], now);

    if (tokens > n->tokens[b]) {
        l->over += (uint64_t) over;
        atomic_fetch_add(&l->refund, over);
        s->meters[0][b].alone = true;
        n->alone[b] = now;
        l->whole = share == TB_LEASE_ALL || (l->alone != 0 && l->whole);
        l->alone = (uint32_t) now | 1;
        l->credited = tokens;
        n->tokens[b] = tokens;
    }
}


static inline bool
node_owes(const node_t *n)
{
    unsigned  b;

    for (b = 0; b < BUCKETS; b++) {
        if (n->leases[b].alone != 0) {
            return true;
        }
    }

    return false;
}


static inline uint32_t
node_period(const sim_t *s, unsigned b)
{
    return tb_lease_period(s->limits[b], 100, 0);
}


static inline uint64_t
delay(sim_t *s)
{
    uint64_t  us;

    us = tb_random_scale(&s->rnd, 30, 2 * MS);

    if (!s->calm && chance(s, 1, 200)) {
        us += tb_random_scale(&s->rnd, MS, 300 * MS);
    }

    return us;
}


static inline bool
node_add(sim_t *s, node_t *n, call_t *c, unsigned b, uint64_t now)
{
    uint64_t         need;
    tb_lease_t      *l;
    tb_lease_ask_t  *ask;

    l = &n->leases[b];
    ask = &c->asks[c->n];

    if (l->seq != 0 || (atomic_load(&n->node.returning) && l->alone == 0)
        || (atomic_load(&n->node.joining) && !n->leaving))
    {
        return false;
    }

    node_refill(s, n, b, now);
    need = n->waiting[b] * s->cost[b];

    tb_lease_plan(l, s->limits[b], n->tokens[b], need, s->cost[b],
                  node_period(s, b), now, ask);

    if (n->leaving) {
        ask->hold = n->tokens[b] < 0 ? n->tokens[b] : 0;
        ask->back = n->tokens[b] - ask->hold;
        ask->want = 0;
    }

    if (ask->op == TB_LEASE_TAKE) {
        n->tokens[b] -= ask->back;
    }

    ask->lent = atomic_load(&l->lent);
    c->given[c->n] = n->given[b];
    l->seq = c->seq;
    tb_lease_sent(l, ask, now);
    tb_lease_put(c->parts + c->n * TB_LEASE_PART, ask);
    c->which[c->n++] = b;

    return true;
}


/* Sends a call about the buckets of the mask. */

static inline void
node_call(sim_t *s, unsigned i, unsigned mask, bool beat)
{
    node_t    *n;
    call_t    *c;
    unsigned   b;
    uint64_t   begun, now;

    n = &s->nodes[i];
    node_turn(s, n);

    for (c = s->calls; c < s->calls + CALLS && c->used; c++) {
        /* void */
    }

    if (c == s->calls + CALLS) {
        return;
    }

    now = node_ms(s, n);
    memset(c, 0, sizeof(call_t));
    c->used = true;
    c->beat = beat;
    c->node = i;
    c->life = n->life;
    c->seq = ++n->seq;
    c->leaves = n->leaving;
    c->window = n->window;

    tb_node_call(&n->node, c->seq, beat, n->leaving, c->head);

    if (s->length != 0) {
        begun = n->window * s->length;
        begun = s->now - START + n->skew > begun
                ? s->now - START + n->skew - begun : 0;
        tb_lease_put_window(c->head, begun,
                            begun < s->length ? s->length - begun : 1);
    }

    for (b = 0; b < BUCKETS; b++) {
        if (mask & 1u << b) {
            (void) node_add(s, n, c, b, now);
        }
    }

    if (beat) {
        n->beating = true;
        n->beat = now;
    }

    c->pending = 2;
    event_add(s, delay(s), EXECUTE, i, (unsigned) (c - s->calls));
    event_add(s, tb_random_in(&s->rnd, 60 * MS, 200 * MS), TIMEOUT, i,
              (unsigned) (c - s->calls));
}


/* Takes the tokens of a request that waits, into debt. */

static inline void
node_lend(sim_t *s, unsigned i, uint64_t now)
{
    node_t  *n;
    turn_t  *t;

    n = &s->nodes[i];

    if (s->nturns == TURNS
        || tb_lease_wait(&n->leases[0], s->limits[0], n->tokens[0],
                         s->cost[0], now) * MS > s->wait)
    {
        return;
    }

    t = &s->turns[s->nturns++];
    t->waits = true;
    t->admitted = false;
    t->node = i;
    t->begin = s->now;

    n->tokens[0] -= (int64_t) s->cost[0];
    n->spent[0] = now;

    t->ticket = atomic_fetch_add(&n->leases[0].lent, s->cost[0])
                + s->cost[0];

    if (s->hasty) {
        t->ticket = 0;
        t->end = s->now;
    }
}


/* Of those that wait on a node some have come to their turn by now. */

static inline void
node_turns(sim_t *s, unsigned i, uint64_t now)
{
    turn_t    *t;
    node_t    *n;
    uint64_t   ms;

    n = &s->nodes[i];

    for (t = s->turns; t < s->turns + s->nturns; t++) {

        if (!t->waits || t->node != i) {
            continue;
        }

        if (t->ticket != 0
            && tb_lease_turn(&n->leases[0], s->limits[0], t->ticket, now, &ms))
        {
            t->ticket = 0;
            t->end = s->now + ms * MS;
            t->end += s->unfair && i == 0 ? SECOND / 2 : 0;

            if (t->end - t->begin > s->wait && !s->stays) {
                t->waits = false;
                n->given[0] += s->cost[0];
                atomic_fetch_add(&n->leases[0].refund,
                                 (int64_t) s->cost[0]);
            }
        }

        if (t->waits && t->ticket == 0 && t->end <= s->now) {
            t->waits = false;
            t->admitted = true;
            t->end = s->now;
        }
    }
}


static inline void
node_tick(sim_t *s, unsigned i)
{
    bool       beat;
    node_t    *n;
    unsigned   b, mask;
    uint64_t   now, since;

    n = &s->nodes[i];
    node_turn(s, n);
    now = node_ms(s, n);
    beat = !n->beating && now >= n->beat + TB_LEASE_BEAT;
    mask = 0;

    for (b = 0; b < BUCKETS; b++) {
        node_refill(s, n, b, now);

        if (atomic_load(&n->node.contact) == 0 || n->leases[b].seq != 0) {
            continue;
        }

        if (n->waiting[b] > 0
            || tb_lease_is_due(&n->leases[b], s->limits[b], n->tokens[b],
                               s->cost[b], node_period(s, b), now))
        {
            mask |= 1u << b;

        } else if (tb_lease_is_over(&n->leases[b], n->tokens[b], now)) {
            node_drop(s, n, b, now);
        }
    }

    node_turns(s, i, now);

    if (n->node.unreported && !node_owes(n)
        && !tb_node_is_alone(&n->node, now, &since))
    {
        tb_node_settled(&n->node);
    }

    if (beat || mask != 0) {
        node_call(s, i, mask, beat);
    }

    event_add(s, tb_random_in(&s->rnd, 3 * MS, 12 * MS), TICK, i, 0);
}


static inline bool
node_take(sim_t *s, node_t *n, unsigned b, uint64_t now)
{
    int64_t    debt;
    meter_t   *m;
    unsigned   i;
    __int128   cost, slack;

    if (n->tokens[b] < (int64_t) s->cost[b]) {
        return false;
    }

    n->tokens[b] -= (int64_t) s->cost[b];
    n->spent[b] = now;

    meter_settle(s, n->window, b);

    m = &s->meters[n->window][b];
    cost = (__int128) s->cost[b] * 864000;

    slack = m->alone ? (__int128) tb_limits_rate(s->limits[b]) * CLOCK * MS
            : 0;

    debt = redis_debt(s, n->window, b);

    for (i = 0; i < s->nnodes; i++) {
        if (s->nodes[i].window != n->window) {
            continue;
        }

        debt -= s->nodes[i].tokens[b] < 0 ? s->nodes[i].tokens[b] : 0;
        debt += s->length && node_unpaid(&s->nodes[i], b) > 0
                ? node_unpaid(&s->nodes[i], b) : 0;
    }

    slack += (__int128) debt * 864000;

    if (m->level + slack < cost) {
        s->violated = true;
    }

    m->level -= cost;
    m->admitted += s->cost[b];

    if (s->settles[b]) {
        event_put(s, tb_random_scale(&s->rnd, MS, 3 * SECOND), SETTLE,
                  (unsigned) (n - s->nodes), b,
                  (int64_t) tb_random_in(&s->rnd, 0, 10 * s->cost[b])
                  - (int64_t) (chance(s, 1, 2) ? s->cost[b]
                                               : 9 * s->cost[b] / 2));
    }

    return true;
}


/* What was too little is charged, and what was too much is given back. */

static inline void
node_settle(sim_t *s, unsigned i, unsigned b, int64_t utok, uint64_t window)
{
    node_t      *n;
    int64_t      room;
    uint64_t     now, since;
    tb_lease_t  *l;

    n = &s->nodes[i];
    l = &n->leases[b];
    node_turn(s, n);
    now = node_ms(s, n);

    if (utok < 0 && window != n->window && !s->refunds) {
        return;
    }

    utok = utok < -(int64_t) s->cost[b] ? -(int64_t) s->cost[b] : utok;

    if (utok > 0) {
        room = n->tokens[b] + TB_DEBT_MAX;
        utok = utok < room ? utok : room;

        n->tokens[b] -= utok;
        n->spent[b] = now;
        meter_add(s, n->window, b, -utok);
        return;
    }

    utok = -utok;

    node_refill(s, n, b, now);

    if (tb_node_is_alone(&n->node, now, &since) && l->alone != 0
        && l->credited > n->tokens[b])
    {
        room = l->credited - n->tokens[b];
        room = room < utok ? room : utok;

        l->alone = (uint32_t) now | 1;
        n->tokens[b] += room;
        utok -= room;
        meter_add(s, n->window, b, room);
    }

    n->given[b] += window == n->window ? (uint64_t) utok : 0;
    atomic_fetch_add(&l->refund, utok);
}


static inline void
node_request(sim_t *s, unsigned i, unsigned b)
{
    node_t    *n;
    turn_t    *t;
    uint64_t   now, since;

    n = &s->nodes[i];

    if (!n->up || n->leaving) {
        return;
    }

    node_turn(s, n);
    now = node_ms(s, n);
    s->meters[n->window][b].asked += s->cost[b];

    /* words are only added to where a request finds too few */

    if (n->tokens[b] < (int64_t) s->cost[b]) {
        node_refill(s, n, b, now);
    }

    if (node_take(s, n, b, now)) {
        if (s->wait != 0 && s->nturns < TURNS) {
            t = &s->turns[s->nturns++];
            t->waits = false;
            t->admitted = true;
            t->node = i;
            t->begin = s->now;
            t->end = s->now;
        }

        return;
    }

    if (tb_node_is_alone(&n->node, now, &since)
        || atomic_load(&n->node.contact) == 0
        || !tb_lease_waits(&n->leases[b], s->limits[b], n->tokens[b],
                           s->cost[b], node_period(s, b), now))
    {
        if (s->wait != 0 && n->leases[b].warm) {
            node_lend(s, i, now);
        }

        return;
    }

    n->waiting[b]++;

    if (n->leases[b].seq == 0) {
        node_call(s, i, 1u << b, false);
    }
}


#endif /* TB_LEASE_SIM_H */
