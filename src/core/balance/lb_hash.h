
/*
 * Consistent hashing, and round robin where the order is one of cells.
 */


#ifndef LB_HASH_H
#define LB_HASH_H


#include "src/core/balance/lb_candidate.h"


/*
 * The owner of the key's cell (lb_cells.h); if it does not fit, the owners
 * of further cells that depend on the key.
 */
uint32_t lb_hash(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/* The same, if lb_hash_has_room(): else a further one has. */
uint32_t lb_hash_bound(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/*
 * Whether a server has no more than ask->bound per cent of the mean of requests
 * in flight (roster->in_flight, and this one) for its weight; 0: any.  That is
 * rounded up, so a server may have one request whatever the mean is.
 */
bool lb_hash_has_room(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask, uint32_t index);

/*
 * Round robin by weight for requests without a key, where the order is one of
 * cells.  One atomic increment and a search.
 */
uint32_t lb_hash_keyless(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);


#endif /* LB_HASH_H */
