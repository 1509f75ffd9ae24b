
/*
 * Death at any instruction.  A child works on a table in shared memory and
 * is single-stepped; the memory after each instruction is what SIGKILL
 * would leave there, so each new state of it is copied and must be sound:
 * nothing stuck, nobody lost, no token created.  Then it is killed for real
 * once in each scenario.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "src/core/limit/tb_slot.h"
#include "t/unit/limit/tb_fixture.h"
#include "t/unit/stepper.h"


#define R_SECOND   TB_STEPS_A_SECOND
#define NOW        ((UINT64_C(5) << TB_STAMP_BITS) - 2)
#define DFLT       tb_limits(100, 10 * R_SECOND, 0)
#define OWN        tb_limits(500, R_SECOND, TB_LIMITS_REGISTERED)

/* no bucket of a scenario holds as much as this */
#define MUCH       (20 * TB_TOKEN)

#define NEW        100
#define KNOWN      3
#define CLIENT     7


typedef struct {
    const char  *name;
    void       (*prepare)(tb_table_t *t);
    void       (*work)(void *t);
    bool         crowded;      /* no empty slot before */
    int64_t      raises;       /* µtok that the work itself creates */
} scenario_t;


static size_t       size;
static tb_result_t  res;


static void
ask(tb_table_t *t, uint64_t key, uint64_t now, uint64_t cost)
{
    tb_hash_t  h;

    h = fixture_key(key);
    (void) fixture_ask(t, &h, now, DFLT, cost, &res);
}


static void
put(tb_table_t *t, uint64_t key, tb_limits_t limits, int64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);
    (void) tb_table_put(t, &h, NOW, DFLT, limits, tokens);
}


static void
prepare_nothing(tb_table_t *t)
{
    (void) t;
}


/* Five clients, one of them registered; the places of two more are free. */

static void
prepare_some(tb_table_t *t)
{
    uint64_t  i;

    put(t, CLIENT, OWN, 5 * TB_TOKEN);

    for (i = 0; i < 6; i++) {
        put(t, i, 0, (int64_t) (i < 4 ? i * TB_TOKEN : 100 * TB_TOKEN));
    }

    tb_table_collect(t, 0, TB_CHUNK_SLOTS, NOW + TB_IDLE_TIME, DFLT);
}


/* All slots have owners, all nearly drained, one of them registered. */

static void
prepare_crowd(tb_table_t *t)
{
    uint64_t  i;

    put(t, CLIENT, OWN, 5 * TB_TOKEN);

    for (i = 0; i < TB_GROUP_SLOTS; i++) {
        if (i != CLIENT) {
            put(t, i, 0, (i == KNOWN ? 9 : 2) * TB_TOKEN);
        }
    }
}


/* The same, all of them in debt, KNOWN the least. */

static void
prepare_debtors(tb_table_t *t)
{
    uint64_t  i;

    put(t, CLIENT, OWN, -5 * (int64_t) TB_TOKEN);

    for (i = 0; i < TB_GROUP_SLOTS; i++) {
        if (i != CLIENT) {
            put(t, i, 0, (i == KNOWN ? -1 : -9) * (int64_t) TB_TOKEN);
        }
    }
}


static tb_slot_t *
slot_of(tb_table_t *t, uint64_t key)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return tb_table_find(t, &h);
}


/* A displacement that ended before the tag was gone. */

static void
prepare_half_displaced(tb_table_t *t)
{
    tb_slot_t  *slot;

    prepare_crowd(t);

    slot = slot_of(t, KNOWN);
    slot->limits = tb_limits_hold(9 * TB_TOKEN);
    slot->word = tb_word_vacant(slot->word);
}


static void
prepare_without_owner(tb_table_t *t)
{
    prepare_half_displaced(t);
    slot_of(t, KNOWN)->tag = 0;
}


static void
prepare_half_settled_in(tb_table_t *t)
{
    tb_slot_t  *slot;

    prepare_crowd(t);

    slot = slot_of(t, KNOWN);
    slot->tag = 0;
    slot->limits = OWN;
}


static void
prepare_half_freed(tb_table_t *t)
{
    tb_slot_t  *slot;

    prepare_some(t);

    put(t, NEW, 0, 100 * TB_TOKEN);
    slot = slot_of(t, NEW);
    slot->word = tb_word_vacant(slot->word);
}


static void
prepare_idle(tb_table_t *t)
{
    prepare_some(t);
    put(t, NEW, 0, 100 * TB_TOKEN);
}


static void
work_insert(void *t)
{
    ask(t, NEW, NOW, TB_TOKEN);
}


static void
work_ask_known(void *t)
{
    ask(t, KNOWN, NOW, TB_TOKEN);
}


static void
work_put_client(void *t)
{
    put(t, NEW, OWN, 15 * TB_TOKEN);
}


static void
work_put_known(void *t)
{
    put(t, KNOWN, OWN, 15 * TB_TOKEN);
}


static void
work_register(void *t)
{
    tb_hash_t  h;

    h = fixture_key(KNOWN);
    (void) tb_table_set_limits(t, &h, NOW, DFLT, OWN);
}


