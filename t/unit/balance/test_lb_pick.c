
/*
 * What a request gets, attempt by attempt: usable servers in turn, backups
 * after them, failed ones as a trial or for want of others.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>


static lb_fixture_t *
servers(uint32_t n, uint32_t backups)
{
    uint32_t       i;
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));

    for (i = 0; i < n + backups; i++) {
        lb_fixture_line(f, 1)->status = (i < n) ? 0 : LB_BACKUP;
    }

    lb_fixture_start(f);

    return f;
}


static void
a_request_gets_each_server_once(void **state)
{
    uint32_t       i, index, seen;
    lb_fixture_t  *f = servers(50, 0);

    (void) state;

    seen = 0;

    for (i = 0; i < 50; i++) {
        index = lb_fixture_try(f, NULL);
        assert_true(index < 50);
        seen += index;
    }

    assert_int_equal(seen, 49 * 50 / 2);
    assert_int_equal(lb_fixture_try(f, NULL), LB_NONE);

    lb_fixture_stop(f);
}


static void
backups_come_when_the_others_are_used_up(void **state)
{
    lb_how_t       how;
    lb_fixture_t  *f = servers(2, 2);

    (void) state;

    assert_int_equal(lb_fixture_try(f, &how), 0);
    assert_int_equal(lb_fixture_try(f, &how), 1);
    assert_int_equal(lb_fixture_try(f, &how), 2);
    assert_int_equal(how, LB_USUAL);
    assert_int_equal(lb_fixture_try(f, &how), 3);
    assert_int_equal(lb_fixture_try(f, &how), LB_NONE);

    lb_fixture_stop(f);
}


static void
full_servers_are_passed_over(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f = servers(40, 1);

    (void) state;

    for (i = 0; i < 40; i++) {
        lb_roster_server(f->roster, i)->max_conns = 1;

        if (i != 33) {
            assert_true(lb_load_take(&f->load, f->row, i, 1));
        }
    }

    assert_int_equal(lb_fixture_request(f), 33);
    assert_true(lb_load_take(&f->load, f->row, 33, 1));
    assert_int_equal(lb_fixture_request(f), 40);

    lb_fixture_stop(f);
}


static void
max_fails_within_fail_timeout_take_a_server_out(void **state)
{
    lb_server_t   *server;
    lb_fixture_t  *f = servers(2, 0);

    (void) state;

    server = lb_roster_server(f->roster, 0);
    server->max_fails = 3;

    assert_false(lb_passive_failed(f->roster, 0, 1000000));
    assert_false(lb_passive_failed(f->roster, 0, 1009000));
    assert_false(lb_passive_failed(f->roster, 0, 1011000));
    assert_true(lb_passive_failed(f->roster, 0, 1012000));
    assert_false(lb_passive_failed(f->roster, 0, 1012000));
    assert_int_equal(lb_roster_status(f->roster, 0), LB_USED | LB_FAILED);
    assert_int_equal(server->failures, 5);

    lb_fixture_stop(f);
}


static void
max_fails_or_fail_timeout_of_zero_never_do(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f = servers(2, 0);

    (void) state;

    lb_roster_server(f->roster, 0)->max_fails = 0;
    lb_roster_server(f->roster, 1)->fail_timeout = 0;

    for (i = 0; i < 100; i++) {
        assert_false(lb_passive_failed(f->roster, i % 2, 1000000));
    }

    lb_fixture_stop(f);
}


static void
a_failed_server_gets_one_trial_per_fail_timeout(void **state)
{
    uint32_t       i;
    lb_how_t       how;
    lb_fixture_t  *f = servers(2, 0);

    (void) state;

    lb_fixture_fail(f, 0);

    for (i = 0; i < 10; i++) {
        assert_int_equal(lb_fixture_request(f), 1);
    }

    f->ask.now += 9999;
    assert_int_equal(lb_fixture_request(f), 1);

    f->ask.now += 1;
    assert_int_equal(lb_fixture_try(f, &how), 0);
    assert_int_equal(how, LB_TRIAL);
    assert_int_equal(lb_fixture_request(f), 1);

    f->ask.now += 10000;
    assert_int_equal(lb_fixture_try(f, &how), 0);

    assert_true(lb_passive_passed(f->roster, 0, how, f->ask.now));
    assert_false(lb_passive_passed(f->roster, 0, how, f->ask.now));
    lb_fixture_build(f->roster);
    assert_int_equal(lb_fixture_request(f) + lb_fixture_request(f), 1);

    lb_fixture_stop(f);
}


static void
a_trial_that_fails_waits_for_another_fail_timeout(void **state)
{
    lb_fixture_t  *f = servers(2, 0);

    (void) state;

    lb_fixture_fail(f, 0);
    f->ask.now += 10000;
    assert_int_equal(lb_fixture_request(f), 0);

    f->ask.now += 5000;
    lb_fixture_fail(f, 0);

    f->ask.now += 9999;
    assert_int_equal(lb_fixture_request(f), 1);
    f->ask.now += 1;
    assert_int_equal(lb_fixture_request(f), 0);

    lb_fixture_stop(f);
}


static void
a_trial_is_found_again_if_its_time_was_lost(void **state)
{
    lb_fixture_t  *f = servers(2, 0);

    (void) state;

    lb_fixture_fail(f, 0);
    f->roster->trial_at[0] = LB_NEVER;
    f->ask.now += 10000;
    assert_int_equal(lb_fixture_request(f), 1);

    lb_passive_schedule(f->roster);
    assert_int_equal(lb_fixture_request(f), 0);

    lb_fixture_stop(f);
}


static void
success_of_an_earlier_request_does_not_bring_a_server_back(void **state)
{
    lb_fixture_t  *f = servers(2, 0);

    (void) state;

    lb_fixture_fail(f, 0);
    assert_false(lb_passive_passed(f->roster, 0, LB_USUAL, f->ask.now));
    assert_int_equal(lb_roster_status(f->roster, 0), LB_USED | LB_FAILED);

    lb_fixture_stop(f);
}


static void
failed_servers_are_tried_when_no_other_is_left(void **state)
{
    lb_how_t       how;
    lb_fixture_t  *f = servers(2, 1);

    (void) state;

    lb_fixture_fail(f, 1);
    f->ask.now += 100;
    lb_fixture_fail(f, 0);
    f->ask.now += 100;
    lb_fixture_fail(f, 2);

    /* who failed first has had most time to recover; backups are last */

    assert_int_equal(lb_fixture_try(f, &how), 1);
    assert_int_equal(how, LB_LAST);
    assert_int_equal(lb_fixture_try(f, &how), 0);
    assert_int_equal(lb_fixture_try(f, &how), 2);
    assert_int_equal(lb_fixture_try(f, &how), LB_NONE);

    lb_fixture_stop(f);
}


