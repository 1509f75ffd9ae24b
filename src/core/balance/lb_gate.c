
/*
 * The places of an upstream.
 */


#include "src/core/balance/lb_gate.h"


/* one over this is the weight of a new time */
#define LB_GATE_SAMPLES  32


static uint32_t lb_gate_against(lb_roster_t *roster);


/*
 * The status that stands against a server.  While no server is usable those
 * that have failed are tried all the same, so their places are the ones to
 * wait for.
 */

static uint32_t
lb_gate_against(lb_roster_t *roster)
{
    uint32_t   i, used;
    lb_view_t  view;

    used = lb_roster_used(roster);
    (void) lb_roster_view(roster, 0, &view);

    for (i = 0; i < used; i++) {

        if ((lb_roster_status(roster, i) & (LB_USED | view.against))
            == LB_USED)
        {
            return view.against;
        }
    }

    return LB_UNUSABLE & ~LB_FAILED;
}


uint32_t
lb_gate_room(lb_roster_t *roster, bool automatic, uint32_t wanted)
{
    bool          usable;
    uint32_t      i, active, against, limit, max, room, used;
    lb_load_t     load;
    lb_server_t  *server;

    if (automatic) {
        limit = lb_limit_read(&roster->gate.limit);
        active = lb_gate_total(roster);
        room = (active < limit) ? limit - active : 0;
        wanted = (room < wanted) ? room : wanted;
    }

    room = 0;
    usable = false;
    load = lb_roster_load(roster);
    used = lb_roster_used(roster);
    against = lb_gate_against(roster);

    for (i = 0; i < used && room < wanted; i++) {
        server = lb_roster_server(roster, i);

        if ((lb_roster_status(roster, i) & (LB_USED | against)) != LB_USED)
        {
            continue;
        }

        usable = true;
        max = atomic_load_explicit(&server->max_conns, memory_order_relaxed);

        if (max == 0) {
            return wanted;
        }

        active = lb_load_active(&load, i);
        room += (active < max) ? max - active : 0;
    }

    return (usable && room < wanted) ? room : wanted;
}


uint64_t
lb_gate_places(lb_roster_t *roster, bool automatic)
{
    uint32_t  i, against, limit, max, used;
    uint64_t  places;

    places = 0;
    limit = automatic ? lb_limit_read(&roster->gate.limit) : 0;
    used = lb_roster_used(roster);
    against = lb_gate_against(roster);

    for (i = 0; i < used; i++) {

        if ((lb_roster_status(roster, i) & (LB_USED | against)) != LB_USED)
        {
            continue;
        }

        max = atomic_load_explicit(&lb_roster_server(roster, i)->max_conns,
                                   memory_order_relaxed);
        if (max == 0) {
            return limit;
        }

        places += max;
    }

    return (limit != 0 && limit < places) ? limit : places;
}


bool
lb_gate_open(lb_roster_t *roster, lb_left_t *left, uint32_t own,
    bool automatic, uint32_t class, uint64_t since, uint64_t now)
{
    uint32_t  places;

    places = 1 + lb_turn_leave(lb_gate_turns(roster), left,
                               gw_load_acquire(&roster->rows_used), own, class,
                               since, now);

    return lb_gate_room(roster, automatic, places) >= places;
}


void
lb_gate_served(lb_roster_t *roster, uint64_t time)
{
    uint64_t  old, next;

    old = atomic_load_explicit(&roster->gate.service, memory_order_relaxed);

    /* of two at the same time one is lost, which an average can bear */

    next = (old == 0) ? time
                      : old - old / LB_GATE_SAMPLES + time / LB_GATE_SAMPLES;

    atomic_store_explicit(&roster->gate.service, next, memory_order_relaxed);
}


uint32_t
lb_gate_delay(lb_roster_t *roster)
{
    uint32_t   i, busy, used;
    uint64_t   time;
    lb_load_t  load;

    load = lb_roster_load(roster);
    used = lb_roster_used(roster);
    busy = 0;

    for (i = 0; i < used; i++) {
        busy += lb_load_active(&load, i);
    }

    /* requests that wait, over those that leave a second */

    time = atomic_load_explicit(&roster->gate.service, memory_order_relaxed)
           * lb_gate_waiting(roster);
    time = (time / (busy ? busy : 1) + 999999) / 1000000;
    time = (time < 3600) ? time : 3600;

    return (time != 0) ? (uint32_t) time : 1;
}
