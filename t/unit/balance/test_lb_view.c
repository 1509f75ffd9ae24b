
/*
 * Building a view while others read and somebody dies: a child builds one,
 * an instruction at a time, and after each of them the view in force has to
 * be a whole one, the old or the new, and anybody able to build the next.
 */


#include "t/unit/balance/lb_fixture.h"

#include <sys/mman.h>

#include <cmocka.h>

#include "t/unit/stepper.h"


#define SERVERS   4
#define ROWS      2
#define STEPS_MAX 256

/* under a sanitizer every memory access takes many instructions */

#ifdef __SANITIZE_ADDRESS__
#define LOOK_EVERY  61
#else
#define LOOK_EVERY  1
#endif


/* what a reader gets from the view in force */

typedef struct {
    uint64_t  generation;
    uint32_t  against[2];
    uint32_t  order_length[2];
    uint32_t  set_length[2];
    uint16_t  order[2][STEPS_MAX];
    uint16_t  set[2][SERVERS];
} seen_t;


static void
see(lb_roster_t *roster, seen_t *seen)
{
    uint32_t   i, tier;
    lb_view_t  view;

    memset(seen, 0, sizeof(seen_t));

    for (tier = 0; tier < 2; tier++) {
        seen->generation = lb_roster_view(roster, tier, &view);

        assert_true(view.order_length <= STEPS_MAX);
        assert_true(view.set_length <= SERVERS);

        seen->against[tier] = view.against;
        seen->order_length[tier] = view.order_length;
        seen->set_length[tier] = view.set_length;

        for (i = 0; i < view.order_length; i++) {
            seen->order[tier][i] = view.order[i];
        }

        for (i = 0; i < view.set_length; i++) {
            seen->set[tier][i] = view.set[i];
        }
    }
}


static void
work(void *roster)
{
    lb_fixture_build(roster);
}


/* what is in force, and what the next build makes of a copy as it is */

static void
check_state(lb_roster_t *roster, uint64_t size, void *memory,
    const seen_t *before, const seen_t *after)
{
    seen_t        seen;
    lb_roster_t  *copy;

    see(roster, &seen);

    if (seen.generation == before->generation) {
        assert_memory_equal(&seen, before, sizeof(seen_t));

    } else {
        assert_memory_equal(&seen, after, sizeof(seen_t));
    }

    copy = memory;
    memcpy(copy, roster, size);
    lb_fixture_build(copy);
    see(copy, &seen);

    assert_false(lb_roster_stale(copy));

    seen.generation = after->generation;
    assert_memory_equal(&seen, after, sizeof(seen_t));
}


/* a view as it is after several builds, and a server of it that has failed */

static lb_roster_t *
prepare(void *block, uint64_t size, lb_fixture_t *f)
{
    uint32_t      i;
    lb_roster_t  *roster;

    memset(block, 0xa5, size);
    roster = lb_roster_init(block, SERVERS, ROWS, STEPS_MAX);

    for (i = 0; i < SERVERS; i++) {
        lb_fixture_line(f, 1 + i)->status = (i == 3) ? LB_BACKUP : 0;
    }

    assert_true(lb_sync_lines(roster, f->lines, SERVERS, NULL, NULL));

    return roster;
}


static void
step_through(lb_roster_t *roster, uint64_t size)
{
    void      *memory;
    pid_t      pid;
    bool       more;
    uint32_t   n;
    seen_t     before, after;

    memory = aligned_alloc(LB_LINE, size);
    assert_non_null(memory);

    see(roster, &before);

    memcpy(memory, roster, size);
    lb_fixture_build(memory);
    see(memory, &after);

    assert_int_not_equal(memcmp(&before, &after, sizeof(seen_t)), 0);

    pid = stepper_start(work, roster);

    if (pid == STEPPER_FORBIDDEN) {
        free(memory);
        skip();
    }

    for (n = 0, more = true; more; n++) {
        more = stepper_step(pid);

        if (n % LOOK_EVERY == 0 || !more) {
            check_state(roster, size, memory, &before, &after);
        }
    }

    stepper_kill(pid);

    see(roster, &before);
    assert_memory_equal(&before, &after, sizeof(seen_t));
    assert_true(n > 100);

    free(memory);
}


static void
a_view_is_whole_at_every_instruction_of_the_next_build(void **state)
{
    void         *block;
    uint64_t      size;
    lb_roster_t  *roster;

    static lb_fixture_t  f;

    (void) state;

    size = lb_roster_size(SERVERS, ROWS, STEPS_MAX);
    block = mmap(NULL, size, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(block, MAP_FAILED);

    roster = prepare(block, size, &f);

    /* the first one, in memory that has never been a view */

    step_through(roster, size);

    /* and some that are filled where the one before the last was */

    (void) lb_passive_failed(roster, 1, 1000);
    step_through(roster, size);

    (void) lb_passive_failed(roster, 2, 1000);
    step_through(roster, size);

    lb_roster_rule(roster, &(lb_rules_t) { .cells = true });
    step_through(roster, size);

    (void) munmap(block, size);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(
                       a_view_is_whole_at_every_instruction_of_the_next_build),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
