
/*
 * Requests that wait for a place of an upstream, in one process: a list in
 * order of arrival for each class.  Retries are a class above all others.
 */


#ifndef LB_WAITERS_H
#define LB_WAITERS_H


#include <stdint.h>


#define LB_PRIORITIES     10
#define LB_CLASS_RETRY    LB_PRIORITIES
#define LB_CLASSES        (LB_PRIORITIES + 1)


typedef struct lb_waiter_s  lb_waiter_t;

struct lb_waiter_s {
    lb_waiter_t       *next;
    lb_waiter_t       *prev;
    uint64_t           since;        /* ms */
    uint32_t           class;        /* below LB_CLASSES */
};


typedef struct {
    lb_waiter_t        heads[LB_CLASSES];
    uint32_t           classes;      /* that have waiters, a bit each */
    uint32_t           number;
} lb_waiters_t;


/* Makes lists without waiters, which are not moved from then on. */
void lb_waiters_init(lb_waiters_t *waiters);

/* Adds one, with since and class set, behind those of its class. */
void lb_waiters_add(lb_waiters_t *waiters, lb_waiter_t *waiter);

/*
 * Puts one back to where it was removed from, if the others of its class have
 * stayed since then.
 */
void lb_waiters_put_back(lb_waiters_t *waiters, lb_waiter_t *waiter);

void lb_waiters_remove(lb_waiters_t *waiters, lb_waiter_t *waiter);

/* Whose turn it is: the first of the highest class, or NULL. */
lb_waiter_t *lb_waiters_first(lb_waiters_t *waiters);

/* The first of the highest class below the given one, or NULL. */
lb_waiter_t *lb_waiters_below(lb_waiters_t *waiters, uint32_t class);

/* Who gives way first: the first of the lowest class but retries, or NULL. */
lb_waiter_t *lb_waiters_last(lb_waiters_t *waiters);

/* The first of the lowest class from the given one on, or NULL. */
lb_waiter_t *lb_waiters_from(lb_waiters_t *waiters, uint32_t class);

/* The one behind it in its class, or NULL. */
lb_waiter_t *lb_waiters_next(lb_waiters_t *waiters, lb_waiter_t *waiter);

/* The one but retries that has waited for longest, or NULL. */
lb_waiter_t *lb_waiters_oldest(lb_waiters_t *waiters);


#endif /* LB_WAITERS_H */
