
/*
 * A connection to Redis that is kept up: finds the master through Sentinel,
 * or the masters of a cluster, comes back with backoff, and sends commands,
 * all without ever blocking the worker.  One per worker and purpose.
 */


#ifndef NGX_GW_REDIS_H
#define NGX_GW_REDIS_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "src/redis/ngx_gw_redis_command.h"
#include "src/redis/ngx_gw_redis_seek.h"


typedef void (*ngx_gw_redis_pt)(ngx_gw_redis_t *redis);


typedef enum {
    NGX_GW_REDIS_CLOSED = 0,    /* not started, or closed for good */
    NGX_GW_REDIS_WAITING,       /* for the next attempt */
    NGX_GW_REDIS_ASKING,        /* where the master is */
    NGX_GW_REDIS_GREETING,      /* looking up, connecting, AUTH, ... */
    NGX_GW_REDIS_UP
} ngx_gw_redis_state_t;


/* A slot that is in use, and who serves it; without a cluster all of them. */

typedef struct {
    ngx_uint_t              slot;
    ngx_gw_redis_server_t  *server;     /* NULL: not known yet */
} ngx_gw_redis_use_t;


struct ngx_gw_redis_s {
    /* the owner's, to be set before the start; each may be NULL */
    void                     *data;
    ngx_gw_redis_pt           on_up;
    ngx_gw_redis_pt           on_down;      /* redis->reason says why */
    ngx_gw_redis_pt           on_leave;     /* the worker begins to exit: the
                                               last time to send something */
    unsigned                  quiet:1;      /* log loss and return as "info" */

    /* to be looked at; up is a cluster with at least one master in use */
    ngx_gw_redis_state_t      state;
    char                      reason[NGX_GW_REDIS_FATE];

    /* private */
    ngx_gw_redis_conf_t      *conf;
    ngx_pool_t               *pool;
    ngx_log_t                *log;
    ngx_gw_redis_seek_t      *seek;         /* NULL: one server, always */
    ngx_gw_redis_commands_t   commands;
    ngx_queue_t               servers;      /* of the pool; reused */
    ngx_array_t               uses;         /* by slot */
    ngx_event_t               timer;        /* of the next attempt */
    ngx_uint_t                attempt;      /* in a row, without success */
    unsigned                  lost:1;       /* the loss was logged */
    unsigned                  opening:1;    /* not all are open yet */
    unsigned                  leaving:1;
};


/* Both have to live as long as the worker does.  NULL if out of memory. */

ngx_gw_redis_t *ngx_gw_redis_create(ngx_pool_t *pool,
    ngx_gw_redis_conf_t *conf, ngx_log_t *log);

/*
 * Says that commands for a key are to come, before the start: a cluster is
 * up as soon as one node with such a key is.  NGX_ERROR: no memory.
 */

ngx_int_t ngx_gw_redis_use(ngx_gw_redis_t *redis, ngx_str_t *key);

void ngx_gw_redis_start(ngx_gw_redis_t *redis);

/*
 * Why commands for a key have nobody to go to while redis is up: in a cluster
 * the key's node may be away.  NULL: they have, or redis is not up at all.
 */

const char *ngx_gw_redis_lacks(ngx_gw_redis_t *redis, ngx_str_t *key);

/*
 * Ends it for good; on_down is not called, commands under way get their NULL.
 * To be called from exit_process at the latest.
 */

void ngx_gw_redis_close(ngx_gw_redis_t *redis);

/* Ends all connections, as if they had been lost. */

void ngx_gw_redis_reconnect(ngx_gw_redis_t *redis, const char *reason);

#define ngx_gw_redis_is_up(redis)  ((redis)->state == NGX_GW_REDIS_UP)


/*
 * Sends a command of argc binary arguments.  NGX_OK: callback (may be NULL)
 * is called once, later, within conf->timeout.  NGX_ERROR: nothing was sent,
 * redis->reason says why, and callback is not called.  A worker that exits
 * gracefully waits for the reply.  One of more than GW_REDIS_REPLY bytes
 * is none, and ends the connection; so does that of a demoted master.
 */

ngx_int_t ngx_gw_redis_command(ngx_gw_redis_t *redis,
    ngx_gw_redis_reply_pt callback, void *data, ngx_uint_t argc,
    const char **argv, const size_t *argvlen);

/* The same for replies of up to so many bytes of memory. */

ngx_int_t ngx_gw_redis_query(ngx_gw_redis_t *redis,
    ngx_gw_redis_reply_pt callback, void *data, size_t most, ngx_uint_t argc,
    const char **argv, const size_t *argvlen);

/*
 * The same with its own timeout (ms), for commands that Redis is to answer
 * late (BLOCK); an exiting worker does not wait for the reply.
 */

ngx_int_t ngx_gw_redis_background(ngx_gw_redis_t *redis,
    ngx_gw_redis_reply_pt callback, void *data, size_t most,
    ngx_msec_t timeout, ngx_uint_t argc, const char **argv,
    const size_t *argvlen);

/*
 * In a callback without a reply: whether there was one that is too long, or
 * none at all by its form.
 */

#define ngx_gw_redis_is_unbound(redis)  ((redis)->commands.unbound)

/* Commands sent with this data call back no more. */

void ngx_gw_redis_forget(ngx_gw_redis_t *redis, void *data);


#endif /* NGX_GW_REDIS_H */
