
/*
 * From rows to shared memory; see ngx_http_tbucket_follow.h.
 *
 * Rows are read into a slice without the mutex, and the slice is applied with
 * it, together with how far that was: a process that is killed has applied
 * at most one slice that is applied again.
 */


#include "src/tbucket/sqlite/ngx_http_tbucket_follow.h"
#include "src/core/limit/tb_text.h"
#include "src/core/limit/tb_tokens.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_columns.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_sqlite_give.h"


/* rows that are applied with the mutex held once */
#define NGX_HTTP_TBUCKET_FOLLOW_SLICE   64

/* empty chains of the registry that one look goes through */
#define NGX_HTTP_TBUCKET_FOLLOW_BUDGET  10000

/* rows that are wrong and logged one by one, of one call */
#define NGX_HTTP_TBUCKET_FOLLOW_LINES   10


typedef struct {
    uint64_t                     seq;       /* 0: of no change */
    int64_t                      tokens;    /* µtok at at; KEEP: none */
    uint64_t                     at;
    ngx_uint_t                   plan;      /* it is one, and id its name */
    ngx_uint_t                   gone;      /* there is no such client */
    tb_client_t                  given;
    ngx_str_t                    id;
    u_char                       text[GW_ID_MAX];
} ngx_http_tbucket_row_t;


typedef struct {
    ngx_http_tbucket_db_t       *db;
    ngx_http_tbucket_zone_t     *zone;

    /* the database: which, and its first and last change */
    char                         epoch[NGX_HTTP_TBUCKET_ROWS_EPOCH];
    uint64_t                     first;
    uint64_t                     last;

    ngx_http_tbucket_row_t      *slice;
    ngx_uint_t                   n;
    ngx_uint_t                   lost;      /* clients without room */
    ngx_uint_t                   lost_plans;    /* likewise */
    ngx_uint_t                   wrong;

    /* hashes of the clients that there are, for a comparison of all */
    uint64_t                    *seen;
    size_t                       nseen;
    size_t                       max;
} ngx_http_tbucket_follower_t;


static ngx_int_t ngx_http_tbucket_follow_state(
    ngx_http_tbucket_follower_t *f);
static ngx_int_t ngx_http_tbucket_follow_rows(
    ngx_http_tbucket_follower_t *f);
static ngx_uint_t ngx_http_tbucket_follow_has_changes(
    ngx_http_tbucket_follower_t *f);
static ngx_int_t ngx_http_tbucket_follow_changes(
    ngx_http_tbucket_follower_t *f);
static ngx_int_t ngx_http_tbucket_follow_change(
    ngx_http_tbucket_follower_t *f, sqlite3_stmt *stmt);
static ngx_int_t ngx_http_tbucket_follow_all(ngx_http_tbucket_follower_t *f);
static ngx_int_t ngx_http_tbucket_follow_client(
    ngx_http_tbucket_follower_t *f, sqlite3_stmt *stmt);
static ngx_int_t ngx_http_tbucket_follow_id(ngx_http_tbucket_follower_t *f,
    sqlite3_stmt *stmt, int column);
static void ngx_http_tbucket_follow_wrong(ngx_http_tbucket_follower_t *f,
    const char *what);
static void ngx_http_tbucket_follow_apply(ngx_http_tbucket_follower_t *f);
static void ngx_http_tbucket_follow_apply_row(
    ngx_http_tbucket_follower_t *f, ngx_http_tbucket_row_t *row);
static void ngx_http_tbucket_follow_apply_plan(
    ngx_http_tbucket_follower_t *f, ngx_http_tbucket_row_t *row);
static ngx_int_t ngx_http_tbucket_follow_plans(
    ngx_http_tbucket_follower_t *f);
static ngx_int_t ngx_http_tbucket_follow_see(ngx_http_tbucket_follower_t *f,
    uint64_t lo);
