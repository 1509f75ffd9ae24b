
/*
 * The plans in the API.
 */


#ifndef NGX_HTTP_TBUCKET_API_PLANS_H
#define NGX_HTTP_TBUCKET_API_PLANS_H


#include "src/tbucket/ngx_http_tbucket.h"


/*
 * Answers with one plan, and with a page of the list of all; return what a
 * content handler returns.
 */

ngx_int_t ngx_http_tbucket_plans_show(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *name);
ngx_int_t ngx_http_tbucket_plans_list(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone);


#endif /* NGX_HTTP_TBUCKET_API_PLANS_H */
