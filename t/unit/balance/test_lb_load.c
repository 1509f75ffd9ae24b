
/*
 * Requests in flight per server and process.  A process is killed after
 * each single instruction that it executes, and what it leaves behind must
 * be put right.
 */


#include "t/unit/balance/lb_fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>


/* under a sanitizer every memory access takes many instructions */

#ifdef __SANITIZE_ADDRESS__
#define KILL_STEP  7
#else
#define KILL_STEP  1
#endif


/* what the row's owner holds of a server */

static uint32_t
held(const lb_row_t *row, uint32_t index)
{
    return ((_Atomic uint32_t *) ((uintptr_t) row + row->held))[index];
}


static void
a_server_counts_what_it_is_given(void **state)
{
    lb_row_t     *a, *b;
    lb_load_t     load;
    lb_roster_t  *roster;

    (void) state;

    roster = lb_fixture_roster(8, 2);
    load = lb_roster_load(roster);

    a = lb_load_claim(&load, 10, 0);
    b = lb_load_claim(&load, 11, 1);

    assert_true(lb_load_take(&load, a, 3, 0));
    assert_true(lb_load_take(&load, a, 3, 0));
    assert_true(lb_load_take(&load, b, 3, 0));
    assert_int_equal(lb_load_active(&load, 3), 3);
    assert_int_equal(held(a, 3), 2);

    lb_load_drop(&load, a, 3);
    lb_load_drop(&load, b, 3);
    assert_int_equal(lb_load_active(&load, 3), 1);
    assert_int_equal(lb_load_active(&load, 2), 0);

    free(roster);
}


static void
a_full_server_takes_no_more(void **state)
{
    lb_row_t     *row;
    lb_load_t     load;
    lb_roster_t  *roster;

    (void) state;

    roster = lb_fixture_roster(8, 2);
    load = lb_roster_load(roster);
    row = lb_load_claim(&load, 10, 0);

    assert_true(lb_load_take(&load, row, 0, 2));
    assert_true(lb_load_take(&load, row, 0, 2));
    assert_false(lb_load_take(&load, row, 0, 2));
    assert_int_equal(lb_load_active(&load, 0), 2);
    assert_int_equal(held(row, 0), 2);

    lb_load_drop(&load, row, 0);
    assert_true(lb_load_take(&load, row, 0, 2));

    free(roster);
}


static void
rows_are_claimed_once_and_come_back(void **state)
{
    lb_row_t     *a, *b;
    lb_load_t     load;
    lb_roster_t  *roster;

    (void) state;

    roster = lb_fixture_roster(8, 2);
    load = lb_roster_load(roster);

    a = lb_load_claim(&load, 10, 0);
    b = lb_load_claim(&load, 11, 1);

    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    assert_null(lb_load_claim(&load, 12, 2));

    assert_true(lb_load_take(&load, a, 1, 0));
    assert_true(lb_load_take(&load, b, 1, 0));
    assert_true(lb_load_settle(&load, a));
    assert_int_equal(lb_load_active(&load, 1), 1);
    assert_ptr_equal(lb_load_claim(&load, 12, 2), a);

    free(roster);
}


/*
 * Each of them has added to active[] what is not in its held[] yet, of the
 * same server: what is left of both is what a living process holds.
 */

static void
two_that_died_in_a_change_do_not_wait_for_each_other(void **state)
{
    lb_row_t     *a, *b, *c;
    lb_load_t     load;
    lb_roster_t  *roster;

    (void) state;

    roster = lb_fixture_roster(8, 3);
    load = lb_roster_load(roster);

    a = lb_load_claim(&load, 10, 0);
    b = lb_load_claim(&load, 11, 1);
    c = lb_load_claim(&load, 12, 2);

    assert_true(lb_load_take(&load, a, 1, 0));
    assert_true(lb_load_take(&load, b, 1, 0));
    assert_true(lb_load_take(&load, c, 1, 0));

    atomic_store(&a->index, 1);
    atomic_store(&b->index, 1);
    atomic_fetch_add(&a->change, 1);
    atomic_fetch_add(&b->change, 1);
    atomic_fetch_add(&load.active[1], 2);

    assert_false(lb_load_settle(&load, a));
    assert_true(lb_load_settle(&load, b));
    assert_true(lb_load_settle(&load, a));

    assert_int_equal(lb_load_active(&load, 1), 1);
    assert_non_null(lb_load_claim(&load, 13, 3));
    assert_non_null(lb_load_claim(&load, 14, 4));

    free(roster);
}


