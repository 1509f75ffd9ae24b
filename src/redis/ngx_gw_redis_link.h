
/*
 * One connection of hiredis' asynchronous API on nginx's events: hooks,
 * safe closing, and nothing that is written or expected on it.
 */


#ifndef NGX_GW_REDIS_LINK_H
#define NGX_GW_REDIS_LINK_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <hiredis/async.h>

#include "src/redis/ngx_gw_redis_bound.h"


#define NGX_GW_REDIS_REASON  160    /* bytes, with the NUL */


typedef struct ngx_gw_redis_link_s  ngx_gw_redis_link_t;

typedef void (*ngx_gw_redis_link_pt)(ngx_gw_redis_link_t *link);

/* "ac" and "c" come and go together. */

struct ngx_gw_redis_link_s {
    redisAsyncContext     *ac;
    ngx_connection_t      *c;
    ngx_log_t             *log;
    void                  *data;    /* the owner's */

    /* the connection is gone, for the reason in "reason" */
    ngx_gw_redis_link_pt   on_close;

    /* the worker begins to exit gracefully; may be NULL */
    ngx_gw_redis_link_pt   on_leave;

    /* what may be read; "most" is the owner's, for the next reply */
    ngx_gw_redis_bound_t   bound;

    unsigned               busy;        /* hiredis is on the stack */
    unsigned               closing:1;   /* close once it is not */
    unsigned               leaving:1;

    char                   reason[NGX_GW_REDIS_REASON];
};


/*
 * Begins to connect; commands may be sent at once.  NGX_ERROR with "reason"
 * set if that fails here, and on_close is not called then.
 */

ngx_int_t ngx_gw_redis_link_open(ngx_gw_redis_link_t *link,
    ngx_sockaddr_t *sockaddr, socklen_t socklen);

/*
 * Closes the connection, now or, from within a callback of hiredis, when
 * that returns.  Commands not yet answered get NULL for a reply before
 * on_close is called.
 */

void ngx_gw_redis_link_close(ngx_gw_redis_link_t *link, const char *reason);

/*
 * Sends a command.  NGX_ERROR if there is no connection, or no longer, and
 * fn is not called then; otherwise it is called once, and not from here.
 */

ngx_int_t ngx_gw_redis_link_send(ngx_gw_redis_link_t *link,
    redisCallbackFn *fn, void *data, int argc, const char **argv,
    const size_t *argvlen);

/* Why a command got NULL for a reply, or why the connection is gone. */

const char *ngx_gw_redis_link_reason(ngx_gw_redis_link_t *link);

/* Waits up to msec for the socket and handles what is there; blocks. */

void ngx_gw_redis_link_poll(ngx_gw_redis_link_t *link, ngx_msec_t msec);


#endif /* NGX_GW_REDIS_LINK_H */
