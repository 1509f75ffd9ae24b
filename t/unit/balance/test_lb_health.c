
/*
 * rise and fall, what they make of a server's status, and how that goes
 * together with failures of requests, reloads and new zones.
 */


#include "t/unit/balance/lb_fixture.h"

#include "src/core/balance/lb_health.h"

#include <cmocka.h>


#define RISE  2
#define FALL  3


static lb_fixture_t *
start(void)
{
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    (void) lb_fixture_line(f, 1);
    (void) lb_fixture_line(f, 1);
    lb_fixture_start(f);

    return f;
}


static lb_health_t
enter(lb_fixture_t *f, bool passed)
{
    f->ask.now += 1000;

    return lb_health_enter(lb_roster_server(f->roster, 0), passed, RISE, FALL,
                           f->ask.now);
}


static bool
out(lb_fixture_t *f)
{
    return lb_roster_status(f->roster, 0) & LB_UNUSABLE;
}


static void
fall_failures_in_a_row_take_a_server_out(void **state)
{
    int            i;
    lb_fixture_t  *f = start();

    (void) state;

    for (i = 0; i < 10; i++) {
        assert_int_equal(enter(f, false), LB_HEALTH_SAME);
        assert_int_equal(enter(f, false), LB_HEALTH_SAME);
        assert_int_equal(enter(f, true), LB_HEALTH_SAME);
        assert_false(out(f));
    }

    assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    assert_int_equal(enter(f, false), LB_HEALTH_WENT_DOWN);
    assert_true(lb_roster_status(f->roster, 0) & LB_UNHEALTHY);

    /* which is told once */

    for (i = 0; i < 5000; i++) {
        assert_int_equal(enter(f, false), LB_HEALTH_SAME);
        assert_true(out(f));
    }

    lb_fixture_stop(f);
}


static void
rise_passes_in_a_row_bring_it_back(void **state)
{
    int            i;
    lb_fixture_t  *f = start();

    (void) state;

    for (i = 0; i < FALL; i++) {
        (void) enter(f, false);
    }

    for (i = 0; i < 10; i++) {
        assert_int_equal(enter(f, true), LB_HEALTH_SAME);
        assert_int_equal(enter(f, false), LB_HEALTH_SAME);
        assert_true(out(f));
    }

    assert_int_equal(enter(f, true), LB_HEALTH_SAME);
    assert_int_equal(enter(f, true), LB_HEALTH_CAME_UP);
    assert_false(out(f));
    assert_int_equal(enter(f, true), LB_HEALTH_SAME);

    lb_fixture_stop(f);
}


static void
rise_and_fall_of_one_follow_each_result(void **state)
{
    lb_fixture_t  *f = start();
    lb_server_t   *server = lb_roster_server(f->roster, 0);

    (void) state;

    assert_int_equal(lb_health_enter(server, true, 1, 1, 1), LB_HEALTH_SAME);
    assert_int_equal(lb_health_enter(server, false, 1, 1, 2),
                     LB_HEALTH_WENT_DOWN);
    assert_int_equal(lb_health_enter(server, true, 1, 1, 3),
                     LB_HEALTH_CAME_UP);

    lb_fixture_stop(f);
}


static void
a_pending_server_is_out_until_the_first_pass(void **state)
{
    int            i;
    lb_fixture_t  *f;

    (void) state;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    lb_fixture_line(f, 1)->pending = true;
    lb_fixture_line(f, 1)->status = LB_BACKUP;
    lb_fixture_start(f);

    assert_true(out(f));
    assert_int_equal(lb_fixture_request(f), 1);

    /* that it does not come is told once, as for any other server */

    assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    assert_int_equal(enter(f, false), LB_HEALTH_WENT_DOWN);

    for (i = 0; i < 5000; i++) {
        assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    }

    assert_int_equal(enter(f, true), LB_HEALTH_CAME_UP);
    lb_fixture_build(f->roster);
    assert_int_equal(lb_fixture_request(f), 0);

    /* from then on it takes as many results as for any other */

    assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    assert_int_equal(enter(f, false), LB_HEALTH_WENT_DOWN);
    assert_int_equal(enter(f, true), LB_HEALTH_SAME);
    assert_int_equal(enter(f, true), LB_HEALTH_CAME_UP);

    lb_fixture_stop(f);
}


static void
passes_end_what_failed_requests_began(void **state)
{
    lb_fixture_t  *f = start();

    (void) state;

    assert_int_equal(enter(f, true), LB_HEALTH_SAME);
    assert_int_equal(enter(f, true), LB_HEALTH_SAME);

    f->ask.now += 500;
    assert_true(lb_passive_failed(f->roster, 0, f->ask.now));

    /* a check that had begun before says nothing of the time after */

    assert_int_equal(lb_health_enter(lb_roster_server(f->roster, 0), true,
                                     RISE, FALL, f->ask.now - 1),
                     LB_HEALTH_SAME);

    assert_int_equal(enter(f, true), LB_HEALTH_SAME);
    assert_true(out(f));
    assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    assert_int_equal(enter(f, true), LB_HEALTH_SAME);
    assert_true(out(f));
    assert_int_equal(enter(f, true), LB_HEALTH_CAME_UP);
    assert_false(out(f));

    /* and the count of failures starts anew, as a trial makes it */

    assert_int_equal(enter(f, true), LB_HEALTH_SAME);

    lb_fixture_stop(f);
}


