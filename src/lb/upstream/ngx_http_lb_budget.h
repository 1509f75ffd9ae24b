
/*
 * A budget of retries.
 */


#ifndef NGX_HTTP_LB_BUDGET_H
#define NGX_HTTP_LB_BUDGET_H


#include "src/lb/ngx_http_lb.h"


/* The directive "lb_retry_budget". */
char *ngx_http_lb_budget(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Counts a request, or a retry, if there is a budget. */
void ngx_http_lb_budget_count(ngx_http_lb_srv_conf_t *lcf, ngx_uint_t retry);

/* Whether there is none, or room in it for a retry. */
ngx_uint_t ngx_http_lb_budget_allows(ngx_http_lb_srv_conf_t *lcf);

/* A failure is final for want of room: counts that, and logs it. */
void ngx_http_lb_budget_denied(ngx_http_lb_srv_conf_t *lcf, ngx_log_t *log);


#endif /* NGX_HTTP_LB_BUDGET_H */
