
/*
 * Places of an upstream: how many are free, who may have one, what waiting
 * requests are told, and that a process that dies gives back what it held.
 */


#include "t/unit/balance/lb_fixture.h"

#include "src/core/balance/lb_gate.h"

#include <cmocka.h>


#define ROWS  4


static lb_fixture_t *
fixture(uint32_t servers, uint32_t max_conns)
{
    uint32_t       i;
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    for (i = 0; i < servers; i++) {
        lb_fixture_line(f, 1)->max_conns = max_conns;
    }

    lb_fixture_start(f);

    return f;
}


static void
places_are_those_of_usable_servers(void **state)
{
    lb_fixture_t  *f = fixture(3, 2);

    (void) state;

    assert_int_equal(lb_gate_places(f->roster, false), 6);
    assert_int_equal(lb_gate_room(f->roster, false, 10), 6);
    assert_int_equal(lb_gate_room(f->roster, false, 4), 4);

    assert_true(lb_load_take(&f->load, f->row, 0, 2));
    assert_int_equal(lb_gate_room(f->roster, false, 10), 5);

    lb_fixture_fail(f, 1);
    assert_int_equal(lb_gate_places(f->roster, false), 4);
    assert_int_equal(lb_gate_room(f->roster, false, 10), 3);

    lb_fixture_fail(f, 0);
    lb_fixture_fail(f, 2);

    /* when all have failed they are tried all the same */

    assert_int_equal(lb_gate_places(f->roster, false), 6);
    assert_int_equal(lb_gate_room(f->roster, false, 10), 5);

    /* of servers that are not there nobody has to wait */

    atomic_fetch_or(&lb_roster_server(f->roster, 0)->status, LB_UNHEALTHY);
    atomic_fetch_or(&lb_roster_server(f->roster, 1)->status, LB_DISABLED);
    atomic_fetch_or(&lb_roster_server(f->roster, 2)->status, LB_EJECTED);

    assert_int_equal(lb_gate_room(f->roster, false, 10), 10);

    lb_fixture_stop(f);
}


static void
a_pick_waits_for_a_failed_server_if_no_other_is_left(void **state)
{
    lb_how_t       how;
    lb_fixture_t  *f = fixture(1, 1);

    (void) state;

    lb_fixture_fail(f, 0);
    assert_int_equal(lb_fixture_try(f, &how), 0);
    assert_int_equal(how, LB_LAST);

    /* of another request */

    f->ask.tried.number = 0;
    f->ask.waits = true;
    assert_int_equal(lb_fixture_try(f, &how), LB_NONE);
    assert_int_equal(how, LB_FULL);

    /* one that has been tried is none to wait for */

    f->tried[f->ask.tried.number++] = 0;
    how = LB_USUAL;
    assert_int_equal(lb_fixture_try(f, &how), LB_NONE);
    assert_int_not_equal(how, LB_FULL);

    lb_fixture_stop(f);
}


static void
without_max_conns_there_is_room_but_for_the_limit(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f = fixture(2, 0);

    (void) state;

    assert_int_equal(lb_gate_places(f->roster, false), 0);
    assert_int_equal(lb_gate_room(f->roster, false, 1000), 1000);
    assert_int_equal(lb_gate_places(f->roster, true), LB_LIMIT_FIRST);

    for (i = 0; i < LB_LIMIT_FIRST; i++) {
        assert_int_equal(lb_gate_room(f->roster, true, 1000),
                         LB_LIMIT_FIRST - i);
        assert_true(lb_gate_take(f->roster, f->row, true));
    }

    assert_false(lb_gate_take(f->roster, f->row, true));
    assert_true(lb_gate_take(f->roster, f->row, false));
    assert_int_equal(lb_gate_room(f->roster, true, 1000), 0);
    assert_int_equal(lb_gate_total(f->roster), LB_LIMIT_FIRST + 1);

    lb_gate_drop(f->roster, f->row);
    lb_gate_drop(f->roster, f->row);
    assert_int_equal(lb_gate_room(f->roster, true, 1000), 1);

    lb_fixture_stop(f);
}


