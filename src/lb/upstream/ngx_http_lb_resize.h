
/*
 * A zone that has another size after a reload.
 */


#ifndef NGX_HTTP_LB_RESIZE_H
#define NGX_HTTP_LB_RESIZE_H


#include "src/lb/ngx_http_lb.h"


/*
 * Sets lcf->nservers, the slots that a zone must have for the lines, the
 * state file and, at a reload, the servers that there are: old or NULL.
 */
ngx_int_t ngx_http_lb_resize_plan(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    lb_roster_t *old);

/* The old zone is to be replaced: NGX_OK, or NGX_ERROR for want of room. */
ngx_int_t ngx_http_lb_resize_begin(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_srv_conf_t *old);

/* It is, by the new one, which nobody else has yet. */
void ngx_http_lb_resize_end(ngx_http_lb_srv_conf_t *lcf, lb_roster_t *old);


#endif /* NGX_HTTP_LB_RESIZE_H */
