
/*
 * Servers of a state file, and what becomes of them when lines change.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>

#include "src/core/balance/lb_adopt.h"
#include "src/core/balance/lb_edit.h"


static lb_line_t
line_of(const char *host, const char *address, uint32_t weight)
{
    return (lb_line_t) {
        .host = host, .host_length = (uint32_t) strlen(host),
        .name = address, .name_length = (uint32_t) strlen(address),
        .address = address, .address_length = (uint32_t) strlen(address),
        .weight = weight, .max_fails = 1, .fail_timeout = 10000
    };
}


static lb_roster_t *
kept(const lb_line_t *lines, uint32_t n)
{
    lb_roster_t  *roster;

    roster = lb_fixture_roster(8, 4);
    atomic_store(&roster->kept, 1);

    assert_true(lb_sync_lines(roster, lines, n, NULL, NULL));

    return roster;
}


static lb_server_t *
server_at(lb_roster_t *roster, const char *address)
{
    uint32_t  index;

    index = lb_edit_find_address(roster, address, strlen(address));

    return index == LB_NONE ? NULL : lb_roster_server(roster, index);
}


static void
set_weight(lb_roster_t *roster, const char *address, uint32_t weight)
{
    lb_entry_t  change = { .members = LB_ENTRY_WEIGHT, .weight = weight };

    lb_edit_change(roster,
                   lb_edit_find_address(roster, address, strlen(address)),
                   &change);
}


static void
take_away(lb_roster_t *roster, const char *address)
{
    lb_edit_remove(roster,
                   lb_edit_find_address(roster, address, strlen(address)));
    lb_roster_sweep(roster, NULL, NULL);
}


/* what is written of a roster, and read into a new one at a restart */

static lb_roster_t *
restart(lb_roster_t *old)
{
    uint32_t           i;
    lb_list_t          list;
    lb_entry_t         entry;
    lb_roster_t       *roster;
    lb_identity_t     *identity;
    static lb_line_t   servers[8], lines[8];

    memset(&list, 0, sizeof(list));

    for (i = 0; i < old->capacity; i++) {
        identity = lb_roster_identity(old, i);

        if (lb_edit_line(old, i, &entry)) {
            lines[list.nlines] = (lb_line_t) {
                .host = identity->host, .host_length = identity->host_length,
                .name = identity->name, .name_length = identity->name_length,
                .address = identity->address,
                .address_length = identity->address_length,
                .weight = entry.weight, .max_conns = entry.max_conns,
                .max_fails = entry.max_fails,
                .fail_timeout = entry.fail_timeout,
                .status = lb_edit_status(&entry)
            };
            list.nlines++;
        }

        if (lb_roster_status(old, i) & LB_USED) {
            lb_edit_entry(old, i, &entry);

            servers[list.nservers] = (lb_line_t) {
                .host = identity->host, .host_length = identity->host_length,
                .name = identity->name, .name_length = identity->name_length,
                .address = identity->address,
                .address_length = identity->address_length,
                .weight = entry.weight, .max_conns = entry.max_conns,
                .max_fails = entry.max_fails,
                .fail_timeout = entry.fail_timeout,
                .status = lb_edit_status(&entry), .id = entry.id
            };
            list.nservers++;
        }
    }

    list.servers = servers;
    list.lines = lines;

    roster = lb_fixture_roster(8, 4);
    atomic_store(&roster->kept, 1);

    assert_true(lb_adopt_list(roster, &list, NULL, NULL));

    free(old);

    return roster;
}


static lb_roster_t *
same(lb_roster_t *roster)
{
    return roster;
}


/* lines change at a reload, and over a restart */

static lb_roster_t *(*const  lives[])(lb_roster_t *roster) = { same, restart };


static void
what_was_not_changed_follows_its_line(void **state)
{
    int           i;
    lb_line_t     lines[3];
    lb_roster_t  *roster;

    (void) state;

    for (i = 0; i < 2; i++) {
        lines[0] = line_of("a", "a", 1);
        lines[1] = line_of("b", "b", 1);
        lines[2] = line_of("c", "c", 1);

        roster = kept(lines, 3);
        set_weight(roster, "b", 5);
        take_away(roster, "c");
        roster = lives[i](roster);

        lines[0].weight = 7;
        lines[1].weight = 7;
        lines[1].max_conns = 9;
        lines[2].weight = 7;

        assert_true(lb_sync_lines(roster, lines, 3, NULL, NULL));
        assert_int_equal(server_at(roster, "a")->weight, 7);
        assert_int_equal(server_at(roster, "b")->weight, 5);
        assert_int_equal(server_at(roster, "b")->max_conns, 9);
        assert_null(server_at(roster, "c"));

        /* lines that go, and that are new */

        lines[0] = line_of("d", "d", 1);

        assert_true(lb_sync_lines(roster, lines, 1, NULL, NULL));
        assert_null(server_at(roster, "a"));
        assert_non_null(server_at(roster, "b"));
        assert_non_null(server_at(roster, "d"));

        free(roster);
    }
}


