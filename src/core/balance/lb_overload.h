
/*
 * Whether a queue is one of a burst, which drains, or stands because more
 * comes in than goes out: as CoDel does, by how long those have waited who
 * have waited for longest, and for how long that has been so.  Times in ms.
 */


#ifndef LB_OVERLOAD_H
#define LB_OVERLOAD_H


#include <stdbool.h>
#include <stdint.h>


/* the least time in a queue that is too much */
#define LB_OVERLOAD_TARGET  5


/* of one process; zeroed at first */

typedef struct {
    uint64_t           above_since;  /* without a break; 0: it is not */
    uint64_t           above_last;   /* when it was above last */
    bool               on;
} lb_overload_t;


/*
 * The time in the queue that is too much if it goes on, where a request takes
 * so many us of its server: half of that, as a wait is still small beside
 * the service then; and no more than half of the timeout.
 */
uint64_t lb_overload_target(uint64_t service, uint64_t timeout);

/*
 * Enters that somebody has waited for age (0: nobody waits) and tells whether
 * that is overload: more than target for an interval without a break, and
 * then until there was none for an interval.  now is not 0.
 */
bool lb_overload_judge(lb_overload_t *overload, uint64_t now, uint64_t age,
    uint64_t target, uint64_t interval);


#endif /* LB_OVERLOAD_H */
