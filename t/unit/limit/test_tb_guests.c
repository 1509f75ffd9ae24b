
/*
 * Requests in flight of a table that another one has replaced: each has a
 * place in the new one until it is over.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "src/core/gw_atomic.h"
#include "src/core/limit/tb_guests.h"
#include "src/core/limit/tb_ledger_count.h"
#include "t/unit/limit/tb_fixture.h"


#define NOW     UINT64_C(1000000)
#define ROWS    4
#define BLOCKS  4
#define MANY    (BLOCKS * TB_LEDGER_BLOCK)


typedef struct {
    tb_table_t       *table;
    tb_ledger_t      *ledger;
    tb_ledger_own_t   own;
    uint32_t          next[MANY];
} zone_t;


static zone_t       before, after;
static tb_limits_t  dflt;
static tb_result_t  res;
static tb_guest_t   guests[MANY];


static void
create(zone_t *z, uint32_t owner)
{
    size_t  size;

    size = (fixture_size(1) + 63) & ~(size_t) 63;
    z->table = tb_table_create(calloc(1, size), size);

    size = (tb_ledger_size(ROWS, BLOCKS) + 63) & ~(size_t) 63;
    z->ledger = aligned_alloc(64, size);
    assert_non_null(z->ledger);
    __builtin_memset(z->ledger, 0, size);
    z->ledger = tb_ledger_create(z->ledger, ROWS, BLOCKS);

    assert_true(tb_ledger_claim(z->ledger, &z->own, owner, 0, z->next));
}


static int
setup(void **state)
{
    (void) state;

    dflt = tb_limits(TB_CAPACITY_MAX, 3, TB_LIMITS_PLACES);

    create(&before, 100);
    create(&after, 101);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    free(before.table);
    free(before.ledger);
    free(after.table);
    free(after.ledger);

    return 0;
}


static uint32_t
take(zone_t *z, uint64_t key)
{
    uint32_t   entry;
    tb_hash_t  h;

    h = fixture_key(key);
    (void) tb_ledger_take(&z->own, z->table, &h, NOW, dflt, true, &res,
                          &entry);

    return entry;
}


static uint32_t
used(zone_t *z, uint64_t key)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return tb_ledger_count(z->ledger, &h);
}


static uint32_t
follow(uint32_t n)
{
    return tb_guests_follow(guests, n, 0, n, before.ledger, &after.own,
                            after.table, NOW, dflt);
}


static void
test_guests_have_places(void **state)
{
    uint32_t  a, b, n;

    (void) state;

    a = take(&before, 1);
    (void) take(&before, 1);
    b = take(&before, 2);

    assert_int_equal(tb_guests_list(before.ledger, NULL, 0), 3);
    n = tb_guests_list(before.ledger, guests, MANY);
    assert_int_equal(n, 3);

    n = follow(n);
    assert_int_equal(n, 3);
    assert_int_equal(used(&after, 1), 2);
    assert_int_equal(used(&after, 2), 1);
    assert_int_not_equal(take(&after, 1), TB_LEDGER_NONE);
    assert_int_equal(take(&after, 1), TB_LEDGER_NONE);

    /* they are looked at in vain, and then two are over */

    assert_int_equal(follow(n), 3);

    tb_ledger_return(&before.own, before.table, a, NULL, NOW, dflt);
    tb_ledger_return(&before.own, before.table, b, NULL, NOW, dflt);

    n = follow(n);
    assert_int_equal(n, 1);
    assert_int_equal(used(&after, 1), 2);
    assert_int_equal(used(&after, 2), 0);
    assert_int_equal(tb_ledger_held(after.ledger), 2);
}


static void
test_a_guest_waits_for_its_place(void **state)
{
    uint32_t  a, i, n;

    (void) state;

    a = take(&before, 1);
    (void) take(&before, 1);
    n = tb_guests_list(before.ledger, guests, MANY);

    for (i = 0; i < 3; i++) {
        assert_int_not_equal(take(&after, 1), TB_LEDGER_NONE);
    }

    assert_int_equal(follow(n), 2);
    assert_int_equal(used(&after, 1), 3);

    /* one that goes without having had one gives none back */

    tb_ledger_return(&before.own, before.table, a, NULL, NOW, dflt);
    n = follow(n);
    assert_int_equal(n, 1);
    assert_int_equal(used(&after, 1), 3);

    tb_ledger_return(&after.own, after.table, 0, NULL, NOW, dflt);
    assert_int_equal(follow(n), 1);
    assert_int_equal(used(&after, 1), 3);
}


static void
test_guests_of_a_dead_process_are_over(void **state)
{
    uint32_t  n;

    (void) state;

    (void) take(&before, 1);
    (void) take(&before, 2);

    n = tb_guests_list(before.ledger, guests, MANY);
    assert_int_equal(follow(n), 2);

    gw_store_release(&tb_ledger_row(before.ledger, before.own.row)->owner, 0);

    assert_int_equal(follow(n), 0);
    assert_int_equal(tb_ledger_held(after.ledger), 0);
    assert_int_equal(tb_guests_list(before.ledger, guests, MANY), 0);
}


static void
test_an_entry_of_another_client_is_not_the_guest(void **state)
{
    uint32_t  a, n;

    (void) state;

    a = take(&before, 1);
    n = tb_guests_list(before.ledger, guests, MANY);
    n = follow(n);

    tb_ledger_return(&before.own, before.table, a, NULL, NOW, dflt);
    assert_int_equal(take(&before, 2), a);

    assert_int_equal(follow(n), 0);
    assert_int_equal(used(&after, 1), 0);
}


static void
test_no_more_are_listed_than_there_is_room(void **state)
{
    uint32_t  i;

    (void) state;

    for (i = 0; i < 12; i++) {
        (void) take(&before, i + 1);
    }

    guests[10].former = 12345;

    assert_int_equal(tb_guests_list(before.ledger, guests, 10), 12);
    assert_int_equal(guests[10].former, 12345);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_guests_have_places, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_guest_waits_for_its_place,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_guests_of_a_dead_process_are_over,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_an_entry_of_another_client_is_not_the_guest, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_no_more_are_listed_than_there_is_room, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
