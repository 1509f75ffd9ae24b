
/*
 * Power of two choices: of two random servers the less busy one.
 */


#include "src/core/balance/lb_pick.h"


uint32_t
lb_pick_p2c(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask)
{
    uint32_t  n;
    uint32_t  found[2];

    n = lb_pick_two(roster, view, ask, found);

    if (n == 0) {
        return lb_pick_scan(roster, view, ask,
                            (uint32_t) lb_random(ask->random));
    }

    if (n == 1 || found[0] == found[1]) {
        return found[0];
    }

    return (lb_pick_part(roster, ask, found[1])
            < lb_pick_part(roster, ask, found[0]))
           ? found[1] : found[0];
}