static void
a_process_caught_in_a_change_puts_settling_off(void **state)
{
    lb_row_t     *a, *b;
    lb_load_t     load;
    lb_roster_t  *roster;

    (void) state;

    roster = lb_fixture_roster(8, 2);
    load = lb_roster_load(roster);

    a = lb_load_claim(&load, 10, 0);
    b = lb_load_claim(&load, 11, 1);

    assert_true(lb_load_take(&load, a, 1, 0));
    atomic_fetch_add(&b->change, 1);

    assert_false(lb_load_settle(&load, a));
    assert_int_equal(lb_load_active(&load, 1), 1);

    atomic_fetch_add(&b->change, 1);

    assert_true(lb_load_settle(&load, a));
    assert_int_equal(lb_load_active(&load, 1), 0);

    free(roster);
}


/* takes and gives back, also a place on a server that is nearly full */

static void
work(const lb_load_t *load, lb_row_t *row, _Atomic uint32_t *done)
{
    (void) lb_load_take(load, row, 1, 0);
    (void) lb_load_take(load, row, 2, 3);
    (void) lb_load_take(load, row, 2, 3);
    lb_load_drop(load, row, 2);
    (void) lb_load_take(load, row, 1, 0);
    lb_load_drop(load, row, 1);

    *done = 1;
}


/* whether the child was still at work after so many instructions; dead now */

static bool
killed_after(const lb_load_t *load, lb_row_t *row, uint32_t steps,
    _Atomic uint32_t *done)
{
    int       status;
    pid_t     pid;
    uint32_t  i;

    pid = fork();
    assert_true(pid != -1);

    if (pid == 0) {

        if (getenv("NO_PTRACE")
            || ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
        {
            _exit(2);
        }

        (void) raise(SIGSTOP);
        work(load, row, done);
        _exit(0);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);

    if (!WIFSTOPPED(status)) {
        skip();
    }

    for (i = 0; i < steps && !*done; i++) {
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSTOPPED(status));
    }

    (void) kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);

    return !*done;
}


static void
a_process_killed_at_any_instruction_leaves_right_counts(void **state)
{
    void         *block;
    bool          alive;
    lb_row_t     *living, *row;
    uint32_t      steps;
    uint64_t      size;
    lb_load_t     load;
    lb_roster_t  *roster;

    _Atomic uint32_t  *done;

    (void) state;

    size = lb_roster_size(8, 2, 1024);
    block = mmap(NULL, size + sizeof(*done), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(block, MAP_FAILED);

    done = (_Atomic uint32_t *) ((unsigned char *) block + size);
    roster = lb_roster_init(block, 8, 2, 1024);
    load = lb_roster_load(roster);

    living = lb_load_claim(&load, 10, 0);
    assert_true(lb_load_take(&load, living, 1, 0));
    assert_true(lb_load_take(&load, living, 2, 0));
    assert_true(lb_load_take(&load, living, 2, 0));

    for (steps = 0, alive = true; alive; steps += KILL_STEP) {
        row = lb_load_claim(&load, 11, 1);
        assert_non_null(row);

        alive = killed_after(&load, row, steps, done);

        assert_true(lb_load_settle(&load, row));
        assert_int_equal(lb_load_active(&load, 1), 1);
        assert_int_equal(lb_load_active(&load, 2), 2);
        assert_int_equal(held(row, 1), 0);
        assert_int_equal(held(row, 2), 0);
    }

    assert_true(steps > 100);

    (void) munmap(block, size + sizeof(*done));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_server_counts_what_it_is_given),
        cmocka_unit_test(a_full_server_takes_no_more),
        cmocka_unit_test(rows_are_claimed_once_and_come_back),
        cmocka_unit_test(two_that_died_in_a_change_do_not_wait_for_each_other),
        cmocka_unit_test(a_process_caught_in_a_change_puts_settling_off),
        cmocka_unit_test(
                     a_process_killed_at_any_instruction_leaves_right_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
