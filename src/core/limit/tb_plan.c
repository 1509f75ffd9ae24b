
/*
 * The array of plans.
 */


#include "src/core/limit/tb_plan.h"


void
tb_plan_init(tb_plans_t *plans, uint32_t n)
{
    plans->n = n;

    atomic_store_explicit(&plans->plan[TB_PLAN_BLOCKED].limits,
                          tb_limits(TB_CAPACITY_BLOCKED, 0, 0),
                          memory_order_relaxed);

    atomic_store_explicit(&plans->plan[TB_PLAN_UNLIMITED].limits,
                          tb_limits(TB_CAPACITY_UNLIMITED, 0, 0),
                          memory_order_relaxed);
}


uint32_t
tb_plan_free(const tb_plans_t *plans)
{
    uint32_t  n;

    for (n = TB_PLAN_FIRST; n < plans->n; n++) {
        if (tb_plan_is_free(plans, n)) {
            return n;
        }
    }

    return TB_PLAN_NONE;
}


void
tb_plan_set(tb_plans_t *plans, uint32_t n, tb_limits_t limits)
{
    atomic_store_explicit(&plans->plan[n].limits, limits & ~TB_LIMITS_FLAGS,
                          memory_order_release);
}


void
tb_plan_join(tb_plans_t *plans, uint32_t n)
{
    plans->plan[n].members++;
}


tb_limits_t
tb_plan_change(const tb_plans_t *plans, tb_limits_t own, tb_limits_t lent,
    tb_limits_t dflt)
{
    uint32_t     capacity, n;
    tb_limits_t  before;

    if (dflt & TB_LIMITS_TIMELESS) {

        /* these count what is used, or lie elsewhere */

        return lent;
    }

    before = tb_plan_lent(own);
    capacity = tb_limits_capacity(tb_limits_in_force(before, plans, dflt));

    if (tb_plan_goes_back(own)
        && tb_limits_capacity(tb_limits_in_force(tb_plan_before(own), plans,
                                                 dflt))
           > capacity)
    {
        before = tb_plan_before(own);
        capacity = tb_limits_capacity(tb_limits_in_force(before, plans,
                                                         dflt));
    }

    if (tb_limits_capacity(tb_limits_in_force(lent, plans, dflt)) >= capacity)
    {
        return lent;
    }

    n = tb_plan_number(before);
    n = (n == TB_PLAN_NONE) ? TB_PLAN_ZONE : n;
    lent = lent ? lent : tb_plan_limits(TB_PLAN_ZONE, TB_LIMITS_LENT);

    return lent | (uint64_t) n << TB_PLAN_BEFORE;
}


tb_limits_t
tb_limits_in_force(tb_limits_t own, const tb_plans_t *plans, tb_limits_t dflt)
{
    uint64_t     flags;
    tb_limits_t  limits;

    flags = own & TB_LIMITS_REGISTERED;
    limits = own & ~TB_LIMITS_FLAGS;

    if (own & TB_LIMITS_PLAN) {
        limits = plans ? tb_plan_get(plans, tb_plan_number(own)) : 0;
    }

    if (limits == 0) {
        return dflt | flags;
    }

    if ((dflt & TB_LIMITS_PLACES)
        && tb_limits_capacity(limits) > TB_CAPACITY_MAX)
    {
        limits = tb_limits(TB_CAPACITY_MAX,
                           tb_limits_capacity(limits) == TB_CAPACITY_UNLIMITED
                           ? TB_CAPACITY_MAX : 0, 0);
    }

    if (dflt & TB_LIMITS_WINDOW) {
        limits = tb_limits(tb_limits_capacity(limits), tb_limits_rate(dflt),
                           0);
    }

    return limits | flags | (dflt & TB_LIMITS_TIMELESS);
}
