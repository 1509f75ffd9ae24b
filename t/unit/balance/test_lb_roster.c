
/*
 * The roster: its size, its views, and what a new configuration makes of it.
 */


#include "t/unit/balance/lb_fixture.h"

#include "src/core/balance/lb_health.h"

#include <cmocka.h>


static void
order_is(lb_fixture_t *f, const char *expected)
{
    char      seen[256];
    uint32_t  i, n;

    n = (uint32_t) strlen(expected);

    for (i = 0; i < n; i++) {
        seen[i] = (char) ('a' + lb_fixture_request(f));
    }

    seen[n] = '\0';

    assert_string_equal(seen, expected);
}


static lb_fixture_t *
fixture(void)
{
    return calloc(1, sizeof(lb_fixture_t));
}


static void
the_largest_roster_that_fits_does_fit(void **state)
{
    uint32_t  n, order_max;
    uint64_t  size;

    (void) state;

    for (size = 65536; size < 64 * 1024 * 1024; size = size * 3 / 2) {
        n = lb_roster_fit(size, 64, &order_max);

        assert_true(n > 0);
        assert_true(order_max >= n);
        assert_true(lb_roster_size(n, 64, order_max) <= size);
        assert_true(n == LB_SERVERS_MAX || n == order_max
                    || lb_roster_size(n + 1, 64, order_max) > size);
    }

    assert_int_equal(lb_roster_fit(1000, 64, &order_max), 0);
}


static void
order_is_nginx_smooth_weighted(void **state)
{
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_line(f, 5);
    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_start(f);

    order_is(f, "aabacaaaabacaa");

    lb_fixture_stop(f);
}


static void
equal_weights_go_in_turns(void **state)
{
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_start(f);

    order_is(f, "abcabcabc");

    lb_fixture_stop(f);
}


static void
backups_and_disabled_servers_are_not_in_the_order(void **state)
{
    lb_count_t     count;
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1)->status = LB_DISABLED;
    lb_fixture_line(f, 2);
    lb_fixture_line(f, 9)->status = LB_BACKUP;
    lb_fixture_start(f);

    order_is(f, "cacca");

    count = lb_roster_count(f->roster);
    assert_int_equal(count.usable, 3);
    assert_int_equal(count.total, 4);
    assert_int_equal(f->roster->pickable, 3);

    lb_fixture_stop(f);
}


static void
every_change_makes_the_view_stale_until_it_is_built(void **state)
{
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_start(f);
    assert_false(lb_roster_stale(f->roster));

    atomic_fetch_or(&lb_roster_server(f->roster, 0)->status, LB_UNHEALTHY);
    assert_true(lb_roster_stale(f->roster));
    order_is(f, "bbb");
    lb_fixture_build(f->roster);
    assert_false(lb_roster_stale(f->roster));
    order_is(f, "bbb");

    lb_roster_server(f->roster, 1)->weight = 3;
    assert_true(lb_roster_stale(f->roster));

    lb_fixture_stop(f);
}


typedef struct {
    uint32_t  added;
    uint32_t  removed;
} notes_t;


static void
note(void *data, const lb_identity_t *identity, bool added)
{
    notes_t  *notes = data;

    assert_int_equal(identity->name[0], 's');

    if (added) {
        notes->added++;

    } else {
        notes->removed++;
    }
}


static void
the_same_lines_change_nothing(void **state)
{
    uint64_t       generation;
    notes_t        notes = { 0, 0 };
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_line(f, 2);
    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_start(f);
    order_is(f, "ab");

    generation = lb_roster_generation(f->roster);

    assert_true(lb_sync_lines(f->roster, f->lines, 3, note, &notes));
    assert_false(lb_roster_stale(f->roster));
    assert_int_equal(notes.added + notes.removed, 0);
    assert_int_equal(lb_roster_generation(f->roster), generation);
    order_is(f, "caab");

    lb_fixture_stop(f);
}


static void
servers_come_and_go_and_keep_their_slots(void **state)
{
    notes_t        notes = { 0, 0 };
    lb_line_t      lines[3];
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_start(f);

    lb_roster_server(f->roster, 2)->failures = 7;

    /* s3, a new one, s1: s2 is gone */

    lines[0] = f->lines[2];
    lines[1] = *lb_fixture_line(f, 1);
    lines[2] = f->lines[0];

    assert_true(lb_sync_lines(f->roster, lines, 3, note, &notes));
    assert_int_equal(notes.added, 1);
    assert_int_equal(notes.removed, 1);
    assert_true(lb_roster_stale(f->roster));
    lb_fixture_build(f->roster);

    /* the slot of s2 was idle and has the new server */

    assert_int_equal(lb_roster_server(f->roster, 1)->generation, 1);
    assert_memory_equal(lb_roster_identity(f->roster, 1)->name, "s4", 2);
    assert_int_equal(lb_roster_server(f->roster, 2)->failures, 7);
    order_is(f, "cbacba");

    lb_fixture_stop(f);
}


