
/*
 * Picking a server for a request, whatever the method.
 */


#include "src/core/balance/lb_passive.h"
#include "src/core/balance/lb_pick.h"
#include "src/core/balance/lb_sid.h"


/* picks that lose a race for the last free place look again so often */
#define LB_PICK_RACES  64


static bool lb_pick_is_full(lb_roster_t *roster, const lb_ask_t *ask,
    uint32_t against);
static uint32_t lb_pick_usual(lb_roster_t *roster, uint32_t tier,
    lb_method_pt method, const lb_ask_t *ask);
static uint32_t lb_pick_any(lb_roster_t *roster, const lb_ask_t *ask,
    uint32_t *against);
static bool lb_pick_take(lb_roster_t *roster, const lb_ask_t *ask,
    uint32_t index, uint32_t against);


uint32_t
lb_pick(lb_roster_t *roster, lb_method_pt method, lb_ask_t *ask, lb_how_t *how)
{
    uint32_t  tier, index, against;

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

    index = lb_pick_any(roster, ask, &against);

    if (index != LB_NONE && lb_pick_take(roster, ask, index, against)) {
        *how = LB_USUAL;
        return index;
    }

    if (ask->waits && lb_pick_full(roster, ask)) {
        *how = LB_FULL;
        return LB_NONE;
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

    /* failed ones are worth a wait if there is nothing else to wait for */

    if (ask->waits && ask->last < LB_LAST_MAX
        && lb_roster_count(roster).usable == 0
        && lb_pick_is_full(roster, ask, LB_UNUSABLE & ~LB_FAILED))
    {
        *how = LB_FULL;
    }

    return LB_NONE;
}


uint32_t
lb_pick_sticky(lb_roster_t *roster, const lb_ask_t *ask, uint64_t sid,
    bool spare)
{
    uint32_t   tier, index, place, backup;
    lb_view_t  view;

    for (tier = 0; tier < 2; tier++) {
        backup = tier ? LB_BACKUP : 0;
        place = 0;

        (void) lb_roster_view(roster, 0, &view);

        while ((index = lb_sid_find(roster, sid, &place)) != LB_NONE) {

            if ((lb_roster_status(roster, index) & LB_BACKUP) == backup
                && !lb_tried(&ask->tried, index)
                && lb_pick_take(roster, ask, index,
                                view.against & ~(uint32_t) LB_DRAINING))
            {
                return index;
            }
        }

        if (place == 0
            || (spare && lb_candidate_scan(roster, &view, ask, 0) != LB_NONE))
        {
            break;
        }
    }

    return LB_NONE;
}


bool
lb_pick_left(lb_roster_t *roster, const lb_ask_t *ask, bool last)
{
    uint32_t   tier;
    lb_view_t  view;

    for (tier = 0; tier < 2; tier++) {
        (void) lb_roster_view(roster, tier, &view);

        if (lb_candidate_scan(roster, &view, ask,
                              (uint32_t) lb_random(ask->random))
            != LB_NONE)
        {
            return true;
        }
    }

    if (lb_pick_any(roster, ask, NULL) != LB_NONE) {
        return true;
    }

    if (!last || ask->last >= LB_LAST_MAX) {
        return false;
    }

    return lb_passive_last(roster, 0, &ask->tried) != LB_NONE
           || lb_passive_last(roster, 1, &ask->tried) != LB_NONE;
}


bool
lb_pick_full(lb_roster_t *roster, const lb_ask_t *ask)
{
    return lb_pick_is_full(roster, ask, lb_roster_against(roster));
}


static bool
lb_pick_is_full(lb_roster_t *roster, const lb_ask_t *ask, uint32_t against)
{
    uint32_t  i, used;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {

        if ((lb_roster_status(roster, i) & (LB_USED | against)) == LB_USED
            && lb_roster_server(roster, i)->max_conns != 0
            && !lb_tried(&ask->tried, i))
        {
            return true;
        }
    }

    return false;
}


static uint32_t
lb_pick_usual(lb_roster_t *roster, uint32_t tier, lb_method_pt method,
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

        if (lb_pick_take(roster, ask, index, view.against)) {
            return index;
        }
    }

    return LB_NONE;
}


/* A server that is usable, though the view in force knows nothing of that. */

static uint32_t
lb_pick_any(lb_roster_t *roster, const lb_ask_t *ask, uint32_t *against)
{
    uint32_t   i, from, index, tier, used;
    lb_view_t  view;

    used = lb_roster_used(roster);
    from = used ? lb_draw(ask->random, used) : 0;
    view.against = lb_roster_against(roster);

    if (against) {
        *against = view.against;
    }

    for (tier = 0; tier < 2; tier++) {

        for (i = 0; i < used; i++) {
            index = (from + i) % used;

            if ((lb_roster_status(roster, index) & (LB_USED | LB_BACKUP))
                    == (LB_USED | (tier ? LB_BACKUP : 0))
                && lb_candidate_may(roster, &view, ask, index))
            {
                return index;
            }
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
    uint32_t      max, status;
    lb_load_t     load;
    lb_server_t  *server;

    load = lb_roster_load(roster);
    server = lb_roster_server(roster, index);
    max = gw_load_relaxed(&server->max_conns);

    if (!lb_load_take(&load, ask->row, index, max)) {
        return false;
    }

    status = gw_load_seq_cst(&server->status);

    if ((status & LB_USED) && !(status & against)) {
        atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
        return true;
    }

    lb_load_drop(&load, ask->row, index);

    return false;
}
