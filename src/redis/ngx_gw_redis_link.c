
/*
 * A connection to Redis on nginx's events, level-triggered.  What answers a
 * call may close the link or make further calls, so a close from there is
 * put off until no answer is on the stack.
 */


#include "src/redis/ngx_gw_redis_link.h"


/* reads at once, before others have their turn */
#define NGX_GW_REDIS_READS  16

/* ms: how late a timer has to be for the worker to have been busy */
#define NGX_GW_REDIS_LAG  20

/* ms that such a worker has more, at most */
#define NGX_GW_REDIS_LATE  1000


static void ngx_gw_redis_link_event(ngx_event_t *ev);
static void ngx_gw_redis_link_run(ngx_gw_redis_link_t *link);
static ngx_int_t ngx_gw_redis_link_work(ngx_gw_redis_link_t *link);
static ngx_int_t ngx_gw_redis_link_flush(ngx_gw_redis_link_t *link);
static ngx_int_t ngx_gw_redis_link_replies(ngx_gw_redis_link_t *link);
static void ngx_gw_redis_link_answer(ngx_gw_redis_link_t *link,
    redisReply *reply);
static void ngx_gw_redis_link_closed(ngx_gw_redis_link_t *link);
static ngx_int_t ngx_gw_redis_link_append(ngx_gw_redis_link_t *link,
    const void *data, size_t len);
static void ngx_gw_redis_link_watch(ngx_gw_redis_link_t *link);
static void ngx_gw_redis_link_set(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t on);
static void ngx_gw_redis_link_deadline(ngx_gw_redis_link_t *link);
static void ngx_gw_redis_link_expired(ngx_event_t *ev);


void
ngx_gw_redis_link_init(ngx_gw_redis_link_t *link, ngx_log_t *log)
{
    link->log = log;

    ngx_queue_init(&link->calls);

    link->timer.handler = ngx_gw_redis_link_expired;
    link->timer.data = link;
    link->timer.log = log;
    link->timer.cancelable = 1;
}


ngx_int_t
ngx_gw_redis_link_open(ngx_gw_redis_link_t *link, ngx_gw_redis_tls_t *tls,
    const char *host, ngx_sockaddr_t *sockaddr, socklen_t socklen)
{
    ngx_connection_t  *c;

    link->reason[0] = '\0';

    if (ngx_gw_redis_wire_open(&link->wire, tls, host, sockaddr, socklen)
        != NGX_OK)
    {
        ngx_gw_redis_reason(link->reason, link->wire.reason);
        ngx_gw_redis_wire_close(&link->wire, 1);
        return NGX_ERROR;
    }

    c = ngx_get_connection(link->wire.fd, link->log);

    if (c == NULL) {
        ngx_gw_redis_reason(link->reason, "worker_connections are not "
                            "enough");
        ngx_gw_redis_wire_close(&link->wire, 1);
        return NGX_ERROR;
    }

    c->data = link;
    c->log = link->log;
    c->read->log = link->log;
    c->write->log = link->log;
    c->read->handler = ngx_gw_redis_link_event;
    c->write->handler = ngx_gw_redis_link_event;
    c->idle = 1;

    link->c = c;
    link->leaving = 0;
    link->start = 0;
    link->end = 0;

    ngx_gw_redis_link_watch(link);

    /* of a socket of the unix domain no event tells that it is connected */

    if (link->wire.connected) {
        ngx_post_event(c->write, &ngx_posted_next_events);
    }

    return NGX_OK;
}


void
ngx_gw_redis_link_close(ngx_gw_redis_link_t *link, const char *reason)
{
    if (!ngx_gw_redis_link_is_open(link)) {
        return;
    }

    ngx_gw_redis_reason(link->reason, reason);

    link->closing = 1;

    if (!link->busy) {
        ngx_gw_redis_link_closed(link);
    }
}


ngx_int_t
ngx_gw_redis_link_send(ngx_gw_redis_link_t *link, ngx_gw_redis_call_t *call,
    const void *data, size_t len)
{
    if (!ngx_gw_redis_link_is_open(link)) {
        return NGX_ERROR;
    }

    if (ngx_gw_redis_link_append(link, data, len) != NGX_OK) {
        ngx_gw_redis_reason(link->reason, "too much waits to be sent");
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&link->calls, &call->queue);
    link->nholding += !call->background;

    ngx_gw_redis_link_deadline(link);

    /*
     * What is sent within one turn of the event loop is written at once.
     * That of a worker which begins to exit comes after the turn's events.
     */

    if (link->wire.ready && !link->c->write->posted) {
        ngx_post_event(link->c->write, &ngx_posted_next_events);
    }

    return NGX_OK;
}


