
/*
 * Events within a sliding span, against a list of all of them.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>


static void
one_event_reaches_a_limit_of_one(void **state)
{
    lb_window_t  window = { .count = 0 };

    (void) state;

    assert_true(lb_window_hit(&window, 1, 10000, 5));
    assert_true(lb_window_hit(&window, 1, 10000, 1000000));
}


static void
the_span_slides(void **state)
{
    lb_window_t  window = { .count = 0 };

    (void) state;

    assert_false(lb_window_hit(&window, 3, 1000, 1000));
    assert_false(lb_window_hit(&window, 3, 1000, 1900));
    assert_false(lb_window_hit(&window, 3, 1000, 2100));
    assert_true(lb_window_hit(&window, 3, 1000, 2900));
    assert_false(lb_window_hit(&window, 3, 1000, 3200));
}


static void
a_machine_just_started_has_no_earlier_events(void **state)
{
    lb_window_t  window = { .count = 0 };

    (void) state;

    assert_false(lb_window_hit(&window, 2, 10000, 1));
    assert_true(lb_window_hit(&window, 2, 10000, 2));
}


static void
cleared_events_do_not_count(void **state)
{
    lb_window_t  window = { .count = 0 };

    (void) state;

    assert_false(lb_window_hit(&window, 2, 1000, 1000));
    lb_window_clear(&window);
    assert_false(lb_window_hit(&window, 2, 1000, 1001));
    assert_true(lb_window_hit(&window, 2, 1000, 1002));
}


static void
limits_up_to_sixteen_are_exact(void **state)
{
    bool         reached;
    uint32_t     i, n, limit, count;
    uint64_t     now, at[1000];

    (void) state;

    srand(1);

    for (limit = 1; limit <= LB_WINDOW_MARKS; limit++) {
        lb_window_t  window = { .count = 0 };

        now = 100000;

        for (n = 0; n < 1000; n++) {
            now += rand() % (2000 / limit);
            at[n] = now;
            count = 0;

            for (i = 0; i <= n; i++) {
                count += (at[i] + 1000 >= now);
            }

            reached = lb_window_hit(&window, limit, 1000, now);
            assert_int_equal(reached, count >= limit);
        }
    }
}


static void
large_limits_are_never_early_and_little_late(void **state)
{
    uint32_t               i, k, limit;
    static const uint32_t  limits[] = { 17, 20, 100, 1000, 12345 };

    (void) state;

    for (k = 0; k < 5; k++) {
        lb_window_t  window = { .count = 0 };

        limit = limits[k];

        for (i = 1; !lb_window_hit(&window, limit, 1000, 5000); i++) {
            assert_true(i <= limit + limit / 15 + 1);
        }

        assert_true(i >= limit);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(one_event_reaches_a_limit_of_one),
        cmocka_unit_test(the_span_slides),
        cmocka_unit_test(a_machine_just_started_has_no_earlier_events),
        cmocka_unit_test(cleared_events_do_not_count),
        cmocka_unit_test(limits_up_to_sixteen_are_exact),
        cmocka_unit_test(large_limits_are_never_early_and_little_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
