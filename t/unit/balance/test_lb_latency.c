
/*
 * Moving averages of times: peaks, what brings them down, and failures.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/core/balance/lb_latency.h"


static void
nothing_is_known_at_first(void **state)
{
    _Atomic uint64_t  word = 0;

    (void) state;

    assert_int_equal(lb_latency_read(&word, 1000), 0);
    lb_latency_enter(&word, 7000, 1000);
    assert_int_equal(lb_latency_read(&word, 1000), 7000);
}


static void
a_longer_time_counts_at_once_and_shorter_ones_bring_it_down(void **state)
{
    uint32_t          i;
    _Atomic uint64_t  word = 0;

    (void) state;

    lb_latency_enter(&word, 1000, 1000);
    lb_latency_enter(&word, 80000, 1001);
    assert_int_equal(lb_latency_read(&word, 1001), 80000);

    lb_latency_enter(&word, 8000, 1002);
    assert_in_range(lb_latency_read(&word, 1002), 70000, 72000);

    for (i = 0; i < 60; i++) {
        lb_latency_enter(&word, 8000, 1003 + i);
    }

    assert_in_range(lb_latency_read(&word, 1063), 8000, 8200);
}


static void
time_without_news_halves_it(void **state)
{
    uint64_t          now;
    uint32_t          last, average;
    _Atomic uint64_t  word = 0;

    (void) state;

    lb_latency_enter(&word, 1000000, 1000);
    assert_int_equal(lb_latency_read(&word, 1000 + LB_LATENCY_HALF), 500000);
    assert_int_equal(lb_latency_read(&word, 1000 + 3 * LB_LATENCY_HALF),
                     125000);

    last = 1000000;

    for (now = 1000; now < 400000; now += 77) {
        average = lb_latency_read(&word, now);
        assert_in_range(average, 1, last);
        last = average;
    }

    assert_int_equal(lb_latency_read(&word, 1000000), 1);

    /* a news after a long time counts as it is */

    lb_latency_enter(&word, 30000, 200000);
    assert_int_equal(lb_latency_read(&word, 200000), 30000);
}


static void
a_clock_behind_or_a_wrap_does_no_harm(void **state)
{
    uint64_t          now = 0xffffffff0;
    _Atomic uint64_t  word = 0;

    (void) state;

    lb_latency_enter(&word, 5000, now);
    assert_int_equal(lb_latency_read(&word, now - 10), 5000);
    assert_int_equal(lb_latency_read(&word, now + LB_LATENCY_HALF), 2500);
}


static void
each_failure_doubles_it_up_to_a_limit(void **state)
{
    uint32_t          i;
    _Atomic uint64_t  word = 0;

    (void) state;

    lb_latency_fail(&word, 0, 1000);
    assert_int_equal(lb_latency_read(&word, 1000), LB_LATENCY_FAILED);
    lb_latency_fail(&word, 0, 1000);
    assert_int_equal(lb_latency_read(&word, 1000), 2 * LB_LATENCY_FAILED);
    lb_latency_fail(&word, 3000000, 1000);
    assert_int_equal(lb_latency_read(&word, 1000), 3000000);

    for (i = 0; i < 100; i++) {
        lb_latency_fail(&word, 0, 1000);
    }

    assert_int_equal(lb_latency_read(&word, 1000), LB_LATENCY_MAX);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(
                 a_longer_time_counts_at_once_and_shorter_ones_bring_it_down),
        cmocka_unit_test(time_without_news_halves_it),
        cmocka_unit_test(a_clock_behind_or_a_wrap_does_no_harm),
        cmocka_unit_test(each_failure_doubles_it_up_to_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