static void
a_pick_waits_for_full_servers_before_it_tries_failed_ones(void **state)
{
    uint32_t       index;
    lb_how_t       how;
    lb_fixture_t  *f = fixture(2, 1);

    (void) state;

    lb_fixture_fail(f, 0);
    assert_true(lb_load_take(&f->load, f->row, 1, 1));

    f->ask.waits = true;
    assert_int_equal(lb_fixture_try(f, &how), LB_NONE);
    assert_int_equal(how, LB_FULL);
    assert_true(lb_pick_full(f->roster, &f->ask));

    f->ask.waits = false;
    index = lb_fixture_try(f, &how);
    assert_int_equal(index, 0);
    assert_int_equal(how, LB_LAST);

    /* one that has been tried is none to wait for */

    f->ask.waits = true;
    f->tried[f->ask.tried.number++] = 1;
    assert_false(lb_pick_full(f->roster, &f->ask));
    assert_int_equal(lb_fixture_try(f, &how), LB_NONE);
    assert_int_not_equal(how, LB_FULL);

    lb_fixture_stop(f);
}


static void
it_is_open_if_there_is_more_than_is_left_to_others(void **state)
{
    lb_left_t      left[ROWS];
    lb_turn_t     *turns;
    lb_fixture_t  *f = fixture(1, 2);

    (void) state;

    memset(left, 0, sizeof(left));

    /* another process, with someone who has waited for longer */

    assert_non_null(lb_load_claim(&f->load, 2, 1));
    turns = lb_gate_turns(f->roster);
    lb_turn_show(&turns[1], 5, 1000, 2000);

    assert_true(lb_gate_open(f->roster, left, 0, false, 5, 2000, 2000));

    assert_true(lb_load_take(&f->load, f->row, 0, 2));
    assert_false(lb_gate_open(f->roster, left, 0, false, 5, 2000, 2000));
    assert_true(lb_gate_open(f->roster, left, 0, false, 6, 2000, 2000));
    assert_true(lb_gate_open(f->roster, left, 0, false, 5, 2000,
                             2000 + LB_TURN_LEAVE));

    assert_true(lb_load_take(&f->load, f->row, 0, 2));
    assert_false(lb_gate_open(f->roster, left, 0, false, 9, 2000, 2100));

    lb_fixture_stop(f);
}


static void
what_a_dead_process_held_comes_back(void **state)
{
    lb_row_t      *row;
    lb_fixture_t  *f = fixture(1, 2);

    (void) state;

    row = lb_load_claim(&f->load, 2, 1);
    assert_non_null(row);

    assert_true(lb_gate_take(f->roster, row, true));
    assert_true(lb_gate_take(f->roster, f->row, true));
    assert_true(lb_gate_enter(f->roster, row, 3));
    assert_true(lb_gate_enter(f->roster, row, 3));
    assert_true(lb_gate_enter(f->roster, f->row, 3));
    assert_false(lb_gate_enter(f->roster, f->row, 3));
    assert_true(lb_gate_enter(f->roster, f->row, 0));
    lb_gate_leave(f->roster, f->row);

    assert_true(lb_load_settle(&f->load, row));
    assert_int_equal(lb_gate_total(f->roster), 1);
    assert_int_equal(lb_gate_waiting(f->roster), 1);

    lb_fixture_stop(f);
}


static void
the_delay_is_what_the_waiting_take(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f = fixture(1, 10);

    (void) state;

    assert_int_equal(lb_gate_delay(f->roster), 1);

    for (i = 0; i < 1000; i++) {
        lb_gate_served(f->roster, 100000);
    }

    for (i = 0; i < 10; i++) {
        assert_true(lb_load_take(&f->load, f->row, 0, 10));
    }

    for (i = 0; i < 250; i++) {
        assert_true(lb_gate_enter(f->roster, f->row, 0));
    }

    /* 250 requests of 100 ms, 10 at a time */

    assert_int_equal(lb_gate_delay(f->roster), 3);

    lb_fixture_stop(f);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(places_are_those_of_usable_servers),
        cmocka_unit_test(a_pick_waits_for_a_failed_server_if_no_other_is_left),
        cmocka_unit_test(without_max_conns_there_is_room_but_for_the_limit),
        cmocka_unit_test(
            a_pick_waits_for_full_servers_before_it_tries_failed_ones),
        cmocka_unit_test(it_is_open_if_there_is_more_than_is_left_to_others),
        cmocka_unit_test(what_a_dead_process_held_comes_back),
        cmocka_unit_test(the_delay_is_what_the_waiting_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
