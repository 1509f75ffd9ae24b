
/*
 * Picking a server for a request.  A method proposes indices out of the view
 * in force; the pick itself counts the request on the server and checks it,
 * goes from the main servers to the backups, sends trials to failed servers,
 * and when nothing else is left tries those.
 */


#ifndef LB_PICK_H
#define LB_PICK_H


#include "src/core/balance/lb_random.h"
#include "src/core/balance/lb_roster.h"


/* failed servers that one request may try for want of others */
#define LB_LAST_MAX     8

/* steps of an order, or draws, before a method looks at the set in turn */
#define LB_MISSES_MAX   16


/* the servers that a request has had, few as a rule */

typedef struct {
    uint16_t          *list;
    uint32_t           number;
    uint32_t           size;
} lb_tried_t;


typedef enum {
    LB_USUAL = 0,
    LB_TRIAL,                        /* failed before, fail_timeout is over */
    LB_LAST                          /* failed, but no other is left */
} lb_how_t;


/* a request that wants a server; all but last are the caller's */

typedef struct {
    lb_row_t          *row;          /* of this process */
    lb_tried_t         tried;
    uint64_t           now;          /* ms */
    uint64_t           key;          /* lb_cells_key(), for lb_pick_hash() */
    uint64_t          *random;       /* lb_random(); of this process */
    uint32_t           last;         /* LB_LAST picks so far */
} lb_ask_t;


/*
 * A picking method: the index of a server of the view that fits
 * (lb_pick_fits()), or LB_NONE if none does.
 */
typedef uint32_t (*lb_pick_pt)(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);


/*
 * Picks a server and counts the request on it, to be taken back with
 * lb_load_drop().  Returns its index and says how it was picked; LB_NONE:
 * there is no server left for this request.  The slot and its identity stay
 * what they are until the drop.  Lock-free.
 */
uint32_t lb_pick(lb_roster_t *roster, lb_pick_pt method, lb_ask_t *ask,
    lb_how_t *how);

/*
 * Whether a further pick of the request would find a server: one usable
 * that is not full and not tried, or with last also one that has failed and
 * would be tried for want of others.  May look at all servers.  Lock-free.
 */
bool lb_pick_left(lb_roster_t *roster, const lb_ask_t *ask, bool last);

/*
 * The first server from the given place of the view's set on that may be
 * picked, be it in its slow start.
 */
uint32_t lb_pick_scan(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t from);

/*
 * Draws two different steps of the order by weight, and again as long as
 * their servers do not fit.  Returns how many it has found; of weight to one
 * both may be the same server.
 */
uint32_t lb_pick_two(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t found[2]);

/*
 * The load of one of the equal parts that a server of its weight stands for,
 * drawn at random: its requests are spread evenly over them.
 */
uint32_t lb_pick_part(lb_roster_t *roster, const lb_ask_t *ask,
    uint32_t index);

/* Whether a server in its slow start takes part in this pick. */
bool lb_pick_slow(lb_roster_t *roster, const lb_ask_t *ask, uint32_t index);


/* nginx's smooth weighted order; one atomic increment and one load. */
uint32_t lb_pick_round_robin(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/* The least requests for the weight, equal ones in turns. */
uint32_t lb_pick_least_conn(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/* By weight; one random number and one load. */
uint32_t lb_pick_random(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/*
 * Of two random ones the one with fewer requests for its weight (Azar and
 * others, 1994; Mitzenmacher, 1996).
 */
uint32_t lb_pick_p2c(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/*
 * Of two random ones the one with the lower average time to header (see
 * lb_latency.h) times requests for its weight, this one included.
 */
uint32_t lb_pick_least_time(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/*
 * The owner of the key's cell (lb_cells.h); if it does not fit, the owners
 * of further cells that depend on the key.
 */
uint32_t lb_pick_hash(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/*
 * Round robin by weight for requests without a key, where the order is one of
 * cells.  One atomic increment and a search.
 */
uint32_t lb_pick_keyless(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);


static inline bool
lb_tried(const lb_tried_t *tried, uint32_t index)
{
    uint32_t  i;

    for (i = 0; i < tried->number; i++) {

        if (tried->list[i] == index) {
            return true;
        }
    }

    return false;
}


/* usable, below max_conns, and not tried by this request */

static inline bool
lb_pick_may(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask,
    uint32_t index)
{
    uint32_t      max;
    lb_server_t  *server;
    lb_load_t     load;

    server = lb_roster_server(roster, index);

    if (atomic_load_explicit(&server->status, memory_order_acquire)
        & view->against)
    {
        return false;
    }

    max = atomic_load_explicit(&server->max_conns, memory_order_relaxed);

    if (max != 0) {
        load = lb_roster_load(roster);

        if (lb_load_active(&load, index) >= max) {
            return false;
        }
    }

    return !lb_tried(&ask->tried, index);
}


/* and takes part in this pick, if it is in its slow start */

static inline bool
lb_pick_fits(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask,
    uint32_t index)
{
    if (!lb_pick_may(roster, view, ask, index)) {
        return false;
    }

    return !(atomic_load_explicit(&lb_roster_server(roster, index)->status,
                                  memory_order_relaxed)
             & LB_SLOW)
           || lb_pick_slow(roster, ask, index);
}


#endif /* LB_PICK_H */
