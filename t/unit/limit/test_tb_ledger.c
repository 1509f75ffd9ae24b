
/*
 * Places of requests in flight by process: a process is killed after each
 * instruction that changes memory, and what it held must come back, no more
 * and no less.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "src/core/limit/tb_ledger.h"
#include "src/core/limit/tb_ledger_count.h"
#include "src/core/limit/tb_places.h"
#include "src/core/limit/tb_table_lease.h"
#include "src/core/limit/tb_table_overflow.h"
#include "t/unit/limit/tb_fixture.h"
#include "t/unit/stepper.h"


#define NOW      UINT64_C(1000000)
#define DFLT     dflt
#define ROWS     4
#define BLOCKS   4


typedef struct {
    tb_table_t       *table;
    tb_ledger_t      *ledger;
    unsigned char    *mem;
    size_t            table_size;
    size_t            size;
    tb_ledger_own_t   living;
    tb_ledger_own_t   dying;
    uint32_t          next[2][BLOCKS * TB_LEDGER_BLOCK];
} zone_t;


static zone_t       zone;
static tb_result_t  res;
static tb_limits_t  dflt;

/* buckets are looked at first, and given back to where they are */
static bool         seen;


static void
create(void)
{
    dflt = tb_limits(TB_CAPACITY_MAX, 3, TB_LIMITS_PLACES);

    zone.table_size = (fixture_size(1) + 63) & ~(size_t) 63;
    zone.size = zone.table_size + tb_ledger_size(ROWS, BLOCKS);

    zone.mem = mmap(NULL, zone.size, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(zone.mem != MAP_FAILED);

    zone.table = tb_table_create(zone.mem, zone.table_size);
    zone.ledger = tb_ledger_create(zone.mem + zone.table_size, ROWS, BLOCKS);

    assert_true(tb_ledger_claim(zone.ledger, &zone.living, 100, 0,
                                zone.next[0]));
    assert_true(tb_ledger_claim(zone.ledger, &zone.dying, 101, 1,
                                zone.next[1]));
}


static void
destroy(void)
{
    (void) munmap(zone.mem, zone.size);
}


static tb_verdict_t
take(tb_ledger_own_t *own, uint64_t key, uint32_t *entry)
{
    tb_hash_t     h;
    tb_verdict_t  verdict;

    h = fixture_key(key);

    if (seen
        && tb_table_look(zone.table, &h, NOW, DFLT, TB_LIMITS_PLACES,
                         TB_TOKEN, &res)
           >= 0
        && tb_ledger_take_seen(own, &h, NOW, &res, entry))
    {
        return TB_PASS;
    }

    verdict = tb_ledger_take(own, zone.table, &h, NOW, DFLT, false, &res,
                             entry);

    if (verdict == TB_ABSENT) {
        verdict = tb_ledger_take(own, zone.table, &h, NOW, DFLT, true, &res,
                                 entry);
    }

    return verdict;
}


static void
give(tb_ledger_own_t *own, uint32_t entry)
{
    tb_hash_t           h;
    tb_slot_t          *slot;
    tb_ledger_entry_t  *e;

    slot = NULL;

    if (seen && entry != TB_LEDGER_SHARED) {
        e = tb_ledger_entry(own->ledger, entry);
        h.lo = e->lo;
        h.hi = e->hi;
        slot = tb_table_find(zone.table, &h);
    }

    tb_ledger_return(own, zone.table, entry, slot, NOW, DFLT);
}


static int
in_use(uint64_t key)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return tb_table_read(zone.table, &h, NOW, DFLT, &res) == TB_PASS
           ? (int) (((int64_t) TB_COST_MAX - res.left) / (int64_t) TB_TOKEN)
           : 0;
}


static int
overflow_in_use(void)
{
    uint64_t   now;
    tb_word_t  word;

    now = NOW;

    return tb_table_read_overflow(zone.table, &now, DFLT, &word)
           ? (int) (((int64_t) TB_COST_MAX - tb_word_tokens(word))
                    / (int64_t) TB_TOKEN)
           : 0;
}


static void
settle(uint32_t dead)
{
    int       i;
    uint32_t  at;

    at = 0;

    for (i = 0; !tb_ledger_settle(&zone.living, zone.table, dead, &at, 1, NOW,
                                  DFLT); i++)
    {
        assert_true(i < 100);
    }
}


