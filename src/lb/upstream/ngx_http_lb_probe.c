
/*
 * One probe: connect, send, read, judge, within its time.  The time counts
 * from connect; when it is over, the socket is looked at once more, and a
 * probe whose process was busy or stopped meanwhile gets that time back.
 *
 * When the verdict has been entered, the answer is read to its end and the
 * connection shut down in order, within the same time: to reset it would be
 * an error for the server.
 */


#include "src/lb/upstream/ngx_http_lb_check.h"

#include <poll.h>


#define NGX_HTTP_LB_PROBE_BUFFER  8192

/* buffers that are read in one pass of the event loop */
#define NGX_HTTP_LB_PROBE_READS   16

/* bytes after which the connection is closed, whatever comes */
#define NGX_HTTP_LB_PROBE_MAX     (LB_PROBE_HEADER_MAX + LB_PROBE_BODY_MAX)

/* how often a probe gets more time: a process may be busy without end */
#define NGX_HTTP_LB_PROBE_GRACES  3


static ngx_http_lb_probe_t *ngx_http_lb_probe_create(
    ngx_http_lb_target_t *target);
static void ngx_http_lb_probe_connected(ngx_http_lb_probe_t *probe,
    ngx_peer_connection_t *pc, ngx_int_t rc);
static void ngx_http_lb_probe_not_made(ngx_http_lb_probe_t *probe);
static void ngx_http_lb_probe_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_lb_probe_go(ngx_http_lb_probe_t *probe);
static ngx_int_t ngx_http_lb_probe_test(ngx_http_lb_probe_t *probe);
static ngx_int_t ngx_http_lb_probe_send(ngx_http_lb_probe_t *probe);
static ngx_int_t ngx_http_lb_probe_read(ngx_http_lb_probe_t *probe);
static ngx_int_t ngx_http_lb_probe_closed(ngx_http_lb_probe_t *probe,
    ssize_t n);
static ngx_int_t ngx_http_lb_probe_feed(ngx_http_lb_probe_t *probe,
    u_char *data, size_t size);
static void ngx_http_lb_probe_expire(ngx_event_t *ev);
static ngx_uint_t ngx_http_lb_probe_ready(ngx_connection_t *c);
static ngx_msec_t ngx_http_lb_probe_lag(ngx_http_lb_checker_t *checker);
static void ngx_http_lb_probe_failed(ngx_http_lb_probe_t *probe,
    const char *what, ngx_err_t err);
static void ngx_http_lb_probe_done(ngx_http_lb_probe_t *probe,
    ngx_uint_t passed, ngx_str_t *reason, ngx_uint_t read_on);
static void ngx_http_lb_probe_judged(ngx_http_lb_probe_t *probe);
static void ngx_http_lb_probe_end(ngx_http_lb_probe_t *probe);


void
ngx_http_lb_probe_start(ngx_http_lb_target_t *target)
{
    ngx_int_t               rc;
    ngx_str_t               name;
    lb_identity_t           identity;
    struct sockaddr        *sockaddr;
    ngx_http_lb_probe_t    *probe;
    ngx_peer_connection_t   pc;

    if (ngx_http_lb_check_identity(target, &identity) != NGX_OK) {
        return;
    }

    probe = ngx_http_lb_probe_create(target);
    if (probe == NULL) {
        return;
    }

    sockaddr = (struct sockaddr *) identity.address;

    if (target->conf->check->port && sockaddr->sa_family != AF_UNIX) {
        ngx_inet_set_port(sockaddr, (in_port_t) target->conf->check->port);
    }

    name.len = identity.name_length;
    name.data = (u_char *) identity.name;

    ngx_memzero(&pc, sizeof(ngx_peer_connection_t));

    pc.sockaddr = sockaddr;
    pc.socklen = identity.address_length;
    pc.name = &name;
    pc.get = ngx_event_get_peer;
    pc.log = &target->checker->log;
    pc.log_error = NGX_ERROR_ERR;

    target->checker->err = 0;

    rc = ngx_event_connect_peer(&pc);

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "lb check of %V in upstream \"%V\": %i, slot %uD",
                   &name, &target->conf->upstream->host, rc, target->index);

    ngx_http_lb_probe_connected(probe, &pc, rc);
}


