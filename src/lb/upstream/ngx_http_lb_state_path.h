
/*
 * Where a state file is.
 */


#ifndef NGX_HTTP_LB_STATE_PATH_H
#define NGX_HTTP_LB_STATE_PATH_H


#include "src/lb/upstream/ngx_http_lb_state.h"


/* Sets all paths; logs what is wrong with them, or with names of servers. */
ngx_int_t ngx_http_lb_state_find(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf);

/* Logs that the file cannot be replaced because it is a mount of its own. */
void ngx_http_lb_state_mounted(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_STATE_PATH_H */