static void
a_last_resort_is_not_declared_up_within_a_second(void **state)
{
    lb_fixture_t  *f = servers(1, 0);

    (void) state;

    lb_fixture_fail(f, 0);

    assert_false(lb_passive_passed(f->roster, 0, LB_LAST,
                                   f->ask.now + LB_FAILED_MIN - 1));
    assert_true(lb_passive_passed(f->roster, 0, LB_LAST,
                                  f->ask.now + LB_FAILED_MIN));

    lb_fixture_stop(f);
}


static void
one_request_tries_few_failed_servers(void **state)
{
    uint32_t       i, n;
    lb_fixture_t  *f = servers(100, 0);

    (void) state;

    for (i = 0; i < 100; i++) {
        (void) lb_passive_failed(f->roster, i, f->ask.now);
    }

    lb_fixture_build(f->roster);

    for (n = 0; lb_fixture_try(f, NULL) != LB_NONE; n++) { /* void */ }

    assert_int_equal(n, LB_LAST_MAX);

    lb_fixture_stop(f);
}


static void
unhealthy_and_leaving_servers_are_no_last_resort(void **state)
{
    lb_fixture_t  *f = servers(4, 0);

    (void) state;

    atomic_fetch_or(&lb_roster_server(f->roster, 0)->status,
                    LB_FAILED | LB_UNHEALTHY);
    atomic_fetch_or(&lb_roster_server(f->roster, 1)->status,
                    LB_FAILED | LB_DRAINING);
    atomic_fetch_or(&lb_roster_server(f->roster, 2)->status,
                    LB_FAILED | LB_REMOVED);
    atomic_fetch_or(&lb_roster_server(f->roster, 3)->status,
                    LB_FAILED | LB_DISABLED);
    lb_fixture_build(f->roster);

    assert_int_equal(lb_fixture_try(f, NULL), LB_NONE);
    assert_false(lb_pick_left(f->roster, &f->ask, true));

    lb_fixture_stop(f);
}


