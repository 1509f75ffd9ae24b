
/*
 * What is decided from one look at a bucket, and what a bucket is adjusted by
 * where it was found before: the same as the functions decide that can do all
 * of it, or nothing.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "t/unit/limit/tb_fixture.h"


#define NOW     UINT64_C(100000000)
#define TRIALS  200000


/* A key's slot in two tables, with the same in both. */

static tb_table_t   *one;
static tb_table_t   *other;
static tb_hash_t     h;
static tb_random_t   rnd = { 7 };


static uint64_t
pick(uint64_t from, uint64_t to)
{
    return tb_random_in(&rnd, from, to);
}


static tb_limits_t
some_limits(uint64_t kind)
{
    switch (kind) {

    case TB_LIMITS_WINDOW:
        return tb_limits((uint32_t) pick(1, TB_CAPACITY_MAX),
                         (NOW - pick(0, 100000)) & TB_RATE_MASK, kind);

    case TB_LIMITS_PLACES:
        return tb_limits(TB_CAPACITY_MAX, pick(1, 10), kind);

    default:
        return tb_limits((uint32_t) tb_random_scale(&rnd, 1,
                                                    TB_CAPACITY_MAX),
                         tb_random_scale(&rnd, TB_RATE_MIN, TB_RATE_MAX), 0);
    }
}


/* Any word and own limits, the same in both tables. */

static void
set_bucket(tb_limits_t dflt, uint64_t kind)
{
    int64_t      tokens;
    uint64_t     stamp;
    tb_slot_t   *slot;
    tb_limits_t  own;

    own = pick(0, 3) ? 0
          : (kind == 0 ? some_limits(0) : 0) | TB_LIMITS_REGISTERED;

    tokens = (int64_t) pick(0, 2) == 0
             ? -(int64_t) tb_random_scale(&rnd, 0, (uint64_t) TB_DEBT_MAX)
             : (int64_t) (tb_limits_room(dflt)
                          - tb_random_scale(&rnd, 0, tb_limits_room(dflt)));

    stamp = NOW - tb_random_scale(&rnd, 0, 200000) + pick(0, 1);

    slot = tb_table_find(one, &h);
    atomic_store(&slot->limits, own);
    atomic_store(&slot->word, tb_word(tokens, stamp));

    slot = tb_table_find(other, &h);
    atomic_store(&slot->limits, own);
    atomic_store(&slot->word, tb_word(tokens, stamp));
}


static int64_t
left(tb_table_t *t, uint64_t now, tb_limits_t dflt)
{
    tb_result_t  result;

    assert_true(tb_table_read(t, &h, now, dflt, &result) == TB_PASS);

    return result.left;
}


static void
each_kind(void (*trial)(tb_limits_t dflt, uint64_t kind))
{
    int          i;
    uint64_t     kind;
    tb_limits_t  dflt;
    tb_result_t  res;

    static const uint64_t  kinds[] = { 0, TB_LIMITS_WINDOW,
                                       TB_LIMITS_PLACES };

    one = fixture_create(FIXTURE_ZONE);
    other = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    dflt = some_limits(TB_LIMITS_PLACES);
    assert_true(fixture_ask(one, &h, NOW, dflt, TB_TOKEN, &res) == TB_PASS);
    assert_true(fixture_ask(other, &h, NOW, dflt, TB_TOKEN, &res) == TB_PASS);

    for (i = 0; i < TRIALS; i++) {
        kind = kinds[i % 3];
        dflt = some_limits(kind);

        set_bucket(dflt, kind);
        trial(dflt, kind);
    }

    free(one);
    free(other);
}


static int64_t
look(tb_limits_t dflt, uint64_t kind, uint64_t cost, tb_result_t *res)
{
    switch (kind) {

    case TB_LIMITS_WINDOW:
        return tb_table_look(one, &h, NOW, dflt, TB_LIMITS_WINDOW, cost, res);

    case TB_LIMITS_PLACES:
        return tb_table_look(one, &h, NOW, dflt, TB_LIMITS_PLACES, cost, res);

    default:
        return tb_table_look(one, &h, NOW, dflt, 0, cost, res);
    }
}


static void
look_and_take(tb_limits_t dflt, uint64_t kind)
{
    int64_t       remain;
    uint64_t      cost;
    tb_result_t   res, same;
    tb_verdict_t  verdict;

    cost = kind == TB_LIMITS_PLACES
           ? TB_TOKEN : tb_random_scale(&rnd, TB_COST_MIN, TB_COST_MAX);

    verdict = tb_table_take(other, &h, NOW, dflt, cost, &same);

    remain = look(dflt, kind, cost, &res);

    if (remain < 0) {

        /* refused, or the bucket has a later time */

        assert_true(verdict == TB_REFUSE
                    || tb_word_age(same.word, NOW) >= TB_AGE_MAX);
        return;
    }

    assert_true(verdict == TB_PASS);
    assert_true(res.limits == same.limits);
    assert_true(res.word == same.word);
    assert_int_equal(res.left, same.left);
    assert_int_equal(remain, res.left - tb_limits_lowest(res.limits));
    assert_ptr_equal(res.slot, tb_table_find(one, &h));

    /* it has changed nothing, and does so once */

    assert_true(atomic_load(&res.slot->word) == same.word);
    assert_true(tb_result_take(&res, NOW));
    assert_true(atomic_load(&res.slot->word)
                == atomic_load(&same.slot->word));
    assert_true(!tb_result_take(&res, NOW) || res.word == res.slot->word);
}


