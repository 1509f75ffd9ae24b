
/*
 * The clients API: the tbucket_api directive, what a request is about, and
 * showing a client.  Lists and writes have files of their own.
 */


#include "src/tbucket/clients/ngx_http_tbucket_api.h"


static ngx_int_t ngx_http_tbucket_api_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_tbucket_api_id(ngx_http_request_t *r,
    ngx_str_t *id, gw_id_status_t *status);
static ngx_int_t ngx_http_tbucket_api_collection(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api);
static ngx_int_t ngx_http_tbucket_api_item(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api, ngx_str_t *id);
static ngx_int_t ngx_http_tbucket_api_get(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id);
static ngx_int_t ngx_http_tbucket_api_show(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    ngx_http_tbucket_look_t *look);
static ngx_int_t ngx_http_tbucket_api_ask(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id);
static void ngx_http_tbucket_api_step(ngx_gw_task_t *task);
static void ngx_http_tbucket_api_told(ngx_http_tbucket_look_t *look);
static void ngx_http_tbucket_api_gone(ngx_gw_task_t *task);


/* A client of scope=global is shown when Redis has been asked. */

typedef struct {
    ngx_http_tbucket_look_t   look;
    ngx_gw_task_t             task;
    ngx_http_tbucket_zone_t  *zone;
    ngx_str_t                 id;
    ngx_uint_t                asked;
} ngx_http_tbucket_api_look_t;


char *
ngx_http_tbucket_conf_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tbucket_loc_conf_t  *lcf = conf;

    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_http_tbucket_api_t        *api, **slot;
    ngx_http_tbucket_main_conf_t  *mcf;

    api = ngx_pcalloc(cf->pool, sizeof(ngx_http_tbucket_api_t));
    if (api == NULL) {
        return NGX_CONF_ERROR;
    }

    api->write = NGX_CONF_UNSET;
    api->file = cf->conf_file->file.name.data;
    api->line = cf->conf_file->line;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len > 5 && ngx_strncmp(value[i].data, "zone=", 5) == 0
            && api->name.len == 0)
        {
            api->name.data = value[i].data + 5;
            api->name.len = value[i].len - 5;

            continue;
        }

        switch (ngx_gw_api_param(cf, &value[i], &api->write)) {

        case NGX_OK:
            break;

        case NGX_DECLINED:
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;

        default:
            return NGX_CONF_ERROR;
        }
    }

    ngx_conf_init_value(api->write, 0);

    if (api->name.len == 0) {
        return "must have \"zone\" parameter";
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tbucket_module);

    slot = ngx_array_push(&mcf->apis);
    if (slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = api;
    lcf->api = api;

    return ngx_gw_api_location(cf, &lcf->location,
                               ngx_http_tbucket_api_handler, "a client's id");
}


static ngx_int_t
ngx_http_tbucket_api_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_str_t                     id;
    gw_id_status_t                status;
    ngx_http_tbucket_loc_conf_t  *lcf;

    if (ngx_gw_api_headers(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_tbucket_module);

    rc = ngx_http_tbucket_api_id(r, &id, &status);

    switch (rc) {

    case NGX_OK:
        return ngx_http_tbucket_api_item(r, lcf->api, &id);

    case NGX_DONE:
        return ngx_http_tbucket_api_collection(r, lcf->api);

    case NGX_DECLINED:
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "there is nothing at %V", &r->uri);

    case NGX_BUSY:
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "client_id is given twice, in the path and "
                                 "as an argument");

    case NGX_ABORT:
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST, "client_id %s",
                                 gw_id_error(status));

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


/*
 * Which client the request is about: NGX_OK; NGX_DONE, none; NGX_DECLINED,
 * the URI is none of ours; NGX_BUSY, two are named; NGX_ABORT, *status says
 * what is wrong with the id; NGX_ERROR.
 */

