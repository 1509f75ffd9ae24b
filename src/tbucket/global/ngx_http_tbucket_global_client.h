
/*
 * One client's bucket in Redis; see ngx_http_tbucket_source_t, of which all of
 * these are operations.
 */


#ifndef NGX_HTTP_TBUCKET_GLOBAL_CLIENT_H
#define NGX_HTTP_TBUCKET_GLOBAL_CLIENT_H


#include "src/tbucket/global/ngx_http_tbucket_global.h"


void ngx_http_tbucket_global_write(ngx_http_tbucket_write_t *write);
ngx_int_t ngx_http_tbucket_global_ask(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_ask_t *look, ngx_pool_t *pool, ngx_str_t *id,
    tb_limits_t limits);
void ngx_http_tbucket_global_forget(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_ask_t *look);


#endif /* NGX_HTTP_TBUCKET_GLOBAL_CLIENT_H */
