
/*
 * The connection to the database; see ngx_http_tbucket_db.h.
 */


#include "src/tbucket/sqlite/ngx_http_tbucket_db.h"

#include "src/common/ngx_gw_clock.h"
#include "src/common/ngx_gw_folder.h"
#include <time.h>


/* "tbkt" in the header of the file: whose database it is */
#define NGX_HTTP_TBUCKET_DB_ID       0x74626b74

/* "PRAGMA user_version" of the schema below */
#define NGX_HTTP_TBUCKET_DB_VERSION  2

/* bytes of a row; a part of the table takes 96 K */
#define NGX_HTTP_TBUCKET_DB_ROW      (1024 * 1024)

/* us between two looks at a lock */
#define NGX_HTTP_TBUCKET_DB_POLL     1000


static ngx_int_t ngx_http_tbucket_db_connect(ngx_http_tbucket_db_t *db);
static ngx_int_t ngx_http_tbucket_db_create(ngx_http_tbucket_db_t *db);
static ngx_int_t ngx_http_tbucket_db_is_current(ngx_http_tbucket_db_t *db);
static ngx_int_t ngx_http_tbucket_db_identify(ngx_http_tbucket_db_t *db);
static ngx_int_t ngx_http_tbucket_db_pragma(ngx_http_tbucket_db_t *db,
    const char *sql, int64_t *value);
static ngx_int_t ngx_http_tbucket_db_exec(ngx_http_tbucket_db_t *db,
    const char *sql);
static ngx_int_t ngx_http_tbucket_db_wal(ngx_http_tbucket_db_t *db);
static ngx_int_t ngx_http_tbucket_db_prepare(ngx_http_tbucket_db_t *db);
static ngx_int_t ngx_http_tbucket_db_open_lock(ngx_http_tbucket_db_t *db);
static int ngx_http_tbucket_db_busy(void *data, int count);
static ngx_int_t ngx_http_tbucket_db_error(ngx_http_tbucket_db_t *db,
    const char *path, ngx_err_t err, const char *reason);


/*
 * Constraints say what the API says; a rate is 1 request a day to 1,000,000
 * a second.  An id that is changed is another client, and a name that is
 * changed another plan.
 */

#define NGX_HTTP_TBUCKET_DB_ZONE_COLUMN                                      \
    " zone TEXT NOT NULL"                                                    \
    "  CONSTRAINT \"zone is a name\""                                        \
    "  CHECK (typeof(zone) = 'text' AND zone <> ''),"

#define NGX_HTTP_TBUCKET_DB_LIMITS                                           \
    " capacity INTEGER"                                                      \
    "  CONSTRAINT \"capacity is an integer from 1 to 1000000, times unit\""  \
    "  CHECK (capacity IS NULL OR typeof(capacity) = 'integer'"              \
    "  AND capacity BETWEEN 1 AND 1000000000),"                              \
    " rate_per_sec NUMERIC"                                                  \
    "  CONSTRAINT"                                                           \
    "  \"rate_per_sec is a number from 1/86400 to 1000000, times unit\""     \
    "  CHECK (rate_per_sec IS NULL"                                          \
    "  OR typeof(rate_per_sec) IN ('integer', 'real')"                       \
    "  AND rate_per_sec BETWEEN 9.5 / 864000 AND 1000000000),"               \
    " quota INTEGER"                                                         \
    "  CONSTRAINT \"quota is an integer from 1 to 1000000, times unit\""     \
    "  CHECK (quota IS NULL OR typeof(quota) = 'integer'"                    \
    "  AND quota BETWEEN 1 AND 1000000000),"                                 \
    " inflight INTEGER"                                                      \
    "  CONSTRAINT \"inflight is an integer from 1 to 1000000\""              \
    "  CHECK (inflight IS NULL OR typeof(inflight) = 'integer'"              \
    "  AND inflight BETWEEN 1 AND 1000000),"

#define NGX_HTTP_TBUCKET_DB_NAME(column)                                     \
    "typeof(" column ") = 'text' AND length(" column ") BETWEEN 1 AND 64"    \
    " AND " column " NOT GLOB '*[^!-~]*'"

/* Kinds, by tb_kind_e, and steps of 0.1r/d of tokens of the zone's unit. */

