
/*
 * States of token buckets; see ngx_http_tbucket_tokens.h.
 *
 * A part is some slots of the table in a row.  What is digested of a bucket
 * does not change as time refills it, so a part is written again only after
 * somebody took or gave.
 */


#include "src/tbucket/sqlite/ngx_http_tbucket_tokens.h"
#include "src/core/limit/tb_client_own.h"
#include "src/core/limit/tb_text.h"
#include "src/core/limit/tb_tokens.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_follow.h"


#define NGX_HTTP_TBUCKET_PART_SLOTS  4096

/* changes that are kept for those that follow, and how many more may be */
#define NGX_HTTP_TBUCKET_CHANGES     100000
#define NGX_HTTP_TBUCKET_SPARE       10000

/* more than all tokens and debts come to, µtok of single ones */
#define NGX_HTTP_TBUCKET_USED        (INT64_C(1) << 61)

/* no limits of a slot */
#define NGX_HTTP_TBUCKET_LEFT        ((tb_limits_t) -1)


typedef struct {
    ngx_http_tbucket_db_t       *db;
    unsigned                     writing:1;  /* there is a transaction */

    /* the part that was looked at last */
    uint32_t                     part;
    uint64_t                     at;         /* ms since 1970, */
    uint64_t                     now;        /* and of the table's clock */
    size_t                       len;        /* of state, bytes */
    uint64_t                     digest;     /* 0: of no bucket */
    u_char                       state[NGX_HTTP_TBUCKET_PART_SLOTS
                                       * 2 * TB_TOKENS_ENTRY_SIZE];

    /* the plan that was looked up last, and the hash of its name */
    uint32_t                     plan;
    tb_hash_t                    name;
} ngx_http_tbucket_saver_t;


static ngx_int_t ngx_http_tbucket_tokens_save_zones(
    ngx_http_tbucket_saver_t *s, ngx_http_tbucket_saved_t *saved,
    ngx_uint_t n);
static ngx_int_t ngx_http_tbucket_tokens_save_zone(
    ngx_http_tbucket_saver_t *s, ngx_http_tbucket_saved_t *saved,
    uint64_t position);
static ngx_int_t ngx_http_tbucket_tokens_forget(ngx_http_tbucket_saver_t *s,
    ngx_http_tbucket_saved_t *saved, const char *epoch);
static uint64_t ngx_http_tbucket_tokens_collect(ngx_http_tbucket_saver_t *s,
    ngx_http_tbucket_zone_t *zone);
static void ngx_http_tbucket_tokens_collect_slot(
    ngx_http_tbucket_saver_t *s, ngx_http_tbucket_zone_t *zone, uint32_t i);
static void ngx_http_tbucket_tokens_plan(ngx_http_tbucket_saver_t *s,
    ngx_http_tbucket_zone_t *zone, uint32_t plan);