static void ngx_http_tbucket_follow_remove_others(
    ngx_http_tbucket_follower_t *f);
static int ngx_http_tbucket_follow_compare(const void *one,
    const void *other);


ngx_int_t
ngx_http_tbucket_follow(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone)
{
    ngx_int_t                    rc;
    ngx_http_tbucket_follower_t  f;

    ngx_memzero(&f, sizeof(ngx_http_tbucket_follower_t));

    f.db = db;
    f.zone = zone;

    rc = ngx_http_tbucket_follow_state(&f);

    if (rc != NGX_OK
        || (ngx_strcmp(zone->shared->rows->epoch, f.epoch) == 0
            && ngx_http_tbucket_rows_position(zone->shared->rows) == f.last))
    {
        return rc;
    }

    f.slice = ngx_alloc(NGX_HTTP_TBUCKET_FOLLOW_SLICE
                        * sizeof(ngx_http_tbucket_row_t), db->log);
    if (f.slice == NULL) {
        return NGX_ERROR;
    }

    if (sqlite3_get_autocommit(db->handle)) {

        /* what is read has to be of one instant, and may lead to writing */

        rc = ngx_http_tbucket_db_begin(db,
                                  !ngx_http_tbucket_follow_has_changes(&f));

        if (rc == NGX_OK) {
            rc = ngx_http_tbucket_follow_rows(&f);

            if (rc == NGX_OK) {
                rc = ngx_http_tbucket_db_commit(db);
            }

            ngx_http_tbucket_db_rollback(db);
        }

    } else {
        rc = ngx_http_tbucket_follow_rows(&f);
    }

    if (f.lost) {
        ngx_log_error(NGX_LOG_ERR, db->log, 0,
                      "tbucket_store: %ui clients have no room in zone "
                      "\"%V\", which must be larger", f.lost, &zone->name);
    }

    if (f.lost_plans) {
        ngx_log_error(NGX_LOG_ERR, db->log, 0,
                      "tbucket_store: %ui plans have no room in zone \"%V\", "
                      "which must be larger", f.lost_plans, &zone->name);
    }

    if (f.wrong > NGX_HTTP_TBUCKET_FOLLOW_LINES) {
        ngx_log_error(NGX_LOG_WARN, db->log, 0,
                      "tbucket_store: %ui more rows of zone \"%V\" are not "
                      "valid and were skipped",
                      f.wrong - NGX_HTTP_TBUCKET_FOLLOW_LINES, &zone->name);
    }

    free(f.seen);
    ngx_free(f.slice);

    return rc;
}


