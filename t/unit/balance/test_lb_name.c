
/*
 * Servers that stand for a name: what an answer and a reload make of them.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>

#include "src/core/balance/lb_edit.h"
#include "src/core/balance/lb_name.h"


static lb_name_t
name_of(const char *host, bool service)
{
    return (lb_name_t) {
        .line = { .host = host, .host_length = (uint32_t) strlen(host),
                  .weight = 1, .max_fails = 1, .fail_timeout = 10000 },
        .service = service
    };
}


static lb_line_t
record(const lb_name_t *name, const char *address, uint32_t weight,
    bool backup)
{
    lb_line_t  line;

    lb_name_line(name, weight, backup, &line);

    line.name = address;
    line.name_length = (uint32_t) strlen(address);
    line.address = address;
    line.address_length = (uint32_t) strlen(address);

    return line;
}


/* as the module does it */

static void
enter(lb_roster_t *roster, const lb_answer_t *answer)
{
    uint32_t  i;

    lb_name_follow(roster, answer);

    for (i = 0; i < answer->n; i++) {

        if (lb_name_find(roster, &answer->lines[i]) == LB_NONE) {
            assert_int_not_equal(lb_edit_add(roster, &answer->lines[i]),
                                 LB_NONE);
        }
    }

    lb_roster_retire(roster);
    lb_roster_sweep(roster, NULL, NULL);

    assert_false(lb_name_differs(roster, answer));
}


static uint32_t
at(lb_roster_t *roster, const char *address)
{
    return lb_edit_find_address(roster, address, strlen(address));
}


static void
an_answer_makes_the_servers(void **state)
{
    lb_name_t     name = name_of("n", false);
    lb_line_t     one[2], two[2];
    lb_answer_t   answer = { .name = &name, .lines = one, .n = 2 };
    lb_roster_t  *roster;

    (void) state;

    roster = lb_fixture_roster(8, 4);

    one[0] = record(&name, "a", 0, false);
    one[1] = record(&name, "b", 0, false);
    two[0] = record(&name, "b", 0, false);
    two[1] = record(&name, "c", 0, false);

    assert_false(lb_name_is_known(roster, &name));
    assert_true(lb_name_differs(roster, &answer));
    enter(roster, &answer);
    assert_true(lb_name_is_known(roster, &name));
    assert_int_equal(lb_roster_count(roster).usable, 2);

    answer.lines = two;
    assert_true(lb_name_differs(roster, &answer));
    enter(roster, &answer);

    assert_int_equal(at(roster, "a"), LB_NONE);
    assert_int_not_equal(at(roster, "b"), LB_NONE);
    assert_int_not_equal(at(roster, "c"), LB_NONE);

    free(roster);
}


static void
of_a_partial_answer_nothing_goes(void **state)
{
    lb_name_t     name = name_of("n", true);
    lb_line_t     lines[2];
    lb_answer_t   answer = { .name = &name, .lines = lines, .n = 1 };
    lb_roster_t  *roster;

    (void) state;

    roster = lb_fixture_roster(8, 4);

    lines[0] = record(&name, "a", 3, false);
    lines[1] = record(&name, "b", 3, false);
    enter(roster, &answer);

    answer.lines = &lines[1];
    answer.partial = true;
    enter(roster, &answer);

    assert_int_not_equal(at(roster, "a"), LB_NONE);
    assert_int_not_equal(at(roster, "b"), LB_NONE);

    free(roster);
}


static void
records_have_weights_and_ranks(void **state)
{
    lb_name_t     name = name_of("n", true);
    lb_line_t     lines[2];
    lb_entry_t    change = { .members = LB_ENTRY_WEIGHT, .weight = 9 };
    lb_answer_t   answer = { .name = &name, .lines = lines, .n = 2 };
    lb_roster_t  *roster;

    (void) state;

    roster = lb_fixture_roster(8, 4);

    lines[0] = record(&name, "a", 5, false);
    lines[1] = record(&name, "b", 0, true);
    enter(roster, &answer);

    assert_int_equal(lb_roster_server(roster, at(roster, "a"))->weight, 5);
    assert_int_equal(lb_roster_server(roster, at(roster, "b"))->weight, 1);
    assert_true(lb_roster_status(roster, at(roster, "b")) & LB_BACKUP);

    /* what was changed at runtime stays until the record is another one */

    lb_edit_change(roster, at(roster, "a"), &change);
    assert_false(lb_name_differs(roster, &answer));
    enter(roster, &answer);
    assert_int_equal(lb_roster_server(roster, at(roster, "a"))->weight, 9);

    lines[0] = record(&name, "a", 6, false);
    assert_true(lb_name_differs(roster, &answer));
    enter(roster, &answer);
    assert_int_equal(lb_roster_server(roster, at(roster, "a"))->weight, 6);

    /* a weight of the name's own takes the place of the records' */

    name.line.weight = 4;
    lb_name_sync(roster, &name, 1);
    assert_int_equal(lb_roster_server(roster, at(roster, "a"))->weight, 4);
    assert_true(lb_roster_status(roster, at(roster, "b")) & LB_BACKUP);

    free(roster);
}


