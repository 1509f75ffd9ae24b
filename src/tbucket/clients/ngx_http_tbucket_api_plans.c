
/*
 * The plans in the API: one, and the list of them.  A cursor is the number of
 * the plan that the page before ended with.
 */


#include "src/tbucket/clients/ngx_http_tbucket_api_plans.h"
#include "src/common/ngx_gw_json.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_list.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_show.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"


static ngx_uint_t ngx_http_tbucket_plans_next(ngx_http_tbucket_zone_t *zone,
    uint32_t *n, tb_client_t *plan);


ngx_int_t
ngx_http_tbucket_plans_show(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *name)
{
    uint32_t     n;
    tb_client_t  plan;

    n = ngx_http_tbucket_plan_find(zone, name->data, name->len);

    ngx_shmtx_lock(&zone->shpool->mutex);

    ngx_http_tbucket_plan_get(zone, n, &plan);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (!(plan.members & TB_CLIENT_LIMITS)) {
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "there is no plan \"%V\"", name);
    }

    return ngx_http_tbucket_show_plan(r, NGX_HTTP_OK, zone, name, &plan);
}


ngx_int_t
ngx_http_tbucket_plans_list(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone)
{
    uint32_t        n;
    uint64_t        cursor;
    ngx_int_t       rc;
    ngx_str_t       name;
    ngx_uint_t      limit, more;
    tb_client_t     plan;
    ngx_gw_json_t  *json;

    rc = ngx_http_tbucket_list_args(r, &limit, &cursor);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    json = ngx_gw_json_create(r->pool);
    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) yajl_gen_map_open(json->gen);
    ngx_gw_json_literal(json, "plans");
    (void) yajl_gen_array_open(json->gen);

    n = (uint32_t) ngx_min(cursor, TB_PLANS);

    for ( ;; ) {
        more = ngx_http_tbucket_plans_next(zone, &n, &plan);

        if (!more || limit == 0) {
            break;
        }

        name.data = (u_char *) plan.plan;
        name.len = plan.plan_len;

        ngx_http_tbucket_show_plan_in(json, zone, &name, &plan);

        cursor = n;
        limit--;
    }

    return ngx_http_tbucket_list_send(json, r, more, cursor);
}


/* The plan with the next number above *n, which becomes that; 0: none. */

static ngx_uint_t
ngx_http_tbucket_plans_next(ngx_http_tbucket_zone_t *zone, uint32_t *n,
    tb_client_t *plan)
{
    while (++*n < zone->shared->plans->n) {

        if (ngx_http_tbucket_plan_limits(zone, *n) == 0) {
            continue;
        }

        ngx_shmtx_lock(&zone->shpool->mutex);

        ngx_http_tbucket_plan_get(zone, *n, plan);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        if (plan->members & TB_CLIENT_LIMITS) {
            return 1;
        }
    }

    return 0;
}
