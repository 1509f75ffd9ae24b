
/*
 * Writes of the API as one transaction of the database.
 */


#ifndef NGX_HTTP_TBUCKET_COMMIT_H
#define NGX_HTTP_TBUCKET_COMMIT_H


#include "src/tbucket/clients/ngx_http_tbucket_store.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_db.h"


/*
 * Blocks.  Commits n writes, all of them or none, brings their zones in line
 * and sets write->outcome, created and updated of each.  Returns NGX_OK;
 * NGX_ERROR, with db->error set: nothing was changed; NGX_ABORT, likewise:
 * the writes may be in the database, and are not yet in force.  timeout: ms
 * that locks may be waited for.
 */

ngx_int_t ngx_http_tbucket_commit(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t **writes, ngx_uint_t n, ngx_msec_t timeout);


#endif /* NGX_HTTP_TBUCKET_COMMIT_H */
