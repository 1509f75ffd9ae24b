
/*
 * A request that is caught while its slot changes hands.  What others see
 * of it are its atomic operations, so the lock-free files are compiled once
 * more with a hook before each of these; there the table is changed under
 * it, once or twice, all within one millisecond.  Whatever it then does
 * must be to its own client's bucket.
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
#undef atomic_compare_exchange_strong_explicit

#define atomic_load_explicit(place, order)                                    \
    (point(), *(place))
#define atomic_compare_exchange_strong_explicit(place, from, to, yes, no)     \
    hooked_swap(place, from, to)

#include "src/core/limit/tb_table.c"
#include "src/core/limit/tb_table_overflow.c"
#include "src/core/limit/tb_table_survey.c"
#include "src/core/limit/tb_table_sweep.c"
#include "src/core/limit/tb_take.c"

#include "t/unit/limit/tb_fixture.h"


#define NOW     ((UINT64_C(5) << TB_STAMP_BITS) - 1)
#define DFLT    tb_limits(100, 0, 0)
#define OWN     tb_limits(500, 0, TB_LIMITS_REGISTERED)

#define A       1              /* whose request it is */
#define B       2              /* who takes its place */
#define HAS     (9 * TB_TOKEN) /* A at first; all others have less */
#define COST    (4 * TB_TOKEN)
#define DEEP    (40 * TB_TOKEN)
#define R_WAIT  TB_STEPS_A_SECOND


typedef struct {
    const char    *name;
    tb_verdict_t (*work)(tb_table_t *t);
    int64_t        moves;      /* µtok that go in, or out if < 0 */
} request_t;

typedef struct {
    const char    *name;
    void         (*change)(tb_table_t *t);
} change_t;


/* What happens to the request that is under way, and when. */

typedef struct {
    tb_table_t      *table;
    const char      *name;
    const change_t  *changes[2];
    int              at[2];    /* before which atomic operation */
    int              count;    /* of these so far */
    bool             inside;   /* a change is being made */
    int64_t          changed;  /* µtok that the changes moved */
    int64_t          of_b;     /* B's tokens after the last change, or
                                  INT64_MIN */
} catch_t;


static catch_t      caught;
static tb_result_t  res;
static tb_result_t  said;      /* to the request that was caught */


static int64_t
tokens_of(tb_table_t *t, uint64_t key)
{
    tb_hash_t    h;
    tb_result_t  result;

    h = fixture_key(key);

    return tb_table_read(t, &h, NOW, DFLT, &result) == TB_PASS
           ? result.left : INT64_MIN;
}


/* What all slots hold together. */

static int64_t
worth(tb_table_t *t)
{
    int64_t   sum;
    uint32_t  i;

    sum = 0;

    for (i = 0; i < tb_table_slots(t); i++) {
        sum += tb_word_tokens(tb_table_slot(t, i)->word);
    }

    return sum;
}


static void
check_b(void)
{
    if (tokens_of(caught.table, B) != caught.of_b) {
        fail_msg("%s, %s at %d, %s at %d: somebody else's tokens changed",
                 caught.name, caught.changes[0]->name, caught.at[0],
                 caught.changes[1]->name, caught.at[1]);
    }
}


static void
point(void)
{
    int      i;
    int64_t  before;

    if (caught.inside) {
        return;
    }

    caught.inside = true;

    for (i = 0; i < 2; i++) {

        if (caught.at[i] == caught.count) {
            check_b();

            before = worth(caught.table);
            caught.changes[i]->change(caught.table);
            caught.changed += worth(caught.table) - before;
            caught.of_b = tokens_of(caught.table, B);
        }
    }

    caught.count++;
    caught.inside = false;
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


static bool
ask(tb_table_t *t, uint64_t key, uint64_t cost)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return fixture_ask(t, &h, NOW, DFLT, cost, &res) == TB_PASS;
}


static void
give(tb_table_t *t, uint64_t key, uint64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);
    (void) tb_table_give(t, &h, NOW, DFLT, tokens);
}


static void
put(tb_table_t *t, uint64_t key, tb_limits_t limits, uint64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);
    assert_true(tb_table_put(t, &h, NOW, DFLT, limits, tokens));
}


/* A new key in A's place, with just as many tokens. */

static void
change_displaces(tb_table_t *t)
{
    if (ask(t, B, TB_TOKEN)) {
        give(t, B, TB_TOKEN);
    }
}


static void
change_displaces_and_takes(tb_table_t *t)
{
    (void) ask(t, B, TB_TOKEN);
}


/* Away and back again, with just as many tokens. */

static void
change_displaces_and_returns(tb_table_t *t)
{
    if (ask(t, B, TB_TOKEN)) {
        give(t, B, TB_TOKEN);
    }

    if (ask(t, A, TB_TOKEN)) {
        give(t, A, TB_TOKEN);
    }
}


static void
change_puts(tb_table_t *t)
{
    put(t, B, OWN, HAS);
}


static void
change_puts_a_drained_one(tb_table_t *t)
{
    put(t, B, tb_limits(1, 0, TB_LIMITS_REGISTERED), 0);
}


static void
change_registers(tb_table_t *t)
{
    put(t, A, OWN, HAS);
}


static void
change_takes(tb_table_t *t)
{
    (void) ask(t, A, TB_TOKEN);
}


