
/*
 * What a write comes to, as JSON; see ngx_http_tbucket_write_reply.h.
 */


#include "src/tbucket/clients/ngx_http_tbucket_write_reply.h"
#include "src/core/limit/tb_client.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_body.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_show.h"
#include "src/tbucket/ngx_http_tbucket_source.h"


static ngx_int_t ngx_http_tbucket_write_failed(
    ngx_http_tbucket_write_t *write);
static ngx_int_t ngx_http_tbucket_write_shown(
    ngx_http_tbucket_write_t *write);
static ngx_int_t ngx_http_tbucket_write_counts(
    ngx_http_tbucket_write_t *write);


ngx_int_t
ngx_http_tbucket_write_reply(ngx_http_tbucket_write_t *write)
{
    ngx_http_request_t  *r;

    r = write->task.request;

    switch (write->outcome) {

    case NGX_HTTP_TBUCKET_CREATED:
    case NGX_HTTP_TBUCKET_UPDATED:
        return write->kind == NGX_HTTP_TBUCKET_WRITE_BULK
               ? ngx_http_tbucket_write_counts(write)
               : ngx_http_tbucket_write_shown(write);

    case NGX_HTTP_TBUCKET_REMOVED:
        return ngx_gw_json_send_empty(r, NGX_HTTP_NO_CONTENT);

    case NGX_HTTP_TBUCKET_EXISTS:
        return ngx_gw_json_error(r, NGX_HTTP_CONFLICT,
                                 "client_id \"%V\" is registered already",
                                 &write->changes->id);

    case NGX_HTTP_TBUCKET_IN_USE:
        return ngx_gw_json_error(r, NGX_HTTP_CONFLICT,
                                 "plan \"%V\" is in use: clients have it",
                                 &write->changes->id);

    case NGX_HTTP_TBUCKET_MISSING:
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND, write->plans
                                 ? "there is no plan \"%V\""
                                 : "client_id \"%V\" is not registered",
                                 &write->changes->id);

    default:
        return ngx_http_tbucket_write_failed(write);
    }
}


static ngx_int_t
ngx_http_tbucket_write_failed(ngx_http_tbucket_write_t *write)
{
    char                      text[GW_JSON_ERROR_SIZE];
    tb_client_t              *client;
    ngx_http_request_t       *r;
    ngx_http_tbucket_zone_t  *zone;

    r = write->task.request;
    zone = write->zone;

    switch (write->outcome) {

    case NGX_HTTP_TBUCKET_MALFORMED:
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST, "%s",
                                 ngx_http_tbucket_body_error(write->body));

    case NGX_HTTP_TBUCKET_UNREAD:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;

    case NGX_HTTP_TBUCKET_TOKENS_RANGE:
        client = &write->changes->client;

        (void) tb_client_check_tokens(client->tokens,
                   tb_limits_capacity(ngx_http_tbucket_given_limits(zone,
                                                                    client)),
                   zone->unit, text, sizeof(text));

        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST, "%s", text);

    case NGX_HTTP_TBUCKET_PARTIAL:
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "%s is missing, the client has no limits of "
                                 "its own that could be changed in part",
                                 gw_member_names(text, zone->forms.members,
                                                 write->lacking));

    case NGX_HTTP_TBUCKET_NO_PLAN:

        if (zone->shared->plans->n == TB_PLANS) {
            return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "zone \"%V\" has no room for more plans, "
                                     "nothing was changed: there are %d, as "
                                     "many as a zone may have", &zone->name,
                                     TB_PLANS - TB_PLAN_FIRST);
        }

        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "zone \"%V\" has no room for more plans, "
                                 "nothing was changed: enlarge the zone",
                                 &zone->name);

    case NGX_HTTP_TBUCKET_NO_ROOM:
        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "zone \"%V\" has no room for more clients, "
                                 "nothing was changed: enlarge the zone",
                                 &zone->name);

    case NGX_HTTP_TBUCKET_SUPERSEDED:
        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "zone \"%V\" is being replaced by a reload, "
                                 "nothing was changed: try again",
                                 &write->zone->name);

    case NGX_HTTP_TBUCKET_STORE_DOWN:

        if (write->reason.len) {
            return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "the store takes no writes, nothing was "
                                     "changed: %V", &write->reason);
        }

        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "the store is unreachable, nothing was "
                                 "changed");

    default: /* NGX_HTTP_TBUCKET_STORE_UNKNOWN */
        return ngx_http_tbucket_write_unknown(write);
    }
}


ngx_int_t
ngx_http_tbucket_write_unknown(ngx_http_tbucket_write_t *write)
{
    return ngx_gw_json_error(write->task.request,
                             NGX_HTTP_SERVICE_UNAVAILABLE,
                             "the store did not answer, the outcome is "
                             "unknown%s%V", write->reason.len ? ": " : "",
                             &write->reason);
}


/* The client as it is now; if it has gone since, as it was made. */

static ngx_int_t
ngx_http_tbucket_write_shown(ngx_http_tbucket_write_t *write)
{
    ngx_str_t                  *id;
    ngx_uint_t                  status;
    ngx_http_request_t         *r;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_change_t  *change;
    ngx_http_tbucket_client_t   client;

    r = write->task.request;
    zone = write->zone;
    change = write->changes;
    id = &change->id;

    status = NGX_HTTP_OK;

    if (write->outcome == NGX_HTTP_TBUCKET_CREATED) {
        status = NGX_HTTP_CREATED;

        if (ngx_http_tbucket_show_location(r, id, write->plans
                                                  ? "plan" : "client_id")
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (write->plans) {
        return ngx_http_tbucket_show_plan(r, status, zone, id,
                                          &change->client);
    }

    if (ngx_http_tbucket_client_get(zone, id, &client) != NGX_OK) {
        client.entry.len = id->len;
        ngx_memcpy(client.entry.id, id->data, id->len);

        ngx_http_tbucket_show_as_made(zone, &client, &change->client);
        client.registered = !write->unregistered;

    } else if (zone->source != NULL
               && (change->client.members & TB_CLIENT_TOKENS))
    {
        client.tokens = change->client.tokens;
    }

    return ngx_http_tbucket_show_send(r, status, zone, &client);
}


static ngx_int_t
ngx_http_tbucket_write_counts(ngx_http_tbucket_write_t *write)
{
    ngx_gw_json_t       *json;
    ngx_http_request_t  *r;

    r = write->task.request;

    json = ngx_gw_json_create(r->pool);
    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) yajl_gen_map_open(json->gen);
    ngx_gw_json_literal(json, "created");
    (void) yajl_gen_integer(json->gen, write->created);
    ngx_gw_json_literal(json, "updated");
    (void) yajl_gen_integer(json->gen, write->updated);
    (void) yajl_gen_map_close(json->gen);

    return ngx_gw_json_send(json, r, NGX_HTTP_OK);
}
