
/*
 * Probes: connections of their own, timers, and what an answer is found to be.
 */


#include "src/lb/upstream/ngx_http_lb_probe.h"

#include "src/core/balance/lb_grpc.h"
#include "src/core/balance/lb_pace.h"
#include "src/core/balance/lb_probe.h"
#include "src/lb/upstream/ngx_http_lb_check_tls.h"
#include "src/lb/upstream/ngx_http_lb_error.h"

#include <ngx_event_connect.h>
#include <poll.h>


#define NGX_HTTP_LB_PROBE_BUFFER  8192

/* buffers that are read in one pass of the event loop */
#define NGX_HTTP_LB_PROBE_READS   16

/* bytes after which the connection is closed, whatever comes */
#define NGX_HTTP_LB_PROBE_MAX     (LB_PROBE_HEADER_MAX + LB_PROBE_BODY_MAX)

/* bytes of the pool of a probe over TLS */
#define NGX_HTTP_LB_PROBE_POOL    1024

/* how often a probe gets more time: a process may be busy without end */
#define NGX_HTTP_LB_PROBE_GRACES  3


typedef struct {
    ngx_queue_t                   queue;      /* of the server, or spare */
    ngx_http_lb_probed_t         *probed;
    ngx_connection_t             *connection;
    ngx_event_t                   timer;
    ngx_msec_t                    began;
    ngx_msec_t                    deadline;
    ngx_msec_t                    lag;        /* when deadline was set */
    ngx_uint_t                    graces;     /* how often that was moved */
    size_t                        sent;
    size_t                        received;
    ngx_pool_t                   *pool;       /* of TLS and gRPC, or NULL */
    lb_grpc_t                    *grpc;       /* its answer, or NULL */
    unsigned                      connected:1;
    unsigned                      secure:1;   /* the handshake has been made */
    unsigned                      judged:1;   /* nobody waits for a result */
    unsigned                      shut:1;     /* nothing more is sent */
    lb_probe_t                    answer;     /* of http and https */
} ngx_http_lb_probe_t;


static ngx_http_lb_probe_t *ngx_http_lb_probe_create(
    ngx_http_lb_probed_t *probed);
static void ngx_http_lb_probe_connected(ngx_http_lb_probe_t *probe,
    ngx_peer_connection_t *pc, ngx_int_t rc);
static void ngx_http_lb_probe_not_made(ngx_http_lb_probe_t *probe);
static void ngx_http_lb_probe_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_lb_probe_go(ngx_http_lb_probe_t *probe);
static ngx_int_t ngx_http_lb_probe_test(ngx_http_lb_probe_t *probe);
#if (NGX_HTTP_SSL)
static ngx_int_t ngx_http_lb_probe_handshake(ngx_http_lb_probe_t *probe);
static void ngx_http_lb_probe_handshaken(ngx_connection_t *c);
static ngx_int_t ngx_http_lb_probe_secured(ngx_http_lb_probe_t *probe);
#endif
static ngx_int_t ngx_http_lb_probe_send(ngx_http_lb_probe_t *probe);
static ngx_int_t ngx_http_lb_probe_read(ngx_http_lb_probe_t *probe);
static ngx_int_t ngx_http_lb_probe_closed(ngx_http_lb_probe_t *probe,
    ssize_t n);
static ngx_int_t ngx_http_lb_probe_frames(ngx_http_lb_probe_t *probe,
    u_char *data, size_t size);
static ngx_int_t ngx_http_lb_probe_feed(ngx_http_lb_probe_t *probe,
    u_char *data, size_t size);
static void ngx_http_lb_probe_expire(ngx_event_t *ev);
static ngx_uint_t ngx_http_lb_probe_ready(ngx_connection_t *c);
static void ngx_http_lb_probe_failed(ngx_http_lb_probe_t *probe,
    const char *what, ngx_err_t err);
static void ngx_http_lb_probe_done(ngx_http_lb_probe_t *probe,
    ngx_uint_t passed, ngx_str_t *reason, ngx_uint_t read_on);
static void ngx_http_lb_probe_judged(ngx_http_lb_probe_t *probe);
static void ngx_http_lb_probe_end(ngx_http_lb_probe_t *probe);


