
/*
 * The SQLite store in the master: loading at a start and at a reload, and the
 * last save.  The database lies in a folder that the workers' user may write
 * to, so the master does not open it itself: a child does, with the rights
 * of that user.
 */


#include "src/tbucket/sqlite/ngx_http_tbucket_sqlite_load.h"
#include "src/common/ngx_gw_child.h"
#include "src/common/ngx_gw_folder.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_follow.h"


/* ms that locks may be waited for: less than a child may be silent */
#define NGX_HTTP_TBUCKET_SQLITE_LOCKED  4000

/* steps of SQLite's machine between two signs of life */
#define NGX_HTTP_TBUCKET_SQLITE_STEPS   100000


typedef struct {
    ngx_http_tbucket_store_t    *store;
    ngx_http_tbucket_sqlite_t   *sq;
    ngx_cycle_t                 *cycle;
    ngx_http_tbucket_db_t        db;
} ngx_http_tbucket_loader_t;


static ngx_int_t ngx_http_tbucket_sqlite_folder(
    ngx_http_tbucket_sqlite_t *sq, ngx_cycle_t *cycle);
static ngx_int_t ngx_http_tbucket_sqlite_run(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle, ngx_int_t (*run)(ngx_gw_child_t *child));
static ngx_int_t ngx_http_tbucket_sqlite_open(ngx_http_tbucket_loader_t *l);
static ngx_int_t ngx_http_tbucket_sqlite_load_all(ngx_gw_child_t *child);
static ngx_int_t ngx_http_tbucket_sqlite_load_zones(
    ngx_http_tbucket_loader_t *l);
