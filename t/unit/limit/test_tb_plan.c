
/*
 * Plans, and places for requests in flight, in a table.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/core/limit/tb_plan.h"
#include "t/unit/limit/tb_fixture.h"


#define R_SECOND  TB_STEPS_A_SECOND
#define NOW       UINT64_C(1000000)
#define DFLT      tb_limits(10, 10 * R_SECOND, 0)
#define TOKEN     ((int64_t) TB_TOKEN)
#define PLACES(n) tb_limits(TB_CAPACITY_MAX, n, TB_LIMITS_PLACES)


static struct {
    _Alignas(64) unsigned char  table[64 * 1024];
    tb_plans_t                  plans;
} zone;

static tb_result_t  res;


static tb_table_t *
create(void)
{
    tb_table_t  *t;

    memset(&zone, 0, sizeof(zone));

    t = tb_table_create(zone.table, sizeof(zone.table));
    tb_plan_init(&zone.plans, TB_PLANS);
    tb_table_use_plans(t, &zone.plans);

    return t;
}


static void
put(tb_table_t *t, uint64_t key, tb_limits_t dflt, tb_limits_t own,
    int64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);
    assert_true(tb_table_put(t, &h, NOW, dflt, own, tokens));
}


static tb_verdict_t
ask(tb_table_t *t, uint64_t key, uint64_t now, tb_limits_t dflt,
    uint64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return fixture_ask(t, &h, now, dflt, tokens * TB_TOKEN, &res);
}


static void
test_plan_that_changes_is_in_force_for_all_members_at_once(void **state)
{
    uint32_t     gold;
    uint64_t     i;
    tb_table_t  *t;

    (void) state;

    t = create();
    gold = tb_plan_free(&zone.plans);
    assert_true(gold == TB_PLAN_FIRST);

    tb_plan_set(&zone.plans, gold, tb_limits(100, R_SECOND, 0));

    for (i = 0; i < 300; i++) {
        tb_plan_join(&zone.plans, gold);
        put(t, i, DFLT, tb_plan_limits(gold, TB_LIMITS_REGISTERED),
            100 * TOKEN);
    }

    for (i = 0; i < 300; i++) {
        assert_true(ask(t, i, NOW, DFLT, 60) == TB_PASS);
        assert_true(res.left == 40 * TOKEN);
        assert_true(tb_limits_capacity(res.limits) == 100);
        assert_true(res.limits & TB_LIMITS_REGISTERED);
    }

    tb_plan_set(&zone.plans, gold, tb_limits(20, 2 * R_SECOND, 0));

    for (i = 0; i < 300; i++) {
        assert_true(ask(t, i, NOW, DFLT, 21) == TB_REFUSE);
        assert_true(res.left == 20 * TOKEN);
        assert_true(tb_limits_rate(res.limits) == 2 * R_SECOND);
    }

    /* a plan that is gone, or not there yet: as the zone says */

    tb_plan_set(&zone.plans, gold, 0);
    assert_true(ask(t, 7, NOW, DFLT, 10) == TB_PASS);
    assert_true(tb_limits_capacity(res.limits) == 10);
    assert_true(res.limits & TB_LIMITS_REGISTERED);

    assert_true(fixture_sweep(t, NOW, DFLT).registered == 300);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);
}


static void
test_numbers_come_back_when_no_member_is_left(void **state)
{
    uint32_t  n;

    (void) state;

    (void) create();

    for (n = TB_PLAN_FIRST; n < TB_PLANS; n++) {
        assert_true(tb_plan_free(&zone.plans) == n);

        /* named by a client, or set, or both */

        if (n % 3 != 0) {
            tb_plan_join(&zone.plans, n);
        }

        if (n % 3 != 1) {
            tb_plan_set(&zone.plans, n, tb_limits(n, n, 0));
        }
    }

    assert_true(tb_plan_free(&zone.plans) == TB_PLAN_NONE);

    tb_plan_set(&zone.plans, 5, 0);
    assert_true(tb_plan_free(&zone.plans) == TB_PLAN_NONE);
    zone.plans.plan[5].members--;
    assert_true(tb_plan_free(&zone.plans) == 5);

    for (n = 0; n < TB_PLANS; n++) {
        zone.plans.plan[n].members = 0;
    }

    assert_true(tb_plan_free(&zone.plans) == 4);
    assert_true(tb_plan_get(&zone.plans, UINT32_MAX) == 0);
}


