
/*
 * Clients as the API shows them.
 */


#ifndef NGX_HTTP_TBUCKET_API_SHOW_H
#define NGX_HTTP_TBUCKET_API_SHOW_H


#include "src/common/ngx_gw_json.h"
#include "src/tbucket/clients/ngx_http_tbucket_clients.h"


/* Handles GET and HEAD of one; returns what a content handler returns. */

ngx_int_t ngx_http_tbucket_show(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id);

/* Writes a client as an element of json. */

void ngx_http_tbucket_show_client(ngx_gw_json_t *json,
    ngx_http_tbucket_zone_t *zone, ngx_http_tbucket_client_t *client);

/* Writes a plan, of which limits are members, as an element of json. */

void ngx_http_tbucket_show_plan_in(ngx_gw_json_t *json,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *name,
    const tb_client_t *limits);

/* Sends it as the response; returns as ngx_gw_json_send() does. */

ngx_int_t ngx_http_tbucket_show_plan(ngx_http_request_t *r,
    ngx_uint_t status, ngx_http_tbucket_zone_t *zone, ngx_str_t *name,
    const tb_client_t *limits);

/* Sets all but the id of a client to what one is that was just made. */

void ngx_http_tbucket_show_as_made(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client, const tb_client_t *given);

/* Sends a client as the response; returns as ngx_gw_json_send() does. */

ngx_int_t ngx_http_tbucket_show_send(ngx_http_request_t *r,
    ngx_uint_t status, ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client);

/*
 * Adds "Location" with where the client, or plan, is found from now on; arg:
 * of the argument that names one.
 */

ngx_int_t ngx_http_tbucket_show_location(ngx_http_request_t *r,
    ngx_str_t *id, const char *arg);


#endif /* NGX_HTTP_TBUCKET_API_SHOW_H */
