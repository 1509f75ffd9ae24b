
/*
 * A connection to Redis on nginx's events: what is to be written, and the
 * calls that wait for replies.  Redis answers in the order of the questions,
 * so one timer, for the first call, is enough.
 */


#ifndef NGX_GW_REDIS_LINK_H
#define NGX_GW_REDIS_LINK_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "src/redis/ngx_gw_redis_wire.h"


/* bytes that wait to be written, at most */
#define NGX_GW_REDIS_OUT  (16 * 1024 * 1024)


typedef struct ngx_gw_redis_link_s  ngx_gw_redis_link_t;
typedef struct ngx_gw_redis_call_s  ngx_gw_redis_call_t;

typedef void (*ngx_gw_redis_link_pt)(ngx_gw_redis_link_t *link);

/*
 * A call that waits for its reply, in memory of the caller, which gets it
 * back with "answer".  reply is freed afterwards; NULL: the connection is
 * gone, for the reason in link->reason.
 */

struct ngx_gw_redis_call_s {
    ngx_queue_t            queue;
    void                 (*answer)(ngx_gw_redis_call_t *call,
                                   redisReply *reply);
    void                  *data;        /* the caller's */
    size_t                 most;        /* bytes of the reply */
    ngx_msec_t             deadline;    /* when the reply has to be there */
    unsigned               background:1;  /* an exiting worker does not wait */
};


struct ngx_gw_redis_link_s {
    /* the owner's */
    ngx_log_t             *log;
    void                  *data;
    ngx_gw_redis_link_pt   on_close;    /* gone, for the reason in "reason" */
    ngx_gw_redis_link_pt   on_leave;    /* the worker begins to exit; NULL:
                                           the connection is closed then */
    /* to be looked at */
    char                   reason[NGX_GW_REDIS_REASON];
    ngx_connection_t      *c;           /* NULL: closed */
    unsigned               unbound:1;   /* because of a reply's size or form */

    /* private */
    ngx_gw_redis_wire_t    wire;
    ngx_queue_t            calls;
    ngx_uint_t             nholding;    /* of these, not in the background */
    ngx_event_t            timer;
    u_char                *out;         /* [start, end) is to be written */
    size_t                 start;
    size_t                 end;
    size_t                 size;
    unsigned               busy:1;      /* a callback may be on the stack */
    unsigned               closing:1;   /* close once there is none */
    unsigned               leaving:1;
    unsigned               extended:1;  /* the time, as the worker was busy */
};


void ngx_gw_redis_link_init(ngx_gw_redis_link_t *link, ngx_log_t *log);

/*
 * Begins to connect; calls may be made at once, and the deadline of the first
 * one is that of the connection, too.  host, of the certificate, lives as
 * long as the connection.  NGX_ERROR with "reason" set if that fails here,
 * and on_close is not called then.
 */

ngx_int_t ngx_gw_redis_link_open(ngx_gw_redis_link_t *link,
    ngx_gw_redis_tls_t *tls, const char *host, ngx_sockaddr_t *sockaddr,
    socklen_t socklen);

/*
 * Closes the connection, now or, from within an answer, when that returns.
 * Calls get NULL for a reply before on_close is called.
 */

void ngx_gw_redis_link_close(ngx_gw_redis_link_t *link, const char *reason);

/*
 * Sends a command of len bytes.  NGX_ERROR if there is no connection, or no
 * longer, or too much waits to be written; the call is not made then.
 */

ngx_int_t ngx_gw_redis_link_send(ngx_gw_redis_link_t *link,
    ngx_gw_redis_call_t *call, const void *data, size_t len);

#define ngx_gw_redis_link_is_open(link)                                      \
    ((link)->c != NULL && !(link)->closing)


#endif /* NGX_GW_REDIS_LINK_H */
