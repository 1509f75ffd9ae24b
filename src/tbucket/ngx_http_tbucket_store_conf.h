
/*
 * The tbucket_store directive, and what is of all kinds of stores.
 */


#ifndef NGX_HTTP_TBUCKET_STORE_CONF_H
#define NGX_HTTP_TBUCKET_STORE_CONF_H


#include "src/tbucket/ngx_http_tbucket.h"


char *ngx_http_tbucket_conf_store(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * What each kind of store keeps in the shared memory of a new zone: the next
 * configuration may have another store.  NGX_OK, or NGX_ERROR without memory.
 */

ngx_int_t ngx_http_tbucket_store_create_zone(ngx_http_tbucket_zone_t *zone);


#endif /* NGX_HTTP_TBUCKET_STORE_CONF_H */