static ngx_int_t
ngx_http_tbucket_api_id(ngx_http_request_t *r, ngx_str_t *id,
    gw_id_status_t *status)
{
    ngx_int_t  path;
    ngx_str_t  arg;

    path = ngx_gw_api_path(r, id);

    if (path == NGX_ERROR) {
        return NGX_DECLINED;
    }

    if (ngx_http_arg(r, (u_char *) "client_id", sizeof("client_id") - 1, &arg)
        != NGX_OK)
    {
        if (path == NGX_DECLINED) {
            return NGX_DONE;
        }

        *status = gw_id_check((char *) id->data, id->len);

        return *status == GW_ID_OK ? NGX_OK : NGX_ABORT;
    }

    if (path == NGX_OK) {
        return NGX_BUSY;
    }

    id->data = ngx_pnalloc(r->pool, GW_ID_MAX);
    if (id->data == NULL) {
        return NGX_ERROR;
    }

    *status = gw_id_decode((char *) id->data, &id->len, (char *) arg.data,
                           arg.len);

    return *status == GW_ID_OK ? NGX_OK : NGX_ABORT;
}


static ngx_int_t
ngx_http_tbucket_api_collection(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api)
{
    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return ngx_http_tbucket_api_list(r, api->zone);
    }

    if (!api->write) {
        return ngx_gw_json_not_allowed(r, "GET, HEAD");
    }

    if (r->method & NGX_HTTP_POST) {
        return ngx_http_tbucket_api_write(r, api->zone, NULL);
    }

    return ngx_gw_json_not_allowed(r, "GET, HEAD, POST");
}


static ngx_int_t
ngx_http_tbucket_api_item(ngx_http_request_t *r, ngx_http_tbucket_api_t *api,
    ngx_str_t *id)
{
    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return ngx_http_tbucket_api_get(r, api->zone, id);
    }

    if (!api->write) {
        return ngx_gw_json_not_allowed(r, "GET, HEAD");
    }

    if (r->method & (NGX_HTTP_PUT|NGX_HTTP_PATCH|NGX_HTTP_DELETE)) {
        return ngx_http_tbucket_api_write(r, api->zone, id);
    }

    return ngx_gw_json_not_allowed(r, "GET, HEAD, PUT, PATCH, DELETE");
}


static ngx_int_t
ngx_http_tbucket_api_get(ngx_http_request_t *r, ngx_http_tbucket_zone_t *zone,
    ngx_str_t *id)
{
    if (zone->global && id->len <= GW_ID_MAX) {
        return ngx_http_tbucket_api_ask(r, zone, id);
    }

    return ngx_http_tbucket_api_show(r, zone, id, NULL);
}


/* look: what Redis knows of it, or NULL. */

static ngx_int_t
ngx_http_tbucket_api_show(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    ngx_http_tbucket_look_t *look)
{
    uint64_t                   full;
    ngx_int_t                  rc;
    ngx_http_tbucket_client_t  client;

    rc = ngx_http_tbucket_client_get(zone, id, &client);

    if (look != NULL) {
        full = tb_limits_full(client.entry.limits);
        client.tokens = ngx_min(client.held + look->elsewhere, full);

        /* somebody else's bucket that is full is no bucket */

        if (client.tokens < full) {
            rc = NGX_OK;
        }
    }

    if (rc != NGX_OK) {
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "client_id \"%V\" is not registered and has "
                                 "no bucket", id);
    }

    return ngx_http_tbucket_api_send_client(r, NGX_HTTP_OK, &client);
}


