
/*
 * Least time: of two random servers the one that is expected to answer
 * first.
 */


#include "src/core/balance/lb_latency.h"
#include "src/core/balance/lb_pick.h"


uint32_t
lb_pick_least_time(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask)
{
    uint32_t  i, n;
    uint32_t  found[2];
    uint64_t  busy[2], time[2];

    n = lb_pick_two(roster, view, ask, found);

    if (n == 0) {
        return lb_pick_scan(roster, view, ask,
                            (uint32_t) lb_random(ask->random));
    }

    if (n == 1 || found[0] == found[1]) {
        return found[0];
    }

    for (i = 0; i < 2; i++) {
        busy[i] = (uint64_t) lb_pick_part(roster, ask, found[i]) + 1;
        time[i] = lb_latency_read(&lb_roster_server(roster, found[i])
                                   ->latency, ask->now);
    }

    /* of whom nothing is known is expected to be like the other */

    if (time[0] == 0 || time[1] == 0) {
        time[0] = 1;
        time[1] = 1;
    }

    return (time[1] * busy[1] < time[0] * busy[0]) ? found[1] : found[0];
}
