
/*
 * The clients API.
 */


#ifndef NGX_HTTP_TBUCKET_API_H
#define NGX_HTTP_TBUCKET_API_H


#include "src/tbucket/ngx_http_tbucket.h"


/* The tbucket_api directive. */

char *ngx_http_tbucket_conf_api(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* NGX_HTTP_TBUCKET_API_H */
