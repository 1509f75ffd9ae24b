
/*
 * Ejections: how many errors it takes, how long they last, and how many
 * servers may be out at once.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>

#include "src/core/balance/lb_outlier.h"


static const lb_outlier_t  outlier = {
    .errors = 3, .max_ejected = 50, .window = 10000, .ejection = 30000
};


static lb_fixture_t *
servers(uint32_t n)
{
    uint32_t       i;
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));

    for (i = 0; i < n; i++) {
        lb_fixture_line(f, 1);
    }

    lb_fixture_start(f);
    lb_roster_rule(f->roster, &(lb_rules_t) { .errors = 3 });
    lb_fixture_build(f->roster);

    return f;
}


static bool
errors(lb_fixture_t *f, uint32_t index, uint32_t n)
{
    while (n-- > 1) {
        assert_false(lb_outlier_error(f->roster, &outlier, index,
                                      f->ask.now));
    }

    return lb_outlier_error(f->roster, &outlier, index, f->ask.now)
           && lb_outlier_eject(f->roster, &outlier, index, f->ask.now);
}


/* the ms until the server is back */

static uint64_t
back_after(lb_fixture_t *f, uint32_t index)
{
    uint32_t  from;
    uint64_t  next, wait;

    from = 0;
    assert_int_equal(lb_outlier_return(f->roster, f->ask.now, &from, &next),
                     LB_NONE);
    assert_int_not_equal(next, LB_NEVER);

    wait = next - f->ask.now;
    f->ask.now = next - 1;

    from = 0;
    assert_int_equal(lb_outlier_return(f->roster, f->ask.now, &from, &next),
                     LB_NONE);

    f->ask.now++;

    from = 0;
    assert_int_equal(lb_outlier_return(f->roster, f->ask.now, &from, &next),
                     index);
    assert_int_equal(lb_outlier_return(f->roster, f->ask.now, &from, &next),
                     LB_NONE);
    assert_int_equal(next, LB_NEVER);
    assert_int_equal(lb_roster_status(f->roster, index), LB_USED);

    return wait;
}


static void
errors_within_the_window_eject_a_server(void **state)
{
    lb_fixture_t  *f = servers(4);

    (void) state;

    assert_false(errors(f, 0, 2));
    f->ask.now += 10001;
    assert_false(errors(f, 0, 2));
    f->ask.now += 9000;
    assert_true(errors(f, 0, 1));

    assert_int_equal(lb_roster_status(f->roster, 0), LB_USED | LB_EJECTED);
    assert_true(lb_roster_stale(f->roster));
    assert_int_equal(back_after(f, 0), 30000);

    lb_fixture_stop(f);
}


static void
an_ejection_lasts_longer_each_time_until_the_server_behaves(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f = servers(4);

    (void) state;

    for (i = 1; i <= LB_EJECTIONS_MAX + 2; i++) {
        assert_true(errors(f, 0, 3));
        assert_int_equal(back_after(f, 0),
                         30000 * (i < LB_EJECTIONS_MAX ? i
                                                       : LB_EJECTIONS_MAX));
    }

    f->ask.now += 30000 * LB_EJECTIONS_MAX;

    assert_true(errors(f, 0, 3));
    assert_int_equal(back_after(f, 0), 30000);

    lb_fixture_stop(f);
}


static void
no_more_than_max_ejected_are_out(void **state)
{
    lb_fixture_t  *f = servers(5);

    (void) state;

    assert_true(errors(f, 0, 3));
    assert_true(errors(f, 1, 3));
    assert_false(errors(f, 2, 3));
    assert_int_equal(lb_roster_status(f->roster, 2), LB_USED);

    /* who could not go gets its turn with its next error */

    f->ask.now += 5000;
    atomic_fetch_and(&lb_roster_server(f->roster, 1)->status,
                     ~(uint32_t) LB_EJECTED);
    assert_true(errors(f, 2, 1));

    lb_fixture_stop(f);
}


static void
the_only_server_is_never_ejected_by_default(void **state)
{
    lb_fixture_t  *f = servers(1);

    (void) state;

    assert_false(errors(f, 0, 3));

    lb_fixture_stop(f);
}


static void
who_is_out_for_another_reason_is_not_ejected(void **state)
{
    lb_fixture_t  *f = servers(4);

    (void) state;

    atomic_fetch_or(&lb_roster_server(f->roster, 0)->status, LB_FAILED);
    assert_false(errors(f, 0, 3));

    lb_fixture_stop(f);
}


static void
without_lb_outlier_nobody_is_and_stays_ejected(void **state)
{
    lb_outlier_t   off = { .errors = 0 };
    lb_fixture_t  *f = servers(4);

    (void) state;

    assert_false(lb_outlier_error(f->roster, &off, 0, f->ask.now));
    assert_true(errors(f, 0, 3));

    lb_roster_rule(f->roster, &(lb_rules_t) { .errors = 0 });
    assert_int_equal(lb_roster_status(f->roster, 0), LB_USED);

    lb_fixture_stop(f);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(errors_within_the_window_eject_a_server),
        cmocka_unit_test(
                 an_ejection_lasts_longer_each_time_until_the_server_behaves),
        cmocka_unit_test(no_more_than_max_ejected_are_out),
        cmocka_unit_test(the_only_server_is_never_ejected_by_default),
        cmocka_unit_test(who_is_out_for_another_reason_is_not_ejected),
        cmocka_unit_test(without_lb_outlier_nobody_is_and_stays_ejected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
