
/*
 * Failures seen by requests: max_fails failures within fail_timeout mark a
 * server as failed; after fail_timeout, and again after each further one,
 * a single request is sent to it as a trial, and a success brings it back.
 */


#ifndef LB_PASSIVE_H
#define LB_PASSIVE_H


#include "src/core/balance/lb_candidate.h"


/* a server that is tried for want of another is not declared up sooner (ms) */
#define LB_FAILED_MIN  1000


/*
 * A request on the server has failed.  true: this failure took the server
 * out, the caller builds the roster and says so.  Lock-free.
 */
bool lb_passive_failed(lb_roster_t *roster, uint32_t index, uint64_t now);

/*
 * A request that was picked as said by how has succeeded.  true: this
 * brought the server back, as above.  Lock-free.
 */
bool lb_passive_passed(lb_roster_t *roster, uint32_t index, lb_how_t how,
    uint64_t now);

/*
 * Claims the trial of a failed server of the tier that is due and not in
 * tried; LB_NONE: there is none.  Lock-free; one load if none is due.
 */
uint32_t lb_passive_trial(lb_roster_t *roster, uint32_t tier,
    const lb_tried_t *tried, uint64_t now);

/*
 * The failed server of the tier that has been left alone for longest and is
 * not in tried, for a request that has no other left; LB_NONE: there is none.
 */
uint32_t lb_passive_last(lb_roster_t *roster, uint32_t tier,
    const lb_tried_t *tried);

/* Finds out anew when the next trials are due; call it now and then. */
void lb_passive_schedule(lb_roster_t *roster);


#endif /* LB_PASSIVE_H */
