
/*
 * The bytes of a connection to Redis; see ngx_gw_redis_wire.h.
 */


#include "src/redis/ngx_gw_redis_wire.h"

#include <netinet/tcp.h>


#define NGX_GW_REDIS_READ  16384        /* bytes at once */


static ngx_int_t ngx_gw_redis_wire_socket(ngx_gw_redis_wire_t *wire,
    int family);
static ngx_int_t ngx_gw_redis_wire_connected(ngx_gw_redis_wire_t *wire);
static ngx_int_t ngx_gw_redis_wire_failed(ngx_gw_redis_wire_t *wire,
    const char *reason);
static ngx_int_t ngx_gw_redis_wire_errno(ngx_gw_redis_wire_t *wire,
    ngx_err_t err);
#if (NGX_SSL)
static ngx_int_t ngx_gw_redis_wire_handshake(ngx_gw_redis_wire_t *wire);
static ngx_int_t ngx_gw_redis_wire_result(ngx_gw_redis_wire_t *wire, int n);
#endif


ngx_int_t
ngx_gw_redis_wire_open(ngx_gw_redis_wire_t *wire, ngx_gw_redis_tls_t *tls,
    const char *host, ngx_sockaddr_t *sockaddr, socklen_t socklen)
{
    wire->reason[0] = '\0';

    if (ngx_gw_redis_wire_socket(wire, sockaddr->sockaddr.sa_family)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    wire->tls = tls;
    wire->host = host;

    if (connect(wire->fd, &sockaddr->sockaddr, socklen) == 0) {
        wire->connected = 1;
        return NGX_OK;
    }

    if (ngx_socket_errno != NGX_EINPROGRESS && ngx_socket_errno != NGX_EINTR)
    {
        return ngx_gw_redis_wire_errno(wire, ngx_socket_errno);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_gw_redis_wire_socket(ngx_gw_redis_wire_t *wire, int family)
{
    int           on;
    ngx_socket_t  fd;

    fd = socket(family, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == (ngx_socket_t) -1) {
        return ngx_gw_redis_wire_errno(wire, ngx_socket_errno);
    }

    wire->reader = redisReaderCreate();

    if (wire->reader == NULL) {
        (void) ngx_close_socket(fd);
        return ngx_gw_redis_wire_failed(wire, "out of memory");
    }

    wire->fd = fd;
    gw_redis_bound(&wire->bound, wire->reader);

    /* without the second, one that is cut off is seen by timeouts only */

    on = 1;

    if (family != AF_UNIX) {
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int));
        (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(int));
    }

    return NGX_OK;
}


ngx_int_t
ngx_gw_redis_wire_connect(ngx_gw_redis_wire_t *wire)
{
    wire->writing = 0;

    if (!wire->connected && ngx_gw_redis_wire_connected(wire) != NGX_OK) {
        return NGX_ERROR;
    }

#if (NGX_SSL)
    if (wire->tls != NULL) {
        ngx_int_t  rc;

        rc = ngx_gw_redis_wire_handshake(wire);

        if (rc != NGX_OK) {
            return rc;
        }
    }
#endif

    wire->ready = 1;

    return NGX_OK;
}


#if (NGX_SSL)

static ngx_int_t
ngx_gw_redis_wire_handshake(ngx_gw_redis_wire_t *wire)
{
    int        n;
    ngx_int_t  rc;

    if (wire->ssl == NULL) {
        wire->ssl = ngx_gw_redis_tls_open(wire->tls, wire->fd, wire->host);

        if (wire->ssl == NULL) {
            return ngx_gw_redis_wire_failed(wire, "TLS: out of memory");
        }
    }

    ERR_clear_error();
    ngx_set_errno(0);

    n = SSL_do_handshake(wire->ssl);

    if (n == 1) {
        return NGX_OK;
    }

    rc = ngx_gw_redis_wire_result(wire, n);

    return rc == NGX_DONE
           ? ngx_gw_redis_wire_failed(wire, "TLS handshake failed: server "
                                      "closed the connection")
           : rc;
}

#endif


static ngx_int_t
ngx_gw_redis_wire_connected(ngx_gw_redis_wire_t *wire)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    if (getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len)
        == -1)
    {
        err = ngx_socket_errno;
    }

    if (err) {
        return ngx_gw_redis_wire_errno(wire, err);
    }

    wire->connected = 1;

    return NGX_OK;
}