#define NGX_HTTP_TBUCKET_DB_CHECK                                            \
    " BEGIN"                                                                 \
    " SELECT RAISE(ABORT, 'limits of another kind than the zone has')"       \
    " FROM zones WHERE zone = NEW.zone"                                      \
    " AND (kind <> 0 AND NEW.capacity IS NOT NULL"                           \
    " OR kind <> 1 AND NEW.quota IS NOT NULL"                                \
    " OR kind <> 2 AND NEW.inflight IS NOT NULL);"                           \
    " SELECT RAISE(ABORT, 'capacity is an integer from 1 to 1000000,"        \
    " times unit')"                                                          \
    " FROM zones WHERE zone = NEW.zone"                                      \
    " AND (NEW.capacity > 1000000 * unit OR NEW.capacity % unit <> 0);"      \
    " SELECT RAISE(ABORT, 'quota is an integer from 1 to 1000000,"           \
    " times unit')"                                                          \
    " FROM zones WHERE zone = NEW.zone"                                      \
    " AND (NEW.quota > 1000000 * unit OR NEW.quota % unit <> 0);"            \
    " SELECT RAISE(ABORT, 'rate_per_sec is a number from 1/86400 to"         \
    " 1000000, times unit')"                                                 \
    " FROM zones WHERE zone = NEW.zone"                                      \
    " AND (NEW.rate_per_sec > 1000000 * unit OR NEW.rate_per_sec * 864000"   \
    " < unit * (CASE unit WHEN 1 THEN 9.5 ELSE 0.5 END));"                   \
    "END;"