static void
test_blocked_and_unlimited_are_always_there(void **state)
{
    tb_table_t  *t;

    (void) state;

    t = create();

    put(t, 1, DFLT, tb_plan_limits(TB_PLAN_BLOCKED, TB_LIMITS_REGISTERED),
        10 * TOKEN);
    put(t, 2, DFLT, tb_plan_limits(TB_PLAN_UNLIMITED, TB_LIMITS_REGISTERED),
        10 * TOKEN);

    (void) ask(t, 1, NOW, DFLT, 1);
    assert_true(tb_limits_are_blocked(res.limits));
    assert_false(tb_limits_are_unlimited(res.limits));

    (void) ask(t, 2, NOW, DFLT, 1000000);
    assert_true(tb_limits_are_unlimited(res.limits));
    assert_false(tb_limits_are_blocked(res.limits));

    /* also of places, of which no count is lost by it */

    t = create();

    put(t, 1, PLACES(3), tb_limits(TB_CAPACITY_MAX, 2, TB_LIMITS_REGISTERED),
        (int64_t) TB_COST_MAX);
    assert_true(ask(t, 1, NOW, PLACES(3), 1) == TB_PASS);

    put(t, 1, PLACES(3), tb_plan_limits(TB_PLAN_BLOCKED,
                                        TB_LIMITS_REGISTERED),
        (int64_t) TB_COST_MAX - TOKEN);
    assert_true(ask(t, 1, NOW, PLACES(3), 1) == TB_REFUSE);
    assert_true(tb_limits_are_blocked(res.limits));

    put(t, 1, PLACES(3), tb_plan_limits(TB_PLAN_UNLIMITED,
                                        TB_LIMITS_REGISTERED),
        (int64_t) TB_COST_MAX - TOKEN);
    assert_true(ask(t, 1, NOW, PLACES(3), 9) == TB_PASS);
    assert_true(res.left == (int64_t) TB_COST_MAX - 10 * TOKEN);
}


static void
test_plan_of_one_who_is_not_registered_is_seen_by_all(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = create();
    h = fixture_key(1);

    tb_plan_set(&zone.plans, 2, tb_limits(100, R_SECOND, 0));

    assert_true(ask(t, 1, NOW, DFLT, 1) == TB_PASS);
    assert_true(tb_table_own_limits(t, &h) == 0);
    assert_true(tb_table_set_limits(t, &h, NOW, DFLT, tb_plan_limits(2, 0)));
    assert_true(tb_table_own_limits(t, &h) == tb_plan_limits(2, 0));
    assert_false(tb_table_is_registered(t, &h));
    assert_true(tb_table_set_tokens(t, &h, NOW, DFLT, 90 * TOKEN));

    /* a tick does not cut it to what the zone says; full and idle it goes */

    assert_true(fixture_sweep(t, NOW + 1000, DFLT).registered == 0);
    assert_true(tb_table_read(t, &h, NOW + 1000, DFLT, &res) == TB_PASS);
    assert_true(res.left == 91 * TOKEN);

    (void) fixture_sweep(t, NOW + 20000, DFLT);
    assert_true(tb_table_read(t, &h, NOW + 20000, DFLT, &res) == TB_ABSENT);
    (void) fixture_sweep(t, NOW + 22000, DFLT);
    (void) fixture_sweep(t, NOW + 24000, DFLT);
    assert_true(fixture_sweep(t, NOW + 26000, DFLT).unclean == 0);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);
}


