
/*
 * The picking methods: the shares that servers get of many requests, and
 * what every method respects.
 */


#include "t/unit/balance/lb_simulation.h"

#include <cmocka.h>


#define REQUESTS  100000

#define lengthof(a)  (sizeof(a) / sizeof((a)[0]))


static const lb_method_pt  methods[] = {
    lb_method_round_robin, lb_least_conn, lb_method_random, lb_method_p2c,
    lb_method_least_time, lb_hash
};


static lb_fixture_t *
fixture(uint32_t n, const uint32_t *weights, lb_method_pt method)
{
    uint32_t       i;
    lb_rules_t     rules = { .cells = (method == lb_hash) };
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));

    for (i = 0; i < n; i++) {
        lb_fixture_line(f, weights ? weights[i] : 1);
    }

    lb_fixture_start(f);

    f->random = 42;

    lb_roster_rule(f->roster, &rules);
    lb_fixture_build(f->roster);

    return f;
}


/* the largest deviation of a server's share of all requests, per cent */

static double
deviation(uint32_t n, const uint32_t *weights, lb_method_pt method,
    uint32_t clients)
{
    double           d, worst;
    uint32_t         i, sum;
    lb_fixture_t    *f;
    lb_simulation_t  s = { .method = method, .clients = clients,
                           .requests = REQUESTS };

    f = fixture(n, weights, method);
    sum = 0;
    worst = 0;

    for (i = 0; i < n; i++) {
        s.time[i] = 10;
        sum += weights[i];
    }

    lb_simulate(f, &s);

    for (i = 0; i < n; i++) {
        d = 100.0 * fabs((double) s.count[i] / REQUESTS
                         - (double) weights[i] / sum);
        worst = (d > worst) ? d : worst;
    }

    lb_fixture_stop(f);

    return worst;
}


static const uint32_t  weights[] = { 5, 3, 1 };


static void
random_keeps_to_weights_within_one_per_cent(void **state)
{
    (void) state;

    assert_true(deviation(3, weights, lb_method_random, 8) < 1.0);
}


static void
hash_keeps_to_weights_within_one_per_cent(void **state)
{
    (void) state;

    assert_true(deviation(3, weights, lb_hash, 8) < 1.0);
}


static void
p2c_keeps_to_weights_at_any_load(void **state)
{
    uint32_t  clients;

    (void) state;

    for (clients = 1; clients <= 128; clients *= 2) {
        assert_true(deviation(3, weights, lb_method_p2c, clients) < 4.0);
    }
}


static void
two_choices_are_two_servers(void **state)
{
    uint32_t              i, k, found[2];
    uint32_t              second[3];
    lb_view_t             view;
    lb_fixture_t         *f;
    static const uint32_t  skew[][3] = {
        { 1000, 1, 1 }, { 10, 1, 1 }, { 1, 1, 1 }, { 5, 3, 1 }
    };

    (void) state;

    for (k = 0; k < lengthof(skew); k++) {
        f = fixture(3, skew[k], lb_method_p2c);
        memset(second, 0, sizeof(second));

        (void) lb_roster_view(f->roster, 0, &view);

        for (i = 0; i < 10000; i++) {
            assert_int_equal(lb_candidate_two(f->roster, &view, &f->ask,
                                              found), 2);
            assert_int_not_equal(found[0], found[1]);
            second[found[1]]++;
        }

        for (i = 0; i < 3; i++) {
            assert_true(second[i] > 0);
        }

        lb_fixture_stop(f);
    }

    f = fixture(1, NULL, lb_method_p2c);
    (void) lb_roster_view(f->roster, 0, &view);
    assert_int_equal(lb_candidate_two(f->roster, &view, &f->ask, found), 1);
    lb_fixture_stop(f);
}


/* of 200 requests, to a server of weight 10 that takes 1 s instead of 5 ms */

static uint32_t
to_the_ill_one(lb_method_pt method, uint32_t clients)
{
    uint32_t               n;
    lb_fixture_t          *f;
    static const uint32_t  skew[] = { 10, 1 };
    lb_simulation_t        s = { .method = method, .clients = clients,
                                 .requests = 200, .time = { 1000, 5 } };

    f = fixture(2, skew, method);
    lb_simulate(f, &s);
    n = s.count[0];
    lb_fixture_stop(f);

    return n;
}