static const char  ngx_http_tbucket_db_schema[] =
    "CREATE TABLE meta ("
    " name TEXT PRIMARY KEY NOT NULL,"
    " value TEXT NOT NULL) WITHOUT ROWID;"

    "INSERT INTO meta VALUES ('epoch', lower(hex(randomblob(16))));"

    "CREATE TABLE clients ("
    NGX_HTTP_TBUCKET_DB_ZONE_COLUMN
    " id TEXT NOT NULL"
    "  CONSTRAINT \"id is 1 to 255 bytes of text\""
    "  CHECK (typeof(id) = 'text'"
    "  AND length(CAST(id AS BLOB)) BETWEEN 1 AND 255"
    "  AND instr(CAST(id AS BLOB), x'00') = 0),"
    NGX_HTTP_TBUCKET_DB_LIMITS
    " plan TEXT"
    "  CONSTRAINT \"plan is 1 to 64 visible ASCII characters\""
    "  CHECK (plan IS NULL OR " NGX_HTTP_TBUCKET_DB_NAME("plan") "),"
    " blocked INTEGER DEFAULT 0"
    "  CONSTRAINT \"blocked is 0 or 1\""
    "  CHECK (blocked IS NULL"
    "  OR typeof(blocked) = 'integer' AND blocked IN (0, 1)),"
    " unlimited INTEGER DEFAULT 0"
    "  CONSTRAINT \"unlimited is 0 or 1\""
    "  CHECK (unlimited IS NULL"
    "  OR typeof(unlimited) = 'integer' AND unlimited IN (0, 1)),"
    " CONSTRAINT \"capacity and rate_per_sec go together\""
    "  CHECK ((capacity IS NULL) = (rate_per_sec IS NULL)),"
    " CONSTRAINT \"a client has limits of one kind, or a plan\""
    "  CHECK ((capacity IS NOT NULL) + (quota IS NOT NULL)"
    "  + (inflight IS NOT NULL) + (plan IS NOT NULL) <= 1),"
    " PRIMARY KEY (zone, id)) WITHOUT ROWID;"

    "CREATE TABLE plans ("
    NGX_HTTP_TBUCKET_DB_ZONE_COLUMN
    " plan TEXT NOT NULL"
    "  CONSTRAINT \"plan is 1 to 64 visible ASCII characters\""
    "  CHECK (" NGX_HTTP_TBUCKET_DB_NAME("plan") "),"
    NGX_HTTP_TBUCKET_DB_LIMITS
    " CONSTRAINT \"capacity and rate_per_sec go together\""
    "  CHECK ((capacity IS NULL) = (rate_per_sec IS NULL)),"
    " CONSTRAINT \"a plan has limits of one kind\""
    "  CHECK ((capacity IS NOT NULL) + (quota IS NOT NULL)"
    "  + (inflight IS NOT NULL) = 1),"
    " PRIMARY KEY (zone, plan)) WITHOUT ROWID;"

    "CREATE TABLE changes ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " zone TEXT NOT NULL,"
    " id TEXT,"
    " plan TEXT,"
    " tokens INTEGER,"
    " at INTEGER);"

    "CREATE TABLE zones ("
    " zone TEXT PRIMARY KEY NOT NULL,"
    " secret BLOB NOT NULL,"
    " saved INTEGER NOT NULL,"
    " kind INTEGER,"
    " unit INTEGER) WITHOUT ROWID;"

    "CREATE TABLE tokens ("
    " zone TEXT NOT NULL,"
    " part INTEGER NOT NULL,"
    " at INTEGER NOT NULL,"
    " state BLOB NOT NULL,"
    " UNIQUE (zone, part));"

    "CREATE TRIGGER client_to_be_added BEFORE INSERT ON clients"
    NGX_HTTP_TBUCKET_DB_CHECK
    "CREATE TRIGGER client_to_be_changed BEFORE UPDATE ON clients"
    NGX_HTTP_TBUCKET_DB_CHECK
    "CREATE TRIGGER plan_to_be_added BEFORE INSERT ON plans"
    NGX_HTTP_TBUCKET_DB_CHECK
    "CREATE TRIGGER plan_to_be_changed BEFORE UPDATE ON plans"
    NGX_HTTP_TBUCKET_DB_CHECK

    "CREATE TRIGGER client_added AFTER INSERT ON clients BEGIN"
    " INSERT INTO changes (zone, id) VALUES (NEW.zone, NEW.id);"
    "END;"

    "CREATE TRIGGER client_changed AFTER UPDATE ON clients BEGIN"
    " INSERT INTO changes (zone, id) VALUES (NEW.zone, NEW.id);"
    "END;"

    "CREATE TRIGGER client_renamed AFTER UPDATE OF zone, id ON clients"
    " WHEN OLD.zone <> NEW.zone OR OLD.id <> NEW.id BEGIN"
    " INSERT INTO changes (zone, id) VALUES (OLD.zone, OLD.id);"
    "END;"

    "CREATE TRIGGER client_removed AFTER DELETE ON clients BEGIN"
    " INSERT INTO changes (zone, id) VALUES (OLD.zone, OLD.id);"
    "END;"

    "CREATE TRIGGER plan_added AFTER INSERT ON plans BEGIN"
    " INSERT INTO changes (zone, plan) VALUES (NEW.zone, NEW.plan);"
    "END;"

    "CREATE TRIGGER plan_changed AFTER UPDATE ON plans BEGIN"
    " INSERT INTO changes (zone, plan) VALUES (NEW.zone, NEW.plan);"
    "END;"

    "CREATE TRIGGER plan_renamed AFTER UPDATE OF zone, plan ON plans"
    " WHEN OLD.zone <> NEW.zone OR OLD.plan <> NEW.plan BEGIN"
    " INSERT INTO changes (zone, plan) VALUES (OLD.zone, OLD.plan);"
    "END;"

    "CREATE TRIGGER plan_removed AFTER DELETE ON plans BEGIN"
    " INSERT INTO changes (zone, plan) VALUES (OLD.zone, OLD.plan);"
    "END;";


#define NGX_HTTP_TBUCKET_DB_LIMIT_COLUMNS(table)                             \
    table "capacity, " table "rate_per_sec, " table "quota, "                \
    table "inflight"

#define NGX_HTTP_TBUCKET_DB_CLIENT_COLUMNS(table)                            \
    NGX_HTTP_TBUCKET_DB_LIMIT_COLUMNS(table)                                 \
    ", " table "plan, " table "blocked, " table "unlimited"

#define NGX_HTTP_TBUCKET_DB_LIMITS_TAKEN                                     \
    " capacity = excluded.capacity, rate_per_sec = excluded.rate_per_sec,"   \
    " quota = excluded.quota, inflight = excluded.inflight"


