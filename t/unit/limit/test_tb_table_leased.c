
/*
 * The table with leased buckets: what time, newcomers, registration and
 * sweeps must not do to tokens that come from leases alone.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/core/limit/tb_table_overflow.h"
#include "t/unit/limit/tb_fixture.h"


#define R_SECOND  TB_STEPS_A_SECOND
#define NOW       UINT64_C(1000000)
#define DFLT      tb_limits(10, 10 * R_SECOND, TB_LIMITS_LEASED)
#define OWN       tb_limits(50, R_SECOND, TB_LIMITS_REGISTERED)


static tb_result_t  res;


static tb_verdict_t
ask(tb_table_t *t, uint64_t key, uint64_t now, uint64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return tb_table_take_known(t, &h, now, DFLT, tokens * TB_TOKEN, &res);
}


static int64_t
add(tb_table_t *t, uint64_t key, int64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return tb_table_add(t, tb_table_find(t, &h), &h, NOW, DFLT,
                        tokens * (int64_t) TB_TOKEN)
           / (int64_t) TB_TOKEN;
}


static bool
put(tb_table_t *t, uint64_t key, tb_limits_t limits)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return tb_table_put(t, &h, NOW, DFLT, limits, 10 * TB_TOKEN);
}


static void
a_new_bucket_is_empty_and_time_does_not_fill_it(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(4));
    h = fixture_key(1);

    assert_int_equal(ask(t, 1, NOW, 1), TB_ABSENT);
    assert_true(put(t, 1, 0));
    assert_int_equal(ask(t, 1, NOW, 1), TB_REFUSE);
    assert_int_equal(ask(t, 1, NOW + 100000, 1), TB_REFUSE);
    assert_ptr_equal(res.slot, tb_table_find(t, &h));
    assert_true(res.limits == DFLT);

    assert_int_equal(tb_table_check(t, NOW, DFLT), 0);

    free(t);
}


static void
tokens_are_added_up_to_the_capacity_and_taken_as_far_as_there(void **state)
{
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(4));

    assert_true(put(t, 1, 0));
    assert_int_equal(add(t, 1, 4), 4);
    assert_int_equal(ask(t, 1, NOW + 5000, 5), TB_REFUSE);
    assert_int_equal(ask(t, 1, NOW + 5000, 3), TB_PASS);
    assert_int_equal(res.left, TB_TOKEN);
    assert_int_equal(add(t, 1, -2), -1);
    assert_int_equal(add(t, 1, 20), 10);

    free(t);
}


static void
what_is_added_to_somebody_elses_slot_is_lost(void **state)
{
    tb_hash_t    a, b;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(4));
    a = fixture_key(1);
    b = fixture_key(2);

    assert_true(put(t, 1, 0));
    assert_int_equal(tb_table_add(t, tb_table_find(t, &a), &b, NOW, DFLT, 5),
                     0);
    assert_int_equal(ask(t, 1, NOW, 1), TB_REFUSE);

    free(t);
}


static void
registration_neither_gives_nor_takes_tokens(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(4));
    h = fixture_key(1);

    assert_true(put(t, 1, OWN));
    assert_int_equal(ask(t, 1, NOW + 60000, 1), TB_REFUSE);
    assert_true(res.limits == (OWN | TB_LIMITS_LEASED));
    assert_int_equal(add(t, 1, 30), 30);

    assert_true(put(t, 1, OWN));
    assert_int_equal(ask(t, 1, NOW, 0), TB_PASS);
    assert_int_equal(res.left, 30 * TB_TOKEN);

    assert_true(tb_table_set_limits(t, &h, NOW + 9000, DFLT, 0));
    assert_int_equal(ask(t, 1, NOW + 9000, 11), TB_REFUSE);
    assert_int_equal(ask(t, 1, NOW + 9000, 10), TB_PASS);

    free(t);
}


static void
a_newcomer_gets_no_tokens_of_whom_it_displaces(void **state)
{
    uint64_t     key;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(2));

    for (key = 1; key <= 200; key++) {
        assert_true(put(t, key, 0));
        assert_int_equal(ask(t, key, NOW, 1), TB_REFUSE);
        assert_int_equal(add(t, key, 10), 10);
    }

    assert_int_equal(tb_table_check(t, NOW, DFLT), 0);

    free(t);
}


static void
sweeps_keep_buckets_and_only_empty_ones_are_forgotten(void **state)
{
    tb_hash_t    h;
    tb_sweep_t   seen;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(4));
    h = fixture_key(1);

    assert_true(put(t, 1, 0));
    assert_int_equal(add(t, 1, 10), 10);

    seen = (tb_sweep_t) { 0, 0, 0 };

    tb_table_tick(t, 0, 64, NOW + 9000, DFLT, &seen);
    assert_int_equal(seen.buckets, 1);
    assert_int_equal(seen.unclean, 0);

    tb_table_collect(t, 0, 64, NOW + 9000, DFLT);
    assert_int_equal(ask(t, 1, NOW + 9000, 0), TB_PASS);
    assert_int_equal(res.left, 10 * TB_TOKEN);

    tb_table_forget(t, &h, NOW + 9000, DFLT, 0);
    assert_int_equal(ask(t, 1, NOW + 9000, 10), TB_PASS);

    tb_table_forget(t, &h, NOW + 9000, DFLT, 0);
    assert_int_equal(ask(t, 1, NOW + 9000, 0), TB_ABSENT);

    assert_true(put(t, 2, 0));
    tb_table_tick(t, 0, 64, NOW + TB_LEASED_TIME, DFLT, &seen);
    assert_true(seen.unclean >= 1);
    tb_table_collect(t, 0, 64, NOW + TB_LEASED_TIME, DFLT);
    assert_int_equal(ask(t, 2, NOW + TB_LEASED_TIME, 0), TB_ABSENT);

    free(t);
}


static void
the_overflow_bucket_has_limits_of_its_own_and_begins_empty(void **state)
{
    uint64_t     now;
    tb_sweep_t   seen;
    tb_table_t  *t;
    tb_limits_t  half;

    (void) state;

    t = fixture_create(fixture_size(2));
    half = tb_limits(5, 5 * R_SECOND, 0);
    seen = (tb_sweep_t) { 0, 0, 0 };

    tb_table_tick_overflow(t, NOW, half, true);
    assert_int_equal(tb_table_take_overflow(t, NOW, half, TB_TOKEN, &res,
                                            true), TB_REFUSE);

    /* the tick of all other buckets, which earn nothing, costs it nothing */

    for (now = NOW; now <= NOW + 400; now += 7) {
        tb_table_tick(t, 0, 64, now, DFLT, &seen);
        tb_table_tick_overflow(t, now, half, true);
    }

    assert_int_equal(tb_table_take_overflow(t, NOW + 400, half, 2 * TB_TOKEN,
                                            &res, false), TB_PASS);
    assert_int_equal(res.left, 0);
    assert_int_equal(tb_table_take_overflow(t, NOW + 400, half, 2 * TB_TOKEN,
                                            &res, true), TB_PASS);
    assert_int_equal(tb_table_take_overflow(t, NOW + 400, half, TB_TOKEN,
                                            &res, true), TB_REFUSE);

    /* without a rate the time that passes earns nothing, later either */

    tb_table_tick_overflow(t, NOW + 2400, tb_limits(10, 0, 0), true);
    assert_int_equal(tb_table_take_overflow(t, NOW + 2400, half, TB_TOKEN,
                                            &res, true), TB_REFUSE);
    assert_int_equal(tb_table_take_overflow(t, NOW + 9400, half, 6 * TB_TOKEN,
                                            &res, true), TB_REFUSE);
    assert_int_equal(res.left, 5 * TB_TOKEN);

    free(t);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_new_bucket_is_empty_and_time_does_not_fill_it),
        cmocka_unit_test(
            tokens_are_added_up_to_the_capacity_and_taken_as_far_as_there),
        cmocka_unit_test(what_is_added_to_somebody_elses_slot_is_lost),
        cmocka_unit_test(registration_neither_gives_nor_takes_tokens),
        cmocka_unit_test(a_newcomer_gets_no_tokens_of_whom_it_displaces),
        cmocka_unit_test(
            sweeps_keep_buckets_and_only_empty_ones_are_forgotten),
        cmocka_unit_test(
            the_overflow_bucket_has_limits_of_its_own_and_begins_empty)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
