
/*
 * The plans in the API: which one a request is about, and the list of them.  A
 * cursor is the number of the plan that the page before ended with.
 */


#include "src/tbucket/clients/ngx_http_tbucket_api_plans.h"
#include "src/common/ngx_gw_json.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_list.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_show.h"
#include "src/tbucket/clients/ngx_http_tbucket_write.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"


static ngx_int_t ngx_http_tbucket_plans_name(ngx_http_request_t *r,
    ngx_str_t *name);
static ngx_int_t ngx_http_tbucket_plans_item(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api, ngx_str_t *name);
static ngx_int_t ngx_http_tbucket_plans_show(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *name);
static ngx_int_t ngx_http_tbucket_plans_list(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone);
static ngx_uint_t ngx_http_tbucket_plans_next(ngx_http_tbucket_zone_t *zone,
    uint32_t *n, tb_client_t *plan);


/* The arguments of requests about one plan, and about all of them. */

static const char *const  ngx_http_tbucket_plans_item_args[] = {
    "plan", NULL
};

static const char *const  ngx_http_tbucket_plans_list_args[] = {
    "limit", "cursor", NULL
};


ngx_int_t
ngx_http_tbucket_plans_api(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api)
{
    ngx_int_t  rc;
    ngx_str_t  arg, name;

    rc = ngx_http_tbucket_plans_name(r, &name);

    switch (rc) {

    case NGX_OK:
        if (ngx_gw_api_args(r, ngx_http_tbucket_plans_item_args, &arg)
            != NGX_OK)
        {
            break;
        }

        return ngx_http_tbucket_plans_item(r, api, &name);

    case NGX_DONE:
        if (ngx_gw_api_args(r, ngx_http_tbucket_plans_list_args, &arg)
            != NGX_OK)
        {
            break;
        }

        if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
            return ngx_http_tbucket_plans_list(r, api->zone);
        }

        return ngx_gw_json_not_allowed(r, "GET, HEAD");

    case NGX_DECLINED:
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "there is nothing at %V", &r->uri);

    case NGX_BUSY:
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "plan is given twice, in the path and as an "
                                 "argument");

    case NGX_ABORT:
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "plan must be " TB_PLAN_NAME_ALLOWED);

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                             "argument \"%V\" is unknown here, given twice, "
                             "or without a value",
                             &arg);
}


/*
 * Which plan the request is about: NGX_OK; NGX_DONE, none; NGX_DECLINED, the
 * URI is none of ours; NGX_BUSY, two are named; NGX_ABORT, it is no name;
 * NGX_ERROR.
 */

static ngx_int_t
ngx_http_tbucket_plans_name(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_int_t  path;
    ngx_str_t  arg;

    path = ngx_gw_api_path(r, name);

    if (path == NGX_ERROR) {
        return NGX_DECLINED;
    }

    if (ngx_http_arg(r, (u_char *) "plan", sizeof("plan") - 1, &arg)
        == NGX_OK)
    {
        if (path == NGX_OK) {
            return NGX_BUSY;
        }

        name->data = ngx_pnalloc(r->pool, GW_ID_MAX);
        if (name->data == NULL) {
            return NGX_ERROR;
        }

        if (gw_id_decode((char *) name->data, &name->len, (char *) arg.data,
                         arg.len)
            != GW_ID_OK)
        {
            return NGX_ABORT;
        }

    } else if (path == NGX_DECLINED) {
        return NGX_DONE;
    }

    return tb_plan_is_name((char *) name->data, name->len) ? NGX_OK
                                                           : NGX_ABORT;
}


static ngx_int_t
ngx_http_tbucket_plans_item(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api, ngx_str_t *name)
{
    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return ngx_http_tbucket_plans_show(r, api->zone, name);
    }

    if (!api->write) {
        return ngx_gw_json_not_allowed(r, "GET, HEAD");
    }

    if (r->method & (NGX_HTTP_PUT|NGX_HTTP_PATCH|NGX_HTTP_DELETE)) {
        return ngx_http_tbucket_write(r, api->zone, name, 1);
    }

    return ngx_gw_json_not_allowed(r, "GET, HEAD, PUT, PATCH, DELETE");
}


static ngx_int_t
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


static ngx_int_t
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
