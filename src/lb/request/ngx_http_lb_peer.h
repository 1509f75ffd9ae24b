
/*
 * A request's way through an upstream.
 */


#ifndef NGX_HTTP_LB_PEER_H
#define NGX_HTTP_LB_PEER_H


#include "src/lb/ngx_http_lb.h"


/* The peer.init of an upstream with "lb". */
ngx_int_t ngx_http_lb_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);


#endif /* NGX_HTTP_LB_PEER_H */