static ngx_int_t
ngx_http_tbucket_api_ask(ngx_http_request_t *r, ngx_http_tbucket_zone_t *zone,
    ngx_str_t *id)
{
    ngx_http_tbucket_api_look_t  *ask;

    ask = ngx_pcalloc(r->pool, sizeof(ngx_http_tbucket_api_look_t));
    if (ask == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ask->look.done = ngx_http_tbucket_api_told;
    ask->task.step = ngx_http_tbucket_api_step;
    ask->task.gone = ngx_http_tbucket_api_gone;
    ask->zone = zone;
    ask->id = *id;

    return ngx_gw_task_run(&ask->task, r);
}


static void
ngx_http_tbucket_api_step(ngx_gw_task_t *task)
{
    ngx_http_tbucket_client_t     client;
    ngx_http_tbucket_api_look_t  *ask;

    ask = (ngx_http_tbucket_api_look_t *)
          ((u_char *) task - offsetof(ngx_http_tbucket_api_look_t, task));

    if (!ask->asked) {
        ask->asked = 1;

        (void) ngx_http_tbucket_client_get(ask->zone, &ask->id, &client);

        if (ngx_http_tbucket_global_ask(ask->zone, &ask->look,
                                        task->request->pool, &ask->id,
                                        client.entry.limits)
            == NGX_OK)
        {
            ngx_gw_task_wait(task);
            return;
        }
    }

    ngx_gw_task_end(task, ngx_http_tbucket_api_show(task->request, ask->zone,
                                  &ask->id,
                                  ask->look.known ? &ask->look : NULL));
}


static void
ngx_http_tbucket_api_told(ngx_http_tbucket_look_t *look)
{
    ngx_http_tbucket_api_look_t  *ask;

    ask = (ngx_http_tbucket_api_look_t *)
          ((u_char *) look - offsetof(ngx_http_tbucket_api_look_t, look));

    ngx_gw_task_wake(&ask->task);
}


static void
ngx_http_tbucket_api_gone(ngx_gw_task_t *task)
{
    ngx_http_tbucket_api_look_t  *ask;

    ask = (ngx_http_tbucket_api_look_t *)
          ((u_char *) task - offsetof(ngx_http_tbucket_api_look_t, task));

    ngx_http_tbucket_global_forget(ask->zone, &ask->look);
}


ngx_int_t
ngx_http_tbucket_api_send_client(ngx_http_request_t *r, ngx_uint_t status,
    ngx_http_tbucket_client_t *client)
{
    ngx_gw_json_t  *json;

    json = ngx_gw_json_create(r->pool);
    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_tbucket_api_client(json, client);

    return ngx_gw_json_send(json, r, status);
}


void
ngx_http_tbucket_api_client(ngx_gw_json_t *json,
    ngx_http_tbucket_client_t *client)
{
    tb_client_t  c;

    c.members = TB_CLIENT_ID | TB_CLIENT_CAPACITY | TB_CLIENT_RATE
                | TB_CLIENT_TOKENS | TB_CLIENT_REGISTERED;

    c.capacity = tb_limits_capacity(client->entry.limits);
    c.rate = tb_limits_rate(client->entry.limits);
    c.tokens = client->tokens;

    c.id_len = client->entry.len;
    ngx_memcpy(c.id, client->entry.id, c.id_len);
    c.id[c.id_len] = '\0';

    c.registered = client->registered;

    (void) yajl_gen_map_open(json->gen);
    gw_member_write(json->gen, tb_client_members, &c);
    (void) yajl_gen_map_close(json->gen);
}


/*
 * The path, or an argument for ids that would not come out of a path as they
 * went in.
 */

ngx_int_t
ngx_http_tbucket_api_location(ngx_http_request_t *r, ngx_str_t *id)
{
    u_char                    *p;
    size_t                     len;
    ngx_str_t                  base, value;
    ngx_http_core_loc_conf_t  *clcf;

    static ngx_str_t  name = ngx_string("Location");

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    base = clcf->name;

    if (base.len && base.data[base.len - 1] == '/') {
        base.len--;
    }

    len = base.len + 2 * ngx_escape_uri(NULL, base.data, base.len,
                                        NGX_ESCAPE_URI);

    value.data = ngx_pnalloc(r->pool, len + sizeof("?client_id=")
                                      + 3 * id->len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = (u_char *) ngx_escape_uri(value.data, base.data, base.len,
                                  NGX_ESCAPE_URI);

    if (!clcf->exact_match && gw_id_fits_path((char *) id->data, id->len)) {
        *p++ = '/';

    } else {

        if (clcf->name.len > base.len) {
            *p++ = '/';
        }

        p = ngx_cpymem(p, "?client_id=", sizeof("?client_id=") - 1);
    }

    p += gw_id_encode((char *) p, (char *) id->data, id->len);

    value.len = p - value.data;

    return ngx_gw_add_header(r, &name, &value);
}
