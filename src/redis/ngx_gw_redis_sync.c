
/*
 * A connection to Redis that blocks.  The socket itself does not: each wait
 * is for what is left of the time, so that a server which sends a byte now
 * and then is late like any other.
 */


#include "src/redis/ngx_gw_redis_sync.h"
#include "src/common/ngx_gw_clock.h"
#include "src/core/text/gw_redis_cluster.h"
#include "src/core/text/gw_redis_reason.h"
#include "src/redis/ngx_gw_redis_name.h"

#include <poll.h>


#define NGX_GW_REDIS_MOVES  8       /* redirections of a command */


static ngx_int_t ngx_gw_redis_sync_asking(ngx_gw_redis_sync_t *sync);
static ngx_int_t ngx_gw_redis_sync_connect(ngx_gw_redis_sync_t *sync,
    ngx_gw_redis_host_t *host, ngx_gw_redis_greet_e kind);
static ngx_int_t ngx_gw_redis_sync_address(ngx_gw_redis_sync_t *sync,
    ngx_sockaddr_t *sockaddr, socklen_t socklen);
static ngx_int_t ngx_gw_redis_sync_greet(ngx_gw_redis_sync_t *sync,
    ngx_gw_redis_greet_e kind);
static ngx_int_t ngx_gw_redis_sync_master(ngx_gw_redis_sync_t *sync);
static redisReply *ngx_gw_redis_sync_exchange(ngx_gw_redis_sync_t *sync,
    size_t most, ngx_uint_t argc, const char **argv, const size_t *argvlen);
static ngx_int_t ngx_gw_redis_sync_send(ngx_gw_redis_sync_t *sync,
    const char *bytes, size_t len);
static redisReply *ngx_gw_redis_sync_receive(ngx_gw_redis_sync_t *sync);
static void ngx_gw_redis_sync_begin(ngx_gw_redis_sync_t *sync);
static ngx_msec_t ngx_gw_redis_sync_left(ngx_gw_redis_sync_t *sync);
static ngx_int_t ngx_gw_redis_sync_wait(ngx_gw_redis_sync_t *sync,
    short events);
static ngx_int_t ngx_gw_redis_sync_failed(ngx_gw_redis_sync_t *sync,
    const char *reason);


ngx_int_t
ngx_gw_redis_sync_open(ngx_gw_redis_sync_t *sync, ngx_gw_redis_conf_t *conf,
    ngx_msec_t limit)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    ngx_memzero(sync, sizeof(ngx_gw_redis_sync_t));

    sync->conf = conf;
    sync->log = ngx_cycle->log;
    sync->end = ngx_gw_usec() / 1000 + limit;

    for (i = 0; i < conf->nhosts; i++) {

        switch (conf->kind) {

        case GW_REDIS_SENTINEL:
            rc = ngx_gw_redis_sync_connect(sync, &conf->hosts[i],
                                           NGX_GW_REDIS_SENTINEL);

            if (rc == NGX_OK) {
                rc = ngx_gw_redis_sync_master(sync);
            }

            break;

        case GW_REDIS_CLUSTER:
            rc = ngx_gw_redis_sync_connect(sync, &conf->hosts[i],
                                           NGX_GW_REDIS_SEED);
            break;

        default:
            rc = ngx_gw_redis_sync_connect(sync, &conf->hosts[i],
                                           NGX_GW_REDIS_SERVER);
        }

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        if (ngx_gw_usec() / 1000 >= sync->end) {
            break;
        }
    }

    return NGX_ERROR;
}


void
ngx_gw_redis_sync_close(ngx_gw_redis_sync_t *sync)
{
    ngx_gw_redis_wire_close(&sync->wire, 1);
}


redisReply *
ngx_gw_redis_sync_command(ngx_gw_redis_sync_t *sync, size_t most,
    ngx_uint_t argc, const char **argv, const size_t *argvlen)
{
    unsigned              slot;
    ngx_uint_t            i;
    redisReply           *reply;
    gw_redis_node_t       node;
    gw_redis_redirect_t   kind;
    ngx_gw_redis_host_t   host;

    kind = GW_REDIS_NOT_MOVED;

    for (i = 0; /* void */ ; i++) {

        if (kind == GW_REDIS_ASK
            && ngx_gw_redis_sync_asking(sync) != NGX_OK)
        {
            return NULL;
        }

        reply = ngx_gw_redis_sync_exchange(sync, most, argc, argv, argvlen);

        if (reply == NULL || reply->type != REDIS_REPLY_ERROR
            || sync->conf->kind != GW_REDIS_CLUSTER
            || i == NGX_GW_REDIS_MOVES)
        {
            return reply;
        }

        host = sync->host;
        kind = gw_redis_redirect(reply->str, reply->len, &slot, &node);

        if (kind != GW_REDIS_NOT_MOVED) {
            host.port = node.port;

            if (node.name[0]) {
                ngx_memcpy(host.name, node.name, sizeof(host.name));
            }

        } else if (!gw_redis_reason_is(reply->str, "NOSCRIPT")) {
            return reply;
        }

        /* a seed has been greeted as one, and has no scripts of ours */

        freeReplyObject(reply);
        ngx_gw_redis_sync_close(sync);

        if (ngx_gw_redis_sync_connect(sync, &host, NGX_GW_REDIS_SERVER)
            != NGX_OK)
        {
            return NULL;
        }
    }
}


