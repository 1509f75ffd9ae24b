
/*
 * The bucket's arithmetic below zero, against an exact one.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "t/unit/limit/tb_fluid.h"


#define R_SECOND  TB_STEPS_A_SECOND


/* The ways into debt and out of it, against the exact bucket. */

static void
bucket_change(bucket_t *b, uint64_t now, tb_random_t *rnd)
{
    int64_t    floor, left, moved;
    uint64_t   charged, cost;
    tb_word_t  before;

    bucket_pass_time(b, now);

    before = b->word;
    cost = tb_random_scale(rnd, 1, 2 * tb_limits_full(b->limits));
    floor = -(int64_t) tb_random_scale(rnd, 1, TB_DEBT_MAX);

    switch (tb_random(rnd) % 3) {

    case 0:
        if (tb_word_take_to(&b->word, b->limits, now, cost, floor, &left)
            == TB_REFUSE)
        {
            assert_true(b->word == before);
            assert_true(left - (int64_t) cost < floor);
            return;
        }

        assert_true(left >= floor);
        moved = (int64_t) cost;
        break;

    case 1:
        left = tb_word_tokens(tb_word_settle(before, b->limits, now));
        b->word = tb_word_charge(before, b->limits, now, cost, floor,
                                 &charged);
        moved = (int64_t) charged;

        assert_true(charged <= cost);
        assert_true(charged == cost || left - moved == floor
                    || (charged == 0 && left < floor));

        left = tb_word_tokens(tb_word_settle(b->word, b->limits, now)) - left;
        assert_true(left == -moved);
        break;

    default:
        b->word = tb_word_give(before, b->limits, now, cost);
        moved = -(int64_t) cost;
    }

    b->fluid.level -= moved * TB_STEPS_A_UTOK;

    if (b->fluid.level > b->fluid.full) {
        b->fluid.level = b->fluid.full;
    }

    bucket_check(b);
}


/*
 * Whatever is taken, charged and given, the bucket is never above the exact
 * one, and no more than 1 µtok a change below it.
 */

static void
test_debt_is_exact_and_creates_nothing(void **state)
{
    int          i, n;
    int64_t      left;
    bucket_t     b;
    uint64_t     now, rate;
    tb_random_t  rnd = { 11 };

    (void) state;

    for (i = 0; i < 3000; i++) {
        rate = tb_random_scale(&rnd, TB_RATE_MIN, TB_RATE_MAX);
        now = tb_random_in(&rnd, 0, 1) ? WRAPPING : tb_random(&rnd) >> 8;

        bucket_start(&b, (uint32_t) tb_random_scale(&rnd, 1, TB_CAPACITY_MAX),
                     rate, tb_random_in(&rnd, 0, 1) ? 100 : 0, now);

        for (n = 0; n < 200; n++) {
            now += tb_random_scale(&rnd, 1, 20000) - 1;
            bucket_change(&b, now, &rnd);

            left = tb_word_tokens(tb_word_settle(b.word, b.limits, now));
            assert_true((left + n + 2) * (int64_t) TB_STEPS_A_UTOK
                        > b.fluid.level);
        }
    }
}


/* Charges alone round nothing, however small and often. */

static void
test_charges_and_gifts_lose_nothing(void **state)
{
    int          i, n;
    int64_t      level;
    uint64_t     begin, charged, now, rate;
    tb_word_t    word;
    tb_limits_t  limits;
    tb_random_t  rnd = { 12 };

    (void) state;

    for (i = 0; i < 2000; i++) {
        rate = tb_random_scale(&rnd, TB_RATE_MIN, 100 * R_SECOND);
        limits = tb_limits(TB_CAPACITY_MAX, rate, 0);

        begin = now = WRAPPING;
        word = tb_word(0, now);
        level = 0;

        for (n = 0; n < 500; n++) {
            now += tb_random_in(&rnd, 0, 10);

            if (tb_random_in(&rnd, 0, 1)) {
                word = tb_word_charge(word, limits, now, 5, -TB_DEBT_MAX,
                                      &charged);
                level -= (int64_t) charged;

            } else {
                word = tb_word_give(word, limits, now, 5);
                level += 5;
            }
        }

        level += (int64_t) (rate * (now - begin) / TB_STEPS_A_UTOK);
        assert_true(tb_word_tokens(tb_word_settle(word, limits, now))
                    == level);
    }
}


static void
test_bucket_in_debt_is_refused_for_what_refills_it(void **state)
{
    int          i;
    int64_t      debt, left;
    uint64_t     charged, now, time;
    tb_word_t    copy, word;
    tb_limits_t  limits;
    tb_random_t  rnd = { 13 };

    (void) state;

    for (i = 0; i < 100000; i++) {
        limits = tb_limits((uint32_t) tb_random_scale(&rnd, 1, 1000000),
                           tb_random_scale(&rnd, TB_RATE_MIN, TB_RATE_MAX),
                           0);
        now = WRAPPING + tb_random_in(&rnd, 0, 10000);
        debt = (int64_t) tb_random_scale(&rnd, 1, TB_DEBT_MAX);

        word = tb_word_charge(tb_word(0, now), limits, now, (uint64_t) debt,
                              -TB_DEBT_MAX, &charged);
        assert_true(charged == (uint64_t) debt);

        time = tb_limits_time(limits, (uint64_t) debt + TB_COST_MIN);

        if (time >= TB_AGE_MAX) {
            continue;
        }

        copy = word;
        assert_true(tb_word_take(&copy, limits, now + time - 1, TB_COST_MIN,
                                 &left) == TB_REFUSE);
        assert_true(tb_word_take(&copy, limits, now + time, TB_COST_MIN,
                                 &left) == TB_PASS);
    }
}


static void
test_floor_is_what_comes_in_meanwhile(void **state)
{
    tb_limits_t  limits;

    (void) state;

    limits = tb_limits(1, 10 * R_SECOND, 0);

    assert_true(tb_limits_floor(limits, 0) == 0);
    assert_true(tb_limits_floor(limits, 2000) == -20 * (int64_t) TB_TOKEN);
    assert_true(tb_limits_floor(limits, UINT64_MAX) == -TB_DEBT_MAX);
    assert_true(tb_limits_floor(tb_limits(1, 0, 0), 2000) == 0);
    assert_true(tb_limits_floor(tb_limits(1, TB_RATE_MAX, 0), 2000)
                == -TB_DEBT_MAX);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_debt_is_exact_and_creates_nothing),
        cmocka_unit_test(test_charges_and_gifts_lose_nothing),
        cmocka_unit_test(test_bucket_in_debt_is_refused_for_what_refills_it),
        cmocka_unit_test(test_floor_is_what_comes_in_meanwhile)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
