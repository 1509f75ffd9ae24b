
/*
 * What all probes of a process share.
 */


#include "src/lb/upstream/ngx_http_lb_prober.h"


/* ms; what the lag of the event loop is measured by */
#define NGX_HTTP_LB_PROBER_BEAT  50


static void ngx_http_lb_prober_log(ngx_log_t *log, ngx_uint_t level,
    u_char *buf, size_t len);
static void ngx_http_lb_prober_beat(ngx_event_t *ev);


void
ngx_http_lb_prober_init(ngx_http_lb_prober_t *prober, ngx_cycle_t *cycle)
{
    ngx_queue_init(&prober->spare);

    prober->dummy.fd = (ngx_socket_t) -1;

    prober->log.log_level = NGX_LOG_INFO;
    prober->log.writer = ngx_http_lb_prober_log;
    prober->log.wdata = prober;

    prober->beat.handler = ngx_http_lb_prober_beat;
    prober->beat.data = &prober->dummy;
    prober->beat.log = cycle->log;
    prober->beat.cancelable = 1;
}


/*
 * A line reads "TIME [LEVEL] PID#TID: MESSAGE (ERRNO: TEXT)".  What is wrong
 * with a server is told when it goes down, what is wrong with this process
 * at once.
 */

static void
ngx_http_lb_prober_log(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len)
{
    u_char                 *p, *text, *last, *colon;
    ngx_int_t               err;
    ngx_http_lb_prober_t  *prober;

    prober = log->wdata;
    last = buf + len;

    text = ngx_strlchr(buf, last, '#');
    text = text ? ngx_strlchr(text, last, ' ') : NULL;
    text = text ? text + 1 : buf;

    while (last > text && (last[-1] == LF || last[-1] == CR)) {
        last--;
    }

    prober->message_len = ngx_min((size_t) (last - text), LB_REASON_MAX);
    ngx_memcpy(prober->message, text, prober->message_len);

    prober->err = 0;

    for (p = last; p > text && p[-1] != '('; p--) { /* void */ }

    colon = ngx_strlchr(p, last, ':');
    err = colon ? ngx_atoi(p, colon - p) : NGX_ERROR;

    if (err != NGX_ERROR) {
        prober->err = err;
    }
}


void
ngx_http_lb_prober_start(ngx_http_lb_prober_t *prober)
{
    if (!prober->beat.timer_set) {
        prober->beat_due = ngx_current_msec + NGX_HTTP_LB_PROBER_BEAT;
        ngx_add_timer(&prober->beat, NGX_HTTP_LB_PROBER_BEAT);
    }
}


/* goes on as long as there are probes whose time it measures */

static void
ngx_http_lb_prober_beat(ngx_event_t *ev)
{
    ngx_http_lb_prober_t  *prober;

    prober = ngx_queue_data(ev, ngx_http_lb_prober_t, beat);

    prober->lag += ngx_current_msec - prober->beat_due;

    if (prober->nopen) {
        prober->beat_due = ngx_current_msec + NGX_HTTP_LB_PROBER_BEAT;
        ngx_add_timer(ev, NGX_HTTP_LB_PROBER_BEAT);
    }
}


ngx_msec_t
ngx_http_lb_prober_lag(ngx_http_lb_prober_t *prober)
{
    ngx_msec_int_t  over;

    over = 0;

    if (prober->beat.timer_set) {
        over = (ngx_msec_int_t) (ngx_current_msec - prober->beat_due);
    }

    return prober->lag + ngx_max(over, 0);
}
