
/*
 * The SQLite store: what its files share.
 */


#ifndef NGX_HTTP_TBUCKET_SQLITE_H
#define NGX_HTTP_TBUCKET_SQLITE_H


#include "src/common/ngx_gw_job.h"
#include "src/tbucket/clients/ngx_http_tbucket_store.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_db.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_tokens.h"


/* writes of a transaction, and rows, but for those of its first write */
#define NGX_HTTP_TBUCKET_SQLITE_BATCH  64
#define NGX_HTTP_TBUCKET_SQLITE_ROWS   1000

/* reasons for a store to be down, bits of a zone's store.down */
#define NGX_HTTP_TBUCKET_SQLITE_WRITE  1u
#define NGX_HTTP_TBUCKET_SQLITE_SAVE   2u


typedef struct {
    ngx_http_tbucket_store_t    *store;
    ngx_str_t                    path;      /* of the database; NUL at end */
    ngx_str_t                    lock;      /* of the file of locks; as well */

    ngx_uint_t                   nzones;
    ngx_http_tbucket_saved_t    *zones;     /* of the saver */

    ngx_event_t                  ticker;
    ngx_uint_t                   leads;     /* of the zones */
    ngx_msec_t                   follow_at;
    ngx_msec_t                   save_at;

    /* writes, and changes by others: each has the connection of its own */
    ngx_gw_job_t                 sync;
    ngx_http_tbucket_db_t        db;
    ngx_queue_t                  waiting;   /* ngx_http_tbucket_write_t */
    ngx_http_tbucket_write_t    *batch[NGX_HTTP_TBUCKET_SQLITE_BATCH];
    ngx_uint_t                   nbatch;
    ngx_uint_t                   follow;    /* zones are to be looked at */
    ngx_event_t                  watch;     /* over the batch */
    ngx_uint_t                   hung;      /* the batch takes too long */
    ngx_int_t                    commit_rc;
    ngx_int_t                    follow_rc;

    ngx_gw_job_t                 save;
    ngx_http_tbucket_db_t        saver;
    ngx_int_t                    save_rc;
    ngx_msec_t                   save_begin;
} ngx_http_tbucket_sqlite_t;


#endif /* NGX_HTTP_TBUCKET_SQLITE_H */
