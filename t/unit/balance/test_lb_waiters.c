
/*
 * Waiting requests: who is next, who gives way, and whose turn it is among
 * processes.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/core/balance/lb_overload.h"
#include "src/core/balance/lb_turn.h"
#include "src/core/balance/lb_waiters.h"

#include <cmocka.h>


static void
the_highest_class_is_first_and_in_order_of_arrival(void **state)
{
    uint32_t      i;
    lb_waiter_t   w[6], *first;
    lb_waiters_t  waiters;
    const uint32_t  class[6] = { 3, LB_CLASS_RETRY, 3, 9, 0, 9 };
    const uint32_t  order[6] = { 1, 3, 5, 0, 2, 4 };

    (void) state;

    lb_waiters_init(&waiters);
    assert_null(lb_waiters_first(&waiters));
    assert_null(lb_waiters_last(&waiters));
    assert_null(lb_waiters_oldest(&waiters));

    for (i = 0; i < 6; i++) {
        w[i].class = class[i];
        w[i].since = 100 + i;
        lb_waiters_add(&waiters, &w[i]);
    }

    assert_int_equal(waiters.number, 6);

    for (i = 0; i < 6; i++) {
        first = lb_waiters_first(&waiters);
        assert_ptr_equal(first, &w[order[i]]);

        /* one that got none is where it was */

        lb_waiters_remove(&waiters, first);
        lb_waiters_put_back(&waiters, first);
        assert_ptr_equal(lb_waiters_first(&waiters), first);

        lb_waiters_remove(&waiters, first);
    }

    assert_int_equal(waiters.number, 0);
    assert_int_equal(waiters.classes, 0);
}


static void
the_oldest_of_the_lowest_class_gives_way_and_no_retry(void **state)
{
    uint32_t      i;
    lb_waiter_t   w[4];
    lb_waiters_t  waiters;
    const uint32_t  class[4] = { LB_CLASS_RETRY, 5, 2, 2 };

    (void) state;

    lb_waiters_init(&waiters);

    for (i = 0; i < 4; i++) {
        w[i].class = class[i];
        w[i].since = 100 + i;
        lb_waiters_add(&waiters, &w[i]);
    }

    assert_ptr_equal(lb_waiters_oldest(&waiters), &w[1]);
    assert_ptr_equal(lb_waiters_last(&waiters), &w[2]);
    assert_ptr_equal(lb_waiters_next(&waiters, &w[2]), &w[3]);
    assert_null(lb_waiters_next(&waiters, &w[3]));
    assert_ptr_equal(lb_waiters_from(&waiters, 3), &w[1]);
    assert_null(lb_waiters_from(&waiters, 6));

    lb_waiters_remove(&waiters, &w[2]);
    assert_ptr_equal(lb_waiters_last(&waiters), &w[3]);
    lb_waiters_remove(&waiters, &w[3]);
    assert_ptr_equal(lb_waiters_last(&waiters), &w[1]);
    lb_waiters_remove(&waiters, &w[1]);
    assert_null(lb_waiters_last(&waiters));
    assert_ptr_equal(lb_waiters_first(&waiters), &w[0]);
}


static void
a_burst_is_no_overload_and_a_standing_queue_is(void **state)
{
    uint64_t       now;
    lb_overload_t  overload;

    (void) state;

    memset(&overload, 0, sizeof(overload));

    /* above the target for less than an interval, again and again */

    for (now = 1000; now < 20000; now++) {
        assert_false(lb_overload_judge(&overload, now,
                                       (now % 1000 < 900) ? 50 : 10,
                                       10, 1000));
    }

    /* without a break */

    for (now = 20000; now < 21000; now++) {
        assert_false(lb_overload_judge(&overload, now, 50, 10, 1000));
    }

    assert_true(lb_overload_judge(&overload, 21000, 50, 10, 1000));

    /* it goes on as long as it comes back within an interval */

    for (now = 21001; now < 25000; now++) {
        assert_true(lb_overload_judge(&overload, now,
                                      (now % 500 == 0) ? 11 : 0, 10, 1000));
    }

    for (now = 25000; now < 25500; now++) {
        assert_true(lb_overload_judge(&overload, now, 0, 10, 1000));
    }

    assert_false(lb_overload_judge(&overload, 25500, 0, 10, 1000));
}


