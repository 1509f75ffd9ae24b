
/* What is remembered of buckets without a slot: never too many tokens. */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "src/core/limit/tb_recall.h"
#include "t/unit/tb_random.h"


#define CELLS  4096
#define NOW    UINT64_C(5000000000)     /* ms, above 2^32 */

#define TEN    tb_limits(100, 10 * TB_STEPS_A_SECOND, 0)


static tb_hash_t
hash(tb_random_t *rnd)
{
    tb_hash_t  h;

    h.lo = tb_random(rnd);
    h.hi = tb_random(rnd);

    return h;
}


static void
test_nothing_is_known(void **state)
{
    tb_hash_t         h = { 1, 2 };
    _Atomic uint32_t  cells[4] = { 0 };

    (void) state;

    assert_int_equal(tb_recall_full(cells, 4, &h), 0);
    assert_int_equal(tb_recall_tokens(TEN, 0, NOW), 100 * TB_TOKEN);
}


static void
test_tokens_until_then(void **state)
{
    (void) state;

    assert_int_equal(tb_recall_tokens(TEN, NOW, NOW), 100 * TB_TOKEN);
    assert_int_equal(tb_recall_tokens(TEN, NOW + 4000, NOW), 60 * TB_TOKEN);
    assert_int_equal(tb_recall_tokens(TEN, NOW + 10000, NOW), 0);
    assert_int_equal(tb_recall_tokens(TEN, NOW + 40000, NOW),
                     -300 * (int64_t) TB_TOKEN);
    assert_int_equal(tb_recall_tokens(TEN, UINT64_MAX, NOW), -TB_DEBT_MAX);
    assert_int_equal(tb_recall_tokens(tb_limits(100, 0, 0), NOW + 1, NOW), 0);

    /* a part of a µtok that is missing is one that is missing */

    assert_int_equal(tb_recall_tokens(tb_limits(1, 1, 0), NOW + 1, NOW),
                     TB_TOKEN - 1);
}


/* Half as many as there are cells: each at the time noted, or later. */

static void
test_never_sooner(void **state)
{
    unsigned           i, late;
    uint64_t           full, *noted;
    tb_hash_t         *h;
    tb_random_t        rnd = { 1 };
    _Atomic uint32_t  *cells;

    (void) state;

    cells = calloc(CELLS, sizeof(*cells));
    h = calloc(CELLS / 2, sizeof(*h));
    noted = calloc(CELLS / 2, sizeof(*noted));
    assert_true(cells && h && noted);

    for (i = 0; i < CELLS / 2; i++) {
        h[i] = hash(&rnd);
        noted[i] = NOW + tb_random_scale(&rnd, 1, 1u << 30);
        tb_recall_note(cells, CELLS, &h[i], noted[i]);
    }

    late = 0;

    for (i = 0; i < CELLS / 2; i++) {
        full = tb_recall_full(cells, CELLS, &h[i]);
        assert_true(full >= noted[i]);
        late += full > noted[i] + TB_RECALL_STEP;
    }

    assert_true(late < CELLS / 8);

    /* others are taken for one of them now and then */

    for (i = 0, late = 0; i < CELLS; i++) {
        h[0] = hash(&rnd);
        late += tb_recall_full(cells, CELLS, &h[0]) != 0;
    }

    assert_true(late < CELLS / 2);

    free(cells);
    free(h);
    free(noted);
}


static void
test_the_end_of_time(void **state)
{
    tb_hash_t         h = { 1, UINT64_MAX };
    _Atomic uint32_t  cells[4] = { 0 };

    (void) state;

    tb_recall_note(cells, 4, &h, UINT64_MAX);
    assert_true(tb_recall_full(cells, 4, &h) > NOW);

    tb_recall_note(cells, 4, &h, NOW);
    assert_true(tb_recall_full(cells, 4, &h) > 2 * NOW);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_nothing_is_known),
        cmocka_unit_test(test_tokens_until_then),
        cmocka_unit_test(test_never_sooner),
        cmocka_unit_test(test_the_end_of_time)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
