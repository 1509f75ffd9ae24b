
/*
 * How servers are chosen.
 */


#ifndef NGX_HTTP_LB_METHOD_H
#define NGX_HTTP_LB_METHOD_H


#include "src/lb/ngx_http_lb.h"


/* The method that "lb" names, into lcf.  Logs what is wrong. */
ngx_int_t ngx_http_lb_method(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_srv_conf_t *lcf);

char *ngx_http_lb_slow_start(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_lb_outlier(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_lb_panic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * The hash of the request's key, of a method that has one.  NGX_DECLINED: the
 * key is empty.
 */
ngx_int_t ngx_http_lb_method_key(ngx_http_request_t *r,
    ngx_http_lb_srv_conf_t *lcf, uint64_t *key);


#endif /* NGX_HTTP_LB_METHOD_H */
