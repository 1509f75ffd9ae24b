
/*
 * The Redis store, as the directive that configures it sees it.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_STORE_H
#define NGX_HTTP_TBUCKET_REDIS_STORE_H


#include "src/tbucket/clients/ngx_http_tbucket_store.h"


/*
 * Takes the URL apart and sets store->ops and store->data.  NGX_CONF_OK, or
 * NGX_CONF_ERROR after an [emerg] line that names what is wrong with it, but
 * never the password.
 */

char *ngx_http_tbucket_redis_conf(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *url);

/* Its part of a new zone's shared memory, whichever store there is. */

ngx_int_t ngx_http_tbucket_redis_create_zone(ngx_http_tbucket_zone_t *zone);


#endif /* NGX_HTTP_TBUCKET_REDIS_STORE_H */
