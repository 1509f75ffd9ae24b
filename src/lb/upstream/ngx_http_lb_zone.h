
/*
 * The shared memory of an upstream.
 */


#ifndef NGX_HTTP_LB_ZONE_H
#define NGX_HTTP_LB_ZONE_H


#include "src/lb/ngx_http_lb.h"


/* The directive "lb_zone". */
char *ngx_http_lb_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Adds the zone of an upstream whose lines are known; checks or computes its
 * size.  Logs what is wrong.
 */
ngx_int_t ngx_http_lb_zone_add(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf);

/* A zone of ours in the running configuration, by its name, or NULL. */
ngx_shm_zone_t *ngx_http_lb_zone_find(ngx_str_t *name);

/* A hook of the module, for all upstreams. */
ngx_int_t ngx_http_lb_zone_init_module(ngx_cycle_t *cycle,
    ngx_http_lb_main_conf_t *lmcf);

/* Puts a new configuration in force unless somebody has.  Mutex. */
void ngx_http_lb_zone_apply(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_ZONE_H */
