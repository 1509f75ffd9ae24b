
/*
 * Names of plans: each has a number, which it keeps as long as there is such a
 * plan or a client that names it.
 */


#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/limit/tb_plan_names.h"


static tb_plans_t        *plans;
static tb_plan_names_t   *names;


static void
set_up_of(uint32_t n)
{
    plans = calloc(1, tb_plan_size(n));
    names = calloc(1, tb_plan_names_size(n));

    assert_non_null(plans);
    assert_non_null(names);

    tb_plan_init(plans, n);
    tb_plan_names_init(names, n);
}


static int
set_up(void **state)
{
    (void) state;

    set_up_of(TB_PLANS);

    return 0;
}


static int
tear_down(void **state)
{
    (void) state;

    free(plans);
    free(names);

    return 0;
}


/* A hash for a number, the low bits of which choose the chain. */

static tb_hash_t
hash_of(uint32_t i)
{
    tb_hash_t  h;

    h.lo = (uint64_t) i * 2 + 1;
    h.hi = i;

    return h;
}


static uint32_t
reserve(uint32_t i)
{
    int        len;
    char       text[TB_PLAN_NAME_MAX + 1];
    tb_hash_t  h;

    h = hash_of(i);
    len = snprintf(text, sizeof(text), "plan-%u", i);

    return tb_plan_names_reserve(names, plans, &h, text, (size_t) len);
}


static uint32_t
find(uint32_t i)
{
    tb_hash_t  h;

    h = hash_of(i);

    return tb_plan_names_find(names, &h);
}


static void
a_thousand_names_have_numbers(void **state)
{
    char      text[TB_PLAN_NAME_MAX + 1], expected[TB_PLAN_NAME_MAX + 1];
    size_t    len;
    uint32_t  i, n;

    (void) state;

    assert_int_equal(find(0), TB_PLAN_NONE);

    for (i = 0; i < 1000; i++) {
        n = reserve(i);

        assert_true(n >= TB_PLAN_FIRST && n < TB_PLANS);
        tb_plan_set(plans, n, tb_limits(1, TB_RATE_MIN, 0));
    }

    for (i = 0; i < 1000; i++) {
        n = find(i);
        assert_int_equal(reserve(i), n);

        len = tb_plan_names_get(names, n, text);
        text[len] = '\0';

        (void) snprintf(expected, sizeof(expected), "plan-%u", i);
        assert_string_equal(text, expected);
    }

    assert_int_equal(reserve(1000), TB_PLAN_NONE);
    assert_int_equal(tb_plan_names_get(names, TB_PLAN_UNLIMITED, text), 0);
    assert_int_equal(tb_plan_names_get(names, TB_PLANS, text), 0);
}


static void
a_number_is_used_again_when_nobody_needs_it(void **state)
{
    uint32_t  i, n;

    (void) state;

    for (i = 0; i < 1000; i++) {
        tb_plan_set(plans, reserve(i), tb_limits(1, TB_RATE_MIN, 0));
    }

    /* a plan that has gone, and is named by a client */

    n = find(500);
    tb_plan_set(plans, n, 0);
    tb_plan_join(plans, n);

    assert_int_equal(reserve(1000), TB_PLAN_NONE);
    assert_false(tb_plan_names_has_room(names, plans));
    assert_int_equal(find(500), n);

    plans->plan[n].members--;

    assert_true(tb_plan_names_has_room(names, plans));
    assert_int_equal(reserve(1000), n);
    assert_int_equal(find(1000), n);
    assert_int_equal(find(500), TB_PLAN_NONE);

    /* and the names beside it in its chain are found as before */

    for (i = 0; i < 1000; i++) {
        assert_true(i == 500 || find(i) != TB_PLAN_NONE);
    }
}


static void
names_come_and_go_for_a_long_time(void **state)
{
    uint32_t  i, n, numbers[2000];

    (void) state;

    memset(numbers, 0, sizeof(numbers));
    srandom(3);

    for (i = 0; i < 200000; i++) {
        n = (uint32_t) random() % 2000;

        if (numbers[n] != 0) {
            assert_int_equal(find(n), numbers[n]);
            tb_plan_set(plans, numbers[n], 0);
            numbers[n] = 0;
            continue;
        }

        numbers[n] = reserve(n);

        if (numbers[n] == TB_PLAN_NONE) {
            numbers[n] = 0;
            continue;
        }

        tb_plan_set(plans, numbers[n], tb_limits(1, TB_RATE_MIN, 0));
    }

    for (n = 0; n < 2000; n++) {
        assert_true(numbers[n] == 0 || find(n) == numbers[n]);
    }
}


static void
little_memory_has_few_names(void **state)
{
    uint32_t  i, n;

    (void) state;

    free(names);
    free(plans);
    set_up_of(TB_PLAN_FIRST + 20);

    for (i = 0, n = 0; i < 100; i++) {
        if (reserve(i) != TB_PLAN_NONE) {
            tb_plan_set(plans, find(i), tb_limits(1, TB_RATE_MIN, 0));
            n++;
        }
    }

    assert_int_equal(n, 20);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(a_thousand_names_have_numbers,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_number_is_used_again_when_nobody_needs_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_come_and_go_for_a_long_time,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(little_memory_has_few_names,
                                        set_up, tear_down)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
