
/*
 * The registry of clients against a model of it: ids come back byte for
 * byte, walks miss nobody, room is what is left, and a death at any
 * instruction of a change costs at most the cells that it had in its hands.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "src/core/limit/tb_registry.h"
#include "t/unit/tb_random.h"
#include "t/unit/stepper.h"


#define LIMITS(n)  tb_limits((n), TB_STEPS_A_SECOND, TB_LIMITS_REGISTERED)

#define LEN_MAX    GW_ID_MAX
#define MODEL      400             /* ids that the model knows */


typedef struct {
    char           id[LEN_MAX];
    size_t         len;
    tb_hash_t      hash;
    tb_limits_t    limits;         /* 0: not registered */
} model_t;


static uint8_t              secret[TB_SECRET_SIZE];
static tb_registry_entry_t  entry;


static tb_registry_t *
create(size_t size)
{
    void           *mem;
    tb_registry_t  *reg;

    mem = aligned_alloc(64, (size + 63) & ~(size_t) 63);
    assert_non_null(mem);
    memset(mem, 0, size);

    reg = tb_registry_create(mem, size);
    assert_non_null(reg);

    return reg;
}


/* An id of len bytes that no other n has, with any byte in it. */

static model_t
make(uint64_t n, size_t len)
{
    size_t       i;
    model_t      m;
    tb_random_t  rnd;

    rnd.state = n * 1000 + len;
    memset(&m, 0, sizeof(m));

    for (i = 0; i < len; i++) {
        m.id[i] = (char) tb_random(&rnd);
    }

    m.len = len;
    m.hash = tb_hash(m.id, len, secret);

    return m;
}


static tb_registry_status_t
set(tb_registry_t *reg, model_t *m, tb_limits_t limits)
{
    tb_registry_status_t  status;

    status = tb_registry_set(reg, &m->hash, m->id, m->len, limits);

    if (status != TB_REGISTRY_FULL) {
        m->limits = limits;
    }

    return status;
}


static bool
drop(tb_registry_t *reg, model_t *m)
{
    m->limits = 0;

    return tb_registry_remove(reg, &m->hash);
}


static void
assert_entry(const tb_registry_entry_t *e, const model_t *m)
{
    assert_int_equal(e->len, m->len);
    assert_memory_equal(e->id, m->id, m->len);
    assert_true(e->hash.lo == m->hash.lo && e->hash.hi == m->hash.hi);
    assert_true(e->limits == m->limits);
}


static void
assert_known(const tb_registry_t *reg, const model_t *m)
{
    bool  found;

    found = tb_registry_find(reg, &m->hash, &entry);
    assert_true(found == (m->limits != 0));

    if (found) {
        assert_entry(&entry, m);
    }
}


/* The whole registry is what the model says, and in order of the hash. */

static void
assert_same(const tb_registry_t *reg, const model_t *models, size_t n)
{
    size_t    i, cells, count, seen;
    uint32_t  budget;
    uint64_t  after;

    cells = 0;
    count = 0;

    for (i = 0; i < n; i++) {
        assert_known(reg, &models[i]);

        if (models[i].limits) {
            cells += tb_registry_cells(models[i].len);
            count++;
        }
    }

    assert_int_equal(atomic_load(&reg->entries), count);
    assert_int_equal(tb_registry_room(reg), reg->ncells - cells);

    seen = 0;
    after = 0;
    budget = UINT32_MAX;

    while (tb_registry_next(reg, after, &budget, &entry)) {
        assert_true(entry.hash.lo > after);
        after = entry.hash.lo;
        seen++;
    }

    assert_int_equal(seen, count);
}


static void
test_too_small(void **state)
{
    size_t                       size;
    _Alignas(64) unsigned char   mem[4096];

    (void) state;

    memset(mem, 0, sizeof(mem));

    for (size = 0; size < sizeof(tb_registry_t) + 64; size++) {
        assert_null(tb_registry_create(mem, size));
    }
}


static void
test_fits_memory(void **state)
{
    size_t          size;
    tb_registry_t  *reg;

    (void) state;

    for (size = 300; size < 20000; size += 61) {
        reg = create(size);

        assert_true(reg->cells % 64 == 0);
        assert_true(reg->cells + (size_t) reg->ncells * 64 <= size);
        assert_int_equal(tb_registry_room(reg), reg->ncells);

        free(reg);
    }
}