static void
what_is_left_for_a_request_is_what_it_would_get(void **state)
{
    uint32_t       index;
    lb_fixture_t  *f = servers(2, 1);

    (void) state;

    lb_roster_server(f->roster, 1)->max_conns = 1;
    assert_true(lb_roster_stale(f->roster));
    lb_fixture_build(f->roster);
    assert_int_equal(f->roster->pickable, 3);
    assert_int_equal(f->roster->limited, 1);

    index = lb_fixture_try(f, NULL);
    assert_int_equal(index, 0);
    assert_true(lb_pick_left(f->roster, &f->ask, false));

    /* the other one is full, the backup is not */

    assert_true(lb_load_take(&f->load, f->row, 1, 1));
    assert_true(lb_pick_left(f->roster, &f->ask, false));

    (void) lb_passive_failed(f->roster, 2, f->ask.now);
    lb_fixture_build(f->roster);
    assert_int_equal(f->roster->pickable, 2);

    assert_false(lb_pick_left(f->roster, &f->ask, false));
    assert_true(lb_pick_left(f->roster, &f->ask, true));

    f->ask.last = LB_LAST_MAX;
    assert_false(lb_pick_left(f->roster, &f->ask, true));

    lb_load_drop(&f->load, f->row, 1);
    assert_true(lb_pick_left(f->roster, &f->ask, false));

    assert_int_equal(lb_fixture_try(f, NULL), 1);
    assert_false(lb_pick_left(f->roster, &f->ask, true));

    lb_fixture_stop(f);
}


static void
a_view_not_yet_rebuilt_hands_out_nothing_unusable(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f = servers(3, 0);

    (void) state;

    atomic_fetch_or(&lb_roster_server(f->roster, 1)->status, LB_EJECTED);

    for (i = 0; i < 30; i++) {
        assert_int_not_equal(lb_fixture_request(f), 1);
    }

    assert_int_equal(lb_load_active(&f->load, 1), 0);

    lb_fixture_stop(f);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_request_gets_each_server_once),
        cmocka_unit_test(backups_come_when_the_others_are_used_up),
        cmocka_unit_test(full_servers_are_passed_over),
        cmocka_unit_test(max_fails_within_fail_timeout_take_a_server_out),
        cmocka_unit_test(max_fails_or_fail_timeout_of_zero_never_do),
        cmocka_unit_test(a_failed_server_gets_one_trial_per_fail_timeout),
        cmocka_unit_test(a_trial_that_fails_waits_for_another_fail_timeout),
        cmocka_unit_test(a_trial_is_found_again_if_its_time_was_lost),
        cmocka_unit_test(
                  success_of_an_earlier_request_does_not_bring_a_server_back),
        cmocka_unit_test(failed_servers_are_tried_when_no_other_is_left),
        cmocka_unit_test(a_last_resort_is_not_declared_up_within_a_second),
        cmocka_unit_test(one_request_tries_few_failed_servers),
        cmocka_unit_test(unhealthy_and_leaving_servers_are_no_last_resort),
        cmocka_unit_test(what_is_left_for_a_request_is_what_it_would_get),
        cmocka_unit_test(a_view_not_yet_rebuilt_hands_out_nothing_unusable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
