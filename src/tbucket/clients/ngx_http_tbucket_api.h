
/*
 * What the files of the clients API share.
 */


#ifndef NGX_HTTP_TBUCKET_API_H
#define NGX_HTTP_TBUCKET_API_H


#include "src/common/ngx_gw_json.h"
#include "src/common/ngx_gw_task.h"
#include "src/core/limit/tb_client.h"
#include "src/tbucket/clients/ngx_http_tbucket_store.h"


/*
 * Handles POST (id is NULL), PUT, PATCH and DELETE; all but DELETE have a
 * body.  Returns what a content handler returns.
 */

ngx_int_t ngx_http_tbucket_api_write(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id);

/* Handles GET and HEAD without an id. */

ngx_int_t ngx_http_tbucket_api_list(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone);

/* Writes a client as an element of json. */

void ngx_http_tbucket_api_client(ngx_gw_json_t *json,
    ngx_http_tbucket_client_t *client);

/*
 * Sends a client as the response; returns as ngx_gw_json_send() does, as do
 * all functions that send.
 */

ngx_int_t ngx_http_tbucket_api_send_client(ngx_http_request_t *r,
    ngx_uint_t status, ngx_http_tbucket_client_t *client);

/* Adds "Location" with where the client is found from now on. */

ngx_int_t ngx_http_tbucket_api_location(ngx_http_request_t *r,
    ngx_str_t *id);


#endif /* NGX_HTTP_TBUCKET_API_H */
