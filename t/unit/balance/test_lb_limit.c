
/*
 * A limit that finds itself: its steps one by one, and how it does in front of
 * made-up servers.
 */


#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/core/balance/lb_limit.h"
#include "src/core/balance/lb_random.h"

#include <cmocka.h>


/* ticks of 0.1 ms */
#define SECOND      10000
#define CORES_MAX   64
#define FLIGHT_MAX  20000


/*
 * Servers with so many cores in all, each of which does one request at a
 * time; what they are sent beyond that waits there, first come, first served.
 */

typedef struct {
    lb_limit_t         limit;
    uint32_t           cores;
    double             service;      /* ticks */
    bool               noisy;        /* times are spread exponentially */
    double             load;         /* requests a tick that come in */
    uint64_t           now;
    uint64_t           random;

    double             busy[CORES_MAX];      /* ticks left */
    uint32_t           doing[CORES_MAX];     /* number of the request + 1 */
    uint64_t           begun[FLIGHT_MAX];    /* ring of requests there */
    uint64_t           head, tail;           /* of those not begun */
    uint32_t           in_flight;

    uint64_t           done;
    double             latency;      /* sum, ticks */
} world_t;


static double
unit(world_t *w)
{
    return (double) (lb_random(&w->random) >> 11) / 9007199254740992.0;
}


static double
service(world_t *w)
{
    return w->noisy ? -w->service * log(1.0 - unit(w)) : w->service;
}


static void
finish(world_t *w, uint32_t request)
{
    uint64_t  took;

    took = w->now - w->begun[request];

    w->in_flight--;
    w->done++;
    w->latency += (double) took;

    lb_limit_enter(&w->limit, (uint32_t) took * 100, w->in_flight + 1,
                   w->now / 10 + 1, (uint32_t) lb_random(&w->random));
}


static void
tick(world_t *w)
{
    double    come;
    uint32_t  i;

    w->now++;

    for (i = 0; i < w->cores; i++) {

        if (w->doing[i] != 0 && (w->busy[i] -= 1.0) <= 0) {
            finish(w, w->doing[i] - 1);
            w->doing[i] = 0;
        }
    }

    for (come = w->load; come > 0; come -= 1.0) {

        if (unit(w) < come && w->in_flight < lb_limit_read(&w->limit)) {
            w->begun[w->tail++ % FLIGHT_MAX] = w->now;
            w->in_flight++;
        }
    }

    for (i = 0; i < w->cores && w->head != w->tail; i++) {

        if (w->doing[i] == 0) {
            w->doing[i] = (uint32_t) (w->head++ % FLIGHT_MAX) + 1;
            w->busy[i] = service(w);
        }
    }
}


/* requests done in that many ticks, as a share of what is possible */

static double
run(world_t *w, uint64_t ticks, double *latency)
{
    double    possible;
    uint64_t  i;

    w->done = 0;
    w->latency = 0;

    for (i = 0; i < ticks; i++) {
        tick(w);
    }

    possible = w->cores / w->service;
    possible = (w->load < possible) ? w->load : possible;

    if (latency) {
        *latency = w->latency / (double) w->done / w->service;
    }

    return (double) w->done / (double) ticks / possible;
}


static world_t *
world(uint32_t cores, double ms, double load)
{
    world_t  *w;

    w = aligned_alloc(LB_LINE, (sizeof(world_t) + LB_LINE - 1)
                               / LB_LINE * LB_LINE);
    assert_non_null(w);
    memset(w, 0, sizeof(world_t));

    w->cores = cores;
    w->service = ms * 10;
    w->load = load * cores / w->service;
    w->random = 12345;

    return w;
}


static void
it_grows_while_latency_is_that_without_load(void **unused)
{
    uint32_t           i, limit, before;
    lb_limit_state_t   state = { .base = 20000, .probe_at = 1000000 };
    lb_limit_window_t  window = { .samples = 100, .mean = 20000 };

    (void) unused;

    before = LB_LIMIT_FIRST;

    for (i = 0; i < 20; i++) {
        window.peak = before;
        limit = lb_limit_step(&state, &window, 1000 + i * 100, 0);
        assert_true(limit > before);
        before = limit;
    }
}


static void
it_does_not_grow_where_nobody_comes_near_it(void **unused)
{
    uint32_t           i;
    lb_limit_state_t   state = { .base = 20000, .probe_at = 1000000 };
    lb_limit_window_t  window = { .samples = 100, .mean = 20000, .peak = 3 };

    (void) unused;

    for (i = 0; i < 20; i++) {
        assert_int_equal(lb_limit_step(&state, &window, 1000, 0),
                         LB_LIMIT_FIRST);
    }
}


static void
it_shrinks_with_the_ratio_and_has_bounds(void **unused)
{
    uint32_t           i, limit, before;
    lb_limit_state_t   state = { .limit = 1000 * 16, .base = 20000,
                                 .probe_at = 1000000 };
    lb_limit_window_t  window = { .samples = 100, .mean = 100000,
                                  .peak = 1000 };

    (void) unused;

    limit = lb_limit_step(&state, &window, 1000, 0);
    assert_in_range(limit, 500, 550);

    for (i = 0; i < 100; i++) {
        before = limit;
        limit = lb_limit_step(&state, &window, 1000, 0);
        assert_true(limit <= before && limit >= LB_LIMIT_MIN);
    }

    window.mean = 1000;
    state.limit = LB_LIMIT_MAX * 16;
    window.peak = LB_LIMIT_MAX;

    assert_int_equal(lb_limit_step(&state, &window, 1000, 0), LB_LIMIT_MAX);
}


