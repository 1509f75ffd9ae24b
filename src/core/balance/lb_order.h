
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
 *
 * Of these most are asleep.  Between two turns the current weight of a head
 * is a linear function of the step, so it is known at which step it reaches
 * a bar, and until then it is not looked at: whoever is taken is above the
 * bar.  The bar is a guess, raised when all those taken were well above it
 * for a while, lowered when nobody has reached it.  Heads that sleep wait in
 * a wheel, by their step modulo its size.
 */


#ifndef LB_ORDER_H
#define LB_ORDER_H


#include <stdint.h>


/* the longest order kept exact; longer ones are scaled to fit */
#define LB_ORDER_MAX     65536

/* n(n + 1) / 2 <= LB_ORDER_MAX holds up to n = 361 */
#define LB_ORDER_GROUPS  361


/* slots of the wheel */
#define LB_ORDER_WHEEL   1024


typedef struct {
    int64_t          base;       /* the head's current weight at a step is
                                    base + step * weight */
    uint32_t         weight;
    uint32_t         number;     /* how many servers have this weight */
    uint32_t         first;      /* where they start in members[] */
    uint32_t         head;       /* whose turn it is, 0 .. number - 1 */
    uint32_t         wake;       /* the step, while it is asleep */
    uint16_t         next;       /* in the same slot of the wheel */
} lb_order_group_t;


typedef struct {
    lb_order_group_t  group[LB_ORDER_GROUPS];
    uint16_t          awake[LB_ORDER_GROUPS];      /* numbers of groups */
    uint16_t          wheel[LB_ORDER_WHEEL];       /* likewise */
    uint32_t          ngroups;
    uint32_t          nawake;
    uint32_t          step;
    uint32_t          length;    /* steps until the order repeats */
    int64_t           bar;
    int64_t           least;     /* of those taken since the bar was set */
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