static void
test_places_are_taken_up_to_the_limit_and_come_back(void **state)
{
    int        i;
    uint32_t   entry[4];
    tb_hash_t  h;

    (void) state;

    create();
    h = fixture_key(1);

    for (i = 0; i < 3; i++) {
        assert_true(take(&zone.living, 1, &entry[i]) == TB_PASS);
    }

    assert_true(take(&zone.dying, 1, &entry[3]) == TB_REFUSE);
    assert_true(entry[3] == TB_LEDGER_NONE);
    assert_int_equal(in_use(1), 3);
    assert_int_equal(tb_ledger_count(zone.ledger, &h), 3);

    give(&zone.living, entry[1]);
    assert_true(take(&zone.dying, 1, &entry[3]) == TB_PASS);
    assert_int_equal(in_use(1), 3);

    give(&zone.dying, entry[3]);
    give(&zone.living, entry[0]);
    give(&zone.living, entry[2]);
    assert_int_equal(in_use(1), 0);
    assert_int_equal(tb_ledger_count(zone.ledger, &h), 0);

    destroy();
}


static void
test_full_ledger_shares_the_overflow_bucket(void **state)
{
    uint32_t  entry, i, last;

    (void) state;

    create();
    last = 0;

    for (i = 0; i < BLOCKS * TB_LEDGER_BLOCK; i++) {
        assert_true(take(&zone.dying, i % 4, &entry)
                    == (i < 12 ? TB_PASS : TB_REFUSE));
        last = i < 12 ? entry : last;
    }

    give(&zone.dying, last);

    /* blocks come back with their row */

    for (i = 0; i < BLOCKS; i++) {
        assert_true(atomic_load_explicit(tb_ledger_block(zone.ledger, i),
                                         memory_order_relaxed)
                    == (i == 0 ? zone.dying.row + 1 : 0));
        atomic_store_explicit(tb_ledger_block(zone.ledger, i),
                              zone.dying.row + 1, memory_order_relaxed);
    }

    for (i = 0; i < 4; i++) {
        assert_true(take(&zone.living, 9 + i, &entry)
                    == (i < 3 ? TB_PASS : TB_REFUSE));
        assert_true(entry == (i < 3 ? TB_LEDGER_SHARED : TB_LEDGER_NONE));
        assert_int_equal(in_use(9 + i), 0);
    }

    assert_int_equal(overflow_in_use(), 3);

    give(&zone.living, TB_LEDGER_SHARED);
    assert_int_equal(overflow_in_use(), 2);
    assert_true(take(&zone.living, 9, &entry) == TB_PASS);

    for (i = 0; i < 3; i++) {
        give(&zone.living, TB_LEDGER_SHARED);
    }

    assert_int_equal(overflow_in_use(), 0);

    settle(zone.dying.row);
    assert_true(take(&zone.living, 9, &entry) == TB_PASS);

    for (i = 0; i < 4; i++) {
        assert_int_equal(in_use(i), 0);
    }

    give(&zone.living, entry);
    tb_ledger_leave(&zone.living);
    assert_true(tb_ledger_claim(zone.ledger, &zone.dying, 102, 1,
                                zone.next[1]));
    assert_true(zone.dying.row == 0);

    destroy();
}


/* A bucket of key 1 that has so many places more, or less. */

static int32_t
lease(int32_t n)
{
    tb_hash_t  h;

    h = fixture_key(1);
    dflt |= TB_LIMITS_LEASED;

    if (tb_table_find(zone.table, &h) == NULL) {
        assert_true(tb_table_put(zone.table, &h, NOW, dflt, 0, 0));
    }

    return tb_table_lease(zone.table, tb_table_find(zone.table, &h), &h, NOW,
                          dflt, n);
}


static tb_verdict_t
take_leased(tb_ledger_own_t *own, uint32_t *entry)
{
    tb_hash_t  h;

    h = fixture_key(1);

    return tb_ledger_take_leased(own, zone.table, &h, NOW, dflt,
                                 dflt & ~TB_LIMITS_LEASED, &res, entry);
}


static void
holds(uint32_t leased, uint32_t used)
{
    tb_hash_t  h;
    tb_word_t  word;

    h = fixture_key(1);
    word = tb_table_find(zone.table, &h)->word;

    assert_int_equal(tb_places_leased(word), leased);
    assert_int_equal(tb_places_used(word), used);
}