static void
a_heavy_server_that_is_ill_gets_little(void **state)
{
    uint32_t  clients;

    (void) state;

    for (clients = 2; clients <= 16; clients *= 2) {
        assert_true(to_the_ill_one(lb_method_least_time, clients)
                    <= 2 * clients + 20);
    }

    /* who does not look at times minds it when enough is under way */

    assert_true(to_the_ill_one(lb_method_p2c, 8) <= 80);
    assert_true(to_the_ill_one(lb_method_p2c, 16) <= 40);
}


static void
who_has_waited_for_long_counts_before_it_is_answered(void **state)
{
    uint32_t       i, ages, index, count[2];
    lb_age_t       under_way[2];
    lb_how_t       how;
    lb_fixture_t  *f;

    (void) state;

    for (ages = 0; ages < 2; ages++) {
        f = fixture(2, NULL, lb_method_least_time);
        memset(count, 0, sizeof(count));

        for (i = 0; i < 2; i++) {
            assert_true(lb_load_take(&f->load, f->row, i, 0));
            lb_latency_enter(&lb_roster_server(f->roster, i)->latency, 5000,
                             f->ask.now);

            under_way[i].number = 1;
            under_way[i].began = f->ask.now - (i == 0 ? 2000 : 1);
        }

        f->ask.ages = ages ? under_way : NULL;

        for (i = 0; i < 1000; i++) {
            f->ask.tried.number = 0;
            index = lb_pick(f->roster, lb_method_least_time, &f->ask, &how);
            lb_load_drop(&f->load, f->row, index);
            count[index]++;
        }

        if (ages) {
            assert_int_equal(count[0], 0);

        } else {
            assert_in_range(count[0], 400, 600);
        }

        lb_fixture_stop(f);
    }
}


static void
least_time_spreads_over_equal_servers_evenly(void **state)
{
    uint32_t         i, n, clients;
    lb_fixture_t    *f;
    lb_simulation_t  s = { .method = lb_method_least_time,
                           .requests = REQUESTS / 4 };

    (void) state;

    for (n = 2; n <= 8; n *= 2) {

        for (clients = 1; clients <= 4; clients *= 2) {
            f = fixture(n, NULL, lb_method_least_time);
            s.clients = clients;

            for (i = 0; i < n; i++) {
                s.time[i] = 5;
            }

            lb_simulate(f, &s);

            for (i = 0; i < n; i++) {
                assert_in_range(s.count[i], s.requests * 0.85 / n,
                                s.requests * 1.15 / n);
            }

            lb_fixture_stop(f);
        }
    }
}


static void
least_conn_keeps_to_weights_at_any_load(void **state)
{
    uint32_t  clients;

    (void) state;

    for (clients = 1; clients <= 128; clients *= 2) {
        assert_true(deviation(3, weights, lb_least_conn, clients) < 3.0);
    }
}


static void
least_conn_is_round_robin_while_nobody_is_busy(void **state)
{
    assert_true(deviation(3, weights, lb_least_conn, 1) < 0.01);

    (void) state;
}


static double
excess(lb_method_pt method)
{
    uint32_t         i;
    lb_fixture_t    *f;
    lb_simulation_t  s = { .method = method, .clients = 100,
                           .requests = REQUESTS / 2 };

    f = fixture(20, NULL, method);

    for (i = 0; i < 20; i++) {
        s.time[i] = 10;
    }

    lb_simulate(f, &s);
    lb_fixture_stop(f);

    return s.excess;
}


static void
two_choices_are_better_than_one_and_all_are_better_than_two(void **state)
{
    double  random, p2c, least_conn;

    (void) state;

    random = excess(lb_method_random);
    p2c = excess(lb_method_p2c);
    least_conn = excess(lb_least_conn);

    assert_true(p2c < random * 0.8);
    assert_true(least_conn < p2c);
}


static void
a_server_ten_times_slower_gets_little_by_least_time(void **state)
{
    uint32_t         i, n, clients;
    lb_fixture_t    *f;
    lb_simulation_t  s = { .method = lb_method_least_time,
                           .requests = REQUESTS };

    (void) state;

    for (n = 2; n <= 10; n += 4) {

        for (clients = 4; clients <= 64; clients *= 4) {

            f = fixture(n, NULL, lb_method_least_time);
            s.clients = clients;

            for (i = 0; i < n; i++) {
                s.time[i] = (i == 0) ? 100 : 10;
            }

            lb_simulate(f, &s);
            assert_true(s.count[0] < 0.15 * REQUESTS / n);
            assert_true(s.count[0] > 0);

            lb_fixture_stop(f);
        }
    }
}


