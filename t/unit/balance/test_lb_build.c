
/*
 * Views that are built in steps: what becomes of them, whatever the steps and
 * whatever happens between two of them.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>


typedef struct {
    uint32_t  against;
    uint32_t  length[2];
    uint32_t  number[2];
    uint16_t  order[2][LB_ORDER_MAX];
    uint16_t  set[2][LB_FIXTURE_LINES];
    uint32_t  units[2][LB_FIXTURE_LINES];
} seen_t;


static void
see(lb_roster_t *roster, seen_t *seen)
{
    uint32_t   i, tier;
    lb_view_t  view;

    memset(seen, 0, sizeof(seen_t));

    for (tier = 0; tier < 2; tier++) {
        (void) lb_roster_view(roster, tier, &view);

        seen->against = view.against;
        seen->length[tier] = view.order_length;
        seen->number[tier] = view.set_length;

        for (i = 0; i < view.order_length; i++) {
            seen->order[tier][i] = view.order[i];
        }

        for (i = 0; i < view.set_length; i++) {
            seen->set[tier][i] = view.set[i];
            seen->units[tier][i] = view.units[i];
        }
    }
}


/* 60 servers of different weights and 20 backups; some of them are down */

static lb_fixture_t *
fixture(bool hashed)
{
    uint32_t      i;
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    for (i = 0; i < 80; i++) {
        lb_fixture_line(f, 1 + i * 7 % 61)->status = (i % 4 == 3) ? LB_BACKUP
                                                                  : 0;
    }

    lb_fixture_start(f);

    lb_roster_rule(f->roster, &(lb_rules_t) { .cells = hashed });

    for (i = 0; i < 80; i += 5) {
        (void) lb_passive_failed(f->roster, i, 1000);
    }

    return f;
}


static void *
memory(lb_fixture_t *f)
{
    void  *block;

    block = aligned_alloc(LB_LINE, lb_build_size(f->roster));
    assert_non_null(block);
    memset(block, 0xa5, lb_build_size(f->roster));

    return block;
}


static void
steps_of_any_size_make_the_same_view(void **state)
{
    void          *block;
    uint32_t       i, k, n;
    uint64_t       before;
    lb_build_t    *build;
    lb_fixture_t  *f;

    static seen_t          whole, stepped;
    static const uint32_t  works[] = { 1, 7, 1000, 100000 };

    (void) state;

    for (i = 0; i < 8; i++) {
        f = fixture(i & 1);
        lb_fixture_build(f->roster);
        see(f->roster, &whole);
        lb_fixture_stop(f);

        f = fixture(i & 1);
        block = memory(f);
        build = lb_build_start(f->roster, block);

        for (n = 0, k = works[i / 2];; n++) {
            before = build->work;

            if (lb_build_step(build, k)) {
                break;
            }

            /* one thing more than was asked for, at most */

            assert_in_range(build->work - before, k,
                            k + LB_ORDER_MAX / 8 + 1000);
        }

        assert_true(n >= build->work / (k + 10000));
        assert_true(lb_build_publish(build));

        see(f->roster, &stepped);
        assert_memory_equal(&whole, &stepped, sizeof(seen_t));
        assert_false(lb_roster_stale(f->roster));

        free(block);
        lb_fixture_stop(f);
    }
}


static void
a_build_that_was_left_leaves_nothing_behind(void **state)
{
    void          *block;
    lb_fixture_t  *f;

    static seen_t  before, after;

    (void) state;

    f = fixture(true);
    block = memory(f);

    see(f->roster, &before);

    (void) lb_build_step(lb_build_start(f->roster, block), 5000);

    see(f->roster, &after);
    assert_memory_equal(&before, &after, sizeof(seen_t));
    assert_true(lb_roster_stale(f->roster));

    lb_fixture_build(f->roster);
    assert_false(lb_roster_stale(f->roster));

    free(block);
    lb_fixture_stop(f);
}


