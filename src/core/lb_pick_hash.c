
/*
 * Consistent hashing: the server that owns the key's cell.
 */


#include "lb_pick.h"


uint32_t
lb_pick_hash(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask)
{
    uint32_t  i, index;
    uint64_t  key;

    key = ask->key;

    for (i = 0; i < LB_MISSES_MAX; i++) {
        index = (uint32_t) ((key >> 32) * view->order_length >> 32);
        index = atomic_load_explicit(&view->order[index],
                                     memory_order_acquire);

        if (lb_pick_fits(roster, view, ask, index)) {
            return index;
        }

        key = lb_mix(key + 1);
    }

    return lb_pick_scan(roster, view, ask, (uint32_t) key);
}
