
/*
 * The upstreams API: the lb_api directive, what a request is about, lists
 * and single servers.  Changes have a file of their own.
 *
 *   /upstreams                        all upstreams with their servers
 *   /upstreams/NAME                   one of them
 *   /upstreams/NAME/servers           its servers; POST adds one
 *   /upstreams/NAME/servers/ID        one server; PATCH and DELETE
 */


#include "src/lb/api/ngx_http_lb_api.h"

#include "src/common/ngx_gw_json.h"
#include "src/common/ngx_gw_param.h"
#include "src/common/ngx_gw_task.h"
#include "src/core/balance/lb_edit.h"
#include "src/core/balance/lb_gate.h"
#include "src/lb/api/ngx_http_lb_api_write.h"
#include "src/lb/api/ngx_http_lb_show.h"


typedef enum {
    NGX_HTTP_LB_AT_NOTHING = 0,
    NGX_HTTP_LB_AT_ALL,
    NGX_HTTP_LB_AT_UPSTREAM,
    NGX_HTTP_LB_AT_SERVERS,
    NGX_HTTP_LB_AT_SERVER
} ngx_http_lb_place_e;


typedef struct {
    ngx_http_lb_place_e        place;
    ngx_str_t                  name;      /* of the upstream */
    ngx_http_lb_srv_conf_t    *lcf;       /* NULL: there is none */
    uint64_t                   id;        /* 0: it is no id */
} ngx_http_lb_where_t;


typedef struct {
    ngx_gw_task_t              task;
    ngx_http_lb_place_e        place;
    ngx_gw_json_t             *json;
    ngx_http_lb_srv_conf_t   **lcfp;      /* the upstream that is next */
    ngx_uint_t                 left;      /* upstreams */
    uint32_t                   slot;      /* that is next */
    ngx_http_lb_shown_t        shown[NGX_HTTP_LB_SLICE];
} ngx_http_lb_list_t;


static ngx_int_t ngx_http_lb_api_handler(ngx_http_request_t *r);
static void ngx_http_lb_api_where(ngx_http_request_t *r,
    ngx_http_lb_where_t *where);
static uint64_t ngx_http_lb_api_id(u_char *p, u_char *last);
static ngx_int_t ngx_http_lb_api_servers(ngx_http_request_t *r,
    ngx_http_lb_where_t *where, ngx_flag_t write);
static ngx_int_t ngx_http_lb_api_item(ngx_http_request_t *r,
    ngx_http_lb_where_t *where, ngx_flag_t write);
static ngx_int_t ngx_http_lb_list_start(ngx_http_request_t *r,
    ngx_http_lb_where_t *where);
static void ngx_http_lb_list_step(ngx_gw_task_t *task);
static void ngx_http_lb_list_open(ngx_http_lb_list_t *list);
static void ngx_http_lb_list_queue(ngx_gw_json_t *json,
    ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_list_some(ngx_http_lb_list_t *list);
static void ngx_http_lb_list_close(ngx_http_lb_list_t *list);


static const ngx_gw_param_t  ngx_http_lb_api_params[] = {

    { .name = ngx_string("write="), .kind = NGX_GW_PARAM_WORD,
      ngx_gw_param_field(ngx_http_lb_loc_conf_t, write),
      .words = ngx_gw_param_switch },

    { .name = ngx_null_string }
};


char *
ngx_http_lb_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_loc_conf_t  *llcf = conf;

    if (ngx_gw_params(cf, 1, ngx_http_lb_api_params, llcf, NULL)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_gw_api_location(cf, &llcf->location, ngx_http_lb_api_handler,
                               "an upstream's");
}


static ngx_int_t
ngx_http_lb_api_handler(ngx_http_request_t *r)
{
    ngx_str_t                arg;
    ngx_http_lb_where_t      where;
    ngx_http_lb_loc_conf_t  *llcf;

    static const char *const  none = NULL;

    if (ngx_gw_api_headers(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    llcf = ngx_http_get_module_loc_conf(r, ngx_http_lb_upstream_module);

    if (ngx_gw_api_args(r, &none, &arg) != NGX_OK) {
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "argument \"%V\" is unknown", &arg);
    }

    ngx_http_lb_api_where(r, &where);

    if (where.place == NGX_HTTP_LB_AT_NOTHING) {
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "there is nothing at %V", &r->uri);
    }

    if (where.place != NGX_HTTP_LB_AT_ALL && where.lcf == NULL) {
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "there is no upstream \"%V\" with \"lb\"",
                                 &where.name);
    }

    if (where.place == NGX_HTTP_LB_AT_SERVER) {
        return ngx_http_lb_api_item(r, &where, llcf->write);
    }

    if (where.place == NGX_HTTP_LB_AT_SERVERS) {
        return ngx_http_lb_api_servers(r, &where, llcf->write);
    }

    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return ngx_http_lb_list_start(r, &where);
    }

    return ngx_gw_json_not_allowed(r, "GET, HEAD");
}


