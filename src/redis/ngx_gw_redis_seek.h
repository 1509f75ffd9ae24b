
/*
 * Who is asked where a master is: Sentinels, or the nodes of a cluster, each
 * in turn until one knows, and again from time to time.
 */


#ifndef NGX_GW_REDIS_SEEK_H
#define NGX_GW_REDIS_SEEK_H


#include "src/redis/ngx_gw_redis_server.h"
#include "src/core/text/gw_redis_cluster.h"


/* nodes of a cluster that are asked besides the seeds */
#define NGX_GW_REDIS_KNOWN     8

/* bytes of a cluster's topology */
#define NGX_GW_REDIS_TOPOLOGY  (4 * 1024 * 1024)


typedef struct ngx_gw_redis_seek_s  ngx_gw_redis_seek_t;

struct ngx_gw_redis_seek_s {
    /* the owner's */
    ngx_gw_redis_conf_t    *conf;
    void                   *data;

    /* what is known now; who was asked is seek->server.host */
    void                  (*on_known)(ngx_gw_redis_seek_t *seek,
                                      redisReply *reply);

    /* nobody knew; not called for what was asked by ..._seek_later() */
    void                  (*on_vain)(ngx_gw_redis_seek_t *seek,
                                     const char *reason);

    /* private */
    ngx_gw_redis_server_t   server;
    ngx_gw_redis_call_t     call;
    ngx_event_t             timer;
    ngx_uint_t              current;    /* host */
    ngx_uint_t              asked;      /* hosts in this round */
    ngx_msec_t              every;      /* ms between questions; 0: none */
    ngx_gw_redis_host_t     known[NGX_GW_REDIS_KNOWN];  /* besides seeds */
    ngx_uint_t              nknown;
    ngx_uint_t              oldest;     /* of these */
    unsigned                asking:1;
    unsigned                urgent:1;
    unsigned                old:1;      /* it has no CLUSTER SHARDS */
};


void ngx_gw_redis_seek_init(ngx_gw_redis_seek_t *seek,
    ngx_gw_redis_conf_t *conf, ngx_log_t *log);

/* Asks all, one after the other, unless that is under way. */

void ngx_gw_redis_seek_now(ngx_gw_redis_seek_t *seek);

/* Asks one again in msec, and in as many after each answer. */

void ngx_gw_redis_seek_later(ngx_gw_redis_seek_t *seek, ngx_msec_t msec);

void ngx_gw_redis_seek_close(ngx_gw_redis_seek_t *seek);

/* Finds the master of a slot in what is known; a Sentinel has no slots. */

ngx_int_t ngx_gw_redis_seek_find(ngx_gw_redis_seek_t *seek, redisReply *reply,
    ngx_uint_t slot, ngx_gw_redis_host_t *host);


#endif /* NGX_GW_REDIS_SEEK_H */
