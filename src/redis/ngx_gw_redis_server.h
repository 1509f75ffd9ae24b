
/*
 * One server, of Redis or a Sentinel: its name is looked up, its addresses
 * are tried in turn, and it is greeted; then calls may be made on its link.
 * One attempt at a time, and none that was not asked for.
 */


#ifndef NGX_GW_REDIS_SERVER_H
#define NGX_GW_REDIS_SERVER_H


#include "src/redis/ngx_gw_redis_greet.h"
#include "src/redis/ngx_gw_redis_link.h"
#include "src/redis/ngx_gw_redis_name.h"


typedef enum {
    NGX_GW_REDIS_DOWN = 0,
    NGX_GW_REDIS_LOOKING,       /* for its addresses */
    NGX_GW_REDIS_GREETED,       /* connecting, and waiting for replies */
    NGX_GW_REDIS_READY
} ngx_gw_redis_server_state_e;


typedef struct ngx_gw_redis_server_s  ngx_gw_redis_server_t;

typedef void (*ngx_gw_redis_server_pt)(ngx_gw_redis_server_t *server);

struct ngx_gw_redis_server_s {
    /* the owner's */
    ngx_queue_t                   queue;
    void                         *data;
    ngx_gw_redis_server_pt        on_ready;
    ngx_gw_redis_server_pt        on_down;      /* reason says why */
    ngx_gw_redis_server_pt        on_leave;     /* as of the link */
    ngx_gw_redis_host_t           host;         /* while it is down */

    /* to be looked at */
    ngx_gw_redis_server_state_e   state;
    ngx_msec_t                    since;        /* it is ready */
    char                          reason[NGX_GW_REDIS_REASON];

    /* private */
    ngx_gw_redis_link_t           link;
    ngx_gw_redis_name_t           name;
    ngx_uint_t                    tried;        /* addresses */
    ngx_gw_redis_greet_t          greet;
    ngx_uint_t                    greeted;      /* replies that came */
    ngx_gw_redis_call_t           calls[NGX_GW_REDIS_GREETINGS];
};


/* In zeroed memory; the owner sets its fields afterwards. */

void ngx_gw_redis_server_init(ngx_gw_redis_server_t *server,
    ngx_gw_redis_conf_t *conf, ngx_gw_redis_greet_e kind, ngx_log_t *log);

/*
 * Makes an attempt, if it is down.  on_ready or on_down is called, perhaps
 * at once; and on_down again when it is lost.
 */

void ngx_gw_redis_server_open(ngx_gw_redis_server_t *server);

/*
 * Ends the attempt, or the connection; on_down is called, later if this is
 * called from within an answer, and never if it is down already.
 */

void ngx_gw_redis_server_close(ngx_gw_redis_server_t *server,
    const char *reason);


#endif /* NGX_GW_REDIS_SERVER_H */
