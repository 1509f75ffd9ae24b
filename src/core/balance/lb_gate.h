
/*
 * The places of an upstream: what its servers may hold (max_conns), and with
 * an automatic limit no more than that in all.  Requests for which there is
 * none wait, of all processes no more than the queue has room for.  Both
 * counts are kept as the requests of a server are, and as crash-safe.
 */


#ifndef LB_GATE_H
#define LB_GATE_H


#include "src/core/balance/lb_roster.h"


/* requests of all processes that wait at the same time, at most */
#define LB_GATE_MAX  1000000


/*
 * How many places are free, counted no further than to the number that is
 * wanted.  automatic: of the limit, too.  Without any usable server they are
 * those of failed ones; without these there is nothing to wait for, as with
 * servers that take any number.  Looks at servers until that is known.
 * Lock-free.
 */
uint32_t lb_gate_room(lb_roster_t *roster, bool automatic, uint32_t wanted);

/*
 * Whether it is the turn of a request of that class that came at since (ms):
 * there is a place, and besides it those that are left to others.
 */
bool lb_gate_open(lb_roster_t *roster, lb_left_t *left, uint32_t own,
    bool automatic, uint32_t class, uint64_t since, uint64_t now);

/*
 * How many requests the upstream may have in all: what its usable servers may,
 * and the automatic limit; 0: any number.
 */
uint64_t lb_gate_places(lb_roster_t *roster, bool automatic);

/* Enters that a request took so many us of its server.  Lock-free. */
void lb_gate_served(lb_roster_t *roster, uint64_t time);

/*
 * In how many seconds, at least 1, those that wait will have had their places,
 * as far as can be told.
 */
uint32_t lb_gate_delay(lb_roster_t *roster);


/* Whether requests have been waiting of late, in any process. */

static inline bool
lb_gate_busy(lb_roster_t *roster, uint64_t now)
{
    return now < atomic_load_explicit(&roster->gate.looked,
                                      memory_order_relaxed)
                 + LB_TURN_AWAY;
}


/*
 * Whether the caller is to look for processes that have died, whose places
 * nobody frees: one in LB_TURN_LOOK ms, of all processes.
 */

static inline bool
lb_gate_search(lb_roster_t *roster, uint64_t now)
{
    uint64_t  last;

    last = atomic_load_explicit(&roster->gate.searched,
                                memory_order_relaxed);

    return now >= last + LB_TURN_LOOK
           && atomic_compare_exchange_strong_explicit(&roster->gate.searched,
                                                      &last, now,
                                                      memory_order_relaxed,
                                                      memory_order_relaxed);
}


/* Counts one of all requests in flight; limited: not beyond the limit. */

static inline bool
lb_gate_take(lb_roster_t *roster, lb_row_t *row, bool limited)
{
    lb_load_t  load;

    load = lb_roster_load(roster);

    return lb_load_take(&load, row, roster->capacity,
                        limited ? lb_limit_read(&roster->gate.limit) : 0);
}


static inline void
lb_gate_drop(lb_roster_t *roster, lb_row_t *row)
{
    lb_load_t  load;

    load = lb_roster_load(roster);
    lb_load_drop(&load, row, roster->capacity);
}


static inline uint32_t
lb_gate_total(lb_roster_t *roster)
{
    lb_load_t  load;

    load = lb_roster_load(roster);

    return lb_load_active(&load, roster->capacity);
}


/* Counts one that waits, unless max do. */

static inline bool
lb_gate_enter(lb_roster_t *roster, lb_row_t *row, uint32_t max)
{
    lb_load_t  load;

    load = lb_roster_load(roster);

    return lb_load_take(&load, row, roster->capacity + 1, max);
}


static inline void
lb_gate_leave(lb_roster_t *roster, lb_row_t *row)
{
    lb_load_t  load;

    load = lb_roster_load(roster);
    lb_load_drop(&load, row, roster->capacity + 1);
}


static inline uint32_t
lb_gate_waiting(lb_roster_t *roster)
{
    lb_load_t  load;

    load = lb_roster_load(roster);

    return lb_load_active(&load, roster->capacity + 1);
}


static inline lb_turn_t *
lb_gate_turns(lb_roster_t *roster)
{
    return (lb_turn_t *) ((unsigned char *) roster + roster->turns);
}


#endif /* LB_GATE_H */
