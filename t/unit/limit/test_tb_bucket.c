
/*
 * The bucket's arithmetic against an exact one: a fluid bucket that counts
 * in 1/864 µtok and so never rounds.  A bucket that never holds more than
 * the fluid one that saw the same takes cannot admit more than capacity +
 * rate * T in any interval T.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "t/unit/limit/tb_fluid.h"


#define R_SECOND  TB_STEPS_A_SECOND
#define HOUR      UINT64_C(3600000)
#define DAY       (24 * HOUR)


/* How long to the next question, ms; 0: at the time that a refusal names. */

typedef struct {
    const char   *name;
    uint64_t      from;
    uint64_t      to;
} spacing_t;


/* Asks until refused, again and again, for time ms; returns when last. */

static uint64_t
bucket_drain(bucket_t *b, uint64_t start, uint64_t time, uint64_t cost,
    const spacing_t *spacing, tb_random_t *rnd)
{
    uint64_t  now, wait;

    now = start;

    for ( ;; ) {
        while (bucket_take(b, now, cost) == TB_PASS) { /* void */ }

        if (spacing->to) {

            if (now >= start + time) {
                return now;
            }

            now += tb_random_in(rnd, spacing->from, spacing->to);

        } else {
            wait = tb_word_wait(b->word, b->limits, now, cost);

            if (now + wait > start + time) {
                return now + wait - 1;
            }

            assert_true(wait > 0);

            /* as a refusal changes nothing, all earlier ones are this one */

            if (bucket_take(b, now + wait - 1, cost) != TB_REFUSE) {
                fail_msg("admitted before its time");
            }

            now += wait;

            if (bucket_take(b, now, cost) != TB_PASS) {
                fail_msg("refused at its time");
            }
        }
    }
}


/* 99.9 % of capacity + rate * T, but for the token that is growing. */

static void
bucket_is_fed(const bucket_t *b, uint64_t time, uint64_t cost)
{
    unsigned __int128  due;

    due = (unsigned __int128) tb_limits_rate(b->limits) * time
          / TB_STEPS_A_UTOK + tb_limits_full(b->limits);

    assert_true((unsigned __int128) b->taken * 1000 + (unsigned __int128)
                cost * 1000 >= due * 999);
    assert_true(b->taken <= due);
}


static const spacing_t  spacings[] = {
    { "at the named time", 0, 0 },
    { "every ms", 1, 1 },
    { "every tick", 100, 100 },
    { "bursts", 97, 97 },
    { "irregular", 1, 100 }
};

static const uint64_t  ticks[] = { 0, 1, 7, 10, 100, 863, 10000 };


/* capacity: what max_gap ms refill and a cost more, at least 1. */

static uint32_t
capacity_for(uint64_t rate, uint64_t max_gap, uint64_t cost)
{
    uint64_t  tokens;

    tokens = (rate * max_gap / TB_STEPS_A_UTOK + cost + TB_TOKEN)
             / TB_TOKEN;

    return (uint32_t) (tokens < TB_CAPACITY_MAX ? tokens : TB_CAPACITY_MAX);
}


static void
test_word_keeps_tokens_and_stamp(void **state)
{
    tb_word_t  word;

    (void) state;

    assert_true(tb_word_is_vacant(0));
    assert_true(tb_word_is_vacant(tb_word_vacant(12345)));
    assert_true(tb_word_vacant(0) != 0);
    assert_true(tb_word_is_vacant(tb_word_vacant(UINT64_C(1) << 24)));

    word = tb_word(0, 0);
    assert_false(tb_word_is_vacant(word));
    assert_true(tb_word_tokens(word) == 0);

    word = tb_word(-TB_DEBT_MAX, 0);
    assert_false(tb_word_is_vacant(word));
    assert_true(tb_word_tokens(word) == -TB_DEBT_MAX);

    word = tb_word(TB_COST_MAX, UINT64_MAX);
    assert_true(tb_word_tokens(word) == (int64_t) TB_COST_MAX);
    assert_true(tb_word_age(word, UINT64_MAX) == 0);
    assert_true(tb_word_age(word, 4) == 5);
}


