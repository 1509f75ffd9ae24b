
/*
 * A request that wants a server, and which servers it may go to.
 */


#ifndef LB_CANDIDATE_H
#define LB_CANDIDATE_H


#include "src/core/balance/lb_random.h"
#include "src/core/balance/lb_roster.h"


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
    LB_LAST,                         /* failed, but no other is left */
    LB_FULL                          /* not, as max_conns are reached */
} lb_how_t;


/* the requests of this process that a server is busy with */

typedef struct {
    uint64_t           began;        /* sum of the ms at which they did */
    uint32_t           number;
} lb_age_t;


typedef struct lb_ketama_s  lb_ketama_t;


/* a request that wants a server; all but last are the caller's */

typedef struct {
    lb_row_t          *row;          /* of this process */
    lb_tried_t         tried;
    uint64_t           now;          /* ms */
    uint64_t           key;          /* lb_cells_key(), for lb_hash() */
    uint64_t          *random;       /* lb_random(); of this process */
    const lb_age_t    *ages;         /* by slot; NULL: do not count */
    const lb_ketama_t *ring;         /* of lb_ketama(); NULL: none */
    uint32_t           bound;        /* of lb_hash(), per cent; 0: none */
    uint32_t           last;         /* LB_LAST picks so far */
    bool               waits;        /* for a place, rather than LB_LAST */
} lb_ask_t;


/*
 * A picking method: the index of a server of the view that fits
 * (lb_candidate_fits()), or LB_NONE if none does.
 */
typedef uint32_t (*lb_method_pt)(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);


/*
 * The first server from the given place of the view's set on that may be
 * picked, be it in its slow start.
 */
uint32_t lb_candidate_scan(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t from);

/*
 * Draws two different servers by weight, of those that fit.  Returns how many
 * it has found.
 */
uint32_t lb_candidate_two(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t found[2]);

/*
 * The load of one of the equal parts that a server of its weight stands for,
 * drawn at random: its requests are spread evenly over them.
 */
uint32_t lb_candidate_part(lb_roster_t *roster, const lb_ask_t *ask,
    uint32_t index);

/* Whether a server in its slow start takes part in this pick. */
bool lb_candidate_slow(lb_roster_t *roster, const lb_ask_t *ask,
    uint32_t index);


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
lb_candidate_may(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t index)
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
lb_candidate_fits(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t index)
{
    if (!lb_candidate_may(roster, view, ask, index)) {
        return false;
    }

    return !(atomic_load_explicit(&lb_roster_server(roster, index)->status,
                                  memory_order_relaxed)
             & LB_SLOW)
           || lb_candidate_slow(roster, ask, index);
}


#endif /* LB_CANDIDATE_H */
