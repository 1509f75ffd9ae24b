
/*
 * TLS sessions to servers, shared by all workers.
 */


#ifndef NGX_HTTP_LB_SESSION_H
#define NGX_HTTP_LB_SESSION_H


#include "src/lb/request/ngx_http_lb_ctx.h"


#if (NGX_HTTP_SSL)

/* Adds the zone that they are in. */
ngx_int_t ngx_http_lb_session_conf(ngx_conf_t *cf,
    ngx_http_lb_main_conf_t *lmcf);

/* set_session and save_session of a peer, for the server that ctx holds */
ngx_int_t ngx_http_lb_set_session(ngx_peer_connection_t *pc, void *data);
void ngx_http_lb_save_session(ngx_peer_connection_t *pc, void *data);

#endif


#endif /* NGX_HTTP_LB_SESSION_H */
