
/*
 * Places for requests in flight, leased in virtual time, in steps of a ms: the
 * script that is shipped, in this process, nodes with the policy code, and
 * calls that are lost or late.  What is in flight is counted where it is
 * admitted.
 */


#ifndef TB_PLACES_SIM_H
#define TB_PLACES_SIM_H


#include "src/core/lease/tb_lease_places.h"
#include "t/unit/lease/tb_lease_redis.h"
#include "t/unit/tb_random.h"


#define NODES     4
#define CLIENTS   64               /* of a node */
#define CALLS     64               /* under way */
#define PERIOD    100

/* ms of the simulation's clock when a run begins */
#define START     UINT64_C(1000000)

/* requests do not last for longer, ms */
#define LONGEST   400

/* ms after which a call is given up */
#define TIMEOUT   100


typedef struct {
    bool               used, beat, asks, executed;
    uint64_t           execute, reply, end;    /* ms; reply 0: it is lost */
    uint64_t           seq, life;
    unsigned           node;
    unsigned char      head[TB_LEASE_HEAD];
    unsigned char      part[TB_LEASE_PART];
    tb_lease_ask_t     ask;
    size_t             len;
    unsigned char      answer[TB_LEASE_REPLY_HEAD + TB_LEASE_REPLY_PART];
} call_t;


typedef struct {
    bool               up;
    uint64_t           life, seq, beat, cut;
    int64_t            offset;     /* of its clock, ms */
    bool               beating, wanted;
    tb_node_t          node;
    tb_lease_t         lease;
    tb_word_t          word;
    unsigned           nclients;
    uint64_t           end[CLIENTS];   /* of the request; 0: there is none */
    uint64_t           next[CLIENTS];  /* ms, when to ask again */
} node_t;


typedef struct {
    tb_random_t        rnd;
    uint64_t           now, ids, paused;
    redis_t           *redis;
    uint32_t           limit;
    unsigned           nnodes;
    unsigned           loss;       /* of 1000 calls and replies */
    uint64_t           longest;
    node_t             nodes[NODES];
    call_t             calls[CALLS];
    uint64_t           excused;    /* ms, until when there may be more, since
                                      the limit was a larger one */
    bool               violated;
    uint64_t           used, room; /* sums of places, a ms each */
} sim_t;


static inline uint64_t
node_now(const sim_t *s, const node_t *n)
{
    return (uint64_t) ((int64_t) s->now + n->offset);
}


static inline uint32_t
sim_in_flight(const sim_t *s)
{
    uint32_t  n;
    unsigned  i;

    n = 0;

    for (i = 0; i < s->nnodes; i++) {
        if (s->nodes[i].up) {
            n += tb_places_used(s->nodes[i].word);
        }
    }

    return n;
}


static inline void
node_lease(node_t *n, int64_t leased)
{
    n->word = tb_places_word(leased > 0 ? (uint32_t) leased : 0,
                             tb_places_used(n->word), 0);
}


/* It becomes another node: what was leased is void. */

static inline void
node_reset(sim_t *s, node_t *n)
{
    uint64_t       id;
    unsigned char  bytes[8];

    id = ++s->ids;
    memcpy(bytes, &id, sizeof(id));

    tb_node_reset(&n->node, bytes, node_now(s, n));

    memset(&n->lease, 0, sizeof(tb_lease_t));
    node_lease(n, 0);
}


static inline void
node_start(sim_t *s, unsigned i)
{
    node_t    *n;
    unsigned   nclients;
    uint64_t   life;

    n = &s->nodes[i];
    life = n->life;
    nclients = n->nclients;

    memset(n, 0, sizeof(node_t));

    n->up = true;
    n->life = life + 1;
    n->nclients = nclients;
    n->offset = (int64_t) tb_random_in(&s->rnd, 0, 1000000);
    n->word = tb_places_word(0, 0, 0);

    tb_node_begin(&n->node, TB_LEASE_ALL);
    n->node.tag[0] = (unsigned char) i;
    node_reset(s, n);
}


static inline void
node_alone(sim_t *s, node_t *n)
{
    uint32_t  leased, part;
    uint64_t  now, share, since;

    now = node_now(s, n);

    if (!tb_node_is_alone(&n->node, now, &since)) {
        return;
    }

    share = atomic_load(&n->node.share);
    leased = tb_places_leased(n->word);
    part = tb_lease_places_alone(leased, s->limit, share, since, now);

    if (part != leased) {
        n->lease.alone = (uint32_t) now | 1;
        n->lease.whole = share == TB_LEASE_ALL;
        node_lease(n, part);
    }
}