static void
test_ids(void **state)
{
    size_t          len;
    model_t         m;
    tb_registry_t  *reg;

    (void) state;

    reg = create(4096);

    for (len = 1; len <= LEN_MAX; len++) {
        m = make(1, len);

        assert_int_equal(set(reg, &m, LIMITS(5)), TB_REGISTRY_ADDED);
        assert_same(reg, &m, 1);
        assert_true(drop(reg, &m));
        assert_false(drop(reg, &m));
        assert_same(reg, &m, 1);
    }

    assert_int_equal(tb_registry_cells(1), 1);
    assert_int_equal(tb_registry_cells(31), 1);
    assert_int_equal(tb_registry_cells(32), 2);
    assert_int_equal(tb_registry_cells(91), 2);
    assert_int_equal(tb_registry_cells(92), 3);
    assert_int_equal(tb_registry_cells(LEN_MAX), 5);

    free(reg);
}


static void
test_limits(void **state)
{
    size_t          room;
    model_t         m;
    tb_registry_t  *reg;

    (void) state;

    reg = create(4096);
    m = make(1, 40);

    assert_int_equal(set(reg, &m, LIMITS(5)), TB_REGISTRY_ADDED);
    room = tb_registry_room(reg);

    assert_int_equal(set(reg, &m, LIMITS(6)), TB_REGISTRY_CHANGED);
    assert_int_equal(tb_registry_room(reg), room);
    assert_same(reg, &m, 1);
    assert_true(tb_registry_find(reg, &m.hash, NULL));

    free(reg);
}


/* Half the hash alone makes nobody the same client. */

static void
test_hash_halves(void **state)
{
    model_t         a, b, c;
    tb_registry_t  *reg;

    (void) state;

    reg = create(4096);
    a = make(1, 10);
    b = make(2, 10);
    c = make(3, 10);
    b.hash.lo = a.hash.lo;
    c.hash.hi = a.hash.hi;

    assert_int_equal(set(reg, &a, LIMITS(1)), TB_REGISTRY_ADDED);
    assert_false(tb_registry_find(reg, &b.hash, NULL));
    assert_int_equal(set(reg, &b, LIMITS(2)), TB_REGISTRY_ADDED);
    assert_int_equal(set(reg, &c, LIMITS(3)), TB_REGISTRY_ADDED);

    assert_known(reg, &a);
    assert_known(reg, &b);
    assert_true(drop(reg, &a));
    assert_known(reg, &a);
    assert_known(reg, &b);
    assert_known(reg, &c);

    free(reg);
}


static void
test_full(void **state)
{
    size_t          i, n;
    model_t        *models, big, small;
    tb_registry_t  *reg;

    (void) state;

    reg = create(8192);
    n = reg->ncells;
    models = calloc(n, sizeof(model_t));
    assert_non_null(models);

    for (i = 0; i < n; i++) {
        models[i] = make(i, 31);
        assert_int_equal(set(reg, &models[i], LIMITS(5)), TB_REGISTRY_ADDED);
    }

    assert_int_equal(tb_registry_room(reg), 0);

    small = make(n, 1);
    big = make(n, LEN_MAX);
    assert_int_equal(set(reg, &small, LIMITS(5)), TB_REGISTRY_FULL);
    assert_same(reg, models, n);

    assert_int_equal(set(reg, &models[0], LIMITS(6)), TB_REGISTRY_CHANGED);

    for (i = 0; i < 4; i++) {
        assert_true(drop(reg, &models[i]));
        assert_int_equal(set(reg, &big, LIMITS(5)), TB_REGISTRY_FULL);
    }

    assert_true(drop(reg, &models[4]));
    assert_int_equal(set(reg, &big, LIMITS(5)), TB_REGISTRY_ADDED);
    assert_known(reg, &big);
    assert_int_equal(set(reg, &small, LIMITS(5)), TB_REGISTRY_FULL);

    free(models);
    free(reg);
}


/* Who is there all the time is seen once, whoever comes and goes. */

static void
test_walk_meets_changes(void **state)
{
    size_t          i, seen;
    model_t         stay[100], other;
    uint32_t        budget;
    uint64_t        after;
    tb_random_t     rnd;
    tb_registry_t  *reg;

    (void) state;

    rnd.state = 7;
    reg = create(64 * 1024);

    for (i = 0; i < 100; i++) {
        stay[i] = make(i, 20);
        assert_int_equal(set(reg, &stay[i], LIMITS(1)), TB_REGISTRY_ADDED);
    }

    seen = 0;
    after = 0;
    budget = UINT32_MAX;

    while (tb_registry_next(reg, after, &budget, &entry)) {
        assert_true(entry.hash.lo > after);
        after = entry.hash.lo;

        seen += (tb_limits_capacity(entry.limits) == 1);

        for (i = 0; i < 5; i++) {
            other = make(1000 + tb_random_in(&rnd, 0, 200), 50);

            if (!drop(reg, &other)) {
                assert_int_not_equal(set(reg, &other, LIMITS(2)),
                                     TB_REGISTRY_CHANGED);
            }
        }
    }

    assert_int_equal(seen, 100);

    free(reg);
}


