
/* Rates, capacities and costs as users write them. */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/limit/tb_text.h"


typedef struct {
    const char        *text;
    tb_text_status_t   status;
    uint64_t           value;
} example_t;


static void
test_rate_is_exact_in_steps(void **state)
{
    size_t    i;
    uint64_t  rate;

    static const example_t  examples[] = {
        { "5r/s", TB_TEXT_OK, 5 * 864000 },
        { "0.5r/s", TB_TEXT_OK, 432000 },
        { "90r/m", TB_TEXT_OK, 90 * 14400 },
        { "7r/m", TB_TEXT_OK, 7 * 14400 },
        { "1000r/h", TB_TEXT_OK, 1000 * 240 },
        { "100r/d", TB_TEXT_OK, 1000 },
        { "1r/d", TB_TEXT_OK, 10 },
        { "1.1r/d", TB_TEXT_OK, 11 },
        { "1.14r/d", TB_TEXT_OK, 11 },
        { "1.15r/d", TB_TEXT_OK, 12 },
        { "0.333333333333r/s", TB_TEXT_OK, 288000 },
        { "1000000r/s", TB_TEXT_OK, UINT64_C(864000000000) },
        { "1000000.0r/s", TB_TEXT_OK, UINT64_C(864000000000) },
        { "60000000r/m", TB_TEXT_OK, UINT64_C(864000000000) },
        { "86400000000r/d", TB_TEXT_OK, UINT64_C(864000000000) },
        { "0005r/s", TB_TEXT_OK, 5 * 864000 },

        { "1000000.000001r/s", TB_TEXT_RANGE, 0 },
        { "1000001r/s", TB_TEXT_RANGE, 0 },
        { "86400000001r/d", TB_TEXT_RANGE, 0 },
        { "99999999999999999999999999r/d", TB_TEXT_RANGE, 0 },
        { "0r/s", TB_TEXT_RANGE, 0 },
        { "0.9r/d", TB_TEXT_RANGE, 0 },
        { "0.000001r/s", TB_TEXT_RANGE, 0 },

        { "", TB_TEXT_SYNTAX, 0 },
        { "5", TB_TEXT_SYNTAX, 0 },
        { "r/s", TB_TEXT_SYNTAX, 0 },
        { "5r", TB_TEXT_SYNTAX, 0 },
        { "5r/", TB_TEXT_SYNTAX, 0 },
        { "5r/w", TB_TEXT_SYNTAX, 0 },
        { "5r/S", TB_TEXT_SYNTAX, 0 },
        { "5r/ss", TB_TEXT_SYNTAX, 0 },
        { "5 r/s", TB_TEXT_SYNTAX, 0 },
        { " 5r/s", TB_TEXT_SYNTAX, 0 },
        { "-5r/s", TB_TEXT_SYNTAX, 0 },
        { "+5r/s", TB_TEXT_SYNTAX, 0 },
        { "5.r/s", TB_TEXT_SYNTAX, 0 },
        { ".5r/s", TB_TEXT_SYNTAX, 0 },
        { "5..5r/s", TB_TEXT_SYNTAX, 0 },
        { "1e3r/s", TB_TEXT_SYNTAX, 0 },
        { "0x5r/s", TB_TEXT_SYNTAX, 0 }
    };

    (void) state;

    for (i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        rate = 77;

        if (tb_text_rate(examples[i].text, strlen(examples[i].text), 1, &rate)
            != examples[i].status)
        {
            fail_msg("\"%s\": the other status", examples[i].text);
        }

        assert_int_equal(rate, examples[i].status == TB_TEXT_OK
                               ? examples[i].value : 77);
    }
}


static void
test_capacity_is_a_whole_number_in_range(void **state)
{
    size_t    i;
    uint32_t  capacity;

    static const example_t  examples[] = {
        { "1", TB_TEXT_OK, 1 },
        { "100", TB_TEXT_OK, 100 },
        { "007", TB_TEXT_OK, 7 },
        { "1000000", TB_TEXT_OK, 1000000 },

        { "0", TB_TEXT_RANGE, 0 },
        { "1000001", TB_TEXT_RANGE, 0 },
        { "4294967297", TB_TEXT_RANGE, 0 },
        { "18446744073709551617", TB_TEXT_RANGE, 0 },

        { "", TB_TEXT_SYNTAX, 0 },
        { "1.5", TB_TEXT_SYNTAX, 0 },
        { "-1", TB_TEXT_SYNTAX, 0 },
        { "1k", TB_TEXT_SYNTAX, 0 },
        { "1 ", TB_TEXT_SYNTAX, 0 }
    };

    (void) state;

    for (i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        capacity = 77;

        if (tb_text_capacity(examples[i].text, strlen(examples[i].text), 1,
                             &capacity)
            != examples[i].status)
        {
            fail_msg("\"%s\": the other status", examples[i].text);
        }

        assert_int_equal(capacity, examples[i].status == TB_TEXT_OK
                                   ? examples[i].value : 77);
    }
}


