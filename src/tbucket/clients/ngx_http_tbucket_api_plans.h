
/*
 * The plans in the API.
 */


#ifndef NGX_HTTP_TBUCKET_API_PLANS_H
#define NGX_HTTP_TBUCKET_API_PLANS_H


#include "src/tbucket/ngx_http_tbucket.h"


/*
 * Handles all requests to a location with "tbucket_api zone=... plans";
 * returns what a content handler returns.
 */

ngx_int_t ngx_http_tbucket_plans_api(ngx_http_request_t *r,
    ngx_http_tbucket_api_t *api);


#endif /* NGX_HTTP_TBUCKET_API_PLANS_H */
