
/*
 * The emptiest buckets: none of them is left out for a fuller one.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/limit/tb_emptiest.h"
#include "src/core/limit/tb_table_edit.h"


#define SIZE   100
#define TABLE  (1024 * 1024)


static double
share(const tb_emptiest_entry_t *entry)
{
    return (double) entry->tokens
           / (double) tb_limits_full(entry->limits);
}


static void
the_emptiest_are_kept_in_whatever_order_they_come(void **state)
{
    double               all[1000], bound;
    uint32_t             i, j, n, rest;
    tb_emptiest_t        e;
    tb_emptiest_entry_t  entries[SIZE], entry;

    (void) state;

    for (n = 0; n <= 1000; n += 50) {
        tb_emptiest_init(&e, entries, SIZE);
        memset(&entry, 0, sizeof(entry));

        for (i = 0; i < n; i++) {
            entry.hash.lo = i + 1;
            entry.limits = tb_limits(1 + (uint32_t) rand() % 1000, 100, 0);
            entry.tokens = (uint64_t) rand()
                           % tb_limits_full(entry.limits);
            all[i] = share(&entry);
            tb_emptiest_add(&e, &entry);
        }

        assert_int_equal(e.count, n < SIZE ? n : SIZE);

        bound = 0;

        for (i = 0; i < e.count; i++) {
            if (share(&entries[i]) > bound) {
                bound = share(&entries[i]);
            }
        }

        for (i = 0, rest = 0; i < n; i++) {
            for (j = 0; j < e.count; j++) {
                if (entries[j].hash.lo == i + 1) {
                    break;
                }
            }

            if (j == e.count) {
                rest++;
                assert_true(all[i] >= bound - 1e-9);
            }
        }

        assert_int_equal(rest, n - e.count);
    }
}


static void
a_table_gives_those_that_are_not_full(void **state)
{
    void                 *mem;
    uint32_t              i, n;
    tb_hash_t             h;
    tb_table_t           *table;
    tb_limits_t           dflt;
    tb_result_t           result;
    tb_emptiest_t         e;
    tb_emptiest_entry_t   entries[SIZE];

    (void) state;

    mem = aligned_alloc(64, TABLE);
    assert_non_null(mem);
    memset(mem, 0, TABLE);

    table = tb_table_create(mem, TABLE);
    assert_non_null(table);

    dflt = tb_limits(10, TB_STEPS_A_SECOND, 0);

    for (i = 0; i < 60; i++) {
        h.lo = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        h.hi = (i + 1) * UINT64_C(0xc2b2ae3d27d4eb4f);
        assert_int_equal(tb_table_insert(table, &h, 1000, dflt,
                                         (i % 2) ? 3 * TB_TOKEN : TB_TOKEN,
                                         &result), TB_PASS);
    }

    tb_emptiest_init(&e, entries, SIZE);

    for (i = 0; i < tb_table_slots(table); i += 1024) {
        n = tb_table_slots(table) - i;
        tb_emptiest_gather(&e, table, i, n < 1024 ? n : 1024, 1000, dflt);
    }

    assert_int_equal(e.count, 60);

    /* time makes those that lack one token full */

    tb_emptiest_init(&e, entries, SIZE);
    tb_emptiest_gather(&e, table, 0, tb_table_slots(table), 2000, dflt);

    assert_int_equal(e.count, 30);

    for (i = 0; i < 30; i++) {
        assert_int_equal(entries[i].tokens, 8 * TB_TOKEN);
        assert_int_equal(entries[i].at, 2000);
        assert_true(entries[i].limits == dflt);
    }

    free(mem);
}


static void
none_fit_into_nothing(void **state)
{
    tb_emptiest_t        e;
    tb_emptiest_entry_t  entry;

    (void) state;

    memset(&entry, 0, sizeof(entry));
    entry.limits = tb_limits(1, 1, 0);

    tb_emptiest_init(&e, NULL, 0);
    tb_emptiest_add(&e, &entry);

    assert_int_equal(e.count, 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(the_emptiest_are_kept_in_whatever_order_they_come),
        cmocka_unit_test(a_table_gives_those_that_are_not_full),
        cmocka_unit_test(none_fit_into_nothing)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