static const char  *ngx_http_tbucket_db_texts[NGX_HTTP_TBUCKET_DB_STATEMENTS]
    = {
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",

    "SELECT (SELECT value FROM meta WHERE name = 'epoch'),"
    " (SELECT min(seq) FROM changes),"
    " (SELECT seq FROM sqlite_sequence WHERE name = 'changes')",

    "SELECT changes.seq, changes.id, changes.tokens, changes.at,"
    " changes.plan, clients.id,"
    " " NGX_HTTP_TBUCKET_DB_CLIENT_COLUMNS("clients.") ", plans.plan,"
    " " NGX_HTTP_TBUCKET_DB_LIMIT_COLUMNS("plans.")
    " FROM changes"
    " LEFT JOIN clients ON clients.zone = changes.zone"
    " AND clients.id = changes.id"
    " LEFT JOIN plans ON plans.zone = changes.zone"
    " AND plans.plan = changes.plan"
    " WHERE changes.seq > ?2 AND changes.zone = ?1 ORDER BY changes.seq",

    "SELECT id, " NGX_HTTP_TBUCKET_DB_CLIENT_COLUMNS("")
    " FROM clients WHERE zone = ?1",

    "SELECT " NGX_HTTP_TBUCKET_DB_CLIENT_COLUMNS("")
    " FROM clients WHERE zone = ?1 AND id = ?2",

    "INSERT INTO clients"
    " (zone, id, " NGX_HTTP_TBUCKET_DB_CLIENT_COLUMNS("") ")"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    " ON CONFLICT (zone, id) DO UPDATE SET"
    NGX_HTTP_TBUCKET_DB_LIMITS_TAKEN ", plan = excluded.plan,"
    " blocked = excluded.blocked, unlimited = excluded.unlimited",

    "DELETE FROM clients WHERE zone = ?1 AND id = ?2",

    "SELECT plan, " NGX_HTTP_TBUCKET_DB_LIMIT_COLUMNS("")
    " FROM plans WHERE zone = ?1",

    "SELECT " NGX_HTTP_TBUCKET_DB_LIMIT_COLUMNS("")
    " FROM plans WHERE zone = ?1 AND plan = ?2",
    "SELECT count(*) FROM plans WHERE zone = ?1",

    "INSERT INTO plans"
    " (zone, plan, " NGX_HTTP_TBUCKET_DB_LIMIT_COLUMNS("") ")"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
    " ON CONFLICT (zone, plan) DO UPDATE SET"
    NGX_HTTP_TBUCKET_DB_LIMITS_TAKEN,

    "DELETE FROM plans WHERE zone = ?1 AND plan = ?2",

    "INSERT INTO changes (zone, id, tokens, at) VALUES (?1, ?2, ?3, ?4)",

    "SELECT secret, saved FROM zones WHERE zone = ?1",

    "INSERT INTO zones (zone, secret, saved) VALUES (?1, ?2, ?3)"
    " ON CONFLICT (zone) DO UPDATE SET secret = excluded.secret,"
    " saved = excluded.saved",

    "UPDATE zones SET kind = ?2, unit = ?3 WHERE zone = ?1"
    " AND (kind IS NOT ?2 OR unit IS NOT ?3)",

    "SELECT at, state FROM tokens WHERE zone = ?1",

    "INSERT INTO tokens (zone, part, at, state) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (zone, part) DO UPDATE SET at = excluded.at,"
    " state = excluded.state",

    "DELETE FROM tokens WHERE zone = ?1 AND part = ?2",

    "DELETE FROM tokens WHERE zone = ?1",

    "DELETE FROM changes WHERE seq <= ?1",

    ("INSERT INTO meta (name, value) VALUES ('probe', datetime('now'))"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value")
};


ngx_int_t
ngx_http_tbucket_db_open(ngx_http_tbucket_db_t *db, ngx_msec_t timeout)
{
    db->error[0] = '\0';
    db->deadline = ngx_gw_usec() + (uint64_t) timeout * 1000;

    if (db->handle != NULL) {

        if (ngx_http_tbucket_db_is_current(db) == NGX_OK) {
            return NGX_OK;
        }

        ngx_http_tbucket_db_close(db);
    }

    if (ngx_http_tbucket_db_connect(db) == NGX_OK
        && ngx_http_tbucket_db_identify(db) == NGX_OK
        && ngx_http_tbucket_db_wal(db) == NGX_OK
        && ngx_http_tbucket_db_prepare(db) == NGX_OK
        && ngx_http_tbucket_db_open_lock(db) == NGX_OK)
    {
        return NGX_OK;
    }

    ngx_http_tbucket_db_close(db);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_tbucket_db_connect(ngx_http_tbucket_db_t *db)
{
    if (ngx_http_tbucket_db_create(db) != NGX_OK) {
        return NGX_ERROR;
    }

    if (sqlite3_open_v2(db->path, &db->handle,
                        SQLITE_OPEN_READWRITE|SQLITE_OPEN_NOMUTEX
                        |SQLITE_OPEN_PRIVATECACHE, NULL)
        != SQLITE_OK)
    {
        return ngx_http_tbucket_db_fail(db);
    }

    (void) sqlite3_extended_result_codes(db->handle, 1);
    (void) sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH,
                         NGX_HTTP_TBUCKET_DB_ROW);
    (void) sqlite3_busy_handler(db->handle, ngx_http_tbucket_db_busy, db);

    return NGX_OK;
}


/*
 * A file for SQLite to open that only its owner may read.  A file that is
 * there must not be opened here: to close it again would end the locks that
 * SQLite has on it in this process.
 */

static ngx_int_t
ngx_http_tbucket_db_create(ngx_http_tbucket_db_t *db)
{
    ngx_fd_t     fd;
    struct stat  st;

    if (stat(db->path, &st) == 0) {

        if (!S_ISREG(st.st_mode)) {
            return ngx_http_tbucket_db_error(db, db->path, 0,
                                             "is not a regular file");
        }

        return NGX_OK;
    }

    if (ngx_errno != NGX_ENOENT) {
        return ngx_http_tbucket_db_error(db, db->path, ngx_errno, "stat()");
    }

    fd = open(db->path, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0600);

    if (fd == -1) {

        if (ngx_errno == NGX_EEXIST) {
            return NGX_OK;
        }

        return ngx_http_tbucket_db_error(db, db->path, ngx_errno, "open()");
    }

    (void) close(fd);

    return NGX_OK;
}


/* Whether the file by that name is still the one that is open. */

static ngx_int_t
ngx_http_tbucket_db_is_current(ngx_http_tbucket_db_t *db)
{
    int  moved;

    moved = 0;

    if (sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_HAS_MOVED,
                             &moved)
        != SQLITE_OK
        || moved)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* Nothing is written to a database before it is known as ours. */

static ngx_int_t
ngx_http_tbucket_db_identify(ngx_http_tbucket_db_t *db)
{
    char     reason[128];
    int64_t  id, objects, version;

    if (ngx_http_tbucket_db_exec(db, "PRAGMA trusted_schema = OFF;"
                                     "PRAGMA cell_size_check = ON;"
                                     "PRAGMA temp_store = MEMORY;"
                                     "BEGIN IMMEDIATE")
        != NGX_OK
        || ngx_http_tbucket_db_pragma(db, "PRAGMA application_id", &id)
           != NGX_OK
        || ngx_http_tbucket_db_pragma(db, "PRAGMA user_version", &version)
           != NGX_OK
        || ngx_http_tbucket_db_pragma(db,
                                      "SELECT count(*) FROM sqlite_schema",
                                      &objects)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    db->created = 0;

    if (id == 0 && version == 0 && objects == 0) {

        (void) snprintf(reason, sizeof(reason),
                        "PRAGMA application_id = %d; PRAGMA user_version = %d",
                        NGX_HTTP_TBUCKET_DB_ID, NGX_HTTP_TBUCKET_DB_VERSION);

        if (ngx_http_tbucket_db_exec(db, ngx_http_tbucket_db_schema)
            != NGX_OK
            || ngx_http_tbucket_db_exec(db, reason) != NGX_OK)
        {
            return NGX_ERROR;
        }

        db->created = 1;

        return ngx_http_tbucket_db_exec(db, "COMMIT");
    }

    if (id != NGX_HTTP_TBUCKET_DB_ID) {
        return ngx_http_tbucket_db_error(db, db->path, 0,
                                         "is a database of something else");
    }

    if (version != NGX_HTTP_TBUCKET_DB_VERSION) {
        (void) snprintf(reason, sizeof(reason),
                        "has schema %lld, this version knows schema %d",
                        (long long) version, NGX_HTTP_TBUCKET_DB_VERSION);

        return ngx_http_tbucket_db_error(db, db->path, 0, reason);
    }

    return ngx_http_tbucket_db_exec(db, "ROLLBACK");
}


static ngx_int_t
ngx_http_tbucket_db_pragma(ngx_http_tbucket_db_t *db, const char *sql,
    int64_t *value)
{
    ngx_int_t      rc;
    sqlite3_stmt  *stmt;

    if (sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL) != SQLITE_OK) {
        return ngx_http_tbucket_db_fail(db);
    }

    rc = ngx_http_tbucket_db_next(db, stmt);

    if (rc == NGX_OK) {
        *value = sqlite3_column_int64(stmt, 0);
    }

    (void) sqlite3_finalize(stmt);

    return rc == NGX_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_tbucket_db_exec(ngx_http_tbucket_db_t *db, const char *sql)
{
    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return ngx_http_tbucket_db_fail(db);
    }

    return NGX_OK;
}


/* What was committed is on the disk, and readers do not wait for writers. */

static ngx_int_t
ngx_http_tbucket_db_wal(ngx_http_tbucket_db_t *db)
{
    ngx_int_t      rc;
    sqlite3_stmt  *stmt;

    if (sqlite3_prepare_v2(db->handle, "PRAGMA journal_mode = WAL", -1, &stmt,
                           NULL)
        != SQLITE_OK)
    {
        return ngx_http_tbucket_db_fail(db);
    }

    rc = ngx_http_tbucket_db_next(db, stmt);

    if (rc == NGX_OK
        && ngx_strcasecmp((u_char *) sqlite3_column_text(stmt, 0),
                          (u_char *) "wal")
           != 0)
    {
        rc = ngx_http_tbucket_db_error(db, db->path, 0,
                                       "cannot have a write-ahead log on "
                                       "this file system");
    }

    (void) sqlite3_finalize(stmt);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_tbucket_db_exec(db, "PRAGMA synchronous = FULL");
}


static ngx_int_t
ngx_http_tbucket_db_prepare(ngx_http_tbucket_db_t *db)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_TBUCKET_DB_STATEMENTS; i++) {

        if (sqlite3_prepare_v3(db->handle, ngx_http_tbucket_db_texts[i], -1,
                               SQLITE_PREPARE_PERSISTENT,
                               &db->statements[i], NULL)
            != SQLITE_OK)
        {
            return ngx_http_tbucket_db_fail(db);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_db_open_lock(ngx_http_tbucket_db_t *db)
{
    ngx_fd_t  fd;

    fd = open(db->lock_path, O_RDWR|O_CREAT|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC,
              0600);

    if (fd == -1) {
        return ngx_http_tbucket_db_error(db, db->lock_path, ngx_errno,
                                         "open()");
    }

    db->lock = fd;
    db->has_lock = 1;

    return NGX_OK;
}


void
ngx_http_tbucket_db_close(ngx_http_tbucket_db_t *db)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_TBUCKET_DB_STATEMENTS; i++) {
        (void) sqlite3_finalize(db->statements[i]);
        db->statements[i] = NULL;
    }

    (void) sqlite3_close(db->handle);
    db->handle = NULL;

    if (db->has_lock) {
        (void) close(db->lock);
        db->has_lock = 0;
    }
}


