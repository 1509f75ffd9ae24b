
/*
 * A connection to Redis that blocks.  The socket itself does not: hiredis'
 * own timeouts are of each read, so that a server which sends a byte now and
 * then would never be late.
 */


#include "src/redis/ngx_gw_redis_sync.h"
#include "src/core/text/gw_redis_reason.h"

#include <poll.h>


static ngx_int_t ngx_gw_redis_sync_server(ngx_gw_redis_sync_t *sync,
    ngx_sockaddr_t *sockaddr, socklen_t socklen);
static ngx_int_t ngx_gw_redis_sync_master(ngx_gw_redis_sync_t *sync,
    ngx_addr_t *sentinel);
static ngx_int_t ngx_gw_redis_sync_connect(ngx_gw_redis_sync_t *sync,
    ngx_sockaddr_t *sockaddr, socklen_t socklen);
static ngx_int_t ngx_gw_redis_sync_greet(ngx_gw_redis_sync_t *sync);
static ngx_int_t ngx_gw_redis_sync_role(ngx_gw_redis_sync_t *sync);
static ngx_int_t ngx_gw_redis_sync_expect(ngx_gw_redis_sync_t *sync,
    const char *expected, ngx_uint_t argc, const char **argv,
    const size_t *argvlen);
static ngx_int_t ngx_gw_redis_sync_send(ngx_gw_redis_sync_t *sync);
static redisReply *ngx_gw_redis_sync_receive(ngx_gw_redis_sync_t *sync);
static void ngx_gw_redis_sync_begin(ngx_gw_redis_sync_t *sync);
static ngx_int_t ngx_gw_redis_sync_wait(ngx_gw_redis_sync_t *sync,
    short events);
static void ngx_gw_redis_sync_failed(ngx_gw_redis_sync_t *sync,
    const char *reason);
static uint64_t ngx_gw_redis_sync_now(void);


ngx_int_t
ngx_gw_redis_sync_open(ngx_gw_redis_sync_t *sync, ngx_gw_redis_conf_t *conf,
    ngx_msec_t limit)
{
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_addr_t      *addr;
    ngx_sockaddr_t   sockaddr;

    ngx_memzero(sync, sizeof(ngx_gw_redis_sync_t));

    sync->conf = conf;
    sync->end = ngx_gw_redis_sync_now() + limit;

    for (i = 0; i < conf->naddrs; i++) {
        addr = &conf->addrs[i];

        if (conf->master.len) {
            rc = ngx_gw_redis_sync_master(sync, addr);

        } else {
            ngx_memcpy(&sockaddr, addr->sockaddr, addr->socklen);
            rc = ngx_gw_redis_sync_server(sync, &sockaddr, addr->socklen);
        }

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        if (ngx_gw_redis_sync_now() >= sync->end) {
            break;
        }
    }

    return NGX_ERROR;
}


void
ngx_gw_redis_sync_close(ngx_gw_redis_sync_t *sync)
{
    if (sync->context != NULL) {
        redisFree(sync->context);
        sync->context = NULL;
    }
}


redisReply *
ngx_gw_redis_sync_command(ngx_gw_redis_sync_t *sync, size_t most,
    ngx_uint_t argc, const char **argv, const size_t *argvlen)
{
    if (sync->context == NULL) {
        return NULL;
    }

    ngx_gw_redis_sync_begin(sync);

    sync->bound.most = most;

    if (redisAppendCommandArgv(sync->context, (int) argc, argv, argvlen)
        != REDIS_OK)
    {
        ngx_gw_redis_sync_failed(sync, "out of memory");
        return NULL;
    }

    if (ngx_gw_redis_sync_send(sync) != NGX_OK) {
        return NULL;
    }

    return ngx_gw_redis_sync_receive(sync);
}