static void
a_late_builder_does_not_undo_a_newer_view(void **state)
{
    void          *block;
    uint32_t       i;
    lb_build_t    *build;
    lb_fixture_t  *f;

    static seen_t  before, after;

    (void) state;

    for (i = 1; i <= 2; i++) {
        f = fixture(false);
        block = memory(f);
        build = lb_build_start(f->roster, block);

        (void) lb_passive_failed(f->roster, 1, 1000);
        lb_fixture_build(f->roster);

        if (i == 2) {
            (void) lb_passive_failed(f->roster, 2, 1000);
            lb_fixture_build(f->roster);
        }

        see(f->roster, &before);

        assert_true(lb_build_step(build, UINT32_MAX));
        assert_false(lb_build_publish(build));

        see(f->roster, &after);
        assert_memory_equal(&before, &after, sizeof(seen_t));
        assert_false(lb_roster_stale(f->roster));

        free(block);
        lb_fixture_stop(f);
    }
}


static void
a_change_under_way_is_left_to_the_next_build(void **state)
{
    void          *block;
    lb_build_t    *build;
    lb_fixture_t  *f;

    static seen_t  seen;

    (void) state;

    f = fixture(false);
    block = memory(f);
    build = lb_build_start(f->roster, block);

    (void) lb_build_step(build, 100);
    (void) lb_passive_failed(f->roster, 1, 1000);
    (void) lb_build_step(build, UINT32_MAX);

    assert_true(lb_build_publish(build));
    see(f->roster, &seen);
    assert_int_equal(seen.set[0][0], 1);
    assert_true(lb_roster_stale(f->roster));

    lb_fixture_build(f->roster);
    see(f->roster, &seen);
    assert_int_equal(seen.set[0][0], 2);

    free(block);
    lb_fixture_stop(f);
}


/* the roster of ranks that a reload has turned round */

static void
ranks_in_any_order_become_the_order_of_the_set(void **state)
{
    uint32_t       i;
    lb_fixture_t  *f;

    static seen_t  seen;

    (void) state;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    for (i = 0; i < 100; i++) {
        lb_fixture_line(f, 1)->status = (i % 3 == 2) ? LB_BACKUP : 0;
    }

    lb_fixture_start(f);

    for (i = 0; i < 100; i++) {
        lb_roster_server(f->roster, i)->rank = (100 - i) * 70000;
    }

    lb_fixture_build(f->roster);
    see(f->roster, &seen);

    assert_int_equal(seen.number[0] + seen.number[1], 100);

    for (i = 1; i < seen.number[0]; i++) {
        assert_true(seen.set[0][i] < seen.set[0][i - 1]);
    }

    for (i = 1; i < seen.number[1]; i++) {
        assert_true(seen.set[1][i] < seen.set[1][i - 1]);
    }

    lb_fixture_stop(f);
}


static void
a_view_that_is_out_of_date_refuses_nobody(void **state)
{
    uint32_t      i;
    lb_fixture_t  *f;

    (void) state;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    for (i = 0; i < 4; i++) {
        lb_fixture_line(f, 1);
    }

    f->lines[2].status = LB_DISABLED;
    f->lines[3].status = LB_BACKUP;

    lb_fixture_start(f);

    /* enabled, and the others gone, but not in force yet */

    atomic_fetch_and(&lb_roster_server(f->roster, 2)->status,
                     ~(uint32_t) LB_DISABLED);
    atomic_fetch_or(&lb_roster_server(f->roster, 0)->status, LB_REMOVED);
    atomic_fetch_or(&lb_roster_server(f->roster, 1)->status, LB_UNHEALTHY);
    atomic_fetch_or(&lb_roster_server(f->roster, 3)->status, LB_UNHEALTHY);

    assert_int_equal(lb_fixture_request(f), 2);

    /* a panic begins at once, and is over at once */

    atomic_fetch_or(&lb_roster_server(f->roster, 2)->status, LB_UNHEALTHY);
    assert_int_equal(lb_fixture_request(f), LB_NONE);

    atomic_store(&f->roster->panic, 50);
    assert_in_range(lb_fixture_request(f), 1, 2);

    atomic_store(&f->roster->panic, 0);
    assert_int_equal(lb_fixture_request(f), LB_NONE);

    lb_fixture_stop(f);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(steps_of_any_size_make_the_same_view),
        cmocka_unit_test(a_build_that_was_left_leaves_nothing_behind),
        cmocka_unit_test(a_late_builder_does_not_undo_a_newer_view),
        cmocka_unit_test(a_change_under_way_is_left_to_the_next_build),
        cmocka_unit_test(ranks_in_any_order_become_the_order_of_the_set),
        cmocka_unit_test(a_view_that_is_out_of_date_refuses_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
