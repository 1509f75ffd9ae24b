
/*
 * A limit of requests in flight that is found from their latency: as long as
 * that is near to what it is without load, the limit grows; when it rises
 * above, the limit shrinks by the ratio of the two (the gradient, as in the
 * adaptive concurrency of Envoy and the concurrency-limits of Netflix).
 *
 * What latency is without load changes too, and cannot be seen under load: now
 * and then, and when the limit has been shrinking for some windows, the limit
 * is halved for two windows, of which the second one tells.
 *
 * lb_limit_step() is what is decided at the end of a window, out of nothing
 * but its arguments.  lb_limit_t has the state in shared memory: whoever
 * claims the end of a window by compare-and-swap takes the step; one that dies
 * then leaves the limit as it was for a window.
 */


#ifndef LB_LIMIT_H
#define LB_LIMIT_H


#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/core/balance/lb_load.h"


#define LB_LIMIT_MIN      2
#define LB_LIMIT_MAX      100000
#define LB_LIMIT_FIRST    32

/* a window takes so many ms, or as long as a request, and has some samples */
#define LB_LIMIT_WINDOW   100
#define LB_LIMIT_LONGEST  2000
#define LB_LIMIT_SAMPLES  10

/* us; a longer time counts as this */
#define LB_LIMIT_TIME_MAX 600000000

/* ms between two looks at the latency without load, and after a steep fall */
#define LB_LIMIT_PROBE    5000
#define LB_LIMIT_REPROBE  2000


/* what is known between two windows; zeroed at first */

typedef struct {
    uint32_t           limit;        /* in sixteenths; 0: LB_LIMIT_FIRST */
    uint32_t           probing;      /* windows that are left of a probe */
    uint32_t           steep;        /* windows of a steep fall in a row */
    uint32_t           base;         /* us without load; 0: not known */
    uint64_t           probe_at;     /* ms */
} lb_limit_state_t;


/* one window */

typedef struct {
    uint32_t           samples;
    uint32_t           mean;         /* us */
    uint32_t           peak;         /* most requests in flight */
} lb_limit_window_t;


/* any process, but state: who has claimed the window */

typedef struct {
    alignas(LB_LINE)
    _Atomic uint32_t   limit;        /* in force; 0: LB_LIMIT_FIRST */
    _Atomic uint32_t   peak;
    _Atomic uint64_t   samples;      /* number << 44 | sum of us */
    _Atomic uint64_t   until;        /* ms; end of the window */
    _Atomic uint64_t   state[3];     /* lb_limit_state_t in pairs */
} lb_limit_t;


/*
 * The state after a window that ended at now (ms); random is any number.
 * Returns the limit that is in force until the next one has ended.
 */
uint32_t lb_limit_step(lb_limit_state_t *state,
    const lb_limit_window_t *window, uint64_t now, uint32_t random);

/*
 * Enters that a request took so many us while so many were in flight.
 * Lock-free.
 */
void lb_limit_enter(lb_limit_t *limit, uint32_t time, uint32_t in_flight,
    uint64_t now, uint32_t random);

/* The time without load in us, 0: not known. */
uint32_t lb_limit_base(lb_limit_t *limit);


/* The limit in force. */

static inline uint32_t
lb_limit_read(lb_limit_t *limit)
{
    uint32_t  n;

    n = atomic_load_explicit(&limit->limit, memory_order_relaxed);

    return (n != 0) ? n : LB_LIMIT_FIRST;
}


#endif /* LB_LIMIT_H */