ngx_int_t
ngx_http_tbucket_db_check(ngx_http_tbucket_db_t *db)
{
    ngx_int_t      rc;
    const char    *text;
    sqlite3_stmt  *stmt;

    /* a row that breaks a constraint is skipped when it is read */

    if (ngx_http_tbucket_db_exec(db, "PRAGMA ignore_check_constraints = ON")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &stmt,
                           NULL)
        != SQLITE_OK)
    {
        return ngx_http_tbucket_db_fail(db);
    }

    rc = ngx_http_tbucket_db_next(db, stmt);

    if (rc == NGX_OK) {
        text = (const char *) sqlite3_column_text(stmt, 0);

        if (text == NULL || ngx_strcmp(text, "ok") != 0) {
            rc = ngx_http_tbucket_db_error(db, db->path, 0,
                                           text ? text : "is damaged");
        }
    }

    (void) sqlite3_finalize(stmt);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_tbucket_db_exec(db,
                                    "PRAGMA ignore_check_constraints = OFF");
}


ngx_int_t
ngx_http_tbucket_db_lock(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_db_lock_e which, ngx_uint_t wait)
{
    while (ngx_gw_folder_lock(db->lock, F_WRLCK, which) == -1) {

        if (ngx_errno != NGX_EAGAIN && ngx_errno != NGX_EACCES
            && ngx_errno != NGX_EINTR)
        {
            return ngx_http_tbucket_db_error(db, db->lock_path, ngx_errno,
                                             "fcntl()");
        }

        if (!wait) {
            return NGX_BUSY;
        }

        if (ngx_gw_usec() > db->deadline) {
            (void) ngx_http_tbucket_db_error(db, db->lock_path, 0,
                                             "is locked by another process");
            return NGX_BUSY;
        }

        (void) usleep(NGX_HTTP_TBUCKET_DB_POLL);
    }

    return NGX_OK;
}