static void
a_probe_halves_it_for_two_windows_and_tells_the_base(void **unused)
{
    lb_limit_state_t   state = { .limit = 100 * 16, .base = 20000,
                                 .probe_at = 5000 };
    lb_limit_window_t  window = { .samples = 100, .mean = 25000,
                                  .peak = 100 };

    (void) unused;

    assert_in_range(lb_limit_step(&state, &window, 5000, 0), 50, 56);

    window.mean = 27000;
    assert_in_range(lb_limit_step(&state, &window, 5100, 0), 50, 56);
    assert_int_equal(state.base, 20000);

    window.mean = 22000;
    assert_in_range(lb_limit_step(&state, &window, 5200, 0), 100, 112);
    assert_int_equal(state.base, 22000);
    assert_in_range(state.probe_at, 5200 + LB_LIMIT_PROBE,
                    5200 + LB_LIMIT_PROBE * 5 / 4);
}


static void
windows_are_closed_by_one_and_have_samples(void **unused)
{
    uint32_t    i;
    lb_limit_t  limit;

    (void) unused;

    memset(&limit, 0, sizeof(limit));
    assert_int_equal(lb_limit_read(&limit), LB_LIMIT_FIRST);
    assert_int_equal(lb_limit_base(&limit), 0);

    for (i = 0; i + 1 < LB_LIMIT_SAMPLES; i++) {
        lb_limit_enter(&limit, 5000, LB_LIMIT_FIRST, 1000, 0);
        assert_int_equal(lb_limit_base(&limit), 0);
    }

    lb_limit_enter(&limit, 5000, LB_LIMIT_FIRST, 1000, 0);
    assert_int_equal(lb_limit_base(&limit), 5000);
    assert_true(lb_limit_read(&limit) > LB_LIMIT_FIRST);

    for (i = 0; i < 100; i++) {
        lb_limit_enter(&limit, 1000, 1, 1000 + LB_LIMIT_WINDOW - 1, 0);
        assert_int_equal(lb_limit_base(&limit), 5000);
    }

    lb_limit_enter(&limit, 1000, 1, 1000 + LB_LIMIT_WINDOW, 0);
    assert_int_equal(lb_limit_base(&limit), 1000);
}


static void
a_step_of_load_finds_capacity_and_keeps_latency(void **unused)
{
    double    share, latency;
    world_t  *w;

    (void) unused;

    w = world(24, 20, 0.4);
    share = run(w, 10 * SECOND, &latency);
    assert_true(share > 0.97);
    assert_true(latency < 1.2);

    w->load *= 5;
    (void) run(w, 3 * SECOND, NULL);

    share = run(w, 57 * SECOND, &latency);
    print_message("2x: %.3f of capacity, latency x %.2f, limit %u\n", share,
                  latency, lb_limit_read(&w->limit));
    assert_true(share > 0.95);
    assert_true(latency < 2.0);
    assert_in_range(lb_limit_read(&w->limit), 12, 48);

    w->load /= 5;
    share = run(w, 10 * SECOND, &latency);
    assert_true(share > 0.97);

    free(w);
}


static void
many_cores_are_found_in_seconds(void **unused)
{
    double    share;
    world_t  *w;

    (void) unused;

    w = world(CORES_MAX, 100, 2);
    (void) run(w, 5 * SECOND, NULL);

    share = run(w, 20 * SECOND, NULL);
    print_message("64 cores: %.3f of capacity, limit %u\n", share,
                  lb_limit_read(&w->limit));
    assert_true(share > 0.95);

    free(w);
}


static void
a_server_that_slows_down_is_followed(void **unused)
{
    double    share, after, latency;
    world_t  *w;

    (void) unused;

    w = world(8, 20, 2);
    (void) run(w, 10 * SECOND, NULL);

    w->service *= 5;
    share = run(w, 3 * SECOND, NULL);
    after = run(w, 17 * SECOND, &latency);
    print_message("5x slower: %.3f of capacity in 3 s, %.3f after, "
                  "latency x %.2f, limit %u\n", share, after, latency,
                  lb_limit_read(&w->limit));
    assert_true((share * 3 + after * 17) / 20 > 0.90);
    assert_true(after > 0.95);
    assert_true(latency < 2.2);

    w->service /= 5;
    share = run(w, 10 * SECOND, NULL);
    after = run(w, 10 * SECOND, &latency);
    print_message("as before: %.3f of capacity in 10 s, %.3f after, "
                  "latency x %.2f, limit %u\n", share, after, latency,
                  lb_limit_read(&w->limit));
    assert_true(share > 0.90);
    assert_true(after > 0.95);
    assert_true(latency < 2.2);

    free(w);
}


static void
noise_does_not_keep_it_low(void **unused)
{
    double    share, latency;
    world_t  *w;

    (void) unused;

    w = world(24, 20, 2);
    w->noisy = true;
    (void) run(w, 3 * SECOND, NULL);

    share = run(w, 60 * SECOND, &latency);
    print_message("noise: %.3f of capacity, latency x %.2f, limit %u\n", share,
                  latency, lb_limit_read(&w->limit));
    assert_true(share > 0.90);
    assert_true(latency < 2.5);

    free(w);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(it_grows_while_latency_is_that_without_load),
        cmocka_unit_test(it_does_not_grow_where_nobody_comes_near_it),
        cmocka_unit_test(it_shrinks_with_the_ratio_and_has_bounds),
        cmocka_unit_test(a_probe_halves_it_for_two_windows_and_tells_the_base),
        cmocka_unit_test(windows_are_closed_by_one_and_have_samples),
        cmocka_unit_test(a_step_of_load_finds_capacity_and_keeps_latency),
        cmocka_unit_test(many_cores_are_found_in_seconds),
        cmocka_unit_test(a_server_that_slows_down_is_followed),
        cmocka_unit_test(noise_does_not_keep_it_low),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
