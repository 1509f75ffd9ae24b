
/*
 * Sticky clients: servers are found by their ids, and sessions are learned.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>

#include "src/core/balance/lb_edit.h"
#include "src/core/balance/lb_learn.h"
#include "src/core/balance/lb_sid.h"


static const lb_rules_t  sticky = { .sticky = true };


static uint64_t
sid_of(uint32_t k)
{
    char  sid[16];
    int   n;

    n = snprintf(sid, sizeof(sid), "id of %u", k);

    return lb_sid_hash(sid, (size_t) n);
}


static lb_fixture_t *
fixture(uint32_t n)
{
    uint32_t       k;
    lb_line_t     *line;
    lb_fixture_t  *f;
    static char    sids[LB_FIXTURE_LINES][16];

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    for (k = 0; k < n; k++) {
        line = lb_fixture_line(f, 1);
        line->sid = sids[k];
        line->sid_length = (uint32_t) snprintf(sids[k], sizeof(sids[k]),
                                               "id of %u", k);
    }

    lb_fixture_start(f);

    f->random = 42;

    lb_roster_rule(f->roster, &sticky);
    lb_fixture_build(f->roster);

    return f;
}


static uint32_t
pick_either(lb_fixture_t *f, uint64_t sid, bool spare)
{
    uint32_t  index;

    index = lb_pick_sticky(f->roster, &f->ask, sid, spare);

    if (index != LB_NONE) {
        lb_load_drop(&f->load, f->row, index);
    }

    return index;
}


static uint32_t
pick(lb_fixture_t *f, uint64_t sid)
{
    return pick_either(f, sid, false);
}


static uint32_t
spare(lb_fixture_t *f, uint64_t sid)
{
    return pick_either(f, sid, true);
}


static uint32_t
find(lb_roster_t *roster, uint64_t sid)
{
    uint32_t  place = 0;

    return lb_sid_find(roster, sid, &place);
}


static void
each_server_is_found_by_its_id(void **state)
{
    uint32_t       k;
    lb_fixture_t  *f = fixture(LB_FIXTURE_LINES);

    (void) state;

    for (k = 0; k < LB_FIXTURE_LINES; k++) {
        assert_int_equal(find(f->roster, sid_of(k)), k);
        assert_int_equal(pick(f, sid_of(k)), k);
    }

    for (k = LB_FIXTURE_LINES; k < 1000; k++) {
        assert_int_equal(find(f->roster, sid_of(k)), LB_NONE);
    }

    lb_fixture_stop(f);
}


static void
who_drains_keeps_its_clients_and_who_is_out_does_not(void **state)
{
    uint32_t       i;
    lb_server_t   *server;
    lb_fixture_t  *f = fixture(3);
    static const uint32_t  out[] = {
        LB_DISABLED, LB_FAILED, LB_UNHEALTHY, LB_EJECTED, LB_REMOVED
    };

    (void) state;

    server = lb_roster_server(f->roster, 1);

    server->status = LB_USED | LB_DRAINING;
    lb_fixture_build(f->roster);
    assert_int_equal(pick(f, sid_of(1)), 1);

    for (i = 0; i < sizeof(out) / sizeof(out[0]); i++) {

        /* before and after the build that leaves it out */

        server->status = LB_USED | LB_DRAINING | out[i];
        assert_int_equal(pick(f, sid_of(1)), LB_NONE);

        lb_fixture_build(f->roster);
        assert_int_equal(pick(f, sid_of(1)), LB_NONE);
        assert_int_equal(pick(f, sid_of(2)), 2);
    }

    lb_fixture_stop(f);
}


static void
who_is_full_or_was_tried_is_not_picked_again(void **state)
{
    lb_fixture_t  *f = fixture(2);

    (void) state;

    f->tried[f->ask.tried.number++] = 1;
    assert_int_equal(pick(f, sid_of(1)), LB_NONE);
    f->ask.tried.number = 0;

    lb_roster_server(f->roster, 1)->max_conns = 1;
    assert_true(lb_load_take(&f->load, f->row, 1, 0));
    assert_int_equal(pick(f, sid_of(1)), LB_NONE);

    lb_load_drop(&f->load, f->row, 1);
    assert_int_equal(pick(f, sid_of(1)), 1);

    lb_fixture_stop(f);
}


/* servers 1 and 3 have the same id, and 2 and 3 are backups */

static void
backups_keep_their_clients_unless_they_are_spare(void **state)
{
    lb_fixture_t  *f = fixture(4);

    (void) state;

    atomic_store(&lb_roster_server(f->roster, 3)->sid, sid_of(1));
    lb_roster_server(f->roster, 2)->status |= LB_BACKUP;
    lb_roster_server(f->roster, 3)->status |= LB_BACKUP;
    lb_fixture_build(f->roster);

    assert_int_equal(pick(f, sid_of(1)), 1);
    assert_int_equal(pick(f, sid_of(2)), 2);
    assert_int_equal(spare(f, sid_of(1)), 1);
    assert_int_equal(spare(f, sid_of(2)), LB_NONE);

    lb_roster_server(f->roster, 1)->status |= LB_FAILED;
    lb_fixture_build(f->roster);

    assert_int_equal(pick(f, sid_of(1)), 3);
    assert_int_equal(spare(f, sid_of(1)), LB_NONE);

    lb_roster_server(f->roster, 0)->status |= LB_FAILED;
    lb_fixture_build(f->roster);

    assert_int_equal(spare(f, sid_of(1)), 3);
    assert_int_equal(spare(f, sid_of(2)), 2);

    lb_fixture_stop(f);
}


