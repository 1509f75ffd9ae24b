
/*
 * Where clients and tokens are kept beyond the life of shared memory: what
 * a store has to do.  Nothing that is not of one knows more of it than this.
 */


#ifndef NGX_HTTP_TBUCKET_STORE_H
#define NGX_HTTP_TBUCKET_STORE_H


#include "src/tbucket/ngx_http_tbucket.h"
#include "src/tbucket/clients/ngx_http_tbucket_write.h"


typedef struct {
    const char  *name;

    /* nodes share it, and so may share tokens: scope=global */
    ngx_uint_t   is_shared;

    /*
     * In the master once a configuration is in force, or in the only
     * process: reads what is kept into shared memory where that is empty or
     * a person may have edited the store.  May block.  Errors are logged;
     * NGX_ERROR keeps nginx from starting.  May be NULL.
     */
    ngx_int_t  (*load)(ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);

    /* in every worker: connections, timers; and their end; may be NULL */
    ngx_int_t  (*start)(ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);
    void       (*stop)(ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);

    /*
     * Makes a write safe, if what the store has of the clients allows it, and
     * sees to ngx_http_tbucket_written() being called, from the event loop or
     * from in here.  Never blocks.  NULL: memory is all there is.
     */
    void       (*persist)(ngx_http_tbucket_store_t *store,
                          ngx_http_tbucket_write_t *write);

    /*
     * Whether the store knows nothing newer of the client with that id than
     * a write that is safe, which is applied then.  The zone's mutex is held.
     * NULL: it is always so.
     */
    ngx_uint_t (*is_latest)(ngx_http_tbucket_write_t *write,
                            const ngx_str_t *id, const tb_hash_t *h);

    /*
     * In the master, or the only process, when it exits: no worker is left
     * then.  May block; may be NULL.
     */
    void       (*finish)(ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);
} ngx_http_tbucket_store_ops_t;


struct ngx_http_tbucket_store_s {
    const ngx_http_tbucket_store_ops_t  *ops;
    ngx_http_tbucket_main_conf_t        *mcf;   /* its zones are kept */

    ngx_msec_t                           interval;
    ngx_msec_t                           timeout;
    ngx_uint_t                           shards;    /* of each zone */
    ngx_str_t                            prefix;
    ngx_str_t                            node;
    ngx_array_t                          params;    /* of the kind of store:
                                                       "name=value" */

    void                                *data;  /* of the kind of store */
};


/*
 * A configuration without "tbucket_store": memory is all there is.  NULL if
 * there is no memory for it.
 */

ngx_http_tbucket_store_t *ngx_http_tbucket_store_create(ngx_conf_t *cf);

/* Load, start, stop and finish of the store, as far as it has them. */

ngx_int_t ngx_http_tbucket_store_load(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf);
ngx_int_t ngx_http_tbucket_store_start(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf);
void ngx_http_tbucket_store_stop(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf);
void ngx_http_tbucket_store_finish(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf);

/* Notes, for the metrics, that a zone and its store agree, or cannot. */

void ngx_http_tbucket_store_synced(ngx_http_tbucket_zone_t *zone);
void ngx_http_tbucket_store_down(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t down);

/* There is no room for a client: logged once as long as the zone is. */

void ngx_http_tbucket_store_crowded(ngx_http_tbucket_zone_t *zone);


#endif /* NGX_HTTP_TBUCKET_STORE_H */
