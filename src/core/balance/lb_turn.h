
/*
 * Whose turn it is among processes.  Who frees a place gives it to a waiter of
 * its own, so a process that has few places would wait for long.  Each one
 * shows the first of its waiters; another one that has a free place leaves it
 * to a waiter who is ahead of its own, once for each such waiter and for as
 * long as that process needs to look.  Times in ms of one clock.
 */


#ifndef LB_TURN_H
#define LB_TURN_H


#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "src/core/balance/lb_load.h"


/* how often a process with waiters looks for places that others have freed */
#define LB_TURN_LOOK    5

/* a place is left for so long, to let it look */
#define LB_TURN_LEAVE   (LB_TURN_LOOK + 1)

/* the older one of equal class is ahead if it has waited so much longer */
#define LB_TURN_AHEAD   (2 * LB_TURN_LOOK)

/* a process that has not looked for so long does not take part */
#define LB_TURN_AWAY    50


/* of one process, written by it only, zeroed at first; by row of lb_load.h */

typedef struct {
    alignas(LB_LINE)
    _Atomic uint64_t   head;         /* class + 1 above 56 bits of since, */
                                     /* 0: nobody waits */
    _Atomic uint64_t   seen;         /* when it has looked last */
} lb_turn_t;


/* what a process has left to another one; of its own memory */

typedef struct {
    uint64_t           head;         /* of whom */
    uint64_t           at;
} lb_left_t;


/* Shows who is first, of that class and waiting since then. */
void lb_turn_show(lb_turn_t *turn, uint32_t class, uint64_t since,
    uint64_t now);

/* Shows that nobody waits. */
void lb_turn_clear(lb_turn_t *turn);

/*
 * How many places the process of row own leaves to others before it gives one
 * to a request of that class that has been waiting since then.  left has n
 * entries, as turns.
 */
uint32_t lb_turn_leave(const lb_turn_t *turns, lb_left_t *left, uint32_t n,
    uint32_t own, uint32_t class, uint64_t since, uint64_t now);


#endif /* LB_TURN_H */
