
/*
 * The table under many keys: floods of made-up ones, a table that is three
 * quarters full, and a million random operations against exact buckets.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "t/unit/limit/tb_fixture.h"


#define R_SECOND  TB_STEPS_A_SECOND
#define NOW       ((UINT64_C(9) << TB_STAMP_BITS) - 4000)
#define FLOOD     1000000

#define CLIENTS   3000
#define MILLION   1000000


/*
 * A client of the model: a bucket that counts in 1/864 µtok and so never
 * rounds, and how much the table's may have lost to rounding since.
 */

typedef struct {
    uint64_t      level;       /* 1/864 µtok */
    uint64_t      at;          /* ms */
    uint64_t      slack;       /* µtok */
    tb_limits_t   own;         /* 0: not registered */
} model_t;


static tb_result_t  res;


/*
 * A client has emptied its bucket; then come a million keys nobody knows,
 * over 100 s with a sweep every 100 ms.  Returns the sum of what was
 * admitted, in µtok.
 */

static uint64_t
flood(tb_table_t *t, tb_limits_t dflt, uint64_t cost, uint64_t ask_cost)
{
    uint64_t      i, now, sum;
    tb_hash_t     h, victim;

    victim = fixture_key(UINT64_MAX / 3);
    now = NOW;
    sum = 0;

    assert_true(fixture_ask(t, &victim, now, dflt, tb_limits_full(dflt),
                            &res) == TB_PASS);
    sum += tb_limits_full(dflt);

    for (i = 0; i < FLOOD; i++) {
        now = NOW + i / 10;
        h = fixture_key(i);

        if (fixture_ask(t, &h, now, dflt, cost, &res) == TB_PASS) {
            sum += cost;
        }

        if (i % 64 == 0
            && fixture_ask(t, &victim, now, dflt, ask_cost, &res)
               != TB_REFUSE)
        {
            fail_msg("the drained client was admitted at key %d", (int) i);
        }

        if (i % 1000 == 0) {
            (void) fixture_sweep(t, now, dflt);
        }

        if (i % 100000 == 0) {
            assert_true(tb_table_check(t, now, dflt) == 0);
        }
    }

    assert_true(tb_table_check(t, now, dflt) == 0);

    return sum;
}


/* What the table held, and what its slots earned in ms. */

static uint64_t
held_and_refilled(const tb_table_t *t, tb_limits_t dflt, uint64_t ms)
{
    return tb_table_slots(t) * (tb_limits_full(dflt)
                                + tb_limits_rate(dflt) * ms
                                  / TB_STEPS_A_UTOK + 1);
}


static void
test_flood_at_capacity_1_frees_no_drained_client(void **state)
{
    uint64_t     sum;
    tb_table_t  *t;
    tb_limits_t  dflt;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    dflt = tb_limits(1, R_SECOND / 1000, 0);           /* 0.1 in 100 s */

    sum = flood(t, dflt, TB_TOKEN, TB_TOKEN);

    assert_true(sum <= held_and_refilled(t, dflt, FLOOD / 10));
    assert_true(sum >= tb_table_slots(t) * TB_TOKEN * 9 / 10);

    free(t);
}


static void
test_flood_at_capacity_1000_frees_no_drained_client(void **state)
{
    uint64_t     sum;
    tb_table_t  *t;
    tb_limits_t  dflt;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    dflt = tb_limits(1000, R_SECOND / 200, 0);

    /* few enough that the table is not used up: all get in */

    sum = flood(t, dflt, TB_TOKEN, TB_TOKEN);

    assert_true(sum == FLOOD * TB_TOKEN + tb_limits_full(dflt));
    assert_true(t->evictions > FLOOD / 2);

    free(t);
}


static void
test_flood_that_uses_the_table_up_gets_what_it_held(void **state)
{
    uint64_t     sum;
    tb_table_t  *t;
    tb_limits_t  dflt;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    dflt = tb_limits(1000, R_SECOND / 1000, 0);

    sum = flood(t, dflt, 100 * TB_TOKEN, TB_TOKEN);

    assert_true(sum <= held_and_refilled(t, dflt, FLOOD / 10));
    assert_true(sum >= tb_table_slots(t) * tb_limits_full(dflt) * 9 / 10);

    free(t);
}


static void
test_cheap_flood_frees_no_client_that_has_less(void **state)
{
    tb_table_t  *t;
    tb_limits_t  dflt;

    (void) state;

    t = fixture_create(fixture_size(64));
    dflt = tb_limits(1, TB_RATE_MIN, 0);

    (void) flood(t, dflt, TB_COST_MIN, TB_TOKEN);

    assert_true(t->evictions > 0);

    free(t);
}


