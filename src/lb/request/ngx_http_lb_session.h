
/*
 * TLS sessions, kept per worker, server and key.
 */


#ifndef NGX_HTTP_LB_SESSION_H
#define NGX_HTTP_LB_SESSION_H


#include "src/lb/request/ngx_http_lb_ctx.h"


#if (NGX_HTTP_SSL)

ngx_int_t ngx_http_lb_session_init(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf);
void ngx_http_lb_session_free(ngx_http_lb_srv_conf_t *lcf);

/* set_session and save_session of a peer, for the server that ctx holds */
ngx_int_t ngx_http_lb_set_session(ngx_peer_connection_t *pc, void *data);
void ngx_http_lb_save_session(ngx_peer_connection_t *pc, void *data);

#endif


#endif /* NGX_HTTP_LB_SESSION_H */