static ngx_int_t
ngx_gw_redis_sync_asking(ngx_gw_redis_sync_t *sync)
{
    size_t       len;
    redisReply  *reply;
    const char  *argv;

    argv = "ASKING";
    len = 6;

    reply = ngx_gw_redis_sync_exchange(sync, GW_REDIS_REPLY, 1, &argv,
                                       &len);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    freeReplyObject(reply);

    return NGX_OK;
}


/* Tries all addresses of a host. */

static ngx_int_t
ngx_gw_redis_sync_connect(ngx_gw_redis_sync_t *sync,
    ngx_gw_redis_host_t *host, ngx_gw_redis_greet_e kind)
{
    ngx_uint_t            i;
    ngx_gw_redis_addrs_t  addrs;

    sync->host = *host;

    ngx_gw_redis_sync_begin(sync);

    if (ngx_gw_redis_name_wait(&addrs, &sync->host,
                               ngx_gw_redis_sync_left(sync))
        != NGX_OK)
    {
        return ngx_gw_redis_sync_failed(sync, addrs.reason);
    }

    for (i = 0; i < addrs.n; i++) {

        if (ngx_gw_redis_sync_address(sync, &addrs.sockaddr[i],
                                      addrs.socklen[i])
            == NGX_OK
            && ngx_gw_redis_sync_greet(sync, kind) == NGX_OK)
        {
            return NGX_OK;
        }

        if (ngx_gw_usec() / 1000 >= sync->end) {
            break;
        }
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_gw_redis_sync_address(ngx_gw_redis_sync_t *sync,
    ngx_sockaddr_t *sockaddr, socklen_t socklen)
{
    ngx_int_t  rc;

    ngx_gw_redis_sync_begin(sync);

    if (ngx_gw_redis_wire_open(&sync->wire, sync->conf->tls, sync->host.name,
                               sockaddr, socklen)
        != NGX_OK)
    {
        return ngx_gw_redis_sync_failed(sync, sync->wire.reason);
    }

    rc = sync->wire.connected ? NGX_OK
                              : ngx_gw_redis_sync_wait(sync, POLLOUT);

    while (rc == NGX_OK) {
        rc = ngx_gw_redis_wire_connect(&sync->wire);

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        if (rc == NGX_ERROR) {
            return ngx_gw_redis_sync_failed(sync, sync->wire.reason);
        }

        rc = ngx_gw_redis_sync_wait(sync, sync->wire.writing ? POLLOUT
                                                             : POLLIN);
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_gw_redis_sync_greet(ngx_gw_redis_sync_t *sync, ngx_gw_redis_greet_e kind)
{
    int                    len;
    char                  *bytes, reason[NGX_GW_REDIS_REASON];
    ngx_int_t              rc;
    ngx_uint_t             i;
    redisReply            *reply;
    ngx_gw_redis_greet_t   greet;

    ngx_gw_redis_greet(&greet, sync->conf, kind, sync->log);

    for (i = 0; i < greet.n; i++) {
        len = ngx_gw_redis_greet_format(&greet, i, &bytes);

        if (len < 0) {
            return ngx_gw_redis_sync_failed(sync, "out of memory");
        }

        ngx_gw_redis_sync_begin(sync);
        sync->wire.bound.most = GW_REDIS_REPLY;

        rc = ngx_gw_redis_sync_send(sync, bytes, len);

        ngx_gw_redis_greet_free(bytes, len);

        reply = rc == NGX_OK ? ngx_gw_redis_sync_receive(sync) : NULL;

        if (reply == NULL) {
            return NGX_ERROR;
        }

        rc = ngx_gw_redis_greet_check(&greet, i, reply, reason);

        freeReplyObject(reply);

        if (rc != NGX_OK) {
            return ngx_gw_redis_sync_failed(sync, reason);
        }
    }

    return NGX_OK;
}


/* Asks a Sentinel, and connects to the master that it names. */

static ngx_int_t
ngx_gw_redis_sync_master(ngx_gw_redis_sync_t *sync)
{
    bool                  found;
    char                  reason[NGX_GW_REDIS_REASON];
    size_t                len[3];
    redisReply           *reply;
    const char           *argv[3];
    gw_redis_node_t       node;
    ngx_gw_redis_host_t   host;

    argv[0] = "SENTINEL";
    len[0] = 8;
    argv[1] = "get-master-addr-by-name";
    len[1] = 23;
    argv[2] = (char *) sync->conf->master.data;
    len[2] = sync->conf->master.len;

    reply = ngx_gw_redis_sync_exchange(sync, GW_REDIS_REPLY, 3, argv,
                                       len);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    found = gw_redis_sentinel_find(reply, &node);

    ngx_gw_redis_reason(reason, "Sentinel does not know the master");

    if (!found && reply->type == REDIS_REPLY_ERROR) {
        ngx_gw_redis_told(sync->conf, reply, reason);
    }

    freeReplyObject(reply);

    if (!found) {
        return ngx_gw_redis_sync_failed(sync, reason);
    }

    ngx_gw_redis_sync_close(sync);

    ngx_memcpy(host.name, node.name, sizeof(host.name));
    host.port = node.port;

    return ngx_gw_redis_sync_connect(sync, &host, NGX_GW_REDIS_SERVER);
}


static redisReply *
ngx_gw_redis_sync_exchange(ngx_gw_redis_sync_t *sync, size_t most,
    ngx_uint_t argc, const char **argv, const size_t *argvlen)
{
    int        len;
    char      *bytes;
    ngx_int_t  rc;

    if (!ngx_gw_redis_sync_is_open(sync)) {
        return NULL;
    }

    ngx_gw_redis_sync_begin(sync);

    sync->wire.bound.most = most;

    len = redisFormatCommandArgv(&bytes, (int) argc, argv, argvlen);

    if (len < 0) {
        (void) ngx_gw_redis_sync_failed(sync, "out of memory");
        return NULL;
    }

    rc = ngx_gw_redis_sync_send(sync, bytes, len);

    redisFreeCommand(bytes);

    return rc == NGX_OK ? ngx_gw_redis_sync_receive(sync) : NULL;
}


static ngx_int_t
ngx_gw_redis_sync_send(ngx_gw_redis_sync_t *sync, const char *bytes,
    size_t len)
{
    ssize_t  n;

    while (len > 0) {
        sync->wire.writing = 0;
        n = ngx_gw_redis_wire_send(&sync->wire, bytes, len);

        if (n == NGX_ERROR) {
            return ngx_gw_redis_sync_failed(sync, sync->wire.reason);
        }

        if (n != NGX_AGAIN) {
            bytes += n;
            len -= n;
            continue;
        }

        if (ngx_gw_redis_sync_wait(sync, sync->wire.writing ? POLLOUT
                                                            : POLLIN)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static redisReply *
ngx_gw_redis_sync_receive(ngx_gw_redis_sync_t *sync)
{
    ngx_int_t    rc;
    redisReply  *reply;

    sync->wire.bound.awaited = 1;

    for ( ;; ) {
        if (ngx_gw_redis_wire_reply(&sync->wire, &reply) != NGX_OK) {
            (void) ngx_gw_redis_sync_failed(sync, sync->wire.reason);
            return NULL;
        }

        if (reply != NULL) {
            return reply;
        }

        sync->wire.writing = 0;
        rc = ngx_gw_redis_wire_receive(&sync->wire);

        if (rc == NGX_ERROR) {
            (void) ngx_gw_redis_sync_failed(sync, sync->wire.reason);
            return NULL;
        }

        /* even if there is always something */

        if (ngx_gw_redis_sync_wait(sync, rc == NGX_OK ? 0
                                         : sync->wire.writing ? POLLOUT
                                         : POLLIN)
            != NGX_OK)
        {
            return NULL;
        }
    }
}


static void
ngx_gw_redis_sync_begin(ngx_gw_redis_sync_t *sync)
{
    sync->deadline = ngx_min(ngx_gw_usec() / 1000 + sync->conf->timeout,
                             sync->end);
}


static ngx_msec_t
ngx_gw_redis_sync_left(ngx_gw_redis_sync_t *sync)
{
    uint64_t  now;

    now = ngx_gw_usec() / 1000;

    return now < sync->deadline ? (ngx_msec_t) (sync->deadline - now) : 0;
}


/*
 * Until the socket is ready, or the exchange has taken its time; without
 * events only whether that is over.
 */

static ngx_int_t
ngx_gw_redis_sync_wait(ngx_gw_redis_sync_t *sync, short events)
{
    int            n;
    ngx_msec_t     left;
    struct pollfd  pfd;

    pfd.fd = sync->wire.fd;
    pfd.events = events;

    do {
        left = ngx_gw_redis_sync_left(sync);

        if (left == 0) {
            return ngx_gw_redis_sync_failed(sync,
                                    (sync->deadline == sync->end)
                                    ? "it took too long altogether"
                                    : ngx_gw_redis_wire_timed_out(&sync->wire));
        }

        if (events == 0) {
            return NGX_OK;
        }

        pfd.revents = 0;
        n = poll(&pfd, 1, (int) left);

    } while (n == 0 || (n == -1 && ngx_errno == NGX_EINTR));

    if (n == -1) {
        return ngx_gw_redis_sync_failed(sync, strerror(ngx_errno));
    }

    return NGX_OK;
}


/* Nothing comes of the connection any more. */

static ngx_int_t
ngx_gw_redis_sync_failed(ngx_gw_redis_sync_t *sync, const char *reason)
{
    if (reason != sync->reason) {
        ngx_gw_redis_reason(sync->reason, reason);
    }

    ngx_gw_redis_sync_close(sync);

    return NGX_ERROR;
}
