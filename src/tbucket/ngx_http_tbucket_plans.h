
/*
 * Plans of a zone in shared memory: names, numbers and limits.  Not here: who
 * has which plan (ngx_http_tbucket_clients.h), and where plans are kept.
 */


#ifndef NGX_HTTP_TBUCKET_PLANS_H
#define NGX_HTTP_TBUCKET_PLANS_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/limit/tb_plan_names.h"
#include "src/tbucket/ngx_http_tbucket.h"


/* Of a new zone, in its pool; NGX_OK or NGX_ERROR. */

ngx_int_t ngx_http_tbucket_plans_create(ngx_http_tbucket_zone_t *zone);

/*
 * The number of the plan with that name, whether or not there is such a plan;
 * TB_PLAN_NONE: no plan and no client has it.  Takes no lock.
 */

uint32_t ngx_http_tbucket_plan_find(ngx_http_tbucket_zone_t *zone,
    const void *name, size_t len);

/*
 * The limits of a slot that is lent the plan of that name, or number; 0: there
 * is none.
 */

tb_limits_t ngx_http_tbucket_plan_lent(ngx_http_tbucket_zone_t *zone,
    const void *name, size_t len);
tb_limits_t ngx_http_tbucket_plan_lent_by(ngx_http_tbucket_zone_t *zone,
    uint32_t n);

/* Likewise, and gives the name one; TB_PLAN_NONE: no room.  Mutex held. */

uint32_t ngx_http_tbucket_plan_reserve(ngx_http_tbucket_zone_t *zone,
    const char *name, size_t len);

/* Whether that would find room.  Mutex held. */

ngx_uint_t ngx_http_tbucket_plan_has_room(ngx_http_tbucket_zone_t *zone,
    const char *name, size_t len);

/* How many plans there may be. */

ngx_uint_t ngx_http_tbucket_plans_most(ngx_http_tbucket_zone_t *zone);

/* The limits of a plan, without flags; 0: there is none of that number. */

tb_limits_t ngx_http_tbucket_plan_limits(ngx_http_tbucket_zone_t *zone,
    uint32_t n);

/*
 * Sets the name and the limits of a plan as members; plan->members are those
 * of its limits if there is such a plan.  Mutex held.
 */

void ngx_http_tbucket_plan_get(ngx_http_tbucket_zone_t *zone, uint32_t n,
    tb_client_t *plan);

/* Clients that have it.  Mutex held. */

ngx_uint_t ngx_http_tbucket_plan_members(ngx_http_tbucket_zone_t *zone,
    uint32_t n);

/*
 * Makes a plan of what has limits as members, or changes one: in force for all
 * who have it at once.  NGX_OK, or NGX_DECLINED: there is no room.  Mutex held.
 */

ngx_int_t ngx_http_tbucket_plan_set(ngx_http_tbucket_zone_t *zone,
    const char *name, size_t len, const tb_client_t *limits);

/* The plan goes; who has it is limited as the zone says.  Mutex held. */

void ngx_http_tbucket_plan_remove(ngx_http_tbucket_zone_t *zone,
    uint32_t n);

/* Whether the zone has no plans.  Mutex held. */

ngx_uint_t ngx_http_tbucket_plans_none(ngx_http_tbucket_zone_t *zone);

/*
 * Takes the plans of another zone over into one that has none.  Returns how
 * many found no room.  The other's mutex is held.
 */

ngx_uint_t ngx_http_tbucket_plans_copy(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old);

/*
 * What was given in the other zone as a word for this one: the same, with the
 * number that its plan has here.
 */

tb_limits_t ngx_http_tbucket_plans_own(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old, tb_limits_t own);


#endif /* NGX_HTTP_TBUCKET_PLANS_H */