static ngx_int_t ngx_http_tbucket_tokens_save_part(
    ngx_http_tbucket_saver_t *s, ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_tokens_begin(ngx_http_tbucket_saver_t *s);
static ngx_int_t ngx_http_tbucket_tokens_note(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, uint64_t changes);
static ngx_int_t ngx_http_tbucket_tokens_trim(ngx_http_tbucket_saver_t *s,
    uint64_t last);
static int64_t ngx_http_tbucket_tokens_state(ngx_http_tbucket_zone_t *zone,
    int64_t tokens);
static ngx_int_t ngx_http_tbucket_tokens_of(ngx_http_tbucket_zone_t *zone,
    int64_t *tokens);
static ngx_uint_t ngx_http_tbucket_tokens_put(ngx_http_tbucket_zone_t *zone,
    const tb_hash_t *h, int64_t tokens, uint64_t at, tb_limits_t lent);
static ngx_int_t ngx_http_tbucket_tokens_restore_changes(
    ngx_http_tbucket_db_t *db, ngx_http_tbucket_zone_t *zone,
    uint64_t changes);


ngx_int_t
ngx_http_tbucket_tokens_init(ngx_http_tbucket_saved_t *saved,
    ngx_http_tbucket_zone_t *zone, ngx_pool_t *pool)
{
    uint32_t  parts;

    parts = tb_table_slots(zone->shared->table) / NGX_HTTP_TBUCKET_PART_SLOTS
            + 1;

    ngx_memzero(saved, sizeof(ngx_http_tbucket_saved_t));

    saved->zone = zone;
    saved->digests = ngx_pcalloc(pool, parts * sizeof(uint64_t));

    return saved->digests ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_tbucket_tokens_save(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_saved_t *saved, ngx_uint_t n)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_http_tbucket_saver_t  *s;

    s = ngx_alloc(sizeof(ngx_http_tbucket_saver_t), db->log);
    if (s == NULL) {
        return NGX_ERROR;
    }

    s->db = db;
    s->writing = 0;

    rc = ngx_http_tbucket_tokens_save_zones(s, saved, n);

    if (rc == NGX_OK && s->writing) {
        rc = ngx_http_tbucket_db_commit(db);
    }

    ngx_http_tbucket_db_rollback(db);

    if (rc != NGX_OK) {
        for (i = 0; i < n; i++) {
            saved[i].epoch[0] = '\0';
        }
    }

    ngx_free(s);

    return rc;
}


/* A zone that is not in line with this database has nothing to save yet. */

static ngx_int_t
ngx_http_tbucket_tokens_save_zones(ngx_http_tbucket_saver_t *s,
    ngx_http_tbucket_saved_t *saved, ngx_uint_t n)
{
    char                      epoch[NGX_HTTP_TBUCKET_ROWS_EPOCH];
    uint64_t                  first, last, position;
    ngx_uint_t                i;
    const char               *text;
    sqlite3_stmt             *stmt;
    ngx_http_tbucket_rows_t  *rows;

    stmt = ngx_http_tbucket_db_statement(s->db, NGX_HTTP_TBUCKET_DB_STATE);

    if (ngx_http_tbucket_db_next(s->db, stmt) != NGX_OK) {
        return NGX_ERROR;
    }

    text = (const char *) sqlite3_column_text(stmt, 0);
    (void) ngx_cpystrn((u_char *) epoch, (u_char *) (text ? text : "none"),
                       sizeof(epoch));

    first = (uint64_t) sqlite3_column_int64(stmt, 1);
    last = (uint64_t) sqlite3_column_int64(stmt, 2);

    (void) sqlite3_reset(stmt);

    for (i = 0; i < n; i++) {
        rows = saved[i].zone->shared->rows;

        if (ngx_strcmp(rows->epoch, epoch) != 0
            || atomic_load_explicit(&saved[i].zone->shared->superseded,
                                    memory_order_relaxed))
        {
            return NGX_OK;
        }

        position = ngx_http_tbucket_rows_position(rows);
        last = ngx_min(last, position);

        if (ngx_strcmp(saved[i].epoch, epoch) != 0
            && ngx_http_tbucket_tokens_forget(s, &saved[i], epoch) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ngx_http_tbucket_tokens_save_zone(s, &saved[i], position)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (first
        && last > first + NGX_HTTP_TBUCKET_CHANGES + NGX_HTTP_TBUCKET_SPARE)
    {
        return ngx_http_tbucket_tokens_trim(s,
                                            last - NGX_HTTP_TBUCKET_CHANGES);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_tokens_save_zone(ngx_http_tbucket_saver_t *s,
    ngx_http_tbucket_saved_t *saved, uint64_t position)
{
    uint32_t    parts;
    uint64_t    digest;
    ngx_uint_t  changed;

    parts = tb_table_slots(saved->zone->shared->table)
            / NGX_HTTP_TBUCKET_PART_SLOTS + 1;
    changed = 0;

    for (s->part = 0; s->part < parts; s->part++) {
        digest = ngx_http_tbucket_tokens_collect(s, saved->zone);

        if (digest == saved->digests[s->part]) {
            continue;
        }

        if (ngx_http_tbucket_tokens_save_part(s, saved->zone) != NGX_OK) {
            return NGX_ERROR;
        }

        saved->digests[s->part] = digest;
        changed = 1;
    }

    return changed ? ngx_http_tbucket_tokens_note(s->db, saved->zone,
                                                  position)
                   : NGX_OK;
}


/* What the database has of the zone is not this process': all is new. */

static ngx_int_t
ngx_http_tbucket_tokens_forget(ngx_http_tbucket_saver_t *s,
    ngx_http_tbucket_saved_t *saved, const char *epoch)
{
    uint32_t       parts;
    sqlite3_stmt  *stmt;

    if (ngx_http_tbucket_tokens_begin(s) != NGX_OK) {
        return NGX_ERROR;
    }

    stmt = ngx_http_tbucket_db_statement(s->db,
                                         NGX_HTTP_TBUCKET_DB_REMOVE_PARTS);

    ngx_http_tbucket_db_bind_text(stmt, 1, &saved->zone->name);

    if (ngx_http_tbucket_db_run(s->db, stmt) != NGX_OK) {
        return NGX_ERROR;
    }

    parts = tb_table_slots(saved->zone->shared->table)
            / NGX_HTTP_TBUCKET_PART_SLOTS + 1;

    ngx_memzero(saved->digests, parts * sizeof(uint64_t));

    (void) ngx_cpystrn((u_char *) saved->epoch, (u_char *) epoch,
                       sizeof(saved->epoch));

    return NGX_OK;
}


/* Gathers the part's buckets that are not full; lock-free. */

static uint64_t
ngx_http_tbucket_tokens_collect(ngx_http_tbucket_saver_t *s,
    ngx_http_tbucket_zone_t *zone)
{
    uint32_t     end, i, n;
    tb_table_t  *table;

    table = zone->shared->table;

    i = s->part * NGX_HTTP_TBUCKET_PART_SLOTS;
    end = i + NGX_HTTP_TBUCKET_PART_SLOTS;

    s->len = 0;
    s->digest = 0;
    s->plan = TB_PLAN_NONE;
    s->at = ngx_http_tbucket_follow_clock(&s->now);

    if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {

        /* requests end with the process */

        return 0;
    }

    while (tb_table_each(table, &i, &n) && i < end) {
        for ( /* void */ ; n > 0; n--) {
            ngx_http_tbucket_tokens_collect_slot(s, zone, i++);
        }
    }

    return s->digest;
}


/*
 * tokens * 864 - rate * stamp is the same whenever the refill is credited,
 * modulo 2^64.
 */

static void
ngx_http_tbucket_tokens_collect_slot(ngx_http_tbucket_saver_t *s,
    ngx_http_tbucket_zone_t *zone, uint32_t i)
{
    int64_t      tokens;
    uint32_t     plan;
    uint64_t     digested[4], now;
    tb_hash_t    h;
    tb_word_t    word;
    tb_table_t  *table;
    tb_limits_t  dflt, limits;

    dflt = ngx_http_tbucket_limits(zone, &now);
    now = ngx_max(now, s->now);
    table = zone->shared->table;

    if (!tb_table_bucket(table, i, &now, dflt, &h, &limits, &tokens)
        || tb_limits_is_full(limits, tokens))
    {
        return;
    }

    /* of a clock that is ahead; all of the part is as of then */

    s->at += now - s->now;
    s->now = now;

    plan = zone->kind == NGX_HTTP_TBUCKET_RATE
           ? tb_plan_remembered(tb_table_own_limits(table, &h))
           : TB_PLAN_NONE;

    if (plan != TB_PLAN_NONE) {
        ngx_http_tbucket_tokens_plan(s, zone, plan);
    }

    s->len = tb_tokens_write(s->state + s->len, &h,
                             ngx_http_tbucket_tokens_state(zone, tokens))
             - s->state;

    word = atomic_load_explicit(&tb_table_slot(table, i)->word,
                                memory_order_relaxed);

    digested[0] = h.lo;
    digested[1] = h.hi;
    digested[2] = (word >> TB_STAMP_BITS) * TB_STEPS_A_UTOK
                  - tb_limits_rate(limits) * (now - tb_word_age(word, now));

    digested[3] = plan;

    s->digest = XXH3_64bits_withSeed(digested, sizeof(digested), s->digest);
    s->digest |= (s->digest == 0);
}


/*
 * The plan of the bucket that follows: a state of nobody, with the hash of its
 * name in place of the rest.
 */

static void
ngx_http_tbucket_tokens_plan(ngx_http_tbucket_saver_t *s,
    ngx_http_tbucket_zone_t *zone, uint32_t plan)
{
    char       name[TB_PLAN_NAME_MAX];
    size_t     len;
    tb_hash_t  h;

    if (plan != s->plan) {
        ngx_shmtx_lock(&zone->shpool->mutex);

        len = tb_plan_names_get(zone->shared->names, plan, name);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        s->plan = plan;
        s->name = tb_hash(name, len, zone->shared->secret);
    }

    h.lo = 0;
    h.hi = s->name.lo;

    s->len = tb_tokens_write(s->state + s->len, &h, (int64_t) s->name.hi)
             - s->state;
}


static ngx_int_t
ngx_http_tbucket_tokens_save_part(ngx_http_tbucket_saver_t *s,
    ngx_http_tbucket_zone_t *zone)
{
    sqlite3_stmt  *stmt;

    if (ngx_http_tbucket_tokens_begin(s) != NGX_OK) {
        return NGX_ERROR;
    }

    stmt = ngx_http_tbucket_db_statement(s->db, s->len
                                         ? NGX_HTTP_TBUCKET_DB_SET_PART
                                         : NGX_HTTP_TBUCKET_DB_REMOVE_PART);

    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);
    (void) sqlite3_bind_int64(stmt, 2, s->part);

    if (s->len) {
        (void) sqlite3_bind_int64(stmt, 3, (int64_t) s->at);
        (void) sqlite3_bind_blob(stmt, 4, s->state, (int) s->len,
                                 SQLITE_STATIC);
    }

    return ngx_http_tbucket_db_run(s->db, stmt);
}


static ngx_int_t
ngx_http_tbucket_tokens_begin(ngx_http_tbucket_saver_t *s)
{
    if (s->writing) {
        return NGX_OK;
    }

    s->writing = 1;

    return ngx_http_tbucket_db_begin(s->db, 1);
}


static ngx_int_t
ngx_http_tbucket_tokens_note(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, uint64_t changes)
{
    sqlite3_stmt  *stmt;

    stmt = ngx_http_tbucket_db_statement(db, NGX_HTTP_TBUCKET_DB_SET_ZONE);

    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);
    (void) sqlite3_bind_blob(stmt, 2, zone->shared->secret, TB_SECRET_SIZE,
                             SQLITE_STATIC);
    (void) sqlite3_bind_int64(stmt, 3, (int64_t) changes);

    return ngx_http_tbucket_db_run(db, stmt);
}


static ngx_int_t
ngx_http_tbucket_tokens_trim(ngx_http_tbucket_saver_t *s, uint64_t last)
{
    sqlite3_stmt  *stmt;

    if (ngx_http_tbucket_tokens_begin(s) != NGX_OK) {
        return NGX_ERROR;
    }

    stmt = ngx_http_tbucket_db_statement(s->db, NGX_HTTP_TBUCKET_DB_TRIM);
    (void) sqlite3_bind_int64(stmt, 1, (int64_t) last);

    return ngx_http_tbucket_db_run(s->db, stmt);
}


ngx_int_t
ngx_http_tbucket_tokens_adopt(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, uint64_t *changes)
{
    int            len;
    ngx_int_t      rc;
    const void    *secret;
    sqlite3_stmt  *stmt;

    *changes = 0;

    stmt = ngx_http_tbucket_db_statement(db, NGX_HTTP_TBUCKET_DB_ZONE);
    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);

    rc = ngx_http_tbucket_db_next(db, stmt);

    if (rc == NGX_DONE) {
        return ngx_http_tbucket_tokens_note(db, zone, 0);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    secret = sqlite3_column_blob(stmt, 0);
    len = sqlite3_column_bytes(stmt, 0);

    if (secret && len == TB_SECRET_SIZE) {
        ngx_memcpy(zone->shared->secret, secret, TB_SECRET_SIZE);
        *changes = (uint64_t) sqlite3_column_int64(stmt, 1);

    } else {
        ngx_log_error(NGX_LOG_ERR, db->log, 0,
                      "tbucket_store: \"%s\": the secret of zone \"%V\" has "
                      "%d bytes instead of %d, buckets start full",
                      db->path, &zone->name, len, TB_SECRET_SIZE);
    }

    (void) sqlite3_reset(stmt);

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_tokens_restore(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, uint64_t changes)
{
    size_t         len;
    int64_t        tokens;
    uint64_t       at;
    ngx_int_t      rc;
    tb_hash_t      h, plan;
    ngx_uint_t     lost, restored;
    tb_limits_t    lent;
    const u_char  *p, *last;
    sqlite3_stmt  *stmt;

    lent = 0;
    lost = 0;
    restored = 0;

    stmt = ngx_http_tbucket_db_statement(db, NGX_HTTP_TBUCKET_DB_PARTS);
    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);

    for ( ;; ) {
        rc = ngx_http_tbucket_db_next(db, stmt);

        if (rc != NGX_OK) {
            break;
        }

        at = (uint64_t) sqlite3_column_int64(stmt, 0);
        p = sqlite3_column_blob(stmt, 1);
        len = (size_t) sqlite3_column_bytes(stmt, 1);

        last = p + len - len % TB_TOKENS_ENTRY_SIZE;

        while (p < last) {
            p = tb_tokens_read(p, &h, &tokens);

            if (h.lo == 0) {
                plan.lo = h.hi;
                plan.hi = (uint64_t) tokens;
                lent = ngx_http_tbucket_plan_lent_by(zone,
                                              tb_plan_names_find(
                                                  zone->shared->names, &plan));
                continue;
            }

            if (ngx_http_tbucket_tokens_of(zone, &tokens) == NGX_OK) {

                if (ngx_http_tbucket_tokens_put(zone, &h, tokens, at, lent)) {
                    restored++;

                } else {
                    lost++;
                }
            }

            lent = 0;
        }
    }

    if (rc != NGX_DONE) {
        return NGX_ERROR;
    }

    ngx_log_error(NGX_LOG_NOTICE, db->log, 0,
                  "tbucket_store: zone \"%V\": %ui drained buckets restored, "
                  "%ui have no room", &zone->name, restored, lost);

    return ngx_http_tbucket_tokens_restore_changes(db, zone, changes);
}


/*
 * What is saved of tokens, in single units: of a quota what has been used, less
 * than 0 by so much that it is not taken for a debt, nor a debt for it, when
 * the zone limits in another way by then.
 */

static int64_t
ngx_http_tbucket_tokens_state(ngx_http_tbucket_zone_t *zone, int64_t tokens)
{
    return zone->kind == NGX_HTTP_TBUCKET_QUOTA
           ? tb_unit_tokens(tokens - (int64_t) TB_COST_MAX, zone->unit)
             - NGX_HTTP_TBUCKET_USED
           : tb_unit_tokens(tokens, zone->unit);
}


/* And back; NGX_DECLINED: not of a zone of this kind. */

static ngx_int_t
ngx_http_tbucket_tokens_of(ngx_http_tbucket_zone_t *zone, int64_t *tokens)
{
    ngx_uint_t  used;

    used = (*tokens < -NGX_HTTP_TBUCKET_USED / 2);

    if (used != (zone->kind == NGX_HTTP_TBUCKET_QUOTA)) {
        return NGX_DECLINED;
    }

    *tokens = used ? (int64_t) TB_COST_MAX
                         + tb_unit_tokens_of(*tokens + NGX_HTTP_TBUCKET_USED,
                                         zone->unit)
                   : tb_unit_tokens_of(*tokens, zone->unit);

    return NGX_OK;
}


/*
 * A bucket as it would be had nginx been running all the time.  lent: the plan
 * of one that is not registered, or NGX_HTTP_TBUCKET_LEFT: tokens are those
 * that are left, and not what a word has.
 */

static ngx_uint_t
ngx_http_tbucket_tokens_put(ngx_http_tbucket_zone_t *zone,
    const tb_hash_t *h, int64_t tokens, uint64_t at, tb_limits_t lent)
{
    ngx_uint_t           rc;
    uint64_t             now;
    tb_limits_t          dflt, limits, own;
    tb_registry_entry_t  entry;

    rc = 1;
    dflt = ngx_http_tbucket_limits(zone, &now);

    ngx_shmtx_lock(&zone->shpool->mutex);

    own = tb_registry_find(zone->shared->registry, h, &entry)
          ? tb_own_slot(entry.limits)
          : lent == NGX_HTTP_TBUCKET_LEFT ? 0 : lent;
    limits = tb_table_limits(zone->shared->table, own, dflt);
    tokens += lent == NGX_HTTP_TBUCKET_LEFT ? tb_limits_lowest(limits) : 0;

    tokens = zone->kind == NGX_HTTP_TBUCKET_INFLIGHT
             ? (int64_t) TB_COST_MAX
             : tb_tokens_credit(tokens, at,
                                ngx_http_tbucket_follow_clock(NULL),
                                ngx_http_tbucket_saved_limits(zone, limits));

    if ((own & TB_LIMITS_REGISTERED) || !tb_limits_is_full(limits, tokens)) {
        rc = tb_table_put(zone->shared->table, h, now, dflt, own, tokens);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


/* Tokens that were set after the states were saved. */

static ngx_int_t
ngx_http_tbucket_tokens_restore_changes(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, uint64_t changes)
{
    ngx_int_t      rc;
    ngx_str_t      id;
    tb_hash_t      h;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_tbucket_db_statement(db, NGX_HTTP_TBUCKET_DB_CHANGES);

    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);
    (void) sqlite3_bind_int64(stmt, 2, (int64_t) changes);

    for ( ;; ) {
        rc = ngx_http_tbucket_db_next(db, stmt);

        if (rc != NGX_OK) {
            break;
        }

        if (sqlite3_column_type(stmt, 2) != SQLITE_INTEGER
            || sqlite3_column_type(stmt, 5) == SQLITE_NULL)
        {
            continue;
        }

        id.data = (u_char *) sqlite3_column_text(stmt, 1);
        id.len = (size_t) sqlite3_column_bytes(stmt, 1);

        h = tb_hash(id.data, id.len, zone->shared->secret);

        (void) ngx_http_tbucket_tokens_put(zone, &h,
                            tb_unit_tokens_of(sqlite3_column_int64(stmt, 2),
                                              zone->unit),
                            (uint64_t) sqlite3_column_int64(stmt, 3),
                            NGX_HTTP_TBUCKET_LEFT);
    }

    return rc == NGX_DONE ? NGX_OK : NGX_ERROR;
}
