
/*
 * A connection to Redis that is kept up: connects, authenticates, comes back
 * with backoff, finds the master through Sentinel, and sends commands, all
 * without ever blocking the worker.  One per worker and purpose.
 */


#ifndef NGX_GW_REDIS_H
#define NGX_GW_REDIS_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "src/redis/ngx_gw_redis_link.h"


/* What the configuration says; the strings also end in NUL. */

typedef struct {
    ngx_str_t              name;        /* for messages, without secrets */
    ngx_str_t              user;        /* len 0: none */
    ngx_str_t              password;    /* len 0: none */
    ngx_str_t              master;      /* len 0: no Sentinel */
    ngx_uint_t             db;
    ngx_addr_t            *addrs;       /* of the server, or of Sentinels */
    ngx_str_t             *names;       /* that they are of; len 0: none */
    ngx_uint_t             naddrs;
    ngx_resolver_t       **resolver;    /* where it will be; may be NULL */
    ngx_msec_t             timeout;     /* to connect, and of a command */
} ngx_gw_redis_conf_t;


typedef struct ngx_gw_redis_s  ngx_gw_redis_t;

typedef void (*ngx_gw_redis_pt)(ngx_gw_redis_t *redis);

/*
 * The answer to a command.  reply is freed by the caller and may be an error
 * of Redis' own; it is NULL if there was none in time, or the connection was
 * lost: what became of the command is unknown then, and redis->reason says
 * so.  New commands may be sent from here.
 */

typedef void (*ngx_gw_redis_reply_pt)(ngx_gw_redis_t *redis,
    redisReply *reply, void *data);


typedef enum {
    NGX_GW_REDIS_CLOSED = 0,    /* not started, or closed for good */
    NGX_GW_REDIS_WAITING,       /* for the next attempt */
    NGX_GW_REDIS_ASKING,        /* a Sentinel, or a resolver */
    NGX_GW_REDIS_GREETING,      /* connecting, AUTH, SELECT, PING, ROLE */
    NGX_GW_REDIS_UP
} ngx_gw_redis_state_t;


struct ngx_gw_redis_s {
    /* the owner's, to be set before the start; each may be NULL */
    void                  *data;
    ngx_gw_redis_pt        on_up;
    ngx_gw_redis_pt        on_down;     /* redis->reason says why */
    ngx_gw_redis_pt        on_leave;    /* the worker begins to exit: the
                                           last time to send something */
    unsigned               quiet:1;     /* log loss and return as "info" */

    /* to be looked at */
    ngx_gw_redis_state_t   state;
    char                   reason[NGX_GW_REDIS_REASON + 64];

    /* private */
    ngx_gw_redis_conf_t   *conf;
    ngx_log_t             *log;
    ngx_gw_redis_link_t    link;
    ngx_event_t            timer;       /* of an attempt, or the next one */
    ngx_uint_t             attempt;     /* in a row, without success */
    ngx_uint_t             current;     /* address to be tried next */
    ngx_resolver_ctx_t    *resolving;   /* the name of an address, which: */
    ngx_uint_t             resolved;
    ngx_uint_t             greetings;   /* replies to come until it is up */
    ngx_msec_t             up_since;
    unsigned               lost:1;      /* the loss was logged */

    ngx_queue_t            sent;        /* commands without a reply */
    ngx_queue_t            spare;
    ngx_uint_t             nsent;
    ngx_uint_t             nholding;    /* of these, not in the background */
    ngx_event_t            deadline;    /* of the first command sent */
    unsigned               extended:1;  /* it was, because of a busy worker */

    ngx_gw_redis_link_t    sentinel;
    ngx_event_t            watch;       /* of the question to Sentinel */
    ngx_uint_t             asked;       /* Sentinels in this round */
    unsigned               asking:1;
    ngx_sockaddr_t         master;      /* as Sentinel says */
    socklen_t              master_len;  /* 0: unknown */
};


