
/*
 * A child process that works on something in shared memory, one instruction
 * at a time.  After cmocka.h.  NO_PTRACE in the environment forbids it: what
 * simulates a processor has too many instructions of its own.
 */


#ifndef STEPPER_H
#define STEPPER_H


#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>


#define STEPPER_FORBIDDEN  -1      /* no ptrace here */


/* Starts a child that is stopped right before work, and again after it. */

static inline pid_t
stepper_start(void (*work)(void *data), void *data)
{
    int    status;
    pid_t  pid;

    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        if (getenv("NO_PTRACE") || ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        {
            _exit(1);
        }

        (void) raise(SIGSTOP);
        work(data);
        (void) raise(SIGSTOP);
        _exit(0);
    }

    assert_true(waitpid(pid, &status, 0) == pid);

    if (WIFEXITED(status)) {
        return STEPPER_FORBIDDEN;
    }

    assert_true(WIFSTOPPED(status));

    return pid;
}


/* One instruction; false: the work is done. */

static inline bool
stepper_step(pid_t pid)
{
    int  status;

    assert_true(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFSTOPPED(status));

    return WSTOPSIG(status) == SIGTRAP;
}


/* All the rest of the work. */

static inline void
stepper_finish(pid_t pid)
{
    int  status;

    assert_true(ptrace(PTRACE_CONT, pid, NULL, NULL) == 0);
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
}


static inline void
stepper_kill(pid_t pid)
{
    int  status;

    assert_true(kill(pid, SIGKILL) == 0);
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFSIGNALED(status));
}


#endif /* STEPPER_H */
