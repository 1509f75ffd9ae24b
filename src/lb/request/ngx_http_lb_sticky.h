
/*
 * Clients that stay with their servers: by a cookie of ours, by what requests
 * say of a route, or by sessions that are learned from responses.
 */


#ifndef NGX_HTTP_LB_STICKY_H
#define NGX_HTTP_LB_STICKY_H


#include "src/lb/request/ngx_http_lb_ctx.h"


/* The directive "lb_sticky". */
char *ngx_http_lb_sticky(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* For the end of the configuration: sees to it that sessions are learned. */
void ngx_http_lb_sticky_init(ngx_http_lb_main_conf_t *lmcf);

/* A hook of the module: zones of another size get the sessions. */
void ngx_http_lb_sticky_init_module(ngx_http_lb_main_conf_t *lmcf);

/* What follows is for an upstream with lb_sticky. */

/* Which server the request wants, if any: ctx->sid. */
ngx_int_t ngx_http_lb_sticky_find(ngx_http_lb_ctx_t *ctx);

/* A server has been picked: the client gets to know if it is another one. */
ngx_int_t ngx_http_lb_sticky_picked(ngx_http_lb_ctx_t *ctx);

/* The attempt has failed: the client is not to be told of that server. */
void ngx_http_lb_sticky_failed(ngx_http_lb_ctx_t *ctx);


#endif /* NGX_HTTP_LB_STICKY_H */
