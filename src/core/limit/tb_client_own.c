
/*
 * What a client is given, from its members to one word and back.
 */


#include "src/core/limit/tb_client_own.h"


tb_limits_t
tb_client_own(const tb_client_t *c, uint32_t plan)
{
    tb_limits_t  own;

    own = 0;

    if (c->members & TB_CLIENT_PLAN) {
        own = tb_plan_limits(plan, 0);

    } else if (c->members & TB_CLIENT_CAPACITY) {
        own = tb_limits(c->capacity, c->rate, 0);

    } else if (c->members & TB_CLIENT_QUOTA) {
        own = tb_limits(c->quota, 0, 0);

    } else if (c->members & TB_CLIENT_INFLIGHT) {
        own = tb_limits(TB_CAPACITY_MAX, c->inflight, 0);
    }

    if ((c->members & TB_CLIENT_BLOCKED) && c->blocked) {
        own |= TB_OWN_BLOCKED;
    }

    if ((c->members & TB_CLIENT_UNLIMITED) && c->unlimited) {
        own |= TB_OWN_UNLIMITED;
    }

    return own | TB_LIMITS_REGISTERED;
}


uint32_t
tb_client_read_own(tb_client_t *c, tb_limits_t own, tb_kind_e kind)
{
    c->members = 0;
    c->blocked = (own & TB_OWN_BLOCKED) != 0;
    c->unlimited = (own & TB_OWN_UNLIMITED) != 0;

    if (c->blocked) {
        c->members |= TB_CLIENT_BLOCKED;
    }

    if (c->unlimited) {
        c->members |= TB_CLIENT_UNLIMITED;
    }

    if (own & TB_LIMITS_PLAN) {
        c->members |= TB_CLIENT_PLAN;
        return tb_plan_number(own);
    }

    if (own >> 4 == 0) {
        return TB_PLAN_NONE;
    }

    switch (kind) {

    case TB_KIND_RATE:
        c->members |= TB_CLIENT_CAPACITY | TB_CLIENT_RATE;
        c->capacity = tb_limits_capacity(own);
        c->rate = tb_limits_rate(own);
        break;

    case TB_KIND_QUOTA:
        c->members |= TB_CLIENT_QUOTA;
        c->quota = tb_limits_capacity(own);
        break;

    case TB_KIND_INFLIGHT:
        c->members |= TB_CLIENT_INFLIGHT;
        c->inflight = (uint32_t) tb_limits_rate(own);
        break;
    }

    return TB_PLAN_NONE;
}