static void
test_limits_keep_capacity_rate_and_flags(void **state)
{
    tb_limits_t  limits;

    (void) state;

    limits = tb_limits(TB_CAPACITY_MAX, TB_RATE_MAX, TB_LIMITS_REGISTERED);

    assert_true(tb_limits_capacity(limits) == TB_CAPACITY_MAX);
    assert_true(tb_limits_rate(limits) == TB_RATE_MAX);
    assert_true((limits & TB_LIMITS_FLAGS) == TB_LIMITS_REGISTERED);
    assert_true(tb_limits_full(limits) == TB_COST_MAX);
}


/* The rates that users are promised, at every spacing and tick period. */

static void
test_admits_exactly_what_was_promised(void **state)
{
    size_t       i, j, k;
    bucket_t     b;
    uint64_t     end, time;
    tb_random_t  rnd = { 1 };

    static const struct {
        uint64_t  rate;
        uint64_t  time;
    } rates[] = {
        { 10, 20 * DAY },                          /* 1r/d */
        { R_SECOND / 2, HOUR },                    /* 0.5r/s */
        { 7 * (R_SECOND / 60), 8 * HOUR },         /* 7r/m */
        { UINT64_C(3000) * R_SECOND, 30000 },
        { TB_RATE_MAX, 1500 }
    };

    (void) state;

    for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {

        for (j = 0; j < sizeof(spacings) / sizeof(spacings[0]); j++) {

            for (k = 0; k < sizeof(ticks) / sizeof(ticks[0]); k++) {
                time = rates[i].time;

                /* someone has to look within the reach of a stamp */

                if (ticks[k] == 0 && time > TB_AGE_MAX) {
                    continue;
                }

                if (ticks[k] && time / ticks[k] > 100000) {
                    time = ticks[k] * 100000;
                }

                if (spacings[j].to
                    && time / (spacings[j].from + spacings[j].to) > 50000)
                {
                    time = (spacings[j].from + spacings[j].to) * 50000;
                }

                bucket_start(&b, capacity_for(rates[i].rate, 100, TB_TOKEN),
                             rates[i].rate, ticks[k], WRAPPING);

                end = bucket_drain(&b, WRAPPING, time, TB_TOKEN,
                                   &spacings[j], &rnd);

                bucket_is_fed(&b, end - WRAPPING, TB_TOKEN);
            }
        }
    }
}


static void
test_admits_exactly_for_any_rate_and_cost(void **state)
{
    int          i;
    bucket_t     b;
    uint32_t     capacity;
    uint64_t     cost, end, gap, now, rate, tick, time;
    spacing_t    spacing;
    tb_random_t  rnd = { 2 };

    (void) state;

    for (i = 0; i < 3000; i++) {
        rate = tb_random_scale(&rnd, TB_RATE_MIN, TB_RATE_MAX);
        cost = tb_random_scale(&rnd, TB_COST_MIN, 3000 * TB_TOKEN);
        gap = tb_random_in(&rnd, 1, 100);

        /* not more than some thousands of takes */

        if (cost < rate / TB_STEPS_A_UTOK / 10) {
            cost = rate / TB_STEPS_A_UTOK / 10;
        }

        spacing.from = tb_random_in(&rnd, 0, 1) ? gap : 1;
        spacing.to = tb_random_in(&rnd, 0, 3) ? gap : 0;

        capacity = capacity_for(rate, 100, cost);

        if (capacity == TB_CAPACITY_MAX) {
            continue;
        }

        tick = tb_random_in(&rnd, 0, 1) ? tb_random_scale(&rnd, 1, 10000)
                                        : 0;
        now = tb_random_in(&rnd, 0, 1) ? WRAPPING : tb_random(&rnd) >> 8;

        /* about as long as 2,000 takes need, but not less than 20 gaps */

        time = 2000 * cost * TB_STEPS_A_UTOK / rate;
        time = time < 20 * gap ? 20 * gap : time;
        time = time < TB_AGE_MAX ? time : TB_AGE_MAX - 1;

        if (tick && time / tick > 20000) {
            time = tick * 20000;
        }

        if (spacing.to && time / spacing.from > 20000) {
            time = spacing.from * 20000;
        }

        bucket_start(&b, capacity, rate, tick, now);
        end = bucket_drain(&b, now, time, cost, &spacing, &rnd);
        bucket_is_fed(&b, end - now, cost);
    }
}


