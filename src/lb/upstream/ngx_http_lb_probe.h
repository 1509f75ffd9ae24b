
/*
 * One probe of a server: connect, send, read, judge, within its time.
 *
 * The time counts from connect; when it is over, the socket is looked at once
 * more, and a probe whose process was busy or stopped meanwhile gets that time
 * back.
 *
 * When the verdict has been told, the answer is read to its end and the
 * connection shut down in order, within the same time: to reset it would be
 * an error for the server.
 */


#ifndef NGX_HTTP_LB_PROBE_H
#define NGX_HTTP_LB_PROBE_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/balance/lb_roster.h"
#include "src/lb/upstream/ngx_http_lb_check_conf.h"
#include "src/lb/upstream/ngx_http_lb_prober.h"


typedef struct ngx_http_lb_probed_s  ngx_http_lb_probed_t;


/* a server, and its probes; all but the last three are set by who has it */

struct ngx_http_lb_probed_s {
    ngx_http_lb_prober_t         *prober;
    ngx_http_lb_check_conf_t     *check;
    ngx_str_t                    *upstream;   /* its name, for the log */

    /*
     * Told of each result; began is when its probe did.  May end all probes:
     * nothing is done with them afterwards.
     */
    void                        (*result)(ngx_http_lb_probed_t *probed,
                                          ngx_uint_t passed,
                                          ngx_str_t *reason,
                                          ngx_msec_t began);

    ngx_queue_t                   probes;     /* under way, */
    uint32_t                      nprobes;    /* without a verdict yet */
    ngx_uint_t                    asked;      /* the last one's request went */
};


/* Starts a probe of the server, at the address of its identity. */
void ngx_http_lb_probe_start(ngx_http_lb_probed_t *probed,
    lb_identity_t *identity);

/* Ends all of the server's probes, without a result. */
void ngx_http_lb_probe_cancel(ngx_http_lb_probed_t *probed);

/* Leaves those that began before the given time without a result. */
void ngx_http_lb_probe_supersede(ngx_http_lb_probed_t *probed,
    ngx_msec_t began);


#endif /* NGX_HTTP_LB_PROBE_H */
