
/*
 * The list of registered clients in the API.
 */


#ifndef NGX_HTTP_TBUCKET_API_LIST_H
#define NGX_HTTP_TBUCKET_API_LIST_H


#include "src/tbucket/ngx_http_tbucket.h"


/* Handles GET and HEAD without an id; returns what a handler returns. */

ngx_int_t ngx_http_tbucket_list(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone);

/*
 * The argument "limit", or what it is without one: NGX_DECLINED and *n, or
 * what became of an error's answer.
 */

ngx_int_t ngx_http_tbucket_list_limit(ngx_http_request_t *r, ngx_uint_t *n);


#endif /* NGX_HTTP_TBUCKET_API_LIST_H */
