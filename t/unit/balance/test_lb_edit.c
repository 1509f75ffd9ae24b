
/*
 * Servers that are added, changed and removed at runtime.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>

#include "src/core/balance/lb_edit.h"


static lb_fixture_t *
fixture(void)
{
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    lb_fixture_line(f, 1);
    lb_fixture_line(f, 2);
    lb_fixture_start(f);

    return f;
}


static lb_line_t
line_of(const char *name)
{
    return (lb_line_t) {
        .host = name, .host_length = (uint32_t) strlen(name),
        .name = name, .name_length = (uint32_t) strlen(name),
        .address = name, .address_length = (uint32_t) strlen(name),
        .weight = 4, .max_fails = 1, .fail_timeout = 10000
    };
}


static void
a_drain_with_an_end_is_over_when_idle_or_then(void **state)
{
    uint32_t       from;
    lb_entry_t     change;
    lb_fixture_t  *f = fixture();

    (void) state;

    from = 0;
    assert_int_equal(lb_edit_drained(f->roster, 1000, &from), LB_NONE);

    memset(&change, 0, sizeof(lb_entry_t));
    change.members = LB_ENTRY_STATE | LB_ENTRY_DRAIN_UNTIL;
    change.state = LB_ENTRY_DRAIN;
    change.drain_until = 1005;

    assert_true(lb_load_take(&f->load, f->row, 1, 0));
    lb_edit_change(f->roster, 1, &change);

    assert_false(lb_edit_is_drained(f->roster, 1, 1004));
    assert_true(lb_edit_is_drained(f->roster, 1, 1005));
    assert_false(lb_edit_is_drained(f->roster, 0, 1005));

    lb_load_drop(&f->load, f->row, 1);
    assert_true(lb_edit_is_drained(f->roster, 1, 1000));

    from = 0;
    assert_int_equal(lb_edit_drained(f->roster, 1000, &from), 1);
    assert_int_equal(lb_edit_drained(f->roster, 1000, &from), LB_NONE);

    /* a reload leaves it alone, a change of the state takes it back */

    (void) lb_sync_lines(f->roster, f->lines, f->nlines, NULL, NULL);
    assert_true(lb_edit_is_drained(f->roster, 1, 1000));

    change.members = LB_ENTRY_STATE;
    lb_edit_change(f->roster, 1, &change);
    assert_false(lb_edit_is_drained(f->roster, 1, 2000));

    lb_fixture_stop(f);
}


static void
an_added_server_is_picked_and_stays_at_a_reload(void **state)
{
    uint32_t       index;
    lb_line_t      line = line_of("new");
    lb_fixture_t  *f = fixture();

    (void) state;

    index = lb_edit_add(f->roster, &line);
    assert_int_equal(index, 2);
    assert_int_equal(lb_roster_identity(f->roster, index)->id, 3);
    assert_int_equal(lb_edit_find(f->roster, 3), index);
    assert_int_equal(lb_edit_find_address(f->roster, "new", 3), index);

    lb_fixture_build(f->roster);
    assert_int_equal(lb_roster_count(f->roster).usable, 3);
    assert_int_equal(lb_fixture_request(f), index);

    assert_true(lb_sync_lines(f->roster, f->lines, 2, NULL, NULL));
    assert_int_equal(lb_roster_status(f->roster, index), LB_USED);

    lb_fixture_stop(f);
}


static void
ids_are_never_used_twice(void **state)
{
    int            i;
    uint32_t       index;
    uint64_t       last = 2;
    lb_line_t      line = line_of("new");
    lb_fixture_t  *f = fixture();

    (void) state;

    for (i = 0; i < 1000; i++) {
        index = lb_edit_add(f->roster, &line);
        assert_int_equal(index, 2);
        assert_true(lb_roster_identity(f->roster, index)->id > last);

        last = lb_roster_identity(f->roster, index)->id;

        lb_edit_remove(f->roster, index);
        lb_roster_sweep(f->roster, NULL, NULL);
        assert_int_equal(lb_edit_find(f->roster, last), LB_NONE);
    }

    lb_fixture_stop(f);
}