static void
test_what_a_look_finds_is_what_a_take_decides(void **state)
{
    (void) state;

    each_kind(look_and_take);
}


static bool
adjust(tb_slot_t *slot, const tb_hash_t *of, tb_limits_t dflt, uint64_t kind,
    int64_t tokens)
{
    switch (kind) {

    case TB_LIMITS_WINDOW:
        return tb_slot_adjust(one, slot, of, NOW, dflt, TB_LIMITS_WINDOW,
                              tokens);

    case TB_LIMITS_PLACES:
        return tb_slot_adjust(one, slot, of, NOW, dflt, TB_LIMITS_PLACES,
                              tokens);

    default:
        return tb_slot_adjust(one, slot, of, NOW, dflt, 0, tokens);
    }
}


static void
adjust_as_others(tb_limits_t dflt, uint64_t kind)
{
    int64_t      tokens;
    uint64_t     charged, ms;
    tb_word_t    before;
    tb_slot_t   *slot;
    tb_result_t  res;

    tokens = (int64_t) tb_random_scale(&rnd, 1, TB_COST_MAX);
    charged = 0;

    if (pick(0, 1)) {
        assert_true(tb_table_give(other, &h, NOW, dflt, (uint64_t) tokens));

    } else {
        assert_true(tb_table_charge(other, &h, NOW, dflt, (uint64_t) tokens,
                                    -TB_DEBT_MAX, &res, &charged)
                    == TB_PASS);
        tokens = -tokens;
    }

    slot = tb_table_find(one, &h);
    before = atomic_load(&slot->word);

    if (!adjust(slot, &h, dflt, kind, tokens)) {

        /* not all of it can be charged */

        assert_true(tokens < 0 && (int64_t) charged < -tokens);
        assert_true(atomic_load(&slot->word) == before);
        return;
    }

    assert_true(tokens > 0 || (int64_t) charged == -tokens);

    for (ms = 0; ms < 100000; ms = ms * 3 + 1) {
        if (kind != TB_LIMITS_WINDOW || ms == 0) {
            assert_int_equal(left(one, NOW + ms, dflt),
                             left(other, NOW + ms, dflt));
        }
    }
}


static void
test_adjusting_gives_and_charges_as_much(void **state)
{
    (void) state;

    each_kind(adjust_as_others);
}


static void
test_what_has_changed_is_not_taken_from(void **state)
{
    tb_hash_t    next;
    tb_slot_t   *slot;
    tb_limits_t  dflt;
    tb_result_t  res, seen;

    (void) state;

    one = fixture_create(fixture_size(1));
    h = fixture_key(1);
    dflt = tb_limits(10, TB_STEPS_A_SECOND, 0);

    assert_int_equal(look(dflt, 0, TB_TOKEN, &seen), -1);
    assert_true(fixture_ask(one, &h, NOW, dflt, 8 * TB_TOKEN, &res)
                == TB_PASS);

    assert_int_equal(look(dflt, 0, 2 * TB_TOKEN, &seen), 0);
    assert_int_equal(look(dflt, 0, 2 * TB_TOKEN + 1, &res), -1);

    /* another request takes the last ones */

    assert_true(fixture_ask(one, &h, NOW, dflt, TB_TOKEN, &res) == TB_PASS);
    assert_false(tb_result_take(&seen, NOW));
    assert_int_equal(left(one, NOW, dflt), TB_TOKEN);

    /* the slot is another's: nothing is given to that, nor charged */

    slot = tb_table_find(one, &h);
    next = h;
    next.hi ^= UINT64_C(1) << 63;
    assert_false(adjust(slot, &next, dflt, 0, TB_TOKEN));
    next = h;
    next.lo ^= UINT64_C(1) << 63;
    assert_false(adjust(slot, &next, dflt, 0, -(int64_t) TB_TOKEN));
    assert_int_equal(left(one, NOW, dflt), TB_TOKEN);

    /* nor to nobody */

    tb_table_forget(one, &h, NOW, dflt, 0);
    assert_false(adjust(slot, &h, dflt, 0, TB_TOKEN));

    free(one);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_what_a_look_finds_is_what_a_take_decides),
        cmocka_unit_test(test_adjusting_gives_and_charges_as_much),
        cmocka_unit_test(test_what_has_changed_is_not_taken_from)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