static inline bool
lost(sim_t *s)
{
    return tb_random_in(&s->rnd, 1, 1000) <= s->loss;
}


static inline void
node_call(sim_t *s, unsigned i, bool beat, bool asks, uint32_t need)
{
    call_t     *c;
    node_t     *n;
    uint32_t    spare;
    uint64_t    now;

    n = &s->nodes[i];

    for (c = s->calls; c < s->calls + CALLS && c->used; c++) {
        /* void */
    }

    if (c == s->calls + CALLS) {
        return;
    }

    now = node_now(s, n);
    memset(c, 0, sizeof(call_t));

    c->used = true;
    c->beat = beat;
    c->asks = asks;
    c->node = i;
    c->life = n->life;
    c->seq = ++n->seq;
    c->execute = s->now + tb_random_in(&s->rnd, 0, 3);
    c->end = s->now + TIMEOUT;

    if (s->loss && lost(s)) {
        c->execute += tb_random_in(&s->rnd, 0, 500);
    }

    tb_node_call(&n->node, c->seq, beat, false, c->head);

    if (asks) {
        need = need == 0 && n->wanted ? 1 : need;
        spare = need ? 0 : tb_lease_places_spare(&n->lease, n->word, s->limit,
                                                 now);
        node_lease(n, (int64_t) tb_places_leased(n->word) - spare);

        tb_lease_places_plan(&n->lease, n->word, s->limit, need, &c->ask);
        tb_lease_places_sent(&n->lease, n->word, &c->ask, now);
        tb_lease_put(c->part, &c->ask);

        n->lease.seq = c->seq;
        n->wanted = false;
    }

    if (beat) {
        n->beating = true;
        n->beat = now;
    }
}


static inline void
call_reply(sim_t *s, call_t *c)
{
    int32_t             delta;
    node_t             *n;
    uint64_t            now;
    tb_lease_reply_t    reply;
    tb_lease_answer_t   answer;

    n = &s->nodes[c->node];
    now = node_now(s, n);

    assert_true(tb_lease_read(c->answer, c->len, c->asks, &reply, &answer));

    if (c->beat) {
        n->beating = false;

        if (atomic_load(&n->node.contact) == 0) {
            memset(&n->lease, 0, sizeof(tb_lease_t));
            node_lease(n, 0);
        }

        tb_node_replied(&n->node, c->seq, &reply, now);
    }

    if (reply.status == TB_LEASE_UNKNOWN) {
        if (memcmp(c->head, n->node.id, TB_NODE_ID) == 0) {
            node_reset(s, n);
        }

        return;
    }

    if (c->asks && n->lease.seq == c->seq) {
        node_alone(s, n);

        if (answer.status == TB_LEASE_OK) {
            delta = tb_lease_places_answered(&n->lease, &c->ask, &answer, now);
            node_lease(n, (int64_t) tb_places_leased(n->word) + delta);
        }

        n->lease.seq = 0;
    }
}


static inline void
call_step(sim_t *s, call_t *c)
{
    bool             cut;
    node_t          *n;
    const unsigned   which[] = { 0 };

    n = &s->nodes[c->node];
    cut = c->life == n->life && s->now < n->cut;

    if (!c->executed && s->now >= c->execute && s->now >= s->paused) {

        if (cut || (s->loss && lost(s) && tb_random_in(&s->rnd, 0, 1))) {
            c->used = c->life == n->life && s->now < c->end;
            c->execute = s->now + 1000;

        } else if (s->redis->keys[0].len == 0 && s->now > START + 1000
                   && !(c->head[10] & TB_LEASE_RETURNS))
        {
            /* who is new cannot know that an empty Redis has lost its data */

            c->used = false;
            n->beating = n->beating && c->life != n->life;

        } else {
            c->executed = true;
            c->len = redis_call(s->redis, c->head, c->part, c->asks, which,
                                1.7e15 + (double) s->now * 1000, c->answer,
                                sizeof(c->answer));
            c->reply = lost(s) ? 0 : s->now + tb_random_in(&s->rnd, 0, 2);
        }
    }

    if (c->life != n->life || !n->up) {
        c->used = !c->executed && s->now < c->execute;
        return;
    }

    if (c->end != 0 && c->executed && c->reply != 0 && s->now >= c->reply
        && !cut)
    {
        call_reply(s, c);
        c->used = false;
        return;
    }

    if (c->end != 0 && s->now >= c->end) {
        c->end = 0;

        if (c->beat) {
            n->beating = false;
        }

        if (n->lease.seq == c->seq) {
            n->lease.seq = 0;
        }

        /* it may be executed yet */

        c->used = !c->executed;
    }

    if (c->end == 0 && (c->executed || s->now > c->execute + 2000)) {
        c->used = false;
    }
}