static void
a_server_that_fails_fast_does_not_look_fast(void **state)
{
    uint32_t       i, index, n;
    lb_how_t       how;
    lb_fixture_t  *f;

    (void) state;

    f = fixture(4, NULL, lb_method_least_time);
    n = 0;

    for (i = 0; i < 4; i++) {
        lb_latency_enter(&lb_roster_server(f->roster, i)->latency, 50000,
                         f->ask.now);
    }

    for (i = 0; i < 1000; i++) {
        f->ask.now += 1;
        f->ask.tried.number = 0;
        index = lb_pick(f->roster, lb_method_least_time, &f->ask, &how);
        lb_load_drop(&f->load, f->row, index);

        if (index == 0) {
            n++;
            lb_latency_fail(&lb_roster_server(f->roster, 0)->latency, 0,
                            f->ask.now);
        } else {
            lb_latency_enter(&lb_roster_server(f->roster, index)->latency,
                             50000, f->ask.now);
        }
    }

    assert_true(n < 10);

    lb_fixture_stop(f);
}


static void
least_conn_finds_the_idle_one_of_many(void **state)
{
    uint32_t       i, k, misses;
    lb_how_t       how;
    lb_fixture_t  *f;

    (void) state;

    f = fixture(LB_FIXTURE_LINES, NULL, lb_least_conn);
    misses = 0;

    for (i = 0; i < LB_FIXTURE_LINES; i++) {
        assert_true(lb_load_take(&f->load, f->row, i, 0));
        assert_true(lb_load_take(&f->load, f->row, i, 0));
    }

    /* hints may be late by some picks, but not for long */

    for (i = 0; i < 1000; i++) {
        k = (i * 7) % LB_FIXTURE_LINES;
        lb_load_drop(&f->load, f->row, k);
        misses += lb_pick(f->roster, lb_least_conn, &f->ask, &how) != k;
    }

    assert_true(misses < 1000);

    for (i = 0; i < LB_FIXTURE_LINES; i++) {
        assert_in_range(lb_load_active(&f->load, i), 1, 3);
    }

    lb_fixture_stop(f);
}


/* what holds for all methods */

static void
every_method_gives_a_request_each_server_once(void **state)
{
    uint32_t       i, k, index, sum;
    lb_how_t       how;
    lb_fixture_t  *f;

    (void) state;

    for (k = 0; k < lengthof(methods); k++) {
        f = fixture(50, NULL, methods[k]);
        sum = 0;

        for (i = 0; i < 50; i++) {
            index = lb_pick(f->roster, methods[k], &f->ask, &how);
            assert_true(index < 50);
            f->tried[f->ask.tried.number++] = (uint16_t) index;
            sum += index;
        }

        assert_int_equal(sum, 49 * 50 / 2);
        assert_int_equal(lb_pick(f->roster, methods[k], &f->ask, &how),
                         LB_NONE);

        lb_fixture_stop(f);
    }
}


static void
every_method_keeps_to_max_conns(void **state)
{
    uint32_t       i, k;
    lb_how_t       how;
    lb_fixture_t  *f;

    (void) state;

    for (k = 0; k < lengthof(methods); k++) {
        f = fixture(40, NULL, methods[k]);

        for (i = 0; i < 40; i++) {
            lb_roster_server(f->roster, i)->max_conns = 2;
        }

        for (i = 0; i < 80; i++) {
            f->ask.key = lb_random(&f->random);
            assert_int_not_equal(lb_pick(f->roster, methods[k], &f->ask,
                                         &how), LB_NONE);
        }

        assert_int_equal(lb_pick(f->roster, methods[k], &f->ask, &how),
                         LB_NONE);

        lb_fixture_stop(f);
    }
}