void
ngx_http_lb_probe_cancel(ngx_http_lb_target_t *target)
{
    ngx_queue_t          *q;
    ngx_http_lb_probe_t  *probe;

    while (!ngx_queue_empty(&target->probes)) {
        q = ngx_queue_head(&target->probes);
        probe = ngx_queue_data(q, ngx_http_lb_probe_t, queue);

        ngx_http_lb_probe_end(probe);
    }
}


void
ngx_http_lb_probe_outrun(ngx_http_lb_target_t *target, ngx_msec_t began)
{
    ngx_queue_t          *q, *next;
    ngx_http_lb_probe_t  *probe;

    for (q = ngx_queue_head(&target->probes);
         q != ngx_queue_sentinel(&target->probes);
         q = next)
    {
        next = ngx_queue_next(q);
        probe = ngx_queue_data(q, ngx_http_lb_probe_t, queue);

        if (probe->judged
            || (ngx_msec_int_t) (probe->began - began) >= 0)
        {
            continue;
        }

        if (probe->sent == 0) {
            ngx_http_lb_probe_end(probe);

        } else {
            ngx_http_lb_probe_judged(probe);
        }
    }
}


/*
 * A line reads "TIME [LEVEL] PID#TID: MESSAGE (ERRNO: TEXT)".  What is wrong
 * with a server is told when it goes down, what is wrong with this process
 * at once.
 */

void
ngx_http_lb_probe_log(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len)
{
    u_char                 *p, *text, *last, *colon;
    ngx_int_t               err;
    ngx_http_lb_checker_t  *checker;

    checker = log->wdata;
    last = buf + len;

    text = ngx_strlchr(buf, last, '#');
    text = text ? ngx_strlchr(text, last, ' ') : NULL;
    text = text ? text + 1 : buf;

    while (last > text && (last[-1] == LF || last[-1] == CR)) {
        last--;
    }

    checker->said_len = ngx_min((size_t) (last - text), LB_REASON_MAX);
    ngx_memcpy(checker->said, text, checker->said_len);

    checker->err = 0;

    for (p = last; p > text && p[-1] != '('; p--) { /* void */ }

    colon = ngx_strlchr(p, last, ':');
    err = colon ? ngx_atoi(p, colon - p) : NGX_ERROR;

    if (err != NGX_ERROR) {
        checker->err = err;
    }
}


static ngx_http_lb_probe_t *
ngx_http_lb_probe_create(ngx_http_lb_target_t *target)
{
    ngx_queue_t            *q;
    ngx_http_lb_probe_t    *probe;
    ngx_http_lb_checker_t  *checker;

    checker = target->checker;

    if (ngx_queue_empty(&checker->spare)) {
        probe = ngx_palloc(ngx_cycle->pool, sizeof(ngx_http_lb_probe_t));
        if (probe == NULL) {
            return NULL;
        }

    } else {
        q = ngx_queue_head(&checker->spare);
        ngx_queue_remove(q);

        probe = ngx_queue_data(q, ngx_http_lb_probe_t, queue);
    }

    if (!checker->beat.timer_set) {
        checker->beat_due = ngx_current_msec + NGX_HTTP_LB_BEAT;
        ngx_add_timer(&checker->beat, NGX_HTTP_LB_BEAT);
    }

    ngx_memzero(probe, sizeof(ngx_http_lb_probe_t));

    ngx_queue_insert_tail(&target->probes, &probe->queue);
    target->nprobes++;
    checker->nopen++;

    probe->target = target;
    probe->began = ngx_current_msec;
    probe->deadline = ngx_current_msec + target->conf->check->timeout;
    probe->lag = ngx_http_lb_probe_lag(checker);

    probe->timer.handler = ngx_http_lb_probe_expire;
    probe->timer.data = &checker->dummy;
    probe->timer.log = ngx_cycle->log;
    probe->timer.cancelable = 1;

    lb_probe_start(&probe->answer, &target->conf->check->expect);

    return probe;
}