static void
a_deleted_server_stays_away_as_long_as_its_line_is_there(void **state)
{
    lb_line_t      back;
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_edit_remove(f->roster, 0);
    lb_roster_sweep(f->roster, NULL, NULL);
    lb_fixture_build(f->roster);
    assert_int_equal(lb_roster_count(f->roster).total, 1);

    assert_true(lb_sync_lines(f->roster, f->lines, 2, NULL, NULL));
    assert_int_equal(lb_roster_count(f->roster).total, 1);

    /* without its line, and with it again */

    assert_true(lb_sync_lines(f->roster, f->lines + 1, 1, NULL, NULL));
    assert_int_equal(lb_roster_count(f->roster).total, 1);
    assert_true(lb_sync_lines(f->roster, f->lines, 2, NULL, NULL));
    assert_int_equal(lb_roster_count(f->roster).total, 2);

    /* added by hand it stands for the line: a reload adds no second one */

    lb_edit_remove(f->roster, lb_edit_find_address(f->roster, "s1", 2));
    lb_roster_sweep(f->roster, NULL, NULL);

    back = f->lines[0];
    back.weight = 9;
    assert_int_not_equal(lb_edit_add(f->roster, &back), LB_NONE);

    assert_true(lb_sync_lines(f->roster, f->lines, 2, NULL, NULL));
    assert_int_equal(lb_roster_count(f->roster).total, 2);
    assert_int_equal(lb_roster_server(f->roster,
                                      lb_edit_find_address(f->roster, "s1",
                                                           2))->weight, 9);

    lb_fixture_stop(f);
}


static void
a_server_with_requests_keeps_its_slot_until_they_are_done(void **state)
{
    uint32_t       index, other;
    lb_line_t      line = line_of("new");
    lb_fixture_t  *f = fixture();

    (void) state;

    index = lb_fixture_try(f, NULL);
    lb_edit_remove(f->roster, index);
    lb_roster_sweep(f->roster, NULL, NULL);
    assert_true(lb_roster_status(f->roster, index) & LB_REMOVED);

    other = lb_edit_add(f->roster, &line);
    assert_int_not_equal(other, index);

    lb_load_drop(&f->load, f->row, index);
    lb_roster_sweep(f->roster, NULL, NULL);
    assert_false(lb_roster_status(f->roster, index) & LB_USED);

    lb_fixture_stop(f);
}


static void
a_full_roster_takes_no_more(void **state)
{
    char           name[16];
    uint32_t       i;
    lb_line_t      line;
    lb_fixture_t  *f = fixture();

    (void) state;

    for (i = 2; i < LB_FIXTURE_LINES; i++) {
        (void) snprintf(name, sizeof(name), "n%u", i);
        line = line_of(name);
        assert_true(lb_edit_has_room(f->roster, &line));
        assert_int_equal(lb_edit_add(f->roster, &line), i);
    }

    line = line_of("more");
    assert_false(lb_edit_has_room(f->roster, &line));
    assert_int_equal(lb_edit_add(f->roster, &line), LB_NONE);

    /* a deleted line's slot is kept for its own address */

    lb_edit_remove(f->roster, 0);
    lb_roster_sweep(f->roster, NULL, NULL);
    assert_false(lb_edit_has_room(f->roster, &line));
    assert_true(lb_edit_has_room(f->roster, &f->lines[0]));
    assert_int_equal(lb_edit_add(f->roster, &f->lines[0]), 0);

    lb_fixture_stop(f);
}


static void
changes_set_what_they_name_and_nothing_else(void **state)
{
    lb_entry_t     change, entry;
    lb_fixture_t  *f = fixture();

    (void) state;

    memset(&change, 0, sizeof(change));
    change.members = LB_ENTRY_WEIGHT | LB_ENTRY_STATE;
    change.weight = 7;
    change.state = LB_ENTRY_DRAIN;

    lb_edit_change(f->roster, 1, &change);
    lb_edit_entry(f->roster, 1, &entry);

    assert_int_equal(entry.id, 2);
    assert_int_equal(entry.weight, 7);
    assert_int_equal(entry.max_fails, 1);
    assert_int_equal(entry.fail_timeout, 10000);
    assert_int_equal(entry.state, LB_ENTRY_DRAIN);
    assert_false(entry.members & LB_ENTRY_NAME);
    assert_int_equal(lb_roster_status(f->roster, 1), LB_USED | LB_DRAINING);

    change.members = LB_ENTRY_STATE | LB_ENTRY_BACKUP;
    change.state = LB_ENTRY_DISABLED;
    change.backup = true;

    lb_edit_change(f->roster, 1, &change);
    assert_int_equal(lb_roster_status(f->roster, 1),
                     LB_USED | LB_DISABLED | LB_BACKUP);
    assert_int_equal(lb_roster_server(f->roster, 1)->weight, 7);

    change.state = LB_ENTRY_UP;
    change.backup = false;

    lb_edit_change(f->roster, 1, &change);
    assert_int_equal(lb_roster_status(f->roster, 1), LB_USED);

    lb_fixture_stop(f);
}


