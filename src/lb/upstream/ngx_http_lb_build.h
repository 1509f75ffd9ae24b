
/*
 * Views of this process.
 */


#ifndef NGX_HTTP_LB_BUILD_H
#define NGX_HTTP_LB_BUILD_H


#include "src/lb/ngx_http_lb.h"


void ngx_http_lb_build_init_process(ngx_cycle_t *cycle);

/* Builds the view at once, of a zone that nobody else has yet. */
ngx_int_t ngx_http_lb_build_whole(ngx_http_lb_srv_conf_t *lcf,
    ngx_log_t *log);

/*
 * Asks for a view after a change of some server: at once, if that takes
 * little time.  Never waits.  Not with the mutex held.
 */
void ngx_http_lb_build(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_BUILD_H */