static void
every_method_leaves_out_who_is_out_and_keeps_backups(void **state)
{
    uint32_t       i, k, index;
    lb_how_t       how;
    lb_rules_t     rules;
    lb_fixture_t  *f;

    (void) state;

    for (k = 0; k < lengthof(methods); k++) {
        f = calloc(1, sizeof(lb_fixture_t));

        for (i = 0; i < 8; i++) {
            lb_fixture_line(f, 1 + i % 3)->status = (i > 5) ? LB_BACKUP : 0;
        }

        lb_fixture_start(f);

        rules = (lb_rules_t) { .cells = (methods[k] == lb_hash) };
        lb_roster_rule(f->roster, &rules);

        atomic_fetch_or(&lb_roster_server(f->roster, 0)->status, LB_EJECTED);
        atomic_fetch_or(&lb_roster_server(f->roster, 1)->status, LB_DRAINING);
        atomic_fetch_or(&lb_roster_server(f->roster, 2)->status,
                        LB_UNHEALTHY);
        lb_fixture_build(f->roster);
        atomic_fetch_or(&lb_roster_server(f->roster, 3)->status, LB_DISABLED);

        for (i = 0; i < 200; i++) {
            f->ask.key = lb_random(&f->random);
            index = lb_pick(f->roster, methods[k], &f->ask, &how);
            assert_in_range(index, 4, 5);
            lb_load_drop(&f->load, f->row, index);
        }

        f->tried[f->ask.tried.number++] = 4;
        f->tried[f->ask.tried.number++] = 5;

        assert_in_range(lb_pick(f->roster, methods[k], &f->ask, &how), 6, 7);

        lb_fixture_stop(f);
    }
}


/* the share of picks that server 0 gets */

static double
share(lb_fixture_t *f, lb_method_pt method)
{
    uint32_t  i, n, index;
    lb_how_t  how;

    n = 0;

    for (i = 0; i < 4000; i++) {
        f->ask.key = lb_random(&f->random);
        index = lb_pick(f->roster, method, &f->ask, &how);
        lb_load_drop(&f->load, f->row, index);
        n += (index == 0);
    }

    return n / 4000.0;
}


static void
a_server_that_comes_back_starts_slowly_with_every_method(void **state)
{
    double         expected;
    uint32_t       k, age;
    lb_rules_t     rules;
    lb_server_t   *server;
    lb_fixture_t  *f;

    (void) state;

    for (k = 0; k < lengthof(methods); k++) {
        f = fixture(4, NULL, methods[k]);
        server = lb_roster_server(f->roster, 0);

        rules = (lb_rules_t) { .slow_start = 10000,
                               .cells = (methods[k] == lb_hash) };
        lb_roster_rule(f->roster, &rules);

        atomic_fetch_or(&server->status, LB_EJECTED);
        lb_fixture_build(f->roster);
        atomic_fetch_and(&server->status, ~(uint32_t) LB_EJECTED);
        lb_fixture_build(f->roster);

        assert_true(share(f, methods[k]) < 0.02);

        for (age = 2500; age <= 10000; age += 2500) {
            f->ask.now = 1000000 + age;

            /* of shares 1, 1, 1 and p, the last is p / (3 + p) */

            expected = age / 10000.0 / (3 + age / 10000.0);
            assert_true(fabs(share(f, methods[k]) - expected) < 0.04);
        }

        assert_int_equal(lb_roster_status(f->roster, 0), LB_USED);

        lb_fixture_stop(f);
    }
}


static void
the_only_server_does_not_start_slowly(void **state)
{
    uint32_t       k;
    lb_rules_t     rules;
    lb_server_t   *server;
    lb_fixture_t  *f;

    (void) state;

    for (k = 0; k < lengthof(methods); k++) {
        f = fixture(1, NULL, methods[k]);
        server = lb_roster_server(f->roster, 0);

        rules = (lb_rules_t) { .slow_start = 10000,
                               .cells = (methods[k] == lb_hash) };
        lb_roster_rule(f->roster, &rules);

        atomic_fetch_or(&server->status, LB_EJECTED);
        lb_fixture_build(f->roster);
        atomic_fetch_and(&server->status, ~(uint32_t) LB_EJECTED);
        lb_fixture_build(f->roster);

        assert_true(share(f, methods[k]) == 1.0);

        lb_fixture_stop(f);
    }
}


