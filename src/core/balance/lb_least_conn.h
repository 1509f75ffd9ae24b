
/*
 * Least connections.
 */


#ifndef LB_LEAST_CONN_H
#define LB_LEAST_CONN_H


#include "src/core/balance/lb_candidate.h"


/* The least requests for the weight, equal ones in turns. */
uint32_t lb_least_conn(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);


#endif /* LB_LEAST_CONN_H */
