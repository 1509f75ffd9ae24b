
/*
 * A connection to the SQLite database: opened as ours, with its schema, its
 * prepared statements and the lock beside it.  Not here: what is read and
 * written when.
 *
 * Everything may block, so it is called in threads and in children of the
 * master only; one thread at a time uses a connection, and none survives a
 * fork.
 *
 * Three tables are for people and their tools as well:
 *
 *     clients   zone, id -> capacity, rate_per_sec, quota, inflight, plan,
 *               blocked, unlimited
 *     plans     zone, plan -> capacity, rate_per_sec, quota, inflight
 *     meta      epoch: random, of this very database
 *
 * and these are not:
 *
 *     changes   a row for each change of a client (id) or plan, whoever made
 *               it: triggers write them; seq never repeats.  tokens (µtok of
 *               single units) and at where a change set those of a client, too
 *     zones     the secret of a zone's hash; saved: the seq up to which
 *               tokens have the changes; its kind and unit, for triggers that
 *               check what clients and plans of it are given
 *     tokens    the buckets of a part of the table that were not full at at,
 *               ms since 1970 (tb_tokens.h)
 */


#ifndef NGX_HTTP_TBUCKET_DB_H
#define NGX_HTTP_TBUCKET_DB_H


#include <ngx_config.h>
#include <ngx_core.h>

#include <sqlite3.h>


typedef enum {
    NGX_HTTP_TBUCKET_DB_BEGIN = 0,
    NGX_HTTP_TBUCKET_DB_BEGIN_WRITE,
    NGX_HTTP_TBUCKET_DB_COMMIT,
    NGX_HTTP_TBUCKET_DB_ROLLBACK,
    NGX_HTTP_TBUCKET_DB_STATE,        /* -> epoch, first seq, last seq */
    NGX_HTTP_TBUCKET_DB_CHANGES,      /* zone, after -> seq, id, tokens, at,
                                         plan; id and 7 columns of a client,
                                         name and 4 columns of a plan */
    NGX_HTTP_TBUCKET_DB_CLIENTS,      /* zone -> id, 7 columns */
    NGX_HTTP_TBUCKET_DB_CLIENT,       /* zone, id -> 7 columns */
    NGX_HTTP_TBUCKET_DB_SET,          /* zone, id, 7 columns */
    NGX_HTTP_TBUCKET_DB_REMOVE,       /* zone, id */
    NGX_HTTP_TBUCKET_DB_PLANS,        /* zone -> plan, 4 columns */
    NGX_HTTP_TBUCKET_DB_PLAN,         /* zone, plan -> 4 columns */
    NGX_HTTP_TBUCKET_DB_COUNT_PLANS,  /* zone -> how many */
    NGX_HTTP_TBUCKET_DB_SET_PLAN,     /* zone, plan, 4 columns */
    NGX_HTTP_TBUCKET_DB_REMOVE_PLAN,  /* zone, plan */
    NGX_HTTP_TBUCKET_DB_SET_TOKENS,   /* zone, id, tokens, at */
    NGX_HTTP_TBUCKET_DB_ZONE,         /* zone -> secret, saved */
    NGX_HTTP_TBUCKET_DB_SET_ZONE,     /* zone, secret, saved */
    NGX_HTTP_TBUCKET_DB_SET_KIND,     /* zone, kind, unit */
    NGX_HTTP_TBUCKET_DB_PARTS,        /* zone -> at, state */
    NGX_HTTP_TBUCKET_DB_SET_PART,     /* zone, part, at, state */
    NGX_HTTP_TBUCKET_DB_REMOVE_PART,  /* zone, part */
    NGX_HTTP_TBUCKET_DB_REMOVE_PARTS, /* zone */
    NGX_HTTP_TBUCKET_DB_TRIM,         /* last seq to go */
    NGX_HTTP_TBUCKET_DB_PROBE,        /* a write that changes nothing */
    NGX_HTTP_TBUCKET_DB_STATEMENTS
} ngx_http_tbucket_db_statement_e;


/* Bytes of the lock file, each a lock that ends with its holder. */

typedef enum {
    NGX_HTTP_TBUCKET_DB_APPLY = 0,    /* who brings memory in line, and who
                                         writes; for a short time */
    NGX_HTTP_TBUCKET_DB_SAVE          /* who saves the states of tokens */
} ngx_http_tbucket_db_lock_e;


typedef struct {
    /* set by the owner, in zeroed memory */
    const char                *path;
    const char                *lock_path;
    ngx_log_t                 *log;

    /* when waiting for locks ends, us of a monotonic clock */
    uint64_t                   deadline;

    sqlite3                   *handle;      /* NULL: not open */
    sqlite3_stmt              *statements[NGX_HTTP_TBUCKET_DB_STATEMENTS];
    ngx_fd_t                   lock;
    unsigned                   has_lock:1;  /* the file of it is open */
    unsigned                   created:1;   /* the database was, just now */

    /* what failed last, for one log line: which file, what, why */
    char                       error[1024];
} ngx_http_tbucket_db_t;


/*
 * Opens the database unless it is open, or anew where the file is another
 * one by now; creates it where there is none.  What is no such database is
 * left alone.  timeout: ms that locks may be waited for until the next call.
 * NGX_OK, or NGX_ERROR with db->error set.
 */

ngx_int_t ngx_http_tbucket_db_open(ngx_http_tbucket_db_t *db,
    ngx_msec_t timeout);

/* Rolls back what is under way, and gives back all locks. */

void ngx_http_tbucket_db_close(ngx_http_tbucket_db_t *db);

/* Looks at all of the database; for a start. */

ngx_int_t ngx_http_tbucket_db_check(ngx_http_tbucket_db_t *db);

/*
 * Takes a lock, waiting for it if wait is set.  NGX_OK, NGX_BUSY if somebody
 * else has it, without db->error unless waited; NGX_ERROR.
 */

ngx_int_t ngx_http_tbucket_db_lock(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_db_lock_e which, ngx_uint_t wait);
void ngx_http_tbucket_db_unlock(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_db_lock_e which);

/* A statement, reset, to be bound and stepped; what is not bound is NULL. */

sqlite3_stmt *ngx_http_tbucket_db_statement(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_db_statement_e which);

void ngx_http_tbucket_db_bind_text(sqlite3_stmt *stmt, int n,
    ngx_str_t *text);

/* Runs a statement that gives no rows.  NGX_OK, or NGX_ERROR. */

ngx_int_t ngx_http_tbucket_db_run(ngx_http_tbucket_db_t *db,
    sqlite3_stmt *stmt);

/*
 * The next row: NGX_OK; NGX_DONE: there are no more, the statement is reset;
 * NGX_ERROR, likewise.
 */

ngx_int_t ngx_http_tbucket_db_next(ngx_http_tbucket_db_t *db,
    sqlite3_stmt *stmt);

/* Sets db->error to what SQLite says of the last failure; NGX_ERROR. */

ngx_int_t ngx_http_tbucket_db_fail(ngx_http_tbucket_db_t *db);

/* Begins a transaction of that kind, ends it; NGX_OK, or NGX_ERROR. */

ngx_int_t ngx_http_tbucket_db_begin(ngx_http_tbucket_db_t *db,
    ngx_uint_t write);
ngx_int_t ngx_http_tbucket_db_commit(ngx_http_tbucket_db_t *db);
void ngx_http_tbucket_db_rollback(ngx_http_tbucket_db_t *db);


#endif /* NGX_HTTP_TBUCKET_DB_H */
