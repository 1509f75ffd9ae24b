
/*
 * Who is counted most, among many who are counted seldom.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/limit/tb_top.h"
#include "t/unit/tb_random.h"


#define HEAVY    100
#define SETS     2
#define SIZE     1024
#define SAMPLED  64


static tb_hash_t
key(uint64_t n)
{
    tb_hash_t    h;
    tb_random_t  rnd = { n * 77 + 5 };

    h.lo = tb_random(&rnd) | 1;
    h.hi = tb_random(&rnd);

    return h;
}


static tb_top_t *
create(uint32_t size)
{
    void  *mem;

    mem = malloc(tb_top_size(size));
    assert_non_null(mem);

    return tb_top_init(mem, size);
}


static void
count(tb_top_t *top, uint64_t n, uint64_t weight)
{
    char       id[32];
    tb_hash_t  h;

    h = key(n);
    (void) snprintf(id, sizeof(id), "key-%llu", (unsigned long long) n);

    tb_top_count(top, &h, id, strlen(id), weight);
}


/* Made-up keys, and 100 that come as often as all of these together. */

static void
test_heavy_keys_are_found_among_ten_million(void **state)
{
    int           i;
    size_t        n;
    char          id[TB_TOP_ID + 1];
    uint64_t      made_up;
    tb_top_t     *top[SETS];
    tb_random_t   rnd = { 51 };
    tb_top_row_t  rows[SETS * SIZE];

    static uint64_t  real[HEAVY];

    (void) state;

    for (i = 0; i < SETS; i++) {
        top[i] = create(SIZE);
    }

    for (made_up = 0; made_up < 10000000; made_up++) {

        /* one of 64 admissions is counted, for all of them */

        if (tb_random(&rnd) % SAMPLED == 0) {
            count(top[tb_random(&rnd) % SETS], HEAVY + made_up, SAMPLED);
        }

        i = (int) (tb_random(&rnd) % HEAVY);
        real[i]++;

        if (tb_random(&rnd) % SAMPLED == 0) {
            count(top[tb_random(&rnd) % SETS], (uint64_t) i, SAMPLED);
        }
    }

    n = 0;

    for (i = 0; i < SETS; i++) {
        n = tb_top_read(top[i], rows, n);
    }

    assert_int_equal(n, SETS * SIZE);
    n = tb_top_merge(rows, n);

    for (i = 0; i < HEAVY; i++) {
        assert_true(i == 0 || rows[i].count <= rows[i - 1].count);

        n = tb_top_id(&rows[i], id);
        assert_true(n <= TB_TOP_ID);
        id[n] = '\0';
        assert_true(strncmp(id, "key-", 4) == 0);

        n = (size_t) atol(id + 4);
        assert_true(n < HEAVY);

        /* within what sampling and the algorithm leave open */

        assert_true(rows[i].count > real[n] * 85 / 100);
        assert_true(rows[i].count - rows[i].error < real[n] * 115 / 100);
        real[n] = 0;
    }

    for (i = 0; i < SETS; i++) {
        free(top[i]);
    }
}


/* The promises of the algorithm, exactly. */

static void
test_counts_are_never_too_low_and_errors_true(void **state)
{
    int           round, i;
    size_t        n;
    uint64_t      all, real[300];
    tb_top_t     *top;
    tb_random_t   rnd = { 52 };
    tb_top_row_t  rows[40];

    (void) state;

    for (round = 0; round < 300; round++) {
        top = create(1 + (uint32_t) (round % 40));
        memset(real, 0, sizeof(real));
        all = 0;

        for (i = 0; i < 3000; i++) {
            uint64_t  k = tb_random_scale(&rnd, 1, 300) - 1;
            uint64_t  w = tb_random_in(&rnd, 1, 9);

            count(top, k, w);
            real[k] += w;
            all += w;
        }

        n = tb_top_merge(rows, tb_top_read(top, rows, 0));
        assert_int_equal(n, top->size);

        for (i = 0; i < 300; i++) {
            tb_hash_t  h = key((uint64_t) i);
            size_t     k;

            for (k = 0; k < n && (rows[k].hash.lo != h.lo
                                  || rows[k].hash.hi != h.hi); k++)
            {
                /* void */
            }

            if (k == n) {
                assert_true(real[i] <= all / top->size);

            } else {
                assert_true(rows[k].count >= real[i]);
                assert_true(rows[k].count - rows[k].error <= real[i]);
            }
        }

        free(top);
    }
}


static void
test_what_was_long_ago_fades(void **state)
{
    int           i;
    char          id[TB_TOP_ID];
    tb_top_t     *top;
    tb_hash_t     h;
    tb_top_row_t  rows[4];

    char  longest[300];

    (void) state;

    top = create(4);

    count(top, 1, 1000);
    count(top, 2, 10);

    for (i = 0; i < 5; i++) {
        tb_top_halve(top);
    }

    count(top, 2, 50);
    assert_int_equal(tb_top_merge(rows, tb_top_read(top, rows, 0)), 2);
    assert_true(rows[0].count == 50 && rows[1].count == 31);

    /* an id that is too long is cut, and one that has gone is not shown */

    memset(longest, 'x', sizeof(longest));
    h = key(3);
    tb_top_count(top, &h, longest, sizeof(longest), 99);
    assert_int_equal(tb_top_merge(rows, tb_top_read(top, rows, 0)), 3);
    assert_int_equal(tb_top_id(&rows[0], id), TB_TOP_ID);
    assert_memory_equal(id, longest, TB_TOP_ID);

    for (i = 10; i < 20; i++) {
        count(top, (uint64_t) i, 1000);
    }

    assert_true(tb_top_id(&rows[0], id) == SIZE_MAX);

    free(top);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_heavy_keys_are_found_among_ten_million),
        cmocka_unit_test(test_counts_are_never_too_low_and_errors_true),
        cmocka_unit_test(test_what_was_long_ago_fades)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
