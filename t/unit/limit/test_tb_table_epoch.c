
/*
 * Time that nobody was there to see: nginx, or the whole machine, stands
 * still for any length of time, and afterwards whoever comes first, a
 * request or a tick, finds each bucket with what that time earned and no
 * more.  Also with several processes at once that stop, die or go on with the
 * time of before at any of their atomic operations; for that, the table is
 * compiled once more with a hook before each.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>


static void point(void);
static bool hooked_swap(_Atomic uint64_t *place, uint64_t *from,
    uint64_t to);


#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_compare_exchange_strong_explicit

#define atomic_load_explicit(place, order)                                    \
    (point(), *(place))
#define atomic_store_explicit(place, value, order)                            \
    (point(), (void) (*(place) = (value)))
#define atomic_compare_exchange_strong_explicit(place, from, to, yes, no)     \
    hooked_swap(place, from, to)

#include "src/core/limit/tb_table.c"
#include "src/core/limit/tb_table_edit.c"
#include "src/core/limit/tb_table_epoch.c"
#include "src/core/limit/tb_table_overflow.c"
#include "src/core/limit/tb_table_survey.c"
#include "src/core/limit/tb_table_sweep.c"
#include "src/core/limit/tb_take.c"

#include "t/unit/limit/tb_fixture.h"


#define NOW     ((UINT64_C(5) << TB_STAMP_BITS) - 1)
#define HOUR    UINT64_C(3600000)
#define DAY     (24 * HOUR)

/* ms by which the clocks of processes differ */
#define LAG     3

#define KEYS    8
#define OWNERS  3              /* of these have limits of their own */


/* A bucket by exact arithmetic, in parts of 1/864 µtok. */

typedef struct {
    unsigned __int128  tokens;
    uint64_t           at;
    uint64_t           changes;    /* each may lose 1 µtok */
    tb_limits_t        limits;
} model_t;


static struct {
    int       at;                  /* before which atomic operation */
    int       count;
    bool      dies;
    bool      off;
    void    (*meanwhile)(void);
    jmp_buf   death;
} hook = { .off = true };


static void
point(void)
{
    if (hook.off || hook.count++ != hook.at) {
        return;
    }

    hook.off = true;

    if (hook.meanwhile) {
        hook.meanwhile();
    }

    if (hook.dies) {
        longjmp(hook.death, 1);
    }
}


static bool
hooked_swap(_Atomic uint64_t *place, uint64_t *from, uint64_t to)
{
    point();

    if (*place != *from) {
        *from = *place;
        return false;
    }

    *place = to;

    return true;
}


static unsigned __int128
model_full(const model_t *m)
{
    return (unsigned __int128) tb_limits_full(m->limits) * TB_STEPS_A_UTOK;
}


static void
model_settle(model_t *m, uint64_t now)
{
    if (now > m->at) {
        m->tokens += (unsigned __int128) tb_limits_rate(m->limits)
                     * (now - m->at);
        m->at = now;
    }

    if (m->tokens > model_full(m)) {
        m->tokens = model_full(m);
    }
}


static void
model_take(model_t *m, uint64_t cost)
{
    unsigned __int128  parts;

    parts = (unsigned __int128) cost * TB_STEPS_A_UTOK;

    m->tokens = m->tokens > parts ? m->tokens - parts : 0;
    m->changes++;
}


/* Up to what clocks differ by, and what was rounded down. */

static void
model_check(model_t *m, uint64_t tokens, uint64_t now, const char *what)
{
    uint64_t  ideal, slack;

    model_settle(m, now);

    ideal = (uint64_t) (m->tokens / TB_STEPS_A_UTOK);
    slack = tb_limits_rate(m->limits) * LAG / TB_STEPS_A_UTOK + 1;

    if (tokens > ideal + slack) {
        fail_msg("%s: %llu µtok created", what,
                 (unsigned long long) (tokens - ideal));
    }

    if (tokens + 2 * slack + m->changes < ideal) {
        fail_msg("%s: %llu µtok lost", what,
                 (unsigned long long) (ideal - tokens));
    }
}


/* Any length, and often one at which stamps repeat. */

static uint64_t
freeze(tb_random_t *rnd)
{
    uint64_t  length;

    switch (tb_random(rnd) % 4) {

    case 0:
        return tb_random_scale(rnd, 1, 1000);

    case 1:
        length = tb_random_in(rnd, 1, 40) * TB_EPOCH_SPAN;
        return length + tb_random_in(rnd, 0, 2000) - 1000;

    default:
        return tb_random_scale(rnd, 1000, 90 * DAY);
    }
}


static tb_limits_t
random_limits(tb_random_t *rnd, uint64_t flags)
{
    uint64_t  rate, time;

    /* which takes from a second to months to fill */

    rate = tb_random_scale(rnd, TB_RATE_MIN, UINT64_C(1000) * 864000);
    time = tb_random_scale(rnd, 1, 100 * 86400) * rate / 864000;

    return tb_limits(time < 1 ? 1 : time > TB_CAPACITY_MAX
                     ? TB_CAPACITY_MAX : (uint32_t) time, rate, flags);
}


