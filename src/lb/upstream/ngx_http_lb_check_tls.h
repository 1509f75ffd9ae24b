
/*
 * Health checks over TLS: the context of an upstream's checks, and what is
 * particular to a connection of them.
 */


#ifndef NGX_HTTP_LB_CHECK_TLS_H
#define NGX_HTTP_LB_CHECK_TLS_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/lb/upstream/ngx_http_lb_check_conf.h"


/* Whether it is an address, and no name. */
ngx_uint_t ngx_http_lb_check_tls_is_address(ngx_str_t *name);

/* Makes the context; logs why it cannot. */
ngx_int_t ngx_http_lb_check_tls_init(ngx_conf_t *cf,
    ngx_http_lb_check_conf_t *check);

/* Begins TLS on a connection, which has a pool: ngx_ssl_handshake() is next. */
ngx_int_t ngx_http_lb_check_tls_open(ngx_http_lb_check_conf_t *check,
    ngx_connection_t *c);

/* Why the server's certificate is not accepted; NULL: it is. */
const char *ngx_http_lb_check_tls_verify(ngx_http_lb_check_conf_t *check,
    ngx_connection_t *c);

/* Takes leave, without waiting for anything. */
void ngx_http_lb_check_tls_close(ngx_connection_t *c);


#endif /* NGX_HTTP_LB_CHECK_TLS_H */