static void
ngx_http_lb_api_where(ngx_http_request_t *r, ngx_http_lb_where_t *where)
{
    u_char                   *p, *last;
    ngx_int_t                 rc;
    ngx_str_t                 rest;
    ngx_uint_t                i;
    ngx_http_lb_srv_conf_t  **lcfp;
    ngx_http_lb_main_conf_t  *lmcf;

    ngx_memzero(where, sizeof(ngx_http_lb_where_t));

    rc = ngx_gw_api_path(r, &rest);

    if (rc != NGX_OK) {
        where->place = (rc == NGX_DECLINED) ? NGX_HTTP_LB_AT_ALL
                                            : NGX_HTTP_LB_AT_NOTHING;
        return;
    }

    last = rest.data + rest.len;
    p = ngx_strlchr(rest.data, last, '/');

    where->name.data = rest.data;
    where->name.len = (p ? p : last) - rest.data;
    where->place = NGX_HTTP_LB_AT_UPSTREAM;

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_lb_upstream_module);
    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (lcfp[i]->upstream->host.len == where->name.len
            && ngx_strncmp(lcfp[i]->upstream->host.data, where->name.data,
                           where->name.len)
               == 0)
        {
            where->lcf = lcfp[i];
            break;
        }
    }

    if (p == NULL || p + 1 == last) {
        return;
    }

    p++;
    where->place = NGX_HTTP_LB_AT_NOTHING;

    if (last - p < 7 || ngx_strncmp(p, "servers", 7) != 0) {
        return;
    }

    p += 7;

    if (p == last || (*p == '/' && p + 1 == last)) {
        where->place = NGX_HTTP_LB_AT_SERVERS;

    } else if (*p == '/' && ngx_strlchr(p + 1, last, '/') == NULL) {
        where->place = NGX_HTTP_LB_AT_SERVER;
        where->id = ngx_http_lb_api_id(p + 1, last);
    }
}


static uint64_t
ngx_http_lb_api_id(u_char *p, u_char *last)
{
    uint64_t  id;

    if (p == last || last - p > 16 || *p == '0') {
        return 0;
    }

    for (id = 0; p < last; p++) {

        if (*p < '0' || *p > '9') {
            return 0;
        }

        id = id * 10 + (*p - '0');
    }

    return id;
}


static ngx_int_t
ngx_http_lb_api_servers(ngx_http_request_t *r, ngx_http_lb_where_t *where,
    ngx_flag_t write)
{
    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return ngx_http_lb_list_start(r, where);
    }

    if (!write) {
        return ngx_gw_json_not_allowed(r, "GET, HEAD");
    }

    if (r->method & NGX_HTTP_POST) {
        return ngx_http_lb_api_write(r, where->lcf, 0);
    }

    return ngx_gw_json_not_allowed(r, "GET, HEAD, POST");
}