static void
a_server_that_is_down_for_both_reasons_changes_once(void **state)
{
    lb_fixture_t  *f = start();

    (void) state;

    assert_true(lb_passive_failed(f->roster, 0, f->ask.now));

    assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    assert_int_equal(enter(f, false), LB_HEALTH_MOVED);

    assert_int_equal(enter(f, true), LB_HEALTH_SAME);
    assert_int_equal(enter(f, true), LB_HEALTH_CAME_UP);
    assert_false(out(f));

    lb_fixture_stop(f);
}


static void
ejection_and_the_operator_stay_above_checks(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f = start();
    lb_server_t   *server = lb_roster_server(f->roster, 0);

    static const uint32_t  bits[] = { LB_EJECTED, LB_DISABLED, LB_DRAINING };

    (void) state;

    for (i = 0; i < 3; i++) {
        atomic_fetch_or(&server->status, bits[i]);

        (void) enter(f, false);
        (void) enter(f, false);
        (void) enter(f, false);
        (void) enter(f, true);
        (void) enter(f, true);

        assert_int_equal(lb_roster_status(f->roster, 0) & LB_UNUSABLE,
                         bits[i]);
        atomic_fetch_and(&server->status, ~bits[i]);
    }

    lb_fixture_stop(f);
}


static void
a_status_left_behind_by_a_killed_process_is_made_up_for(void **state)
{
    int            i;
    lb_fixture_t  *f = start();
    lb_server_t   *server = lb_roster_server(f->roster, 0);

    (void) state;

    /* killed after the word, before the status */

    for (i = 0; i < FALL; i++) {
        server->health = lb_health_next(server->health, false, RISE, FALL,
                                        false);
    }

    assert_false(out(f));
    assert_int_equal(enter(f, false), LB_HEALTH_WENT_DOWN);

    for (i = 0; i < RISE; i++) {
        server->health = lb_health_next(server->health, true, RISE, FALL,
                                        false);
    }

    assert_true(out(f));
    assert_int_equal(enter(f, true), LB_HEALTH_CAME_UP);

    lb_fixture_stop(f);
}


static void
health_survives_a_reload_and_a_new_zone(void **state)
{
    int            i;
    lb_roster_t   *larger;
    lb_fixture_t  *f = start();

    (void) state;

    for (i = 0; i < FALL; i++) {
        (void) enter(f, false);
    }

    /* "mandatory" from now on: that is for servers that come now */

    f->lines[0].pending = true;
    f->lines[1].pending = true;
    lb_fixture_line(f, 1)->pending = true;

    assert_true(lb_sync_lines(f->roster, f->lines, 3, NULL, NULL));

    assert_true(out(f));
    assert_false(lb_roster_status(f->roster, 1) & LB_UNHEALTHY);
    assert_true(lb_roster_status(f->roster, 2) & LB_UNHEALTHY);

    (void) enter(f, true);

    larger = lb_fixture_roster(200, 4);
    assert_true(lb_inherit_servers(larger, f->roster));
    assert_true(lb_sync_lines(larger, f->lines, 3, NULL, NULL));

    assert_true(lb_roster_status(larger, 0) & LB_UNHEALTHY);
    assert_false(lb_roster_status(larger, 1) & LB_UNHEALTHY);
    assert_true(lb_roster_status(larger, 2) & LB_UNHEALTHY);

    assert_int_equal(lb_health_enter(lb_roster_server(larger, 0), true, RISE,
                                     FALL, f->ask.now),
                     LB_HEALTH_CAME_UP);

    free(larger);
    lb_fixture_stop(f);
}


static void
without_checks_nobody_is_unhealthy(void **state)
{
    int            i;
    lb_fixture_t  *f = start();

    (void) state;

    for (i = 0; i < FALL; i++) {
        (void) enter(f, false);
    }

    lb_fixture_build(f->roster);
    lb_health_forget(f->roster);

    assert_false(out(f));
    assert_true(lb_roster_stale(f->roster));

    /* and checks that are switched on again begin anew */

    assert_int_equal(enter(f, false), LB_HEALTH_SAME);
    assert_int_equal(enter(f, false), LB_HEALTH_SAME);

    lb_fixture_stop(f);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(fall_failures_in_a_row_take_a_server_out),
        cmocka_unit_test(rise_passes_in_a_row_bring_it_back),
        cmocka_unit_test(rise_and_fall_of_one_follow_each_result),
        cmocka_unit_test(a_pending_server_is_out_until_the_first_pass),
        cmocka_unit_test(passes_end_what_failed_requests_began),
        cmocka_unit_test(a_server_that_is_down_for_both_reasons_changes_once),
        cmocka_unit_test(ejection_and_the_operator_stay_above_checks),
        cmocka_unit_test(
            a_status_left_behind_by_a_killed_process_is_made_up_for),
        cmocka_unit_test(health_survives_a_reload_and_a_new_zone),
        cmocka_unit_test(without_checks_nobody_is_unhealthy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