static void
who_has_to_pass_a_check_does_not_displace_who_serves(void **state)
{
    uint32_t      old;
    lb_name_t     name = name_of("n", false);
    lb_line_t     lines[2];
    lb_answer_t   answer = { .name = &name, .lines = &lines[0], .n = 1 };
    lb_roster_t  *roster;

    (void) state;

    roster = lb_fixture_roster(8, 4);

    lines[0] = record(&name, "a", 0, false);
    lines[1] = record(&name, "b", 0, false);
    lines[1].pending = true;
    enter(roster, &answer);
    old = at(roster, "a");

    answer.lines = &lines[1];
    enter(roster, &answer);
    assert_true(lb_roster_status(roster, old) & LB_REPLACED);
    assert_false(lb_roster_status(roster, old) & LB_REMOVED);

    /* it may come back meanwhile */

    answer.lines = lines;
    answer.n = 2;
    assert_true(lb_name_differs(roster, &answer));
    enter(roster, &answer);
    assert_false(lb_roster_status(roster, old) & LB_REPLACED);

    free(roster);
}


static void
a_reload_knows_names_and_lines_apart(void **state)
{
    lb_name_t     names[2] = { name_of("n", false), name_of("m", false) };
    lb_line_t     lines[2], line;
    lb_answer_t   answer = { .name = &names[0], .lines = lines, .n = 2 };
    lb_roster_t  *roster;

    (void) state;

    roster = lb_fixture_roster(8, 4);

    lines[0] = record(&names[0], "a", 0, false);
    lines[1] = record(&names[0], "b", 0, false);
    enter(roster, &answer);

    /* the name stays */

    lb_name_sync(roster, names, 2);
    assert_true(lb_sync_lines(roster, NULL, 0, NULL, NULL));
    assert_int_equal(lb_roster_count(roster).usable, 2);

    /* it is a server line now, with one of its addresses */

    line = lines[0];
    line.resolved = false;
    lb_name_sync(roster, &names[1], 1);
    assert_true(lb_sync_lines(roster, &line, 1, NULL, NULL));
    assert_int_equal(lb_roster_count(roster).usable, 1);
    assert_false(lb_roster_identity(roster, at(roster, "a"))->resolved);

    /* and a name again */

    lb_name_sync(roster, names, 2);
    assert_true(lb_sync_lines(roster, NULL, 0, NULL, NULL));
    assert_true(lb_roster_identity(roster, at(roster, "a"))->resolved);

    /* another name takes its place: it serves until that is resolved */

    names[1].line.host = "other.test:80";
    names[1].line.host_length = 13;
    lb_name_sync(roster, &names[1], 1);
    assert_true(lb_sync_lines(roster, NULL, 0, NULL, NULL));
    lb_roster_retire(roster);
    assert_int_equal(lb_roster_count(roster).usable, 1);

    lines[1] = record(&names[1], "c", 0, false);
    assert_int_not_equal(lb_edit_add(roster, &lines[1]), LB_NONE);
    lb_roster_retire(roster);
    lb_roster_sweep(roster, NULL, NULL);
    assert_int_equal(lb_roster_count(roster).total, 1);
    assert_int_not_equal(at(roster, "c"), LB_NONE);

    /* which goes */

    lb_name_sync(roster, NULL, 0);
    assert_true(lb_sync_lines(roster, NULL, 0, NULL, NULL));
    assert_int_equal(lb_roster_count(roster).total, 0);

    free(roster);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(an_answer_makes_the_servers),
        cmocka_unit_test(of_a_partial_answer_nothing_goes),
        cmocka_unit_test(records_have_weights_and_ranks),
        cmocka_unit_test(who_has_to_pass_a_check_does_not_displace_who_serves),
        cmocka_unit_test(a_reload_knows_names_and_lines_apart)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
