
/*
 * Connections that a request takes from those which are idle, or leaves to
 * them.
 */


#ifndef NGX_HTTP_LB_KEEPALIVE_H
#define NGX_HTTP_LB_KEEPALIVE_H


#include "src/lb/request/ngx_http_lb_ctx.h"


/* The directive "lb_keepalive". */
char *ngx_http_lb_keepalive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * If connections are kept: takes an idle one to the server that ctx holds:
 * NGX_OK, and it is in pc; NGX_DECLINED if there is none.
 */
ngx_int_t ngx_http_lb_keepalive_get(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);

/*
 * If connections are kept: keeps that of a request that has succeeded, if it
 * can be.
 */
void ngx_http_lb_keepalive_put(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);

/*
 * Has a request over HTTP/2 that was sent by a kept connection before begin
 * with the first stream, for a fresh one: nginx waits for the answer there, but
 * has left the stream of that connection in the request.
 */
void ngx_http_lb_keepalive_restart(ngx_http_request_t *r);


#endif /* NGX_HTTP_LB_KEEPALIVE_H */
