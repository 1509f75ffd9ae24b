
/*
 * Server lines as the core wants them.
 */


#ifndef NGX_HTTP_LB_LINE_H
#define NGX_HTTP_LB_LINE_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/balance/lb_entry.h"
#include "src/lb/ngx_http_lb.h"


/*
 * Those of the configuration, into lcf, one for each address.  Logs what is
 * wrong.
 */
ngx_int_t ngx_http_lb_line_init(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf);

/* Sets what a server line says of its servers. */
void ngx_http_lb_line_settings(ngx_http_upstream_server_t *server,
    lb_line_t *line);

/*
 * Sets name and address of a line, and its id: the route of a server line, or
 * the MD5 of the address as text, which is put into memory of pool.
 */
ngx_int_t ngx_http_lb_line_set(ngx_pool_t *pool, lb_line_t *line,
    ngx_addr_t *addr, ngx_str_t *route);

/*
 * Sets name and address of a line from text in memory of pool: NGX_OK;
 * NGX_DECLINED and why in *reason.  Names are not looked up.
 */
ngx_int_t ngx_http_lb_line_address(ngx_pool_t *pool, ngx_str_t *text,
    lb_line_t *line, const char **reason);

/* What a line is to be when JSON has said so much of it. */
void ngx_http_lb_line_entry(const lb_entry_t *entry, lb_line_t *line);


#endif /* NGX_HTTP_LB_LINE_H */
