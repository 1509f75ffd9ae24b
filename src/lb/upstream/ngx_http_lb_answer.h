
/*
 * What becomes of an upstream's servers when a name has other addresses.
 */


#ifndef NGX_HTTP_LB_ANSWER_H
#define NGX_HTTP_LB_ANSWER_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/balance/lb_name.h"
#include "src/lb/ngx_http_lb.h"


struct ngx_http_lb_answer_s {
    lb_answer_t               answer;
    lb_line_t                *lines;    /* those of the answer */
    uint32_t                  left;     /* for want of room; afterwards */
};


/*
 * Makes servers of a name those of the answer, and logs what came and went.
 * With health checks a server that comes is down until one has passed, unless
 * it is of the first answer; those that go serve until another one can.
 * Mutex; then a build.
 */
void ngx_http_lb_answer(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_answer_t *answer);


#endif /* NGX_HTTP_LB_ANSWER_H */
