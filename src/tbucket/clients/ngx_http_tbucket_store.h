
/*
 * Where clients and tokens are kept beyond the life of shared memory: one
 * interface for all stores, and the one without a store.
 *
 * The order of events of a write: the store makes it safe, the change is
 * applied to shared memory (ngx_http_tbucket_write_apply()), done() is
 * called.  A store that decides about conflicts elsewhere (Redis) applies
 * what was decided there; the others check and apply under the zone's mutex.
 *
 * A large write (more than NGX_HTTP_TBUCKET_WRITE_SMALL changes) is checked
 * and applied in slices of bounded time, between which the mutex is free.
 * As long as it is under way no other write of the zone begins, in any
 * worker, so what was checked stays true; requests go on.
 */


#ifndef NGX_HTTP_TBUCKET_STORE_H
#define NGX_HTTP_TBUCKET_STORE_H


#include "src/tbucket/clients/ngx_http_tbucket_clients.h"


/* changes that a write has at most if it is to be done in one go */
#define NGX_HTTP_TBUCKET_WRITE_SMALL  256

/* changes of a larger one that are done with the mutex held once */
#define NGX_HTTP_TBUCKET_WRITE_SLICE  64


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
 * Does something with the changes [from, from + n) of a write, with the
 * mutex held.  NGX_OK: go on; anything else: stop.
 */

typedef ngx_int_t (*ngx_http_tbucket_slice_pt)(
    ngx_http_tbucket_write_t *write, ngx_uint_t from, ngx_uint_t n);

typedef void (*ngx_http_tbucket_write_pt)(ngx_http_tbucket_write_t *write,
    ngx_int_t rc);

/*
 * A write on its way.  It owns a pool, which outlives the request if the
 * client goes away; done() is called exactly once, from the event loop or
 * from within the store's write(), and the write is gone afterwards.
 */

struct ngx_http_tbucket_write_s {
    ngx_pool_t                  *pool;
    ngx_log_t                   *log;
    ngx_http_tbucket_zone_t     *zone;
    ngx_http_tbucket_write_e     kind;

    ngx_http_tbucket_change_t   *changes;  /* no two with the same id */
    ngx_uint_t                   n;

    /*
     * Set before done(); reason: of STORE_DOWN and STORE_UNKNOWN, empty if
     * there is none.
     */
    ngx_http_tbucket_outcome_e   outcome;
    ngx_str_t                    reason;
    ngx_uint_t                   created;
    ngx_uint_t                   updated;

    void                       (*done)(ngx_http_tbucket_write_t *write);
    void                        *state;    /* of the store */
    ngx_msec_t                   since;    /* when it began to wait */

    /*
     * The caller's, who destroys the pool.  late(): the store does not
     * answer in time, for the reason given; finish() comes all the same, and
     * until then the rest of the write may be in the hands of a thread.
     */
    void                       (*finish)(ngx_http_tbucket_write_t *write);
    void                       (*late)(ngx_http_tbucket_write_t *write);
    void                        *data;

    /* private to ngx_http_tbucket_write.c */
    ngx_http_tbucket_store_t    *store;
    ngx_queue_t                  queue;
    size_t                       cells;    /* of the registry, for new ids */
    ngx_event_t                  event;
    ngx_uint_t                   from;
    ngx_http_tbucket_slice_pt    slice;
    ngx_http_tbucket_write_pt    then;
};


typedef struct {
    const char  *name;

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

    /* sees to write->done() being called; never blocks */
    void       (*write)(ngx_http_tbucket_store_t *store,
                        ngx_http_tbucket_write_t *write);

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
    ngx_str_t                            prefix;
    ngx_str_t                            node;
    ngx_str_t                            password_file;   /* full name */

    void                                *data;  /* of the kind of store */
};


/*
 * The store of a configuration: the one that "tbucket_store" named, or none
 * but memory.  NULL if there is no memory for it.
 */

ngx_http_tbucket_store_t *ngx_http_tbucket_store_create(ngx_conf_t *cf);

/*
 * Load, start and stop of the store, as far as it has them; prepares the
 * zones for writes.
 */

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

/*
 * Each kind takes its URL apart when the configuration is read, and sets
 * store->ops and store->data.  Returns NGX_CONF_OK, or NGX_CONF_ERROR after
 * an [emerg] line that names what is wrong with it, but never the password.
 */

char *ngx_http_tbucket_store_sqlite_conf(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *url);
char *ngx_http_tbucket_store_redis_conf(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *url);

/*
 * Hands a write to the store of the configuration as soon as it is its
 * turn.  The caller has set pool, log, zone, kind, changes, finish, late, data;
 * the rest is zeroed.  finish() may be called before this returns.
 */

void ngx_http_tbucket_write_submit(ngx_http_tbucket_store_t *store,
    ngx_http_tbucket_write_t *write);

/*
 * Whether a write can be applied as shared memory is now: sets
 * write->outcome to what is against it and returns NGX_DECLINED, or NGX_OK.
 * Completes the members of a CHANGE that it does not name.  The caller holds
 * the zone's mutex, and keeps it until the write is applied, unless it goes
 * through the slices of a large write one after the other, from the first.
 */

ngx_int_t ngx_http_tbucket_write_check(ngx_http_tbucket_write_t *write,
    ngx_uint_t from, ngx_uint_t n);

/*
 * Whether another zone has taken over from the write's, so that nothing may
 * be changed in it any more: sets write->outcome and returns NGX_DECLINED,
 * or NGX_OK.  For stores that check and apply under the mutex, which is held.
 */

ngx_int_t ngx_http_tbucket_write_superseded(ngx_http_tbucket_write_t *write);

/*
 * Applies changes [from, from + n), counts them and sets write->outcome.
 * Mutex held.  Always NGX_OK.
 */

ngx_int_t ngx_http_tbucket_write_apply(ngx_http_tbucket_write_t *write,
    ngx_uint_t from, ngx_uint_t n);

/*
 * Calls slice() for all changes of a write, in order, a slice of them at a
 * time with the mutex held, as many in one pass of the event loop as take
 * about a millisecond; then calls then(), with what the last slice returned
 * and without the mutex.  Both may happen before this returns.
 */

void ngx_http_tbucket_write_each(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_slice_pt slice, ngx_http_tbucket_write_pt then);


#endif /* NGX_HTTP_TBUCKET_STORE_H */
