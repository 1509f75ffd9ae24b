
/*
 * Requests that wait for a place of an upstream.
 *
 * A request waits where a server is picked for it: what is answered out of a
 * cache does not wait, and a client that still sends its request takes no
 * place.  nginx is told that its connection is being made, and gets one that
 * leads nowhere; once there is a place, the real one comes instead of it.
 */


#ifndef NGX_HTTP_LB_QUEUE_H
#define NGX_HTTP_LB_QUEUE_H


#include "src/lb/request/ngx_http_lb_ctx.h"


/* Makes the queue of this process; its row is claimed. */
ngx_int_t ngx_http_lb_queue_join(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf);

/* Whether others are ahead of a request that wants a server. */
ngx_uint_t ngx_http_lb_queue_waits(ngx_http_lb_ctx_t *ctx);

/*
 * Has the request wait, for as long as its queue says, at its place if it was
 * waiting before.  What get() is to return.
 */
ngx_int_t ngx_http_lb_queue_park(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);

/* Whether the request is waiting; only then pc has no server. */
ngx_uint_t ngx_http_lb_queue_parked(ngx_http_lb_ctx_t *ctx);

/* The wait of a request is over, whatever for. */
void ngx_http_lb_queue_unpark(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);

/* Takes the connection that leads nowhere, if that is what pc has. */
void ngx_http_lb_queue_leave_nowhere(ngx_peer_connection_t *pc);


#endif /* NGX_HTTP_LB_QUEUE_H */