static void
ids_stay_over_edits_and_a_new_roster(void **state)
{
    uint32_t       k;
    lb_roster_t   *old;
    lb_fixture_t  *f = fixture(10);

    (void) state;

    lb_edit_remove(f->roster, 4);
    lb_roster_sweep(f->roster, NULL, NULL);
    lb_fixture_build(f->roster);

    for (k = 0; k < 10; k++) {
        assert_int_equal(pick(f, sid_of(k)), k == 4 ? LB_NONE : k);
    }

    old = f->roster;
    f->roster = lb_fixture_roster(200, 4);
    assert_true(lb_inherit_servers(f->roster, old));
    free(old);

    f->load = lb_roster_load(f->roster);
    f->row = lb_load_claim(&f->load, 1, 0);
    f->ask.row = f->row;

    lb_roster_rule(f->roster, &sticky);
    lb_fixture_build(f->roster);

    for (k = 0; k < 10; k++) {
        assert_int_equal(pick(f, sid_of(k)) == LB_NONE, k == 4);
    }

    lb_fixture_stop(f);
}


static lb_learn_t *
table(size_t size)
{
    lb_learn_t  *learn;

    learn = calloc(1, size);
    assert_non_null(learn);

    lb_learn_init(learn, size);

    return learn;
}


static uint64_t
key_of(uint32_t k)
{
    return lb_learn_key(&k, sizeof(k));
}


static void
sessions_are_kept_and_forgotten_after_their_timeout(void **state)
{
    uint32_t     k;
    lb_learn_t  *learn = table(1024 * 1024);

    (void) state;

    for (k = 0; k < 10000; k++) {
        lb_learn_set(learn, key_of(k), k + 1, 1000);
    }

    for (k = 0; k < 10000; k++) {
        assert_int_equal(lb_learn_find(learn, key_of(k), 1500, 600), k + 1);
    }

    assert_int_equal(lb_learn_find(learn, key_of(10001), 1500, 600), 0);

    /* each use begins the timeout anew */

    assert_int_equal(lb_learn_find(learn, key_of(7), 2100, 600), 8);
    assert_int_equal(lb_learn_find(learn, key_of(7), 2700, 600), 8);
    assert_int_equal(lb_learn_find(learn, key_of(8), 2700, 600), 0);

    lb_learn_set(learn, key_of(7), 99, 2700);
    assert_int_equal(lb_learn_find(learn, key_of(7), 2700, 600), 99);

    free(learn);
}


static void
a_full_table_forgets_who_was_away_for_longest(void **state)
{
    uint32_t     k;
    lb_learn_t  *learn = table(sizeof(lb_learn_t)
                               + LB_LEARN_GROUP * sizeof(lb_session_t));

    (void) state;

    assert_int_equal(learn->groups, 1);

    for (k = 0; k < LB_LEARN_GROUP; k++) {
        lb_learn_set(learn, key_of(k), k + 1, 1000 + k);
    }

    assert_int_equal(lb_learn_find(learn, key_of(0), 5000, 10000), 1);

    lb_learn_set(learn, key_of(100), 101, 5000);

    assert_int_equal(lb_learn_find(learn, key_of(100), 5000, 10000), 101);
    assert_int_equal(lb_learn_find(learn, key_of(0), 5000, 10000), 1);
    assert_int_equal(lb_learn_find(learn, key_of(1), 5000, 10000), 0);

    free(learn);
}


static void
a_table_of_another_size_takes_the_sessions_used_last(void **state)
{
    uint32_t     k, left;
    lb_learn_t  *old = table(64 * 1024);
    lb_learn_t  *large = table(1024 * 1024);
    lb_learn_t  *small = table(8 * 1024);

    (void) state;

    for (k = 0; k < 1000; k++) {
        lb_learn_set(old, key_of(k), k + 1, 1000 + k);
    }

    lb_learn_copy(large, old);
    lb_learn_copy(small, old);

    for (k = 0; k < 1000; k++) {
        assert_int_equal(lb_learn_find(large, key_of(k), 1000 + k, 0), k + 1);
    }

    for (k = 0, left = 0; k < 1000; k++) {
        left += (lb_learn_find(small, key_of(k), 2000, 1000) == k + 1);

        if (k == 499) {
            assert_true(left < 20);
        }
    }

    assert_int_equal(left, small->groups * LB_LEARN_GROUP);

    free(old);
    free(large);
    free(small);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(each_server_is_found_by_its_id),
        cmocka_unit_test(who_drains_keeps_its_clients_and_who_is_out_does_not),
        cmocka_unit_test(who_is_full_or_was_tried_is_not_picked_again),
        cmocka_unit_test(backups_keep_their_clients_unless_they_are_spare),
        cmocka_unit_test(ids_stay_over_edits_and_a_new_roster),
        cmocka_unit_test(sessions_are_kept_and_forgotten_after_their_timeout),
        cmocka_unit_test(a_full_table_forgets_who_was_away_for_longest),
        cmocka_unit_test(a_table_of_another_size_takes_the_sessions_used_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
