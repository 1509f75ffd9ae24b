
/*
 * Round robin: the next step of the precomputed smooth weighted order.
 */


#include "src/core/balance/lb_pick.h"


uint32_t
lb_pick_round_robin(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask)
{
    uint32_t  i, index;
    uint64_t  step;

    step = 0;

    for (i = 0; i < LB_MISSES_MAX; i++) {
        step = atomic_fetch_add_explicit(&view->tier->cursor, 1,
                                         memory_order_relaxed);

        index = atomic_load_explicit(&view->order[step % view->order_length],
                                     memory_order_acquire);

        if (lb_pick_fits(roster, view, ask, index)) {
            return index;
        }
    }

    return (view->set_length != 0)
           ? lb_pick_scan(roster, view, ask, step % view->set_length)
           : LB_NONE;
}
