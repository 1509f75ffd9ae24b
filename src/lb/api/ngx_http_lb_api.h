
/*
 * The upstreams API.
 */


#ifndef NGX_HTTP_LB_API_H
#define NGX_HTTP_LB_API_H


#include "src/lb/ngx_http_lb.h"


/* The directive "lb_api". */
char *ngx_http_lb_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* NGX_HTTP_LB_API_H */
