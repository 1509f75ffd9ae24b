
/*
 * The list of registered clients in the API.
 */


#ifndef NGX_HTTP_TBUCKET_API_LIST_H
#define NGX_HTTP_TBUCKET_API_LIST_H


#include "src/tbucket/ngx_http_tbucket.h"


/* Handles GET and HEAD without an id; returns what a handler returns. */

ngx_int_t ngx_http_tbucket_list(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone);


#endif /* NGX_HTTP_TBUCKET_API_LIST_H */
