
/*
 * Plans of a zone: tb_plan.h and tb_plan_names.h with the zone's hash, memory
 * and kind of limits.
 */


#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/core/limit/tb_client_own.h"


/* bytes of the zone for each plan that there is room for */
#define NGX_HTTP_TBUCKET_PLAN_SHARE  1024


ngx_int_t
ngx_http_tbucket_plans_create(ngx_http_tbucket_zone_t *zone)
{
    size_t                      n;
    ngx_http_tbucket_shared_t  *shared;

    shared = zone->shared;

    n = zone->shm_zone->shm.size / NGX_HTTP_TBUCKET_PLAN_SHARE;
    n = ngx_min(n, TB_PLANS);

    shared->plans = ngx_slab_calloc(zone->shpool, tb_plan_size(n));
    shared->names = ngx_slab_calloc(zone->shpool, tb_plan_names_size(n));

    if (shared->plans == NULL || shared->names == NULL) {
        return NGX_ERROR;
    }

    tb_plan_init(shared->plans, n);
    tb_plan_names_init(shared->names, n);

    return NGX_OK;
}


uint32_t
ngx_http_tbucket_plan_find(ngx_http_tbucket_zone_t *zone, const void *name,
    size_t len)
{
    tb_hash_t  h;

    h = tb_hash(name, len, zone->shared->secret);

    return tb_plan_names_find(zone->shared->names, &h);
}


tb_limits_t
ngx_http_tbucket_plan_lent(ngx_http_tbucket_zone_t *zone, const void *name,
    size_t len)
{
    return ngx_http_tbucket_plan_lent_by(zone,
                               ngx_http_tbucket_plan_find(zone, name, len));
}


tb_limits_t
ngx_http_tbucket_plan_lent_by(ngx_http_tbucket_zone_t *zone, uint32_t n)
{
    return ngx_http_tbucket_plan_limits(zone, n) != 0
           ? tb_plan_limits(n, TB_LIMITS_LENT) : 0;
}


uint32_t
ngx_http_tbucket_plan_reserve(ngx_http_tbucket_zone_t *zone,
    const char *name, size_t len)
{
    tb_hash_t  h;

    h = tb_hash(name, len, zone->shared->secret);

    return tb_plan_names_reserve(zone->shared->names, zone->shared->plans, &h,
                                 name, len);
}


ngx_uint_t
ngx_http_tbucket_plan_has_room(ngx_http_tbucket_zone_t *zone,
    const char *name, size_t len)
{
    return ngx_http_tbucket_plan_find(zone, name, len) != TB_PLAN_NONE
           || tb_plan_names_has_room(zone->shared->names,
                                     zone->shared->plans);
}


ngx_uint_t
ngx_http_tbucket_plans_most(ngx_http_tbucket_zone_t *zone)
{
    return zone->shared->plans->n - TB_PLAN_FIRST;
}


tb_limits_t
ngx_http_tbucket_plan_limits(ngx_http_tbucket_zone_t *zone, uint32_t n)
{
    return n < TB_PLAN_FIRST ? 0 : tb_plan_get(zone->shared->plans, n);
}


void
ngx_http_tbucket_plan_get(ngx_http_tbucket_zone_t *zone, uint32_t n,
    tb_client_t *plan)
{
    (void) tb_client_read_own(plan, ngx_http_tbucket_plan_limits(zone, n),
                              zone->forms.kind);

    plan->plan_len = tb_plan_names_get(zone->shared->names, n, plan->plan);
    plan->plan[plan->plan_len] = '\0';
}


ngx_uint_t
ngx_http_tbucket_plan_members(ngx_http_tbucket_zone_t *zone, uint32_t n)
{
    tb_plans_t  *plans;

    plans = zone->shared->plans;

    return n < plans->n ? plans->plan[n].members : 0;
}


ngx_int_t
ngx_http_tbucket_plan_set(ngx_http_tbucket_zone_t *zone, const char *name,
    size_t len, const tb_client_t *limits)
{
    uint32_t     n;
    tb_client_t  c;

    n = ngx_http_tbucket_plan_reserve(zone, name, len);

    if (n == TB_PLAN_NONE) {
        return NGX_DECLINED;
    }

    c = *limits;
    c.members &= TB_CLIENT_LIMITS;

    tb_plan_set(zone->shared->plans, n, tb_client_own(&c, TB_PLAN_NONE));

    return NGX_OK;
}


void
ngx_http_tbucket_plan_remove(ngx_http_tbucket_zone_t *zone, uint32_t n)
{
    tb_plan_set(zone->shared->plans, n, 0);
}


ngx_uint_t
ngx_http_tbucket_plans_none(ngx_http_tbucket_zone_t *zone)
{
    uint32_t  n;

    for (n = TB_PLAN_FIRST; n < zone->shared->names->used; n++) {
        if (tb_plan_get(zone->shared->plans, n) != 0) {
            return 0;
        }
    }

    return 1;
}


ngx_uint_t
ngx_http_tbucket_plans_copy(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old)
{
    size_t       len;
    uint32_t     from, to;
    ngx_uint_t   lost;
    char         name[TB_PLAN_NAME_MAX];
    tb_limits_t  limits;

    lost = 0;

    for (from = TB_PLAN_FIRST; from < old->shared->names->used; from++) {
        limits = tb_plan_get(old->shared->plans, from);

        if (limits == 0) {
            continue;
        }

        len = tb_plan_names_get(old->shared->names, from, name);
        to = ngx_http_tbucket_plan_reserve(zone, name, len);

        if (to == TB_PLAN_NONE) {
            lost++;
            continue;
        }

        tb_plan_set(zone->shared->plans, to, limits);
    }

    return lost;
}


tb_limits_t
ngx_http_tbucket_plans_own(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old, tb_limits_t own)
{
    char      name[TB_PLAN_NAME_MAX];
    size_t    len;
    uint32_t  n;

    if ((own & TB_LIMITS_PLAN) && (own & TB_LIMITS_LENT)) {
        own = tb_plan_lent(own);
    }

    n = tb_plan_number(own);

    if (n == TB_PLAN_NONE || n < TB_PLAN_FIRST) {
        return own;
    }

    len = tb_plan_names_get(old->shared->names, n, name);
    n = ngx_http_tbucket_plan_reserve(zone, name, len);

    own &= (TB_LIMITS_FLAGS & ~TB_LIMITS_PLAN) | TB_LIMITS_LENT;

    return n == TB_PLAN_NONE ? own & TB_LIMITS_FLAGS : tb_plan_limits(n, own);
}
