
/*
 * What all probes of a process share: the lag of its event loop, and what
 * nginx has to say about their connections.
 */


#ifndef NGX_HTTP_LB_PROBER_H
#define NGX_HTTP_LB_PROBER_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "src/core/balance/lb_roster.h"


typedef struct {
    /* how much later than due the beats have come so far, ms */
    ngx_event_t                   beat;
    ngx_msec_t                    beat_due;
    ngx_msec_t                    lag;

    ngx_uint_t                    nopen;      /* probes under way */
    ngx_queue_t                   spare;
    time_t                        reported_at;   /* of a probe not made */

    /* nginx's words about a connection end here, not in a log */
    ngx_log_t                     log;
    ngx_err_t                     err;
    size_t                        message_len;
    u_char                        message[LB_REASON_MAX];

    ngx_connection_t              dummy;
} ngx_http_lb_prober_t;


/* Makes a process ready to probe. */
void ngx_http_lb_prober_init(ngx_http_lb_prober_t *prober,
    ngx_cycle_t *cycle);

/* Sees to it that the lag is measured; a probe has begun. */
void ngx_http_lb_prober_start(ngx_http_lb_prober_t *prober);

/* How much later than due all beats so far have come, and the next one is. */
ngx_msec_t ngx_http_lb_prober_lag(ngx_http_lb_prober_t *prober);


#endif /* NGX_HTTP_LB_PROBER_H */
