
/*
 * Bringing a zone's clients and plans in shared memory in line with the rows of
 * the database, whoever changed these: by the changes that the database has
 * noted since the last time, or by comparing all.  Nothing else changes
 * those of a zone that has a database.
 */


#ifndef NGX_HTTP_TBUCKET_FOLLOW_H
#define NGX_HTTP_TBUCKET_FOLLOW_H


#include "src/tbucket/clients/ngx_http_tbucket_store.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_db.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_rows.h"


/*
 * Blocks.  The caller has the lock APPLY, and may have a transaction, which
 * must be one that writes.  A zone that the database does not know yet gives
 * its clients to it.  A row that is wrong is logged and skipped.  A process
 * that dies in here leaves what the next call goes on with.  NGX_OK, or
 * NGX_ERROR with db->error set.
 */

ngx_int_t ngx_http_tbucket_follow(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone);

/*
 * Milliseconds since 1970 when ngx_current_msec, which is stored in *now
 * unless that is NULL, was taken.  For threads as well.
 */

uint64_t ngx_http_tbucket_follow_clock(uint64_t *now);


#endif /* NGX_HTTP_TBUCKET_FOLLOW_H */
