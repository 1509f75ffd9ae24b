
/*
 * The lease protocol in virtual time (tb_lease_sim.h): the script that is
 * shipped, in this process, and whatever can happen between it and the nodes.
 * LEASE_RUNS seeds are tried, from LEASE_FROM on; "make simulate" tries many.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "t/unit/lease/tb_lease_sim.h"


/* What is broken on purpose, to see that it is found. */

typedef struct {
    redis_edit_t  script;
    bool          forgetful;       /* see sim_t */
    bool          keeps;
    bool          unpaid;
    bool          refunds;
} broken_t;


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


/* The meter gets what the call gives back, if it has not seen that yet. */

static void
call_gives(sim_t *s, node_t *n, const call_t *c)
{
    unsigned           b, k;
    tb_lease_reply_t   reply;
    tb_lease_answer_t  answers[BUCKETS];

    assert_true(tb_lease_read(c->reply, c->len, c->n, &reply, answers));

    if (reply.status == TB_LEASE_UNKNOWN) {
        return;
    }

    for (k = 0; k < c->n; k++) {
        b = c->which[k];

        if (answers[k].status != TB_LEASE_OK) {
            continue;
        }

        if (n->heard[b] != c->asks[k].heard) {
            n->heard[b] = c->asks[k].heard;
            n->seen[b] = 0;
        }

        if (c->given[k] > n->seen[b]) {
            meter_add(s, c->window, b,
                      (int64_t) (c->given[k] - n->seen[b]));
            n->seen[b] = c->given[k];
        }
    }
}


