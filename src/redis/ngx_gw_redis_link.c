
/*
 * hiredis on nginx's events.
 *
 * Events are level-triggered, as hiredis reads once an event.  hiredis frees
 * a context in the middle of its own calls, so no call to it is followed by
 * a look at the context before "ac" has been checked; and as some of its
 * callbacks do not survive redisAsyncFree(), a close from within any of them
 * is put off until hiredis is off the stack.
 */


#include "src/redis/ngx_gw_redis_link.h"

#include <poll.h>


static redisAsyncContext *ngx_gw_redis_link_connect(ngx_sockaddr_t *sockaddr,
    socklen_t socklen);
static void ngx_gw_redis_link_enter(ngx_gw_redis_link_t *link,
    void (*handle)(redisAsyncContext *ac));
static void ngx_gw_redis_link_closed(ngx_gw_redis_link_t *link);
static void ngx_gw_redis_link_set_reason(ngx_gw_redis_link_t *link,
    const char *reason);

static void ngx_gw_redis_link_read(ngx_event_t *rev);
static void ngx_gw_redis_link_write(ngx_event_t *wev);

static void ngx_gw_redis_link_add_read(void *data);
static void ngx_gw_redis_link_del_read(void *data);
static void ngx_gw_redis_link_add_write(void *data);
static void ngx_gw_redis_link_del_write(void *data);
static void ngx_gw_redis_link_cleanup(void *data);
static void ngx_gw_redis_link_event(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t add);


ngx_int_t
ngx_gw_redis_link_open(ngx_gw_redis_link_t *link, ngx_sockaddr_t *sockaddr,
    socklen_t socklen)
{
    ngx_connection_t   *c;
    redisAsyncContext  *ac;

    link->reason[0] = '\0';
    link->closing = 0;

    ac = ngx_gw_redis_link_connect(sockaddr, socklen);

    if (ac == NULL) {
        ngx_gw_redis_link_set_reason(link, "out of memory");
        return NGX_ERROR;
    }

    if (ac->err) {
        ngx_gw_redis_link_set_reason(link, ac->errstr);
        redisAsyncFree(ac);
        return NGX_ERROR;
    }

    c = ngx_get_connection(ac->c.fd, link->log);

    if (c == NULL) {
        ngx_gw_redis_link_set_reason(link, "worker_connections are not "
                                     "enough");
        redisAsyncFree(ac);
        return NGX_ERROR;
    }

    c->data = link;
    c->log = link->log;
    c->read->log = link->log;
    c->write->log = link->log;
    c->read->handler = ngx_gw_redis_link_read;
    c->write->handler = ngx_gw_redis_link_write;
    c->idle = 1;

    link->ac = ac;
    link->c = c;
    link->leaving = 0;

    ac->data = link;
    ac->ev.data = link;
    ac->ev.addRead = ngx_gw_redis_link_add_read;
    ac->ev.delRead = ngx_gw_redis_link_del_read;
    ac->ev.addWrite = ngx_gw_redis_link_add_write;
    ac->ev.delWrite = ngx_gw_redis_link_del_write;
    ac->ev.cleanup = ngx_gw_redis_link_cleanup;

    link->bound.ac = ac;
    ngx_gw_redis_bound(&link->bound, ac->c.reader);

    return NGX_OK;
}


void
ngx_gw_redis_link_close(ngx_gw_redis_link_t *link, const char *reason)
{
    if (link->ac == NULL || link->closing) {
        return;
    }

    ngx_gw_redis_link_set_reason(link, reason);

    link->closing = 1;

    if (!link->busy) {
        ngx_gw_redis_link_enter(link, NULL);
    }
}


