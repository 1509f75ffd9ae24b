
/*
 * Zones, and the bounds of what goes with them.
 */


#ifndef NGX_HTTP_TBUCKET_CONF_H
#define NGX_HTTP_TBUCKET_CONF_H


#include "src/tbucket/ngx_http_tbucket.h"


char *ngx_http_tbucket_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_tbucket_check_status(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_tbucket_check_refill(ngx_conf_t *cf, void *post, void *data);

/*
 * Binds every "tbucket" and "tbucket_api" line to its zone; logs those that
 * name none, with their place, and returns NGX_ERROR.  Likewise for zones
 * that the store is not fit for.
 */

ngx_int_t ngx_http_tbucket_bind_limits(ngx_conf_t *cf,
    ngx_http_tbucket_main_conf_t *mcf);


#endif /* NGX_HTTP_TBUCKET_CONF_H */
