
/*
 * Consistent hashing: shares by weight, and who moves when a server comes,
 * goes, or is down.
 */


#include "t/unit/balance/lb_fixture.h"

#include <math.h>

#include <cmocka.h>

#include "src/core/balance/lb_cells.h"


#define KEYS  20000


static lb_fixture_t *
fixture(uint32_t n, uint32_t weight_mod)
{
    uint32_t       i;
    lb_rules_t     rules = { .cells = true };
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));

    for (i = 0; i < n; i++) {
        lb_fixture_line(f, 1 + i % weight_mod);
    }

    lb_fixture_start(f);
    lb_roster_rule(f->roster, &rules);
    lb_fixture_build(f->roster);

    return f;
}


static void
map(lb_fixture_t *f, uint32_t owner[KEYS])
{
    char      key[16];
    int       n;
    uint32_t  i;
    lb_how_t  how;

    f->ask.tried.number = 0;

    for (i = 0; i < KEYS; i++) {
        n = snprintf(key, sizeof(key), "/item/%u", i);
        f->ask.key = lb_cells_key(key, (size_t) n);
        owner[i] = lb_pick(f->roster, lb_hash, &f->ask, &how);
        lb_load_drop(&f->load, f->row, owner[i]);
    }
}


static uint32_t
moved(const uint32_t a[KEYS], const uint32_t b[KEYS])
{
    uint32_t  i, n;

    n = 0;

    for (i = 0; i < KEYS; i++) {
        n += (a[i] != b[i]);
    }

    return n;
}


static uint32_t  before[KEYS], after[KEYS];


static void
one_of_a_hundred_that_leaves_moves_its_own_keys_only(void **state)
{
    uint32_t       i, k;
    lb_fixture_t  *f;

    (void) state;

    f = fixture(100, 1);
    map(f, before);

    for (k = 0; k < 100; k += 9) {
        atomic_fetch_or(&lb_roster_server(f->roster, k)->status, LB_REMOVED);
        lb_fixture_build(f->roster);
        map(f, after);

        for (i = 0; i < KEYS; i++) {

            if (before[i] != k) {
                assert_int_equal(after[i], before[i]);

            } else {
                assert_int_not_equal(after[i], k);
            }
        }

        assert_in_range(moved(before, after), KEYS / 200, KEYS * 3 / 200);

        /* and takes just these when it comes back */

        atomic_fetch_and(&lb_roster_server(f->roster, k)->status,
                         ~(uint32_t) LB_REMOVED);
        lb_fixture_build(f->roster);
        map(f, after);

        assert_int_equal(moved(before, after), 0);
    }

    lb_fixture_stop(f);
}


static void
one_that_comes_takes_its_share_from_all_others(void **state)
{
    uint32_t       i, n, from[10];
    lb_fixture_t  *f;

    (void) state;

    f = fixture(10, 1);
    map(f, before);

    lb_fixture_line(f, 1);
    assert_true(lb_sync_lines(f->roster, f->lines, 11, NULL, NULL));
    lb_fixture_build(f->roster);
    map(f, after);

    memset(from, 0, sizeof(from));
    n = 0;

    for (i = 0; i < KEYS; i++) {

        if (after[i] != before[i]) {
            assert_int_equal(after[i], 10);
            from[before[i]]++;
            n++;
        }
    }

    assert_in_range(n, KEYS / 11 * 9 / 10, KEYS / 11 * 11 / 10);

    for (i = 0; i < 10; i++) {
        assert_in_range(from[i], KEYS / 110 / 2, KEYS / 110 * 2);
    }

    lb_fixture_stop(f);
}


static void
shares_follow_weights(void **state)
{
    double         expected;
    uint32_t       i, count[12];
    lb_fixture_t  *f;

    (void) state;

    f = fixture(12, 4);
    map(f, before);

    memset(count, 0, sizeof(count));

    for (i = 0; i < KEYS; i++) {
        count[before[i]]++;
    }

    for (i = 0; i < 12; i++) {
        expected = KEYS * (1 + i % 4) / 30.0;
        assert_true(fabs(count[i] - expected) < expected * 0.15);
    }

    lb_fixture_stop(f);
}


static void
a_weight_that_changes_moves_keys_from_or_to_that_server_only(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f;

    (void) state;

    f = fixture(8, 1);
    map(f, before);

    lb_roster_server(f->roster, 3)->weight = 2;
    lb_fixture_build(f->roster);
    map(f, after);

    for (i = 0; i < KEYS; i++) {
        assert_true(after[i] == before[i] || after[i] == 3);
    }

    assert_true(moved(before, after) > KEYS / 20);

    lb_fixture_stop(f);
}