ngx_int_t
ngx_gw_redis_link_send(ngx_gw_redis_link_t *link, redisCallbackFn *fn,
    void *data, int argc, const char **argv, const size_t *argvlen)
{
    if (link->ac == NULL || link->closing) {
        return NGX_ERROR;
    }

    if (redisAsyncCommandArgv(link->ac, fn, data, argc, argv, argvlen)
        != REDIS_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


const char *
ngx_gw_redis_link_reason(ngx_gw_redis_link_t *link)
{
    if (link->reason[0] == '\0' && link->ac != NULL && link->ac->c.err) {
        return link->bound.error ? link->bound.error : link->ac->c.errstr;
    }

    return link->reason;
}


void
ngx_gw_redis_link_poll(ngx_gw_redis_link_t *link, ngx_msec_t msec)
{
    struct pollfd  pfd;

    pfd.fd = link->c->fd;
    pfd.events = POLLIN | (link->c->write->active ? POLLOUT : 0);
    pfd.revents = 0;

    if (poll(&pfd, 1, (int) msec) <= 0) {
        return;
    }

    if (pfd.revents & POLLOUT) {
        ngx_gw_redis_link_enter(link, redisAsyncHandleWrite);
    }

    if ((pfd.revents & (POLLIN|POLLERR|POLLHUP)) && link->ac != NULL) {
        ngx_gw_redis_link_enter(link, redisAsyncHandleRead);
    }
}


/* Numeric addresses only: hiredis would look names up synchronously. */

static redisAsyncContext *
ngx_gw_redis_link_connect(ngx_sockaddr_t *sockaddr, socklen_t socklen)
{
    size_t  len;
    u_char  text[NGX_SOCKADDR_STRLEN + 1];

#if (NGX_HAVE_UNIX_DOMAIN)
    if (sockaddr->sockaddr.sa_family == AF_UNIX) {
        return redisAsyncConnectUnix(sockaddr->sockaddr_un.sun_path);
    }
#endif

    len = ngx_sock_ntop(&sockaddr->sockaddr, socklen, text,
                        NGX_SOCKADDR_STRLEN, 0);
    text[len] = '\0';

    return redisAsyncConnect((char *) text,
                             ngx_inet_get_port(&sockaddr->sockaddr));
}


/* Every call that may make hiredis call back or free goes through here. */

static void
ngx_gw_redis_link_enter(ngx_gw_redis_link_t *link,
    void (*handle)(redisAsyncContext *ac))
{
    link->busy++;

    if (handle != NULL) {
        handle(link->ac);
    }

    if (link->ac != NULL && !link->closing
        && ngx_gw_redis_bound_check(&link->bound, link->ac->c.reader)
           != NGX_OK)
    {
        ngx_gw_redis_link_set_reason(link, link->bound.error);
        link->closing = 1;
    }

    if (link->ac != NULL && link->closing) {
        redisAsyncFree(link->ac);
    }

    link->busy--;

    if (link->ac == NULL) {
        ngx_gw_redis_link_closed(link);
    }
}


static void
ngx_gw_redis_link_closed(ngx_gw_redis_link_t *link)
{
    link->closing = 0;

    if (link->reason[0] == '\0') {
        ngx_gw_redis_link_set_reason(link, "connection closed");
    }

    link->on_close(link);
}


static void
ngx_gw_redis_link_set_reason(ngx_gw_redis_link_t *link, const char *reason)
{
    (void) ngx_cpystrn((u_char *) link->reason, (u_char *) reason,
                       NGX_GW_REDIS_REASON);
}


static void
ngx_gw_redis_link_read(ngx_event_t *rev)
{
    ngx_connection_t     *c;
    ngx_gw_redis_link_t  *link;

    c = rev->data;
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

    ngx_gw_redis_link_enter(link, redisAsyncHandleRead);
}


static void
ngx_gw_redis_link_write(ngx_event_t *wev)
{
    ngx_connection_t  *c;

    c = wev->data;

    ngx_gw_redis_link_enter(c->data, redisAsyncHandleWrite);
}


static void
ngx_gw_redis_link_add_read(void *data)
{
    ngx_gw_redis_link_t  *link = data;

    ngx_gw_redis_link_event(link->c->read, NGX_READ_EVENT, 1);
}


static void
ngx_gw_redis_link_del_read(void *data)
{
    ngx_gw_redis_link_t  *link = data;

    ngx_gw_redis_link_event(link->c->read, NGX_READ_EVENT, 0);
}


static void
ngx_gw_redis_link_add_write(void *data)
{
    ngx_gw_redis_link_t  *link = data;

    ngx_gw_redis_link_event(link->c->write, NGX_WRITE_EVENT, 1);
}


static void
ngx_gw_redis_link_del_write(void *data)
{
    ngx_gw_redis_link_t  *link = data;

    ngx_gw_redis_link_event(link->c->write, NGX_WRITE_EVENT, 0);
}


/* If the event cannot be had, commands time out, and that closes all. */

static void
ngx_gw_redis_link_event(ngx_event_t *ev, ngx_int_t event, ngx_uint_t add)
{
    ngx_int_t  rc;

    rc = NGX_OK;

    if (add && !ev->active) {
        rc = ngx_add_event(ev, event, NGX_LEVEL_EVENT);

    } else if (!add && ev->active) {
        rc = ngx_del_event(ev, event, 0);
    }

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, ev->log, 0,
                      "redis: event of the connection could not be set");
    }
}


/* hiredis is about to close the socket and to free the context. */

static void
ngx_gw_redis_link_cleanup(void *data)
{
    ngx_gw_redis_link_t  *link = data;

    ngx_connection_t  *c;

    if (link->reason[0] == '\0' && link->ac->c.err) {
        ngx_gw_redis_link_set_reason(link, ngx_gw_redis_link_reason(link));
    }

    c = link->c;

    if (ngx_del_conn) {
        (void) ngx_del_conn(c, NGX_CLOSE_EVENT);

    } else {
        if (c->read->active) {
            (void) ngx_del_event(c->read, NGX_READ_EVENT, NGX_CLOSE_EVENT);
        }

        if (c->write->active) {
            (void) ngx_del_event(c->write, NGX_WRITE_EVENT, NGX_CLOSE_EVENT);
        }
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    c->read->closed = 1;
    c->write->closed = 1;

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;

    link->c = NULL;
    link->ac = NULL;
}