static inline bool
node_admits(sim_t *s, unsigned i)
{
    node_t  *n;

    n = &s->nodes[i];

    if (tb_places_free(n->word) < 1) {
        node_alone(s, n);
    }

    if (tb_places_free(n->word) < 1) {
        return false;
    }

    n->word = tb_places_word(tb_places_leased(n->word),
                             tb_places_used(n->word) + 1, 0);

    if (sim_in_flight(s) > s->limit && s->now >= s->excused) {
        s->violated = true;
    }

    return true;
}


static inline void
node_clients(sim_t *s, unsigned i)
{
    node_t    *n;
    unsigned   k;
    uint32_t   need;
    uint64_t   now, since;

    n = &s->nodes[i];
    now = node_now(s, n);
    need = 0;

    for (k = 0; k < CLIENTS; k++) {
        if (n->end[k] != 0 && s->now >= n->end[k]) {
            n->end[k] = 0;
            n->next[k] = s->now;
            n->word = tb_places_word(tb_places_leased(n->word),
                                     tb_places_used(n->word) - 1, 0);
        }

        if (k >= n->nclients || n->end[k] != 0 || s->now < n->next[k]) {
            continue;
        }

        if (node_admits(s, i)) {
            n->end[k] = s->now + tb_random_in(&s->rnd, 1, s->longest);
            continue;
        }

        n->wanted = true;
        n->next[k] = s->now + 5;

        if (!tb_node_is_alone(&n->node, now, &since)
            && tb_lease_places_waits(&n->lease, PERIOD, now))
        {
            n->next[k] = s->now + 1;
            need++;
        }
    }

    if (need > 0 && n->lease.seq == 0 && atomic_load(&n->node.contact) != 0
        && !atomic_load(&n->node.joining)
        && !(atomic_load(&n->node.returning) && n->lease.alone == 0)
        && (!n->lease.warm
            || (uint32_t) now - n->lease.answered >= PERIOD / 4))
    {
        node_call(s, i, false, true, need);
    }
}


static inline void
node_tick(sim_t *s, unsigned i)
{
    bool       asks, beat;
    node_t    *n;
    uint64_t   now, since;

    n = &s->nodes[i];
    now = node_now(s, n);
    beat = !n->beating && now >= n->beat + TB_LEASE_BEAT;

    node_alone(s, n);

    /* the limit has become a smaller one */

    if (n->lease.seq == 0 && tb_places_leased(n->word) > s->limit) {
        node_lease(n, s->limit);
    }

    asks = atomic_load(&n->node.contact) != 0 && n->lease.seq == 0
           && !atomic_load(&n->node.joining)
           && !(atomic_load(&n->node.returning) && n->lease.alone == 0)
           && tb_lease_places_due(&n->lease, n->word, n->wanted, PERIOD, now);

    if (n->node.unreported && n->lease.alone == 0
        && !tb_node_is_alone(&n->node, now, &since))
    {
        tb_node_settled(&n->node);
    }

    if (beat || asks) {
        node_call(s, i, beat, asks, 0);
    }
}


static inline void
sim_step(sim_t *s)
{
    call_t    *c;
    unsigned   i;

    s->now++;

    for (c = s->calls; c < s->calls + CALLS; c++) {
        if (c->used) {
            call_step(s, c);
        }
    }

    for (i = 0; i < s->nnodes; i++) {
        if (s->nodes[i].up) {
            node_clients(s, i);

            if (s->now % 10 == i) {
                node_tick(s, i);
            }
        }
    }

    s->used += sim_in_flight(s);
    s->room += s->limit;
}


#endif /* TB_PLACES_SIM_H */
