
/*
 * Redis for processes that may block: the master, when a configuration comes
 * into force and when all workers have exited.  However slowly a server
 * answers, an exchange ends within conf->timeout, and all of them together
 * within the time that was given at the beginning.
 */


#ifndef NGX_GW_REDIS_SYNC_H
#define NGX_GW_REDIS_SYNC_H


#include "src/redis/ngx_gw_redis_greet.h"
#include "src/redis/ngx_gw_redis_wire.h"


typedef struct {
    char                  reason[NGX_GW_REDIS_REASON];

    /* private */
    ngx_gw_redis_conf_t  *conf;
    ngx_log_t            *log;
    ngx_gw_redis_host_t   host;         /* that it is connected to */
    ngx_gw_redis_wire_t   wire;
    uint64_t              end;          /* ms, monotonic: of everything */
    uint64_t              deadline;     /* of the exchange */
} ngx_gw_redis_sync_t;


/*
 * Connects, through Sentinel if the configuration says so, greets the server
 * and makes sure that it is a master.  limit: ms, for this and all that
 * follows.  NGX_ERROR with sync->reason set.
 */

ngx_int_t ngx_gw_redis_sync_open(ngx_gw_redis_sync_t *sync,
    ngx_gw_redis_conf_t *conf, ngx_msec_t limit);

/*
 * The reply, of at most so many bytes, for freeReplyObject().  NULL: there
 * was none in time; sync->reason says why, and there is none to any later
 * command either.  In a cluster the node that serves the key is connected to.
 */

redisReply *ngx_gw_redis_sync_command(ngx_gw_redis_sync_t *sync, size_t most,
    ngx_uint_t argc, const char **argv, const size_t *argvlen);

#define ngx_gw_redis_sync_is_open(sync)  ((sync)->wire.reader != NULL)

void ngx_gw_redis_sync_close(ngx_gw_redis_sync_t *sync);


#endif /* NGX_GW_REDIS_SYNC_H */