ssize_t
ngx_gw_redis_wire_send(ngx_gw_redis_wire_t *wire, const void *data,
    size_t len)
{
    ssize_t  n;

#if (NGX_SSL)
    if (wire->ssl != NULL) {
        ERR_clear_error();
        ngx_set_errno(0);

        n = SSL_write(wire->ssl, data, (int) ngx_min(len, NGX_MAX_INT32_VALUE));

        if (n > 0) {
            return n;
        }

        n = ngx_gw_redis_wire_result(wire, (int) n);

        return n == NGX_DONE
               ? ngx_gw_redis_wire_failed(wire, "server closed the "
                                          "connection")
               : n;
    }
#endif

    do {
        n = send(wire->fd, data, len, MSG_NOSIGNAL);
    } while (n == -1 && ngx_socket_errno == NGX_EINTR);

    if (n == -1 && ngx_socket_errno == NGX_EAGAIN) {
        wire->writing = 1;
        return NGX_AGAIN;
    }

    return n == -1 ? ngx_gw_redis_wire_errno(wire, ngx_socket_errno) : n;
}


ngx_int_t
ngx_gw_redis_wire_receive(ngx_gw_redis_wire_t *wire)
{
    char       buf[NGX_GW_REDIS_READ];
    ssize_t    n;
    ngx_int_t  rc;

#if (NGX_SSL)
    if (wire->ssl != NULL) {
        ERR_clear_error();
        ngx_set_errno(0);

        n = SSL_read(wire->ssl, buf, sizeof(buf));

        if (n <= 0) {
            rc = ngx_gw_redis_wire_result(wire, (int) n);

            if (rc != NGX_DONE) {
                return rc;
            }

            n = 0;
        }

    } else
#endif
    {
        do {
            n = recv(wire->fd, buf, sizeof(buf), 0);
        } while (n == -1 && ngx_socket_errno == NGX_EINTR);

        if (n == -1) {
            rc = ngx_socket_errno;
            return rc == NGX_EAGAIN ? NGX_AGAIN
                                    : ngx_gw_redis_wire_errno(wire, rc);
        }
    }

    if (n == 0) {
        return ngx_gw_redis_wire_failed(wire, "server closed the connection");
    }

    if (redisReaderFeed(wire->reader, buf, n) != REDIS_OK) {
        return ngx_gw_redis_wire_failed(wire, wire->reader->errstr);
    }

    return NGX_OK;
}


ngx_int_t
ngx_gw_redis_wire_reply(ngx_gw_redis_wire_t *wire, redisReply **reply)
{
    if (!gw_redis_bound_reply(&wire->bound, wire->reader, reply)) {
        return ngx_gw_redis_wire_failed(wire, wire->bound.error);
    }

    return NGX_OK;
}


void
ngx_gw_redis_wire_close(ngx_gw_redis_wire_t *wire, ngx_uint_t all)
{
    char  reason[NGX_GW_REDIS_REASON];

#if (NGX_SSL)
    if (wire->ssl != NULL) {

        if (wire->ready && !wire->broken) {
            ERR_clear_error();
            (void) SSL_shutdown(wire->ssl);
            ERR_clear_error();
        }

        SSL_free(wire->ssl);
    }
#endif

    if (wire->reader != NULL) {
        redisReaderFree(wire->reader);

        if (all) {
            (void) ngx_close_socket(wire->fd);
        }
    }

    ngx_memcpy(reason, wire->reason, sizeof(reason));
    ngx_memzero(wire, sizeof(ngx_gw_redis_wire_t));
    ngx_memcpy(wire->reason, reason, sizeof(reason));
}


const char *
ngx_gw_redis_wire_timed_out(ngx_gw_redis_wire_t *wire)
{
    return wire->ready ? "timed out"
           : wire->connected && wire->tls ? "TLS handshake timed out"
           : "connection timed out";
}


static ngx_int_t
ngx_gw_redis_wire_failed(ngx_gw_redis_wire_t *wire, const char *reason)
{
    wire->broken = 1;
    ngx_gw_redis_reason(wire->reason, reason);

    return NGX_ERROR;
}


static ngx_int_t
ngx_gw_redis_wire_errno(ngx_gw_redis_wire_t *wire, ngx_err_t err)
{
    u_char  *p;

    wire->broken = 1;

    p = ngx_strerror(err, (u_char *) wire->reason, NGX_GW_REDIS_REASON - 1);
    *p = '\0';

    return NGX_ERROR;
}


#if (NGX_SSL)

static ngx_int_t
ngx_gw_redis_wire_result(ngx_gw_redis_wire_t *wire, int n)
{
    ngx_int_t   rc;
    ngx_uint_t  writing;

    rc = ngx_gw_redis_tls_result(wire->tls, wire->ssl, n, &writing,
                                 wire->reason, NGX_GW_REDIS_REASON);

    wire->writing |= writing;

    if (rc == NGX_ERROR || rc == NGX_DONE) {
        wire->broken = 1;
    }

    return rc;
}

#endif