void
ngx_http_tbucket_db_unlock(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_db_lock_e which)
{
    (void) ngx_gw_folder_lock(db->lock, F_UNLCK, which);
}


sqlite3_stmt *
ngx_http_tbucket_db_statement(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_db_statement_e which)
{
    (void) sqlite3_reset(db->statements[which]);
    (void) sqlite3_clear_bindings(db->statements[which]);

    return db->statements[which];
}


void
ngx_http_tbucket_db_bind_text(sqlite3_stmt *stmt, int n, ngx_str_t *text)
{
    (void) sqlite3_bind_text(stmt, n, (char *) text->data, (int) text->len,
                             SQLITE_STATIC);
}


ngx_int_t
ngx_http_tbucket_db_run(ngx_http_tbucket_db_t *db, sqlite3_stmt *stmt)
{
    ngx_int_t  rc;

    rc = ngx_http_tbucket_db_next(db, stmt);

    if (rc == NGX_OK) {
        (void) sqlite3_reset(stmt);
    }

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_tbucket_db_next(ngx_http_tbucket_db_t *db, sqlite3_stmt *stmt)
{
    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        return NGX_OK;

    case SQLITE_DONE:
        (void) sqlite3_reset(stmt);
        return NGX_DONE;

    default:
        (void) ngx_http_tbucket_db_fail(db);
        (void) sqlite3_reset(stmt);
        return NGX_ERROR;
    }
}