static void
servers_of_the_start_do_not_start_slowly(void **state)
{
    uint32_t       i;
    lb_rules_t     rules = { .slow_start = 10000 };
    lb_roster_t   *roster;
    lb_fixture_t  *f;

    (void) state;

    f = fixture(3, NULL, lb_method_random);
    roster = lb_fixture_roster(8, 1);

    lb_roster_rule(roster, &rules);
    assert_true(lb_sync_lines(roster, f->lines, 2, NULL, NULL));
    lb_fixture_build(roster);

    for (i = 0; i < 2; i++) {
        assert_int_equal(lb_roster_status(roster, i), LB_USED);
    }

    /* one that is added later does */

    assert_true(lb_sync_lines(roster, f->lines, 3, NULL, NULL));
    lb_fixture_build(roster);
    assert_int_equal(lb_roster_status(roster, 1), LB_USED);
    assert_int_equal(lb_roster_status(roster, 2), LB_USED | LB_SLOW);
    assert_false(lb_roster_stale(roster));

    free(roster);
    lb_fixture_stop(f);
}


static void
in_a_panic_all_but_disabled_and_draining_servers_are_used(void **state)
{
    uint32_t       i, k, index, seen;
    lb_how_t       how;
    lb_rules_t     rules;
    lb_fixture_t  *f;

    (void) state;

    for (k = 0; k < lengthof(methods); k++) {
        f = fixture(6, NULL, methods[k]);

        rules = (lb_rules_t) { .panic = 50,
                               .cells = (methods[k] == lb_hash) };
        lb_roster_rule(f->roster, &rules);

        atomic_fetch_or(&lb_roster_server(f->roster, 0)->status, LB_DISABLED);
        atomic_fetch_or(&lb_roster_server(f->roster, 1)->status, LB_DRAINING);
        atomic_fetch_or(&lb_roster_server(f->roster, 2)->status, LB_EJECTED);
        atomic_fetch_or(&lb_roster_server(f->roster, 3)->status,
                        LB_UNHEALTHY);
        lb_fixture_build(f->roster);

        /* two of four are left: not fewer than half */

        assert_int_equal(f->roster->panicking, 0);

        atomic_fetch_or(&lb_roster_server(f->roster, 4)->status,
                        LB_UNHEALTHY);
        lb_fixture_build(f->roster);

        assert_int_equal(f->roster->panicking, 1);
        assert_true(lb_pick_left(f->roster, &f->ask, false));

        seen = 0;

        for (i = 0; i < 400; i++) {
            f->ask.key = lb_random(&f->random);
            index = lb_pick(f->roster, methods[k], &f->ask, &how);
            lb_load_drop(&f->load, f->row, index);
            seen |= 1u << index;
        }

        assert_int_equal(seen, 0x3c);

        atomic_fetch_and(&lb_roster_server(f->roster, 4)->status,
                         ~(uint32_t) LB_UNHEALTHY);
        lb_fixture_build(f->roster);
        assert_int_equal(f->roster->panicking, 0);

        lb_fixture_stop(f);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(random_keeps_to_weights_within_one_per_cent),
        cmocka_unit_test(hash_keeps_to_weights_within_one_per_cent),
        cmocka_unit_test(p2c_keeps_to_weights_at_any_load),
        cmocka_unit_test(two_choices_are_two_servers),
        cmocka_unit_test(a_heavy_server_that_is_ill_gets_little),
        cmocka_unit_test(who_has_waited_for_long_counts_before_it_is_answered),
        cmocka_unit_test(least_time_spreads_over_equal_servers_evenly),
        cmocka_unit_test(least_conn_keeps_to_weights_at_any_load),
        cmocka_unit_test(least_conn_is_round_robin_while_nobody_is_busy),
        cmocka_unit_test(
                 two_choices_are_better_than_one_and_all_are_better_than_two),
        cmocka_unit_test(a_server_ten_times_slower_gets_little_by_least_time),
        cmocka_unit_test(a_server_that_fails_fast_does_not_look_fast),
        cmocka_unit_test(least_conn_finds_the_idle_one_of_many),
        cmocka_unit_test(every_method_gives_a_request_each_server_once),
        cmocka_unit_test(every_method_keeps_to_max_conns),
        cmocka_unit_test(every_method_leaves_out_who_is_out_and_keeps_backups),
        cmocka_unit_test(
                    a_server_that_comes_back_starts_slowly_with_every_method),
        cmocka_unit_test(the_only_server_does_not_start_slowly),
        cmocka_unit_test(servers_of_the_start_do_not_start_slowly),
        cmocka_unit_test(
                   in_a_panic_all_but_disabled_and_draining_servers_are_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