/* The worst rounding there is: the least cost, a take at every ms. */

static void
test_loses_less_than_a_thousandth_at_the_least_cost(void **state)
{
    size_t       i;
    bucket_t     b;
    uint64_t     end, rate;
    tb_random_t  rnd = { 3 };

    static const spacing_t  every_ms = { "every ms", 1, 1 };

    (void) state;

    for (i = 0; i < 200; i++) {
        rate = R_SECOND + tb_random_in(&rnd, 0, 20 * R_SECOND);

        bucket_start(&b, 100, rate, 0, WRAPPING);
        end = bucket_drain(&b, WRAPPING, 10000, TB_COST_MIN, &every_ms,
                           &rnd);
        bucket_is_fed(&b, end - WRAPPING, TB_COST_MIN);
    }
}


/*
 * Workers whose clocks are up to 50 ms apart, in any order: nobody earns
 * more than the fluid bucket at the latest of the times seen.
 */

static void
test_differing_clocks_create_nothing(void **state)
{
    int          i, n;
    bucket_t     b;
    uint64_t     cost, now, rate;
    tb_random_t  rnd = { 4 };

    (void) state;

    for (i = 0; i < 500; i++) {
        rate = tb_random_scale(&rnd, TB_RATE_MIN, TB_RATE_MAX);
        cost = tb_random_scale(&rnd, TB_COST_MIN, TB_TOKEN);
        now = WRAPPING;

        bucket_start(&b, (uint32_t) tb_random_scale(&rnd, 1, 1000), rate, 0,
                     now);

        for (n = 0; n < 2000; n++) {
            now += tb_random_in(&rnd, 0, 20);
            (void) bucket_take(&b, now - tb_random_in(&rnd, 0, 50), cost);

            b.word = tb_word_tick(b.word, b.limits,
                                  b.fluid.at - tb_random_in(&rnd, 0, 50));
            bucket_check(&b);
        }
    }
}


static void
test_clock_that_steps_back_creates_nothing_and_goes_on(void **state)
{
    size_t       i;
    int64_t      left;
    bucket_t     b;
    uint64_t     now;

    static const uint64_t  steps[] = { 1, 999, HOUR, TB_AGE_MAX - 2000 };

    (void) state;

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        now = WRAPPING + 20 * HOUR;

        bucket_start(&b, 10, 10 * R_SECOND, 0, now);

        while (bucket_take(&b, now, TB_TOKEN) == TB_PASS) { /* void */ }

        /* nothing on the way back, nor when the old time comes again */

        assert_true(tb_word_take(&b.word, b.limits, now - steps[i],
                                 TB_COST_MIN, &left) == TB_REFUSE);
        assert_true(tb_word_tick(b.word, b.limits, now - steps[i])
                    == b.word);
        assert_true(tb_word_take(&b.word, b.limits, now, TB_COST_MIN, &left)
                    == TB_REFUSE);
        assert_true(tb_word_wait(b.word, b.limits, now - steps[i], TB_TOKEN)
                    == steps[i] + 100);

        assert_true(tb_word_take(&b.word, b.limits, now + 100, TB_TOKEN,
                                 &left) == TB_PASS);
    }
}


/* Whatever the period, ticks credit the exact refill and not one µtok less. */