static void
request(tb_table_t *t, model_t *models, tb_limits_t dflt, uint64_t now,
    tb_random_t *rnd)
{
    model_t      *m;
    uint64_t      cost, key, late;
    tb_hash_t     h;
    tb_result_t   res;

    key = tb_random(rnd) % KEYS;
    m = &models[key];
    h = fixture_key(key);
    late = now - tb_random_in(rnd, 0, LAG);

    cost = tb_random_in(rnd, 1, tb_limits_full(m->limits));

    if (fixture_ask(t, &h, late, dflt, cost, &res) == TB_PASS) {
        model_check(m, res.left + cost, now, "admitted");
        model_take(m, cost);

    } else {
        model_check(m, res.left, now, "refused");
    }
}


static void
test_any_freeze_earns_what_the_time_is_worth(void **state)
{
    model_t       m[KEYS];
    uint64_t      now;
    uint32_t      i, round, run;
    tb_hash_t     h;
    tb_table_t   *t;
    tb_limits_t   dflt;
    tb_random_t   rnd = { 2026 };
    tb_result_t   res;

    (void) state;

    for (run = 0; run < 400; run++) {
        now = tb_random_scale(&rnd, LAG + 1, 400 * DAY);
        t = fixture_create(fixture_size(2));
        dflt = random_limits(&rnd, 0);

        for (i = 0; i < KEYS; i++) {
            m[i].limits = i < OWNERS
                          ? random_limits(&rnd, TB_LIMITS_REGISTERED) : dflt;
            m[i].tokens = model_full(&m[i]);
            m[i].at = now;
            m[i].changes = 0;

            if (i < OWNERS) {
                h = fixture_key(i);
                assert_true(tb_table_put(t, &h, now, dflt, m[i].limits,
                                         tb_limits_full(m[i].limits)));
            }
        }

        for (round = 0; round < 60; round++) {
            now += freeze(&rnd);

            for (i = 0; i < 6; i++) {

                if (tb_random(&rnd) % 3 == 0) {
                    (void) fixture_sweep(t, now - tb_random_in(&rnd, 0, LAG),
                                         dflt);
                }

                request(t, m, dflt, now, &rnd);
            }

            for (i = 0; i < KEYS; i++) {
                h = fixture_key(i);

                /* who is not there any more was full */

                model_check(&m[i],
                            tb_table_read(t, &h, now, dflt, &res) == TB_PASS
                            ? (uint64_t) res.left
                            : tb_limits_full(m[i].limits),
                            now, "read");
            }

            assert_true(tb_table_check(t, now, dflt) == 0);
        }

        free(t);
    }
}


static void
test_freezes_leave_the_overflow_bucket_right(void **state)
{
    model_t       m;
    uint64_t      cost, late, now;
    uint32_t      round, run;
    tb_table_t   *t;
    tb_limits_t   dflt;
    tb_random_t   rnd = { 11 };
    tb_result_t   res;

    (void) state;

    for (run = 0; run < 200; run++) {
        now = tb_random_scale(&rnd, LAG + 1, 400 * DAY);
        t = fixture_create(fixture_size(1));
        dflt = random_limits(&rnd, 0);

        m.limits = dflt;
        m.tokens = model_full(&m);
        m.at = now;
        m.changes = 0;

        for (round = 0; round < 100; round++) {
            now += freeze(&rnd);
            late = now - tb_random_in(&rnd, 0, LAG);

            if (tb_random(&rnd) % 3 == 0) {
                tb_table_tick_overflow(t, late, dflt, false);
            }

            cost = tb_random_in(&rnd, 1, tb_limits_full(dflt));

            if (tb_table_take_overflow(t, late, dflt, cost, &res, true)
                == TB_PASS)
            {
                model_check(&m, res.left + cost, now, "admitted");
                model_take(&m, cost);

            } else {
                model_check(&m, res.left, now, "refused");
            }
        }

        free(t);
    }
}


#define A       1              /* whose bucket is looked at */
#define B       2              /* a key that comes in */
#define DFLT    tb_limits(100000, 36 * 864000 / 3600, 0)
#define OWN     tb_limits(50000, 90 * 864000 / 3600, TB_LIMITS_REGISTERED)
#define HAS     (9 * TB_TOKEN)
#define COST    (4 * TB_TOKEN)


/* What is under way when it is caught, and what happens meanwhile. */

static struct {
    tb_table_t    *table;
    tb_limits_t    own;        /* A's limits, or 0 */
    uint64_t       began;      /* the time of what is caught */
    uint64_t       later;      /* that of who comes meanwhile */
    uint64_t       taken;      /* from A, µtok */
} scene;


static void
ask_a(uint64_t now)
{
    tb_hash_t    h;
    tb_result_t  res;

    h = fixture_key(A);

    if (tb_table_take_known(scene.table, &h, now, DFLT, COST, &res)
        == TB_PASS)
    {
        scene.taken += COST;
    }
}


