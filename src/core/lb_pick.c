
/*
 * Picking a server for a request, whatever the method.
 */


#include "lb_passive.h"


/* picks that lose a race for the last free place look again so often */
#define LB_PICK_RACES  64


static uint32_t lb_pick_usual(lb_roster_t *roster, uint32_t tier,
    lb_pick_pt method, const lb_ask_t *ask);
static bool lb_pick_take(lb_roster_t *roster, const lb_ask_t *ask,
    uint32_t index, uint32_t against);


uint32_t
lb_pick(lb_roster_t *roster, lb_pick_pt method, lb_ask_t *ask, lb_how_t *how)
{
    uint32_t  tier, index;

    for (tier = 0; tier < 2; tier++) {

        index = lb_passive_trial(roster, tier, &ask->tried, ask->now);

        if (index != LB_NONE
            && lb_pick_take(roster, ask, index, LB_UNUSABLE & ~LB_FAILED))
        {
            *how = LB_TRIAL;
            return index;
        }

        index = lb_pick_usual(roster, tier, method, ask);

        if (index != LB_NONE) {
            *how = LB_USUAL;
            return index;
        }
    }

    for (tier = 0; tier < 2 && ask->last < LB_LAST_MAX; tier++) {

        index = lb_passive_last(roster, tier, &ask->tried);

        if (index != LB_NONE
            && lb_pick_take(roster, ask, index, LB_UNUSABLE & ~LB_FAILED))
        {
            ask->last++;
            *how = LB_LAST;
            return index;
        }
    }

    return LB_NONE;
}


bool
lb_pick_left(lb_roster_t *roster, const lb_tried_t *tried)
{
    uint32_t  i, used, status;

    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if ((status & LB_USED) && !(status & LB_UNUSABLE)
            && !lb_tried(tried, i))
        {
            return true;
        }
    }

    return false;
}


uint32_t
lb_pick_scan(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask,
    uint32_t from)
{
    uint32_t  i, index;

    for (i = 0; i < view->set_length; i++) {
        index = atomic_load_explicit(&view->set[(from + i)
                                                % view->set_length],
                                     memory_order_acquire);

        if (lb_pick_fits(roster, ask, index)) {
            return index;
        }
    }

    return LB_NONE;
}


static uint32_t
lb_pick_usual(lb_roster_t *roster, uint32_t tier, lb_pick_pt method,
    const lb_ask_t *ask)
{
    uint32_t   i, index;
    uint64_t   generation;
    lb_view_t  view;

    for (i = 0; i < LB_PICK_RACES; i++) {
        generation = lb_roster_view(roster, tier, &view);

        index = (view.order_length != 0) ? method(roster, &view, ask)
                                         : LB_NONE;

        if (generation != lb_roster_generation(roster)) {
            continue;
        }

        if (index == LB_NONE) {
            return LB_NONE;
        }

        if (lb_pick_take(roster, ask, index, LB_UNUSABLE)) {
            return index;
        }
    }

    return LB_NONE;
}


/*
 * The request is counted first and the server looked at then: a slot with
 * requests is not freed, so what has passed the check stays as it is.
 */

static bool
lb_pick_take(lb_roster_t *roster, const lb_ask_t *ask, uint32_t index,
    uint32_t against)
{
    uint32_t      status;
    lb_load_t     load;
    lb_server_t  *server;

    load = lb_roster_load(roster);
    server = lb_roster_server(roster, index);

    if (!lb_load_take(&load, ask->row, index, server->max_conns)) {
        return false;
    }

    status = atomic_load(&server->status);

    if ((status & LB_USED) && !(status & against)) {
        atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
        return true;
    }

    lb_load_drop(&load, ask->row, index);

    return false;
}
