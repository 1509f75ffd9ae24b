
/*
 * Requests and retries within a sliding window, by slices of it.
 */


#include "src/core/balance/lb_budget.h"


#define LB_BUDGET_BITS  48
#define LB_BUDGET_MASK  ((UINT64_C(1) << LB_BUDGET_BITS) - 1)

#define lb_budget_tag(slice)  ((uint64_t) (slice) << LB_BUDGET_BITS)


static uint64_t lb_budget_slice(const lb_budget_t *budget, uint64_t now);
static void lb_budget_count(_Atomic uint64_t *counts, uint64_t slice);
static uint64_t lb_budget_sum(_Atomic uint64_t *counts, uint64_t slice);


void
lb_budget_request(lb_spent_t *spent, const lb_budget_t *budget, uint64_t now)
{
    lb_budget_count(spent->requests, lb_budget_slice(budget, now));
}


void
lb_budget_retry(lb_spent_t *spent, const lb_budget_t *budget, uint64_t now)
{
    lb_budget_count(spent->retries, lb_budget_slice(budget, now));
}


bool
lb_budget_allows(lb_spent_t *spent, const lb_budget_t *budget, uint64_t now)
{
    uint64_t  slice, requests, retries;

    slice = lb_budget_slice(budget, now);

    requests = lb_budget_sum(spent->requests, slice);
    retries = lb_budget_sum(spent->retries, slice) + 1;

    /* in thousandths of per cent */

    return retries * 100000 <= requests * budget->percent * 1000
                               + (uint64_t) budget->min * budget->window
                                 * 100;
}


static uint64_t
lb_budget_slice(const lb_budget_t *budget, uint64_t now)
{
    return now / (budget->window / LB_BUDGET_SLICES);
}


/* The place of a slice holds one of a window ago until it is counted in. */

static void
lb_budget_count(_Atomic uint64_t *counts, uint64_t slice)
{
    uint64_t           old;
    _Atomic uint64_t  *count;

    count = &counts[slice % LB_BUDGET_SLICES];
    old = atomic_load_explicit(count, memory_order_relaxed);

    while (((old ^ lb_budget_tag(slice)) & ~LB_BUDGET_MASK) != 0) {

        if (atomic_compare_exchange_weak_explicit(count, &old,
                                                  lb_budget_tag(slice) + 1,
                                                  memory_order_relaxed,
                                                  memory_order_relaxed))
        {
            return;
        }
    }

    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}


static uint64_t
lb_budget_sum(_Atomic uint64_t *counts, uint64_t slice)
{
    uint64_t  i, count, sum;

    sum = 0;

    for (i = slice - LB_BUDGET_SLICES + 1; i != slice + 1; i++) {
        count = atomic_load_explicit(&counts[i % LB_BUDGET_SLICES],
                                     memory_order_relaxed);

        if (((count ^ lb_budget_tag(i)) & ~LB_BUDGET_MASK) == 0) {
            sum += count & LB_BUDGET_MASK;
        }
    }

    return sum;
}