static void
test_places_are_counted_whatever_the_limit_becomes(void **state)
{
    int          i;
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = create();
    h = fixture_key(1);

    for (i = 0; i < 3; i++) {
        assert_true(ask(t, 1, NOW, PLACES(3), 1) == TB_PASS);
    }

    assert_true(res.left == tb_limits_lowest(PLACES(3)));
    assert_true(ask(t, 1, NOW, PLACES(3), 1) == TB_REFUSE);
    assert_true(tb_table_peek(t, &h, NOW, PLACES(3), TB_TOKEN, &res)
                == TB_REFUSE);

    /* time gives none back */

    (void) fixture_sweep(t, NOW + 3 * TB_AGE_MAX, PLACES(3));
    assert_true(ask(t, 1, NOW + 3 * TB_AGE_MAX, PLACES(3), 1) == TB_REFUSE);

    /* more are allowed, then fewer than are in use */

    assert_true(ask(t, 1, NOW, PLACES(4), 1) == TB_PASS);
    assert_true(ask(t, 1, NOW, PLACES(2), 1) == TB_REFUSE);
    assert_true(tb_table_set_limits(t, &h, NOW, PLACES(2),
                                    tb_limits(TB_CAPACITY_MAX, 1,
                                              TB_LIMITS_REGISTERED)));

    for (i = 0; i < 3; i++) {
        assert_true(ask(t, 1, NOW, PLACES(2), 1) == TB_REFUSE);
        assert_true(tb_table_give(t, &h, NOW, PLACES(2), TB_TOKEN));
    }

    assert_true(ask(t, 1, NOW, PLACES(2), 1) == TB_REFUSE);
    assert_true(tb_table_give(t, &h, NOW, PLACES(2), TB_TOKEN));
    assert_true(ask(t, 1, NOW, PLACES(2), 1) == TB_PASS);
    assert_true(tb_table_check(t, NOW, PLACES(2)) == 0);
}


/* A bucket with places in use stays; what finds no room shares one bucket. */

static void
test_places_in_use_are_never_displaced(void **state)
{
    uint64_t     i;
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    for (i = 0; i < TB_GROUP_SLOTS; i++) {
        assert_true(ask(t, i, NOW, PLACES(2), 1) == TB_PASS);
        assert_non_null(res.slot);
    }

    assert_true(ask(t, 100, NOW, PLACES(2), 1) == TB_PASS);
    assert_null(res.slot);
    assert_true(ask(t, 101, NOW, PLACES(2), 1) == TB_PASS);
    assert_null(res.slot);
    assert_true(ask(t, 102, NOW, PLACES(2), 1) == TB_REFUSE);
    assert_true(t->evictions == 0);

    /* one that has given back all makes room */

    h = fixture_key(5);
    assert_true(tb_table_give(t, &h, NOW, PLACES(2), TB_TOKEN));
    assert_true(ask(t, 102, NOW, PLACES(2), 1) == TB_PASS);
    assert_non_null(res.slot);
    assert_false(res.evicted);

    for (i = 0; i < TB_GROUP_SLOTS; i++) {
        assert_true(i == 5 || ask(t, i, NOW, PLACES(2), 1) == TB_PASS);
    }

    free(t);
}


/* A bucket of the two holds no more than a word has room for. */

static void
whoever_has_one_of_the_two_has_a_bucket_like_others(void **state)
{
    int64_t      left;
    tb_word_t    word;
    tb_plans_t  *plans;
    tb_limits_t  limits;
    unsigned     n;

    (void) state;

    plans = calloc(1, sizeof(tb_plans_t));
    assert_non_null(plans);
    tb_plan_init(plans, TB_PLANS);

    for (n = TB_PLAN_BLOCKED; n <= TB_PLAN_UNLIMITED; n++) {
        limits = tb_limits_in_force(tb_plan_limits(n, TB_LIMITS_REGISTERED),
                                    plans, tb_limits(3, TB_RATE_MIN, 0));
        word = tb_word((int64_t) tb_limits_full(limits), 0);
        assert_int_equal(tb_word_tokens(word), TB_CAPACITY_MAX * TB_TOKEN);

        word = tb_word_settle(tb_word(0, 0), limits, 1000000);
        assert_true(tb_word_tokens(word) >= 0);

        word = tb_word_settle(word, tb_limits(5, TB_RATE_MIN, 0), 1000000);
        (void) tb_word_take(&word, tb_limits(5, TB_RATE_MIN, 0), 1000000, 0,
                            &left);
        assert_true(left >= 0 && left <= 5 * (int64_t) TB_TOKEN);
    }

    free(plans);
}


