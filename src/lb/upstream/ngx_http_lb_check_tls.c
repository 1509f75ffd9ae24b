
/*
 * Health checks over TLS.
 *
 * A check is no stricter than the proxy: it offers what nginx's proxy offers,
 * and looks at certificates only if it is told which ones to trust.
 */


#include "src/lb/upstream/ngx_http_lb_check_tls.h"


ngx_uint_t
ngx_http_lb_check_tls_is_address(ngx_str_t *name)
{
#if (NGX_HAVE_INET6)
    u_char  ipv6[16];

    if (ngx_inet6_addr(name->data, name->len, ipv6) == NGX_OK) {
        return 1;
    }
#endif

    return ngx_inet_addr(name->data, name->len) != INADDR_NONE;
}


#if (NGX_HTTP_SSL)


#define NGX_HTTP_LB_CHECK_TLS_DEPTH  10      /* certificates in a chain */


ngx_int_t
ngx_http_lb_check_tls_init(ngx_conf_t *cf, ngx_http_lb_check_conf_t *check)
{
    ngx_pool_cleanup_t  *cln;

    static const u_char  h2[] = "\x02h2";

    check->ssl.log = cf->log;

    if (ngx_ssl_create(&check->ssl, NGX_SSL_TLSv1|NGX_SSL_TLSv1_1
                                    |NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(&check->ssl);
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = &check->ssl;

    if (check->tls_ca.len
        && ngx_ssl_trusted_certificate(cf, &check->ssl, &check->tls_ca,
                                       NGX_HTTP_LB_CHECK_TLS_DEPTH)
           != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "certificates of \"%V\" cannot be read, "
                           "\"tls_ca\" in \"lb_health_check\"",
                           &check->tls_ca);
        return NGX_ERROR;
    }

    if (check->kind == NGX_HTTP_LB_CHECK_GRPC
        && SSL_CTX_set_alpn_protos(check->ssl.ctx, h2, 3) != 0)
    {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_alpn_protos() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_lb_check_tls_open(ngx_http_lb_check_conf_t *check,
    ngx_connection_t *c)
{
    int                 ok;
    char               *name;
    X509_VERIFY_PARAM  *param;

    if (ngx_ssl_create_connection(&check->ssl, c, NGX_SSL_CLIENT) != NGX_OK) {
        return NGX_ERROR;
    }

    c->sendfile = 0;

    if (check->sni.len
        && SSL_set_tlsext_host_name(c->ssl->connection,
                                    (char *) check->sni.data)
           == 0)
    {
        return NGX_ERROR;
    }

    if (check->tls_ca.len == 0) {
        return NGX_OK;
    }

    param = SSL_get0_param(c->ssl->connection);
    name = (char *) check->host_name.data;

    if (ngx_http_lb_check_tls_is_address(&check->host_name)) {
        ok = X509_VERIFY_PARAM_set1_ip_asc(param, name);

    } else {
        ok = X509_VERIFY_PARAM_set1_host(param, name, 0);
    }

    return ok ? NGX_OK : NGX_ERROR;
}


const char *
ngx_http_lb_check_tls_verify(ngx_http_lb_check_conf_t *check,
    ngx_connection_t *c)
{
    long  rc;

    if (check->tls_ca.len == 0) {
        return NULL;
    }

    rc = SSL_get_verify_result(c->ssl->connection);

    return (rc == X509_V_OK) ? NULL : X509_verify_cert_error_string(rc);
}


/* a notice of the end that does not fit is left out */

void
ngx_http_lb_check_tls_close(ngx_connection_t *c)
{
    if (c->ssl == NULL) {
        return;
    }

    c->ssl->no_wait_shutdown = 1;

    if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
        c->ssl->no_send_shutdown = 1;
        (void) ngx_ssl_shutdown(c);
    }
}


#else


ngx_int_t
ngx_http_lb_check_tls_init(ngx_conf_t *cf, ngx_http_lb_check_conf_t *check)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"lb_health_check\" over TLS needs an nginx that was "
                       "built with --with-http_ssl_module");

    return NGX_ERROR;
}


ngx_int_t
ngx_http_lb_check_tls_open(ngx_http_lb_check_conf_t *check,
    ngx_connection_t *c)
{
    return NGX_ERROR;
}


const char *
ngx_http_lb_check_tls_verify(ngx_http_lb_check_conf_t *check,
    ngx_connection_t *c)
{
    return NULL;
}


void
ngx_http_lb_check_tls_close(ngx_connection_t *c)
{
    /* void */
}


#endif