static void
a_name_that_moves_keeps_what_was_changed(void **state)
{
    int           i;
    lb_line_t     lines[2];
    lb_roster_t  *roster;

    (void) state;

    for (i = 0; i < 2; i++) {
        lines[0] = line_of("name", "1", 1);
        lines[1] = line_of("gone", "2", 1);

        roster = kept(lines, 2);
        set_weight(roster, "1", 5);
        take_away(roster, "2");
        roster = lives[i](roster);

        lines[0] = line_of("name", "3", 1);
        lines[1] = line_of("gone", "4", 1);

        assert_true(lb_sync_lines(roster, lines, 2, NULL, NULL));
        assert_null(server_at(roster, "1"));
        assert_int_equal(server_at(roster, "3")->weight, 5);
        assert_null(server_at(roster, "2"));
        assert_null(server_at(roster, "4"));
        assert_int_equal(lb_roster_count(roster).total, 1);

        /* one more address is one more server */

        lines[1] = line_of("name", "5", 1);

        assert_true(lb_sync_lines(roster, lines, 2, NULL, NULL));
        assert_int_equal(server_at(roster, "3")->weight, 5);
        assert_int_equal(server_at(roster, "5")->weight, 1);

        free(roster);
    }
}


static void
a_busy_server_of_a_name_that_moves_finishes_its_requests(void **state)
{
    lb_line_t      line;
    uint32_t       index;
    lb_fixture_t  *f;

    (void) state;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);
    lb_fixture_line(f, 1);
    lb_fixture_start(f);

    index = lb_fixture_try(f, NULL);
    line = line_of("s1", "elsewhere", 1);

    assert_true(lb_sync_lines(f->roster, &line, 1, NULL, NULL));
    assert_true(lb_roster_status(f->roster, index) & LB_REMOVED);
    assert_non_null(server_at(f->roster, "elsewhere"));
    assert_null(server_at(f->roster, "s1"));

    lb_fixture_stop(f);
}


static void
a_list_takes_the_place_of_what_is_there(void **state)
{
    uint32_t      index;
    lb_list_t     list;
    lb_line_t     lines[2], servers[2], line;
    lb_roster_t  *roster;

    (void) state;

    lines[0] = line_of("a", "a", 1);
    lines[1] = line_of("b", "b", 1);
    roster = kept(lines, 2);

    line = line_of("x", "x", 1);
    assert_int_not_equal(lb_edit_add(roster, &line), LB_NONE);
    index = lb_edit_find_address(roster, "a", 1);

    servers[0] = line_of("a", "a", 4);
    servers[0].id = 1;
    servers[1] = line_of("y", "y", 1);
    servers[1].id = 9;

    list = (lb_list_t) {
        .servers = servers, .nservers = 2, .lines = lines, .nlines = 2
    };

    assert_true(lb_adopt_list(roster, &list, NULL, NULL));
    assert_int_equal(lb_edit_find_address(roster, "a", 1), index);
    assert_int_equal(server_at(roster, "a")->weight, 4);
    assert_null(server_at(roster, "b"));
    assert_null(server_at(roster, "x"));
    assert_int_equal(lb_edit_find(roster, 9),
                     lb_edit_find_address(roster, "y", 1));

    /* what was added before there was a file stays, if asked for */

    list.merge = true;
    assert_int_not_equal(lb_edit_add(roster, &line), LB_NONE);
    assert_true(lb_adopt_list(roster, &list, NULL, NULL));
    assert_non_null(server_at(roster, "x"));
    assert_null(server_at(roster, "b"));

    /* the weight is a change, and "b" was deleted */

    assert_true(lb_sync_lines(roster, lines, 2, NULL, NULL));
    assert_int_equal(server_at(roster, "a")->weight, 4);
    assert_null(server_at(roster, "b"));

    free(roster);
}


static void
room_is_needed_for_servers_and_deleted_lines(void **state)
{
    lb_list_t     list;
    lb_line_t     lines[3], servers[2];
    uint32_t      seen[8];
    lb_roster_t  *roster;

    (void) state;

    lines[0] = line_of("a", "a", 1);
    lines[1] = line_of("b", "b", 1);
    lines[2] = line_of("c", "c", 1);
    servers[0] = lines[0];
    servers[1] = line_of("x", "x", 1);

    list = (lb_list_t) {
        .servers = servers, .nservers = 2, .lines = lines, .nlines = 2
    };

    assert_int_equal(lb_adopt_need(&list, lines, 3), 4);

    roster = kept(lines, 2);
    take_away(roster, "b");
    assert_int_equal(lb_sync_need(roster, lines, 3, seen), 3);
    assert_int_equal(lb_sync_need(roster, &lines[2], 1, seen), 3);

    free(roster);
}


static void
the_largest_id_does_not_end_the_counting(void **state)
{
    uint32_t      index;
    lb_list_t     list;
    lb_line_t     line, server;
    lb_roster_t  *roster;

    (void) state;

    server = line_of("a", "a", 1);
    server.id = LB_ENTRY_ID_MAX;
    list = (lb_list_t) { .servers = &server, .nservers = 1 };

    roster = lb_fixture_roster(8, 4);
    assert_true(lb_adopt_list(roster, &list, NULL, NULL));

    line = line_of("b", "b", 1);
    index = lb_edit_add(roster, &line);
    assert_int_equal(lb_roster_identity(roster, index)->id, 1);
    assert_int_not_equal(lb_edit_find(roster, LB_ENTRY_ID_MAX), LB_NONE);

    free(roster);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(what_was_not_changed_follows_its_line),
        cmocka_unit_test(a_name_that_moves_keeps_what_was_changed),
        cmocka_unit_test(
            a_busy_server_of_a_name_that_moves_finishes_its_requests),
        cmocka_unit_test(a_list_takes_the_place_of_what_is_there),
        cmocka_unit_test(room_is_needed_for_servers_and_deleted_lines),
        cmocka_unit_test(the_largest_id_does_not_end_the_counting)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
