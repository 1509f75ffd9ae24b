
/*
 * The ring of an upstream with "lb hash KEY ketama" or "lb ip_hash", of this
 * process.
 */


#ifndef NGX_HTTP_LB_RING_H
#define NGX_HTTP_LB_RING_H


#include "src/lb/ngx_http_lb.h"


/*
 * Makes the ring again if servers have come or gone since; without memory for
 * it, the old one stays.
 */
void ngx_http_lb_ring(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_RING_H */