static void
ngx_http_lb_probe_connected(ngx_http_lb_probe_t *probe,
    ngx_peer_connection_t *pc, ngx_int_t rc)
{
    ngx_err_t          err;
    ngx_connection_t  *c;

    if (rc == NGX_DECLINED) {
        err = probe->target->checker->err;

        /* no port or no memory is left here: the server was not asked */

        if (ngx_http_lb_error_is_local(err)) {
            ngx_http_lb_probe_not_made(probe);

        } else {
            ngx_http_lb_probe_failed(probe, "connect() failed", err);
        }

        return;
    }

    c = pc->connection;
    probe->connection = c;

    if ((rc != NGX_OK && rc != NGX_AGAIN) || c == NULL) {
        ngx_http_lb_probe_not_made(probe);
        return;
    }

    /* closed by nginx when the worker exits */

    c->idle = 1;
    c->data = probe;
    c->read->handler = ngx_http_lb_probe_handler;
    c->write->handler = ngx_http_lb_probe_handler;

    ngx_add_timer(&probe->timer, probe->target->conf->check->timeout);

    if (rc == NGX_OK) {
        (void) ngx_http_lb_probe_go(probe);
    }
}


/* that is no failure of the server; the next time will tell */

static void
ngx_http_lb_probe_not_made(ngx_http_lb_probe_t *probe)
{
    ngx_str_t               said;
    ngx_http_lb_checker_t  *checker;

    checker = probe->target->checker;

    if (checker->told_at != ngx_time()) {
        checker->told_at = ngx_time();

        said.len = checker->said_len;
        said.data = checker->said;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "lb: checks of upstream \"%V\" cannot be made: %V",
                      &probe->target->conf->upstream->host, &said);
    }

    ngx_http_lb_probe_end(probe);
}


static void
ngx_http_lb_probe_handler(ngx_event_t *ev)
{
    ngx_connection_t     *c;
    ngx_http_lb_probe_t  *probe;

    c = ev->data;
    probe = c->data;

    if (c->close) {
        ngx_http_lb_check_stop(probe->target->checker);
        return;
    }

    (void) ngx_http_lb_probe_go(probe);
}


/* NGX_DONE: the probe is over; NGX_AGAIN: it is not */

static ngx_int_t
ngx_http_lb_probe_go(ngx_http_lb_probe_t *probe)
{
    if (!probe->connected) {

        if (ngx_http_lb_probe_test(probe) != NGX_OK) {
            return NGX_DONE;
        }

        probe->connected = 1;
    }

    if (probe->target->conf->check->tcp) {
        ngx_http_lb_probe_done(probe, 1, NULL, 0);
        return NGX_DONE;
    }

    if (!probe->judged && ngx_http_lb_probe_send(probe) != NGX_OK) {
        return NGX_DONE;
    }

    return ngx_http_lb_probe_read(probe);
}