static void
keys_do_not_depend_on_the_order_of_lines_or_slots(void **state)
{
    uint32_t       i;
    lb_line_t      line;
    lb_fixture_t  *f, *g;

    (void) state;

    f = fixture(9, 1);
    g = fixture(9, 1);

    for (i = 0; i < 4; i++) {
        line = g->lines[i];
        g->lines[i] = g->lines[8 - i];
        g->lines[8 - i] = line;
    }

    free(g->roster);
    lb_fixture_start(g);
    lb_roster_rule(g->roster, &(lb_rules_t) { .cells = true });
    lb_fixture_build(g->roster);

    map(f, before);
    map(g, after);

    for (i = 0; i < KEYS; i++) {
        assert_int_equal(after[i], 8 - before[i]);
    }

    lb_fixture_stop(f);
    lb_fixture_stop(g);
}


static void
a_full_server_sends_its_keys_to_many_others_and_always_the_same(void **state)
{
    uint32_t       i, n, count[10];
    lb_fixture_t  *f;

    (void) state;

    f = fixture(10, 1);
    map(f, before);

    lb_roster_server(f->roster, 4)->max_conns = 1;
    assert_true(lb_load_take(&f->load, f->row, 4, 1));
    map(f, after);

    memset(count, 0, sizeof(count));

    for (i = 0; i < KEYS; i++) {

        if (before[i] != 4) {
            assert_int_equal(after[i], before[i]);
            continue;
        }

        assert_int_not_equal(after[i], 4);
        count[after[i]]++;
    }

    n = 0;

    for (i = 0; i < 10; i++) {
        n += (count[i] > KEYS / 10 / 9 / 2);
    }

    assert_int_equal(n, 9);

    map(f, before);
    assert_int_equal(moved(before, after), 0);

    lb_fixture_stop(f);
}


static void
an_address_listed_twice_gets_two_shares(void **state)
{
    uint32_t       i, k, count[3];
    lb_fixture_t  *f;

    (void) state;

    f = calloc(1, sizeof(lb_fixture_t));

    for (i = 0; i < 3; i++) {
        lb_fixture_line(f, 1);
    }

    f->lines[1] = f->lines[0];

    lb_fixture_start(f);
    lb_roster_rule(f->roster, &(lb_rules_t) { .cells = true });

    for (k = 0; k < 2; k++) {
        lb_fixture_build(f->roster);
        map(f, k ? after : before);
    }

    assert_int_equal(moved(before, after), 0);

    memset(count, 0, sizeof(count));

    for (i = 0; i < KEYS; i++) {
        count[before[i]]++;
    }

    for (i = 0; i < 3; i++) {
        assert_in_range(count[i], KEYS / 3 * 9 / 10, KEYS / 3 * 11 / 10);
    }

    lb_fixture_stop(f);
}


static void
keys_of_a_fixed_set_of_servers_stay_what_they_are(void **state)
{
    uint32_t       i;
    uint64_t       sum;
    lb_fixture_t  *f;

    (void) state;

    /* gateways of different versions must agree: change it knowingly */

    f = fixture(5, 2);
    map(f, before);
    sum = 0;

    for (i = 0; i < KEYS; i++) {
        sum = sum * 31 + before[i];
    }

    assert_int_equal(sum, 0x538a664a4d80ec4a);

    lb_fixture_stop(f);
}


static uint32_t
keyless(lb_fixture_t *f)
{
    uint32_t  index;
    lb_how_t  how;

    f->ask.tried.number = 0;
    index = lb_pick(f->roster, lb_hash_keyless, &f->ask, &how);
    lb_load_drop(&f->load, f->row, index);

    return index;
}


static void
requests_without_a_key_go_round(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f = fixture(5, 1);

    (void) state;

    for (i = 0; i < 50; i++) {
        assert_int_equal(keyless(f), i % 5);
    }

    lb_fixture_stop(f);
}


static void
requests_without_a_key_go_by_weight(void **state)
{
    uint32_t       i, k, n, index, last, run, longest;
    uint32_t       count[3];
    lb_rules_t     rules = { .cells = true };
    lb_fixture_t  *f;

    static const uint32_t  weights[][3] = {
        { 5, 1, 1 }, { 10, 20, 10 }, { 7, 11, 13 }, { 1, 1, 1000 },
        { 4000000000, 2000000000, 2000000000 }
    };

    (void) state;

    for (k = 0; k < sizeof(weights) / sizeof(weights[0]); k++) {
        f = calloc(1, sizeof(lb_fixture_t));

        for (i = 0; i < 3; i++) {
            lb_fixture_line(f, weights[k][i]);
        }

        lb_fixture_start(f);
        lb_roster_rule(f->roster, &rules);
        lb_fixture_build(f->roster);

        memset(count, 0, sizeof(count));
        n = (k == 0) ? 7 : (k == 1) ? 4 : (k == 2) ? 31 : (k == 3) ? 1002 : 4;
        last = LB_NONE;
        run = 0;
        longest = 0;

        for (i = 0; i < 10 * n; i++) {
            index = keyless(f);
            count[index]++;
            run = (index == last) ? run + 1 : 1;
            longest = (run > longest) ? run : longest;
            last = index;
        }

        for (i = 0; i < 3; i++) {
            assert_int_equal(count[i], 10 * ((uint64_t) n * weights[k][i]
                                             / ((uint64_t) weights[k][0]
                                                + weights[k][1]
                                                + weights[k][2])));
        }

        if (k < 3) {
            assert_in_range(longest, 1, 4);
        }

        lb_fixture_stop(f);
    }
}