static ngx_int_t
ngx_http_lb_api_item(ngx_http_request_t *r, ngx_http_lb_where_t *where,
    ngx_flag_t write)
{
    uint32_t              index;
    ngx_int_t             rc;
    ngx_gw_json_t        *json;
    ngx_slab_pool_t      *shpool;
    ngx_http_lb_shown_t   shown;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        if (!write) {
            return ngx_gw_json_not_allowed(r, "GET, HEAD");
        }

        if (!(r->method & (NGX_HTTP_PATCH|NGX_HTTP_DELETE))) {
            return ngx_gw_json_not_allowed(r, "GET, HEAD, PATCH, DELETE");
        }
    }

    shpool = where->lcf->shpool;
    rc = NGX_DECLINED;

    ngx_shmtx_lock(&shpool->mutex);

    index = where->id ? lb_edit_find(where->lcf->roster, where->id) : LB_NONE;

    if (index != LB_NONE) {
        rc = ngx_http_lb_show_copy(where->lcf, index, &shown);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    /* of an old zone; the new one may have it by now */

    if (rc != NGX_OK
        && (r->method & (NGX_HTTP_PATCH|NGX_HTTP_DELETE))
        && gw_load_acquire(&where->lcf->roster->superseded))
    {
        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "upstream \"%V\" is being replaced by a "
                                 "reload, nothing was changed: try again",
                                 &where->name);
    }

    if (rc != NGX_OK) {
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "there is no such server in upstream "
                                 "\"%V\"", &where->name);
    }

    if (r->method & (NGX_HTTP_PATCH|NGX_HTTP_DELETE)) {
        return ngx_http_lb_api_write(r, where->lcf, where->id);
    }

    json = ngx_gw_json_create(r->pool);
    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_lb_show_write(json, &shown);

    return ngx_gw_json_send(json, r, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_lb_list_start(ngx_http_request_t *r, ngx_http_lb_where_t *where)
{
    ngx_http_lb_list_t       *list;
    ngx_http_lb_main_conf_t  *lmcf;

    list = ngx_pcalloc(r->pool, sizeof(ngx_http_lb_list_t)
                                + sizeof(ngx_http_lb_srv_conf_t *));
    if (list == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    list->json = ngx_gw_json_create(r->pool);
    if (list->json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    list->place = where->place;

    if (where->place == NGX_HTTP_LB_AT_ALL) {
        lmcf = ngx_http_get_module_main_conf(r, ngx_http_lb_upstream_module);

        list->lcfp = lmcf->upstreams.elts;
        list->left = lmcf->upstreams.nelts;

        (void) yajl_gen_map_open(list->json->gen);
        ngx_gw_json_literal(list->json, "upstreams");
        (void) yajl_gen_array_open(list->json->gen);

    } else {
        list->lcfp = (ngx_http_lb_srv_conf_t **) (list + 1);
        list->lcfp[0] = where->lcf;
        list->left = 1;
    }

    list->task.step = ngx_http_lb_list_step;

    return ngx_gw_task_run(&list->task, r);
}


/* A thousand servers at a time, about a millisecond. */

static void
ngx_http_lb_list_step(ngx_gw_task_t *task)
{
    ngx_int_t            rc;
    ngx_uint_t           n;
    ngx_http_lb_list_t  *list;

    list = (ngx_http_lb_list_t *) task;

    for (n = 0; list->left && n < 1000 / NGX_HTTP_LB_SLICE; n++) {

        if (list->slot == 0) {
            ngx_http_lb_list_open(list);
        }

        ngx_http_lb_list_some(list);

        if (list->slot >= lb_roster_used((*list->lcfp)->roster)) {
            ngx_http_lb_list_close(list);

            list->lcfp++;
            list->left--;
            list->slot = 0;
        }
    }

    if (list->left) {
        ngx_gw_task_again(task);
        return;
    }

    if (list->place == NGX_HTTP_LB_AT_ALL) {
        (void) yajl_gen_array_close(list->json->gen);
        (void) yajl_gen_map_close(list->json->gen);
    }

    rc = ngx_gw_json_send(list->json, task->request, NGX_HTTP_OK);

    ngx_gw_task_end(task, rc);
}


static void
ngx_http_lb_list_open(ngx_http_lb_list_t *list)
{
    lb_count_t               count;
    ngx_gw_json_t           *json;
    ngx_http_lb_srv_conf_t  *lcf;

    json = list->json;
    lcf = *list->lcfp;

    (void) yajl_gen_map_open(json->gen);

    if (list->place != NGX_HTTP_LB_AT_SERVERS) {
        count = lb_roster_count(lcf->roster);

        ngx_gw_json_literal(json, "name");
        ngx_gw_json_string(json, lcf->upstream->host.data,
                           lcf->upstream->host.len);
        ngx_gw_json_literal(json, "method");
        (void) yajl_gen_string(json->gen, lcf->method->name.data,
                               lcf->method->name.len);
        ngx_gw_json_literal(json, "usable");
        (void) yajl_gen_integer(json->gen, count.usable);
        ngx_gw_json_literal(json, "total");
        (void) yajl_gen_integer(json->gen, count.total);
        ngx_gw_json_literal(json, "capacity");
        (void) yajl_gen_integer(json->gen, lcf->roster->capacity);
        ngx_gw_json_literal(json, "retries");
        (void) yajl_gen_integer(json->gen,
                                gw_load_acquire(&lcf->roster->retries));

        if (lcf->queued) {
            ngx_http_lb_list_queue(json, lcf);
        }
    }

    ngx_gw_json_literal(json, "servers");
    (void) yajl_gen_array_open(json->gen);
}


/* the limit is null where any number of requests may be under way */

static void
ngx_http_lb_list_queue(ngx_gw_json_t *json, ngx_http_lb_srv_conf_t *lcf)
{
    uint64_t      limit, refused;
    ngx_uint_t    i;
    lb_roster_t  *roster;

    roster = lcf->roster;
    limit = lb_gate_places(roster, lcf->automatic);
    refused = 0;

    for (i = 0; i < LB_PRIORITIES; i++) {
        refused += gw_load_acquire(&roster->gate.refused[i]);
    }

    ngx_gw_json_literal(json, "queue");
    (void) yajl_gen_map_open(json->gen);
    ngx_gw_json_literal(json, "waiting");
    (void) yajl_gen_integer(json->gen, lb_gate_waiting(roster));
    ngx_gw_json_literal(json, "refused");
    (void) yajl_gen_integer(json->gen, (int64_t) refused);
    ngx_gw_json_literal(json, "limit");

    if (limit != 0) {
        (void) yajl_gen_integer(json->gen, (int64_t) limit);

    } else {
        (void) yajl_gen_null(json->gen);
    }

    ngx_gw_json_literal(json, "automatic");
    (void) yajl_gen_bool(json->gen, lcf->automatic);
    (void) yajl_gen_map_close(json->gen);
}


static void
ngx_http_lb_list_some(ngx_http_lb_list_t *list)
{
    uint32_t                 used;
    ngx_uint_t               i, n;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = *list->lcfp;
    n = 0;

    ngx_shmtx_lock(&lcf->shpool->mutex);

    used = lb_roster_used(lcf->roster);

    for (i = 0; i < NGX_HTTP_LB_SLICE && list->slot < used; i++) {

        if (ngx_http_lb_show_copy(lcf, list->slot++, &list->shown[n])
            == NGX_OK)
        {
            n++;
        }
    }

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    for (i = 0; i < n; i++) {
        ngx_http_lb_show_write(list->json, &list->shown[i]);
    }
}


static void
ngx_http_lb_list_close(ngx_http_lb_list_t *list)
{
    (void) yajl_gen_array_close(list->json->gen);
    (void) yajl_gen_map_close(list->json->gen);
}
