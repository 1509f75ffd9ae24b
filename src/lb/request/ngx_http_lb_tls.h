
/*
 * What two connections over TLS must have in common for one to be as good as
 * the other, and for the session of one to be resumed by the other.
 */


#ifndef NGX_HTTP_LB_TLS_H
#define NGX_HTTP_LB_TLS_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

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


/* What a request's connection is; valid as long as the request. */
ngx_int_t ngx_http_lb_tls(ngx_http_request_t *r, ngx_http_lb_tls_t *tls);

ngx_uint_t ngx_http_lb_tls_equal(const ngx_http_lb_tls_t *one,
    const ngx_http_lb_tls_t *two);

/*
 * A digest of size bytes (32 at most) of what it is and of one text more;
 * equal in all processes and configurations.  NGX_DECLINED: its settings
 * could not be told.
 */
ngx_int_t ngx_http_lb_tls_digest(const ngx_http_lb_tls_t *tls,
    const ngx_str_t *text, u_char *digest, size_t size);

/* The bytes of its texts, and moving them to a place with room for them. */
size_t ngx_http_lb_tls_size(const ngx_http_lb_tls_t *tls);
void ngx_http_lb_tls_move(ngx_http_lb_tls_t *tls, u_char *to);

#endif


#endif /* NGX_HTTP_LB_TLS_H */