static void
test_leased_places_are_taken_as_far_as_there_are_some(void **state)
{
    uint32_t   entry[3], none;
    tb_hash_t  h;

    (void) state;

    create();
    h = fixture_key(1);

    assert_int_equal(lease(0), 0);
    assert_true(take_leased(&zone.living, &none) == TB_REFUSE);

    assert_int_equal(lease(2), 2);
    assert_true(take_leased(&zone.living, &entry[0]) == TB_PASS);
    assert_int_equal(res.left, TB_TOKEN);
    assert_true(take_leased(&zone.dying, &entry[1]) == TB_PASS);
    assert_true(take_leased(&zone.living, &none) == TB_REFUSE);
    holds(2, 2);

    /* those that are in use go only when they are taken away */

    assert_int_equal(tb_table_unlease(zone.table,
                                      tb_table_find(zone.table, &h), &h, NOW,
                                      dflt, 2), 0);
    assert_int_equal(lease(-1), -1);
    holds(1, 2);

    give(&zone.living, entry[0]);
    assert_true(take_leased(&zone.living, &none) == TB_REFUSE);

    give(&zone.dying, entry[1]);
    holds(1, 0);
    assert_true(take_leased(&zone.living, &entry[2]) == TB_PASS);

    give(&zone.living, entry[2]);
    assert_int_equal(tb_table_unlease(zone.table,
                                      tb_table_find(zone.table, &h), &h, NOW,
                                      dflt, 2), 1);
    holds(0, 0);

    /* a word has room for all there may be */

    assert_int_equal(lease(2 * TB_CAPACITY_MAX), TB_CAPACITY_MAX);
    holds(TB_CAPACITY_MAX, 0);
    assert_int_equal(tb_places_used(tb_places_word(TB_CAPACITY_MAX,
                                                   TB_CAPACITY_MAX, 7)),
                     TB_CAPACITY_MAX);
    assert_int_equal(tb_places_free(tb_places_word(0, TB_CAPACITY_MAX, 7)),
                     -TB_CAPACITY_MAX);
    assert_int_equal(lease(-TB_CAPACITY_MAX), -TB_CAPACITY_MAX);

    /* an empty one is as new, and goes */

    tb_table_forget(zone.table, &h, NOW, dflt, 0);
    assert_null(tb_table_find(zone.table, &h));

    destroy();
}


static void
work_leased(void *data)
{
    uint32_t  entry[3];

    (void) data;

    (void) take_leased(&zone.dying, &entry[0]);
    (void) take_leased(&zone.dying, &entry[1]);
    give(&zone.dying, entry[0]);
    (void) take_leased(&zone.dying, &entry[2]);
    give(&zone.dying, entry[1]);
}


/* Of a key that is known, of new ones, and of the overflow bucket. */

static void
work(void *data)
{
    uint32_t  entry[5];

    (void) data;

    (void) take(&zone.dying, 1, &entry[0]);
    (void) take(&zone.dying, 2, &entry[1]);
    give(&zone.dying, entry[0]);
    (void) take(&zone.dying, 50, &entry[2]);
    (void) take(&zone.dying, 51, &entry[3]);
    (void) take(&zone.dying, 1, &entry[4]);
    give(&zone.dying, entry[3]);
    give(&zone.dying, entry[1]);
    (void) take(&zone.dying, 51, &entry[3]);
}


/* All slots but some are of others who have places in use. */

static void
prepare(void)
{
    uint64_t  i;
    uint32_t  entry;

    for (i = 1; i < TB_GROUP_SLOTS; i++) {
        if (i != 2) {
            assert_true(take(&zone.living, i, &entry) == TB_PASS);
        }
    }
}


static void
check(void)
{
    uint64_t  i;

    for (i = 1; i < TB_GROUP_SLOTS; i++) {
        if (in_use(i) != (i != 2)) {
            fail_msg("key %d has %d places in use", (int) i, in_use(i));
        }
    }

    assert_int_equal(in_use(50) + in_use(51), 0);
    assert_int_equal(overflow_in_use(), 0);
    assert_int_equal(tb_table_check(zone.table, NOW, DFLT), 0);
}


static void
check_leased(void)
{
    holds(4, 1);
    assert_int_equal(tb_ledger_held(zone.ledger), 1);
}


