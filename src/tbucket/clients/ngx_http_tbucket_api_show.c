
/*
 * One client, or plan, in the API: what it is now, as JSON, and where it is
 * found.
 * Where tokens come from elsewhere they are asked for first.
 */


#include "src/tbucket/clients/ngx_http_tbucket_api_show.h"
#include "src/common/ngx_gw_task.h"
#include "src/core/limit/tb_client_own.h"
#include "src/tbucket/ngx_http_tbucket_source.h"


/* A client of a zone with a source is shown when that has been asked. */

typedef struct {
    ngx_http_tbucket_ask_t    ask;
    ngx_gw_task_t             task;
    ngx_http_tbucket_zone_t  *zone;
    ngx_str_t                 id;
    ngx_uint_t                asked;
} ngx_http_tbucket_show_t;


static ngx_int_t ngx_http_tbucket_show_answer(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    ngx_http_tbucket_ask_t *ask);
static size_t ngx_http_tbucket_show_id(char *id,
    const tb_registry_entry_t *entry);
static void ngx_http_tbucket_show_step(ngx_gw_task_t *task);
static void ngx_http_tbucket_show_done(ngx_http_tbucket_ask_t *ask);
static void ngx_http_tbucket_show_gone(ngx_gw_task_t *task);
static void ngx_http_tbucket_show_places(tb_client_t *c,
    ngx_http_tbucket_client_t *client);


ngx_int_t
ngx_http_tbucket_show(ngx_http_request_t *r, ngx_http_tbucket_zone_t *zone,
    ngx_str_t *id)
{
    ngx_http_tbucket_show_t  *show;

    if (zone->source == NULL || id->len > GW_ID_MAX) {
        return ngx_http_tbucket_show_answer(r, zone, id, NULL);
    }

    show = ngx_pcalloc(r->pool, sizeof(ngx_http_tbucket_show_t));
    if (show == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    show->ask.done = ngx_http_tbucket_show_done;
    show->task.step = ngx_http_tbucket_show_step;
    show->task.gone = ngx_http_tbucket_show_gone;
    show->zone = zone;
    show->id = *id;

    return ngx_gw_task_run(&show->task, r);
}


static void
ngx_http_tbucket_show_step(ngx_gw_task_t *task)
{
    ngx_http_tbucket_show_t    *show;
    ngx_http_tbucket_client_t   client;

    show = ngx_gw_task_data(task, ngx_http_tbucket_show_t, task);

    if (!show->asked) {
        show->asked = 1;

        (void) ngx_http_tbucket_client_get(show->zone, &show->id, &client);

        if (show->zone->source->ask(show->zone, &show->ask,
                                    task->request->pool, &show->id,
                                    client.limits)
            == NGX_OK)
        {
            ngx_gw_task_wait(task);
            return;
        }
    }

    ngx_gw_task_end(task,
                    ngx_http_tbucket_show_answer(task->request, show->zone,
                                  &show->id,
                                  show->ask.known ? &show->ask : NULL));
}


static void
ngx_http_tbucket_show_done(ngx_http_tbucket_ask_t *ask)
{
    ngx_http_tbucket_show_t  *show;

    show = ngx_gw_task_data(ask, ngx_http_tbucket_show_t, ask);

    ngx_gw_task_wake(&show->task);
}


static void
ngx_http_tbucket_show_gone(ngx_gw_task_t *task)
{
    ngx_http_tbucket_show_t  *show;

    show = ngx_gw_task_data(task, ngx_http_tbucket_show_t, task);

    show->zone->source->forget(show->zone, &show->ask);
}


/* ask: what is elsewhere, or NULL. */

static ngx_int_t
ngx_http_tbucket_show_answer(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    ngx_http_tbucket_ask_t *ask)
{
    int64_t                    full;
    ngx_int_t                  rc;
    ngx_http_tbucket_client_t  client;

    rc = ngx_http_tbucket_client_get(zone, id, &client);

    if (ask != NULL) {
        full = (int64_t) tb_limits_full(client.limits);
        client.tokens = ngx_min(client.held + ask->elsewhere, full);

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

    return ngx_http_tbucket_show_send(r, NGX_HTTP_OK, zone, &client);
}


ngx_int_t
ngx_http_tbucket_show_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_http_tbucket_zone_t *zone, ngx_http_tbucket_client_t *client)
{
    ngx_gw_json_t  *json;

    json = ngx_gw_json_create(r->pool);
    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_tbucket_show_client(json, zone, client);

    return ngx_gw_json_send(json, r, status);
}


void
ngx_http_tbucket_show_client(ngx_gw_json_t *json,
    ngx_http_tbucket_zone_t *zone, ngx_http_tbucket_client_t *client)
{
    tb_client_t  c;

    (void) tb_client_read_own(&c, client->entry.limits, zone->forms.kind);

    c.members = TB_CLIENT_ID | zone->forms.limits | TB_CLIENT_TOKENS
                | TB_CLIENT_REGISTERED;

    c.capacity = tb_limits_capacity(client->limits);
    c.quota = c.capacity;
    c.rate = tb_limits_rate(client->limits);
    c.tokens = client->tokens;

    if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        ngx_http_tbucket_show_places(&c, client);
    }

    if (client->plan_len) {
        c.members |= TB_CLIENT_PLAN;
        c.plan_len = client->plan_len;
        ngx_memcpy(c.plan, client->plan, c.plan_len);
    }

    c.members |= (c.blocked ? TB_CLIENT_BLOCKED : 0)
                 | (c.unlimited ? TB_CLIENT_UNLIMITED : 0);

    c.id_len = ngx_http_tbucket_show_id(c.id, &client->entry);

    c.registered = client->registered;

    (void) yajl_gen_map_open(json->gen);
    gw_member_write(json->gen, zone->forms.members, &c);
    (void) yajl_gen_map_close(json->gen);
}