/*
 * Takes apart and checks the URL of a store, resolves its names (now, while
 * the configuration is read) and reads the password from a file, if there is
 * a name of one (len 0: none).  NGX_CONF_ERROR after an [emerg] that names
 * directive and reason, but no secret.  conf->timeout and conf->resolver are
 * left alone.
 */

char *ngx_gw_redis_configure(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    ngx_str_t *url, ngx_str_t *password_file);


/* Both have to live as long as the worker does.  NULL if out of memory. */

ngx_gw_redis_t *ngx_gw_redis_create(ngx_pool_t *pool,
    ngx_gw_redis_conf_t *conf, ngx_log_t *log);

void ngx_gw_redis_start(ngx_gw_redis_t *redis);

/*
 * Ends it for good; on_down is not called, commands under way get their NULL.
 * To be called from exit_process at the latest.
 */

void ngx_gw_redis_close(ngx_gw_redis_t *redis);

/*
 * Waits, and blocks, for what is under way, for msec at most.  Only for a
 * process that exits and serves nobody any more.
 */

void ngx_gw_redis_drain(ngx_gw_redis_t *redis, ngx_msec_t msec);

#define ngx_gw_redis_is_up(redis)  ((redis)->state == NGX_GW_REDIS_UP)


/*
 * Sends a command of argc binary arguments.  NGX_OK: callback (may be NULL)
 * is called once, later, within conf->timeout.  NGX_ERROR: nothing was sent,
 * redis->reason says why, and callback is not called.  A worker that exits
 * gracefully waits for the reply.  One of more than NGX_GW_REDIS_REPLY bytes
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

/* Commands sent with this data call back no more. */

void ngx_gw_redis_forget(ngx_gw_redis_t *redis, void *data);


/*
 * What may be told of a reply that was not what was to come, in reason of
 * NGX_GW_REDIS_REASON bytes.
 */

void ngx_gw_redis_told(ngx_gw_redis_conf_t *conf, redisReply *reply,
    char *reason);

/*
 * Whether a reply to ROLE is that of a master; else reason is set, likewise.
 * A server that does not tell is taken for one.
 */

ngx_uint_t ngx_gw_redis_is_master(redisReply *reply, char *reason);


/*
 * Whether a reply is that of a server which has been a master and is one no
 * more; the connection ends with it.
 */

ngx_uint_t ngx_gw_redis_is_demoted(redisReply *reply);

#define NGX_GW_REDIS_DEMOTED  "READONLY: it is not the master any more"


/* Between the parts of this: */

void ngx_gw_redis_connect(ngx_gw_redis_t *redis, ngx_sockaddr_t *sockaddr,
    socklen_t socklen);
void ngx_gw_redis_failed(ngx_gw_redis_t *redis, const char *reason);

/*
 * Looks up the name of address n and connects then, with or without an
 * answer.  NGX_DECLINED: it has none, or there is no resolver.
 */

ngx_int_t ngx_gw_redis_resolve(ngx_gw_redis_t *redis, ngx_uint_t n);
void ngx_gw_redis_resolve_done(ngx_gw_redis_t *redis);

void ngx_gw_redis_command_init(ngx_gw_redis_t *redis);
void ngx_gw_redis_command_done(ngx_gw_redis_t *redis);

void ngx_gw_redis_sentinel_init(ngx_gw_redis_t *redis);
void ngx_gw_redis_sentinel_ask(ngx_gw_redis_t *redis);
void ngx_gw_redis_sentinel_watch(ngx_gw_redis_t *redis);
void ngx_gw_redis_sentinel_done(ngx_gw_redis_t *redis);
ngx_int_t ngx_gw_redis_sentinel_parse(redisReply *reply, ngx_log_t *log,
    ngx_sockaddr_t *sockaddr, socklen_t *socklen);


#endif /* NGX_GW_REDIS_H */
