
/*
 * Commands under way, of one owner: they are sent to a server, again if that
 * lacks the script or sends them elsewhere, and answered once.
 */


#ifndef NGX_GW_REDIS_COMMAND_H
#define NGX_GW_REDIS_COMMAND_H


#include "src/redis/ngx_gw_redis_server.h"
#include "src/core/text/gw_redis_cluster.h"


/* room for "..., the outcome is unknown" */
#define NGX_GW_REDIS_FATE  (NGX_GW_REDIS_REASON + 64)


typedef struct ngx_gw_redis_s  ngx_gw_redis_t;

/*
 * The answer to a command.  reply is freed after the return and may be an
 * error of Redis' own; it is NULL if there was none in time, or the
 * connection was lost: what became of the command is unknown then, and
 * redis->reason says so.  New commands may be sent from here.
 */

typedef void (*ngx_gw_redis_reply_pt)(ngx_gw_redis_t *redis,
    redisReply *reply, void *data);


typedef struct {
    /* the owner's */
    ngx_gw_redis_t          *redis;
    ngx_gw_redis_conf_t     *conf;
    ngx_log_t               *log;
    char                    *reason;    /* NGX_GW_REDIS_FATE bytes */

    /* where commands of a slot (-1: any) go to; NULL: nobody knows */
    ngx_gw_redis_server_t *(*route)(ngx_gw_redis_t *redis, ngx_int_t slot);

    /* a server has sent a command elsewhere; NULL: there is no memory */
    ngx_gw_redis_server_t *(*moved)(ngx_gw_redis_t *redis,
                                    gw_redis_redirect_t kind,
                                    ngx_uint_t slot,
                                    const gw_redis_node_t *node,
                                    ngx_gw_redis_server_t *from);

    /* one was answered */
    void                   (*answered)(ngx_gw_redis_t *redis);

    /* to be looked at */
    ngx_uint_t               nholding;  /* that an exiting worker waits for */
    unsigned                 unbound:1; /* the last reply, if it is NULL */

    /* private */
    ngx_queue_t              live;
    ngx_queue_t              spare;
    ngx_uint_t               nparked;   /* that are yet to be sent */
    ngx_event_t              timer;     /* of these */
} ngx_gw_redis_commands_t;


typedef struct {
    ngx_gw_redis_reply_pt    callback;  /* may be NULL */
    void                    *data;
    size_t                   most;      /* bytes of the reply */
    ngx_msec_t               timeout;
    unsigned                 background:1;
} ngx_gw_redis_ask_t;


void ngx_gw_redis_commands_init(ngx_gw_redis_commands_t *commands);

/* See ngx_gw_redis_command(). */

ngx_int_t ngx_gw_redis_commands_send(ngx_gw_redis_commands_t *commands,
    ngx_gw_redis_ask_t *ask, ngx_uint_t argc, const char **argv,
    const size_t *argvlen);

/* Sends, or ends, what has waited for a server that is ready, or down. */

void ngx_gw_redis_commands_resume(ngx_gw_redis_commands_t *commands);

/* Whether one is under way, or waits, at a server. */

ngx_uint_t ngx_gw_redis_commands_at(ngx_gw_redis_commands_t *commands,
    ngx_gw_redis_server_t *server);

void ngx_gw_redis_commands_forget(ngx_gw_redis_commands_t *commands,
    void *data);

/* The end: those that wait get their NULL. */

void ngx_gw_redis_commands_close(ngx_gw_redis_commands_t *commands);

/*
 * Whether a reply is that of a server which has been a master and is one no
 * more; the connection ends with it.
 */

ngx_uint_t ngx_gw_redis_is_demoted(redisReply *reply);

#define NGX_GW_REDIS_DEMOTED  "READONLY: it is not the master any more"


#endif /* NGX_GW_REDIS_COMMAND_H */
