
/*
 * What makes a connection to a server what it is, so that a request may use
 * one that another request has opened.  Where in the configuration that was
 * does not matter.
 */


#ifndef NGX_HTTP_LB_CONN_KEY_H
#define NGX_HTTP_LB_CONN_KEY_H


#include "src/lb/ngx_http_lb.h"


#if (NGX_HTTP_SSL)

/*
 * The settings of a TLS context, the same address for equal ones: versions
 * and ciphers, trusted certificates, CRLs and the depth of verification, the
 * client certificate.
 */

typedef struct ngx_http_lb_settings_s  ngx_http_lb_settings_t;


/* what a TLS session is good for: the session of another one is not */

typedef struct {
    ngx_http_lb_settings_t    *settings;
    ngx_str_t                  name;          /* if it is sent or verified */
    ngx_str_t                  certificate;   /* both if they are made of */
    ngx_str_t                  private_key;   /* variables */
    unsigned                   server_name:1;
    unsigned                   verify:1;
} ngx_http_lb_tls_t;

#endif


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


#if (NGX_HTTP_SSL)

/* ngx_http_lb_tls.c */

/* The same for the part of a key that is about TLS. */
ngx_int_t ngx_http_lb_tls(ngx_http_request_t *r, ngx_http_lb_tls_t *tls);

ngx_uint_t ngx_http_lb_tls_equal(const ngx_http_lb_tls_t *one,
    const ngx_http_lb_tls_t *two);

/* The bytes of its texts, and moving them to a place with room for them. */
size_t ngx_http_lb_tls_size(const ngx_http_lb_tls_t *tls);
void ngx_http_lb_tls_move(ngx_http_lb_tls_t *tls, u_char *to);

#endif


#endif /* NGX_HTTP_LB_CONN_KEY_H */