static void
work_unregister(void *t)
{
    tb_hash_t  h;

    h = fixture_key(CLIENT);
    (void) tb_table_set_limits(t, &h, NOW, DFLT, 0);
}


static void
work_set_tokens(void *t)
{
    tb_hash_t  h;

    h = fixture_key(CLIENT);
    (void) tb_table_set_tokens(t, &h, NOW, DFLT, 15 * TB_TOKEN);
}


static void
work_give(void *t)
{
    tb_hash_t  h;

    h = fixture_key(KNOWN);
    (void) tb_table_give(t, &h, NOW, DFLT, TB_TOKEN);
}


static void
work_charge(void *t)
{
    tb_hash_t  h;
    uint64_t   charged;

    h = fixture_key(KNOWN);
    (void) tb_table_charge(t, &h, NOW, DFLT, 50 * TB_TOKEN, -TB_DEBT_MAX,
                           &res, &charged);
}


static void
work_charge_new(void *t)
{
    tb_hash_t  h;
    uint64_t   charged;

    h = fixture_key(NEW);
    tb_table_insert_charge(t, &h, NOW, DFLT, 50 * TB_TOKEN, -TB_DEBT_MAX,
                           &res, &charged);
}


/* The one group only: a whole chunk of steps would take long. */

static void
work_sweep(void *t)
{
    tb_sweep_t  seen;

    memset(&seen, 0, sizeof(seen));

    tb_table_tick(t, 0, TB_GROUP_SLOTS, NOW, DFLT, &seen);
    tb_table_collect(t, 0, TB_GROUP_SLOTS, NOW, DFLT);
}


static void
work_free_idle(void *t)
{
    tb_table_collect(t, 0, TB_CHUNK_SLOTS, NOW + TB_IDLE_TIME, DFLT);
}


static void
work_forget(void *t)
{
    tb_hash_t  h;

    h = fixture_key(NEW);
    tb_table_forget(t, &h, NOW, DFLT, UINT64_MAX);
}


static const scenario_t  scenarios[] = {
    { "first key", prepare_nothing, work_insert, false, 0 },
    { "new key beside others", prepare_some, work_insert, false, 0 },
    { "new key displaces", prepare_crowd, work_insert, true, 0 },
    { "new key gets what a dead one held", prepare_without_owner,
      work_insert, true, 0 },
    { "new key gets what never came in", prepare_half_settled_in,
      work_insert, true, 0 },
    { "key whose displacement was cut short", prepare_half_displaced,
      work_ask_known, true, 0 },
    { "key that was half freed", prepare_half_freed, work_insert, false, 0 },
    { "known key", prepare_crowd, work_ask_known, true, 0 },
    { "new client", prepare_some, work_put_client, false, 0 },
    { "new client displaces", prepare_crowd, work_put_client, true,
      15 * TB_TOKEN },
    { "client of a known key", prepare_crowd, work_put_known, true,
      15 * TB_TOKEN },
    { "limits set", prepare_crowd, work_register, true, 0 },
    { "limits taken away", prepare_crowd, work_unregister, true, 0 },
    { "tokens set", prepare_crowd, work_set_tokens, true, 10 * TB_TOKEN },
    { "tokens given back", prepare_crowd, work_give, true, TB_TOKEN },
    { "charged into debt", prepare_crowd, work_charge, true, 0 },
    { "new key charged", prepare_some, work_charge_new, false, 0 },
    { "new key in debt displaces", prepare_crowd, work_charge_new, true, 0 },
    { "new key in debt displaces a debtor", prepare_debtors, work_charge_new,
      true, 0 },
    { "idle one freed", prepare_idle, work_free_idle, false, 0 },
    { "full one forgotten", prepare_idle, work_forget, false, 0 },
    { "half displaced one mended", prepare_half_displaced, work_sweep, true,
      0 },
    { "one without owner mended", prepare_without_owner, work_sweep, true,
      0 },
    { "one that never came in mended", prepare_half_settled_in, work_sweep,
      true, 0 },
    { "half freed one mended", prepare_half_freed, work_sweep, false, 0 }
};


/* What all slots hold together; an empty one is a full bucket. */

static int64_t
worth(tb_table_t *t)
{
    int64_t      sum;
    uint32_t     i;
    tb_slot_t   *slot;
    tb_limits_t  limits;

    sum = 0;

    for (i = 0; i < tb_table_slots(t); i++) {
        slot = tb_table_slot(t, i);
        limits = slot->limits;

        if (slot->tag != 0 && (limits & TB_LIMITS_REGISTERED)) {
            sum += tb_word_tokens(tb_word_settle(slot->word, limits, NOW));

        } else {
            sum += tb_slot_left_over(slot->word, limits, NOW, DFLT);
        }
    }

    return sum;
}


static tb_table_t *
copy_of(const tb_table_t *t)
{
    void  *mem;

    mem = aligned_alloc(64, size);
    assert_non_null(mem);

    return memcpy(mem, t, size);
}


/* Nobody gets more than there was, and somebody who may does get in. */

