
/*
 * When checks take place: soon after the start, spread over the interval,
 * never further apart than interval and jitter allow.
 */


#include "t/unit/balance/lb_fixture.h"

#include "src/core/balance/lb_pace.h"

#include <cmocka.h>


#define N         1000
#define INTERVAL  5000
#define START     70000


static lb_pace_t  paces[N];


static void
the_first_check_comes_soon_and_within_an_interval(void **state)
{
    uint32_t   i, n, k;
    lb_pace_t  pace;

    static const uint64_t  intervals[] = { 10, 100, 1000, 5000, 86400000 };

    (void) state;

    for (k = 0; k < 5; k++) {

        for (n = 1; n < 2000; n += 37) {

            for (i = 0; i < n; i++) {
                lb_pace_start(&pace, START, 0, intervals[k], i, n);

                assert_in_range(pace.due, START,
                                START + (i + 1) * LB_PACE_FIRST);
                assert_true(pace.due <= START + intervals[k]);
                assert_true(pace.spread_at <= START + intervals[k]);
            }
        }
    }
}


static void
a_rhythm_goes_on_in_another_process(void **state)
{
    lb_pace_t  pace;

    (void) state;

    lb_pace_start(&pace, START, START - 3000, INTERVAL, 500, N);
    assert_int_equal(pace.due, START + 2000);

    /* unless that is over */

    lb_pace_start(&pace, START, START - 6000, INTERVAL, 500, N);
    assert_int_equal(pace.due, START + 2500);

    /* or its clock is ahead */

    lb_pace_start(&pace, START, START + 1, INTERVAL, 0, N);
    assert_int_equal(pace.due, START);
}


static void
checks_are_an_interval_and_the_jitter_apart(void **state)
{
    uint32_t   i, above, below;
    uint64_t   before, apart;
    lb_pace_t  pace;

    (void) state;

    srand(5);
    above = 0;
    below = 0;

    lb_pace_start(&pace, START, 0, INTERVAL, 0, 1);
    assert_int_equal(pace.due, START);

    for (i = 0; i < 10000; i++) {
        before = pace.due;
        lb_pace_step(&pace, before, INTERVAL, 100, (uint32_t) rand());
        apart = pace.due - before;

        assert_in_range(apart, INTERVAL * 9 / 10, INTERVAL * 11 / 10);

        above += (apart > INTERVAL * 105 / 100);
        below += (apart < INTERVAL * 95 / 100);
    }

    assert_in_range(above, 2000, 3000);
    assert_in_range(below, 2000, 3000);

    for (i = 0; i < 100; i++) {
        before = pace.due;
        lb_pace_step(&pace, before, INTERVAL, 0, (uint32_t) rand());
        assert_int_equal(pace.due, before + INTERVAL);
    }
}


/* of 1,000 servers, a tenth in each tenth of the interval, within a third */

static void
servers_are_spread_over_the_interval(void **state)
{
    uint32_t  i, round, n;
    uint64_t  now;
    uint32_t  tenth[10];

    static const uint32_t  numbers[] = { N, 100 };

    (void) state;

    srand(9);

    for (n = 0; n < 2; n++) {

        for (i = 0; i < numbers[n]; i++) {
            lb_pace_start(&paces[i], START, 0, INTERVAL, i, numbers[n]);
            lb_pace_step(&paces[i], paces[i].due, INTERVAL, 0, 0);
        }

        for (round = 0; round < 20; round++) {
            memset(tenth, 0, sizeof(tenth));

            for (i = 0; i < numbers[n]; i++) {
                now = paces[i].due;
                tenth[now % INTERVAL * 10 / INTERVAL]++;
                lb_pace_step(&paces[i], now, INTERVAL, 5, (uint32_t) rand());
            }

            for (i = 0; i < 10; i++) {
                assert_in_range(tenth[i], numbers[n] * 2 / 30,
                                numbers[n] * 4 / 30);
            }
        }
    }
}


static void
a_late_process_neither_repeats_nor_bunches_checks(void **state)
{
    uint32_t   i;
    uint64_t   now, phase;
    lb_pace_t  pace;

    (void) state;

    lb_pace_start(&pace, START, 0, 1000, 0, 1);

    for (i = 1; i < 5000; i += 7) {
        phase = pace.due % 1000;
        now = pace.due + i;

        lb_pace_step(&pace, now, 1000, 0, 0);

        assert_in_range(pace.due, now, now + 1000);
        assert_int_equal(pace.due % 1000, phase);
    }
}


static void
a_busy_process_gives_more_time_and_an_idle_one_none(void **state)
{
    (void) state;

    assert_int_equal(lb_pace_grace(0, 0), 0);
    assert_int_equal(lb_pace_grace(1, LB_PACE_SLACK), 0);
    assert_int_equal(lb_pace_grace(3000, 0), 3000);
    assert_int_equal(lb_pace_grace(1, 400), 400);
    assert_int_equal(lb_pace_grace(3000, 2990), 3000);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(the_first_check_comes_soon_and_within_an_interval),
        cmocka_unit_test(a_rhythm_goes_on_in_another_process),
        cmocka_unit_test(checks_are_an_interval_and_the_jitter_apart),
        cmocka_unit_test(servers_are_spread_over_the_interval),
        cmocka_unit_test(a_late_process_neither_repeats_nor_bunches_checks),
        cmocka_unit_test(a_busy_process_gives_more_time_and_an_idle_one_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