static void
a_removed_server_keeps_its_slot_while_it_is_busy(void **state)
{
    uint32_t       index;
    lb_line_t      line;
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_line(f, 1);
    lb_fixture_start(f);

    index = lb_fixture_try(f, NULL);
    assert_int_equal(index, 0);

    line = *lb_fixture_line(f, 1);
    assert_true(lb_sync_lines(f->roster, &line, 1, NULL, NULL));
    lb_fixture_build(f->roster);

    assert_memory_equal(lb_roster_identity(f->roster, 0)->name, "s1", 2);
    assert_int_equal(lb_roster_count(f->roster).leaving, 1);
    assert_int_equal(lb_fixture_request(f), 1);

    lb_load_drop(&f->load, f->row, index);
    lb_roster_sweep(f->roster, NULL, NULL);

    assert_int_equal(lb_roster_status(f->roster, 0), 0);
    assert_int_equal(lb_roster_server(f->roster, 0)->generation, 1);
    assert_int_equal(lb_roster_count(f->roster).leaving, 0);

    lb_fixture_stop(f);
}


static void
a_line_listed_twice_is_two_servers(void **state)
{
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_line(f, 1);
    f->lines[1] = f->lines[0];
    f->nlines = 2;
    lb_fixture_start(f);

    order_is(f, "abab");
    lb_roster_server(f->roster, 1)->failures = 3;

    assert_true(lb_sync_lines(f->roster, f->lines, 2, NULL, NULL));
    assert_int_equal(lb_roster_count(f->roster).total, 2);
    assert_int_equal(lb_roster_server(f->roster, 1)->failures, 3);

    assert_true(lb_sync_lines(f->roster, f->lines, 1, NULL, NULL));
    assert_int_equal(lb_roster_count(f->roster).total, 1);

    lb_fixture_stop(f);
}


static void
only_a_changed_line_changes_a_setting(void **state)
{
    lb_server_t   *server;
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_start(f);

    server = lb_roster_server(f->roster, 0);
    server->weight = 9;
    lb_fixture_fail(f, 0);
    atomic_fetch_or(&server->status, LB_DISABLED);

    f->lines[0].max_conns = 4;
    assert_true(lb_sync_lines(f->roster, f->lines, 2, NULL, NULL));
    assert_int_equal(server->weight, 9);
    assert_int_equal(server->max_conns, 4);
    assert_int_equal(server->status, LB_USED | LB_FAILED | LB_DISABLED);

    f->lines[0].weight = 2;
    f->lines[0].status = LB_BACKUP;
    f->lines[0].max_fails = 0;
    assert_true(lb_sync_lines(f->roster, f->lines, 2, NULL, NULL));
    assert_int_equal(server->weight, 2);
    assert_int_equal(server->status, LB_USED | LB_DISABLED | LB_BACKUP);

    lb_fixture_stop(f);
}


static void
a_full_roster_says_so_and_stays_in_order(void **state)
{
    uint32_t      i;
    lb_line_t     lines[3];
    lb_roster_t  *roster;
    lb_fixture_t *f = fixture();

    (void) state;

    for (i = 0; i < 3; i++) {
        lines[i] = *lb_fixture_line(f, 1);
    }

    roster = lb_fixture_roster(2, 1);

    assert_false(lb_sync_lines(roster, lines, 3, NULL, NULL));
    lb_fixture_build(roster);
    assert_int_equal(lb_roster_count(roster).total, 2);

    free(roster);
    free(f);
}


static void
a_new_roster_inherits_health_and_counters(void **state)
{
    notes_t        notes = { 0, 0 };
    lb_line_t      lines[3];
    lb_roster_t   *roster;
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_start(f);

    lb_fixture_fail(f, 1);
    lb_roster_server(f->roster, 2)->requests = 42;

    roster = lb_fixture_roster(64, 2);

    lines[0] = f->lines[1];
    lines[1] = f->lines[2];
    lines[2] = *lb_fixture_line(f, 1);

    assert_true(lb_inherit_servers(roster, f->roster));
    assert_true(lb_sync_lines(roster, lines, 3, note, &notes));

    assert_int_equal(notes.added, 1);
    assert_int_equal(notes.removed, 1);

    assert_int_equal(lb_roster_status(roster, 1), LB_USED | LB_FAILED);
    assert_int_equal(lb_roster_server(roster, 1)->failures, 1);
    assert_true(lb_roster_server(roster, 1)->retry_at
                == f->ask.now + 10000);
    assert_int_equal(lb_roster_status(roster, 2), LB_USED);
    assert_int_equal(lb_roster_server(roster, 2)->requests, 42);

    free(roster);
    lb_fixture_stop(f);
}