static void
check_service(const scenario_t *sc, const tb_table_t *state)
{
    uint64_t     i;
    tb_hash_t    h;
    tb_table_t  *t;

    t = copy_of(state);

    for (i = 0; sc->crowded && i < TB_GROUP_SLOTS + 2; i++) {
        h = fixture_key(i < TB_GROUP_SLOTS ? i : NEW + i - TB_GROUP_SLOTS);

        if (fixture_ask(t, &h, NOW, DFLT, MUCH, &res) != TB_REFUSE) {
            fail_msg("%s: key %d is fresh", sc->name, (int) i);
        }
    }

    for (i = 0; sc->work != work_charge_new && i < 3; i++) {
        h = fixture_key(NEW + i);

        if (fixture_ask(t, &h, NOW, DFLT, TB_COST_MIN, &res) != TB_PASS) {
            fail_msg("%s: a new key is shut out", sc->name);
        }
    }

    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    free(t);
}


/* Sweeps bring everything back to clean states, and then to nothing. */

static void
check_recovery(const scenario_t *sc, const tb_table_t *state)
{
    uint32_t     i;
    int64_t      before;
    uint64_t     now;
    tb_hash_t    h;
    tb_sweep_t   seen;
    tb_slot_t   *slot;
    tb_table_t  *t;

    t = copy_of(state);
    before = worth(t);

    for (now = NOW; now < NOW + 2; now++) {
        (void) fixture_sweep(t, NOW, DFLT);
        assert_true(tb_table_check(t, NOW, DFLT) == 0);
        assert_true(worth(t) <= before);
    }

    for (i = 0; i < tb_table_slots(t); i++) {
        slot = tb_table_slot(t, i);

        if ((slot->limits & TB_LIMITS_HELD)
            || (slot->tag != 0 && tb_word_is_vacant(slot->word)))
        {
            fail_msg("%s: slot %u is still half done", sc->name, i);
        }
    }

    for (now = NOW; now < NOW + 60000; now += 500) {
        seen = fixture_sweep(t, now, DFLT);
    }

    assert_true(seen.buckets == seen.registered);
    assert_true(seen.unclean == 0);

    h = fixture_key(CLIENT);

    if (sc->prepare != prepare_nothing && sc->work != work_unregister) {
        assert_true(tb_table_is_registered(t, &h));
    }

    free(t);
}


static void
check_state(const scenario_t *sc, const tb_table_t *state, int64_t before)
{
    int64_t      after, raises;
    tb_hash_t    h;
    tb_table_t  *t;

    assert_true(tb_table_check(state, NOW, DFLT) == 0);

    t = copy_of(state);
    after = worth(t);

    /* a new client has its tokens when it is there, and not before */

    h = fixture_key(NEW);
    raises = sc->raises;

    if (sc->work == work_put_client && !tb_table_is_registered(t, &h)) {
        raises = 0;
    }

    if (after > before + raises) {
        fail_msg("%s: %lld µtok created", sc->name,
                 (long long) (after - before));
    }

    /* the next one who tries the same succeeds */

    sc->work(t);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);
    assert_true(worth(t) <= before + sc->raises * 2);

    free(t);

    check_service(sc, state);
    check_recovery(sc, state);
}


/*
 * Steps through the work and kills it after the last of changes changes of
 * the memory; 0: not at all, but checks every state on the way.  Returns
 * the number of changes, or -1 if there is no ptrace.
 */

static int
run(const scenario_t *sc, tb_table_t *t, int changes)
{
    int          n;
    pid_t        pid;
    int64_t      before;
    tb_table_t  *last;

    memset(t, 0, size);
    assert_ptr_equal(tb_table_create(t, size), t);
    sc->prepare(t);
    before = worth(t);

    pid = stepper_start(sc->work, t);

    if (pid == STEPPER_FORBIDDEN) {
        return -1;
    }

    last = copy_of(t);
    n = 0;

    while (stepper_step(pid)) {

        if (memcmp(last, t, size) == 0) {
            continue;
        }

        memcpy(last, t, size);

        if (++n == changes) {
            break;
        }

        if (changes == 0) {
            check_state(sc, last, before);
        }
    }

    stepper_kill(pid);
    check_state(sc, t, before);
    free(last);

    return n;
}


static void
test_death_at_any_instruction_leaves_a_table_that_works(void **state)
{
    int          n;
    size_t       i;
    tb_table_t  *t;

    (void) state;

    size = (fixture_size(1) + 63) & ~(size_t) 63;

    t = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
             -1, 0);
    assert_true(t != MAP_FAILED);

    for (i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        n = run(&scenarios[i], t, 0);

        if (n == -1) {
            print_message("ptrace is forbidden here: NOT TESTED\n");
            skip();
        }

        if (n == 0) {
            fail_msg("%s: nothing was done", scenarios[i].name);
        }

        assert_int_equal(run(&scenarios[i], t, (n + 1) / 2), (n + 1) / 2);
    }

    (void) munmap(t, size);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(
            test_death_at_any_instruction_leaves_a_table_that_works)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