static ngx_int_t
ngx_gw_redis_sync_server(ngx_gw_redis_sync_t *sync, ngx_sockaddr_t *sockaddr,
    socklen_t socklen)
{
    if (ngx_gw_redis_sync_connect(sync, sockaddr, socklen) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_gw_redis_sync_greet(sync);
}


/* Asks one Sentinel, and connects to the master that it names. */

static ngx_int_t
ngx_gw_redis_sync_master(ngx_gw_redis_sync_t *sync, ngx_addr_t *sentinel)
{
    size_t           len[3];
    ngx_int_t        rc;
    socklen_t        socklen;
    redisReply      *reply;
    const char      *argv[3];
    ngx_sockaddr_t   sockaddr;

    ngx_memcpy(&sockaddr, sentinel->sockaddr, sentinel->socklen);

    if (ngx_gw_redis_sync_connect(sync, &sockaddr, sentinel->socklen)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    argv[0] = "SENTINEL";
    len[0] = 8;
    argv[1] = "get-master-addr-by-name";
    len[1] = 23;
    argv[2] = (char *) sync->conf->master.data;
    len[2] = sync->conf->master.len;

    reply = ngx_gw_redis_sync_command(sync, NGX_GW_REDIS_REPLY, 3, argv, len);

    if (reply == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_gw_redis_sentinel_parse(reply, ngx_cycle->log, &sockaddr,
                                     &socklen);
    if (rc != NGX_OK) {

        if (reply->type == REDIS_REPLY_ERROR) {
            ngx_gw_redis_told(sync->conf, reply, sync->reason);

        } else {
            ngx_gw_redis_sync_failed(sync,
                                     "Sentinel does not know the master");
        }
    }

    freeReplyObject(reply);
    ngx_gw_redis_sync_close(sync);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_gw_redis_sync_server(sync, &sockaddr, socklen);
}


/* Numeric addresses only: hiredis would look names up. */

static ngx_int_t
ngx_gw_redis_sync_connect(ngx_gw_redis_sync_t *sync, ngx_sockaddr_t *sockaddr,
    socklen_t socklen)
{
    int         err;
    size_t      len;
    u_char      text[NGX_SOCKADDR_STRLEN + 1];
    socklen_t   errlen;

    ngx_gw_redis_sync_begin(sync);

    if (sockaddr->sockaddr.sa_family == AF_UNIX) {
        sync->context = redisConnectUnixNonBlock(
                                              sockaddr->sockaddr_un.sun_path);

    } else {
        len = ngx_sock_ntop(&sockaddr->sockaddr, socklen, text,
                            NGX_SOCKADDR_STRLEN, 0);
        text[len] = '\0';

        sync->context = redisConnectNonBlock((char *) text,
                                    ngx_inet_get_port(&sockaddr->sockaddr));
    }

    if (sync->context == NULL || sync->context->err) {
        ngx_gw_redis_sync_failed(sync, sync->context ? sync->context->errstr
                                                     : "out of memory");
        return NGX_ERROR;
    }

    ngx_gw_redis_bound(&sync->bound, sync->context->reader);

    if (ngx_gw_redis_sync_wait(sync, POLLOUT) != NGX_OK) {
        return NGX_ERROR;
    }

    err = 0;
    errlen = sizeof(int);

    if (getsockopt(sync->context->fd, SOL_SOCKET, SO_ERROR, (void *) &err,
                   &errlen)
        == -1)
    {
        err = ngx_errno;
    }

    if (err) {
        ngx_gw_redis_sync_failed(sync, strerror(err));
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_gw_redis_sync_greet(ngx_gw_redis_sync_t *sync)
{
    char                  db[NGX_INT_T_LEN + 1];
    size_t                len[3];
    ngx_uint_t            n;
    const char           *argv[3];
    ngx_gw_redis_conf_t  *conf;

    conf = sync->conf;

    if (conf->password.len) {
        n = 0;
        argv[n] = "AUTH";
        len[n++] = 4;

        if (conf->user.len) {
            argv[n] = (char *) conf->user.data;
            len[n++] = conf->user.len;
        }

        argv[n] = (char *) conf->password.data;
        len[n++] = conf->password.len;

        if (ngx_gw_redis_sync_expect(sync, "OK", n, argv, len) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (conf->db) {
        argv[0] = "SELECT";
        len[0] = 6;
        argv[1] = db;
        len[1] = ngx_sprintf((u_char *) db, "%ui", conf->db) - (u_char *) db;

        if (ngx_gw_redis_sync_expect(sync, "OK", 2, argv, len) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    argv[0] = "PING";
    len[0] = 4;

    if (ngx_gw_redis_sync_expect(sync, "PONG", 1, argv, len) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_gw_redis_sync_role(sync);
}


static ngx_int_t
ngx_gw_redis_sync_role(ngx_gw_redis_sync_t *sync)
{
    char         reason[NGX_GW_REDIS_REASON];
    size_t       len;
    ngx_uint_t   master;
    redisReply  *reply;
    const char  *argv;

    argv = "ROLE";
    len = 4;

    reply = ngx_gw_redis_sync_command(sync, NGX_GW_REDIS_REPLY, 1, &argv,
                                      &len);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    master = ngx_gw_redis_is_master(reply, reason);

    freeReplyObject(reply);

    if (!master) {
        ngx_gw_redis_sync_failed(sync, reason);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_gw_redis_sync_expect(ngx_gw_redis_sync_t *sync, const char *expected,
    ngx_uint_t argc, const char **argv, const size_t *argvlen)
{
    char         reason[NGX_GW_REDIS_REASON];
    ngx_int_t    rc;
    redisReply  *reply;

    reply = ngx_gw_redis_sync_command(sync, NGX_GW_REDIS_REPLY, argc, argv,
                                      argvlen);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    if (reply->type == REDIS_REPLY_ERROR && ngx_strcmp(argv[0], "AUTH") == 0)
    {
        ngx_gw_redis_sync_failed(sync, gw_redis_reason_auth(reply->str,
                                                            reply->len));
        rc = NGX_ERROR;

    } else if (reply->type != REDIS_REPLY_STATUS
               || ngx_strcmp(reply->str, expected) != 0)
    {
        ngx_gw_redis_told(sync->conf, reply, reason);
        ngx_gw_redis_sync_failed(sync, reason);
        rc = NGX_ERROR;
    }

    freeReplyObject(reply);

    return rc;
}


static ngx_int_t
ngx_gw_redis_sync_send(ngx_gw_redis_sync_t *sync)
{
    int  done;

    for ( ;; ) {
        if (redisBufferWrite(sync->context, &done) != REDIS_OK) {
            ngx_gw_redis_sync_failed(sync, sync->context->errstr);
            return NGX_ERROR;
        }

        if (done) {
            return NGX_OK;
        }

        if (ngx_gw_redis_sync_wait(sync, POLLOUT) != NGX_OK) {
            return NGX_ERROR;
        }
    }
}


static redisReply *
ngx_gw_redis_sync_receive(ngx_gw_redis_sync_t *sync)
{
    void          *reply;
    redisContext  *context;

    context = sync->context;

    for ( ;; ) {
        if (ngx_gw_redis_sync_wait(sync, POLLIN) != NGX_OK) {
            return NULL;
        }

        if (redisBufferRead(context) != REDIS_OK
            || redisReaderGetReply(context->reader, &reply) != REDIS_OK)
        {
            ngx_gw_redis_sync_failed(sync,
                                     sync->bound.error ? sync->bound.error
                                     : context->err ? context->errstr
                                     : context->reader->errstr);
            return NULL;
        }

        if (reply != NULL) {
            return reply;
        }

        if (ngx_gw_redis_bound_check(&sync->bound, context->reader) != NGX_OK)
        {
            ngx_gw_redis_sync_failed(sync, sync->bound.error);
            return NULL;
        }
    }
}


static void
ngx_gw_redis_sync_begin(ngx_gw_redis_sync_t *sync)
{
    sync->deadline = ngx_min(ngx_gw_redis_sync_now() + sync->conf->timeout,
                             sync->end);
}


/* Until the socket is ready, or the exchange has taken its time. */

static ngx_int_t
ngx_gw_redis_sync_wait(ngx_gw_redis_sync_t *sync, short events)
{
    int            n;
    uint64_t       now;
    struct pollfd  pfd;

    pfd.fd = sync->context->fd;
    pfd.events = events;
    pfd.revents = 0;

    do {
        now = ngx_gw_redis_sync_now();

        if (now >= sync->deadline) {
            ngx_gw_redis_sync_failed(sync, (sync->deadline == sync->end)
                                           ? "it took too long altogether"
                                           : "timed out");
            return NGX_ERROR;
        }

        n = poll(&pfd, 1, (int) (sync->deadline - now));

    } while (n == 0 || (n == -1 && ngx_errno == NGX_EINTR));

    if (n == -1) {
        ngx_gw_redis_sync_failed(sync, strerror(ngx_errno));
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Nothing comes of the connection any more. */

static void
ngx_gw_redis_sync_failed(ngx_gw_redis_sync_t *sync, const char *reason)
{
    if (reason != sync->reason) {
        (void) ngx_cpystrn((u_char *) sync->reason, (u_char *) reason,
                           NGX_GW_REDIS_REASON);
    }

    ngx_gw_redis_sync_close(sync);
}


static uint64_t
ngx_gw_redis_sync_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}
