
/*
 * The directive lb_health_check.
 */


#ifndef NGX_HTTP_LB_CHECK_CONF_H
#define NGX_HTTP_LB_CHECK_CONF_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/balance/lb_expect.h"
#include "src/lb/ngx_http_lb.h"


/* what a check is made by, a bit each */

#define NGX_HTTP_LB_CHECK_HTTP   0x1
#define NGX_HTTP_LB_CHECK_HTTPS  0x2
#define NGX_HTTP_LB_CHECK_TCP    0x4
#define NGX_HTTP_LB_CHECK_GRPC   0x8


/* lb_health_check */

struct ngx_http_lb_check_conf_s {
    ngx_msec_t                    interval;
    ngx_msec_t                    timeout;
    ngx_uint_t                    rise;
    ngx_uint_t                    fall;
    ngx_uint_t                    jitter;     /* per mille */
    ngx_uint_t                    port;       /* 0: the server's */
    ngx_str_t                     uri;
    ngx_str_t                     method;
    ngx_str_t                     host;
    ngx_str_t                     request;    /* what is sent; none for tcp */
    lb_expect_t                   expect;
    uint32_t                      probes_max; /* of a server at once */
    ngx_uint_t                    kind;       /* NGX_HTTP_LB_CHECK_HTTP ... */
    ngx_flag_t                    mandatory;
    ngx_array_t                  *headers;    /* ngx_keyval_t, or NULL */
    ngx_str_t                     service;    /* of grpc; empty: the server */
    ngx_str_t                     tls_name;
    ngx_str_t                     tls_ca;     /* empty: nothing is verified */
    ngx_str_t                     host_name;  /* without port; has a NUL */
    ngx_str_t                     sni;        /* likewise; empty: none */
    ngx_flag_t                    tls;
#if (NGX_HTTP_SSL)
    ngx_ssl_t                     ssl;
#endif
};


char *ngx_http_lb_health_check(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* whether servers that come are down until a check has passed */
ngx_uint_t ngx_http_lb_check_is_mandatory(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_CHECK_CONF_H */
