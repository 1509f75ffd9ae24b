
/*
 * Proxy-Status (RFC 9209) on the errors that the balancer answers for.
 */


#ifndef NGX_HTTP_LB_PROXY_STATUS_H
#define NGX_HTTP_LB_PROXY_STATUS_H


#include "src/lb/request/ngx_http_lb_ctx.h"


extern ngx_conf_enum_t  ngx_http_lb_proxy_status_words[];


/* Puts the filter of responses into its place, if there is a use for it. */
void ngx_http_lb_proxy_status_init(ngx_http_lb_main_conf_t *lmcf);

/*
 * Notes what the attempt has failed for that has just ended, without an
 * answer; excused: for want of something here.
 */
void ngx_http_lb_proxy_status_failed(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc, ngx_uint_t excused);


#endif /* NGX_HTTP_LB_PROXY_STATUS_H */