void
ngx_http_lb_probe_start(ngx_http_lb_probed_t *probed,
    lb_identity_t *identity)
{
    ngx_int_t               rc;
    ngx_str_t               name;
    struct sockaddr        *sockaddr;
    ngx_http_lb_probe_t    *probe;
    ngx_peer_connection_t   pc;

    probe = ngx_http_lb_probe_create(probed);
    if (probe == NULL) {
        return;
    }

    sockaddr = (struct sockaddr *) identity->address;

    if (probed->check->port && sockaddr->sa_family != AF_UNIX) {
        ngx_inet_set_port(sockaddr, (in_port_t) probed->check->port);
    }

    name.len = identity->name_length;
    name.data = (u_char *) identity->name;

    ngx_memzero(&pc, sizeof(ngx_peer_connection_t));

    pc.sockaddr = sockaddr;
    pc.socklen = identity->address_length;
    pc.name = &name;
    pc.get = ngx_event_get_peer;
    pc.log = &probed->prober->log;
    pc.log_error = NGX_ERROR_ERR;

    probed->prober->err = 0;

    rc = ngx_event_connect_peer(&pc);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "lb check of %V in upstream \"%V\": %i",
                   &name, probed->upstream, rc);

    ngx_http_lb_probe_connected(probe, &pc, rc);
}


void
ngx_http_lb_probe_cancel(ngx_http_lb_probed_t *probed)
{
    ngx_queue_t          *q;
    ngx_http_lb_probe_t  *probe;

    while (!ngx_queue_empty(&probed->probes)) {
        q = ngx_queue_head(&probed->probes);
        probe = ngx_queue_data(q, ngx_http_lb_probe_t, queue);

        ngx_http_lb_probe_end(probe);
    }
}


