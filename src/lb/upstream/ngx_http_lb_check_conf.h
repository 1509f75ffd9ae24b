
/*
 * The directive lb_health_check.
 */


#ifndef NGX_HTTP_LB_CHECK_CONF_H
#define NGX_HTTP_LB_CHECK_CONF_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/balance/lb_expect.h"
#include "src/lb/ngx_http_lb.h"


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
    ngx_flag_t                    tcp;
    ngx_flag_t                    mandatory;
};


char *ngx_http_lb_health_check(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* whether servers that come are down until a check has passed */
ngx_uint_t ngx_http_lb_check_is_mandatory(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_CHECK_CONF_H */
