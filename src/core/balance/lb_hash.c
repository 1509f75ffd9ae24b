
/*
 * Consistent hashing: the server that owns the key's cell.
 */


#include "src/core/balance/lb_hash.h"
#include "src/core/balance/lb_method.h"


static inline uint32_t lb_hash_pick(lb_roster_t *roster,
    const lb_view_t *view, const lb_ask_t *ask, bool bound);
static uint32_t lb_hash_stride(uint32_t turns, uint32_t servers);
static uint32_t lb_hash_server(const lb_view_t *view, uint32_t turn);


uint32_t
lb_hash(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask)
{
    return lb_hash_pick(roster, view, ask, false);
}


uint32_t
lb_hash_bound(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask)
{
    return lb_hash_pick(roster, view, ask, true);
}


static inline uint32_t
lb_hash_pick(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask,
    bool bound)
{
    uint32_t  i, index;
    uint64_t  key;

    key = ask->key;

    for (i = 0; i < LB_MISSES_MAX; i++) {
        index = (uint32_t) ((key >> 32) * view->order_length >> 32);
        index = atomic_load_explicit(&view->order[index],
                                     memory_order_acquire);

        if (lb_candidate_fits(roster, view, ask, index)
            && (!bound || lb_hash_has_room(roster, view, ask, index)))
        {
            return index;
        }

        key = lb_mix(key + 1);
    }

    for (i = 0; bound && i < view->set_length; i++) {
        index = atomic_load_explicit(&view->set[((uint32_t) key + i)
                                                % view->set_length],
                                     memory_order_acquire);

        if (lb_candidate_fits(roster, view, ask, index)
            && lb_hash_has_room(roster, view, ask, index))
        {
            return index;
        }
    }

    return lb_candidate_scan(roster, view, ask, (uint32_t) key);
}


bool
lb_hash_has_room(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t index)
{
    uint64_t   all, weight, weights;
    lb_load_t  load;

    if (ask->bound == 0) {
        return true;
    }

    load = lb_roster_load(roster);

    all = (uint64_t) atomic_load_explicit(&roster->in_flight,
                                          memory_order_relaxed) + 1;
    weights = atomic_load_explicit(&view->tier->weights,
                                   memory_order_relaxed);
    weight = atomic_load_explicit(&lb_roster_server(roster, index)->weight,
                                  memory_order_relaxed);

    return (uint64_t) lb_load_active(&load, index) * 100 * weights
           < all * ask->bound * weight;
}


/*
 * A step of the golden section's length from turn to turn visits all of them
 * before any for the second time, and those of one server far apart.
 */

uint32_t
lb_hash_keyless(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask)
{
    uint32_t  i, index, turns, stride;
    uint64_t  step;

    turns = (view->set_length != 0)
            ? atomic_load_explicit(&view->turns[view->set_length - 1],
                                   memory_order_acquire)
            : 0;

    /* the view may be of another method's, about to be replaced */

    if (turns == 0
        || !atomic_load_explicit(&view->tier->cells, memory_order_relaxed))
    {
        return lb_method_round_robin(roster, view, ask);
    }

    stride = lb_hash_stride(turns, view->set_length);
    step = 0;

    for (i = 0; i < LB_MISSES_MAX; i++) {
        step = atomic_fetch_add_explicit(&view->tier->cursor, 1,
                                         memory_order_relaxed);

        index = lb_hash_server(view, (uint32_t) (step % turns * stride
                                                    % turns));

        if (lb_candidate_fits(roster, view, ask, index)) {
            return index;
        }
    }

    return lb_candidate_scan(roster, view, ask, (uint32_t) step);
}


/*
 * A length that has no divisor in common with the number of turns; servers of
 * equal weight come in their own order.
 */

static uint32_t
lb_hash_stride(uint32_t turns, uint32_t servers)
{
    uint32_t  a, b, rest, stride;

    if (turns == servers) {
        return 1;
    }

    stride = (uint32_t) (turns * UINT64_C(0x9e3779b9) >> 32);

    do {
        stride++;

        for (a = turns, b = stride; b != 0; a = b, b = rest) {
            rest = a % b;
        }

    } while (a != 1);

    return stride;
}


/* the server whose turn it is, found by halves */

static uint32_t
lb_hash_server(const lb_view_t *view, uint32_t turn)
{
    uint32_t  low, high, middle;

    low = 0;
    high = view->set_length - 1;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (turn < atomic_load_explicit(&view->turns[middle],
                                        memory_order_acquire))
        {
            high = middle;

        } else {
            low = middle + 1;
        }
    }

    return atomic_load_explicit(&view->set[low], memory_order_acquire);
}
