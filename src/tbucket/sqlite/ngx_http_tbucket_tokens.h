
/*
 * States of token buckets in the database: saved while nginx runs, restored
 * at a start with the time that has passed credited.
 */


#ifndef NGX_HTTP_TBUCKET_TOKENS_H
#define NGX_HTTP_TBUCKET_TOKENS_H


#include "src/tbucket/ngx_http_tbucket.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_db.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_rows.h"


/*
 * What a process has saved of a zone: a digest of each part of its table, so
 * that only parts that changed are written again.
 */

typedef struct {
    ngx_http_tbucket_zone_t     *zone;
    char                         epoch[NGX_HTTP_TBUCKET_ROWS_EPOCH];
    uint64_t                    *digests;   /* 0: no bucket is to be saved */
} ngx_http_tbucket_saved_t;


/* Zeroes *saved and prepares it; NGX_OK, or NGX_ERROR without memory. */

ngx_int_t ngx_http_tbucket_tokens_init(ngx_http_tbucket_saved_t *saved,
    ngx_http_tbucket_zone_t *zone, ngx_pool_t *pool);

/*
 * Blocks.  Saves n zones as one transaction, if there is anything to save,
 * and drops old changes.  db is open, with the lock SAVE.  NGX_OK, or
 * NGX_ERROR with db->error set: then all parts are saved next time.
 */

ngx_int_t ngx_http_tbucket_tokens_save(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_saved_t *saved, ngx_uint_t n);

/*
 * Blocks.  For a zone that was never used, in a transaction that writes,
 * before its first client is loaded: takes over the secret that the saved
 * hashes were made with, or notes its own.  *changes is set to the last
 * change that is in the saved states.
 */

ngx_int_t ngx_http_tbucket_tokens_adopt(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, uint64_t *changes);

/* Blocks.  Restores the buckets of such a zone, with its clients loaded. */

ngx_int_t ngx_http_tbucket_tokens_restore(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, uint64_t changes);


#endif /* NGX_HTTP_TBUCKET_TOKENS_H */