ngx_int_t
ngx_http_tbucket_db_begin(ngx_http_tbucket_db_t *db, ngx_uint_t write)
{
    return ngx_http_tbucket_db_run(db,
               ngx_http_tbucket_db_statement(db, write
                                             ? NGX_HTTP_TBUCKET_DB_BEGIN_WRITE
                                             : NGX_HTTP_TBUCKET_DB_BEGIN));
}


ngx_int_t
ngx_http_tbucket_db_commit(ngx_http_tbucket_db_t *db)
{
    return ngx_http_tbucket_db_run(db,
               ngx_http_tbucket_db_statement(db, NGX_HTTP_TBUCKET_DB_COMMIT));
}


void
ngx_http_tbucket_db_rollback(ngx_http_tbucket_db_t *db)
{
    ngx_uint_t  i;

    if (db->handle == NULL || sqlite3_get_autocommit(db->handle)) {
        return;
    }

    for (i = 0; i < NGX_HTTP_TBUCKET_DB_STATEMENTS; i++) {
        (void) sqlite3_reset(db->statements[i]);
    }

    (void) sqlite3_step(db->statements[NGX_HTTP_TBUCKET_DB_ROLLBACK]);
    (void) sqlite3_reset(db->statements[NGX_HTTP_TBUCKET_DB_ROLLBACK]);
}


/* Waits for whoever holds a lock of the database, until the deadline. */

static int
ngx_http_tbucket_db_busy(void *data, int count)
{
    ngx_http_tbucket_db_t  *db = data;

    (void) count;

    if (ngx_gw_usec() > db->deadline) {
        return 0;
    }

    (void) usleep(NGX_HTTP_TBUCKET_DB_POLL);

    return 1;
}


ngx_int_t
ngx_http_tbucket_db_fail(ngx_http_tbucket_db_t *db)
{
    int  err;

    err = 0;

    /* errno is of the failure only if it was one of the system's */

    switch (sqlite3_errcode(db->handle) & 0xff) {

    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_FULL:
    case SQLITE_PERM:
        err = sqlite3_system_errno(db->handle);
        break;
    }

    return ngx_http_tbucket_db_error(db, db->path, err,
                                     sqlite3_errmsg(db->handle));
}


/* The first reason is the one that counts. */

static ngx_int_t
ngx_http_tbucket_db_error(ngx_http_tbucket_db_t *db, const char *path,
    ngx_err_t err, const char *reason)
{
    u_char  *p, *last;

    if (db->error[0] != '\0') {
        return NGX_ERROR;
    }

    last = (u_char *) db->error + sizeof(db->error) - 1;

    p = ngx_slprintf((u_char *) db->error, last, "\"%s\": %s", path, reason);

    if (err) {
        p = ngx_slprintf(p, last, " (%d: ", err);
        p = ngx_strerror(err, p, last - p);
        p = ngx_slprintf(p, last, ")");
    }

    *p = '\0';

    return NGX_ERROR;
}
