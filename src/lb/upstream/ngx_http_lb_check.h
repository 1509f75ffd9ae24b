
/*
 * Health checks inside nginx.  One worker of the machine, the leader, is
 * the checker: it has a timer for each server of
 * each upstream, and a connection for each probe that is under way.
 *
 *   ngx_http_lb_check_conf.c   the directive lb_health_check
 *   ngx_http_lb_check.c        the leader, the timers, results to the roster
 *   ngx_http_lb_probe.c        one probe: connect, send, read, in time
 */


#ifndef NGX_HTTP_LB_CHECK_H
#define NGX_HTTP_LB_CHECK_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/balance/lb_pace.h"
#include "src/core/balance/lb_probe.h"
#include "src/lb/ngx_http_lb.h"

#include <ngx_event_connect.h>


/* ms; what the lag of the event loop is measured by */
#define NGX_HTTP_LB_BEAT  50


/* lb_health_check */

struct ngx_http_lb_check_conf_s {
    ngx_msec_t                    interval;
    ngx_msec_t                    timeout;
    ngx_uint_t                    rise;
    ngx_uint_t                    fall;
    ngx_uint_t                    jitter;     /* per mille */
    ngx_uint_t                    port;       /* 0: the server's */
    ngx_uint_t                    given;      /* parameters, a bit each */
    ngx_str_t                     uri;
    ngx_str_t                     method;
    ngx_str_t                     host;
    ngx_str_t                     request;    /* what is sent; none for tcp */
    lb_expect_t                   expect;
    uint32_t                      probes_max; /* of a server at once */
    unsigned                      tcp:1;
    unsigned                      mandatory:1;
};


/* in shared memory: who makes the checks */

typedef struct {
    ngx_gw_leader_t               leader;
    _Atomic uint64_t              next;       /* numbers configurations */
    _Atomic uint64_t              config;     /* of those who may have it */
} ngx_http_lb_lead_t;


/* of one process, but for the lead */

struct ngx_http_lb_checker_s {
    ngx_http_lb_main_conf_t      *conf;
    ngx_http_lb_lead_t           *lead;
    uint64_t                      config;     /* number of this one */
    ngx_msec_t                    period;     /* of the tick */
    ngx_msec_t                    term;       /* of the leader */
    ngx_event_t                   tick;
    ngx_uint_t                    holds;      /* whether we are the checker */

    /* how much later than due the beats have come so far, ms */
    ngx_event_t                   beat;
    ngx_msec_t                    beat_due;
    ngx_msec_t                    lag;

    ngx_uint_t                    nopen;      /* probes under way */
    ngx_queue_t                   spare;
    time_t                        told_at;    /* of a check not made */

    /* nginx's words about a connection end here, not in a log */
    ngx_log_t                     log;
    ngx_err_t                     err;
    size_t                        said_len;
    u_char                        said[LB_REASON_MAX];

    ngx_connection_t              dummy;
};


/* a server to check; made when the process becomes the checker */

struct ngx_http_lb_target_s {
    ngx_http_lb_srv_conf_t       *conf;
    ngx_http_lb_checker_t        *checker;
    ngx_event_t                   timer;
    lb_pace_t                     pace;
    uint32_t                      index;
    uint32_t                      generation; /* of the slot */
    ngx_queue_t                   probes;     /* under way, */
    uint32_t                      nprobes;    /* without a verdict yet */
    unsigned                      running:1;
};


typedef struct {
    ngx_queue_t                   queue;      /* of the checker */
    ngx_http_lb_target_t         *target;
    ngx_connection_t             *connection;
    ngx_event_t                   timer;
    ngx_msec_t                    began;
    ngx_msec_t                    deadline;
    ngx_msec_t                    lag;        /* when deadline was set */
    ngx_uint_t                    graces;     /* how often that was moved */
    size_t                        sent;
    size_t                        received;
    unsigned                      connected:1;
    unsigned                      judged:1;   /* nobody waits for a result */
    unsigned                      shut:1;     /* nothing more is sent */
    lb_probe_t                    answer;
} ngx_http_lb_probe_t;


/*
 * Copies the identity of a target's server.  NGX_DECLINED: the server is
 * there no more.
 */
ngx_int_t ngx_http_lb_check_identity(ngx_http_lb_target_t *target,
    lb_identity_t *identity);

/* Enters the result of a probe; began is when it did.  The probe is over. */
void ngx_http_lb_check_result(ngx_http_lb_target_t *target,
    ngx_uint_t passed, ngx_str_t *reason, ngx_msec_t began);

/* The process stops being the checker: all probes end without a result. */
void ngx_http_lb_check_stop(ngx_http_lb_checker_t *checker);


/* Starts a probe of the target's server. */
void ngx_http_lb_probe_start(ngx_http_lb_target_t *target);

/* Ends all of the target's probes, without a result. */
void ngx_http_lb_probe_cancel(ngx_http_lb_target_t *target);

/* Leaves those that began before the given time without a result. */
void ngx_http_lb_probe_outrun(ngx_http_lb_target_t *target,
    ngx_msec_t began);

/* The timer by which the lag of the event loop is measured. */
void ngx_http_lb_probe_beat(ngx_event_t *ev);

/* What the checker's log does with a line: keeps it for the reason. */
void ngx_http_lb_probe_log(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len);


#endif /* NGX_HTTP_LB_CHECK_H */
