
/*
 * Writes of the API to the database; see ngx_http_tbucket_commit.h.
 *
 * Whether a client exists is asked of the rows: these are the truth, and the
 * writes before in the same transaction are in them.  Memory says whether
 * there is room; since it is brought in line under the lock before and after,
 * nobody else takes that room meanwhile.
 */


#include "src/tbucket/sqlite/ngx_http_tbucket_commit.h"
#include "src/core/limit/tb_text.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_columns.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_follow.h"


static ngx_int_t ngx_http_tbucket_commit_locked(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t **writes, ngx_uint_t n);
static ngx_int_t ngx_http_tbucket_commit_follow(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t **writes, ngx_uint_t n);
static size_t ngx_http_tbucket_commit_cells(
    ngx_http_tbucket_write_t **writes, ngx_uint_t i);
static ngx_int_t ngx_http_tbucket_commit_write(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t *write);
static ngx_int_t ngx_http_tbucket_commit_check(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t *write, ngx_http_tbucket_change_t *change);
static ngx_int_t ngx_http_tbucket_commit_count(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t *write);
static ngx_int_t ngx_http_tbucket_commit_change(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t *write, ngx_http_tbucket_change_t *change);


ngx_int_t
ngx_http_tbucket_commit(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t **writes, ngx_uint_t n, ngx_msec_t timeout)
{
    ngx_int_t  rc;

    if (ngx_http_tbucket_db_open(db, timeout) != NGX_OK
        || ngx_http_tbucket_db_lock(db, NGX_HTTP_TBUCKET_DB_APPLY, 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_tbucket_commit_locked(db, writes, n);

    ngx_http_tbucket_db_rollback(db);
    ngx_http_tbucket_db_unlock(db, NGX_HTTP_TBUCKET_DB_APPLY);

    return rc;
}


static ngx_int_t
ngx_http_tbucket_commit_locked(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t **writes, ngx_uint_t n)
{
    ngx_uint_t  i;

    if (ngx_http_tbucket_db_begin(db, 1) != NGX_OK
        || ngx_http_tbucket_commit_follow(db, writes, n) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        writes[i]->cells = ngx_http_tbucket_commit_cells(writes, i);

        if (ngx_http_tbucket_commit_write(db, writes[i]) == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_tbucket_db_commit(db) != NGX_OK) {

        /* the log may have it, though it could not be synced */

        return (sqlite3_errcode(db->handle) & 0xff) == SQLITE_IOERR
               ? NGX_ABORT : NGX_ERROR;
    }

    return ngx_http_tbucket_commit_follow(db, writes, n) == NGX_OK
           ? NGX_OK : NGX_ABORT;
}


/* Each zone of the writes once. */

static ngx_int_t
ngx_http_tbucket_commit_follow(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t **writes, ngx_uint_t n)
{
    ngx_uint_t  i, k;

    for (i = 0; i < n; i++) {

        for (k = 0; writes[k]->zone != writes[i]->zone; k++) { /* void */ }

        if (k == i
            && ngx_http_tbucket_follow(db, writes[i]->zone) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* What the writes before have taken of the registry of the same zone. */

static size_t
ngx_http_tbucket_commit_cells(ngx_http_tbucket_write_t **writes,
    ngx_uint_t i)
{
    ngx_uint_t  k;

    for (k = i; k > 0; k--) {
        if (writes[k - 1]->zone == writes[i]->zone) {
            return writes[k - 1]->cells;
        }
    }

    return 0;
}


/* NGX_OK; NGX_DECLINED: refused, write->outcome says why; NGX_ERROR. */

static ngx_int_t
ngx_http_tbucket_commit_write(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t *write)
{
    size_t      cells;
    ngx_int_t   rc;
    ngx_uint_t  i;

    cells = write->cells;

    for (i = 0; i < write->n; i++) {
        rc = ngx_http_tbucket_commit_check(db, write, &write->changes[i]);

        if (rc != NGX_OK) {
            write->cells = cells;
            return rc;
        }
    }

    for (i = 0; i < write->n; i++) {
        rc = ngx_http_tbucket_commit_change(db, write, &write->changes[i]);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_commit_check(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t *write, ngx_http_tbucket_change_t *change)
{
    ngx_int_t      rc;
    ngx_uint_t     exists;
    tb_client_t    old;
    ngx_shmtx_t   *mutex;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_tbucket_db_statement(db, write->plans
                                         ? NGX_HTTP_TBUCKET_DB_PLAN
                                         : NGX_HTTP_TBUCKET_DB_CLIENT);

    ngx_http_tbucket_db_bind_text(stmt, 1, &write->zone->name);
    ngx_http_tbucket_db_bind_text(stmt, 2, &change->id);

    rc = ngx_http_tbucket_db_next(db, stmt);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    exists = (rc == NGX_OK);

    if (exists) {

        /* one that is there with wrong limits is there, without any */

        if (ngx_http_tbucket_columns_read(stmt, 0, write->zone, write->plans,
                                          &old)
            != NGX_OK)
        {
            old.members = 0;
        }

        (void) sqlite3_reset(stmt);
    }

    mutex = &write->zone->shpool->mutex;

    ngx_shmtx_lock(mutex);

    rc = ngx_http_tbucket_write_superseded(write);

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_write_judge(write, change,
                                          exists ? &old : NULL);
    }

    ngx_shmtx_unlock(mutex);

    return (rc == NGX_OK && write->plans && !exists)
           ? ngx_http_tbucket_commit_count(db, write) : rc;
}


/* Whether another plan is not too many, with those of this transaction. */

static ngx_int_t
ngx_http_tbucket_commit_count(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t *write)
{
    ngx_int_t      rc;
    sqlite3_stmt  *stmt;
    sqlite3_int64  n;

    stmt = ngx_http_tbucket_db_statement(db, NGX_HTTP_TBUCKET_DB_COUNT_PLANS);

    ngx_http_tbucket_db_bind_text(stmt, 1, &write->zone->name);

    rc = ngx_http_tbucket_db_next(db, stmt);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    n = sqlite3_column_int64(stmt, 0);
    (void) sqlite3_reset(stmt);

    if (n < (sqlite3_int64) ngx_http_tbucket_plans_most(write->zone)) {
        return NGX_OK;
    }

    write->outcome = NGX_HTTP_TBUCKET_NO_PLAN;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_tbucket_commit_change(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_write_t *write, ngx_http_tbucket_change_t *change)
{
    sqlite3_stmt  *stmt;

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
        stmt = ngx_http_tbucket_db_statement(db, write->plans
                                             ? NGX_HTTP_TBUCKET_DB_REMOVE_PLAN
                                             : NGX_HTTP_TBUCKET_DB_REMOVE);

    } else {
        stmt = ngx_http_tbucket_db_statement(db, write->plans
                                             ? NGX_HTTP_TBUCKET_DB_SET_PLAN
                                             : NGX_HTTP_TBUCKET_DB_SET);

        ngx_http_tbucket_columns_bind(stmt, 3, write->zone, write->plans,
                                      &change->client);
    }

    ngx_http_tbucket_db_bind_text(stmt, 1, &write->zone->name);
    ngx_http_tbucket_db_bind_text(stmt, 2, &change->id);

    if (ngx_http_tbucket_db_run(db, stmt) != NGX_OK) {
        return NGX_ERROR;
    }

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE
        || !(change->client.members & TB_CLIENT_TOKENS))
    {
        return NGX_OK;
    }

    stmt = ngx_http_tbucket_db_statement(db, NGX_HTTP_TBUCKET_DB_SET_TOKENS);

    ngx_http_tbucket_db_bind_text(stmt, 1, &write->zone->name);
    ngx_http_tbucket_db_bind_text(stmt, 2, &change->id);
    (void) sqlite3_bind_int64(stmt, 3,
                              tb_unit_tokens(change->client.tokens,
                                             write->zone->unit));
    (void) sqlite3_bind_int64(stmt, 4,
                              (int64_t) ngx_http_tbucket_follow_clock(NULL));

    return ngx_http_tbucket_db_run(db, stmt);
}
