
/*
 * From a server's name to its addresses, each time that they are needed: by
 * nginx's resolver where there is one, else, or if that does not know the
 * name, by the system in a thread.
 */


#ifndef NGX_GW_REDIS_NAME_H
#define NGX_GW_REDIS_NAME_H


#include "src/redis/ngx_gw_redis_conf.h"


#define NGX_GW_REDIS_ADDRS  16


typedef struct {
    ngx_uint_t             n;
    ngx_sockaddr_t         sockaddr[NGX_GW_REDIS_ADDRS];
    socklen_t              socklen[NGX_GW_REDIS_ADDRS];
    char                   reason[NGX_GW_REDIS_REASON];     /* if n == 0 */
} ngx_gw_redis_addrs_t;


typedef struct ngx_gw_redis_name_s  ngx_gw_redis_name_t;

struct ngx_gw_redis_name_s {
    /* the owner's */
    ngx_gw_redis_conf_t   *conf;
    ngx_log_t             *log;
    void                  *data;
    void                 (*done)(ngx_gw_redis_name_t *name);

    ngx_gw_redis_addrs_t   addrs;       /* what came of it */

    /* private */
    ngx_gw_redis_host_t   *host;
    ngx_resolver_ctx_t    *ctx;
    ngx_queue_t            queue;       /* of those that wait for a thread */
    unsigned               queued:1;
};


/*
 * Looks a host up and calls done(), perhaps at once; host lives until then.
 */

void ngx_gw_redis_name_find(ngx_gw_redis_name_t *name,
    ngx_gw_redis_host_t *host);

/* done() will not be called. */

void ngx_gw_redis_name_cancel(ngx_gw_redis_name_t *name);

/*
 * For a process that may block, for msec at most; NGX_ERROR with
 * addrs->reason.
 */

ngx_int_t ngx_gw_redis_name_wait(ngx_gw_redis_addrs_t *addrs,
    ngx_gw_redis_host_t *host, ngx_msec_t msec);


#endif /* NGX_GW_REDIS_NAME_H */