static ngx_int_t ngx_http_tbucket_sqlite_load_zone(
    ngx_http_tbucket_loader_t *l, ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_sqlite_load_new(
    ngx_http_tbucket_loader_t *l, ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_sqlite_set_kind(
    ngx_http_tbucket_loader_t *l, ngx_http_tbucket_zone_t *zone);
static ngx_uint_t ngx_http_tbucket_sqlite_is_unused(
    ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_sqlite_save_all(ngx_gw_child_t *child);
static int ngx_http_tbucket_sqlite_progress(void *data);


/*
 * At a reload nothing may fail any more: the store takes no writes then, the
 * log says why, and the workers go on trying.
 */

ngx_int_t
ngx_http_tbucket_sqlite_load(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_http_tbucket_zone_t  **zones;

    rc = ngx_http_tbucket_sqlite_folder(store->data, cycle);

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_sqlite_run(store, cycle,
                                         ngx_http_tbucket_sqlite_load_all);
    }

    if (rc == NGX_OK || ngx_is_init_cycle(ngx_cycle)) {
        return rc;
    }

    zones = store->mcf->zones.elts;

    for (i = 0; i < store->mcf->zones.nelts; i++) {
        ngx_http_tbucket_store_down(zones[i], NGX_HTTP_TBUCKET_SQLITE_WRITE);
    }

    return NGX_OK;
}


void
ngx_http_tbucket_sqlite_finish(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    (void) ngx_http_tbucket_sqlite_run(store, cycle,
                                       ngx_http_tbucket_sqlite_save_all);
}


/* Sees to the folder that the database is in. */

static ngx_int_t
ngx_http_tbucket_sqlite_folder(ngx_http_tbucket_sqlite_t *sq,
    ngx_cycle_t *cycle)
{
    char       path[NGX_MAX_PATH];
    size_t     len;
    ngx_fd_t   fd;
    ngx_str_t  folder;

    for (len = sq->path.len; sq->path.data[len - 1] != '/'; len--) {
        /* void */
    }

    folder.data = (u_char *) path;
    folder.len = ngx_max(len - 1, 1);

    (void) ngx_cpystrn((u_char *) path, sq->path.data, folder.len + 1);

    fd = ngx_gw_folder_open(cycle, "tbucket_store", &folder, &sq->lock);

    if (fd == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    (void) close(fd);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_sqlite_run(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle, ngx_int_t (*run)(ngx_gw_child_t *child))
{
    ngx_gw_child_t             child;
    ngx_http_tbucket_loader_t  loader;

    ngx_memzero(&child, sizeof(ngx_gw_child_t));
    ngx_memzero(&loader, sizeof(ngx_http_tbucket_loader_t));

    loader.store = store;
    loader.sq = store->data;
    loader.cycle = cycle;

    child.name = "tbucket_store";
    child.run = run;
    child.data = &loader;
    child.cycle = cycle;

    return ngx_gw_child_run(&child) == NGX_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_tbucket_sqlite_open(ngx_http_tbucket_loader_t *l)
{
    l->db.path = (char *) l->sq->path.data;
    l->db.lock_path = (char *) l->sq->lock.data;
    l->db.log = l->cycle->log;

    ngx_time_update();

    if (ngx_http_tbucket_db_open(&l->db, NGX_HTTP_TBUCKET_SQLITE_LOCKED)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) sqlite3_progress_handler(l->db.handle,
                                    NGX_HTTP_TBUCKET_SQLITE_STEPS,
                                    ngx_http_tbucket_sqlite_progress, NULL);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_sqlite_load_all(ngx_gw_child_t *child)
{
    ngx_int_t                   rc;
    ngx_http_tbucket_loader_t  *l;

    l = child->data;

    rc = ngx_http_tbucket_sqlite_open(l);

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_sqlite_load_zones(l);
    }

    if (rc != NGX_OK) {
        ngx_log_error(ngx_gw_child_level(), l->cycle->log, 0,
                      "tbucket_store: %s", l->db.error);
    }

    ngx_http_tbucket_db_close(&l->db);

    return rc == NGX_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_tbucket_sqlite_load_zones(ngx_http_tbucket_loader_t *l)
{
    ngx_uint_t                  i;
    ngx_http_tbucket_zone_t   **zones;

    if (ngx_is_init_cycle(ngx_cycle)
        && ngx_http_tbucket_db_check(&l->db) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_tbucket_db_lock(&l->db, NGX_HTTP_TBUCKET_DB_APPLY, 1)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    zones = l->store->mcf->zones.elts;

    for (i = 0; i < l->store->mcf->zones.nelts; i++) {

        if (ngx_http_tbucket_sqlite_load_zone(l, zones[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_tbucket_store_synced(zones[i]);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_sqlite_load_zone(ngx_http_tbucket_loader_t *l,
    ngx_http_tbucket_zone_t *zone)
{
    ngx_int_t  rc;

    if (!ngx_http_tbucket_sqlite_is_unused(zone)) {
        rc = ngx_http_tbucket_follow(&l->db, zone);

        return rc == NGX_OK ? ngx_http_tbucket_sqlite_set_kind(l, zone) : rc;
    }

    rc = ngx_http_tbucket_db_begin(&l->db, 1);

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_sqlite_load_new(l, zone);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_db_commit(&l->db);
    }

    ngx_http_tbucket_db_rollback(&l->db);

    return rc;
}


static ngx_int_t
ngx_http_tbucket_sqlite_load_new(ngx_http_tbucket_loader_t *l,
    ngx_http_tbucket_zone_t *zone)
{
    uint64_t  changes;

    if (ngx_http_tbucket_tokens_adopt(&l->db, zone, &changes) != NGX_OK
        || ngx_http_tbucket_sqlite_set_kind(l, zone) != NGX_OK
        || ngx_http_tbucket_follow(&l->db, zone) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_tbucket_tokens_restore(&l->db, zone, changes);
}


/* For the triggers that check limits, whoever writes them. */

static ngx_int_t
ngx_http_tbucket_sqlite_set_kind(ngx_http_tbucket_loader_t *l,
    ngx_http_tbucket_zone_t *zone)
{
    sqlite3_stmt  *stmt;

    stmt = ngx_http_tbucket_db_statement(&l->db, NGX_HTTP_TBUCKET_DB_SET_KIND);

    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);
    (void) sqlite3_bind_int64(stmt, 2, zone->forms.kind);
    (void) sqlite3_bind_int64(stmt, 3, zone->unit);

    return ngx_http_tbucket_db_run(&l->db, stmt);
}


/* Whether nothing was ever put into the zone, so that its hash may change. */

static ngx_uint_t
ngx_http_tbucket_sqlite_is_unused(ngx_http_tbucket_zone_t *zone)
{
    uint32_t  i, n;

    i = 0;

    return zone->shared->rows->epoch[0] == '\0'
           && atomic_load_explicit(&zone->shared->registry->entries,
                                   memory_order_relaxed)
              == 0
           && ngx_http_tbucket_plans_none(zone)
           && !tb_table_each(zone->shared->table, &i, &n);
}


static ngx_int_t
ngx_http_tbucket_sqlite_save_all(ngx_gw_child_t *child)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i, n;
    ngx_http_tbucket_zone_t   **zones;
    ngx_http_tbucket_saved_t   *saved;
    ngx_http_tbucket_loader_t  *l;

    l = child->data;

    zones = l->store->mcf->zones.elts;
    n = l->store->mcf->zones.nelts;
    rc = NGX_OK;

    saved = ngx_palloc(l->cycle->pool, (n + 1)
                       * sizeof(ngx_http_tbucket_saved_t));

    for (i = 0; i < n && saved != NULL; i++) {
        rc |= ngx_http_tbucket_tokens_init(&saved[i], zones[i],
                                           l->cycle->pool);
    }

    if (saved == NULL || rc != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_tbucket_sqlite_open(l);

    if (rc == NGX_OK) {

        /* another nginx that has the database in use saves its own */

        rc = ngx_http_tbucket_db_lock(&l->db, NGX_HTTP_TBUCKET_DB_SAVE, 0);

        if (rc == NGX_OK) {
            rc = ngx_http_tbucket_tokens_save(&l->db, saved, n);
        }
    }

    if (rc == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ERR, l->cycle->log, 0,
                      "tbucket_store: token states could not be saved at the "
                      "end: %s", l->db.error);
    }

    ngx_http_tbucket_db_close(&l->db);

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


static int
ngx_http_tbucket_sqlite_progress(void *data)
{
    (void) data;

    ngx_gw_child_alive();

    return 0;
}