static void
ngx_gw_redis_link_event(ngx_event_t *ev)
{
    ngx_connection_t     *c;
    ngx_gw_redis_link_t  *link;

    c = ev->data;
    link = c->data;

    /* nginx calls idle connections with "close" set when a worker exits */

    if (c->close && !link->leaving) {
        link->leaving = 1;

        if (link->on_leave != NULL) {
            link->on_leave(link);

        } else {
            ngx_gw_redis_link_close(link, "worker process is exiting");
        }

        return;
    }

    ngx_gw_redis_link_run(link);
}


static void
ngx_gw_redis_link_run(ngx_gw_redis_link_t *link)
{
    ngx_int_t  rc;

    link->busy = 1;

    rc = ngx_gw_redis_link_work(link);

    link->busy = 0;

    if (rc != NGX_OK && !link->closing) {
        ngx_gw_redis_reason(link->reason, link->wire.reason);
        link->closing = 1;
    }

    if (link->closing) {
        ngx_gw_redis_link_closed(link);
        return;
    }

    ngx_gw_redis_link_watch(link);
}


/* NGX_ERROR: nothing will come of the connection any more. */

static ngx_int_t
ngx_gw_redis_link_work(ngx_gw_redis_link_t *link)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    if (!link->wire.ready) {
        rc = ngx_gw_redis_wire_connect(&link->wire);

        if (rc != NGX_OK) {
            return rc == NGX_AGAIN ? NGX_OK : NGX_ERROR;
        }
    }

    if (ngx_gw_redis_link_flush(link) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_GW_REDIS_READS; i++) {
        rc = ngx_gw_redis_wire_receive(&link->wire);

        if (rc != NGX_OK) {
            return rc == NGX_AGAIN ? NGX_OK : NGX_ERROR;
        }

        if (ngx_gw_redis_link_replies(link) != NGX_OK) {
            return NGX_ERROR;
        }

        if (link->closing) {
            return NGX_OK;
        }
    }

    /* TLS may have read more than it gave, of which no event would tell */

    ngx_post_event(link->c->read, &ngx_posted_next_events);

    return NGX_OK;
}


