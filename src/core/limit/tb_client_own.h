
/*
 * What a client is given, as one word: the registry keeps it, and it tells
 * what the client's slot in the table has.  Not here: members and texts of it
 * (tb_client.h).
 */


#ifndef TB_CLIENT_OWN_H
#define TB_CLIENT_OWN_H


#include "src/core/limit/tb_client.h"


/*
 * The word: the limits of the client's slot, with TB_LIMITS_REGISTERED, and
 * these.  Without limits and plan it is limited as the others are.
 */

#define TB_OWN_BLOCKED         TB_LIMITS_HELD
#define TB_OWN_UNLIMITED       TB_LIMITS_LEASED


/*
 * The word for what a client is given; plan: the number of the one that it
 * names.  And back: sets the members that the word has, and no others, but for
 * the plan's name, and returns the number, or TB_PLAN_NONE.
 */

tb_limits_t tb_client_own(const tb_client_t *c, uint32_t plan);
uint32_t tb_client_read_own(tb_client_t *c, tb_limits_t own, tb_kind_e kind);


/* What the slot of a client has whose word that is; 0 stays 0. */

static inline tb_limits_t
tb_own_slot(tb_limits_t own)
{
    if (own & TB_OWN_BLOCKED) {
        return tb_plan_limits(TB_PLAN_BLOCKED, TB_LIMITS_REGISTERED);
    }

    if (own & TB_OWN_UNLIMITED) {
        return tb_plan_limits(TB_PLAN_UNLIMITED, TB_LIMITS_REGISTERED);
    }

    return own;
}


/* Whether a client with that word has limits of its own, or a plan. */

static inline bool
tb_own_is_limited(tb_limits_t own)
{
    return own >> 4 != 0 || (own & TB_LIMITS_PLAN);
}


#endif /* TB_CLIENT_OWN_H */
