
/*
 * TLS of connections to Redis: contexts by ngx_ssl_create(), connections by
 * OpenSSL itself, since the master, which has no event loop, needs them too.
 */


#include "src/redis/ngx_gw_redis_tls.h"


#if (NGX_SSL)

#include <openssl/x509v3.h>


#define NGX_GW_REDIS_TLS_DEPTH  10      /* certificates in a chain */


static ngx_int_t ngx_gw_redis_tls_trust(ngx_conf_t *cf,
    ngx_gw_redis_tls_t *tls);
static ngx_uint_t ngx_gw_redis_tls_is_address(const char *host);
static void ngx_gw_redis_tls_reason(ngx_gw_redis_tls_t *tls, SSL *ssl,
    char *reason, size_t size);


ngx_int_t
ngx_gw_redis_tls_configure(ngx_conf_t *cf, ngx_gw_redis_tls_t *tls)
{
    ngx_pool_cleanup_t  *cln;

    tls->ssl.log = cf->log;

    if (ngx_ssl_create(&tls->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(&tls->ssl);
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = &tls->ssl;

    if (tls->cert.len
        && ngx_ssl_certificate(cf, &tls->ssl, &tls->cert, &tls->key, NULL)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (tls->verify && ngx_gw_redis_tls_trust(cf, tls) != NGX_OK) {
        return NGX_ERROR;
    }

    /* nginx's own callbacks expect a connection of nginx's */

    SSL_CTX_set_info_callback(tls->ssl.ctx, NULL);
    SSL_CTX_set_verify(tls->ssl.ctx,
                       tls->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       NULL);

    return NGX_OK;
}


static ngx_int_t
ngx_gw_redis_tls_trust(ngx_conf_t *cf, ngx_gw_redis_tls_t *tls)
{
    if (tls->ca.len) {
        return ngx_ssl_trusted_certificate(cf, &tls->ssl, &tls->ca,
                                           NGX_GW_REDIS_TLS_DEPTH);
    }

    if (SSL_CTX_set_default_verify_paths(tls->ssl.ctx) == 0) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "certificates that the system trusts could not be "
                      "read");
        return NGX_ERROR;
    }

    SSL_CTX_set_verify_depth(tls->ssl.ctx, NGX_GW_REDIS_TLS_DEPTH);

    return NGX_OK;
}


SSL *
ngx_gw_redis_tls_open(ngx_gw_redis_tls_t *tls, ngx_socket_t fd,
    const char *host)
{
    int                 ok;
    SSL                *ssl;
    X509_VERIFY_PARAM  *param;

    ERR_clear_error();

    ssl = SSL_new(tls->ssl.ctx);

    if (ssl == NULL) {
        return NULL;
    }

    if (tls->name.len) {
        host = (char *) tls->name.data;
    }

    param = SSL_get0_param(ssl);

    if (ngx_gw_redis_tls_is_address(host)) {
        ok = X509_VERIFY_PARAM_set1_ip_asc(param, host);

    } else {
        X509_VERIFY_PARAM_set_hostflags(param,
                                        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);

        ok = X509_VERIFY_PARAM_set1_host(param, host, 0)
             && SSL_set_tlsext_host_name(ssl, host);
    }

    if (!ok || SSL_set_fd(ssl, fd) == 0) {
        SSL_free(ssl);
        return NULL;
    }

    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE
                      |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_connect_state(ssl);

    return ssl;
}


static ngx_uint_t
ngx_gw_redis_tls_is_address(const char *host)
{
    size_t  len;
    u_char  ipv6[16];

    len = ngx_strlen(host);

    return ngx_inet_addr((u_char *) host, len) != INADDR_NONE
           || ngx_inet6_addr((u_char *) host, len, ipv6) == NGX_OK;
}


ngx_int_t
ngx_gw_redis_tls_result(ngx_gw_redis_tls_t *tls, SSL *ssl, int n,
    ngx_uint_t *writing, char *reason, size_t size)
{
    int        error;
    u_char    *p;
    ngx_err_t  err;

    err = ngx_errno;
    error = SSL_get_error(ssl, n);
    *writing = 0;

    switch (error) {

    case SSL_ERROR_WANT_WRITE:
        *writing = 1;
        return NGX_AGAIN;

    case SSL_ERROR_WANT_READ:
        return NGX_AGAIN;

    case SSL_ERROR_ZERO_RETURN:
        return NGX_DONE;

    case SSL_ERROR_SYSCALL:
        if (ERR_peek_error() == 0) {

            if (err == 0) {
                return NGX_DONE;
            }

            p = ngx_strerror(err, (u_char *) reason, size - 1);
            *p = '\0';
            return NGX_ERROR;
        }

        break;
    }

#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
    if (ERR_GET_REASON(ERR_peek_error())
        == SSL_R_UNEXPECTED_EOF_WHILE_READING)
    {
        ERR_clear_error();
        return NGX_DONE;
    }
#endif

    ngx_gw_redis_tls_reason(tls, ssl, reason, size);
    ERR_clear_error();

    return NGX_ERROR;
}


static void
ngx_gw_redis_tls_reason(ngx_gw_redis_tls_t *tls, SSL *ssl, char *reason,
    size_t size)
{
    long         rc;
    u_char      *p, *last;
    const char  *text;

    p = (u_char *) reason;
    last = p + size - 1;

    rc = tls->verify ? SSL_get_verify_result(ssl) : X509_V_OK;

    switch (rc) {

    case X509_V_OK:
        text = ERR_reason_error_string(ERR_peek_error());
        p = ngx_slprintf(p, last, "TLS handshake failed: %s",
                         text ? text : "unknown reason");

        if (SSL_is_init_finished(ssl)) {
            p = ngx_slprintf((u_char *) reason, last, "TLS failed: %s",
                             text ? text : "unknown reason");
        }

        break;

    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        text = tls->name.len ? (char *) tls->name.data
                             : SSL_get_servername(ssl,
                                                  TLSEXT_NAMETYPE_host_name);
        p = ngx_slprintf(p, last, "TLS: the server's certificate is for "
                         "another name than \"%s\"",
                         text ? text : "its address");
        break;

    case X509_V_ERR_CERT_HAS_EXPIRED:
        p = ngx_slprintf(p, last, "TLS: the server's certificate has "
                         "expired");
        break;

    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        p = ngx_slprintf(p, last, "TLS: the issuer of the server's "
                         "certificate is unknown (%s)",
                         X509_verify_cert_error_string(rc));
        break;

    default:
        p = ngx_slprintf(p, last, "TLS: the server's certificate was not "
                         "accepted: %s", X509_verify_cert_error_string(rc));
    }

    *p = '\0';
}

#else

ngx_int_t
ngx_gw_redis_tls_configure(ngx_conf_t *cf, ngx_gw_redis_tls_t *tls)
{
    (void) tls;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"rediss\" in the store's URL needs an nginx that "
                       "was built with TLS (--with-http_ssl_module)");

    return NGX_ERROR;
}

#endif
