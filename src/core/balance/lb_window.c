
/*
 * Events within a sliding span: the limit-th event back is in a ring, so one
 * comparison with its time tells whether the limit has been reached.
 */


#include "src/core/balance/lb_window.h"


bool
lb_window_hit(lb_window_t *window, uint32_t limit, uint64_t span,
    uint64_t now)
{
    uint32_t  n, stride;
    uint64_t  then;

    n = atomic_fetch_add_explicit(&window->count, 1, memory_order_relaxed);

    stride = (limit + LB_WINDOW_MARKS - 3) / (LB_WINDOW_MARKS - 1);

    if (stride == 0) {
        stride = 1;
    }

    if (n % stride == 0) {
        atomic_store_explicit(&window->at[n / stride % LB_WINDOW_MARKS], now,
                              memory_order_relaxed);
    }

    if (n < limit - 1) {
        return false;
    }

    /* the mark at the event limit - 1 back, or at an earlier one */

    n = (n - (limit - 1)) / stride;

    then = atomic_load_explicit(&window->at[n % LB_WINDOW_MARKS],
                                memory_order_relaxed);

    return then != 0 && now <= then + span;
}


void
lb_window_clear(lb_window_t *window)
{
    uint32_t  i;

    for (i = 0; i < LB_WINDOW_MARKS; i++) {
        atomic_store_explicit(&window->at[i], 0, memory_order_relaxed);
    }
}
