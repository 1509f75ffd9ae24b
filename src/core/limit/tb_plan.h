
/*
 * Plans: limits that many clients share, by number.  A slot of a client with
 * a plan has TB_LIMITS_PLAN and the number in place of limits, so a plan that
 * changes is in force for all its members with the one store that changes it.
 * Not here: names, which are ids of a registry of their own (tb_registry.h).
 *
 * Two plans are always there: who has the one is refused whatever he asks
 * for, and who has the other is admitted.
 */


#ifndef TB_PLAN_H
#define TB_PLAN_H


#include <stdatomic.h>
#include <stddef.h>

#include "src/core/limit/tb_bucket.h"


#define TB_PLAN_BLOCKED    0
#define TB_PLAN_UNLIMITED  1
#define TB_PLAN_FIRST      2
#define TB_PLANS           1002        /* with these two */
#define TB_PLAN_NONE       UINT32_MAX

/*
 * Of a slot with a plan: the plan is that of the last request, and not one that
 * the client has itself.
 */

#define TB_LIMITS_LENT     (UINT64_C(1) << 40)

/*
 * Above that is the number of one that it had before, of more tokens, and has
 * not been full of since: 0: none.  A bucket that is full of what is less goes
 * back to that one, and is not as new, so that nobody gains tokens by another
 * plan in between.
 */
#define TB_PLAN_BEFORE     44

/* in the place of a number: no plan, but what the zone itself has */
#define TB_PLAN_ZONE       0xfffff

/* capacities that no bucket has: limits of the two */
#define TB_CAPACITY_BLOCKED    0xffffe
#define TB_CAPACITY_UNLIMITED  0xfffff


typedef struct {
    /* written under the lock, read by anybody; 0: the zone's own */
    _Atomic uint64_t  limits;

    /* clients that name it; the lock */
    uint32_t          members;
} tb_plan_t;


typedef struct {
    uint32_t          n;               /* that there is room for; set once */
    tb_plan_t         plan[TB_PLANS];  /* n of these */
} tb_plans_t;


/* Bytes for n plans, with those two. */

static inline size_t
tb_plan_size(uint32_t n)
{
    return offsetof(tb_plans_t, plan) + n * sizeof(tb_plan_t);
}


/*
 * Zeroed memory becomes plans of which only those two are there, with room for
 * n (TB_PLAN_FIRST .. TB_PLANS).
 */

void tb_plan_init(tb_plans_t *plans, uint32_t n);

/* A number that no plan and no client has; TB_PLAN_NONE: all are taken. */

uint32_t tb_plan_free(const tb_plans_t *plans);

/*
 * Sets the limits of a plan, without flags; 0: it is gone, and what members
 * it has are limited as the zone says.  One store.  The lock.
 */

void tb_plan_set(tb_plans_t *plans, uint32_t n, tb_limits_t limits);

/*
 * Counts a client that names the plan, before it does so: who dies in between
 * leaves too many, never too few.  Who lets go of a plan says how many members
 * are left.  The lock.
 */

void tb_plan_join(tb_plans_t *plans, uint32_t n);


/*
 * A slot's limits for a client with that plan; flags: TB_LIMITS_REGISTERED,
 * TB_LIMITS_LENT.
 */

static inline tb_limits_t
tb_plan_limits(uint32_t n, uint64_t flags)
{
    return (uint64_t) n << 4 | TB_LIMITS_PLAN | flags;
}


static inline uint32_t
tb_plan_number(tb_limits_t own)
{
    uint32_t  n;

    n = (uint32_t) (own >> 4) & 0xfffff;

    return ((own & TB_LIMITS_PLAN) && n != TB_PLAN_ZONE) ? n : TB_PLAN_NONE;
}


/* A lent slot's limits without what was before; 0: the zone's own. */

static inline tb_limits_t
tb_plan_lent(tb_limits_t own)
{
    return tb_plan_number(own) != TB_PLAN_NONE
           ? own & ((UINT64_C(1) << TB_PLAN_BEFORE) - 1) : 0;
}


/* Whether a slot that is not registered goes back to something. */

static inline bool
tb_plan_goes_back(tb_limits_t own)
{
    return (own & TB_LIMITS_LENT) && (own & TB_LIMITS_PLAN)
           && own >> TB_PLAN_BEFORE != 0;
}


/* To what. */

static inline tb_limits_t
tb_plan_before(tb_limits_t own)
{
    return tb_plan_lent(tb_plan_limits((uint32_t) (own >> TB_PLAN_BEFORE),
                                       TB_LIMITS_LENT));
}


/*
 * The plan by which tokens of a slot that is not registered are remembered, or
 * TB_PLAN_NONE: that which it goes back to, or else has.
 */

static inline uint32_t
tb_plan_remembered(tb_limits_t own)
{
    if (!(own & TB_LIMITS_LENT) || (own & TB_LIMITS_REGISTERED)) {
        return TB_PLAN_NONE;
    }

    return tb_plan_number(tb_plan_goes_back(own) ? tb_plan_before(own) : own);
}


/*
 * The limits of a slot that is not registered and has own, for a request with
 * those, which are tb_plan_limits() with TB_LIMITS_LENT, or 0.
 */

tb_limits_t tb_plan_change(const tb_plans_t *plans, tb_limits_t own,
    tb_limits_t lent, tb_limits_t dflt);


static inline tb_limits_t
tb_plan_get(const tb_plans_t *plans, uint32_t n)
{
    return n < plans->n
           ? atomic_load_explicit(&plans->plan[n].limits,
                                  memory_order_acquire)
           : 0;
}


/* Whether no plan and no client has that number.  The lock. */

static inline bool
tb_plan_is_free(const tb_plans_t *plans, uint32_t n)
{
    return tb_plan_get(plans, n) == 0 && plans->plan[n].members == 0;
}


/*
 * The limits in force of a slot whose own are these, in a table whose plans
 * (NULL: none) and default limits are those.
 */

tb_limits_t tb_limits_in_force(tb_limits_t own, const tb_plans_t *plans,
    tb_limits_t dflt);


/* Of limits in force: nothing is admitted, whatever was decided. */

static inline bool
tb_limits_are_blocked(tb_limits_t limits)
{
    return tb_limits_capacity(limits) == TB_CAPACITY_BLOCKED
           || ((limits & TB_LIMITS_PLACES) && tb_limits_rate(limits) == 0);
}


/* Of limits in force: all is admitted, whatever was decided. */

static inline bool
tb_limits_are_unlimited(tb_limits_t limits)
{
    return tb_limits_capacity(limits) == TB_CAPACITY_UNLIMITED
           || ((limits & TB_LIMITS_PLACES) && (limits & TB_LIMITS_REGISTERED)
               && tb_limits_rate(limits) >= TB_CAPACITY_MAX);
}


#endif /* TB_PLAN_H */
