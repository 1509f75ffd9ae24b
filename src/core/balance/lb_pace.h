
/*
 * When checks take place: each server in its own rhythm of one interval
 * and a jitter, all servers spread over the interval; and how long an
 * answer is waited for when the process has been busy.  Times in ms.
 */


#ifndef LB_PACE_H
#define LB_PACE_H


#include <stdbool.h>
#include <stdint.h>


/* servers are first checked this far apart, if the interval allows */
#define LB_PACE_FIRST  5

/* less lag than this is the resolution of timers */
#define LB_PACE_SLACK  5


typedef struct {
    uint64_t  due;               /* the next check */
    uint64_t  spread_at;              /* the one after the first, 0: as usual */
} lb_pace_t;


/*
 * Sets when the place-th (from 0) of n servers is due first in this process.
 * last: the begin of its last check by any process, 0 for none.  Its rhythm
 * goes on if it can; else it is checked as soon as is fit, and goes to its
 * even share of the interval from there.
 */
void lb_pace_start(lb_pace_t *pace, uint64_t now, uint64_t last,
    uint64_t interval, uint32_t place, uint32_t n);

/*
 * Sets when it is due after a check that took place now.  jitter is in per
 * mille of the interval, up to 1000; random is any number.  A process that
 * is late leaves out what it has missed and keeps to the rhythm, so that
 * servers stay spread.
 */
void lb_pace_step(lb_pace_t *pace, uint64_t now, uint64_t interval,
    uint32_t jitter, uint32_t random);

/*
 * The time for an answer is over.  late: by how much that was noticed late,
 * lag: how much later than due timers have come since it began.  Returns
 * how much more time the answer gets, 0: none, the server was too slow.
 */
uint64_t lb_pace_grace(uint64_t late, uint64_t lag);


#endif /* LB_PACE_H */