static void
requests_without_a_key_pass_over_who_is_out(void **state)
{
    uint32_t       i, index, seen;
    lb_rules_t     rules = { .cells = false };
    lb_fixture_t  *f = fixture(4, 1);

    (void) state;

    lb_roster_server(f->roster, 1)->max_conns = 1;
    assert_true(lb_load_take(&f->load, f->row, 1, 1));
    atomic_fetch_or(&lb_roster_server(f->roster, 2)->status, LB_UNHEALTHY);

    for (seen = 0, i = 0; i < 40; i++) {
        index = keyless(f);
        assert_true(index != LB_NONE);
        seen |= 1u << index;
    }

    assert_int_equal(seen, 0x9);

    /* the order is not one of cells any more, or the other way round */

    lb_roster_rule(f->roster, &rules);
    lb_fixture_build(f->roster);

    for (seen = 0, i = 0; i < 40; i++) {
        seen |= 1u << keyless(f);
    }

    assert_int_equal(seen, 0x9);

    lb_fixture_stop(f);
}


static void
a_bound_keeps_a_hot_key_from_one_server(void **state)
{
    uint32_t       i, k, most, bound, first[2];
    lb_how_t       how;
    lb_rules_t     rules = { .cells = true };
    lb_fixture_t  *f;

    (void) state;

    f = calloc(1, sizeof(lb_fixture_t));

    for (i = 0; i < 10; i++) {
        lb_fixture_line(f, 1);
    }

    lb_fixture_start(f);
    f->random = 42;
    lb_roster_rule(f->roster, &rules);
    lb_fixture_build(f->roster);

    f->ask.key = lb_cells_key("hot", 3);

    for (bound = 0; bound <= 200; bound += 50) {

        if (bound == 50) {
            continue;
        }

        f->ask.bound = bound;

        for (k = 0; k < 100; k++) {
            i = lb_pick(f->roster, bound ? lb_hash_bound : lb_hash,
                        &f->ask, &how);
            assert_true(i < 10);
            atomic_fetch_add(&f->roster->in_flight, 1);

            if (k < 2) {
                first[k] = i;
            }
        }

        most = 0;

        for (i = 0; i < 10; i++) {
            k = lb_load_active(&f->load, i);
            most = (k > most) ? k : most;

            while (k-- > 0) {
                lb_load_drop(&f->load, f->row, i);
            }
        }

        if (bound == 0) {
            assert_int_equal(most, 100);

        } else {
            assert_true(most <= (bound * 10 + 99) / 100 + 1);

            /* the second one of a key is always the same */

            assert_int_not_equal(first[0], first[1]);
            assert_int_equal(lb_pick(f->roster, lb_hash_bound, &f->ask,
                                     &how),
                             first[0]);
            lb_load_drop(&f->load, f->row, first[0]);
        }

        lb_roster_recount(f->roster);
        assert_int_equal(f->roster->in_flight, 0);
    }

    lb_fixture_stop(f);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_bound_keeps_a_hot_key_from_one_server),
        cmocka_unit_test(one_of_a_hundred_that_leaves_moves_its_own_keys_only),
        cmocka_unit_test(one_that_comes_takes_its_share_from_all_others),
        cmocka_unit_test(shares_follow_weights),
        cmocka_unit_test(
                a_weight_that_changes_moves_keys_from_or_to_that_server_only),
        cmocka_unit_test(keys_do_not_depend_on_the_order_of_lines_or_slots),
        cmocka_unit_test(
             a_full_server_sends_its_keys_to_many_others_and_always_the_same),
        cmocka_unit_test(an_address_listed_twice_gets_two_shares),
        cmocka_unit_test(keys_of_a_fixed_set_of_servers_stay_what_they_are),
        cmocka_unit_test(requests_without_a_key_go_round),
        cmocka_unit_test(requests_without_a_key_go_by_weight),
        cmocka_unit_test(requests_without_a_key_pass_over_who_is_out)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
