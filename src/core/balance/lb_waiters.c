
/*
 * Lists of waiting requests by class.
 */


#include <stddef.h>

#include "src/core/balance/lb_waiters.h"


static void lb_waiters_insert(lb_waiters_t *waiters, lb_waiter_t *before,
    lb_waiter_t *waiter);


void
lb_waiters_init(lb_waiters_t *waiters)
{
    uint32_t  i;

    for (i = 0; i < LB_CLASSES; i++) {
        waiters->heads[i].next = &waiters->heads[i];
        waiters->heads[i].prev = &waiters->heads[i];
    }

    waiters->classes = 0;
    waiters->number = 0;
}


void
lb_waiters_add(lb_waiters_t *waiters, lb_waiter_t *waiter)
{
    lb_waiters_insert(waiters, waiters->heads[waiter->class].prev, waiter);
}


void
lb_waiters_put_back(lb_waiters_t *waiters, lb_waiter_t *waiter)
{
    lb_waiters_insert(waiters, waiter->prev, waiter);
}


static void
lb_waiters_insert(lb_waiters_t *waiters, lb_waiter_t *before,
    lb_waiter_t *waiter)
{
    waiter->prev = before;
    waiter->next = before->next;
    before->next->prev = waiter;
    before->next = waiter;

    waiters->classes |= 1u << waiter->class;
    waiters->number++;
}


void
lb_waiters_remove(lb_waiters_t *waiters, lb_waiter_t *waiter)
{
    lb_waiter_t  *head;

    head = &waiters->heads[waiter->class];

    waiter->prev->next = waiter->next;
    waiter->next->prev = waiter->prev;

    if (head->next == head) {
        waiters->classes &= ~(1u << waiter->class);
    }

    waiters->number--;
}


lb_waiter_t *
lb_waiters_first(lb_waiters_t *waiters)
{
    return lb_waiters_below(waiters, LB_CLASSES);
}


lb_waiter_t *
lb_waiters_below(lb_waiters_t *waiters, uint32_t class)
{
    while (class -- > 0) {

        if (waiters->classes & 1u << class) {
            return waiters->heads[class].next;
        }
    }

    return NULL;
}


lb_waiter_t *
lb_waiters_last(lb_waiters_t *waiters)
{
    return lb_waiters_from(waiters, 0);
}


lb_waiter_t *
lb_waiters_from(lb_waiters_t *waiters, uint32_t class)
{
    for (/* void */; class < LB_PRIORITIES; class ++) {

        if (waiters->classes & 1u << class) {
            return waiters->heads[class].next;
        }
    }

    return NULL;
}


lb_waiter_t *
lb_waiters_next(lb_waiters_t *waiters, lb_waiter_t *waiter)
{
    return (waiter->next == &waiters->heads[waiter->class]) ? NULL
                                                            : waiter->next;
}


lb_waiter_t *
lb_waiters_oldest(lb_waiters_t *waiters)
{
    uint32_t      class;
    lb_waiter_t  *waiter, *oldest;

    oldest = NULL;

    for (class = 0; class < LB_PRIORITIES; class ++) {
        waiter = waiters->heads[class].next;

        if ((waiters->classes & 1u << class)
            && (oldest == NULL || waiter->since < oldest->since))
        {
            oldest = waiter;
        }
    }

    return oldest;
}
