
/*
 * tbucket_metrics: the limiter in the text format of Prometheus.
 */


#ifndef NGX_HTTP_TBUCKET_METRICS_H
#define NGX_HTTP_TBUCKET_METRICS_H


#include "src/tbucket/ngx_http_tbucket.h"


char *ngx_http_tbucket_conf_metrics(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* NGX_HTTP_TBUCKET_METRICS_H */
