
/*
 * Debt in the table: what settling, waiting and penalties do to a bucket, and
 * that nothing which happens to a bucket pays its debt for it.
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
#define DFLT      tb_limits(10, 10 * R_SECOND, 0)
#define OWN       tb_limits(50, R_SECOND, TB_LIMITS_REGISTERED)
#define TOKEN     ((int64_t) TB_TOKEN)


static tb_result_t  res;
static uint64_t     charged;
static uint64_t     hold;


static int64_t
tokens_of(tb_table_t *t, uint64_t key, uint64_t now)
{
    tb_hash_t    h;
    tb_result_t  result;

    h = fixture_key(key);

    return tb_table_read(t, &h, now, DFLT, &result) == TB_PASS
           ? result.left : INT64_MAX;
}


static tb_verdict_t
ask(tb_table_t *t, uint64_t key, uint64_t now, uint64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return fixture_ask(t, &h, now, DFLT, tokens * TB_TOKEN, &res);
}


static tb_verdict_t
charge(tb_table_t *t, uint64_t key, uint64_t now, uint64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return tb_table_charge(t, &h, now, DFLT, tokens * TB_TOKEN, -TB_DEBT_MAX,
                           &res, &charged);
}


static void
charge_new(tb_table_t *t, uint64_t key, uint64_t now, uint64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);
    tb_table_insert_charge(t, &h, now, DFLT, tokens * TB_TOKEN, -TB_DEBT_MAX,
                           &res, &charged);
}


static tb_verdict_t
wait(tb_table_t *t, uint64_t key, uint64_t now, uint64_t tokens,
    uint64_t most)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return tb_table_wait(t, &h, now, DFLT, tokens * TB_TOKEN, most, &res,
                         &hold);
}


static void
test_charge_goes_into_debt_down_to_the_floor(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    assert_true(charge(t, 1, NOW, 1) == TB_ABSENT);
    assert_true(ask(t, 1, NOW, 4) == TB_PASS);

    assert_true(charge(t, 1, NOW, 36) == TB_PASS);
    assert_true(charged == 36 * TB_TOKEN);
    assert_true(res.left == -30 * TOKEN);
    assert_true(tokens_of(t, 1, NOW) == -30 * TOKEN);

    /* refused for just as long as it takes to refill */

    assert_true(ask(t, 1, NOW + 3099, 1) == TB_REFUSE);
    assert_true(tb_word_wait(res.word, res.limits, NOW + 3099, TB_TOKEN)
                == 1);
    assert_true(ask(t, 1, NOW + 3100, 1) == TB_PASS);

    assert_true(charge(t, 1, NOW + 3100, 1000000) == TB_PASS);
    assert_true(charged == TB_DEBT_MAX);
    assert_true(charge(t, 1, NOW + 3100, 1) == TB_PASS);
    assert_true(charged == 0);
    assert_true(tokens_of(t, 1, NOW + 3100) == -TB_DEBT_MAX);

    /* a floor above it pays nothing back */

    assert_true(tb_table_charge(t, &h, NOW + 3100, DFLT, TB_TOKEN, 0, &res,
                                &charged) == TB_PASS);
    assert_true(charged == 0);
    assert_true(res.left == -TB_DEBT_MAX);

    assert_true(tb_table_give(t, &h, NOW + 3100, DFLT,
                              (uint64_t) TB_DEBT_MAX + 3 * TB_TOKEN));
    assert_true(tokens_of(t, 1, NOW + 3100) == 3 * TOKEN);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    free(t);
}


static void
test_waits_are_held_in_order_at_the_rate(void **state)
{
    int          i;
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    assert_true(wait(t, 1, NOW, 1, 2000) == TB_ABSENT);
    assert_true(ask(t, 1, NOW, 10) == TB_PASS);

    for (i = 1; i <= 20; i++) {
        assert_true(wait(t, 1, NOW, 1, 2000) == TB_PASS);
        assert_true(hold == (uint64_t) i * 100);
    }

    assert_true(wait(t, 1, NOW, 1, 2000) == TB_REFUSE);
    assert_true(res.left == -20 * TOKEN);
    assert_true(wait(t, 1, NOW + 99, 1, 2000) == TB_REFUSE);
    assert_true(wait(t, 1, NOW + 100, 1, 2000) == TB_PASS);
    assert_true(hold == 2000);

    /* nobody passes those who wait, and a turn given back is free again */

    assert_true(ask(t, 1, NOW + 100, 1) == TB_REFUSE);
    assert_true(tb_table_give(t, &h, NOW + 100, DFLT, TB_TOKEN));
    assert_true(wait(t, 1, NOW + 100, 1, 2000) == TB_PASS);
    assert_true(hold == 2000);

    assert_true(ask(t, 1, NOW + 2199, 1) == TB_REFUSE);
    assert_true(ask(t, 1, NOW + 2200, 1) == TB_PASS);

    free(t);
}


