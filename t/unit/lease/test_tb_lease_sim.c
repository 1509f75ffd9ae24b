
/*
 * The lease protocol in virtual time: holders with real policy code, the
 * script's model, and whatever can happen between them.  One meter sees each
 * admission: a bucket of the capacity that fills at the rate may never be
 * overdrawn.  LEASE_RUNS=10000 makes it run longer.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "src/core/limit/tb_recall.h"
#include "t/unit/lease/tb_lease_model.h"
#include "t/unit/tb_random.h"


#define NODES     4
#define BUCKETS   2
#define CALLS     512
#define EVENTS    4096

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
    FAULT
} kind_t;


typedef struct {
    uint64_t           at;         /* us */
    uint64_t           order;
    kind_t             kind;
    unsigned           node, what;
    uint64_t           life;
} event_t;


typedef struct {
    bool               used, given_up, beat, leaves;
    unsigned           pending;    /* events that name it */
    unsigned           node, n;
    uint64_t           life, seq;
    unsigned char      head[TB_LEASE_HEAD];
    unsigned char      parts[BUCKETS * TB_LEASE_PART];
    unsigned           which[BUCKETS];
    tb_lease_ask_t     asks[BUCKETS];
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
    uint64_t           cut;        /* us, until when it has no network */
    tb_holder_t        holder;
    tb_lease_t         leases[BUCKETS];
    uint64_t           tokens[BUCKETS];
    uint64_t           alone[BUCKETS];
    uint64_t           spent[BUCKETS];    /* when any was taken last */
    uint64_t           recall[BUCKETS];   /* when it is full without a lease */
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


typedef struct {
    tb_random_t        rnd;
    uint64_t           now, end, order, ids;
    model_t            redis;
    int64_t            step;       /* of Redis' clock, us */
    uint64_t           paused;     /* us, until when */
    unsigned           nnodes;
    node_t             nodes[NODES];
    tb_limits_t        limits[BUCKETS];
    uint64_t           cost[BUCKETS];
    uint64_t           gap[BUCKETS];     /* us between requests */
    unsigned           mix[BUCKETS];
    meter_t            meters[BUCKETS];
    call_t             calls[CALLS];
    unsigned           nevents;
    event_t            events[EVENTS];
    unsigned           loss;       /* of 1000 replies */
    unsigned           faults;     /* of 10: how often */
    bool               calm;       /* no late messages */
    bool               violated;
} sim_t;


static bool
event_before(const event_t *a, const event_t *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}


static void
event_add(sim_t *s, uint64_t delay, kind_t kind, unsigned node, unsigned what)
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

    for (i = s->nevents++; i > 0 && event_before(&e, &s->events[(i - 1) / 2]);
         i = (i - 1) / 2)
    {
        s->events[i] = s->events[(i - 1) / 2];
    }

    s->events[i] = e;
}


static event_t
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


static bool
chance(sim_t *s, unsigned n, unsigned of)
{
    return tb_random_in(&s->rnd, 1, of) <= n;
}


/* The clock of a node's process, which may be some ms behind. */

static uint64_t
node_ms(sim_t *s, const node_t *n)
{
    int64_t  us;

    us = (int64_t) s->now + (int64_t) (s->now - START) / 1000 * n->drift
                            / 1000;

    return (uint64_t) us / 1000 + n->offset
           - tb_random_in(&s->rnd, 0, CLOCK - 1);
}


static double
redis_time(const sim_t *s)
{
    return 1.7e15 + (double) s->now + (double) s->step;
}


/* The bucket loses its lease. */

static void
node_drop(sim_t *s, node_t *n, unsigned b, uint64_t now)
{
    uint64_t  full;

    full = tb_lease_full(&n->leases[b], s->limits[b], n->tokens[b], now);

    if (full > n->recall[b]) {
        n->recall[b] = full;
    }

    memset(&n->leases[b], 0, sizeof(tb_lease_t));
    n->tokens[b] = 0;
    n->alone[b] = 0;

    if (now < n->caution && !s->redis.faults.forgetful) {
        n->leases[b].full = n->recall[b];
    }
}


