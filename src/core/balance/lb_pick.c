
/*
 * Picking a server for a request, whatever the method.
 */


#include "src/core/balance/lb_passive.h"


/* picks that lose a race for the last free place look again so often */
#define LB_PICK_RACES  64

/* steps of a slow start; the first pick after it has one of them */
#define LB_SLOW_PARTS  100


static uint32_t lb_pick_usual(lb_roster_t *roster, uint32_t tier,
    lb_pick_pt method, const lb_ask_t *ask);
static uint32_t lb_pick_any(lb_roster_t *roster, const lb_ask_t *ask,
    uint32_t *against);
static bool lb_pick_take(lb_roster_t *roster, const lb_ask_t *ask,
    uint32_t index, uint32_t against);


uint32_t
lb_pick(lb_roster_t *roster, lb_pick_pt method, lb_ask_t *ask, lb_how_t *how)
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
lb_pick_left(lb_roster_t *roster, const lb_ask_t *ask, bool last)
{
    uint32_t   tier;
    lb_view_t  view;

    for (tier = 0; tier < 2; tier++) {
        (void) lb_roster_view(roster, tier, &view);

        if (lb_pick_scan(roster, &view, ask, (uint32_t) lb_random(ask->random))
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


uint32_t
lb_pick_scan(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask,
    uint32_t from)
{
    uint32_t  i, index;

    for (i = 0; i < view->set_length; i++) {
        index = atomic_load_explicit(&view->set[(from + i)
                                                % view->set_length],
                                     memory_order_acquire);

        if (lb_pick_may(roster, view, ask, index)) {
            return index;
        }
    }

    return LB_NONE;
}


uint32_t
lb_pick_two(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask,
    uint32_t found[2])
{
    uint32_t  i, n, index, step, length;

    n = 0;
    length = view->order_length;
    step = lb_draw(ask->random, length);

    for (i = 0; i < LB_MISSES_MAX && n < 2; i++) {
        index = atomic_load_explicit(&view->order[step],
                                     memory_order_acquire);

        if (lb_pick_fits(roster, view, ask, index)) {
            found[n++] = index;
        }

        if (length == 1) {
            break;
        }

        /* any step but this one */

        step += 1 + lb_draw(ask->random, length - 1);
        step = (step < length) ? step : step - length;
    }

    return n;
}


uint32_t
lb_pick_part(lb_roster_t *roster, const lb_ask_t *ask, uint32_t index)
{
    uint32_t   weight, active, rest;
    lb_load_t  load;

    load = lb_roster_load(roster);
    active = lb_load_active(&load, index);
    weight = atomic_load_explicit(&lb_roster_server(roster, index)->weight,
                                  memory_order_relaxed);

    if (weight <= 1) {
        return active;
    }

    rest = active % weight;

    return active / weight + (rest != 0 && lb_draw(ask->random, weight) < rest);
}


/*
 * The share of picks that it takes part in grows evenly.  Marks that are out
 * of date are removed by whoever comes across them.
 */

bool
lb_pick_slow(lb_roster_t *roster, const lb_ask_t *ask, uint32_t index)
{
    uint32_t      part;
    uint64_t      from, age, span;
    lb_server_t  *server;

    server = lb_roster_server(roster, index);
    span = atomic_load_explicit(&roster->slow_start, memory_order_relaxed);
    from = atomic_load_explicit(&server->slow_from, memory_order_relaxed);

    if (from == 0) {
        from = (ask->now != 0) ? ask->now : 1;
        atomic_store_explicit(&server->slow_from, from, memory_order_relaxed);
    }

    age = (ask->now > from) ? ask->now - from : 0;

    if (age >= span) {
        atomic_fetch_and_explicit(&server->status, ~(uint32_t) LB_SLOW,
                                  memory_order_relaxed);
        return true;
    }

    part = (uint32_t) (age * LB_SLOW_PARTS / span);

    return lb_draw(ask->random, LB_SLOW_PARTS) <= part;
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

    used = atomic_load(&roster->used);
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
                && lb_pick_may(roster, &view, ask, index))
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
