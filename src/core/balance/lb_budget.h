
/*
 * A budget of retries: within a sliding window they are at most a share of
 * the requests, and so many a second more.  Requests and retries are counted
 * by slices of the window in shared memory, by any process and without a
 * lock; one that dies has counted or not.
 */


#ifndef LB_BUDGET_H
#define LB_BUDGET_H


#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>


/* slices of a window; the one that is under way is the last of them */
#define LB_BUDGET_SLICES  16


/* what may be spent */

typedef struct {
    uint32_t           percent;      /* of the requests */
    uint32_t           min;          /* retries a second, in any case */
    uint64_t           window;       /* ms, LB_BUDGET_SLICES or more; 0: off */
} lb_budget_t;


/* high 16 bits: number of the slice, modulo 2^16; low 48 bits: how many */

typedef struct {
    _Atomic uint64_t   requests[LB_BUDGET_SLICES];
    _Atomic uint64_t   retries[LB_BUDGET_SLICES];
} lb_spent_t;


/* Counts a request at now (ms). */
void lb_budget_request(lb_spent_t *spent, const lb_budget_t *budget,
    uint64_t now);

/* Counts a retry, whether there is room for it or not. */
void lb_budget_retry(lb_spent_t *spent, const lb_budget_t *budget,
    uint64_t now);

/* Whether there is room for a retry more.  Looks at each slice. */
bool lb_budget_allows(lb_spent_t *spent, const lb_budget_t *budget,
    uint64_t now);


#endif /* LB_BUDGET_H */