static void
test_three_quarters_full_displaces_under_one_in_a_thousand(void **state)
{
    uint64_t     i, n, seed;
    tb_hash_t    h;
    tb_table_t  *t;
    tb_limits_t  dflt;

    (void) state;

    dflt = tb_limits(1, TB_RATE_MIN, 0);

    for (seed = 0; seed < 20; seed++) {
        t = fixture_create(FIXTURE_ZONE);
        n = (uint64_t) tb_table_slots(t) * 3 / 4;

        for (i = 0; i < n; i++) {
            h = fixture_key(seed << 32 | i);

            /* with all drained, a displacement would be a refusal */

            if (fixture_ask(t, &h, NOW, dflt, TB_TOKEN, &res) != TB_PASS) {
                t->evictions++;
            }
        }

        assert_true(t->evictions * 1000 < n);

        free(t);
    }
}


/* Keys come and go at three quarters: each is full again after 4 s. */

static void
test_churn_at_three_quarters_displaces_under_one_in_a_thousand(void **state)
{
    uint64_t     i, now, n;
    tb_hash_t    h;
    tb_sweep_t   seen;
    tb_table_t  *t;
    tb_limits_t  dflt;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    dflt = tb_limits(1, R_SECOND / 4, 0);

    /* a key stays for 5.1 s on the average */

    n = (uint64_t) tb_table_slots(t) * 3 / 4 / 51;

    for (i = 0; i < n * 400; i++) {
        now = NOW + i / n * 100;
        h = fixture_key(i);

        assert_true(fixture_ask(t, &h, now, dflt, TB_TOKEN, &res)
                    == TB_PASS);

        if (i % n == 0) {
            seen = fixture_sweep(t, now, dflt);
        }
    }

    assert_true(seen.buckets > (uint64_t) tb_table_slots(t) * 70 / 100);
    assert_true(seen.buckets < (uint64_t) tb_table_slots(t) * 80 / 100);
    assert_true(t->evictions * 1000 < n * 400);

    free(t);
}


static void
model_advance(model_t *m, tb_limits_t dflt, uint64_t now)
{
    uint64_t     full;
    tb_limits_t  limits;

    limits = m->own ? m->own : dflt;
    full = tb_limits_full(limits) * TB_STEPS_A_UTOK;

    m->level += tb_limits_rate(limits) * (now - m->at);
    m->at = now;

    if (m->level >= full + m->slack * TB_STEPS_A_UTOK) {

        /* the table's has reached the top as well */

        m->slack = 0;
    }

    if (m->level > full) {
        m->level = full;
    }
}


static void
model_set(model_t *m, uint64_t tokens, tb_limits_t own, tb_limits_t dflt)
{
    uint64_t  full;

    m->own = own;
    full = tb_limits_full(own ? own : dflt);
    m->level = (tokens < full ? tokens : full) * TB_STEPS_A_UTOK;
}


/* The table's bucket is at most the model's, and short of it by its slack. */

static void
model_compare(tb_table_t *t, const tb_hash_t *h, const model_t *m,
    uint64_t now, tb_limits_t dflt)
{
    uint64_t  left;

    left = tb_limits_full(dflt);

    if (tb_table_read(t, h, now, dflt, &res) == TB_PASS) {
        left = res.left;
        assert_true(res.limits == (m->own ? m->own : dflt));

    } else {
        assert_true(m->own == 0);
    }

    assert_true(left * TB_STEPS_A_UTOK <= m->level);
    assert_true((left + m->slack + 1) * TB_STEPS_A_UTOK >= m->level);
}


static void
model_step(tb_table_t *t, const tb_hash_t *h, model_t *m, uint64_t now,
    tb_limits_t dflt, tb_random_t *rnd)
{
    uint64_t      cost;
    tb_limits_t   own;
    tb_verdict_t  verdict;

    model_advance(m, dflt, now);

    cost = tb_random_scale(rnd, TB_COST_MIN, 20 * TB_TOKEN);
    own = tb_limits((uint32_t) tb_random_scale(rnd, 1, 1000),
                    tb_random_scale(rnd, TB_RATE_MIN, 100 * R_SECOND),
                    TB_LIMITS_REGISTERED);

    switch (tb_random_in(rnd, 0, 39)) {

    case 0:
        own = tb_random_in(rnd, 0, 1) ? own : 0;
        assert_true(tb_table_put(t, h, now, dflt, own, cost));
        model_set(m, cost, own, dflt);
        m->slack = 0;
        return;

    case 1:
        own = m->own ? 0 : own;

        if (tb_table_set_limits(t, h, now, dflt, own)) {
            m->slack++;
            model_set(m, m->level / TB_STEPS_A_UTOK + 1, own, dflt);
        }

        return;

    case 2:
        if (tb_table_set_tokens(t, h, now, dflt, cost)) {
            model_set(m, cost, m->own, dflt);
            m->slack = 0;
        }

        return;

    case 3:
        if (tb_table_read(t, h, now, dflt, &res) == TB_PASS) {
            tb_table_give(t, h, now, dflt, cost);
            m->level += cost * TB_STEPS_A_UTOK;
            m->slack++;
            model_advance(m, dflt, now);
        }

        return;

    case 4:
        model_compare(t, h, m, now, dflt);
        return;
    }

    verdict = fixture_ask(t, h, now, dflt, cost, &res);

    if (verdict == TB_PASS) {
        assert_true(m->level >= cost * TB_STEPS_A_UTOK);
        m->level -= cost * TB_STEPS_A_UTOK;
        m->slack++;

    } else {
        assert_true(m->level
                    < (cost + m->slack + 1) * TB_STEPS_A_UTOK);
    }
}