static void
test_walk_keeps_to_budget(void **state)
{
    size_t          i, seen, calls;
    model_t         m;
    uint32_t        budget;
    uint64_t        after;
    tb_registry_t  *reg;

    (void) state;

    reg = create(1024 * 1024);

    for (i = 0; i < 20; i++) {
        m = make(i, 20);
        assert_int_equal(set(reg, &m, LIMITS(1)), TB_REGISTRY_ADDED);
    }

    seen = 0;
    calls = 0;
    after = 0;

    for ( ;; ) {
        budget = 100;
        entry.hash.lo = 0;

        if (tb_registry_next(reg, after, &budget, &entry)) {
            seen++;

        } else if (budget != 0) {
            break;
        }

        assert_true(entry.hash.lo > after);
        after = entry.hash.lo;
        calls++;
    }

    assert_int_equal(seen, 20);
    assert_true(calls >= reg->nheads / 100);

    free(reg);
}


static void
test_list_goes_on_where_it_stopped(void **state)
{
    bool                    end;
    size_t                  i, n, seen, calls;
    uint32_t                budget;
    uint64_t                after, last;
    model_t                 m;
    tb_registry_t          *reg;
    struct {
        unsigned            mark;
        tb_registry_entry_t entry;
    } page[7];

    (void) state;

    reg = create(64 * 1024);

    for (i = 0; i < 20; i++) {
        m = make(i, 20);
        assert_int_equal(set(reg, &m, LIMITS(1)), TB_REGISTRY_ADDED);
    }

    /* any budget comes to the end, also one that lasts just as far as that */

    for (budget = 1; budget <= reg->nheads + 1; budget++) {
        seen = 0;
        calls = 0;
        after = 0;
        last = 0;

        do {
            n = tb_registry_list(reg, &after, budget, &page[0].entry,
                                 sizeof(page[0]), 7, &end);

            for (i = 0; i < n; i++) {
                assert_true(page[i].entry.hash.lo > last);
                last = page[i].entry.hash.lo;
            }

            seen += n;
            assert_true(++calls <= reg->nheads + 20);

        } while (!end);

        assert_int_equal(seen, 20);
    }

    free(reg);
}


static void
test_random_operations(void **state)
{
    size_t                 i;
    model_t               *models, *m;
    tb_limits_t            limits;
    tb_random_t            rnd;
    tb_registry_t         *reg;
    tb_registry_status_t   status;

    (void) state;

    rnd.state = 1;
    reg = create(24 * 1024);
    models = calloc(MODEL, sizeof(model_t));
    assert_non_null(models);

    for (i = 0; i < MODEL; i++) {
        models[i] = make(i, tb_random_in(&rnd, 1, LEN_MAX));
    }

    for (i = 0; i < 200000; i++) {
        m = &models[tb_random_in(&rnd, 0, MODEL - 1)];

        if (tb_random(&rnd) % 3 == 0) {
            limits = m->limits;
            assert_true(drop(reg, m) == (limits != 0));

        } else {
            limits = m->limits;
            status = set(reg, m, LIMITS(1 + i % 1000));

            if (limits != 0) {
                assert_int_equal(status, TB_REGISTRY_CHANGED);

            } else if (status == TB_REGISTRY_FULL) {
                assert_true(tb_registry_room(reg)
                            < tb_registry_cells(m->len));
            }
        }

        assert_known(reg, m);

        if (i % 1000 == 0) {
            assert_same(reg, models, MODEL);
        }
    }

    assert_same(reg, models, MODEL);

    free(models);
    free(reg);
}


/*
 * Deaths.  Some clients are there; the work adds, changes or removes one
 * with a long id.  Each state that the memory goes through must be one that
 * others can go on with.
 */

#define KILL_SIZE  8192
#define BYSTANDERS 12

static model_t  bystanders[BYSTANDERS];
static model_t  worked;