static void
test_ticks_lose_nothing(void **state)
{
    int          i;
    int64_t      full, sum;
    uint64_t     begin, now, rate;
    tb_word_t    word;
    tb_limits_t  limits;
    tb_random_t  rnd = { 5 };

    (void) state;

    for (i = 0; i < 20000; i++) {
        rate = tb_random_scale(&rnd, TB_RATE_MIN, TB_RATE_MAX);
        limits = tb_limits(TB_CAPACITY_MAX, rate, 0);
        full = (int64_t) tb_limits_full(limits);

        begin = tb_random_in(&rnd, 0, 1) ? WRAPPING : tb_random(&rnd) >> 8;
        now = begin;
        word = tb_word(anything(&rnd, TB_TOKEN), begin);
        sum = tb_word_tokens(word);

        while (now - begin < 5000) {
            now += tb_random_in(&rnd, 1, 300);
            word = tb_word_tick(word, limits, now);
        }

        sum += (int64_t) (rate * (now - begin) / TB_STEPS_A_UTOK);
        word = tb_word_settle(word, limits, now);

        assert_true(tb_word_tokens(word) == (sum < full ? sum : full));
    }
}


static void
test_more_time_never_means_fewer_tokens(void **state)
{
    int          i;
    uint64_t     age, later, now;
    tb_word_t    word;
    tb_limits_t  limits;
    tb_random_t  rnd = { 6 };

    (void) state;

    for (i = 0; i < 200000; i++) {
        limits = tb_limits((uint32_t) tb_random_scale(&rnd, 1, 1000000),
                           tb_random_scale(&rnd, TB_RATE_MIN, TB_RATE_MAX),
                           0);
        now = tb_random(&rnd) >> 4;
        age = tb_random_scale(&rnd, 1, TB_AGE_MAX - 1);
        later = tb_random_in(&rnd, 0, age);
        word = tb_word(anything(&rnd, tb_limits_full(limits)), now);

        assert_true(tb_word_tokens(tb_word_settle(word, limits, now + later))
                    <= tb_word_tokens(tb_word_settle(word, limits,
                                                     now + age)));
        assert_true(tb_word_tokens(tb_word_settle(word, limits, now + age))
                    <= (int64_t) tb_limits_full(limits));
        assert_true(tb_word_tokens(tb_word_settle(word, limits, now))
                    == tb_word_tokens(word));
    }
}


static void
test_wait_is_exact_to_the_millisecond(void **state)
{
    int          i;
    int64_t      left;
    uint64_t     cost, now, wait;
    tb_word_t    word, copy;
    tb_limits_t  limits;
    tb_random_t  rnd = { 7 };

    (void) state;

    for (i = 0; i < 200000; i++) {
        limits = tb_limits((uint32_t) tb_random_scale(&rnd, 1, 1000000),
                           tb_random_scale(&rnd, TB_RATE_MIN, TB_RATE_MAX),
                           0);
        now = WRAPPING + tb_random_in(&rnd, 0, 10000);
        word = tb_word(anything(&rnd, tb_limits_full(limits)),
                       now - tb_random_in(&rnd, 0, 5000));
        cost = tb_random_in(&rnd, 0, tb_limits_full(limits));

        wait = tb_word_wait(word, limits, now, cost);

        if (wait >= TB_AGE_MAX - 5000) {
            continue;
        }

        copy = word;
        assert_true(tb_word_take(&copy, limits, now + wait, cost, &left)
                    == TB_PASS);

        copy = word;
        assert_true(wait == 0
                    || tb_word_take(&copy, limits, now + wait - 1, cost,
                                    &left) == TB_REFUSE);
    }
}


