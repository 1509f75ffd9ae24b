
/*
 * What makes a connection to a server what it is, so that a request may use
 * one that another request has opened.  Where in the configuration that was
 * does not matter.
 */


#ifndef NGX_HTTP_LB_CONN_KEY_H
#define NGX_HTTP_LB_CONN_KEY_H


#include "src/lb/request/ngx_http_lb_tls.h"


struct ngx_http_lb_conn_key_s {
    void                      *protocol;      /* the module that speaks it */
    struct sockaddr           *local;         /* NULL: the system chooses */
    socklen_t                  local_len;
    unsigned                   transparent:1;
    unsigned                   secure:1;
#if (NGX_HTTP_SSL)
    ngx_http_lb_tls_t          tls;           /* if secure */
#endif
};


/*
 * The key of the connections that a request is to use, made of what the
 * request and its configuration hold: valid for as long as these are.
 */
ngx_int_t ngx_http_lb_conn_key(ngx_http_request_t *r,
    ngx_peer_connection_t *pc, ngx_http_lb_conn_key_t *key);

/* A copy of a key in a pool, NULL if there is no memory. */
ngx_http_lb_conn_key_t *ngx_http_lb_conn_key_copy(ngx_pool_t *pool,
    const ngx_http_lb_conn_key_t *key);

ngx_uint_t ngx_http_lb_conn_key_equal(const ngx_http_lb_conn_key_t *one,
    const ngx_http_lb_conn_key_t *two);


#endif /* NGX_HTTP_LB_CONN_KEY_H */