static void
test_wait_for_more_than_the_capacity_is_refused(void **state)
{
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);

    assert_true(ask(t, 1, NOW, 1) == TB_PASS);
    assert_true(wait(t, 1, NOW, 11, 60000) == TB_REFUSE);
    assert_true(tokens_of(t, 1, NOW) == 9 * TOKEN);
    assert_true(wait(t, 1, NOW, 10, 60000) == TB_PASS);
    assert_true(hold == 100);

    free(t);
}


static void
test_who_is_not_there_any_more_is_charged_all_the_same(void **state)
{
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);

    /* full, idle and freed while a long request was under way */

    charge_new(t, 1, NOW, 25);
    assert_true(charged == 25 * TB_TOKEN);
    assert_true(res.left == -15 * TOKEN);
    assert_true(ask(t, 1, NOW + 1599, 1) == TB_REFUSE);
    assert_true(ask(t, 1, NOW + 1600, 1) == TB_PASS);

    /* who has come back meanwhile is found */

    charge_new(t, 1, NOW + 1600, 5);
    assert_true(tokens_of(t, 1, NOW + 1600) == -5 * TOKEN);
    assert_true(fixture_sweep(t, NOW + 1600, DFLT).buckets == 1);

    free(t);
}


static void
test_debt_survives_displacement(void **state)
{
    uint64_t     i;
    int64_t      before, after;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    for (i = 0; i < TB_GROUP_SLOTS; i++) {
        assert_true(ask(t, i, NOW, 10) == TB_PASS);
        assert_true(charge(t, i, NOW, i == 5 ? 3 : 20) == TB_PASS);
    }

    /* nobody has what a new key asks for; who is charged takes debt over */

    assert_true(ask(t, 100, NOW, 1) == TB_REFUSE);
    charge_new(t, 100, NOW, 2);
    assert_true(res.evicted);
    assert_true(tokens_of(t, 100, NOW) == -5 * TOKEN);
    assert_true(tokens_of(t, 5, NOW) == INT64_MAX);

    /* a flood changes no more than what time refills */

    for (before = 0, i = 0; i < 1000; i++) {
        (void) ask(t, 1000 + i, NOW + i, 1);
        before += res.evicted;
    }

    assert_true(before == (int64_t) t->evictions - 1);

    for (after = 0, i = 0; i < TB_GROUP_SLOTS; i++) {
        after += tb_word_tokens(tb_word_settle(tb_table_slot(t, (uint32_t) i)
                                               ->word, DFLT, NOW + 1000));
    }

    /* 10 a second each from -20, -5 the one; less what was admitted */

    assert_true(after <= (15 * -20 - 5 + 16 * 10) * TOKEN);
    assert_true(tb_table_check(t, NOW + 1000, DFLT) == 0);

    free(t);
}


static void
test_debt_survives_other_limits_and_sweeps(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    charge_new(t, 1, NOW, 30);
    (void) fixture_sweep(t, NOW, DFLT);
    assert_true(tokens_of(t, 1, NOW) == -20 * TOKEN);

    assert_true(tb_table_set_limits(t, &h, NOW, DFLT, OWN));
    assert_true(tokens_of(t, 1, NOW + 1000) == -19 * TOKEN);
    (void) fixture_sweep(t, NOW + 2000, DFLT);
    assert_true(tokens_of(t, 1, NOW + 2000) == -18 * TOKEN);

    assert_true(tb_table_set_limits(t, &h, NOW + 2000, DFLT, 0));
    tb_table_forget(t, &h, NOW + 2000, DFLT, 0);
    assert_true(tokens_of(t, 1, NOW + 2000) == -18 * TOKEN);

    assert_true(tb_table_set_tokens(t, &h, NOW + 2000, DFLT, -40 * TOKEN));
    assert_true(tb_table_lower_tokens(t, &h, NOW + 2000, DFLT, -3 * TOKEN));
    assert_true(tokens_of(t, 1, NOW + 2000) == -40 * TOKEN);

    /* also to another table, and over a time that stamps do not reach */

    h = fixture_key(2);
    assert_true(tb_table_put(t, &h, NOW, tb_limits(10, 10, 0), 0,
                             -9 * TOKEN));
    assert_true(tb_table_read(t, &h, NOW + 6 * TB_AGE_MAX,
                              tb_limits(10, 10, 0), &res) == TB_PASS);
    assert_true(res.left
                == -9 * TOKEN
                   + (int64_t) tb_rate_earned(10, 6 * TB_AGE_MAX, UINT32_MAX));

    free(t);
}