static void
test_wait_for_more_than_the_capacity_is_for_ever(void **state)
{
    tb_limits_t  limits;

    (void) state;

    limits = tb_limits(10, 10 * R_SECOND, 0);

    assert_true(tb_word_wait(tb_word(0, 50), limits, 50, 10 * TB_TOKEN)
                == 1000);
    assert_true(tb_word_wait(tb_word(0, 50), limits, 50, 10 * TB_TOKEN + 1)
                == UINT64_MAX);
    assert_true(tb_word_wait(tb_word(10 * TB_TOKEN, 50), limits, 50,
                             TB_COST_MAX) == UINT64_MAX);

    limits = tb_limits(10, 0, 0);

    assert_true(tb_word_wait(tb_word(0, 50), limits, 50, TB_TOKEN)
                == UINT64_MAX);
    assert_true(tb_word_wait(tb_word(TB_TOKEN, 50), limits, 50, TB_TOKEN)
                == 0);

    limits = tb_limits(TB_CAPACITY_MAX, TB_RATE_MIN, 0);

    assert_true(tb_word_wait(tb_word(0, 50), limits, 50, TB_COST_MAX)
                == UINT64_C(86400000) * 1000000);
}


static void
test_next_is_the_time_to_one_whole_token_more(void **state)
{
    tb_limits_t  limits;

    (void) state;

    limits = tb_limits(10, 4 * R_SECOND, 0);

    assert_true(tb_bucket_next(limits, 0) == 250);
    assert_true(tb_bucket_next(limits, TB_TOKEN) == 250);
    assert_true(tb_bucket_next(limits, TB_TOKEN / 2) == 125);
    assert_true(tb_bucket_next(limits, 5 * TB_TOKEN - 1) == 1);
    assert_true(tb_bucket_next(limits, 9 * TB_TOKEN + 1) == 250);
    assert_true(tb_bucket_next(limits, 10 * TB_TOKEN) == 0);
}


static void
test_who_spends_what_is_left_in_time_stays_within_the_rate(void **state)
{
    uint64_t     rate, seconds, tokens;
    unsigned     i;
    tb_random_t  random = { 11 };

    (void) state;

    /* a token has up to 1,000 units */

    for (i = 0; i < 400000; i++) {
        rate = tb_random_scale(&random, TB_RATE_MIN, 1000 * TB_RATE_MAX);
        tokens = tb_random_scale(&random, 1, 1000 * TB_CAPACITY_MAX);

        seconds = tb_spend_seconds(tokens, rate);

        assert_true(seconds >= 1);
        assert_true(seconds * rate >= tokens * TB_STEPS_A_SECOND);
        assert_true(seconds == 1
                    || (seconds - 1) * rate < tokens * TB_STEPS_A_SECOND);
    }

    assert_true(tb_spend_seconds(0, R_SECOND) == 1);
    assert_true(tb_spend_seconds(1, R_SECOND) == 1);
    assert_true(tb_spend_seconds(1, R_SECOND - 1) == 2);
    assert_true(tb_spend_seconds(7, 7 * R_SECOND) == 1);
    assert_true(tb_spend_seconds(8, 7 * R_SECOND) == 2);
    assert_true(tb_spend_seconds(UINT64_C(1) << 44, 1)
                == (uint64_t) TB_STEPS_A_SECOND << 44);
}


static void
test_window_is_the_time_from_empty_to_full(void **state)
{
    (void) state;

    assert_true(tb_bucket_window(tb_limits(100, 10 * R_SECOND, 0)) == 10);
    assert_true(tb_bucket_window(tb_limits(101, 10 * R_SECOND, 0)) == 11);
    assert_true(tb_bucket_window(tb_limits(1, TB_RATE_MAX, 0)) == 1);
    assert_true(tb_bucket_window(tb_limits(1, TB_RATE_MIN, 0)) == 86400);
    assert_true(tb_bucket_window(tb_limits(1, 0, 0)) == UINT64_MAX);
    assert_true(tb_bucket_window(tb_limits(9, 7, TB_LIMITS_WINDOW))
                == UINT64_MAX);
    assert_true(tb_bucket_window(tb_limits(9, 7, TB_LIMITS_PLACES))
                == UINT64_MAX);
}


