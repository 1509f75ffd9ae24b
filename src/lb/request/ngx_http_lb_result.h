
/*
 * What an attempt on the server that a request holds has come to.
 */


#ifndef NGX_HTTP_LB_RESULT_H
#define NGX_HTTP_LB_RESULT_H


#include "src/lb/request/ngx_http_lb_ctx.h"


/* It has failed, or has brought a header after so many ms. */
void ngx_http_lb_result_failed(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
void ngx_http_lb_result_passed(ngx_http_lb_ctx_t *ctx,
    ngx_msec_t header_time);

/*
 * The response has ended before its end, or stalled: an error, but as with
 * nginx none in the sense of max_fails.
 */
void ngx_http_lb_result_broken(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);

/* It has failed by no fault of the server. */
void ngx_http_lb_result_excused(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);

/* Another server has been picked after a failure: counts and logs that. */
void ngx_http_lb_result_retried(ngx_http_lb_ctx_t *ctx, ngx_log_t *log);

/* Counts an answer. */
void ngx_http_lb_result_count(ngx_http_lb_ctx_t *ctx,
    ngx_http_upstream_state_t *state);


#endif /* NGX_HTTP_LB_RESULT_H */
