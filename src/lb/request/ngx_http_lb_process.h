
/*
 * The processes that send requests to upstreams.
 */


#ifndef NGX_HTTP_LB_PROCESS_H
#define NGX_HTTP_LB_PROCESS_H


#include "src/lb/ngx_http_lb.h"


/* hooks of the module, for all upstreams */
ngx_int_t ngx_http_lb_process_init(ngx_cycle_t *cycle,
    ngx_http_lb_main_conf_t *lmcf);
void ngx_http_lb_process_exit(ngx_http_lb_main_conf_t *lmcf);


#endif /* NGX_HTTP_LB_PROCESS_H */
