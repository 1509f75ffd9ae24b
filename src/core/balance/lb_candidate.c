
/*
 * Choosing among the servers that a request may go to.
 */


#include "src/core/balance/lb_candidate.h"


/* steps of a slow start; the first pick after it has one of them */
#define LB_SLOW_PARTS  100

/* draws for the second of two servers, and steps of the order after them */
#define LB_REDRAWS_MAX  3
#define LB_WALK_MAX     64


static uint32_t lb_candidate_other(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t step, uint32_t found[2]);


uint32_t
lb_candidate_scan(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t from)
{
    uint32_t  i, index;

    for (i = 0; i < view->set_length; i++) {
        index = atomic_load_explicit(&view->set[(from + i)
                                                % view->set_length],
                                     memory_order_acquire);

        if (lb_candidate_may(roster, view, ask, index)) {
            return index;
        }
    }

    return LB_NONE;
}


uint32_t
lb_candidate_two(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t found[2])
{
    uint32_t  i, index, step, length;

    length = view->order_length;
    step = lb_draw(ask->random, length);

    for (i = 0;; i++) {
        found[0] = atomic_load_explicit(&view->order[step],
                                        memory_order_acquire);

        if (lb_candidate_fits(roster, view, ask, found[0])) {
            break;
        }

        if (i == LB_MISSES_MAX) {
            return 0;
        }

        step = lb_draw(ask->random, length);
    }

    if (length == 1) {
        return 1;
    }

    for (i = 0; i < LB_REDRAWS_MAX; i++) {

        /* any step but this one */

        step += 1 + lb_draw(ask->random, length - 1);
        step = (step < length) ? step : step - length;

        index = atomic_load_explicit(&view->order[step],
                                     memory_order_acquire);

        if (index != found[0]
            && lb_candidate_fits(roster, view, ask, index))
        {
            found[1] = index;
            return 2;
        }
    }

    return 1 + lb_candidate_other(roster, view, ask, step, found);
}


/*
 * The first one has most steps of the order: another one is that which comes
 * next after a random step, so by weight; or any if that is far.
 */

static uint32_t
lb_candidate_other(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t step, uint32_t found[2])
{
    uint32_t  i, from, index;

    for (i = 0; i < LB_WALK_MAX; i++) {
        index = atomic_load_explicit(&view->order[step],
                                     memory_order_acquire);

        if (index != found[0]
            && lb_candidate_fits(roster, view, ask, index))
        {
            found[1] = index;
            return 1;
        }

        step = (step + 1 < view->order_length) ? step + 1 : 0;
    }

    from = (uint32_t) lb_random(ask->random);

    for (i = 0; i < view->set_length; i++) {
        index = atomic_load_explicit(&view->set[(from + i)
                                                % view->set_length],
                                     memory_order_acquire);

        if (index != found[0]
            && lb_candidate_fits(roster, view, ask, index))
        {
            found[1] = index;
            return 1;
        }
    }

    return 0;
}


uint32_t
lb_candidate_part(lb_roster_t *roster, const lb_ask_t *ask, uint32_t index)
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
lb_candidate_slow(lb_roster_t *roster, const lb_ask_t *ask, uint32_t index)
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
