
/*
 * Where clients and tokens are kept beyond the life of shared memory: one
 * interface for all stores, and the one without a store.
 *
 * The order of events of a write: the store makes it safe, the change is
 * applied to shared memory (ngx_http_tbucket_write_apply()), done() is
 * called.  A store that decides about conflicts elsewhere (Redis) applies
 * what was decided there; the others check and apply under the zone's mutex.
 */


#ifndef NGX_HTTP_TBUCKET_STORE_H
#define NGX_HTTP_TBUCKET_STORE_H


#include "src/tbucket/ngx_http_tbucket_clients.h"


typedef enum {
    NGX_HTTP_TBUCKET_WRITE_CREATE = 0,     /* must not exist */
    NGX_HTTP_TBUCKET_WRITE_REPLACE,        /* may exist */
    NGX_HTTP_TBUCKET_WRITE_CHANGE,         /* must exist; only "members" */
    NGX_HTTP_TBUCKET_WRITE_REMOVE,         /* must exist */
    NGX_HTTP_TBUCKET_WRITE_BULK            /* REPLACE of all or of none */
} ngx_http_tbucket_write_e;


/* One client of a write. */

typedef struct {
    ngx_str_t                    id;
    unsigned                     members;  /* TB_CLIENT_*, see tb_client.h */
    uint32_t                     capacity;
    uint64_t                     rate;     /* steps */
    uint64_t                     tokens;   /* µtok */
} ngx_http_tbucket_change_t;


typedef struct ngx_http_tbucket_store_s  ngx_http_tbucket_store_t;
typedef struct ngx_http_tbucket_write_s  ngx_http_tbucket_write_t;

/*
 * A write on its way.  It owns a pool, which outlives the request if the
 * client goes away; done() is called exactly once, from the event loop or
 * from within write(), and destroys the pool at its end.
 */

struct ngx_http_tbucket_write_s {
    ngx_pool_t                  *pool;
    ngx_log_t                   *log;
    ngx_http_tbucket_zone_t     *zone;
    ngx_http_tbucket_write_e     kind;

    ngx_http_tbucket_change_t   *changes;
    ngx_uint_t                   n;

    /* set before done() */
    ngx_http_tbucket_outcome_e   outcome;
    ngx_uint_t                   created;
    ngx_uint_t                   updated;

    void                       (*done)(ngx_http_tbucket_write_t *write);
    void                        *data;     /* of the caller */
    void                        *state;    /* of the store */
};


typedef struct {
    const char  *name;

    /*
     * In the master once a configuration is in force, or in the only
     * process: reads what is kept into shared memory where that is empty or
     * a person may have edited the store.  May block.  Errors are logged;
     * NGX_ERROR keeps nginx from starting.
     */
    ngx_int_t  (*load)(ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);

    /* in every worker: connections, timers; and their end */
    ngx_int_t  (*start)(ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);
    void       (*stop)(ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);

    /* sees to write->done() being called; never blocks */
    void       (*write)(ngx_http_tbucket_store_t *store,
                        ngx_http_tbucket_write_t *write);
} ngx_http_tbucket_store_ops_t;


struct ngx_http_tbucket_store_s {
    const ngx_http_tbucket_store_ops_t  *ops;
    ngx_http_tbucket_main_conf_t        *mcf;   /* its zones are kept */

    ngx_str_t                            url;   /* without the password */
    ngx_msec_t                           interval;
    ngx_msec_t                           timeout;
    ngx_str_t                            prefix;
    ngx_str_t                            node;
    ngx_str_t                            password_file;

    void                                *data;  /* of the kind of store */
};


/* The store of a configuration without "tbucket_store": memory only. */

extern const ngx_http_tbucket_store_ops_t  ngx_http_tbucket_store_memory;

/* file:/path and redis URLs */

extern const ngx_http_tbucket_store_ops_t  ngx_http_tbucket_store_file;
extern const ngx_http_tbucket_store_ops_t  ngx_http_tbucket_store_redis;

/*
 * Takes a URL apart when the configuration is read and sets store->data.
 * Returns NGX_CONF_OK, or NGX_CONF_ERROR after an [emerg] line that names
 * what is wrong with it, but never the password.
 */

char *ngx_http_tbucket_store_file_conf(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *url);
char *ngx_http_tbucket_store_redis_conf(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *url);

/*
 * Whether a write can be applied as shared memory is now: sets
 * write->outcome to what is against it and returns NGX_DECLINED, or NGX_OK.
 * Completes the members of a CHANGE that it does not name.  The caller holds
 * the zone's mutex, and keeps it until the write is applied.
 */

ngx_int_t ngx_http_tbucket_write_check(ngx_http_tbucket_write_t *write);

/* Applies changes [from, from + n) and counts them.  Mutex held. */

void ngx_http_tbucket_write_apply(ngx_http_tbucket_write_t *write,
    ngx_uint_t from, ngx_uint_t n);


#endif /* NGX_HTTP_TBUCKET_STORE_H */
