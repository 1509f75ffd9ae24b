
/*
 * The ticker.
 */


#ifndef NGX_HTTP_TBUCKET_REFILL_H
#define NGX_HTTP_TBUCKET_REFILL_H


#include "src/tbucket/ngx_http_tbucket.h"


ngx_int_t ngx_http_tbucket_start_ticker(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf);
void ngx_http_tbucket_stop_ticker(ngx_http_tbucket_main_conf_t *mcf);


#endif /* NGX_HTTP_TBUCKET_REFILL_H */
