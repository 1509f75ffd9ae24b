
/*
 * The plan of a request is put into the slot of its bucket, so that whoever
 * refills that has the same limits as the decision.  The lock is taken only
 * where the slot has another one.
 */


#include "src/tbucket/request/ngx_http_tbucket_plan.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"


/* Whether limits of a slot may give way: they are not the client's own. */

static ngx_inline ngx_uint_t
ngx_http_tbucket_plan_is_lent(tb_limits_t own)
{
    return (own & ~TB_LIMITS_REGISTERED) == 0
           || ((own & TB_LIMITS_PLAN) && (own & TB_LIMITS_LENT));
}


void
ngx_http_tbucket_plan(ngx_http_request_t *r, ngx_http_tbucket_charge_t *c)
{
    uint64_t                  now;
    ngx_str_t                 name;
    tb_table_t               *table;
    tb_limits_t               dflt, own, plan;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;
    table = zone->shared->table;
    own = tb_table_own_limits(table, &c->hash);

    if (!ngx_http_tbucket_plan_is_lent(own)
        || (zone->known && !zone->has_fallback
            && !(own & TB_LIMITS_REGISTERED))
        || ngx_http_complex_value(r, c->limit->plan, &name) != NGX_OK)
    {
        return;
    }

    plan = name.len ? ngx_http_tbucket_plan_lent(zone, name.data, name.len)
                    : 0;

    if (plan == tb_plan_lent(own & ~TB_LIMITS_REGISTERED)) {
        return;
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    ngx_shmtx_lock(&zone->shpool->mutex);

    own = tb_table_own_limits(table, &c->hash);

    if (ngx_http_tbucket_plan_is_lent(own)) {

        if (own & TB_LIMITS_REGISTERED) {
            plan |= TB_LIMITS_REGISTERED;

        } else if (tb_table_find(table, &c->hash) != NULL) {
            plan = tb_plan_change(zone->shared->plans, own, plan, dflt);
        }

        tb_table_assign(table, &c->hash, now, dflt, plan);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


u_char *
ngx_http_tbucket_plan_print(u_char *buf, ngx_http_tbucket_charge_t *c)
{
    uint32_t                  n;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;

    n = tb_plan_number(tb_table_own_limits(zone->shared->table, &c->hash));

    if (ngx_http_tbucket_plan_limits(zone, n) == 0) {
        return buf;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    buf += tb_plan_names_get(zone->shared->names, n, (char *) buf);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return buf;
}
