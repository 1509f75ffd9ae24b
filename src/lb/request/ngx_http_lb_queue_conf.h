
/*
 * The directive lb_queue.
 */


#ifndef NGX_HTTP_LB_QUEUE_CONF_H
#define NGX_HTTP_LB_QUEUE_CONF_H


#include "src/lb/ngx_http_lb.h"


/* The directive "lb_queue". */
char *ngx_http_lb_queue(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Once all upstreams are known: finds those that are named, and notes which
 * ones need a queue.  NGX_OK, or NGX_ERROR after a line in the log.
 */
ngx_int_t ngx_http_lb_queue_init(ngx_conf_t *cf,
    ngx_http_lb_main_conf_t *lmcf);

/* The queue in which a request of that upstream waits: *queue, or NULL. */
ngx_int_t ngx_http_lb_queue_find(ngx_http_request_t *r,
    ngx_http_lb_srv_conf_t *lcf, ngx_http_lb_queue_t **queue);


#endif /* NGX_HTTP_LB_QUEUE_CONF_H */