static ngx_int_t
ngx_http_lb_probe_test(ngx_http_lb_probe_t *probe)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    if (getsockopt(probe->connection->fd, SOL_SOCKET, SO_ERROR,
                   (void *) &err, &len)
        == -1)
    {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_http_lb_probe_failed(probe, "connect() failed", err);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_probe_send(ngx_http_lb_probe_t *probe)
{
    ssize_t            n;
    ngx_str_t         *request;
    ngx_connection_t  *c;

    c = probe->connection;
    request = &probe->target->conf->check->request;

    while (probe->sent < request->len) {
        n = c->send(c, request->data + probe->sent,
                    request->len - probe->sent);

        if (n == NGX_AGAIN || n == 0) {
            break;
        }

        if (n == NGX_ERROR) {
            ngx_http_lb_probe_failed(probe, "send() failed",
                                     probe->target->checker->err);
            return NGX_ERROR;
        }

        probe->sent += n;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_http_lb_probe_not_made(probe);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_probe_read(ngx_http_lb_probe_t *probe)
{
    ssize_t            n;
    ngx_int_t          rc;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    static u_char  buffer[NGX_HTTP_LB_PROBE_BUFFER];

    c = probe->connection;

    for (i = 0; i < NGX_HTTP_LB_PROBE_READS; i++) {
        n = c->recv(c, buffer, NGX_HTTP_LB_PROBE_BUFFER);

        if (n == NGX_AGAIN) {

            if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
                ngx_http_lb_probe_not_made(probe);
                return NGX_DONE;
            }

            return NGX_AGAIN;
        }

        if (n <= 0) {
            return ngx_http_lb_probe_closed(probe, n);
        }

        rc = ngx_http_lb_probe_feed(probe, buffer, n);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    /* others are to have their turn */

    ngx_post_event(c->read, &ngx_posted_next_events);

    return NGX_AGAIN;
}


/* the server has closed the connection, or reset it */

static ngx_int_t
ngx_http_lb_probe_closed(ngx_http_lb_probe_t *probe, ssize_t n)
{
    ngx_str_t     reason;
    lb_verdict_t  verdict;

    if (probe->judged) {
        ngx_http_lb_probe_end(probe);
        return NGX_DONE;
    }

    if (n == NGX_ERROR) {
        ngx_http_lb_probe_failed(probe, "recv() failed",
                                 probe->target->checker->err);
        return NGX_DONE;
    }

    verdict = lb_probe_end(&probe->answer);

    reason.data = (u_char *) lb_probe_reason(&probe->answer);
    reason.len = ngx_strlen(reason.data);

    ngx_http_lb_probe_done(probe, verdict == LB_PROBE_PASS, &reason, 0);

    return NGX_DONE;
}


/* NGX_OK: read on */

static ngx_int_t
ngx_http_lb_probe_feed(ngx_http_lb_probe_t *probe, u_char *data, size_t size)
{
    ngx_str_t          reason;
    lb_verdict_t       verdict;
    ngx_connection_t  *c;

    c = probe->connection;

    verdict = lb_probe_feed(&probe->answer, data, size);

    probe->received += size;

    if (lb_probe_over(&probe->answer) && !probe->shut) {
        probe->shut = 1;

        if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
            ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, ngx_socket_errno,
                           "lb check: shutdown() failed");
        }
    }

    if (probe->judged || verdict == LB_PROBE_MORE) {

        if (probe->received > NGX_HTTP_LB_PROBE_MAX) {
            ngx_http_lb_probe_end(probe);
            return NGX_DONE;
        }

        return NGX_OK;
    }

    reason.data = (u_char *) lb_probe_reason(&probe->answer);
    reason.len = ngx_strlen(reason.data);

    ngx_post_event(c->read, &ngx_posted_next_events);

    /* without a timer there is no time left to read on */

    ngx_http_lb_probe_done(probe, verdict == LB_PROBE_PASS, &reason,
                           probe->timer.timer_set);
    return NGX_DONE;
}


static void
ngx_http_lb_probe_expire(ngx_event_t *ev)
{
    ngx_msec_t            lag, now;
    uint64_t              grace;
    ngx_connection_t     *c;
    ngx_http_lb_probe_t  *probe;

    probe = ngx_queue_data(ev, ngx_http_lb_probe_t, timer);
    c = probe->connection;

    if (probe->judged) {
        ngx_http_lb_probe_end(probe);
        return;
    }

    if (ngx_http_lb_probe_ready(c)) {
        c->read->available = -1;

        if (ngx_http_lb_probe_go(probe) == NGX_DONE) {
            return;
        }
    }

    /* the process may have been stopped since it last looked at the clock */

    ngx_time_update();

    now = ngx_current_msec;
    lag = ngx_http_lb_probe_lag(probe->target->checker);

    grace = lb_pace_grace(now - probe->deadline, lag - probe->lag);

    if (grace && probe->graces++ < NGX_HTTP_LB_PROBE_GRACES) {
        ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                       "lb check %p gets %M ms more", probe,
                       (ngx_msec_t) grace);

        probe->deadline = now + grace;
        probe->lag = lag;

        ngx_add_timer(ev, (ngx_msec_t) grace);
        return;
    }

    ngx_http_lb_probe_failed(probe, "timed out", NGX_ETIMEDOUT);
}


