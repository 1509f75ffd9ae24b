
/*
 * The bytes of a connection to Redis: a socket, plain or with TLS, and
 * hiredis' reader of replies.  Never blocks, and knows nothing of events,
 * so that workers and the master use the same.
 */


#ifndef NGX_GW_REDIS_WIRE_H
#define NGX_GW_REDIS_WIRE_H


#include "src/redis/ngx_gw_redis_conf.h"


/* All zero before the first use and between two. */

typedef struct {
    ngx_socket_t           fd;          /* valid while reader is set */
    redisReader           *reader;      /* NULL: closed */
    ngx_gw_redis_tls_t    *tls;
    const char            *host;        /* the caller's; lives as long */
#if (NGX_SSL)
    SSL                   *ssl;
#endif
    gw_redis_bound_t   bound;       /* most, awaited: the caller's */

    ngx_uint_t             writing;     /* waits until it may write, too */
    unsigned               connected:1;
    unsigned               ready:1;     /* connected, and greeted by TLS */
    unsigned               broken:1;

    char                   reason[NGX_GW_REDIS_REASON];
} ngx_gw_redis_wire_t;


/*
 * Begins to connect.  NGX_ERROR with "reason" set, likewise of the others,
 * and the wire is still to be closed then.
 */

ngx_int_t ngx_gw_redis_wire_open(ngx_gw_redis_wire_t *wire,
    ngx_gw_redis_tls_t *tls, const char *host, ngx_sockaddr_t *sockaddr,
    socklen_t socklen);

/*
 * Goes on connecting, to be called when the socket is ready for something.
 * NGX_OK: it is ready; NGX_AGAIN; NGX_ERROR.
 */

ngx_int_t ngx_gw_redis_wire_connect(ngx_gw_redis_wire_t *wire);

/* How many bytes were taken, more than 0; NGX_AGAIN; NGX_ERROR. */

ssize_t ngx_gw_redis_wire_send(ngx_gw_redis_wire_t *wire, const void *data,
    size_t len);

/* Reads once.  NGX_OK: there is something new; NGX_AGAIN; NGX_ERROR. */

ngx_int_t ngx_gw_redis_wire_receive(ngx_gw_redis_wire_t *wire);

/*
 * The next reply of what was read, for freeReplyObject(), or NULL if it is
 * not there yet.  NGX_ERROR if what is there is none, or out of bounds.
 */

ngx_int_t ngx_gw_redis_wire_reply(ngx_gw_redis_wire_t *wire,
    redisReply **reply);

/* Frees everything but "reason" and, unless all is to go, the socket. */

void ngx_gw_redis_wire_close(ngx_gw_redis_wire_t *wire, ngx_uint_t all);

/* What it was about, when a time is over. */

const char *ngx_gw_redis_wire_timed_out(ngx_gw_redis_wire_t *wire);


#endif /* NGX_GW_REDIS_WIRE_H */