void
ngx_http_lb_probe_supersede(ngx_http_lb_probed_t *probed, ngx_msec_t began)
{
    ngx_queue_t          *q, *next;
    ngx_http_lb_probe_t  *probe;

    for (q = ngx_queue_head(&probed->probes);
         q != ngx_queue_sentinel(&probed->probes);
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


static ngx_http_lb_probe_t *
ngx_http_lb_probe_create(ngx_http_lb_probed_t *probed)
{
    lb_grpc_t             *grpc;
    ngx_pool_t            *pool;
    ngx_queue_t           *q;
    ngx_http_lb_probe_t   *probe;
    ngx_http_lb_prober_t  *prober;

    prober = probed->prober;
    pool = NULL;
    grpc = NULL;

    if (probed->check->tls || probed->check->kind == NGX_HTTP_LB_CHECK_GRPC) {
        pool = ngx_create_pool(NGX_HTTP_LB_PROBE_POOL, ngx_cycle->log);
        if (pool == NULL) {
            return NULL;
        }
    }

    if (probed->check->kind == NGX_HTTP_LB_CHECK_GRPC) {
        grpc = ngx_palloc(pool, sizeof(lb_grpc_t));
        if (grpc == NULL) {
            ngx_destroy_pool(pool);
            return NULL;
        }

        lb_grpc_start(grpc);
    }

    if (ngx_queue_empty(&prober->spare)) {
        probe = ngx_palloc(ngx_cycle->pool, sizeof(ngx_http_lb_probe_t));
        if (probe == NULL) {

            if (pool) {
                ngx_destroy_pool(pool);
            }

            return NULL;
        }

    } else {
        q = ngx_queue_head(&prober->spare);
        ngx_queue_remove(q);

        probe = ngx_queue_data(q, ngx_http_lb_probe_t, queue);
    }

    ngx_http_lb_prober_start(prober);

    ngx_memzero(probe, sizeof(ngx_http_lb_probe_t));

    ngx_queue_insert_tail(&probed->probes, &probe->queue);
    probed->nprobes++;
    prober->nopen++;

    probe->pool = pool;
    probe->grpc = grpc;
    probe->probed = probed;
    probe->began = ngx_current_msec;
    probe->deadline = ngx_current_msec + probed->check->timeout;
    probe->lag = ngx_http_lb_prober_lag(prober);

    probe->timer.handler = ngx_http_lb_probe_expire;
    probe->timer.data = &prober->dummy;
    probe->timer.log = ngx_cycle->log;
    probe->timer.cancelable = 1;

    lb_probe_start(&probe->answer, &probed->check->expect);

    return probe;
}


static void
ngx_http_lb_probe_connected(ngx_http_lb_probe_t *probe,
    ngx_peer_connection_t *pc, ngx_int_t rc)
{
    ngx_err_t          err;
    ngx_connection_t  *c;

    if (rc == NGX_DECLINED) {
        err = probe->probed->prober->err;

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
    c->pool = probe->pool;
    c->data = probe;
    c->read->handler = ngx_http_lb_probe_handler;
    c->write->handler = ngx_http_lb_probe_handler;

    ngx_add_timer(&probe->timer, probe->probed->check->timeout);

    if (rc == NGX_OK) {
        (void) ngx_http_lb_probe_go(probe);
    }
}


/* that is no failure of the server; the next time will tell */

static void
ngx_http_lb_probe_not_made(ngx_http_lb_probe_t *probe)
{
    ngx_str_t               said;
    ngx_http_lb_prober_t  *prober;

    prober = probe->probed->prober;

    if (prober->reported_at != ngx_time()) {
        prober->reported_at = ngx_time();

        said.len = prober->message_len;
        said.data = prober->message;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "lb: checks of upstream \"%V\" cannot be made: %V",
                      probe->probed->upstream, &said);
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

    /* the worker exits */

    if (c->close) {
        ngx_http_lb_probe_end(probe);
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

    if (probe->probed->check->kind == NGX_HTTP_LB_CHECK_TCP) {
        ngx_http_lb_probe_done(probe, 1, NULL, 0);
        return NGX_DONE;
    }

#if (NGX_HTTP_SSL)
    if (probe->probed->check->tls && !probe->secure) {
        return ngx_http_lb_probe_handshake(probe);
    }
#endif

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


#if (NGX_HTTP_SSL)


static ngx_int_t
ngx_http_lb_probe_handshake(ngx_http_lb_probe_t *probe)
{
    ngx_connection_t  *c;

    c = probe->connection;

    if (c->ssl == NULL
        && ngx_http_lb_check_tls_open(probe->probed->check, c) != NGX_OK)
    {
        ngx_http_lb_probe_not_made(probe);
        return NGX_DONE;
    }

    probe->probed->prober->message_len = 0;

    if (ngx_ssl_handshake(c) == NGX_AGAIN) {
        c->ssl->handler = ngx_http_lb_probe_handshaken;
        return NGX_AGAIN;
    }

    return ngx_http_lb_probe_secured(probe);
}


static void
ngx_http_lb_probe_handshaken(ngx_connection_t *c)
{
    (void) ngx_http_lb_probe_secured(c->data);
}


/* the handshake has been made, or has failed */

static ngx_int_t
ngx_http_lb_probe_secured(ngx_http_lb_probe_t *probe)
{
    u_char                 text[LB_REASON_MAX];
    ngx_str_t              reason;
    const char            *wrong;
    ngx_connection_t      *c;
    ngx_http_lb_prober_t  *prober;

    c = probe->connection;
    prober = probe->probed->prober;

    reason.data = text;

    if (!c->ssl->handshaked) {
        reason.len = ngx_snprintf(text, LB_REASON_MAX, "TLS: %*s",
                                  prober->message_len, prober->message)
                     - text;

        if (prober->message_len == 0) {
            ngx_str_set(&reason, "TLS: the handshake has failed");
        }

        ngx_http_lb_probe_done(probe, 0, &reason, 0);
        return NGX_DONE;
    }

    wrong = ngx_http_lb_check_tls_verify(probe->probed->check, c);

    if (wrong) {
        reason.len = ngx_snprintf(text, LB_REASON_MAX, "TLS: certificate is "
                                  "not accepted: %s", wrong)
                     - text;

        ngx_http_lb_probe_done(probe, 0, &reason, 0);
        return NGX_DONE;
    }

    probe->secure = 1;

    c->read->handler = ngx_http_lb_probe_handler;
    c->write->handler = ngx_http_lb_probe_handler;

    return ngx_http_lb_probe_go(probe);
}


#endif


static ngx_int_t
ngx_http_lb_probe_send(ngx_http_lb_probe_t *probe)
{
    u_char            *data;
    size_t             len;
    ssize_t            n;
    ngx_str_t         *request;
    ngx_connection_t  *c;

    c = probe->connection;
    request = &probe->probed->check->request;

    for ( ;; ) {

        if (probe->sent < request->len) {
            data = request->data + probe->sent;
            len = request->len - probe->sent;

        } else if (probe->grpc && probe->grpc->output_length) {

            /* what is owed to an HTTP/2 server follows the request */

            data = probe->grpc->output;
            len = probe->grpc->output_length;

        } else {
            break;
        }

        n = c->send(c, data, len);

        if (n == NGX_AGAIN || n == 0) {
            break;
        }

        if (n == NGX_ERROR) {
            ngx_http_lb_probe_failed(probe, "send() failed",
                                     probe->probed->prober->err);
            return NGX_ERROR;
        }

        if (probe->sent < request->len) {
            probe->sent += n;

        } else {
            lb_grpc_sent(probe->grpc, n);
        }
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

        rc = probe->grpc ? ngx_http_lb_probe_frames(probe, buffer, n)
                         : ngx_http_lb_probe_feed(probe, buffer, n);

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
                                 probe->probed->prober->err);
        return NGX_DONE;
    }

    if (probe->grpc) {
        verdict = lb_grpc_end(probe->grpc);
        reason.data = (u_char *) probe->grpc->reason;

    } else {
        verdict = lb_probe_end(&probe->answer);
        reason.data = (u_char *) lb_probe_reason(&probe->answer);
    }

    reason.len = ngx_strlen(reason.data);

    ngx_http_lb_probe_done(probe, verdict == LB_PROBE_PASS, &reason, 0);

    return NGX_DONE;
}


/* NGX_OK: read on; the answer's end is where the verdict falls */

static ngx_int_t
ngx_http_lb_probe_frames(ngx_http_lb_probe_t *probe, u_char *data,
    size_t size)
{
    ngx_str_t     reason;
    lb_verdict_t  verdict;

    if (probe->judged) {
        ngx_http_lb_probe_end(probe);
        return NGX_DONE;
    }

    verdict = lb_grpc_feed(probe->grpc, data, size);

    if (verdict == LB_PROBE_MORE) {
        return (ngx_http_lb_probe_send(probe) == NGX_OK) ? NGX_OK : NGX_DONE;
    }

    reason.data = (u_char *) probe->grpc->reason;
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

    if (lb_probe_over(&probe->answer) && !probe->shut && !probe->secure) {
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
    lag = ngx_http_lb_prober_lag(probe->probed->prober);

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
    ngx_uint_t             asked, judged;
    ngx_http_lb_probed_t  *probed;

    probed = probe->probed;
    began = probe->began;
    judged = probe->judged;
    asked = probe->sent && probe->sent == probed->check->request.len;

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
        probed->asked = asked;
        probed->result(probed, passed, &why, began);
    }
}


/* its result has been entered, or is not asked for any more */

static void
ngx_http_lb_probe_judged(ngx_http_lb_probe_t *probe)
{
    probe->judged = 1;
    probe->probed->nprobes--;
}


static void
ngx_http_lb_probe_end(ngx_http_lb_probe_t *probe)
{
    ngx_http_lb_prober_t  *prober;

    prober = probe->probed->prober;

    if (probe->timer.timer_set) {
        ngx_del_timer(&probe->timer);
    }

    if (probe->connection) {
        ngx_http_lb_check_tls_close(probe->connection);
        ngx_close_connection(probe->connection);
        probe->connection = NULL;
    }

    if (probe->pool) {
        ngx_destroy_pool(probe->pool);
        probe->pool = NULL;
    }

    if (!probe->judged) {
        ngx_http_lb_probe_judged(probe);
    }

    prober->nopen--;

    ngx_queue_remove(&probe->queue);
    ngx_queue_insert_head(&prober->spare, &probe->queue);
}