/* The plan that a request has lent a slot is told from the client's own. */

static void
a_plan_that_is_lent_has_the_same_number(void **state)
{
    (void) state;

    assert_int_equal(tb_plan_number(tb_plan_limits(1001, TB_LIMITS_LENT)),
                     1001);
    assert_int_equal(tb_plan_number(tb_plan_limits(2, TB_LIMITS_REGISTERED)),
                     2);
}


/*
 * The limits of a slot go back to those of more tokens, of all that it has had
 * since it was full of them, the zone's own being some of these.
 */

static void
a_slot_goes_back_to_the_plan_of_most_tokens(void **state)
{
    tb_plans_t   *plans;
    tb_limits_t   gold, own, silver, tin;

    (void) state;

    plans = calloc(1, tb_plan_size(8));
    assert_non_null(plans);
    tb_plan_init(plans, 8);
    tb_plan_set(plans, 2, tb_limits(1000, R_SECOND, 0));
    tb_plan_set(plans, 3, tb_limits(100, R_SECOND, 0));
    tb_plan_set(plans, 4, tb_limits(1, R_SECOND, 0));

    gold = tb_plan_limits(2, TB_LIMITS_LENT);
    silver = tb_plan_limits(3, TB_LIMITS_LENT);
    tin = tb_plan_limits(4, TB_LIMITS_LENT);

    /* more tokens: nothing is forgotten */

    assert_true(tb_plan_change(plans, 0, gold, DFLT) == gold);
    assert_true(tb_plan_change(plans, silver, gold, DFLT) == gold);

    /* fewer, and fewer still, and a little more */

    own = tb_plan_change(plans, gold, silver, DFLT);
    assert_true(tb_plan_goes_back(own) && tb_plan_before(own) == gold);
    assert_true(tb_plan_lent(own) == silver && tb_plan_number(own) == 3);
    assert_true(tb_limits_in_force(own, plans, DFLT)
                == tb_limits(100, R_SECOND, 0));

    own = tb_plan_change(plans, own, 0, DFLT);
    assert_true(tb_plan_goes_back(own) && tb_plan_before(own) == gold);
    assert_true(tb_plan_lent(own) == 0);
    assert_true(tb_plan_number(own) == TB_PLAN_NONE);
    assert_true(tb_limits_in_force(own, plans, DFLT) == DFLT);

    own = tb_plan_change(plans, own, silver, DFLT);
    assert_true(tb_plan_before(own) == gold && tb_plan_lent(own) == silver);
    assert_true(tb_plan_change(plans, own, gold, DFLT) == gold);

    /* the zone's own are more than a plan's */

    own = tb_plan_change(plans, 0, tin, DFLT);
    assert_true(tb_plan_goes_back(own) && tb_plan_before(own) == 0);
    assert_true(tb_plan_change(plans, own, 0, DFLT) == 0);

    /* what is used is counted where time does not refill */

    assert_true(tb_plan_change(plans, gold, tin, PLACES(5)) == tin);

    free(plans);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(
            test_plan_that_changes_is_in_force_for_all_members_at_once),
        cmocka_unit_test(test_numbers_come_back_when_no_member_is_left),
        cmocka_unit_test(test_blocked_and_unlimited_are_always_there),
        cmocka_unit_test(
            test_plan_of_one_who_is_not_registered_is_seen_by_all),
        cmocka_unit_test(test_places_are_counted_whatever_the_limit_becomes),
        cmocka_unit_test(test_places_in_use_are_never_displaced),
        cmocka_unit_test(whoever_has_one_of_the_two_has_a_bucket_like_others),
        cmocka_unit_test(a_plan_that_is_lent_has_the_same_number),
        cmocka_unit_test(a_slot_goes_back_to_the_plan_of_most_tokens)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
