
/*
 * The histogram of times.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/balance/lb_meter.h"


static void
each_time_is_in_the_bucket_whose_bound_it_does_not_exceed(void **state)
{
    unsigned           i;
    uint64_t           counts[LB_METER_BOUNDS + 1], sum;
    static lb_meter_t  meters[LB_METERS];

    (void) state;

    sum = 0;

    for (i = 0; i < LB_METER_BOUNDS; i++) {
        lb_meter_count(meters, i, lb_meter_bounds[i]);
        lb_meter_count(meters, i + 1, lb_meter_bounds[i] + 1);
        sum += 2 * lb_meter_bounds[i] + 1;
    }

    lb_meter_count(meters, UINT32_MAX, 0);

    assert_int_equal(lb_meter_read(meters, counts), sum);

    /* 1 ms and its successor, 2 ms, of which one is in the next bucket */

    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 2);

    for (i = 2; i < LB_METER_BOUNDS; i++) {
        assert_int_equal(counts[i], 2);
    }

    assert_int_equal(counts[LB_METER_BOUNDS], 1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(
            each_time_is_in_the_bucket_whose_bound_it_does_not_exceed)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
