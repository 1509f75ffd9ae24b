
/*
 * Names of an upstream: asked for by the process that leads the checks.
 */


#ifndef NGX_HTTP_LB_RESOLVE_H
#define NGX_HTTP_LB_RESOLVE_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/lb/ngx_http_lb.h"


/* Goes on asking for all names of the upstream; this process leads. */
void ngx_http_lb_resolve_run(ngx_http_lb_srv_conf_t *lcf,
    ngx_connection_t *dummy);

/* Stops asking. */
void ngx_http_lb_resolve_rest(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_RESOLVE_H */