static void
work_take(void)
{
    ask_a(scene.began);
}


static void
work_tick(void)
{
    tb_sweep_t  seen;

    tb_table_tick(scene.table, 0, TB_GROUP_SLOTS, scene.began, DFLT, &seen);
}


static void
work_give(void)
{
    tb_hash_t  h;

    h = fixture_key(A);
    tb_table_give(scene.table, &h, scene.began, DFLT, 0);
}


static void
work_insert(void)
{
    tb_hash_t    h;
    tb_result_t  res;

    h = fixture_key(B);
    (void) tb_table_insert(scene.table, &h, scene.began, DFLT, COST, &res);
}


static void
work_collect(void)
{
    tb_table_collect(scene.table, 0, TB_GROUP_SLOTS, scene.began, DFLT);
}


static void
meanwhile_take(void)
{
    ask_a(scene.later);
}


static void
meanwhile_tick(void)
{
    tb_sweep_t  seen;

    tb_table_tick(scene.table, 0, TB_GROUP_SLOTS, scene.later, DFLT, &seen);
}


static void (*const works[])(void) = {
    work_take, work_tick, work_give, work_insert, work_collect
};

static void (*const meanwhiles[])(void) = { meanwhile_take, meanwhile_tick };

static const uint64_t  lengths[] = {
    0, 2, HOUR, TB_AGE_MAX, 3 * HOUR, 2 * TB_AGE_MAX + 500, 8 * HOUR, 9 * DAY
};

#define NOF(array)  (sizeof(array) / sizeof(array[0]))


/* Neither A nor B has more than its time is worth. */

static void
check_scene(bool exact)
{
    uint64_t      most, now;
    tb_hash_t     h;
    tb_limits_t   limits;
    tb_result_t   res;

    now = scene.later > scene.began ? scene.later : scene.began;
    limits = scene.own ? scene.own : DFLT;

    h = fixture_key(A);
    most = HAS + tb_rate_earned(tb_limits_rate(limits), now - NOW,
                                tb_limits_full(limits));

    assert_true(tb_table_read(scene.table, &h, now, DFLT, &res) == TB_PASS);
    assert_true((uint64_t) res.left + scene.taken <= most);

    if (exact) {
        assert_true((uint64_t) res.left + scene.taken + 10 >= most
                    || (hook.dies && (uint64_t) res.left + scene.taken + COST
                                     + 10 >= most));
    }

    h = fixture_key(B);

    if (tb_table_read(scene.table, &h, now, DFLT, &res) == TB_PASS) {
        assert_true(res.left <= (int64_t) tb_limits_full(DFLT));
        assert_true(res.left >= (int64_t) (tb_limits_full(DFLT) - COST));
    }

    assert_true(tb_table_check(scene.table, now, DFLT) == 0);
}


/* Returns whether it was caught. */

static bool
run_scene(void (*work)(void), void (*meanwhile)(void), uint64_t first,
    uint64_t second, int at, bool dies)
{
    tb_hash_t  h;

    scene.table = fixture_create(fixture_size(1));
    scene.began = NOW + first;
    scene.later = NOW + first + second;
    scene.taken = 0;

    h = fixture_key(A);
    assert_true(tb_table_put(scene.table, &h, NOW, DFLT, scene.own, HAS));

    hook.at = at;
    hook.count = 0;
    hook.dies = dies;
    hook.meanwhile = meanwhile;

    if (setjmp(hook.death) == 0) {
        hook.off = false;
        work();
    }

    hook.off = true;

    /* of two freezes, the second while buckets are seen to after the first,
       that may lose, but never gains */

    check_scene(second == 0 || first == 0);
    meanwhile();
    check_scene(second == 0 || first == 0);

    free(scene.table);

    return hook.count > at;
}


static void
test_stop_or_death_anywhere_creates_nothing(void **state)
{
    int     at;
    size_t  first, i, k, second;

    (void) state;

    for (i = 0; i < 2 * NOF(works) * NOF(meanwhiles); i++) {
        scene.own = i % 2 ? OWN : 0;

        for (k = 0; k < NOF(lengths) * NOF(lengths); k++) {
            first = k % NOF(lengths);
            second = k / NOF(lengths);

            for (at = 0;
                 run_scene(works[i / 2 % NOF(works)],
                           meanwhiles[i / 2 / NOF(works)], lengths[first],
                           lengths[second], at, false);
                 at++)
            {
                (void) run_scene(works[i / 2 % NOF(works)],
                                 meanwhiles[i / 2 / NOF(works)],
                                 lengths[first], lengths[second], at, true);
            }

            assert_true(at > 2);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_any_freeze_earns_what_the_time_is_worth),
        cmocka_unit_test(test_freezes_leave_the_overflow_bucket_right),
        cmocka_unit_test(test_stop_or_death_anywhere_creates_nothing)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