static void
prepare_leased(void)
{
    uint32_t  entry;

    assert_int_equal(lease(4), 4);
    assert_true(take_leased(&zone.living, &entry) == TB_PASS);
}


static void
killed_at_any_change(void (*prepared)(void), void (*work)(void *data),
    void (*checked)(void))
{
    int             changes, n;
    bool            over;
    pid_t           pid;
    unsigned char  *last;

    over = false;

    for (changes = 1; !over; changes++) {
        create();
        prepared();

        last = malloc(zone.size);
        assert_non_null(last);
        memcpy(last, zone.mem, zone.size);

        pid = stepper_start(work, NULL);

        if (pid == STEPPER_FORBIDDEN) {
            print_message("ptrace is forbidden here: NOT TESTED\n");
            skip();
        }

        n = 0;
        over = true;

        while (stepper_step(pid)) {

            if (memcmp(last, zone.mem, zone.size) != 0) {
                memcpy(last, zone.mem, zone.size);

                if (++n == changes) {
                    over = false;
                    break;
                }
            }
        }

        stepper_kill(pid);
        free(last);

        settle(zone.dying.row);
        checked();

        destroy();
    }

    assert_true(changes > 25);
}


static void
test_process_killed_at_any_change_leaves_right_counts(void **state)
{
    (void) state;

    killed_at_any_change(prepare, work, check);
}


static void
test_process_killed_at_any_change_of_what_was_seen(void **state)
{
    (void) state;

    seen = true;
    test_places_are_taken_up_to_the_limit_and_come_back(NULL);
    killed_at_any_change(prepare, work, check);
    seen = false;
}


static void
test_leased_places_of_a_process_killed_at_any_change(void **state)
{
    (void) state;

    killed_at_any_change(prepare_leased, work_leased, check_leased);
}


static void
work_settle(void *data)
{
    uint32_t  at;

    (void) data;

    at = 0;
    (void) tb_ledger_settle(&zone.dying, zone.table, 2, &at, BLOCKS, NOW,
                            DFLT);
}


/* Who settles may die of it, too; the next one finishes for both. */

static void
test_who_dies_while_settling_is_settled_for(void **state)
{
    int              changes, n;
    bool             over;
    pid_t            pid;
    uint32_t         entry, next[BLOCKS * TB_LEDGER_BLOCK];
    unsigned char   *last;
    tb_ledger_own_t  third;

    (void) state;

    over = false;

    for (changes = 1; !over; changes++) {
        create();
        prepare();

        assert_true(tb_ledger_claim(zone.ledger, &third, 102, 2, next));
        assert_true(third.row == 2);
        assert_true(take(&third, 1, &entry) == TB_PASS);
        assert_true(take(&third, 50, &entry) == TB_PASS);
        assert_true(take(&third, 51, &entry) == TB_PASS);
        give(&third, entry);

        /* it had just cleared an entry, and not given the place back */

        if (changes % 2) {
            tb_hash_t  h = fixture_key(50);

            tb_ledger_row(zone.ledger, 2)->change++;
            tb_ledger_row(zone.ledger, 2)->lo = h.lo;
            tb_ledger_row(zone.ledger, 2)->hi = h.hi;
        }

        last = malloc(zone.size);
        assert_non_null(last);
        memcpy(last, zone.mem, zone.size);

        pid = stepper_start(work_settle, NULL);

        if (pid == STEPPER_FORBIDDEN) {
            skip();
        }

        n = 0;
        over = true;

        while (stepper_step(pid)) {

            if (memcmp(last, zone.mem, zone.size) != 0) {
                memcpy(last, zone.mem, zone.size);

                if (++n == changes) {
                    over = false;
                    break;
                }
            }
        }

        stepper_kill(pid);
        free(last);

        settle(zone.dying.row);
        settle(2);
        check();

        destroy();
    }

    assert_true(changes > 10);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_places_are_taken_up_to_the_limit_and_come_back),
        cmocka_unit_test(test_full_ledger_shares_the_overflow_bucket),
        cmocka_unit_test(
            test_leased_places_are_taken_as_far_as_there_are_some),
        cmocka_unit_test(test_process_killed_at_any_change_of_what_was_seen),
        cmocka_unit_test(test_leased_places_of_a_process_killed_at_any_change),
        cmocka_unit_test(
            test_process_killed_at_any_change_leaves_right_counts),
        cmocka_unit_test(test_who_dies_while_settling_is_settled_for)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