static void
test_giving_back_restores_and_never_overfills(void **state)
{
    int          i;
    int64_t      left, tokens;
    uint64_t     cost, full, now;
    tb_word_t    word, before;
    tb_limits_t  limits;
    tb_random_t  rnd = { 8 };

    (void) state;

    for (i = 0; i < 100000; i++) {
        limits = tb_limits((uint32_t) tb_random_scale(&rnd, 1, 1000000),
                           tb_random_scale(&rnd, TB_RATE_MIN, TB_RATE_MAX),
                           0);
        full = tb_limits_full(limits);
        now = WRAPPING + tb_random_in(&rnd, 0, 10000);
        tokens = anything(&rnd, full);
        word = tb_word(tokens, now);
        before = word;
        cost = tb_random_in(&rnd, 0, full);

        if (tb_word_take(&word, limits, now, cost, &left) == TB_PASS) {
            assert_true(tb_word_give(word, limits, now, cost) == before);
        }

        word = tb_word_give(before, limits, now,
                            (uint64_t) ((int64_t) full - tokens + 1));
        assert_true(tb_limits_is_full(limits, tb_word_tokens(word)));

        word = tb_word_give(before, limits, now,
                            TB_COST_MAX + (uint64_t) TB_DEBT_MAX);
        assert_true(tb_limits_is_full(limits, tb_word_tokens(word)));
    }
}


static void
test_smaller_capacity_cuts_the_tokens(void **state)
{
    tb_word_t    word;
    tb_limits_t  limits;

    (void) state;

    word = tb_word(100 * TB_TOKEN, 1000);
    limits = tb_limits(10, R_SECOND, 0);

    assert_true(tb_word_tokens(tb_word_settle(word, limits, 1000))
                == 10 * TB_TOKEN);
    assert_true(tb_word_tokens(tb_word_tick(word, limits, 1000))
                == 10 * TB_TOKEN);
    assert_true(tb_word_tokens(tb_word_settle(word, limits, 999))
                == 10 * TB_TOKEN);
    assert_true(tb_word_tokens(tb_word_tick(word, limits, 999))
                == 10 * TB_TOKEN);
}


/* However clocks differ and however often, no stamp of a place repeats. */

static void
test_next_stamp_is_always_later(void **state)
{
    int          i;
    uint64_t     now, step, stamp, sum;
    tb_random_t  rnd = { 9 };

    (void) state;

    now = WRAPPING;
    stamp = tb_word_vacant(now);
    sum = 0;

    for (i = 0; i < 1000000 && sum < TB_AGE_MAX; i++) {
        now += tb_random_in(&rnd, 0, 3);
        step = tb_word_age(stamp, tb_word_next_stamp(stamp, now
                                         - tb_random_in(&rnd, 0, 50)));

        assert_true(step > 0 && step < 100);

        sum += step;
        stamp = (stamp + step) & TB_STAMP_MASK;
        stamp = stamp ? stamp : tb_word_vacant(stamp);
    }

    assert_true(tb_word_next_stamp(0, now) == now);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_word_keeps_tokens_and_stamp),
        cmocka_unit_test(test_limits_keep_capacity_rate_and_flags),
        cmocka_unit_test(test_admits_exactly_what_was_promised),
        cmocka_unit_test(test_admits_exactly_for_any_rate_and_cost),
        cmocka_unit_test(test_loses_less_than_a_thousandth_at_the_least_cost),
        cmocka_unit_test(test_differing_clocks_create_nothing),
        cmocka_unit_test(
            test_clock_that_steps_back_creates_nothing_and_goes_on),
        cmocka_unit_test(test_ticks_lose_nothing),
        cmocka_unit_test(test_more_time_never_means_fewer_tokens),
        cmocka_unit_test(test_wait_is_exact_to_the_millisecond),
        cmocka_unit_test(test_wait_for_more_than_the_capacity_is_for_ever),
        cmocka_unit_test(test_next_is_the_time_to_one_whole_token_more),
        cmocka_unit_test(
            test_who_spends_what_is_left_in_time_stays_within_the_rate),
        cmocka_unit_test(test_window_is_the_time_from_empty_to_full),
        cmocka_unit_test(test_giving_back_restores_and_never_overfills),
        cmocka_unit_test(test_smaller_capacity_cuts_the_tokens),
        cmocka_unit_test(test_next_stamp_is_always_later)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
