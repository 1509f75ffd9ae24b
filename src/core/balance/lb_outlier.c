
/*
 * Ejecting servers with many errors, and letting them in again.
 */


#include "src/core/balance/lb_outlier.h"


bool
lb_outlier_error(lb_roster_t *roster, const lb_outlier_t *outlier,
    uint32_t index, uint64_t now)
{
    if (outlier->errors == 0) {
        return false;
    }

    return lb_window_hit(&lb_roster_server(roster, index)->errors,
                         outlier->errors, outlier->window, now);
}


bool
lb_outlier_eject(lb_roster_t *roster, const lb_outlier_t *outlier,
    uint32_t index, uint64_t now)
{
    uint32_t      i, used, status, total, ejected, times;
    uint64_t      until;
    lb_server_t  *server;

    if (lb_roster_status(roster, index) & LB_UNUSABLE) {
        return false;
    }

    total = 0;
    ejected = 1;
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if ((status & LB_USED) && !(status & LB_PANICKING)) {
            total++;
            ejected += !!(status & LB_EJECTED);
        }
    }

    if ((uint64_t) ejected * 100 > (uint64_t) total * outlier->max_ejected) {
        return false;
    }

    server = lb_roster_server(roster, index);

    until = gw_load_acquire(&server->ejected_until);
    times = gw_load_acquire(&server->ejections);

    if (now >= until + times * outlier->ejection) {
        times = 0;
    }

    times += (times < LB_EJECTIONS_MAX);

    lb_window_clear(&server->errors);

    gw_store_release(&server->ejections, times);
    gw_store_release(&server->ejected_until, now + times * outlier->ejection);
    atomic_fetch_or_explicit(&server->status, LB_EJECTED,
                             memory_order_acq_rel);

    return true;
}


uint32_t
lb_outlier_return(lb_roster_t *roster, uint64_t now, uint32_t *from,
    uint64_t *next)
{
    uint32_t      i, used;
    uint64_t      until;
    lb_server_t  *server;

    if (*from == 0) {
        *next = LB_NEVER;
    }

    used = lb_roster_used(roster);

    for (i = *from; i < used; i++) {

        if (!(lb_roster_status(roster, i) & LB_EJECTED)) {
            continue;
        }

        server = lb_roster_server(roster, i);
        until = gw_load_acquire(&server->ejected_until);

        if (now < until) {
            *next = (until < *next) ? until : *next;
            continue;
        }

        if (atomic_fetch_and_explicit(&server->status, ~(uint32_t) LB_EJECTED,
                                      memory_order_acq_rel)
            & LB_EJECTED)
        {
            *from = i + 1;
            return i;
        }
    }

    *from = used;

    return LB_NONE;
}
