
/*
 * Consistent hashing, and round robin where the order is one of cells.
 */


#ifndef LB_HASH_H
#define LB_HASH_H


#include "src/core/balance/lb_candidate.h"


/*
 * With a bound no server is proposed that has more than that share of the mean
 * of requests in flight for its weight, roster->in_flight and this one.
 *
 * The owner of the key's cell (lb_cells.h); if it does not fit, the owners
 * of further cells that depend on the key.
 */
uint32_t lb_hash(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/*
 * Whether ask->bound leaves room for the request on a server: 0 does.  The mean
 * is rounded up, so a server may have one request whatever it is.
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
