
/*
 * The tbucket_store directive.
 */


#ifndef NGX_HTTP_TBUCKET_STORE_CONF_H
#define NGX_HTTP_TBUCKET_STORE_CONF_H


#include <ngx_config.h>
#include <ngx_core.h>


char *ngx_http_tbucket_conf_store(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* NGX_HTTP_TBUCKET_STORE_CONF_H */