/* the event may be there, but in a part of the queue not looked at yet */

static ngx_uint_t
ngx_http_lb_probe_ready(ngx_connection_t *c)
{
    struct pollfd  pfd;

    pfd.fd = c->fd;
    pfd.events = POLLIN|POLLOUT;
    pfd.revents = 0;

    return poll(&pfd, 1, 0) == 1;
}


/* goes on as long as there are probes whose time it measures */

void
ngx_http_lb_probe_beat(ngx_event_t *ev)
{
    ngx_http_lb_checker_t  *checker;

    checker = ngx_queue_data(ev, ngx_http_lb_checker_t, beat);

    checker->lag += ngx_current_msec - checker->beat_due;

    if (checker->nopen) {
        checker->beat_due = ngx_current_msec + NGX_HTTP_LB_BEAT;
        ngx_add_timer(ev, NGX_HTTP_LB_BEAT);
    }
}


/* of all beats so far, and of the one that may be overdue */

static ngx_msec_t
ngx_http_lb_probe_lag(ngx_http_lb_checker_t *checker)
{
    ngx_msec_int_t  over;

    over = 0;

    if (checker->beat.timer_set) {
        over = (ngx_msec_int_t) (ngx_current_msec - checker->beat_due);
    }

    return checker->lag + ngx_max(over, 0);
}


static void
ngx_http_lb_probe_failed(ngx_http_lb_probe_t *probe, const char *what,
    ngx_err_t err)
{
    u_char     *p;
    u_char      text[LB_REASON_MAX];
    ngx_str_t   reason;

    p = ngx_snprintf(text, LB_REASON_MAX - 1, "%s (%d: ", what, err);
    p = ngx_strerror(err, p, text + LB_REASON_MAX - 1 - p);
    *p++ = ')';

    reason.data = text;
    reason.len = p - text;

    ngx_http_lb_probe_done(probe, 0, &reason, 0);
}


/* enters the result, which may be the end of all probes: nothing may follow */

static void
ngx_http_lb_probe_done(ngx_http_lb_probe_t *probe, ngx_uint_t passed,
    ngx_str_t *reason, ngx_uint_t read_on)
{
    u_char                 text[LB_REASON_MAX];
    ngx_str_t              why;
    ngx_msec_t             began;
    ngx_uint_t             judged;
    ngx_http_lb_target_t  *target;

    target = probe->target;
    began = probe->began;
    judged = probe->judged;

    why.len = reason ? ngx_min(reason->len, LB_REASON_MAX) : 0;
    why.data = text;

    if (why.len) {
        ngx_memcpy(text, reason->data, why.len);
    }

    if (read_on) {
        ngx_http_lb_probe_judged(probe);

    } else {
        ngx_http_lb_probe_end(probe);
    }

    if (!judged) {
        ngx_http_lb_check_result(target, passed, &why, began);
    }
}


/* its result has been entered, or is not asked for any more */

static void
ngx_http_lb_probe_judged(ngx_http_lb_probe_t *probe)
{
    probe->judged = 1;
    probe->target->nprobes--;
}


static void
ngx_http_lb_probe_end(ngx_http_lb_probe_t *probe)
{
    ngx_http_lb_checker_t  *checker;

    checker = probe->target->checker;

    if (probe->timer.timer_set) {
        ngx_del_timer(&probe->timer);
    }

    if (probe->connection) {
        ngx_close_connection(probe->connection);
        probe->connection = NULL;
    }

    if (!probe->judged) {
        ngx_http_lb_probe_judged(probe);
    }

    checker->nopen--;

    ngx_queue_remove(&probe->queue);
    ngx_queue_insert_head(&checker->spare, &probe->queue);
}
