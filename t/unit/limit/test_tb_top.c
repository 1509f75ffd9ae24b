
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
#define PARTS    4
#define SIZE     510
#define CHUNKS   287
#define MADE_UP  10000000


static uint64_t
key(uint64_t n)
{
    tb_random_t  rnd = { n * 77 + 5 };

    return tb_random(&rnd) | 1;
}


static tb_top_t *
create(uint32_t size, uint32_t nchunks)
{
    void  *mem;

    mem = malloc(tb_top_size(size, nchunks));
    assert_non_null(mem);

    return tb_top_init(mem, size, nchunks);
}


static void
count(tb_top_t *top, uint64_t n, uint32_t weight)
{
    int   len;
    char  id[64];

    /* as long as a UUID */

    len = snprintf(id, sizeof(id), "key-%032llu", (unsigned long long) n);

    tb_top_count(top, key(n), id, (size_t) len, weight);
}


static long
number_of(const tb_top_t *top, uint64_t lo)
{
    char    id[TB_TOP_ID + 1];
    size_t  n;

    n = tb_top_id(top, lo, id);
    assert_true(n <= TB_TOP_ID);
    id[n] = '\0';

    return n == 0 ? -1 : atol(id + 4);
}


/*
 * Made-up keys, each once, and 100 that have little more than 0.1 % of all:
 * in as much memory as a zone has, these are all found, with their ids, and
 * counted right to 1 / 4096 of all.
 */

static void
test_heavy_keys_are_found_among_ten_million(void **state)
{
    long          k;
    size_t        n, i;
    uint32_t      made_up, all;
    uint64_t      draw;
    tb_top_t     *top[PARTS];
    tb_random_t   rnd = { 51 };
    tb_top_row_t  rows[PARTS * SIZE];

    static uint32_t  real[HEAVY];

    (void) state;

    for (i = 0; i < PARTS; i++) {
        top[i] = create(SIZE, CHUNKS);
    }

    all = 0;

    for (made_up = 0; made_up < MADE_UP; all++) {
        draw = tb_random(&rnd) % 100000;

        if (draw < 110 * HEAVY) {
            draw /= 110;
            real[draw]++;

        } else {
            draw = HEAVY + made_up++;
        }

        count(top[key(draw) >> 62], draw, 1);
    }

    for (i = 0, n = 0; i < PARTS; i++) {
        n = tb_top_read(top[i], rows, n);
    }

    assert_int_equal(n, PARTS * SIZE);
    tb_top_sort(rows, n);

    for (i = 0; i < HEAVY; i++) {
        assert_true(i == 0 || rows[i].count <= rows[i - 1].count);
        assert_true(rows[i].error <= all / 4096);

        k = number_of(top[rows[i].lo >> 62], rows[i].lo);
        assert_true(k >= 0 && k < HEAVY);

        assert_true(rows[i].count >= real[k]);
        assert_true(rows[i].count - rows[i].error <= real[k]);
        real[k] = 0;
    }

    for (i = 0; i < PARTS; i++) {
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
        top = create(1 + (uint32_t) (round % 40), 10);
        memset(real, 0, sizeof(real));
        all = 0;

        for (i = 0; i < 3000; i++) {
            uint64_t  k = tb_random_scale(&rnd, 1, 300) - 1;
            uint32_t  w = (uint32_t) tb_random_in(&rnd, 1, 9);

            count(top, k, w);
            real[k] += w;
            all += w;
        }

        n = tb_top_read(top, rows, 0);
        assert_int_equal(n, top->size);

        for (i = 0; i < 300; i++) {
            size_t  k;
            long    id;

            for (k = 0; k < n && rows[k].lo != key((uint64_t) i); k++) {
                /* void */
            }

            if (k == n) {
                assert_true(real[i] <= all / top->size);

            } else {
                assert_true(rows[k].count >= real[i]);
                assert_true(rows[k].count - rows[k].error <= real[i]);

                id = number_of(top, rows[k].lo);
                assert_true(id == i || id == -1);
            }
        }

        free(top);
    }
}


static void
test_what_was_long_ago_fades(void **state)
{
    int           i;
    tb_top_t     *top;
    tb_top_row_t  rows[4];

    (void) state;

    top = create(4, 8);

    count(top, 1, 1000);
    tb_top_beside(top, key(1), 64);
    count(top, 2, 10);
    tb_top_beside(top, key(2), 640);
    tb_top_beside(top, key(3), 7);

    for (i = 0; i < 5; i++) {
        tb_top_halve(top);
    }

    count(top, 2, 50);
    assert_int_equal(tb_top_read(top, rows, 0), 2);
    tb_top_sort(rows, 2);
    assert_true(rows[0].count == 50 && rows[0].beside == 20);
    assert_true(rows[1].count == 31 && rows[1].beside == 2);

    /* a count stays at its end */

    count(top, 2, UINT32_MAX - 20);
    assert_int_equal(tb_top_read(top, rows, 0), 2);
    tb_top_sort(rows, 2);
    assert_true(rows[0].count == UINT32_MAX);

    free(top);
}


/* Ids are of any length and bytes, and who was seen more gets the room. */

static void
test_ids_are_kept_of_those_that_count(void **state)
{
    int        i;
    char       id[TB_TOP_ID], longest[300];
    size_t     kept, len;
    tb_top_t  *top;

    (void) state;

    for (i = 0; i < (int) sizeof(longest); i++) {
        longest[i] = (char) (i * 7);
    }

    top = create(8, 9);

    for (len = 1; len <= sizeof(longest); len++) {
        tb_top_count(top, key(len), longest, len, 1 + (uint32_t) len);

        kept = tb_top_id(top, key(len), id);
        assert_int_equal(kept, len < TB_TOP_ID ? len : TB_TOP_ID);
        assert_memory_equal(id, longest, kept);
    }

    /* of those that are seen once none displaces another's */

    free(top);
    top = create(8, 9);

    tb_top_count(top, key(1), longest, TB_TOP_ID, 1);
    tb_top_count(top, key(2), "2", 1, 1);
    assert_int_equal(tb_top_id(top, key(1), id), TB_TOP_ID);
    assert_int_equal(tb_top_id(top, key(2), id), 0);

    tb_top_count(top, key(2), "2", 1, 1);
    assert_int_equal(tb_top_id(top, key(1), id), 0);
    assert_int_equal(tb_top_id(top, key(2), id), 1);
    assert_int_equal(id[0], '2');

    /* what a replaced one had is free */

    for (i = 3; i < 50; i++) {
        count(top, (uint64_t) i, 3);
    }

    count(top, 49, 1);
    assert_int_equal(tb_top_id(top, key(2), id), 0);
    assert_int_equal(number_of(top, key(49)), 49);

    free(top);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_heavy_keys_are_found_among_ten_million),
        cmocka_unit_test(test_counts_are_never_too_low_and_errors_true),
        cmocka_unit_test(test_what_was_long_ago_fades),
        cmocka_unit_test(test_ids_are_kept_of_those_that_count)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