static ngx_int_t
ngx_http_tbucket_follow_state(ngx_http_tbucket_follower_t *f)
{
    ngx_int_t      rc;
    const char    *epoch;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_tbucket_db_statement(f->db, NGX_HTTP_TBUCKET_DB_STATE);

    rc = ngx_http_tbucket_db_next(f->db, stmt);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    epoch = (const char *) sqlite3_column_text(stmt, 0);

    (void) ngx_cpystrn((u_char *) f->epoch,
                       (u_char *) (epoch ? epoch : "none"),
                       sizeof(f->epoch));

    f->first = (uint64_t) sqlite3_column_int64(stmt, 1);
    f->last = (uint64_t) sqlite3_column_int64(stmt, 2);

    (void) sqlite3_reset(stmt);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_follow_rows(ngx_http_tbucket_follower_t *f)
{
    if (ngx_http_tbucket_follow_state(f) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_tbucket_follow_has_changes(f)) {
        return ngx_http_tbucket_follow_changes(f);
    }

    return ngx_http_tbucket_follow_all(f);
}


/* Whether the changes since the zone's position are all there. */

static ngx_uint_t
ngx_http_tbucket_follow_has_changes(ngx_http_tbucket_follower_t *f)
{
    uint64_t                  position;
    ngx_http_tbucket_rows_t  *rows;

    rows = f->zone->shared->rows;
    position = ngx_http_tbucket_rows_position(rows);

    if (ngx_strcmp(rows->epoch, f->epoch) != 0 || position > f->last) {
        return 0;
    }

    return position == f->last || (f->first && position + 1 >= f->first);
}


static ngx_int_t
ngx_http_tbucket_follow_changes(ngx_http_tbucket_follower_t *f)
{
    ngx_int_t      rc;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_tbucket_db_statement(f->db, NGX_HTTP_TBUCKET_DB_CHANGES);

    ngx_http_tbucket_db_bind_text(stmt, 1, &f->zone->name);
    (void) sqlite3_bind_int64(stmt, 2,
                              (int64_t) ngx_http_tbucket_rows_position(
                                                   f->zone->shared->rows));

    for ( ;; ) {
        rc = ngx_http_tbucket_db_next(f->db, stmt);

        if (rc != NGX_OK) {
            break;
        }

        if (ngx_http_tbucket_follow_change(f, stmt) == NGX_OK
            && f->n == NGX_HTTP_TBUCKET_FOLLOW_SLICE)
        {
            ngx_http_tbucket_follow_apply(f);
        }
    }

    ngx_http_tbucket_follow_apply(f);

    if (rc != NGX_DONE) {
        return NGX_ERROR;
    }

    ngx_http_tbucket_rows_advance(f->zone->shared->rows, f->last);

    return NGX_OK;
}


/* NGX_OK: it is in the slice. */

static ngx_int_t
ngx_http_tbucket_follow_change(ngx_http_tbucket_follower_t *f,
    sqlite3_stmt *stmt)
{
    int                      id, columns;
    ngx_http_tbucket_row_t  *row;

    row = &f->slice[f->n];

    row->plan = (sqlite3_column_type(stmt, 4) != SQLITE_NULL);

    id = row->plan ? 4 : 1;
    columns = row->plan ? 13 : 5;

    if (ngx_http_tbucket_follow_id(f, stmt, id) != NGX_OK) {
        return NGX_DECLINED;
    }

    row->gone = (sqlite3_column_type(stmt, columns) == SQLITE_NULL);

    if (!row->gone
        && ngx_http_tbucket_columns_read(stmt, columns + 1, f->zone,
                                         row->plan, &row->given)
           != NGX_OK)
    {
        ngx_http_tbucket_follow_wrong(f, "has no valid limits");
        return NGX_DECLINED;
    }

    row->seq = (uint64_t) sqlite3_column_int64(stmt, 0);
    row->tokens = NGX_HTTP_TBUCKET_TOKENS_KEEP;
    row->at = 0;

    if (sqlite3_column_type(stmt, 2) == SQLITE_INTEGER) {
        row->tokens = tb_unit_tokens_of(sqlite3_column_int64(stmt, 2),
                                        f->zone->unit);
        row->at = (uint64_t) sqlite3_column_int64(stmt, 3);
    }

    f->n++;

    return NGX_OK;
}


/*
 * All plans and clients of the database, and no others.  Memory may be in use;
 * what it holds of a zone that the database does not know is given to it
 * first.
 */

static ngx_int_t
ngx_http_tbucket_follow_all(ngx_http_tbucket_follower_t *f)
{
    ngx_int_t                 rc;
    ngx_uint_t                live;
    sqlite3_stmt             *stmt;
    ngx_http_tbucket_rows_t  *rows;

    live = atomic_load_explicit(&f->zone->shared->registry->entries,
                                memory_order_relaxed)
           != 0
           || !ngx_http_tbucket_plans_none(f->zone);

    /* what is given is older than what comes next */

    if (live
        && (ngx_http_tbucket_sqlite_give(f->db, f->zone, f->last) != NGX_OK
            || ngx_http_tbucket_follow_state(f) != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (ngx_http_tbucket_follow_plans(f) != NGX_OK) {
        return NGX_ERROR;
    }

    stmt = ngx_http_tbucket_db_statement(f->db, NGX_HTTP_TBUCKET_DB_CLIENTS);

    ngx_http_tbucket_db_bind_text(stmt, 1, &f->zone->name);

    for ( ;; ) {
        rc = ngx_http_tbucket_db_next(f->db, stmt);

        if (rc != NGX_OK) {
            break;
        }

        rc = ngx_http_tbucket_follow_client(f, stmt);

        if (rc == NGX_ERROR) {
            (void) sqlite3_reset(stmt);
            break;
        }

        if (f->n == NGX_HTTP_TBUCKET_FOLLOW_SLICE) {
            ngx_http_tbucket_follow_apply(f);
        }
    }

    if (rc != NGX_DONE) {
        return NGX_ERROR;
    }

    ngx_http_tbucket_follow_apply(f);

    if (live) {
        ngx_http_tbucket_follow_remove_others(f);
    }

    rows = f->zone->shared->rows;

    ngx_shmtx_lock(&f->zone->shpool->mutex);

    ngx_memcpy(rows->epoch, f->epoch, sizeof(rows->epoch));
    ngx_http_tbucket_rows_advance(rows, f->last);

    ngx_shmtx_unlock(&f->zone->shpool->mutex);

    ngx_log_error(NGX_LOG_NOTICE, f->db->log, 0,
                  "tbucket_store: zone \"%V\": %uz clients loaded",
                  &f->zone->name, f->nseen);

    return NGX_OK;
}


/* NGX_OK: it is in the slice; NGX_DECLINED: it is not valid. */

static ngx_int_t
ngx_http_tbucket_follow_client(ngx_http_tbucket_follower_t *f,
    sqlite3_stmt *stmt)
{
    tb_hash_t                h;
    ngx_http_tbucket_row_t  *row;

    row = &f->slice[f->n];
    row->plan = 0;

    if (ngx_http_tbucket_follow_id(f, stmt, 0) != NGX_OK) {
        return NGX_DECLINED;
    }

    h = tb_hash(row->id.data, row->id.len, f->zone->shared->secret);

    if (ngx_http_tbucket_follow_see(f, h.lo) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_tbucket_columns_read(stmt, 1, f->zone, 0, &row->given)
        != NGX_OK)
    {
        ngx_http_tbucket_follow_wrong(f, "has no valid limits");
        return NGX_DECLINED;
    }

    row->gone = 0;
    row->seq = 0;
    row->tokens = NGX_HTTP_TBUCKET_TOKENS_KEEP;

    f->n++;

    return NGX_OK;
}


/* Puts the id into the next row of the slice. */

static ngx_int_t
ngx_http_tbucket_follow_id(ngx_http_tbucket_follower_t *f,
    sqlite3_stmt *stmt, int column)
{
    int                      len;
    const char              *id;
    gw_id_status_t           status;
    ngx_http_tbucket_row_t  *row;

    row = &f->slice[f->n];

    id = (const char *) sqlite3_column_text(stmt, column);
    len = sqlite3_column_bytes(stmt, column);

    if (id == NULL) {
        return NGX_DECLINED;
    }

    status = gw_id_check(id, (size_t) len);

    row->id.data = row->text;
    row->id.len = ngx_min((size_t) len, GW_ID_MAX);
    ngx_memcpy(row->text, id, row->id.len);

    if (row->plan && !tb_plan_is_name(id, (size_t) len)) {
        ngx_http_tbucket_follow_wrong(f, "is no name of a plan");
        return NGX_DECLINED;
    }

    if (status != GW_ID_OK) {
        ngx_http_tbucket_follow_wrong(f, gw_id_error(status));
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_http_tbucket_follow_wrong(ngx_http_tbucket_follower_t *f,
    const char *what)
{
    char                     quoted[GW_JSON_QUOTE_SIZE];
    ngx_http_tbucket_row_t  *row;

    if (f->wrong++ >= NGX_HTTP_TBUCKET_FOLLOW_LINES) {
        return;
    }

    row = &f->slice[f->n];

    ngx_log_error(NGX_LOG_WARN, f->db->log, 0,
                  "tbucket_store: \"%s\": %s \"%s\" of zone \"%V\" %s, "
                  "it was skipped", f->db->path,
                  row->plan ? "plan" : "client",
                  gw_json_quote(quoted, (char *) row->id.data, row->id.len),
                  &f->zone->name, what);
}


static void
ngx_http_tbucket_follow_apply(ngx_http_tbucket_follower_t *f)
{
    ngx_uint_t                i;
    ngx_http_tbucket_row_t   *row;
    ngx_http_tbucket_zone_t  *zone;

    if (f->n == 0) {
        return;
    }

    zone = f->zone;

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (i = 0; i < f->n; i++) {
        row = &f->slice[i];

        ngx_http_tbucket_follow_apply_row(f, row);

        if (row->seq) {
            ngx_http_tbucket_rows_advance(zone->shared->rows, row->seq);
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    f->n = 0;
}


static void
ngx_http_tbucket_follow_apply_row(ngx_http_tbucket_follower_t *f,
    ngx_http_tbucket_row_t *row)
{
    int64_t                   tokens;
    ngx_http_tbucket_zone_t  *zone;

    zone = f->zone;

    if (row->plan) {
        ngx_http_tbucket_follow_apply_plan(f, row);
        return;
    }

    if (row->gone) {
        (void) ngx_http_tbucket_client_remove(zone, &row->id);
        return;
    }

    tokens = row->tokens;

    if (tokens != NGX_HTTP_TBUCKET_TOKENS_KEEP) {
        tokens = tb_tokens_credit(tokens, row->at,
                                  ngx_http_tbucket_follow_clock(NULL),
                                  ngx_http_tbucket_saved_limits(zone,
                                      ngx_http_tbucket_given_limits(zone,
                                                             &row->given)));
    }

    if (ngx_http_tbucket_client_set(zone, &row->id, &row->given, tokens)
        == NGX_HTTP_TBUCKET_NO_ROOM)
    {
        f->lost++;
    }
}


static void
ngx_http_tbucket_follow_apply_plan(ngx_http_tbucket_follower_t *f,
    ngx_http_tbucket_row_t *row)
{
    uint32_t                  n;
    ngx_http_tbucket_zone_t  *zone;

    zone = f->zone;

    if (!row->gone) {
        f->lost_plans += (ngx_http_tbucket_plan_set(zone,
                                                    (char *) row->id.data,
                                                    row->id.len, &row->given)
                          != NGX_OK);
        return;
    }

    n = ngx_http_tbucket_plan_find(zone, row->id.data, row->id.len);

    if (n != TB_PLAN_NONE) {
        ngx_http_tbucket_plan_remove(zone, n);
    }
}


/* All plans of the database; those that it does not have go. */

static ngx_int_t
ngx_http_tbucket_follow_plans(ngx_http_tbucket_follower_t *f)
{
    uint32_t                  n;
    ngx_int_t                 rc;
    sqlite3_stmt             *stmt;
    ngx_http_tbucket_row_t   *row;
    ngx_http_tbucket_zone_t  *zone;
    u_char                    seen[TB_PLANS];

    zone = f->zone;
    row = &f->slice[0];

    ngx_memzero(seen, sizeof(seen));

    stmt = ngx_http_tbucket_db_statement(f->db, NGX_HTTP_TBUCKET_DB_PLANS);

    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);

    for ( ;; ) {
        rc = ngx_http_tbucket_db_next(f->db, stmt);

        if (rc != NGX_OK) {
            break;
        }

        row->plan = 1;
        row->gone = 0;

        if (ngx_http_tbucket_follow_id(f, stmt, 0) != NGX_OK) {
            continue;
        }

        ngx_shmtx_lock(&zone->shpool->mutex);

        if (ngx_http_tbucket_columns_read(stmt, 1, zone, 1, &row->given)
            == NGX_OK)
        {
            ngx_http_tbucket_follow_apply_plan(f, row);

        } else {
            ngx_http_tbucket_follow_wrong(f, "has no valid limits");
        }

        n = ngx_http_tbucket_plan_find(zone, row->id.data, row->id.len);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        if (n != TB_PLAN_NONE) {
            seen[n] = 1;
        }
    }

    if (rc != NGX_DONE) {
        return NGX_ERROR;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (n = TB_PLAN_FIRST; n < zone->shared->plans->n; n++) {
        if (!seen[n]) {
            ngx_http_tbucket_plan_remove(zone, n);
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_follow_see(ngx_http_tbucket_follower_t *f, uint64_t lo)
{
    size_t     max;
    uint64_t  *seen;

    if (f->nseen == f->max) {
        max = f->max ? 2 * f->max : 1024;

        seen = realloc(f->seen, max * sizeof(uint64_t));
        if (seen == NULL) {
            ngx_log_error(NGX_LOG_ALERT, f->db->log, ngx_errno,
                          "realloc(%uz) failed", max * sizeof(uint64_t));
            return NGX_ERROR;
        }

        f->seen = seen;
        f->max = max;
    }

    f->seen[f->nseen++] = lo;

    return NGX_OK;
}


/* Those that memory has and the database has not. */

static void
ngx_http_tbucket_follow_remove_others(ngx_http_tbucket_follower_t *f)
{
    bool                      end;
    size_t                    i, n;
    uint64_t                  after;
    ngx_str_t                 id;
    tb_registry_entry_t       entries[NGX_HTTP_TBUCKET_FOLLOW_SLICE];
    ngx_http_tbucket_zone_t  *zone;

    zone = f->zone;
    after = 0;

    if (f->nseen) {
        qsort(f->seen, f->nseen, sizeof(uint64_t),
              ngx_http_tbucket_follow_compare);
    }

    do {
        ngx_shmtx_lock(&zone->shpool->mutex);

        n = tb_registry_list(zone->shared->registry, &after,
                             NGX_HTTP_TBUCKET_FOLLOW_BUDGET, entries,
                             sizeof(tb_registry_entry_t),
                             NGX_HTTP_TBUCKET_FOLLOW_SLICE, &end);

        for (i = 0; i < n; i++) {

            if (f->nseen
                && bsearch(&entries[i].hash.lo, f->seen, f->nseen,
                           sizeof(uint64_t), ngx_http_tbucket_follow_compare))
            {
                continue;
            }

            id.data = (u_char *) entries[i].id;
            id.len = entries[i].len;

            (void) ngx_http_tbucket_client_remove(zone, &id);
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);

    } while (!end);
}


static int
ngx_http_tbucket_follow_compare(const void *one, const void *other)
{
    uint64_t  a, b;

    a = *(const uint64_t *) one;
    b = *(const uint64_t *) other;

    return (a > b) - (a < b);
}


/*
 * Buckets are stamped with ngx_current_msec, which stands still while the
 * event loop waits, so what is credited has to end at the same instant.
 */

uint64_t
ngx_http_tbucket_follow_clock(uint64_t *now)
{
    uint64_t             again, msec, wall;
    volatile ngx_time_t  *tp;

    tp = ngx_timeofday();
    again = (uint64_t) tp->sec * 1000 + tp->msec;

    do {
        wall = again;
        msec = ngx_current_msec;
        atomic_thread_fence(memory_order_seq_cst);

        tp = ngx_timeofday();
        again = (uint64_t) tp->sec * 1000 + tp->msec;

    } while (again != wall);

    if (now != NULL) {
        *now = msec;
    }

    return wall;
}
