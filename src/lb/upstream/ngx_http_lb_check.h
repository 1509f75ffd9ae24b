
/*
 * Health checks inside nginx.  One worker of the machine, the leader, is
 * the checker: it has a timer for each server of
 * each upstream, and a connection for each probe that is under way.
 *
 *   ngx_http_lb_check_conf.c   the directive lb_health_check
 *   ngx_http_lb_check.c        the leader, the timers, results to the roster
 *   ngx_http_lb_probe.c        one probe: connect, send, read, in time
 */


#ifndef NGX_HTTP_LB_CHECK_H
#define NGX_HTTP_LB_CHECK_H


#include "src/lb/ngx_http_lb.h"


/* hooks of the module, for all upstreams */
ngx_int_t ngx_http_lb_check_init(ngx_conf_t *cf,
    ngx_http_lb_main_conf_t *lmcf);
void ngx_http_lb_check_init_module(ngx_http_lb_main_conf_t *lmcf);
void ngx_http_lb_check_init_process(ngx_cycle_t *cycle,
    ngx_http_lb_main_conf_t *lmcf);
void ngx_http_lb_check_exit_process(ngx_http_lb_main_conf_t *lmcf);


#endif /* NGX_HTTP_LB_CHECK_H */