static void
the_target_is_half_of_the_service_within_bounds(void **state)
{
    (void) state;

    assert_int_equal(lb_overload_target(20000, 1000), 10);
    assert_int_equal(lb_overload_target(100, 1000), LB_OVERLOAD_TARGET);
    assert_int_equal(lb_overload_target(10000000, 1000), 500);
    assert_int_equal(lb_overload_target(10000000, 2), LB_OVERLOAD_TARGET);
}


static void
a_place_is_left_once_to_who_is_ahead(void **state)
{
    lb_left_t  left[3];
    lb_turn_t  turns[3];

    (void) state;

    memset(left, 0, sizeof(left));
    memset(turns, 0, sizeof(turns));

    /* nobody else waits; one's own row does not count */

    lb_turn_show(&turns[0], 9, 10, 1000);
    assert_int_equal(lb_turn_leave(turns, left, 3, 0, 0, 1000, 1000), 0);

    /* as old, or a little older */

    lb_turn_show(&turns[1], 5, 990, 1000);
    assert_int_equal(lb_turn_leave(turns, left, 3, 0, 5, 1000, 1000), 0);

    lb_turn_show(&turns[1], 5, 989, 1000);
    assert_int_equal(lb_turn_leave(turns, left, 3, 0, 5, 1000, 1000), 1);

    /* until it has had the time to look, and again for the one behind it */

    assert_int_equal(lb_turn_leave(turns, left, 3, 0, 5, 1000,
                                   1000 + LB_TURN_LEAVE - 1), 1);
    assert_int_equal(lb_turn_leave(turns, left, 3, 0, 5, 1000,
                                   1000 + LB_TURN_LEAVE), 0);
    lb_turn_show(&turns[1], 5, 988, 1010);
    assert_int_equal(lb_turn_leave(turns, left, 3, 0, 5, 1000, 1010), 1);

    /* a class above is ahead, one below is not */

    lb_turn_show(&turns[2], 6, 1005, 1010);
    assert_int_equal(lb_turn_leave(turns, left, 3, 0, 5, 1000, 1010), 2);
    assert_int_equal(lb_turn_leave(turns, left, 3, 0, 7, 1000, 1010), 0);

    lb_turn_clear(&turns[2]);
    assert_int_equal(lb_turn_leave(turns, left, 3, 0, 5, 1000, 1010), 1);
}


static void
a_process_that_does_not_look_holds_nobody_up(void **state)
{
    lb_left_t  left[2];
    lb_turn_t  turns[2];

    (void) state;

    memset(left, 0, sizeof(left));
    memset(turns, 0, sizeof(turns));

    lb_turn_show(&turns[1], 9, 100, 1000);

    assert_int_equal(lb_turn_leave(turns, left, 2, 0, 0, 900,
                                   1000 + LB_TURN_AWAY), 1);
    memset(left, 0, sizeof(left));
    assert_int_equal(lb_turn_leave(turns, left, 2, 0, 0, 900,
                                   1000 + LB_TURN_AWAY + 1), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(the_highest_class_is_first_and_in_order_of_arrival),
        cmocka_unit_test(the_oldest_of_the_lowest_class_gives_way_and_no_retry),
        cmocka_unit_test(a_burst_is_no_overload_and_a_standing_queue_is),
        cmocka_unit_test(the_target_is_half_of_the_service_within_bounds),
        cmocka_unit_test(a_place_is_left_once_to_who_is_ahead),
        cmocka_unit_test(a_process_that_does_not_look_holds_nobody_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
