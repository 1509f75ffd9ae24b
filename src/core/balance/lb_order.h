
/*
 * Smooth weighted round robin as a finite order.  The order is the one that
 * results when, at every step, each server's current weight grows by its
 * weight, the first server with the largest current weight is taken, and
 * the sum of all weights is subtracted from it (nginx's method).  It repeats
 * after sum(weight) / gcd(weight) steps, so it can be computed in advance.
 *
 * Servers of equal weight take turns in index order, so a step compares one
 * head per distinct weight, not every server: weights that sum up to
 * LB_ORDER_MAX have at most 361 distinct values.
 */


#ifndef LB_ORDER_H
#define LB_ORDER_H


#include <stddef.h>
#include <stdint.h>


/* the longest order kept exact; longer ones are scaled to fit */
#define LB_ORDER_MAX     65536

/* n(n + 1) / 2 <= LB_ORDER_MAX holds up to n = 361 */
#define LB_ORDER_GROUPS  361


typedef struct {
    int64_t          base;       /* the head's current weight at a step is
                                    base + step * weight */
    uint32_t         weight;
    uint32_t         number;     /* how many servers have this weight */
    uint32_t         first;      /* where they start in members[] */
    uint32_t         head;       /* whose turn it is, 0 .. number - 1 */
} lb_order_group_t;


typedef struct {
    lb_order_group_t  group[LB_ORDER_GROUPS];
    uint32_t          ngroups;
    uint32_t          step;
    uint32_t          length;    /* steps until the order repeats */
    const uint32_t   *members;
} lb_order_t;


/*
 * Prepares the order of n servers, n <= max <= LB_ORDER_MAX.  weights[]
 * (each at least 1) is divided by its gcd and scaled in place until it sums
 * up to max at most; members[] is room for n numbers that the order keeps
 * using.  Returns the length of the order, 0 for no servers.
 */
uint32_t lb_order_init(lb_order_t *order, uint32_t *weights,
    uint32_t *members, uint32_t n, uint32_t max);

/*
 * Takes one step: returns the position, 0 .. n - 1, of the server whose turn
 * it is.  The order must not be empty.
 */
uint32_t lb_order_next(lb_order_t *order);


#endif /* LB_ORDER_H */
