
/*
 * Why an attempt has failed.
 */


#ifndef NGX_HTTP_LB_REASON_H
#define NGX_HTTP_LB_REASON_H


#include "src/lb/request/ngx_http_lb_ctx.h"


/* Makes a request's log lines tell why an attempt failed. */
void ngx_http_lb_reason_watch(ngx_http_lb_ctx_t *ctx);

/* Why the attempt that has just failed did so; valid for the request. */
ngx_str_t *ngx_http_lb_reason(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);

/*
 * Whether that was for want of something here, such as a local port, or since
 * the server had announced that it would close the connection.  To be asked
 * first, as the number of an error that nobody logs is in errno only.
 */
ngx_uint_t ngx_http_lb_reason_excuses(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);


/*
 * The number in "connect() to ... failed (99: ...)"; 0 if there is none.  What
 * a server has sent is not looked at.
 */
ngx_err_t ngx_http_lb_reason_number(ngx_str_t *reason);


#endif /* NGX_HTTP_LB_REASON_H */
