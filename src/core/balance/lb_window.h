
/*
 * How often something happened within a sliding span of time: the times of
 * the latest events in a ring, shared between processes without a lock.
 */


#ifndef LB_WINDOW_H
#define LB_WINDOW_H


#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>


#define LB_WINDOW_MARKS  16


/*
 * count grows by one with each event, at[] holds the time of every stride-th
 * one in ms, 0 for none.  Any process may add at any time; one that dies
 * between the two loses one event at most.
 */

typedef struct {
    _Atomic uint64_t  at[LB_WINDOW_MARKS];
    _Atomic uint32_t  count;
} lb_window_t;


/*
 * Adds an event at now (ms, not 0) and tells whether it is at least the
 * limit-th (limit >= 1) within the last span ms.  Exact for limits up to
 * LB_WINDOW_MARKS; a larger limit may be noticed limit / 15 events late,
 * never early.  Change limit only together with lb_window_clear().
 */
bool lb_window_hit(lb_window_t *window, uint32_t limit, uint64_t span,
    uint64_t now);

/* Forgets all events. */
void lb_window_clear(lb_window_t *window);


#endif /* LB_WINDOW_H */