/* What is missing to all places is in use; tokens are those that are free. */

static void
ngx_http_tbucket_show_places(tb_client_t *c,
    ngx_http_tbucket_client_t *client)
{
    int64_t  full;

    full = (int64_t) tb_limits_full(client->limits);

    c->members |= TB_CLIENT_USED;
    c->inflight = (uint32_t) tb_limits_rate(client->limits);
    c->used = (uint32_t) ((full - client->tokens) / (int64_t) TB_TOKEN);
    c->tokens = ((int64_t) c->inflight - c->used) * (int64_t) TB_TOKEN;
}


void
ngx_http_tbucket_show_as_made(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client, const tb_client_t *given)
{
    client->entry.limits = tb_client_own(given, TB_PLAN_NONE)
                           & (TB_OWN_BLOCKED | TB_OWN_UNLIMITED);
    client->limits = ngx_http_tbucket_given_limits(zone, given);
    client->tokens = (given->members & TB_CLIENT_TOKENS)
                     ? given->tokens
                     : (int64_t) tb_limits_full(client->limits);
    client->registered = 1;
    client->plan_len = 0;

    if (given->members & TB_CLIENT_PLAN) {
        client->plan_len = given->plan_len;
        ngx_memcpy(client->plan, given->plan, given->plan_len);
    }
}


void
ngx_http_tbucket_show_plan_in(ngx_gw_json_t *json,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *name,
    const tb_client_t *limits)
{
    tb_client_t  c;

    c = *limits;
    c.members = TB_CLIENT_PLAN | zone->forms.limits;
    c.plan_len = name->len;
    ngx_memcpy(c.plan, name->data, name->len);

    (void) yajl_gen_map_open(json->gen);
    gw_member_write(json->gen, zone->forms.members, &c);
    (void) yajl_gen_map_close(json->gen);
}


ngx_int_t
ngx_http_tbucket_show_plan(ngx_http_request_t *r, ngx_uint_t status,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *name,
    const tb_client_t *limits)
{
    ngx_gw_json_t  *json;

    json = ngx_gw_json_create(r->pool);
    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_tbucket_show_plan_in(json, zone, name, limits);

    return ngx_gw_json_send(json, r, status);
}


/*
 * The id, and a NUL.  One that is not registered may be any bytes: those that
 * are no UTF-8 are shown as U+FFFD, as far as there is room.
 */

static size_t
ngx_http_tbucket_show_id(char *id, const tb_registry_entry_t *entry)
{
    int            n;
    size_t         i, len;
    const u_char  *p;

    p = (const u_char *) entry->id;
    len = 0;

    for (i = 0; i < entry->len; i += (n > 0) ? n : 1) {
        n = gw_utf8_sequence(p + i, entry->len - i);

        if (len + (n > 0 ? n : 3) > GW_ID_MAX) {
            break;
        }

        ngx_memcpy(id + len, n > 0 ? (const char *) p + i : "\xef\xbf\xbd",
                   n > 0 ? n : 3);
        len += n > 0 ? n : 3;
    }

    id[len] = '\0';

    return len;
}


/*
 * The path, or an argument for ids that would not come out of a path as they
 * went in.
 */

ngx_int_t
ngx_http_tbucket_show_location(ngx_http_request_t *r, ngx_str_t *id,
    const char *arg)
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

    value.data = ngx_pnalloc(r->pool, len + sizeof("/?=") + ngx_strlen(arg)
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

        p = ngx_sprintf(p, "?%s=", arg);
    }

    p += gw_id_encode((char *) p, (char *) id->data, id->len);

    value.len = p - value.data;

    return ngx_gw_add_header(r, &name, &value);
}