static void
node_empty(sim_t *s, node_t *n, uint64_t now)
{
    unsigned       i;
    uint64_t       id;
    unsigned char  bytes[8];

    id = ++s->ids;
    memcpy(bytes, &id, sizeof(id));

    tb_holder_reset(&n->holder, bytes, now);

    if (atomic_load(&n->holder.share) == TB_LEASE_ALL) {
        n->caution = UINT64_MAX;
    }

    for (i = 0; i < BUCKETS; i++) {
        node_drop(s, n, i, now);
    }
}


static void
node_start(sim_t *s, unsigned i)
{
    node_t    *n;
    uint64_t   life, offset;

    n = &s->nodes[i];
    life = n->life;
    offset = n->offset;

    memset(n, 0, sizeof(node_t));

    n->life = life + 1;
    n->offset = offset;
    n->drift = (int64_t) tb_random_in(&s->rnd, 0, 100) - 50;
    n->up = true;

    /* who has never met another counts as alone: that is true of one node */

    tb_holder_begin(&n->holder, TB_LEASE_ALL);
    n->holder.tag[0] = (unsigned char) i;

    node_empty(s, n, node_ms(s, n));

    if (s->nnodes == 1 && n->life == 1) {
        tb_holder_seek(&n->holder, node_ms(s, n));
    }

    event_add(s, tb_random_in(&s->rnd, 1, 20 * MS), TICK, i, 0);
}


/* What a decision of this node sees in the word. */

static void
node_refill(sim_t *s, node_t *n, unsigned b, uint64_t now)
{
    uint64_t     share, since, tokens;
    tb_lease_t  *l;

    if (!tb_holder_is_alone(&n->holder, now, &since)) {
        return;
    }

    share = atomic_load(&n->holder.share);

    if (since < n->alone[b]) {
        since = n->alone[b];
    }

    l = &n->leases[b];
    tokens = share == TB_LEASE_ALL && l->alone == 0
             ? tb_lease_whole(l, s->limits[b], n->tokens[b], n->recall[b],
                              atomic_load(&n->holder.others), n->spent[b],
                              now)
             : tb_lease_alone(l->alone ? l->credited : l->held, n->tokens[b],
                              s->limits[b], share, since, n->spent[b], now);

    if (tokens > n->tokens[b]) {
        s->meters[b].alone = true;
        n->alone[b] = now;
        l->alone = (uint32_t) now | 1;
        l->whole = share == TB_LEASE_ALL;
        l->credited = tokens;
        n->tokens[b] = tokens;
    }
}


static bool
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


static uint32_t
node_period(const sim_t *s, unsigned b)
{
    return tb_lease_period(s->limits[b], 100, 0);
}


static uint64_t
delay(sim_t *s)
{
    uint64_t  us;

    us = tb_random_scale(&s->rnd, 30, 2 * MS);

    if (!s->calm && chance(s, 1, 200)) {
        us += tb_random_scale(&s->rnd, MS, 300 * MS);
    }

    return us;
}


static bool
node_add(sim_t *s, node_t *n, call_t *c, unsigned b, uint64_t now)
{
    uint64_t         need;
    tb_lease_t      *l;
    tb_lease_ask_t  *ask;

    l = &n->leases[b];
    ask = &c->asks[c->n];

    if (l->seq != 0 || (atomic_load(&n->holder.returning) && l->alone == 0)
        || (atomic_load(&n->holder.joining) && !n->leaving))
    {
        return false;
    }

    node_refill(s, n, b, now);
    need = n->waiting[b] * s->cost[b];

    tb_lease_plan(l, s->limits[b], n->tokens[b], need, s->cost[b],
                  node_period(s, b), now, ask);

    if (n->leaving) {
        ask->hold = 0;
        ask->back = n->tokens[b];
        ask->want = 0;
    }

    if (ask->op == TB_LEASE_TAKE) {
        n->tokens[b] -= ask->back;
    }

    l->seq = c->seq;
    tb_lease_sent(l, ask, now);
    tb_lease_put(c->parts + c->n * TB_LEASE_PART, ask);
    c->which[c->n++] = b;

    return true;
}


/* Sends a call about the buckets of the mask. */