static void
call_execute(sim_t *s, unsigned which)
{
    call_t    *c;
    node_t    *n;
    unsigned   index[BUCKETS], k;
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

    if (s->redis->keys[0].len == 0 && s->order > 200
        && !(c->head[10] & TB_LEASE_RETURNS)
        && (c->head[10] & TB_LEASE_JOINS) && s->now > START + SECOND
        && !(s->nnodes == 1 && n->life == 1))
    {
        call_release(c);
        return;
    }

    for (k = 0; k < c->n; k++) {
        index[k] = redis_index(c->window, c->which[k]);
    }

    c->len = redis_call(s->redis, c->head, c->parts, c->n, index,
                        redis_wall(s), c->reply, sizeof(c->reply));
    call_gives(s, n, c);

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

    node_turn(s, n);
    now = node_ms(s, n);
    c->given_up = true;

    assert_true(tb_lease_read(c->reply, c->len, c->n, &reply, answers));

    if (c->beat) {
        n->beating = false;

        for (b = 0; atomic_load(&n->node.contact) == 0 && b < BUCKETS; b++)
        {
            node_drop(s, n, b, now);
        }

        tb_node_replied(&n->node, c->seq, &reply, now);
    }

    if (c->leaves) {
        n->up = false;
        n->life++;
        node_forgives(s, n, c->seq);
    }

    if (reply.status == TB_LEASE_UNKNOWN) {
        if (memcmp(c->head, n->node.id, TB_NODE_ID) == 0) {
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
        delta = 0;

        if (answers[k].status == TB_LEASE_OK) {
            delta = tb_lease_answered(l, &c->asks[k], &answers[k], now);
            n->given[b] -= c->given[k];
        }

        if (delta < 0 && n->tokens[b] < -delta) {
            n->tokens[b] = n->tokens[b] < 0 ? n->tokens[b] : 0;

        } else {
            n->tokens[b] += delta;
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
            node_forgives(s, n, 0);
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
            && atomic_load(&s->nodes[i].node.share) == TB_LEASE_ALL)
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

        if (n->up && (atomic_load(&n->node.share) != TB_LEASE_ALL
                      || (!n->node.unreported
                          && !tb_node_is_alone(&n->node, node_ms(s, n),
                                                 &span))))
        {
            n->up = false;
            n->life++;
            node_forgives(s, n, 0);
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
            for (i = 0; i < BUCKETS * WINDOWS; i++) {
                meter_add(s, i / BUCKETS, i % BUCKETS,
                          redis_debt(s, i / BUCKETS, i % BUCKETS));
            }

            redis_flush(s->redis);
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
meters_fill(sim_t *s, unsigned b)
{
    unsigned  w;

    for (w = 0; w < WINDOWS; w++) {
        s->meters[w][b].level = (__int128) 864000
                                * tb_limits_full(s->limits[b]);
        s->meters[w][b].at = s->now;
    }
}


static void
sim_start(sim_t *s, uint64_t seed, redis_t *redis, const broken_t *broken)
{
    bool         late;
    unsigned     b, i;
    uint64_t     gap, rate;
    tb_random_t  w;

    memset(s, 0, sizeof(sim_t));

    redis_flush(redis);

    s->rnd.state = seed;
    s->redis = redis;
    s->forgetful = broken->forgetful;
    s->keeps = broken->keeps;
    s->unpaid = broken->unpaid;
    s->refunds = broken->refunds;
    s->now = START;
    s->end = START + 20 * SECOND;
    s->nnodes = (unsigned) tb_random_in(&s->rnd, 1, NODES);
    s->loss = chance(s, 1, 4) ? 20 : 0;
    s->faults = (unsigned) tb_random_in(&s->rnd, 0, 10);

    w.state = ~seed;

    if (tb_random_in(&w, 1, 3) == 1) {
        s->length = tb_random_in(&w, 3 * SECOND, 10 * SECOND);
    }

    late = chance(s, 1, 2);

    for (i = 0; i < s->nnodes; i++) {
        s->nodes[i].offset = tb_random(&s->rnd) % UINT32_MAX;
        s->nodes[i].skew = tb_random_in(&w, 0, SECOND);

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

        if (s->length != 0) {
            rate = tb_limits_capacity(s->limits[b]) * SECOND / s->length + 1;
            s->limits[b] = tb_limits(tb_limits_capacity(s->limits[b]), 0, 0);
        }

        if (chance(s, 1, 4)) {
            s->cost[b] = tb_random_in(&s->rnd, TB_COST_MIN, 3 * TB_TOKEN);
        }

        s->settles[b] = chance(s, 1, 2);

        gap = SECOND * tb_random_scale(&s->rnd, 2, 40) / (rate * 10);
        s->gap[b] = gap < 700 ? 700 : gap;
        s->mix[b] = (unsigned) tb_random_in(&s->rnd, 0, 2);

        meters_fill(s, b);

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

        case SETTLE:
            if (e.life == s->nodes[e.node].life && s->nodes[e.node].up
                && !s->nodes[e.node].leaving)
            {
                node_settle(s, e.node, e.what, e.utok, e.window);
            }

            break;
        }
    }
}


static unsigned
setting(const char *name, unsigned value)
{
    const char  *text;

    text = getenv(name);

    return text ? (unsigned) strtoul(text, NULL, 10) : value;
}


/* How many of the seeds [from, from + n) break the limit. */

static unsigned
violations(unsigned from, unsigned n, broken_t broken)
{
    sim_t     *s;
    redis_t   *redis;
    unsigned   found, i;

    s = malloc(sizeof(sim_t));
    redis = malloc(sizeof(redis_t));
    assert_true(s != NULL && redis != NULL);

    redis_open(redis, broken.script);
    found = 0;

    for (i = from; i < from + n; i++) {
        sim_start(s, i * UINT64_C(0x9e3779b9), redis, &broken);
        sim_run(s);

        if (s->violated) {
            found++;
            print_message("seed %u: too much at %.6f s, %u nodes\n", i,
                          (double) (s->now - START) / SECOND, s->nnodes);
        }
    }

    redis_close(redis);
    free(redis);
    free(s);

    return found;
}


/*
 * Three nodes without faults, twice the limit asked for: the part of what
 * the limit allows that is admitted, in 1/1000.
 */

static uint64_t
used(sim_t *s, redis_t *redis, uint32_t capacity, uint64_t rate, unsigned mix)
{
    uint64_t  allowed;
    unsigned  b, i;

    memset(s, 0, sizeof(sim_t));
    redis_flush(redis);

    s->rnd.state = 1;
    s->calm = true;
    s->redis = redis;
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
        meters_fill(s, b);
    }

    /* when all of them have joined */

    event_add(s, 500 * MS, REQUEST, 0, 0);
    sim_run(s);

    allowed = (capacity + rate * (s->now - START - 500 * MS) / SECOND)
              * TB_TOKEN;

    assert_false(s->violated);
    assert_true(s->meters[0][0].asked > allowed);

    return s->meters[0][0].admitted * 1000 / allowed;
}


static void
test_little_is_unused(void **state)
{
    sim_t     *s;
    redis_t   *redis;
    broken_t   none = { 0 };
    uint64_t   part;
    unsigned   i, mix;

    static const uint32_t  limits[][2] = {
        { 100, 10 }, { 100, 5000 }, { 1000, 100 }, { 1000, 5000 },
        { 10000, 10 }, { 10000, 5000 }, { 10, 10 }, { 100, 1000 }
    };

    (void) state;

    s = malloc(sizeof(sim_t));
    redis = malloc(sizeof(redis_t));
    assert_true(s != NULL && redis != NULL);

    redis_open(redis, none.script);

    for (mix = 0; mix < 3; mix++) {
        for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
            part = used(s, redis, limits[i][0], limits[i][1], mix);

            print_message("capacity %u, %u r/s, mix %u: %.1f %%\n",
                          limits[i][0], limits[i][1], mix,
                          (double) part / 10);
            assert_true(part >= LEAST);
        }
    }

    redis_close(redis);
    free(redis);
    free(s);
}


/* Windows of 4 s on three nodes whose clocks differ; twice is asked for. */

static void
quotas(sim_t *s, redis_t *redis, uint32_t quota, unsigned mix, bool away)
{
    unsigned  b, i;
    uint64_t  part;

    memset(s, 0, sizeof(sim_t));
    redis_flush(redis);

    s->rnd.state = 1;
    s->calm = true;
    s->redis = redis;
    s->now = START;
    s->end = START + 2 * SECOND;
    s->length = 4 * SECOND;
    s->nnodes = 3;

    for (i = 0; i < s->nnodes; i++) {
        s->nodes[i].skew = i * SECOND / 2;
        node_start(s, i);
    }

    for (b = 0; b < BUCKETS; b++) {
        s->limits[b] = tb_limits(quota, 0, 0);
        s->cost[b] = TB_TOKEN;
        s->mix[b] = mix;
        s->gap[b] = s->length / (2 * quota);
        meters_fill(s, b);
    }

    event_add(s, 500 * MS, REQUEST, 0, 0);
    sim_run(s);

    s->paused = away ? START + 60 * SECOND : 0;
    s->end = START + 15 * SECOND;
    sim_run(s);

    assert_false(s->violated);

    for (i = 1; i < 3; i++) {
        assert_true(s->meters[i][0].asked > quota * TB_TOKEN);
        part = s->meters[i][0].admitted * 1000 / (quota * TB_TOKEN);

        print_message("quota %u, mix %u%s: %.1f %%\n", quota, mix,
                      away ? ", without Redis" : "", (double) part / 10);

        /* a share is a little less than a third */

        assert_true(part >= LEAST - (away ? 3000 / quota : 0)
                    && part <= 1000);
    }
}


static void
test_quotas_are_used(void **state)
{
    sim_t     *s;
    redis_t   *redis;
    broken_t   none = { 0 };
    unsigned   i, mix;

    static const uint32_t  amounts[] = { 20, 100, 1000, 5000 };

    (void) state;

    s = malloc(sizeof(sim_t));
    redis = malloc(sizeof(redis_t));
    assert_true(s != NULL && redis != NULL);

    redis_open(redis, none.script);

    for (i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++) {

        for (mix = 0; mix < 3; mix++) {
            quotas(s, redis, amounts[i], mix, false);
        }

        /* each has a third, and is asked for more than that */

        quotas(s, redis, amounts[i], 0, true);
    }

    redis_close(redis);
    free(redis);
    free(s);
}


static int
turn_before(const void *a, const void *b)
{
    const turn_t  *x = a, *y = b;

    return x->end < y->end ? -1 : x->end > y->end;
}


/*
 * Three nodes whose requests wait for up to 2 s: 50 a second, of 150.  What of
 * the rules for turns was broken.
 */

static unsigned
turns(sim_t *s, redis_t *redis, uint64_t seed, const sim_t *broken)
{
    double    level, at;
    turn_t   *t, *u;
    unsigned  admitted, b, found, i;

    memset(s, 0, sizeof(sim_t));
    redis_flush(redis);

    s->rnd.state = seed;
    s->calm = true;
    s->redis = redis;
    s->now = START;
    s->end = START + 8 * SECOND;
    s->nnodes = 3;
    s->wait = 2 * SECOND;
    s->stays = broken->stays;
    s->hasty = broken->hasty;
    s->unfair = broken->unfair;

    for (i = 0; i < s->nnodes; i++) {
        node_start(s, i);
    }

    for (b = 0; b < BUCKETS; b++) {
        s->limits[b] = tb_limits(5, 50 * TB_STEPS_A_SECOND, 0);
        s->cost[b] = TB_TOKEN;
        s->gap[b] = SECOND / 150;
        meters_fill(s, b);
    }

    event_add(s, 500 * MS, REQUEST, 0, 0);
    sim_run(s);

    qsort(s->turns, s->nturns, sizeof(turn_t), turn_before);

    level = 5;
    at = START;
    admitted = 0;
    found = 0;

    for (t = s->turns; t < s->turns + s->nturns; t++) {

        if (!t->admitted) {
            continue;
        }

        admitted++;

        level += ((double) t->end - at) * 50 / SECOND;
        level = (level < 5 ? level : 5) - 1;
        at = (double) t->end;

        /* what a process' clock and ticks round */

        found |= level < -1.0 ? 1u : 0;
        found |= t->end - t->begin > s->wait + 20 * MS ? 2u : 0;

        /* nodes tell their debts within 0.1 s */

        for (u = t + 1; u < s->turns + s->nturns; u++) {
            found |= u->admitted && u->end > t->end + 20 * MS
                     && u->begin + 100 * MS < t->begin ? 4u : 0;
        }
    }

    found |= admitted < 50 * 7 ? 8u : 0;

    return found;
}


static void
test_turns(void **state)
{
    sim_t     *s;
    redis_t   *redis;
    broken_t   none = { 0 };
    sim_t     *rules;
    unsigned   seed;

    (void) state;

    s = malloc(sizeof(sim_t));
    rules = calloc(1, sizeof(sim_t));
    redis = malloc(sizeof(redis_t));
    assert_true(s != NULL && redis != NULL && rules != NULL);

    redis_open(redis, none.script);

    for (seed = 1; seed <= 10; seed++) {
        assert_int_equal(turns(s, redis, seed, rules), 0);
    }

    /* each of these is noticed */

    rules->hasty = true;
    assert_int_equal(turns(s, redis, 1, rules) & 1, 1);
    rules->hasty = false;

    rules->stays = true;
    assert_int_equal(turns(s, redis, 1, rules) & 2, 2);
    rules->stays = false;

    rules->unfair = true;
    assert_int_equal(turns(s, redis, 1, rules) & 4, 4);

    redis_close(redis);
    free(redis);
    free(rules);
    free(s);
}


static void
test_never_too_much(void **state)
{
    broken_t  none = { 0 };

    (void) state;

    assert_int_equal(violations(setting("LEASE_FROM", 1),
                                setting("LEASE_RUNS", 50), none), 0);
}


/* What is taken out of the script or the node, and a seed that notices it. */

static void
test_finds_what_is_broken(void **state)
{
    unsigned  i;

    static const struct {
        const char  *what;
        unsigned     seed;
        broken_t     broken;
    } rules[] = {
        { "the cap", 2,
          { .script = { "settled = free >= room and", "settled = false and" }
          } },
        { "the reservation of shares", 14,
          { .script = { "reserved = min(step, math.ceil(reserved / ALL))",
                        "reserved = 0" } } },
        { "the start of an empty Redis", 1456,
          { .script = { "elseif returns and belief < ALL then",
                        "elseif false then" } } },
        { "what the only node may use alone", 385,
          { .script = { "n.share >= ALL", "false" } } },
        { "what the only node remembers", 42, { .forgetful = true } },
        { "debts that nodes report", 2,
          { .script = { "delta, owed, hold = -hold, -hold - refund, 0",
                        "delta, owed, hold = -hold, -refund, 0" } } },
        { "the room for what is given back", 182,
          { .script = { "min(free + paid - owed, full - held - hold - back)",
                        "free + paid - owed" } } },
        { "what has been charged since", 2,
          { .script = { "if s > heard then paid = owed end",
                        "paid = owed" } } },
        { "the end of leases with their window", 169, { .keeps = true } },
        { "what is taken of a quota alone", 13, { .unpaid = true } },
        { "the window of what is given back", 64, { .refunds = true } },
        { "the quotas of a Redis that lost its data", 6966,
          { .script = { "lost > 0 and now < past + APART", "false" } } }
    };

    (void) state;

    for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        print_message("without %s: ", rules[i].what);
        assert_int_equal(violations(rules[i].seed, 1, rules[i].broken), 1);
    }
}


/* An argument is a pattern of the tests to run. */

int
main(int argc, char **argv)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_little_is_unused),
        cmocka_unit_test(test_quotas_are_used),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_never_too_much),
        cmocka_unit_test(test_finds_what_is_broken)
    };

    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }

    return cmocka_run_group_tests(tests, NULL, NULL);
}
