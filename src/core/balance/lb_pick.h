
/*
 * Picking a server for a request.  A method proposes indices out of the view
 * in force; the pick itself counts the request on the server and checks it,
 * goes from the main servers to the backups, sends trials to failed servers,
 * and when nothing else is left tries those.
 */


#ifndef LB_PICK_H
#define LB_PICK_H


#include "src/core/balance/lb_candidate.h"


/* failed servers that one request may try for want of others */
#define LB_LAST_MAX     8


/*
 * Picks a server and counts the request on it, to be taken back with
 * lb_load_drop().  Returns its index and says how it was picked; LB_NONE:
 * there is no server left for this request, or with LB_FULL not yet.  The slot
 * and its identity stay what they are until the drop.  Lock-free.
 */
uint32_t lb_pick(lb_roster_t *roster, lb_method_pt method, lb_ask_t *ask,
    lb_how_t *how);

/*
 * Picks a server with that id (lb_sid.h), as lb_pick() does, if it is usable
 * or draining, not full and not tried; LB_NONE: there is none.  A backup is
 * picked if no main server with that id can be, and with spare only if no
 * main server can be at all.  Lock-free.
 */
uint32_t lb_pick_sticky(lb_roster_t *roster, const lb_ask_t *ask,
    uint64_t sid, bool spare);

/*
 * Whether a further pick of the request would find a server: one usable
 * that is not full and not tried, or with last also one that has failed and
 * would be tried for want of others.  May look at all servers.  Lock-free.
 */
bool lb_pick_left(lb_roster_t *roster, const lb_ask_t *ask, bool last);

/*
 * Whether there is a server, usable and not tried by the request, that has
 * max_conns and may be full: one to wait for.  Looks at all servers.
 */
bool lb_pick_full(lb_roster_t *roster, const lb_ask_t *ask);


#endif /* LB_PICK_H */
