
/*
 * Redis for processes that may block: the master, when a configuration comes
 * into force and when all workers have exited.
 */


#ifndef NGX_GW_REDIS_SYNC_H
#define NGX_GW_REDIS_SYNC_H


#include "src/common/ngx_gw_redis.h"

#include <hiredis/hiredis.h>


/*
 * Connects, through Sentinel if the configuration says so, and greets the
 * server; no step takes longer than conf->timeout, all together not longer
 * than limit ms.  NULL with the reason in buf of NGX_GW_REDIS_REASON bytes.
 */

redisContext *ngx_gw_redis_sync_open(ngx_gw_redis_conf_t *conf,
    ngx_msec_t limit, char *buf);

/*
 * The reply, for freeReplyObject(); NULL if there was none within
 * conf->timeout: the connection is of no use any more then.
 */

redisReply *ngx_gw_redis_sync_command(redisContext *context, ngx_uint_t argc,
    const char **argv, const size_t *argvlen);


#endif /* NGX_GW_REDIS_SYNC_H */