static void
a_server_that_no_longer_fails_by_its_settings_is_back(void **state)
{
    lb_entry_t     change;
    lb_fixture_t  *f = fixture();

    (void) state;

    lb_fixture_fail(f, 0);
    assert_true(lb_roster_status(f->roster, 0) & LB_FAILED);

    memset(&change, 0, sizeof(change));
    change.members = LB_ENTRY_MAX_FAILS;

    lb_edit_change(f->roster, 0, &change);
    assert_false(lb_roster_status(f->roster, 0) & LB_FAILED);

    lb_fixture_stop(f);
}


static void
a_new_roster_has_the_servers_of_the_old_one(void **state)
{
    lb_line_t      line = line_of("new");
    lb_roster_t   *larger;
    lb_fixture_t  *f = fixture();

    (void) state;

    (void) lb_edit_add(f->roster, &line);
    lb_edit_remove(f->roster, 0);
    lb_roster_sweep(f->roster, NULL, NULL);

    larger = lb_fixture_roster(200, 4);

    assert_true(lb_inherit_servers(larger, f->roster));
    assert_true(lb_sync_lines(larger, f->lines, 2, NULL, NULL));

    assert_int_equal(lb_roster_count(larger).total, 2);
    assert_int_not_equal(lb_edit_find(larger, 2), LB_NONE);
    assert_int_not_equal(lb_edit_find(larger, 3), LB_NONE);
    assert_int_equal(lb_edit_find(larger, 1), LB_NONE);

    assert_int_not_equal(lb_edit_add(larger, &f->lines[0]), LB_NONE);
    assert_int_not_equal(lb_edit_find(larger, 4), LB_NONE);

    free(larger);
    lb_fixture_stop(f);
}


/* with requests on it, so that its slot does not become free */

static void
a_server_that_comes_back_gets_its_busy_slot(void **state)
{
    char            address[LB_ADDRESS_MAX];
    uint32_t        i, index;
    uint64_t        id;
    lb_line_t       line;
    lb_fixture_t   *f;
    lb_identity_t  *identity;

    (void) state;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    lb_fixture_line(f, 1);
    lb_fixture_line(f, 1);
    lb_fixture_start(f);

    /* one of a line, and one of runtime */

    line = *lb_fixture_line(f, 3);

    for (i = 0; i < 300; i++) {
        index = lb_edit_add(f->roster, &line);
        assert_int_equal(index, 2);

        identity = lb_roster_identity(f->roster, index);
        id = identity->id;
        memcpy(address, identity->address, sizeof(address));

        assert_true(lb_load_take(&f->load, f->row, index, 0));
        lb_edit_remove(f->roster, index);
        lb_roster_sweep(f->roster, NULL, NULL);
        assert_true(lb_edit_has_room(f->roster, &line));

        assert_memory_equal(address, identity->address, sizeof(address));
        assert_int_equal(identity->id, id);
    }

    assert_int_equal(f->roster->used, 3);

    assert_true(lb_load_take(&f->load, f->row, 0, 0));

    for (i = 0; i < 300; i++) {
        lb_edit_remove(f->roster, 0);
        lb_roster_sweep(f->roster, NULL, NULL);

        assert_int_equal(lb_edit_add(f->roster, &f->lines[0]), 0);
        assert_true(lb_roster_identity(f->roster, 0)->from_line);
    }

    /* by a reload as well */

    lb_edit_remove(f->roster, 1);
    assert_true(lb_load_take(&f->load, f->row, 1, 0));
    assert_true(lb_sync_lines(f->roster, f->lines, 1, NULL, NULL));
    assert_true(lb_sync_lines(f->roster, f->lines, 2, NULL, NULL));
    assert_int_equal(lb_roster_status(f->roster, 1), LB_USED);
    assert_int_equal(f->roster->used, 3);

    lb_fixture_stop(f);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_drain_with_an_end_is_over_when_idle_or_then),
        cmocka_unit_test(an_added_server_is_picked_and_stays_at_a_reload),
        cmocka_unit_test(ids_are_never_used_twice),
        cmocka_unit_test(
            a_deleted_server_stays_away_as_long_as_its_line_is_there),
        cmocka_unit_test(
            a_server_with_requests_keeps_its_slot_until_they_are_done),
        cmocka_unit_test(a_full_roster_takes_no_more),
        cmocka_unit_test(changes_set_what_they_name_and_nothing_else),
        cmocka_unit_test(
            a_server_that_no_longer_fails_by_its_settings_is_back),
        cmocka_unit_test(a_new_roster_has_the_servers_of_the_old_one),
        cmocka_unit_test(a_server_that_comes_back_gets_its_busy_slot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
