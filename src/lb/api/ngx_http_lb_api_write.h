
/*
 * Changes through the upstreams API.
 */


#ifndef NGX_HTTP_LB_API_WRITE_H
#define NGX_HTTP_LB_API_WRITE_H


#include "src/lb/ngx_http_lb.h"


/* POST (id 0), PATCH and DELETE */
ngx_int_t ngx_http_lb_api_write(ngx_http_request_t *r,
    ngx_http_lb_srv_conf_t *lcf, uint64_t id);


#endif /* NGX_HTTP_LB_API_WRITE_H */
