
/*
 * Ejections of servers with many errors.
 */


#ifndef NGX_HTTP_LB_OUTLIER_H
#define NGX_HTTP_LB_OUTLIER_H


#include "src/lb/ngx_http_lb.h"


/* Starts the timer that ends ejections, in a process that serves requests. */
void ngx_http_lb_outlier_init(ngx_cycle_t *cycle,
    ngx_http_lb_main_conf_t *lmcf);

/*
 * Ejects the server with the given index and publishes that.  NGX_DECLINED:
 * there is a reason against it, or the mutex is taken.
 */
ngx_int_t ngx_http_lb_outlier_eject(ngx_http_lb_srv_conf_t *lcf,
    uint32_t index);


#endif /* NGX_HTTP_LB_OUTLIER_H */
