
/*
 * Leases of places for requests in flight, in virtual time (tb_places_sim.h):
 * never more than the limit whatever fails, and nearly as many if nothing does.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "t/unit/lease/tb_places_sim.h"


/* in use of all places, in 1/1000 */
#define LEAST  950


static sim_t    sim;
static redis_t  redis;


static void
start(uint64_t seed, unsigned nnodes, uint32_t limit)
{
    unsigned  i;

    memset(&sim, 0, sizeof(sim_t));
    redis_flush(&redis);

    sim.rnd.state = seed;
    sim.redis = &redis;
    sim.now = START;
    sim.nnodes = nnodes;
    sim.limit = limit;
    sim.longest = LONGEST;

    for (i = 0; i < nnodes; i++) {
        node_start(&sim, i);
    }
}


static void
run(uint64_t ms)
{
    while (ms-- > 0 && !sim.violated) {
        sim_step(&sim);
    }
}


/* The part of the places that is used, in 1/1000. */

static uint64_t
part(uint64_t ms)
{
    sim.used = 0;
    sim.room = 0;
    run(ms);

    return sim.used * 1000 / sim.room;
}


static void
test_nearly_all_are_used(void **state)
{
    unsigned    i, k;
    uint64_t    used;
    redis_edit_t  none = { NULL, NULL };

    static const struct {
        uint32_t  limit;
        unsigned  clients[3];
    } mixes[] = {
        { 20, { 20, 20, 20 } },
        { 20, { 40, 4, 1 } },
        { 20, { 0, 30, 0 } },
        { 20, { 15, 0, 15 } },
        { 100, { 60, 60, 60 } },
        { 100, { 64, 60, 3 } },
        { 5, { 5, 5, 5 } },
        { 5, { 9, 1, 0 } },
        { 1, { 3, 0, 3 } }
    };

    (void) state;

    redis_open(&redis, none);

    for (i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++) {
        start(1, 3, mixes[i].limit);
        run(1000);

        for (k = 0; k < 3; k++) {
            sim.nodes[k].nclients = mixes[i].clients[k];
        }

        run(1500);
        used = part(5000);

        print_message("%u places for %u, %u and %u clients: %.1f %%, "
                      "%u+%u+%u leased\n",
                      mixes[i].limit, mixes[i].clients[0],
                      mixes[i].clients[1], mixes[i].clients[2],
                      (double) used / 10, tb_places_leased(sim.nodes[0].word),
                      tb_places_leased(sim.nodes[1].word),
                      tb_places_leased(sim.nodes[2].word));

        assert_false(sim.violated);
        assert_true(used >= LEAST);
    }

    redis_close(&redis);
}


/* A while of whatever may happen to a node, or to Redis. */

static void
fault(void)
{
    node_t    *n;
    uint64_t   span;

    n = &sim.nodes[tb_random_in(&sim.rnd, 0, sim.nnodes - 1)];
    span = tb_random_scale(&sim.rnd, 50, 5000);

    switch (tb_random_in(&sim.rnd, 0, 6)) {

    case 0:
    case 1:
        n->cut = sim.now + span;
        break;

    case 2:
        sim.paused = sim.now + span;
        break;

    case 3:
        n->up = false;
        n->life++;
        break;

    case 4:
        if (tb_random_in(&sim.rnd, 0, 2) == 0) {
            redis_flush(&redis);
        }

        break;

    case 5:
        sim.loss = (unsigned) tb_random_in(&sim.rnd, 0, 200);
        break;

    default:
        sim.loss = 0;
        break;
    }
}


/* How many of the seeds [from, from + n) have too many in flight. */

static unsigned
violations(unsigned from, unsigned n, redis_edit_t edit)
{
    unsigned  found, i, k, steps;
    uint32_t  limit;

    redis_open(&redis, edit);
    found = 0;

    for (i = from; i < from + n; i++) {
        start(i * UINT64_C(0x9e3779b9), 2, 1);

        limit = (uint32_t) tb_random_scale(&sim.rnd, 1, 100);
        start(i * UINT64_C(0x9e3779b9),
              (unsigned) tb_random_in(&sim.rnd, 2, NODES), limit);

        /* who has never met others takes itself to be alone */

        run(2000);

        for (k = 0; k < sim.nnodes; k++) {
            sim.nodes[k].nclients = (unsigned) tb_random_in(&sim.rnd, 0,
                                                            CLIENTS);
        }

        for (steps = 0; steps < 10; steps++) {
            run(tb_random_scale(&sim.rnd, 100, 3000));
            fault();

            for (k = 0; k < sim.nnodes; k++) {

                if (!sim.nodes[k].up && sim.paused < sim.now
                    && tb_random_in(&sim.rnd, 0, 2) == 0)
                {
                    node_start(&sim, k);
                }
            }
        }

        if (sim.violated) {
            found++;
            print_message("seed %u: %u of %u places after %.3f s, "
                          "%u nodes\n", i, sim_in_flight(&sim), limit,
                          (double) (sim.now - START) / 1000, sim.nnodes);
        }
    }

    redis_close(&redis);

    return found;
}


