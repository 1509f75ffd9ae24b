
/*
 * Least connections.  The set is cut into blocks, for each of which a hint
 * says how busy its least busy server was when someone looked last.  A pick
 * looks through the block with the lowest hint and through one at random, so
 * hints are corrected where it matters, and none is wrong for long.
 *
 * A server of weight w stands for w equal parts over which its requests are
 * spread evenly.  Turns go by the order of round robin to whoever has a part
 * that is as little busy as any: so weights hold with few requests, too.
 */


#include "src/core/balance/lb_least_conn.h"


#define LB_BLOCK_MIN   16

/* what a hint leaves out of a load */
#define LB_HINT_SHIFT  12


typedef struct {
    uint32_t  index;             /* the least busy server, or LB_NONE */
    uint64_t  load;              /* its requests times lb_unit() */
} lb_least_t;


static uint32_t lb_least_conn_block(const lb_view_t *view, uint32_t nblocks,
    uint32_t turn);
static void lb_least_conn_look(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t block, uint32_t size, lb_least_t *least);
static uint32_t lb_least_conn_turn(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t least);


uint32_t
lb_least_conn(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask)
{
    uint32_t    index, size, nblocks, turn;
    lb_least_t  least;

    for (size = LB_BLOCK_MIN; size * size * 4 < view->set_length; size *= 2) {
        /* void */
    }

    nblocks = (view->set_length + size - 1) / size;

    least.index = LB_NONE;
    least.load = UINT64_MAX;

    turn = 0;

    if (nblocks > 1) {
        turn = lb_draw(ask->random, nblocks);
        lb_least_conn_look(roster, view, ask,
                           lb_least_conn_block(view, nblocks, turn), size,
                           &least);
    }

    if (nblocks > 0) {
        lb_least_conn_look(roster, view, ask, turn, size, &least);
    }

    if (least.index == LB_NONE) {
        return lb_candidate_scan(roster, view, ask,
                            (uint32_t) lb_random(ask->random));
    }

    index = lb_least_conn_turn(roster, view, ask,
                          (uint32_t) (least.load >> LB_UNIT_BITS));

    return (index != LB_NONE) ? index : least.index;
}


/* the block with the lowest hint, the first from turn on */

static uint32_t
lb_least_conn_block(const lb_view_t *view, uint32_t nblocks, uint32_t turn)
{
    uint32_t  i, block, hint, low;

    block = turn;
    low = UINT32_MAX;

    for (i = turn; i < nblocks; i++) {
        hint = atomic_load_explicit(&view->hints[i], memory_order_relaxed);

        if (hint < low) {
            low = hint;
            block = i;
        }
    }

    for (i = 0; i < turn; i++) {
        hint = atomic_load_explicit(&view->hints[i], memory_order_relaxed);

        if (hint < low) {
            low = hint;
            block = i;
        }
    }

    return block;
}


static void
lb_least_conn_look(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t block, uint32_t size, lb_least_t *least)
{
    uint32_t   i, end, index, unit;
    uint64_t   load, low;
    lb_load_t  loads;

    loads = lb_roster_load(roster);
    low = UINT64_MAX;
    end = (block + 1) * size;
    end = (end < view->set_length) ? end : view->set_length;

    for (i = block * size; i < end; i++) {
        index = atomic_load_explicit(&view->set[i], memory_order_acquire);
        unit = atomic_load_explicit(&view->units[i], memory_order_relaxed);

        load = (uint64_t) lb_load_active(&loads, index) * unit;

        if (load < least->load) {

            if (!lb_candidate_fits(roster, view, ask, index)) {
                continue;
            }

            least->load = load;
            least->index = index;
        }

        low = (load < low) ? load : low;
    }

    low >>= LB_HINT_SHIFT;

    atomic_store_explicit(&view->hints[block],
                          (low < UINT32_MAX) ? (uint32_t) low : UINT32_MAX,
                          memory_order_relaxed);
}


/* the next one in the order with a part that is no busier than the least */

static uint32_t
lb_least_conn_turn(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t least)
{
    uint32_t  i, index;
    uint64_t  step;

    step = atomic_fetch_add_explicit(&view->tier->cursor, 1,
                                     memory_order_relaxed);

    for (i = 0; i < LB_MISSES_MAX; i++) {
        index = atomic_load_explicit(&view->order[step % view->order_length],
                                     memory_order_acquire);

        if (lb_candidate_part(roster, ask, index) <= least
            && lb_candidate_fits(roster, view, ask, index))
        {
            return index;
        }

        /* not the next one, which would have the turns of a busy neighbour */

        step = lb_random(ask->random);
    }

    return LB_NONE;
}
