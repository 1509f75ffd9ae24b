
/*
 * The directive lb_resolve, and the names that an upstream has.
 */


#ifndef NGX_HTTP_LB_RESOLVE_CONF_H
#define NGX_HTTP_LB_RESOLVE_CONF_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/lb/upstream/ngx_http_lb_edit.h"


struct ngx_http_lb_name_s {
    ngx_http_lb_srv_conf_t   *conf;
    ngx_uint_t                number;   /* of the upstream's names */
    ngx_str_t                 text;     /* as servers show it */
    ngx_str_t                 host;
    ngx_str_t                 service;  /* empty: addresses are asked for */
    ngx_str_t                 route;    /* of a server line, or empty */
    in_port_t                 port;
    lb_line_t                 line;     /* its settings */
    ngx_flag_t                backup;
    ngx_flag_t                down;

    /* of the process that asks */
    ngx_resolver_ctx_t       *ctx;      /* while it is asked for */
    ngx_http_lb_edit_t       *edit;     /* while an answer is entered, */
    ngx_flag_t                waits;    /* or waits for its turn */
    ngx_event_t               timer;
    ngx_uint_t                failures; /* without a break */
    ngx_int_t                 told;     /* the error that the log has, or 0 */
    uint32_t                  left;     /* addresses without room, likewise */
};


char *ngx_http_lb_resolve(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Once all lines of the upstream are known: adds the names of server lines
 * with nginx's own "resolve", and sees to it that there is a resolver, and
 * nothing twice.
 */
ngx_int_t ngx_http_lb_resolve_init(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_RESOLVE_CONF_H */