static void
node_call(sim_t *s, unsigned i, unsigned mask, bool beat)
{
    node_t    *n;
    call_t    *c;
    unsigned   b;
    uint64_t   now;

    n = &s->nodes[i];

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

    tb_holder_call(&n->holder, c->seq, beat, n->leaving, c->head);

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


static void
node_tick(sim_t *s, unsigned i)
{
    bool       beat;
    node_t    *n;
    unsigned   b, mask;
    uint64_t   now, since;

    n = &s->nodes[i];
    now = node_ms(s, n);
    beat = !n->beating && now >= n->beat + TB_LEASE_BEAT;
    mask = 0;

    for (b = 0; b < BUCKETS; b++) {
        node_refill(s, n, b, now);

        if (atomic_load(&n->holder.contact) == 0 || n->leases[b].seq != 0) {
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

    if (n->holder.owing && !node_owes(n)
        && !tb_holder_is_alone(&n->holder, now, &since))
    {
        tb_holder_settled(&n->holder);
    }

    if (beat || mask != 0) {
        node_call(s, i, mask, beat);
    }

    event_add(s, tb_random_in(&s->rnd, 3 * MS, 12 * MS), TICK, i, 0);
}


static bool
node_take(sim_t *s, node_t *n, unsigned b, uint64_t now)
{
    meter_t   *m;
    uint64_t   full;
    __int128   cost, slack, top;

    if (n->tokens[b] < s->cost[b]) {
        return false;
    }

    n->tokens[b] -= s->cost[b];
    n->spent[b] = now;

    m = &s->meters[b];
    full = tb_limits_full(s->limits[b]);
    top = (__int128) full * 864000;
    cost = (__int128) s->cost[b] * 864000;

    m->level += (__int128) tb_limits_rate(s->limits[b])
                * (s->now - m->at);
    m->level = m->level < top ? m->level : top;
    m->at = s->now;

    slack = m->alone ? (__int128) tb_limits_rate(s->limits[b]) * CLOCK * MS
            : 0;

    if (m->level + slack < cost) {
        s->violated = true;
    }

    m->level -= cost;
    m->admitted += s->cost[b];

    return true;
}


static void
node_request(sim_t *s, unsigned i, unsigned b)
{
    node_t    *n;
    uint64_t   now, since;

    n = &s->nodes[i];

    if (!n->up || n->leaving) {
        return;
    }

    now = node_ms(s, n);
    s->meters[b].asked += s->cost[b];

    /* words are only added to where a request finds too few */

    if (n->tokens[b] < s->cost[b]) {
        node_refill(s, n, b, now);
    }

    if (node_take(s, n, b, now)
        || tb_holder_is_alone(&n->holder, now, &since)
        || atomic_load(&n->holder.contact) == 0
        || !tb_lease_waits(&n->leases[b], s->limits[b], n->tokens[b],
                           s->cost[b], node_period(s, b), now))
    {
        return;
    }

    n->waiting[b]++;

    if (n->leases[b].seq == 0) {
        node_call(s, i, 1u << b, false);
    }
}


/* The next request for a bucket goes where the mix says. */

static unsigned
where(sim_t *s, unsigned b)
{
    switch (s->mix[b]) {

    case 0:
        return (unsigned) tb_random_in(&s->rnd, 0, s->nnodes - 1);

    case 1:
        return chance(s, 90, 100) ? 0
               : (unsigned) tb_random_in(&s->rnd, 0, s->nnodes - 1);

    default:
        return (unsigned) (s->now / SECOND % s->nnodes);
    }
}


static void
call_release(call_t *c)
{
    if (--c->pending == 0) {
        c->used = false;
    }
}


static void
call_execute(sim_t *s, unsigned which)
{
    call_t    *c;
    node_t    *n;
    uint64_t   wait;

    c = &s->calls[which];
    n = &s->nodes[c->node];

    if (s->now < s->paused) {
        wait = s->paused - s->now + tb_random_in(&s->rnd, 0, 5 * MS);
        event_add(s, wait, EXECUTE, c->node, which);
        return;
    }

    if (c->life == n->life && s->now < n->cut) {

        /* what was sent may arrive when the network is back, or never */

        if (chance(s, 1, 3)) {
            wait = n->cut - s->now + tb_random_in(&s->rnd, 0, 50 * MS);
            event_add(s, wait, EXECUTE, c->node, which);
            return;
        }

        call_release(c);
        return;
    }

    /* if nobody is left who knows better, an empty Redis has full buckets */

    if (!s->redis.state.there && s->order > 200
        && !(c->head[10] & TB_LEASE_RETURNS)
        && (c->head[10] & TB_LEASE_JOINS) && s->now > START + SECOND
        && !(s->nnodes == 1 && n->life == 1))
    {
        call_release(c);
        return;
    }

    c->len = model_call(&s->redis, c->head, c->parts, c->n, c->which,
                        redis_time(s), c->reply);

    if (chance(s, s->loss, 1000)) {
        call_release(c);
        return;
    }

    event_add(s, delay(s), REPLY, c->node, which);
}


static void
call_reply(sim_t *s, unsigned which)
{
    node_t             *n;
    call_t             *c;
    int64_t             delta;
    uint64_t            now;
    unsigned            b, k, waiting;
    tb_lease_t         *l;
    tb_lease_reply_t    reply;
    tb_lease_answer_t   answers[BUCKETS];

    c = &s->calls[which];
    n = &s->nodes[c->node];

    if (c->life != n->life || !n->up || c->given_up || s->now < n->cut) {
        call_release(c);
        return;
    }

    now = node_ms(s, n);
    c->given_up = true;

    assert_true(tb_lease_read(c->reply, c->len, c->n, &reply, answers));

    if (c->beat) {
        n->beating = false;

        for (b = 0; atomic_load(&n->holder.contact) == 0 && b < BUCKETS; b++)
        {
            node_drop(s, n, b, now);
        }

        tb_holder_replied(&n->holder, c->seq, &reply, now);
    }

    if (c->leaves) {
        n->up = false;
        n->life++;
    }

    if (reply.status == TB_LEASE_UNKNOWN) {
        if (memcmp(c->head, n->holder.id, TB_HOLDER_ID) == 0) {
            node_empty(s, n, now);
        }

        call_release(c);
        return;
    }

    for (k = 0; k < c->n; k++) {
        b = c->which[k];
        l = &n->leases[b];

        if (l->seq != c->seq) {
            continue;
        }

        node_refill(s, n, b, now);
        delta = tb_lease_answered(l, &c->asks[k], &answers[k], now);

        if (delta < 0 && n->tokens[b] < (uint64_t) -delta) {
            n->tokens[b] = 0;

        } else {
            n->tokens[b] += (uint64_t) delta;
        }

        l->seq = 0;

        waiting = n->waiting[b];
        n->waiting[b] = 0;

        while (waiting > 0 && node_take(s, n, b, now)) {
            waiting--;
        }
    }

    call_release(c);
}


static void
call_timeout(sim_t *s, unsigned which)
{
    node_t    *n;
    call_t    *c;
    unsigned   b, k;

    c = &s->calls[which];
    n = &s->nodes[c->node];

    if (c->life == n->life && !c->given_up) {

        if (c->beat) {
            n->beating = false;
        }

        if (c->leaves) {
            n->up = false;
            n->life++;
        }

        for (k = 0; k < c->n; k++) {
            b = c->which[k];

            if (n->leases[b].seq == c->seq) {
                n->leases[b].seq = 0;
                n->waiting[b] = 0;
            }
        }
    }

    c->given_up = true;
    call_release(c);
}


static bool
sole(const sim_t *s)
{
    unsigned  i;

    for (i = 0; i < s->nnodes; i++) {
        if (s->nodes[i].up
            && atomic_load(&s->nodes[i].holder.share) == TB_LEASE_ALL)
        {
            return true;
        }
    }

    return false;
}


static void
fault(sim_t *s)
{
    node_t    *n;
    unsigned   i;
    uint64_t   span;

    event_add(s, tb_random_scale(&s->rnd, 100 * MS, 6 * SECOND), FAULT, 0, 0);

    if (!chance(s, s->faults, 10)) {
        return;
    }

    i = (unsigned) tb_random_in(&s->rnd, 0, s->nnodes - 1);
    n = &s->nodes[i];
    span = tb_random_scale(&s->rnd, 50 * MS, 12 * SECOND);

    switch (tb_random_in(&s->rnd, 0, 7)) {

    case 0:
    case 1:
        n->cut = s->now + span;
        break;

    case 2:
        s->paused = s->now + span;
        break;

    case 3:

        /* nobody would know what a sole node had used alone */

        if (n->up && (atomic_load(&n->holder.share) != TB_LEASE_ALL
                      || (!n->holder.owing
                          && !tb_holder_is_alone(&n->holder, node_ms(s, n),
                                                 &span))))
        {
            n->up = false;
            n->life++;
        }

        break;

    case 4:
        if (n->up && !n->leaving) {
            n->leaving = true;
            node_call(s, i, (1u << BUCKETS) - 1, false);
        }

        break;

    case 5:
        /* what a sole node knows of a lost Redis others are not told */

        if (chance(s, 1, 3) && (s->nnodes == 1 || !sole(s))) {
            model_flush(&s->redis);
        }

        s->paused = s->now + span;
        break;

    case 6:

        /* meanwhile Redis would not see that nodes are on their own */

        if (s->now < s->paused) {
            break;
        }

        s->step -= (int64_t) tb_random_scale(&s->rnd, MS, 3600 * SECOND);
        break;

    default:
        s->loss = (unsigned) tb_random_in(&s->rnd, 0, 300);
        break;
    }

    for (i = 0; i < s->nnodes; i++) {
        if (!s->nodes[i].up && chance(s, 1, 2)) {
            node_start(s, i);
        }
    }
}


static void
sim_start(sim_t *s, uint64_t seed, const model_faults_t *broken)
{
    bool      late;
    unsigned  b, i;
    uint64_t  gap, rate;

    memset(s, 0, sizeof(sim_t));

    s->rnd.state = seed;
    s->redis.faults = *broken;
    s->now = START;
    s->end = START + 20 * SECOND;
    s->nnodes = (unsigned) tb_random_in(&s->rnd, 1, NODES);
    s->loss = chance(s, 1, 4) ? 20 : 0;
    s->faults = (unsigned) tb_random_in(&s->rnd, 0, 10);

    late = chance(s, 1, 2);

    for (i = 0; i < s->nnodes; i++) {
        s->nodes[i].offset = tb_random(&s->rnd) % UINT32_MAX;

        if (i == 0 || !late) {
            node_start(s, i);
        }
    }

    for (b = 0; b < BUCKETS; b++) {
        rate = tb_random_scale(&s->rnd, 1, 1000);

        s->limits[b] = tb_limits((uint32_t) tb_random_scale(&s->rnd, 1,
                                                            10000),
                                 rate * TB_STEPS_A_SECOND, 0);
        s->cost[b] = TB_TOKEN;

        if (chance(s, 1, 4)) {
            s->cost[b] = tb_random_in(&s->rnd, TB_COST_MIN, 3 * TB_TOKEN);
        }

        gap = SECOND * tb_random_scale(&s->rnd, 2, 40) / (rate * 10);
        s->gap[b] = gap < 700 ? 700 : gap;
        s->mix[b] = (unsigned) tb_random_in(&s->rnd, 0, 2);

        s->meters[b].level = (__int128) 864000
                             * tb_limits_full(s->limits[b]);
        s->meters[b].at = s->now;

        event_add(s, tb_random_in(&s->rnd, 0, SECOND), REQUEST, 0, b);
    }

    if (s->nnodes == 1 && chance(s, 1, 2)) {
        s->paused = s->now + tb_random_scale(&s->rnd, SECOND / 10,
                                             8 * SECOND);
    }

    event_add(s, tb_random_scale(&s->rnd, SECOND / 2, 6 * SECOND), FAULT, 0,
              0);
}


static void
sim_run(sim_t *s)
{
    event_t  e;

    while (s->now < s->end && !s->violated) {
        e = event_next(s);
        s->now = e.at;

        switch (e.kind) {

        case TICK:
            if (e.life == s->nodes[e.node].life && s->nodes[e.node].up
                && !s->nodes[e.node].leaving)
            {
                node_tick(s, e.node);
            }

            break;

        case REQUEST:
            node_request(s, where(s, e.what), e.what);
            event_add(s, tb_random_in(&s->rnd, 1, 2 * s->gap[e.what]), REQUEST,
                      0, e.what);
            break;

        case EXECUTE:
            call_execute(s, e.what);
            break;

        case REPLY:
            call_reply(s, e.what);
            break;

        case TIMEOUT:
            call_timeout(s, e.what);
            break;

        case FAULT:
            fault(s);
            break;
        }
    }
}


static unsigned
runs(void)
{
    const char  *value;

    value = getenv("LEASE_RUNS");

    return value ? (unsigned) strtoul(value, NULL, 10) : 500;
}


/* Seeds that break the limit, of so many; stops at the first if any. */

static unsigned
violations(unsigned n, const model_faults_t *broken, bool any)
{
    sim_t     *s;
    unsigned   found, i;

    s = malloc(sizeof(sim_t));
    assert_non_null(s);

    found = 0;

    for (i = 1; i <= n && !(any && found); i++) {
        sim_start(s, i * UINT64_C(0x9e3779b9), broken);
        sim_run(s);

        if (s->violated) {
            found++;

            if (!any) {
                print_message("run %u: too much at %.6f s, %u nodes\n", i,
                              (double) (s->now - START) / SECOND, s->nnodes);
            }
        }
    }

    free(s);

    return found;
}


/*
 * Three nodes without faults, twice the limit asked for: the part of what
 * the limit allows that is admitted, in 1/1000.
 */

static uint64_t
used(sim_t *s, uint32_t capacity, uint64_t rate, unsigned mix)
{
    uint64_t        allowed;
    unsigned        b, i;
    model_faults_t  none = { 0 };

    memset(s, 0, sizeof(sim_t));

    s->rnd.state = 1;
    s->calm = true;
    s->redis.faults = none;
    s->now = START;
    s->end = START + 6 * SECOND;
    s->nnodes = 3;

    for (i = 0; i < s->nnodes; i++) {
        node_start(s, i);
    }

    for (b = 0; b < BUCKETS; b++) {
        s->limits[b] = tb_limits(capacity, rate * TB_STEPS_A_SECOND, 0);
        s->cost[b] = TB_TOKEN;
        s->mix[b] = mix;

        /* also what the bucket holds at first */

        s->gap[b] = SECOND / (2 * (rate + capacity / 6));
        s->meters[b].level = (__int128) 864000
                             * tb_limits_full(s->limits[b]);
        s->meters[b].at = s->now;
    }

    /* when all of them have joined */

    event_add(s, 500 * MS, REQUEST, 0, 0);
    sim_run(s);

    allowed = (capacity + rate * (s->now - START - 500 * MS) / SECOND)
              * TB_TOKEN;

    assert_false(s->violated);
    assert_true(s->meters[0].asked > allowed);

    return s->meters[0].admitted * 1000 / allowed;
}


static void
test_little_is_unused(void **state)
{
    sim_t     *s;
    uint64_t   part;
    unsigned   i, mix;

    static const uint32_t  limits[][2] = {
        { 100, 10 }, { 100, 5000 }, { 1000, 100 }, { 1000, 5000 },
        { 10000, 10 }, { 10000, 5000 }, { 10, 10 }, { 100, 1000 }
    };

    (void) state;

    s = malloc(sizeof(sim_t));
    assert_non_null(s);

    for (mix = 0; mix < 3; mix++) {
        for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
            part = used(s, limits[i][0], limits[i][1], mix);

            print_message("capacity %u, %u r/s, mix %u: %.1f %%\n",
                          limits[i][0], limits[i][1], mix,
                          (double) part / 10);
            assert_true(part >= LEAST);
        }
    }

    free(s);
}


static void
test_never_too_much(void **state)
{
    model_faults_t  none = { 0 };

    (void) state;

    assert_int_equal(violations(runs(), &none, false), 0);
}


static void
test_finds_what_is_broken(void **state)
{
    model_faults_t  uncapped = { .uncapped = true };
    model_faults_t  unreserved = { .unreserved = true };
    model_faults_t  generous = { .generous = true };
    model_faults_t  careless = { .careless = true };
    model_faults_t  forgetful = { .forgetful = true };

    (void) state;

    assert_int_equal(violations(500, &uncapped, true), 1);
    assert_int_equal(violations(500, &unreserved, true), 1);
    assert_int_equal(violations(3000, &generous, true), 1);
    assert_int_equal(violations(500, &careless, true), 1);
    assert_int_equal(violations(500, &forgetful, true), 1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_little_is_unused),
        cmocka_unit_test(test_never_too_much),
        cmocka_unit_test(test_finds_what_is_broken)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