static void
test_million_random_operations_agree_with_exact_buckets(void **state)
{
    int             i, k;
    uint64_t        now;
    tb_hash_t       h;
    tb_table_t     *t;
    tb_limits_t     dflt;
    tb_random_t     rnd = { 42 };
    static model_t  model[CLIENTS];

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    dflt = tb_limits(10, 7 * (R_SECOND / 60), 0);
    now = NOW;

    for (k = 0; k < CLIENTS; k++) {
        model[k].at = now;
        model[k].own = 0;
        model[k].slack = 0;
        model[k].level = tb_limits_full(dflt) * TB_STEPS_A_UTOK;
    }

    for (i = 0; i < MILLION; i++) {
        k = (int) tb_random_in(&rnd, 0, CLIENTS - 1);
        h = fixture_key((uint64_t) k);

        now += tb_random_in(&rnd, 0, 9) == 0;
        model_step(t, &h, &model[k], now, dflt, &rnd);

        if (i % 1009 == 0) {
            (void) fixture_sweep(t, now, dflt);
        }

        if (i % 50000 == 0) {

            /* a quiet time, in which buckets fill and are freed */

            now += 40000;
            (void) fixture_sweep(t, now, dflt);
            assert_true(tb_table_check(t, now, dflt) == 0);
        }
    }

    for (k = 0; k < CLIENTS; k++) {
        h = fixture_key((uint64_t) k);
        model_advance(&model[k], dflt, now);
        model_compare(t, &h, &model[k], now, dflt);
    }

    assert_true(t->evictions == 0);

    free(t);
}


/* Ten times as many keys as slots, at random: no token comes from nowhere. */

static void
test_million_random_requests_get_what_a_small_table_held(void **state)
{
    int          i;
    uint64_t     cost, now, sum;
    tb_hash_t    h;
    tb_table_t  *t;
    tb_limits_t  dflt;
    tb_random_t  rnd = { 43 };

    (void) state;

    t = fixture_create(fixture_size(4));
    dflt = tb_limits(10, R_SECOND, 0);
    sum = 0;
    now = NOW;

    for (i = 0; i < MILLION; i++) {
        h = fixture_key(tb_random_in(&rnd, 0, 639));
        cost = tb_random_scale(&rnd, TB_COST_MIN, 10 * TB_TOKEN);
        now += tb_random_in(&rnd, 0, 99) == 0;

        switch (tb_random_in(&rnd, 0, 9)) {

        case 0:
            (void) tb_table_peek(t, &h, now, dflt, cost, &res);
            break;

        case 1:
            if (fixture_ask(t, &h, now, dflt, cost, &res) == TB_PASS) {
                tb_table_give(t, &h, now, dflt, cost);
            }

            break;

        default:
            if (fixture_ask(t, &h, now, dflt, cost, &res) == TB_PASS) {
                sum += cost;
            }
        }

        if (i % 1000 == 0) {
            (void) fixture_sweep(t, now, dflt);
            assert_true(tb_table_check(t, now, dflt) == 0);
            assert_true(sum <= held_and_refilled(t, dflt, now - NOW));
        }
    }

    assert_true(t->evictions > 10000);

    free(t);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_flood_at_capacity_1_frees_no_drained_client),
        cmocka_unit_test(
            test_flood_at_capacity_1000_frees_no_drained_client),
        cmocka_unit_test(
            test_flood_that_uses_the_table_up_gets_what_it_held),
        cmocka_unit_test(test_cheap_flood_frees_no_client_that_has_less),
        cmocka_unit_test(
            test_three_quarters_full_displaces_under_one_in_a_thousand),
        cmocka_unit_test(
            test_churn_at_three_quarters_displaces_under_one_in_a_thousand),
        cmocka_unit_test(
            test_million_random_operations_agree_with_exact_buckets),
        cmocka_unit_test(
            test_million_random_requests_get_what_a_small_table_held)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
