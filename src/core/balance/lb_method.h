
/*
 * Methods that look at one or two steps of the order.
 */


#ifndef LB_METHOD_H
#define LB_METHOD_H


#include "src/core/balance/lb_candidate.h"


/* nginx's smooth weighted order; one atomic increment and one load. */
uint32_t lb_method_round_robin(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/* By weight; one random number and one load. */
uint32_t lb_method_random(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/*
 * Of two random ones the one with fewer requests for its weight (Azar and
 * others, 1994; Mitzenmacher, 1996).
 */
uint32_t lb_method_p2c(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);

/*
 * Of two random ones the one with the lower average time to header (see
 * lb_latency.h) times requests for its weight, this one included.
 */
uint32_t lb_method_least_time(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);


#endif /* LB_METHOD_H */