static tb_verdict_t
work_take(tb_table_t *t)
{
    tb_hash_t  h;

    h = fixture_key(A);

    return tb_table_take(t, &h, NOW, DFLT, COST, &said);
}


static tb_verdict_t
work_give(tb_table_t *t)
{
    give(t, A, COST);

    return TB_ABSENT;
}


/* Into debt, or not at all. */

static tb_verdict_t
work_wait(tb_table_t *t)
{
    tb_hash_t  h;
    uint64_t   hold;

    h = fixture_key(A);
    (void) tb_table_wait(t, &h, NOW, tb_limits(100, R_WAIT, 0), DEEP,
                         UINT64_MAX, &said, &hold);

    return TB_ABSENT;
}


static tb_verdict_t
work_charge(tb_table_t *t)
{
    tb_hash_t  h;
    uint64_t   charged;

    h = fixture_key(A);
    (void) tb_table_charge(t, &h, NOW, DFLT, DEEP, -TB_DEBT_MAX, &said,
                           &charged);

    return TB_ABSENT;
}


/* To what it had, so that nothing moves unless it was somebody else's. */

static tb_verdict_t
work_set(tb_table_t *t)
{
    tb_hash_t  h;

    h = fixture_key(A);
    (void) tb_table_set_tokens(t, &h, NOW, DFLT, HAS);

    return TB_ABSENT;
}


/* What it has, or has no longer: nothing to do either way. */

static tb_verdict_t
work_lower(tb_table_t *t)
{
    tb_hash_t  h;

    h = fixture_key(A);
    (void) tb_table_lower_tokens(t, &h, NOW, DFLT, HAS);

    return TB_ABSENT;
}


static tb_verdict_t
work_tick(tb_table_t *t)
{
    tb_sweep_t  seen;

    memset(&seen, 0, sizeof(seen));
    tb_table_tick(t, 0, TB_GROUP_SLOTS, NOW + 5, DFLT, &seen);

    return TB_ABSENT;
}


static const request_t  requests[] = {
    { "take", work_take, -(int64_t) COST },
    { "give", work_give, (int64_t) COST },
    { "wait", work_wait, -(int64_t) DEEP },
    { "charge", work_charge, -(int64_t) DEEP },
    { "set", work_set, 0 },
    { "lower", work_lower, 0 },
    { "tick", work_tick, 0 }
};

static const change_t  changes[] = {
    { "displaced", change_displaces },
    { "displaced, with fewer tokens", change_displaces_and_takes },
    { "displaced and returned", change_displaces_and_returns },
    { "displaced by a client", change_puts },
    { "displaced by a drained client", change_puts_a_drained_one },
    { "registered", change_registers },
    { "taken from", change_takes }
};

#define NREQUESTS  (sizeof(requests) / sizeof(requests[0]))
#define NCHANGES   (sizeof(changes) / sizeof(changes[0]))


/* A group that is full: A has most, three more may be displaced. */

static tb_table_t *
prepare(void)
{
    uint64_t     i;
    tb_table_t  *t;

    t = fixture_create(fixture_size(1));

    put(t, A, 0, HAS);

    for (i = 100; i < 100 + TB_GROUP_SLOTS - 1; i++) {
        put(t, i, i < 103 ? 0 : OWN, TB_TOKEN);
    }

    return t;
}


/* Returns how many atomic operations the request was. */

static int
run(const request_t *rq)
{
    int64_t       before, moved;
    tb_table_t   *t;
    tb_verdict_t  verdict;

    caught.inside = true;

    t = prepare();
    before = worth(t);

    caught.table = t;
    caught.name = rq->name;
    caught.count = 0;
    caught.changed = 0;
    caught.of_b = INT64_MIN;

    caught.inside = false;
    verdict = rq->work(t);
    caught.inside = true;

    check_b();
    moved = worth(t) - before - caught.changed;

    if ((rq->work != work_set && moved != 0 && moved != rq->moves)
        || (rq->work == work_take && (verdict == TB_PASS) != (moved != 0)))
    {
        fail_msg("%s, %s at %d, %s at %d: said %d and moved %lld", rq->name,
                 caught.changes[0]->name, caught.at[0],
                 caught.changes[1]->name, caught.at[1], verdict,
                 (long long) moved);
    }

    if (rq->work == work_take && verdict != TB_ABSENT && said.limits != DFLT
        && caught.changes[0]->change != change_registers
        && caught.changes[1]->change != change_registers)
    {
        fail_msg("%s, %s at %d, %s at %d: limits of somebody else", rq->name,
                 caught.changes[0]->name, caught.at[0],
                 caught.changes[1]->name, caught.at[1]);
    }

    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    free(t);

    return caught.count;
}


static void
test_request_caught_anywhere_moves_its_own_tokens(void **state)
{
    int     first, n, second;
    size_t  i, k, r;

    (void) state;

    for (r = 0; r < NREQUESTS; r++) {

        for (i = 0; i < NCHANGES; i++) {

            for (k = 0; k < NCHANGES; k++) {
                caught.changes[0] = &changes[i];
                caught.changes[1] = &changes[k];

                n = 1;

                for (first = 0; first < n; first++) {

                    for (second = first; second <= n; second++) {
                        caught.at[0] = first;
                        caught.at[1] = second;

                        n = run(&requests[r]);
                    }
                }

                /* it was caught at all, and had to look again at times */

                assert_true(first > 3);
            }
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_request_caught_anywhere_moves_its_own_tokens)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
