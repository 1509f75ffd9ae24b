
/*
 * The balancer's figures for Prometheus.
 */


#ifndef NGX_HTTP_LB_METRICS_H
#define NGX_HTTP_LB_METRICS_H


#include "src/lb/ngx_http_lb.h"


/* The directive "lb_metrics". */
char *ngx_http_lb_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* NGX_HTTP_LB_METRICS_H */