static unsigned
setting(const char *name, unsigned value)
{
    const char  *text;

    text = getenv(name);

    return text ? (unsigned) strtoul(text, NULL, 10) : value;
}


static void
test_never_too_many(void **state)
{
    (void) state;

    assert_int_equal(violations(setting("LEASE_FROM", 1),
                                setting("LEASE_RUNS", 50),
                                (redis_edit_t) { NULL, NULL }), 0);
}


/* What is taken out of the script, and a seed that notices it. */

static void
test_finds_what_is_broken(void **state)
{
    unsigned  i;

    static const struct {
        const char    *what;
        redis_edit_t   edit;
        unsigned       seed;
    } rules[] = {
        { "what there is",
          { "grant = min(want, free, ", "grant = min(want, " }, 2 },
        { "what is in use",
          { "grant = grant + lent + back", "grant = grant + lent" }, 2 },
        { "the share of who is missing",
          { "return max(held, part - part % 1000000)", "return held" }, 2 }
    };

    (void) state;

    for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        print_message("without %s: ", rules[i].what);
        assert_int_equal(violations(rules[i].seed, 1, rules[i].edit), 1);
    }
}


/* The node is not there any more: how long others do without its places. */

static void
test_places_of_the_dead_come_back(void **state)
{
    uint64_t      since;
    redis_edit_t  none = { NULL, NULL };

    (void) state;

    redis_open(&redis, none);
    start(1, 2, 20);
    run(1000);

    sim.nodes[0].nclients = CLIENTS;
    run(1000);
    assert_int_equal(tb_places_leased(sim.nodes[0].word), 20);

    sim.nodes[0].up = false;
    sim.nodes[0].life++;
    sim.nodes[1].nclients = CLIENTS;
    since = sim.now;

    run(50000);
    assert_int_equal(sim_in_flight(&sim), 0);

    while (sim_in_flight(&sim) < 20 && sim.now < since + 100000) {
        run(1);
    }

    print_message("after %.1f s\n", (double) (sim.now - since) / 1000);
    assert_true(sim.now - since <= 60000);
    assert_false(sim.violated);

    redis_close(&redis);
}


static void
test_who_is_cut_off_has_his_share(void **state)
{
    redis_edit_t  none = { NULL, NULL };

    (void) state;

    redis_open(&redis, none);
    start(1, 2, 20);
    run(1000);

    sim.nodes[0].nclients = CLIENTS;
    run(1000);

    sim.nodes[0].cut = UINT64_MAX;
    run(1000);
    assert_int_equal(tb_places_used(sim.nodes[0].word), 10);

    /* what it had stays its own, and others have nothing of it */

    sim.nodes[1].nclients = CLIENTS;
    run(3000);
    assert_int_equal(tb_places_used(sim.nodes[0].word), 10);
    assert_int_equal(tb_places_used(sim.nodes[1].word), 0);

    sim.nodes[0].cut = 0;
    run(1500);
    assert_int_equal(sim_in_flight(&sim), 20);
    assert_int_equal(tb_places_used(sim.nodes[1].word), 10);

    /* who had none has his share, too, when others have had time for it */

    sim.nodes[0].nclients = 0;
    run(1500);
    assert_int_equal(tb_places_used(sim.nodes[1].word), 20);

    sim.nodes[0].cut = UINT64_MAX;
    sim.nodes[0].nclients = CLIENTS;
    run(1000);
    assert_int_equal(tb_places_used(sim.nodes[0].word), 0);
    run(1000);
    assert_int_equal(tb_places_used(sim.nodes[0].word), 10);
    assert_int_equal(tb_places_used(sim.nodes[1].word), 10);
    assert_false(sim.violated);

    redis_close(&redis);
}


static void
test_smaller_limit_is_in_force(void **state)
{
    redis_edit_t  none = { NULL, NULL };

    (void) state;

    redis_open(&redis, none);
    start(1, 2, 20);
    run(1000);

    sim.nodes[0].nclients = CLIENTS;
    sim.nodes[1].nclients = CLIENTS;
    run(1000);
    assert_int_equal(sim_in_flight(&sim), 20);

    sim.limit = 5;
    sim.excused = sim.now + LONGEST + 200;
    run(LONGEST + 1000);
    assert_in_range(sim_in_flight(&sim), 4, 5);
    assert_false(sim.violated);

    redis_close(&redis);
}


int
main(int argc, char **argv)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_nearly_all_are_used),
        cmocka_unit_test(test_never_too_many),
        cmocka_unit_test(test_finds_what_is_broken),
        cmocka_unit_test(test_places_of_the_dead_come_back),
        cmocka_unit_test(test_who_is_cut_off_has_his_share),
        cmocka_unit_test(test_smaller_limit_is_in_force)
    };

    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }

    return cmocka_run_group_tests(tests, NULL, NULL);
}