static uint32_t
picked(lb_fixture_t *f)
{
    lb_fixture_build(f->roster);

    return lb_fixture_request(f);
}


static void
old_servers_serve_until_a_new_one_has_passed(void **state)
{
    uint32_t       i;
    lb_server_t   *server;
    lb_fixture_t  *f = fixture();

    (void) state;

    for (i = 0; i < 4; i++) {
        lb_fixture_line(f, 1)->pending = (i >= 2);
    }

    f->nlines = 2;
    lb_fixture_start(f);

    (void) lb_passive_failed(f->roster, 0, 1000);

    /* lines 2 and 3 take the place of 0 and 1, of which one is usable */

    assert_true(lb_sync_lines(f->roster, f->lines + 2, 2, NULL, NULL));
    assert_int_equal(picked(f), 1);
    assert_true(lb_roster_status(f->roster, 1) & LB_REPLACED);

    /* the slot of the other one is used again */

    assert_int_equal(lb_roster_status(f->roster, 0), LB_USED | LB_UNHEALTHY);

    /* another reload changes nothing, one with the line makes it stay */

    assert_true(lb_sync_lines(f->roster, f->lines + 2, 2, NULL, NULL));
    assert_int_equal(picked(f), 1);

    assert_true(lb_sync_lines(f->roster, f->lines + 1, 3, NULL, NULL));
    assert_int_equal(picked(f), 1);
    assert_int_equal(lb_roster_status(f->roster, 1), LB_USED);

    assert_true(lb_sync_lines(f->roster, f->lines + 2, 2, NULL, NULL));
    assert_int_equal(picked(f), 1);

    /* a failure of the new one does not count, a pass does */

    server = lb_roster_server(f->roster, 0);
    (void) lb_health_enter(server, false, 1, 1, 2000);
    assert_int_equal(picked(f), 1);

    (void) lb_health_enter(server, true, 1, 1, 3000);
    assert_int_equal(picked(f), 0);
    assert_true(lb_roster_status(f->roster, 1) & LB_REMOVED);

    lb_roster_sweep(f->roster, NULL, NULL);
    assert_int_equal(lb_roster_status(f->roster, 1), 0);

    lb_fixture_stop(f);
}


static void
old_servers_go_at_once_if_somebody_serves(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f = fixture();

    (void) state;

    for (i = 0; i < 4; i++) {
        lb_fixture_line(f, 1)->pending = (i >= 2);
    }

    f->nlines = 2;
    lb_fixture_start(f);

    /* line 1 stays */

    assert_true(lb_sync_lines(f->roster, f->lines + 1, 3, NULL, NULL));
    assert_int_equal(picked(f), 1);
    assert_false(lb_roster_status(f->roster, 0) & LB_REPLACED);

    /* nobody to wait for */

    assert_true(lb_sync_lines(f->roster, f->lines + 2, 2, NULL, NULL));
    assert_int_equal(picked(f), 1);

    for (i = 0; i < 4; i++) {

        if (lb_roster_status(f->roster, i) & LB_UNHEALTHY) {
            lb_roster_server(f->roster, i)->health = 0;
        }
    }

    assert_int_equal(picked(f), LB_NONE);

    lb_fixture_stop(f);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(the_largest_roster_that_fits_does_fit),
        cmocka_unit_test(order_is_nginx_smooth_weighted),
        cmocka_unit_test(equal_weights_go_in_turns),
        cmocka_unit_test(backups_and_disabled_servers_are_not_in_the_order),
        cmocka_unit_test(every_change_makes_the_view_stale_until_it_is_built),
        cmocka_unit_test(the_same_lines_change_nothing),
        cmocka_unit_test(servers_come_and_go_and_keep_their_slots),
        cmocka_unit_test(a_removed_server_keeps_its_slot_while_it_is_busy),
        cmocka_unit_test(a_line_listed_twice_is_two_servers),
        cmocka_unit_test(only_a_changed_line_changes_a_setting),
        cmocka_unit_test(a_full_roster_says_so_and_stays_in_order),
        cmocka_unit_test(a_new_roster_inherits_health_and_counters),
        cmocka_unit_test(old_servers_serve_until_a_new_one_has_passed),
        cmocka_unit_test(old_servers_go_at_once_if_somebody_serves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
