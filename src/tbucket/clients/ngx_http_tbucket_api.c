
/*
 * The clients API: the tbucket_api directive, and which client or plan and
 * which part of the API a request is for.
 */


#include "src/tbucket/clients/ngx_http_tbucket_api.h"

#include "src/common/ngx_gw_json.h"
#include "src/common/ngx_gw_param.h"
#include "src/core/text/gw_id.h"
#include "src/core/text/gw_piece.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_list.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_plans.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_show.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_top.h"
#include "src/tbucket/clients/ngx_http_tbucket_write.h"
#include "src/tbucket/ngx_http_tbucket_top.h"


static ngx_int_t ngx_http_tbucket_api_handler(ngx_http_request_t *r);
static const char *const *ngx_http_tbucket_api_args(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api);
static ngx_int_t ngx_http_tbucket_api_id(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api, ngx_str_t *id, gw_id_status_t *status);
static ngx_int_t ngx_http_tbucket_api_hash(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *hex);
static ngx_int_t ngx_http_tbucket_api_collection(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api);
static ngx_int_t ngx_http_tbucket_api_item(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api, ngx_str_t *id);


static const ngx_gw_param_t  ngx_http_tbucket_api_params[] = {

    { .name = ngx_string("zone="), .kind = NGX_GW_PARAM_STRING,
      ngx_gw_param_field(ngx_http_tbucket_api_t, name), .required = 1 },

    { .name = ngx_string("plans"), .kind = NGX_GW_PARAM_FLAG,
      ngx_gw_param_field(ngx_http_tbucket_api_t, plans), .min = 1 },

    { .name = ngx_string("write="), .kind = NGX_GW_PARAM_WORD,
      ngx_gw_param_field(ngx_http_tbucket_api_t, write),
      .words = ngx_gw_param_switch },

    { .name = ngx_null_string }
};


/* The arguments of requests about one client, and about all of them. */

static const char *const  ngx_http_tbucket_api_item_args[] = {
    "client_id", NULL
};

static const char *const  ngx_http_tbucket_api_list_args[] = {
    "limit", "cursor", "hash", NULL
};

static const char *const  ngx_http_tbucket_api_top_args[] = {
    "top", "limit", NULL
};

static const char *const  ngx_http_tbucket_api_plan_args[] = {
    "plan", NULL
};

static const char *const  ngx_http_tbucket_api_plans_args[] = {
    "limit", "cursor", NULL
};


char *
ngx_http_tbucket_conf_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tbucket_loc_conf_t  *lcf = conf;

    ngx_http_tbucket_api_t        *api, **slot;
    ngx_http_tbucket_main_conf_t  *mcf;

    api = ngx_pcalloc(cf->pool, sizeof(ngx_http_tbucket_api_t));
    if (api == NULL) {
        return NGX_CONF_ERROR;
    }

    api->file = cf->conf_file->file.name.data;
    api->line = cf->conf_file->line;

    if (ngx_gw_params(cf, 1, ngx_http_tbucket_api_params, api, NULL)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tbucket_module);

    slot = ngx_array_push(&mcf->apis);
    if (slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = api;
    lcf->api = api;

    return ngx_gw_api_location(cf, &lcf->location,
                               ngx_http_tbucket_api_handler,
                               api->plans ? "a plan's name"
                                          : "a client's id");
}


static ngx_int_t
ngx_http_tbucket_api_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_str_t                     id, arg;
    gw_id_status_t                status;
    ngx_http_tbucket_api_t       *api;
    ngx_http_tbucket_loc_conf_t  *lcf;

    if (ngx_gw_api_headers(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_tbucket_module);

    api = lcf->api;

    rc = ngx_http_tbucket_api_id(r, api, &id, &status);

    switch (rc) {

    case NGX_OK:
        if (ngx_gw_api_args(r, api->plans ? ngx_http_tbucket_api_plan_args
                                          : ngx_http_tbucket_api_item_args,
                            &arg)
            != NGX_OK)
        {
            break;
        }

        return ngx_http_tbucket_api_item(r, api, &id);

    case NGX_DONE:
        if (ngx_gw_api_args(r, ngx_http_tbucket_api_args(r, api), &arg)
            != NGX_OK)
        {
            break;
        }

        return ngx_http_tbucket_api_collection(r, api);

    case NGX_DECLINED:
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "there is nothing at %V", &r->uri);

    case NGX_BUSY:
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "%s is given twice, in the path and as an "
                                 "argument",
                                 api->plans ? "plan" : "client_id");

    case NGX_ABORT:
        if (api->plans) {
            return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                     "plan must be " TB_PLAN_NAME_ALLOWED);
        }

        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST, "client_id %s",
                                 gw_id_error(status));

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                             "argument \"%V\" is unknown here, given twice, "
                             "or without a value",
                             &arg);
}