static void
test_cost_is_exact_and_never_rounded_down(void **state)
{
    size_t    i;
    uint64_t  cost;

    static const example_t  examples[] = {
        { "0", TB_TEXT_OK, 0 },
        { "0.0", TB_TEXT_OK, 0 },
        { "0.000000000000", TB_TEXT_OK, 0 },
        { "1", TB_TEXT_OK, 1000000 },
        { "0.001", TB_TEXT_OK, 1000 },
        { "2.5", TB_TEXT_OK, 2500000 },
        { "1.000001", TB_TEXT_OK, 1000001 },
        { "1.0000001", TB_TEXT_OK, 1000001 },
        { "1.0000000000001", TB_TEXT_OK, 1000001 },
        { "1.0000000000000", TB_TEXT_OK, 1000000 },
        { "1000000", TB_TEXT_OK, UINT64_C(1000000000000) },

        { "0.0009", TB_TEXT_RANGE, 0 },
        { "0.0000000001", TB_TEXT_RANGE, 0 },
        { "1000000.0000001", TB_TEXT_LARGE, TB_COST_MAX },
        { "1000001", TB_TEXT_LARGE, TB_COST_MAX },
        { "1000000000000.5", TB_TEXT_LARGE, TB_COST_MAX },
        { "12345678901234567890", TB_TEXT_LARGE, TB_COST_MAX },
        { "18446744073709551617", TB_TEXT_LARGE, TB_COST_MAX },
        { "99999999999999999999999", TB_TEXT_LARGE, TB_COST_MAX },

        { "", TB_TEXT_SYNTAX, 0 },
        { "-1", TB_TEXT_SYNTAX, 0 },
        { "-12345678901234567890", TB_TEXT_SYNTAX, 0 },
        { "5,3", TB_TEXT_SYNTAX, 0 },
        { " 5", TB_TEXT_SYNTAX, 0 },
        { "5 ", TB_TEXT_SYNTAX, 0 },
        { "+5", TB_TEXT_SYNTAX, 0 },
        { "1.", TB_TEXT_SYNTAX, 0 },
        { "12345678901234567890.", TB_TEXT_SYNTAX, 0 },
        { "12345678901234567890e3", TB_TEXT_SYNTAX, 0 },
        { "1x", TB_TEXT_SYNTAX, 0 },
        { "nan", TB_TEXT_SYNTAX, 0 },
        { "1e3", TB_TEXT_SYNTAX, 0 }
    };

    (void) state;

    for (i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        cost = 77;

        if (tb_text_cost(examples[i].text, strlen(examples[i].text), 1, &cost)
            != examples[i].status)
        {
            fail_msg("\"%s\": the other status", examples[i].text);
        }

        assert_int_equal(cost, examples[i].status == TB_TEXT_OK
                               || examples[i].status == TB_TEXT_LARGE
                               ? examples[i].value : 77);
    }
}


static void
test_text_ends_where_its_length_says(void **state)
{
    uint32_t  capacity;
    uint64_t  value;

    (void) state;

    assert_int_equal(tb_text_rate("5r/s0", 4, 1, &value), TB_TEXT_OK);
    assert_int_equal(tb_text_rate("5r/s", 3, 1, &value), TB_TEXT_SYNTAX);
    assert_int_equal(tb_text_capacity("12x", 2, 1, &capacity), TB_TEXT_OK);
    assert_int_equal(capacity, 12);
    assert_int_equal(tb_text_cost("1.5x", 3, 1, &value), TB_TEXT_OK);
    assert_int_equal(value, 1500000);
    assert_int_equal(tb_text_cost("1\0005", 3, 1, &value), TB_TEXT_SYNTAX);
}


static void
test_capacity_of_a_rate_is_one_second_of_it(void **state)
{
    (void) state;

    assert_int_equal(tb_rate_capacity(TB_RATE_MIN), 1);
    assert_int_equal(tb_rate_capacity(TB_STEPS_A_SECOND / 2), 1);
    assert_int_equal(tb_rate_capacity(TB_STEPS_A_SECOND), 1);
    assert_int_equal(tb_rate_capacity(5 * TB_STEPS_A_SECOND), 5);
    assert_int_equal(tb_rate_capacity(TB_RATE_MAX), TB_CAPACITY_MAX);
}


/* What people write is in single units, what a table has in tokens of unit. */