static void
test_overflow_bucket_goes_into_debt_as_well(void **state)
{
    uint64_t     i;
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    for (i = 0; i < TB_GROUP_SLOTS; i++) {
        h = fixture_key(i);
        assert_true(tb_table_put(t, &h, NOW, DFLT, OWN, 0));
    }

    charge_new(t, 100, NOW, 12);
    assert_null(res.slot);
    assert_true(res.left == -2 * TOKEN);

    assert_true(tb_table_take_overflow(t, NOW + 299, DFLT, TB_TOKEN, &res,
                                       true) == TB_REFUSE);
    assert_true(tb_table_take_overflow(t, NOW + 300, DFLT, TB_TOKEN, &res,
                                       true) == TB_PASS);

    free(t);
}


/*
 * Parallel requests of unknown cost: a budget is overspent by no more than
 * what those under way had under-estimated.
 */

static void
test_settled_budget_is_overspent_by_those_under_way_only(void **state)
{
    int          i, n, under_way;
    int64_t      due;
    uint64_t     now, spent, taken[64], true_cost[64];
    tb_hash_t    h;
    tb_table_t  *t;
    tb_limits_t  budget;
    tb_random_t  rnd = { 21 };

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);
    budget = tb_limits(10000, 100 * R_SECOND, 0);

    now = NOW;
    spent = 0;
    under_way = 0;

    for (n = 0; n < 200000; n++) {
        now += tb_random_in(&rnd, 0, 3);

        if (under_way < 64 && tb_random_in(&rnd, 0, 1)
            && fixture_ask(t, &h, now, budget, 10 * TB_TOKEN, &res)
               == TB_PASS)
        {
            taken[under_way] = 10 * TB_TOKEN;
            true_cost[under_way] = tb_random_in(&rnd, 0, 100 * TB_TOKEN);
            spent += true_cost[under_way];
            under_way++;

        } else if (under_way > 0) {
            i = (int) tb_random_in(&rnd, 0, (uint64_t) under_way - 1);

            if (true_cost[i] < taken[i]) {
                (void) tb_table_give(t, &h, now, budget,
                                     taken[i] - true_cost[i]);

            } else if (tb_table_charge(t, &h, now, budget,
                                       true_cost[i] - taken[i],
                                       -TB_DEBT_MAX, &res, &charged)
                       == TB_ABSENT)
            {
                tb_table_insert_charge(t, &h, now, budget,
                                       true_cost[i] - taken[i],
                                       -TB_DEBT_MAX, &res, &charged);
            }

            under_way--;
            taken[i] = taken[under_way];
            true_cost[i] = true_cost[under_way];
        }

        if (n % 1000 == 0) {
            (void) fixture_sweep(t, now, budget);
        }

        due = (int64_t) (tb_limits_full(budget) + (now - NOW) * 100000);

        assert_true((int64_t) spent <= due + 64 * 90 * TOKEN);
    }

    /* and nothing of it is lost either */

    assert_true((int64_t) spent >= due * 99 / 100);

    free(t);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_charge_goes_into_debt_down_to_the_floor),
        cmocka_unit_test(test_waits_are_held_in_order_at_the_rate),
        cmocka_unit_test(test_wait_for_more_than_the_capacity_is_refused),
        cmocka_unit_test(
            test_who_is_not_there_any_more_is_charged_all_the_same),
        cmocka_unit_test(test_debt_survives_displacement),
        cmocka_unit_test(test_debt_survives_other_limits_and_sweeps),
        cmocka_unit_test(test_overflow_bucket_goes_into_debt_as_well),
        cmocka_unit_test(
            test_settled_budget_is_overspent_by_those_under_way_only)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
