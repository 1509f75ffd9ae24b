
/*
 * $lb_server, $lb_tries and $lb_method.
 */


#ifndef NGX_HTTP_LB_VARIABLE_H
#define NGX_HTTP_LB_VARIABLE_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


ngx_int_t ngx_http_lb_add_variables(ngx_conf_t *cf);


#endif /* NGX_HTTP_LB_VARIABLE_H */
