
/*
 * TLS of connections to Redis: what is presented, what is trusted, and what
 * went wrong.  All that it needs is read with the configuration.
 */


#ifndef NGX_GW_REDIS_TLS_H
#define NGX_GW_REDIS_TLS_H


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_str_t     ca;           /* files; len 0: the system's */
    ngx_str_t     cert;         /* len 0: none */
    ngx_str_t     key;
    ngx_str_t     name;         /* len 0: that of the host; ends in NUL */
    ngx_uint_t    verify;
#if (NGX_SSL)
    ngx_ssl_t     ssl;
#endif
} ngx_gw_redis_tls_t;


/* Reads the files.  NGX_ERROR after an [emerg] that names what failed. */

ngx_int_t ngx_gw_redis_tls_configure(ngx_conf_t *cf,
    ngx_gw_redis_tls_t *tls);


#if (NGX_SSL)

/* A client's side on a connected socket; NULL if out of memory. */

SSL *ngx_gw_redis_tls_open(ngx_gw_redis_tls_t *tls, ngx_socket_t fd,
    const char *host);

/*
 * The outcome of a call that returned n: NGX_AGAIN with *writing set if it
 * has to wait for the socket to be writable, NGX_DONE if the server closed
 * the connection in order, or NGX_ERROR with the reason.
 */

ngx_int_t ngx_gw_redis_tls_result(ngx_gw_redis_tls_t *tls, SSL *ssl, int n,
    ngx_uint_t *writing, char *reason, size_t size);

#endif


#endif /* NGX_GW_REDIS_TLS_H */
