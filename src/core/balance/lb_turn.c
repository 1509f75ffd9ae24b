
/*
 * Turns of processes that share the places of an upstream.
 */


#include <stdbool.h>

#include "src/core/balance/lb_turn.h"


#define LB_TURN_BITS  56
#define LB_TURN_MASK  ((UINT64_C(1) << LB_TURN_BITS) - 1)


static bool lb_turn_ahead(uint64_t head, uint32_t class, uint64_t since,
    uint64_t now);


void
lb_turn_show(lb_turn_t *turn, uint32_t class, uint64_t since, uint64_t now)
{
    atomic_store_explicit(&turn->seen, now, memory_order_relaxed);
    atomic_store_explicit(&turn->head,
                          (uint64_t) (class + 1) << LB_TURN_BITS
                          | (since & LB_TURN_MASK),
                          memory_order_release);
}


void
lb_turn_clear(lb_turn_t *turn)
{
    atomic_store_explicit(&turn->head, 0, memory_order_relaxed);
}


uint32_t
lb_turn_leave(const lb_turn_t *turns, lb_left_t *left, uint32_t n,
    uint32_t own, uint32_t class, uint64_t since, uint64_t now)
{
    uint32_t  i, places;
    uint64_t  head, seen;

    places = 0;

    for (i = 0; i < n; i++) {
        head = atomic_load_explicit(&turns[i].head, memory_order_acquire);

        if (head == 0 || i == own) {
            continue;
        }

        seen = atomic_load_explicit(&turns[i].seen, memory_order_relaxed);

        if (now > seen + LB_TURN_AWAY
            || !lb_turn_ahead(head, class, since, now))
        {
            continue;
        }

        if (left[i].head != head) {
            left[i].head = head;
            left[i].at = now;
        }

        places += (now < left[i].at + LB_TURN_LEAVE);
    }

    return places;
}


/* one of a higher class that has had no time to look is not held up yet */

static bool
lb_turn_ahead(uint64_t head, uint32_t class, uint64_t since, uint64_t now)
{
    uint32_t  other;
    uint64_t  then;

    other = (uint32_t) (head >> LB_TURN_BITS) - 1;
    then = head & LB_TURN_MASK;

    if (other != class) {
        return other > class && then + LB_TURN_LOOK <= now;
    }

    return then + LB_TURN_AHEAD < since;
}