static ngx_int_t
ngx_gw_redis_link_flush(ngx_gw_redis_link_t *link)
{
    ssize_t  n;

    link->wire.writing = 0;

    while (link->start < link->end) {
        n = ngx_gw_redis_wire_send(&link->wire, link->out + link->start,
                                   link->end - link->start);

        if (n == NGX_AGAIN) {
            return NGX_OK;
        }

        if (n <= 0) {
            return NGX_ERROR;
        }

        link->start += n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_gw_redis_link_replies(ngx_gw_redis_link_t *link)
{
    redisReply           *reply;
    ngx_gw_redis_call_t  *call;

    while (!link->closing) {
        link->wire.bound.awaited = !ngx_queue_empty(&link->calls);
        link->wire.bound.most = GW_REDIS_REPLY;

        if (link->wire.bound.awaited) {
            call = ngx_queue_data(ngx_queue_head(&link->calls),
                                  ngx_gw_redis_call_t, queue);
            link->wire.bound.most = call->most;
        }

        if (ngx_gw_redis_wire_reply(&link->wire, &reply) != NGX_OK) {
            return NGX_ERROR;
        }

        if (reply == NULL) {
            return NGX_OK;
        }

        if (!link->wire.bound.awaited) {
            ngx_gw_redis_told(NULL, reply, link->reason);
            link->closing = 1;

        } else {
            ngx_gw_redis_link_answer(link, reply);
        }

        freeReplyObject(reply);
    }

    return NGX_OK;
}


static void
ngx_gw_redis_link_answer(ngx_gw_redis_link_t *link, redisReply *reply)
{
    ngx_queue_t          *q;
    ngx_gw_redis_call_t  *call;

    q = ngx_queue_head(&link->calls);
    ngx_queue_remove(q);

    call = ngx_queue_data(q, ngx_gw_redis_call_t, queue);

    link->nholding -= !call->background;
    link->extended = 0;

    ngx_gw_redis_link_deadline(link);

    call->answer(call, reply);
}


static void
ngx_gw_redis_link_closed(ngx_gw_redis_link_t *link)
{
    ngx_connection_t  *c;

    c = link->c;
    link->c = NULL;
    link->unbound = (link->wire.bound.error != NULL);

    /* the socket goes last, and with the events that are set on it */

    ngx_gw_redis_wire_close(&link->wire, 0);
    ngx_close_connection(c);

    if (link->out != NULL) {
        ngx_explicit_memzero(link->out, link->size);
        ngx_free(link->out);
    }

    link->out = NULL;
    link->size = 0;

    while (!ngx_queue_empty(&link->calls)) {
        ngx_gw_redis_link_answer(link, NULL);
    }

    link->closing = 0;

    link->on_close(link);
}


/* Makes room by moving what is left to the front, or by taking more. */

static ngx_int_t
ngx_gw_redis_link_append(ngx_gw_redis_link_t *link, const void *data,
    size_t len)
{
    size_t   left, size;
    u_char  *p;

    left = link->end - link->start;

    if (len > NGX_GW_REDIS_OUT - left) {
        return NGX_ERROR;
    }

    if (len > link->size - link->end && link->start > 0) {
        ngx_memmove(link->out, link->out + link->start, left);
        link->start = 0;
        link->end = left;
    }

    if (len > link->size - link->end) {
        size = ngx_max(2 * link->size, link->end + len + 4096);
        p = ngx_alloc(size, link->log);

        if (p == NULL) {
            return NGX_ERROR;
        }

        if (link->out != NULL) {
            ngx_memcpy(p, link->out, link->end);
            ngx_explicit_memzero(link->out, link->size);
            ngx_free(link->out);
        }

        link->out = p;
        link->size = size;
    }

    ngx_memcpy(link->out + link->end, data, len);
    link->end += len;

    return NGX_OK;
}


static void
ngx_gw_redis_link_watch(ngx_gw_redis_link_t *link)
{
    ngx_gw_redis_link_set(link->c->read, NGX_READ_EVENT, 1);
    ngx_gw_redis_link_set(link->c->write, NGX_WRITE_EVENT,
                          !link->wire.connected || link->wire.writing);
}


/* If the event cannot be had, calls time out, and that closes all. */

static void
ngx_gw_redis_link_set(ngx_event_t *ev, ngx_int_t event, ngx_uint_t on)
{
    ngx_int_t  rc;

    rc = NGX_OK;

    if (on && !ev->active) {
        rc = ngx_add_event(ev, event, NGX_LEVEL_EVENT);

    } else if (!on && ev->active) {
        rc = ngx_del_event(ev, event, 0);
    }

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, ev->log, 0,
                      "redis: event of the connection could not be set");
    }
}


/*
 * The first call is the next to be answered.  Only those that somebody waits
 * for keep an exiting worker alive.
 */

static void
ngx_gw_redis_link_deadline(ngx_gw_redis_link_t *link)
{
    ngx_msec_int_t        left;
    ngx_gw_redis_call_t  *call;

    link->timer.cancelable = (link->nholding == 0);

    if (ngx_queue_empty(&link->calls)) {

        if (link->timer.timer_set) {
            ngx_del_timer(&link->timer);
        }

        return;
    }

    call = ngx_queue_data(ngx_queue_head(&link->calls), ngx_gw_redis_call_t,
                          queue);

    left = (ngx_msec_int_t) (call->deadline - ngx_current_msec);

    ngx_add_timer(&link->timer, (left > 0) ? (ngx_msec_t) left : 1);
}


/*
 * A worker that was busy is late for its timers, and perhaps for a reply that
 * has been there in time: once, it gets the time again that it was late.
 */

static void
ngx_gw_redis_link_expired(ngx_event_t *ev)
{
    ngx_msec_int_t        late;
    ngx_gw_redis_call_t  *call;
    ngx_gw_redis_link_t  *link = ev->data;

    if (ngx_queue_empty(&link->calls)) {
        return;
    }

    call = ngx_queue_data(ngx_queue_head(&link->calls), ngx_gw_redis_call_t,
                          queue);

    late = (ngx_msec_int_t) (ngx_current_msec - call->deadline);

    if (late > NGX_GW_REDIS_LAG && !link->extended) {
        link->extended = 1;
        call->deadline = ngx_current_msec
                         + ngx_min((ngx_msec_t) late, NGX_GW_REDIS_LATE);
        late = -1;
    }

    /* nginx does not move a timer that is to be a little later */

    if (late < 0) {
        ngx_gw_redis_link_deadline(link);
        return;
    }

    ngx_gw_redis_link_close(link, ngx_gw_redis_wire_timed_out(&link->wire));
}
