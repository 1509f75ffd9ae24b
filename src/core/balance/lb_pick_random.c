
/*
 * Random: a step of the order, in which each server has as many as its
 * weight.
 */


#include "src/core/balance/lb_pick.h"


uint32_t
lb_pick_random(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask)
{
    uint32_t  i, index;

    for (i = 0; i < LB_MISSES_MAX; i++) {
        index = lb_draw(ask->random, view->order_length);
        index = atomic_load_explicit(&view->order[index],
                                     memory_order_acquire);

        if (lb_pick_fits(roster, view, ask, index)) {
            return index;
        }
    }

    return lb_pick_scan(roster, view, ask, (uint32_t) lb_random(ask->random));
}
