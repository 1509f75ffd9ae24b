
/*
 * The precomputed order against the method itself: every server's current
 * weight grows, the first largest is taken, the sum comes off it.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>


static uint64_t  seed = 88172645463325252;


static uint32_t
random_number(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return (uint32_t) (seed % limit);
}


/* two rounds, so that the order is seen to start over */

static void
same_as_method(const uint32_t *weights, uint32_t n)
{
    int64_t     *current, sum;
    uint32_t    *reduced, *members;
    uint32_t     i, step, best, length;
    lb_order_t   order, again;

    current = calloc(n, sizeof(int64_t));
    reduced = malloc(n * sizeof(uint32_t));
    members = malloc(n * sizeof(uint32_t));

    memcpy(reduced, weights, n * sizeof(uint32_t));
    length = lb_order_init(&order, reduced, members, n, LB_ORDER_MAX);
    again = order;

    sum = 0;

    for (i = 0; i < n; i++) {
        sum += weights[i];
    }

    for (step = 0; step < 2 * length; step++) {
        best = 0;

        for (i = 0; i < n; i++) {
            current[i] += weights[i];

            if (current[i] > current[best]) {
                best = i;
            }
        }

        current[best] -= sum;

        if (step == length) {
            order = again;
        }

        assert_int_equal(lb_order_next(&order), best);
    }

    free(current);
    free(reduced);
    free(members);
}


static void
order_is_the_methods(void **state)
{
    uint32_t               i, j, n;
    uint32_t               weights[200];
    static const uint32_t  sets[][6] = {
        { 1 }, { 7 }, { 1, 1 }, { 5, 1, 1 }, { 1, 5, 1 }, { 1, 1, 5 },
        { 2, 2, 1 }, { 4, 2 }, { 100, 1 }, { 1, 100 }, { 3, 3, 3, 1, 1, 2 },
        { 5, 3, 1 }, { 6, 6, 6, 6, 6, 3 }, { 1000, 999, 1 }, { 10, 20, 30 }
    };

    (void) state;

    for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {

        for (n = 0; n < 6 && sets[i][n] != 0; n++) {
            weights[n] = sets[i][n];
        }

        same_as_method(weights, n);
    }

    for (i = 0; i < 300; i++) {
        n = 1 + random_number(i < 200 ? 12 : 200);

        for (j = 0; j < n; j++) {
            weights[j] = 1 + random_number(i % 3 ? 5 : 40);
        }

        same_as_method(weights, n);
    }
}


static void
length_is_the_sum_over_the_gcd(void **state)
{
    uint32_t    members[3], weights[3] = { 30, 20, 50 };
    lb_order_t  order;

    (void) state;

    assert_int_equal(lb_order_init(&order, weights, members, 3,
                                   LB_ORDER_MAX), 10);
    assert_int_equal(lb_order_init(&order, weights, members, 0,
                                   LB_ORDER_MAX), 0);

    weights[0] = 65535;
    weights[1] = 1;

    assert_int_equal(lb_order_init(&order, weights, members, 2,
                                   LB_ORDER_MAX), 65536);
}


static void
all_distinct_weights_that_fit_are_exact(void **state)
{
    uint32_t  i, weights[LB_ORDER_GROUPS];

    (void) state;

    for (i = 0; i < LB_ORDER_GROUPS; i++) {
        weights[i] = LB_ORDER_GROUPS - i;
    }

    same_as_method(weights, LB_ORDER_GROUPS);

    weights[7] = 30000;

    same_as_method(weights, 100);
    same_as_method(weights + 161, 200);
}


static void
longer_orders_keep_everyones_share(void **state)
{
    uint32_t     i, k, n, length;
    uint32_t    *weights, *original, *members, *count;
    uint64_t     sum;
    lb_order_t   order;

    (void) state;

    weights = malloc(60000 * sizeof(uint32_t));
    original = malloc(60000 * sizeof(uint32_t));
    members = malloc(60000 * sizeof(uint32_t));

    for (k = 0; k < 20; k++) {
        n = (k == 0) ? 60000 : 2 + random_number(400);
        sum = 0;

        for (i = 0; i < n; i++) {
            weights[i] = 1 + random_number((k & 1) ? 4000000000u : 100000);
            original[i] = weights[i];
            sum += weights[i];
        }

        length = lb_order_init(&order, weights, members, n, LB_ORDER_MAX);

        assert_true(length >= n);
        assert_true(length <= LB_ORDER_MAX);

        count = calloc(n, sizeof(uint32_t));

        for (i = 0; i < length; i++) {
            count[lb_order_next(&order)]++;
        }

        for (i = 0; i < n; i++) {
            assert_true(count[i] >= 1);

            if (n <= 402) {
                assert_true(count[i]
                            <= (double) original[i] * LB_ORDER_MAX / sum + 2);
                assert_true(count[i]
                            >= (double) original[i] * LB_ORDER_MAX / sum
                               * 0.99 - 2);
            }
        }

        free(count);
    }

    free(weights);
    free(original);
    free(members);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(order_is_the_methods),
        cmocka_unit_test(length_is_the_sum_over_the_gcd),
        cmocka_unit_test(all_distinct_weights_that_fit_are_exact),
        cmocka_unit_test(longer_orders_keep_everyones_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
