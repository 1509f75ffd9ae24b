
/*
 * The list of clients that are refused, or seen, most.
 */


#ifndef NGX_HTTP_TBUCKET_API_TOP_H
#define NGX_HTTP_TBUCKET_API_TOP_H


#include "src/tbucket/ngx_http_tbucket.h"


/* Handles GET and HEAD with "top"; returns what a handler returns. */

ngx_int_t ngx_http_tbucket_list_top(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *kind);


#endif /* NGX_HTTP_TBUCKET_API_TOP_H */
