
/*
 * Processes that have died with requests under way, and what they held of the
 * servers and of the queue.
 */


#ifndef NGX_HTTP_LB_DEAD_H
#define NGX_HTTP_LB_DEAD_H


#include "src/lb/ngx_http_lb.h"


/* Gives back what dead processes held.  The mutex of the zone is held. */
void ngx_http_lb_dead_settle(ngx_http_lb_srv_conf_t *lcf);

/*
 * Looks whether there are any, and gives back what they held if the mutex is
 * free.  A system call for each other process.
 */
void ngx_http_lb_dead_look(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_DEAD_H */