/* The arguments that a request about no single client or plan may have. */

static const char *const *
ngx_http_tbucket_api_args(ngx_http_request_t *r, ngx_http_tbucket_api_t *api)
{
    ngx_str_t  arg;

    if (api->plans) {
        return ngx_http_tbucket_api_plans_args;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return &ngx_http_tbucket_api_item_args[1];
    }

    return ngx_http_arg(r, (u_char *) "top", sizeof("top") - 1, &arg)
           == NGX_OK
           ? ngx_http_tbucket_api_top_args : ngx_http_tbucket_api_list_args;
}


/*
 * Which client or plan the request is about: NGX_OK; NGX_DONE, none;
 * NGX_DECLINED, the URI is none of ours; NGX_BUSY, two are named; NGX_ABORT,
 * *status says what is wrong with the id, or no plan is called so; NGX_ERROR.
 */

static ngx_int_t
ngx_http_tbucket_api_id(ngx_http_request_t *r, ngx_http_tbucket_api_t *api,
    ngx_str_t *id, gw_id_status_t *status)
{
    ngx_int_t  path, rc;
    ngx_str_t  arg;

    path = ngx_gw_api_path(r, id);

    if (path == NGX_ERROR) {
        return NGX_DECLINED;
    }

    rc = api->plans
         ? ngx_http_arg(r, (u_char *) "plan", sizeof("plan") - 1, &arg)
         : ngx_http_arg(r, (u_char *) "client_id", sizeof("client_id") - 1,
                        &arg);

    if (rc != NGX_OK) {

        if (path == NGX_DECLINED) {
            return NGX_DONE;
        }

        *status = gw_id_check((char *) id->data, id->len);

    } else if (path == NGX_OK) {
        return NGX_BUSY;

    } else {
        id->data = ngx_pnalloc(r->pool, GW_ID_MAX);
        if (id->data == NULL) {
            return NGX_ERROR;
        }

        *status = gw_id_decode((char *) id->data, &id->len, (char *) arg.data,
                               arg.len);
    }

    if (*status != GW_ID_OK
        || (api->plans && !tb_plan_is_name((char *) id->data, id->len)))
    {
        return NGX_ABORT;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_api_collection(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api)
{
    ngx_str_t  arg;

    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {

        if (api->plans) {
            return ngx_http_tbucket_plans_list(r, api->zone);
        }

        if (ngx_http_arg(r, (u_char *) "hash", sizeof("hash") - 1, &arg)
            == NGX_OK)
        {
            return ngx_http_tbucket_api_hash(r, api->zone, &arg);
        }

        if (ngx_http_arg(r, (u_char *) "top", sizeof("top") - 1, &arg)
            == NGX_OK)
        {
            return ngx_http_tbucket_list_top(r, api->zone, &arg);
        }

        return ngx_http_tbucket_list(r, api->zone);
    }

    if (!api->write || api->plans) {
        return ngx_gw_json_not_allowed(r, "GET, HEAD");
    }

    if (r->method & NGX_HTTP_POST) {
        return ngx_http_tbucket_write(r, api->zone, NULL, 0);
    }

    return ngx_gw_json_not_allowed(r, "GET, HEAD, POST");
}


/* The client with that $tbucket_client_hash: a registered or counted one. */

static ngx_int_t
ngx_http_tbucket_api_hash(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *hex)
{
    uint64_t   lo;
    ngx_str_t  id;

    if (!gw_hex64((char *) hex->data, hex->len, &lo)) {
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "hash is \"%V\", must be 16 hexadecimal "
                                 "digits", hex);
    }

    id.data = ngx_pnalloc(r->pool, GW_ID_MAX);
    if (id.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_tbucket_client_of_hash(zone, lo, &id) != NGX_OK
        && (zone->shared->top == NULL
            || ngx_http_tbucket_top_id(zone->shared->top, lo, &id) != NGX_OK))
    {
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "no registered client has the hash %V, nor "
                                 "one of those refused or seen most", hex);
    }

    return ngx_http_tbucket_show(r, zone, &id);
}


static ngx_int_t
ngx_http_tbucket_api_item(ngx_http_request_t *r, ngx_http_tbucket_api_t *api,
    ngx_str_t *id)
{
    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return api->plans ? ngx_http_tbucket_plans_show(r, api->zone, id)
                          : ngx_http_tbucket_show(r, api->zone, id);
    }

    if (!api->write) {
        return ngx_gw_json_not_allowed(r, "GET, HEAD");
    }

    if (r->method & (NGX_HTTP_PUT|NGX_HTTP_PATCH|NGX_HTTP_DELETE)) {
        return ngx_http_tbucket_write(r, api->zone, id, api->plans != 0);
    }

    return ngx_gw_json_not_allowed(r, "GET, HEAD, PUT, PATCH, DELETE");
}