static void
test_unit_scales_all_that_is_read_and_shown(void **state)
{
    uint32_t     capacity;
    uint64_t     value;
    tb_limits_t  limits;

    (void) state;

    assert_int_equal(tb_text_rate("60000r/m", 8, 1000, &value), TB_TEXT_OK);
    assert_int_equal(value, TB_STEPS_A_SECOND);
    assert_int_equal(tb_text_capacity("2000000", 7, 1000, &capacity),
                     TB_TEXT_OK);
    assert_int_equal(capacity, 2000);

    limits = tb_limits(capacity, value, 0);
    assert_int_equal(tb_unit_capacity(limits, 1000), 2000000);
    assert_int_equal(tb_unit_rate(limits, 1000),
                     1000 * (uint64_t) TB_STEPS_A_SECOND);

    assert_int_equal(tb_text_capacity("1000000000", 10, 1000, &capacity),
                     TB_TEXT_OK);
    assert_int_equal(capacity, TB_CAPACITY_MAX);
    assert_int_equal(tb_text_capacity("1000001000", 10, 1000, &capacity),
                     TB_TEXT_RANGE);
    assert_int_equal(tb_text_capacity("1500", 4, 1000, &capacity),
                     TB_TEXT_STEP);

    assert_int_equal(tb_text_rate("1000000000r/s", 13, 1000, &value),
                     TB_TEXT_OK);
    assert_int_equal(value, TB_RATE_MAX);
    assert_int_equal(tb_text_rate("1000000001r/s", 13, 1000, &value),
                     TB_TEXT_RANGE);
    assert_int_equal(tb_text_rate("99999999999999999r/d", 20, 1000, &value),
                     TB_TEXT_RANGE);
    assert_int_equal(tb_text_rate("100r/d", 6, 1000, &value), TB_TEXT_OK);
    assert_int_equal(value, 1);
    assert_int_equal(tb_text_rate("49r/d", 5, 1000, &value), TB_TEXT_RANGE);
    assert_int_equal(tb_text_rate("0.7r/d", 6, 7, &value), TB_TEXT_OK);
    assert_int_equal(value, 1);

    assert_int_equal(tb_text_cost("1", 1, 1000, &value), TB_TEXT_OK);
    assert_int_equal(value, TB_COST_MIN);
    assert_int_equal(tb_text_cost("0.9", 3, 1000, &value), TB_TEXT_RANGE);
    assert_int_equal(tb_text_cost("1234567", 7, 1000, &value), TB_TEXT_OK);
    assert_int_equal(value, 1234567000);
    assert_int_equal(tb_text_cost("1", 1, 3, &value), TB_TEXT_OK);
    assert_int_equal(value, 333334);
    assert_int_equal(tb_text_cost("1000000000", 10, 1000, &value),
                     TB_TEXT_OK);
    assert_int_equal(value, TB_COST_MAX);
    assert_int_equal(tb_text_cost("1000000000.1", 12, 1000, &value),
                     TB_TEXT_LARGE);

    assert_true(tb_unit_tokens(-TB_DEBT_MAX, 1000) == -1000 * TB_DEBT_MAX);
    assert_true(tb_unit_tokens_of(-1, 3) == -1);
    assert_true(tb_unit_tokens_of(7, 3) == 2);

    for (capacity = 1; capacity <= TB_UNIT_MAX; capacity++) {
        assert_true(tb_unit_tokens_of(tb_unit_tokens(-12345, capacity),
                                      capacity) == -12345);
    }
}


/* Short whole numbers are read in a way of their own. */

static void
test_a_cost_is_the_same_with_a_fraction_of_zero(void **state)
{
    int       n;
    char      text[16];
    uint32_t  i, number;
    uint64_t  cost, same;

    static const uint32_t  units[] = { 1, 2, 3, 7, 64, 999, 1000 };

    (void) state;

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {

        for (number = 0; number < 1100000;
             number += (number < 3000 || number > 999000) ? 1 : 997)
        {
            n = snprintf(text, sizeof(text), "%u.0", number);

            assert_int_equal(tb_text_cost(text, (size_t) n - 2, units[i],
                                          &cost),
                             tb_text_cost(text, (size_t) n, units[i], &same));
            assert_int_equal(cost, same);
        }
    }

    assert_int_equal(tb_text_cost("", 0, 1, &cost), TB_TEXT_SYNTAX);
    assert_int_equal(tb_text_cost("12a", 3, 1, &cost), TB_TEXT_SYNTAX);
    assert_int_equal(tb_text_cost("-1", 2, 1, &cost), TB_TEXT_SYNTAX);
    assert_int_equal(tb_text_cost("007", 3, 1, &cost), TB_TEXT_OK);
    assert_int_equal(cost, 7 * TB_TOKEN);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_rate_is_exact_in_steps),
        cmocka_unit_test(test_capacity_is_a_whole_number_in_range),
        cmocka_unit_test(test_cost_is_exact_and_never_rounded_down),
        cmocka_unit_test(test_unit_scales_all_that_is_read_and_shown),
        cmocka_unit_test(test_text_ends_where_its_length_says),
        cmocka_unit_test(test_capacity_of_a_rate_is_one_second_of_it),
        cmocka_unit_test(test_a_cost_is_the_same_with_a_fraction_of_zero)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