static void
work_add(void *reg)
{
    (void) tb_registry_set(reg, &worked.hash, worked.id,
                           worked.len, LIMITS(9));
}


static void
work_remove(void *reg)
{
    (void) tb_registry_remove(reg, &worked.hash);
}


static void
assert_survivable(tb_registry_t *reg, tb_limits_t before, tb_limits_t after,
    size_t room)
{
    size_t    i, left;
    model_t   m;
    uint32_t  budget;

    for (i = 0; i < BYSTANDERS; i++) {
        assert_known(reg, &bystanders[i]);
    }

    m = worked;
    m.limits = 0;

    if (tb_registry_find(reg, &worked.hash, &entry)) {
        m.limits = entry.limits;
        assert_entry(&entry, &m);
    }

    assert_true(m.limits == before || m.limits == after);

    /* at most the cells of one id are gone, and one is counted wrong */

    left = tb_registry_room(reg) + tb_registry_cells(LEN_MAX) + 1;
    assert_true(left >= room);

    /* the next one can take it from there */

    assert_int_not_equal(set(reg, &m, LIMITS(7)), TB_REGISTRY_FULL);
    assert_known(reg, &m);
    assert_true(drop(reg, &m));
    assert_known(reg, &m);

    i = 0;
    m.hash.lo = 0;
    budget = UINT32_MAX;

    while (tb_registry_next(reg, m.hash.lo, &budget, &entry)) {
        assert_true(entry.hash.lo > m.hash.lo);
        m.hash.lo = entry.hash.lo;
        i++;
    }

    assert_int_equal(i, BYSTANDERS);
}


static void
die_everywhere(void (*work)(void *data), tb_limits_t before,
    tb_limits_t after)
{
    pid_t           pid;
    size_t          i, room, states;
    tb_registry_t  *copy, *last, *reg;

    reg = mmap(NULL, KILL_SIZE, PROT_READ|PROT_WRITE,
               MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    assert_true(reg != MAP_FAILED);

    copy = create(KILL_SIZE);
    last = create(KILL_SIZE);
    assert_non_null(tb_registry_create(reg, KILL_SIZE));

    worked = make(500, LEN_MAX);

    for (i = 0; i < BYSTANDERS; i++) {
        bystanders[i] = make(i, 1 + 22 * i);
        assert_int_equal(set(reg, &bystanders[i], LIMITS(i + 1)),
                         TB_REGISTRY_ADDED);
    }

    /* cells come from the list of freed ones as well */

    assert_int_equal(set(reg, &worked, LIMITS(1)), TB_REGISTRY_ADDED);
    assert_true(drop(reg, &worked));

    if (before) {
        assert_int_equal(set(reg, &worked, before), TB_REGISTRY_ADDED);
    }

    room = tb_registry_room(reg);

    if (after) {
        room -= before ? 0 : tb_registry_cells(LEN_MAX);
    }

    pid = stepper_start(work, reg);

    if (pid == STEPPER_FORBIDDEN) {
        (void) munmap(reg, KILL_SIZE);
        free(copy);
        free(last);
        skip();
    }

    states = 0;

    do {
        if (memcmp(last, reg, KILL_SIZE) != 0) {
            memcpy(last, reg, KILL_SIZE);
            memcpy(copy, reg, KILL_SIZE);
            assert_survivable(copy, before, after, room);
            states++;
        }

    } while (stepper_step(pid));

    stepper_kill(pid);

    assert_true(states > 1);
    assert_survivable(reg, after, after, room);

    (void) munmap(reg, KILL_SIZE);
    free(copy);
    free(last);
}


static void
test_death_adding(void **state)
{
    (void) state;
    die_everywhere(work_add, 0, LIMITS(9));
}


static void
test_death_changing(void **state)
{
    (void) state;
    die_everywhere(work_add, LIMITS(3), LIMITS(9));
}


static void
test_death_removing(void **state)
{
    (void) state;
    die_everywhere(work_remove, LIMITS(3), 0);
}


int
main(void)
{
    size_t  i;

    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_fits_memory),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_hash_halves),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_walk_meets_changes),
        cmocka_unit_test(test_walk_keeps_to_budget),
        cmocka_unit_test(test_list_goes_on_where_it_stopped),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_death_adding),
        cmocka_unit_test(test_death_changing),
        cmocka_unit_test(test_death_removing)
    };

    for (i = 0; i < TB_SECRET_SIZE; i++) {
        secret[i] = (uint8_t) (i * 37 + 11);
    }

    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
