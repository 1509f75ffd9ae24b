
/*
 * The list of registered clients in the API.
 */


#ifndef NGX_HTTP_TBUCKET_API_LIST_H
#define NGX_HTTP_TBUCKET_API_LIST_H


#include "src/common/ngx_gw_json.h"
#include "src/tbucket/ngx_http_tbucket.h"


/* Handles GET and HEAD without an id; returns what a handler returns. */

ngx_int_t ngx_http_tbucket_list(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone);

/*
 * The argument "limit", or what it is without one: NGX_DECLINED and *n, or
 * what became of an error's answer.
 */

ngx_int_t ngx_http_tbucket_list_limit(ngx_http_request_t *r, ngx_uint_t *n);

/*
 * The arguments "limit" and "cursor" of a list: NGX_DECLINED if they are fine,
 * or what became of an error's answer.
 */

ngx_int_t ngx_http_tbucket_list_args(ngx_http_request_t *r,
    ngx_uint_t *limit, uint64_t *cursor);

/*
 * Ends the array and the object that are open, with where the next page begins
 * if there is more, and sends them as ngx_gw_json_send() does.
 */

ngx_int_t ngx_http_tbucket_list_send(ngx_gw_json_t *json,
    ngx_http_request_t *r, ngx_uint_t more, uint64_t cursor);


#endif /* NGX_HTTP_TBUCKET_API_LIST_H */
