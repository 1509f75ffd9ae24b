
/*
 * The SQLite store: its URL, its life in workers, and what runs when.
 * Whatever touches the disk runs in a thread.
 */


#include "src/tbucket/sqlite/ngx_http_tbucket_sqlite_store.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_sqlite.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_commit.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_follow.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_sqlite_load.h"


#define NGX_HTTP_TBUCKET_SQLITE_TICK  100      /* ms */
#define NGX_HTTP_TBUCKET_SQLITE_TERM  5000     /* ms of a leader's term */

/* ms beyond the timeout after which the disk counts as hung */
#define NGX_HTTP_TBUCKET_SQLITE_HUNG  500

/* ms after which that is said of a save */
#define NGX_HTTP_TBUCKET_SQLITE_SLOW  5000

/* a save is followed by a pause of so many times as long as it took */
#define NGX_HTTP_TBUCKET_SQLITE_REST  10


static ngx_int_t ngx_http_tbucket_sqlite_start(
    ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);
static void ngx_http_tbucket_sqlite_stop(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle);
static void ngx_http_tbucket_sqlite_persist(ngx_http_tbucket_store_t *store,
    ngx_http_tbucket_write_t *write);

static void ngx_http_tbucket_sqlite_tick(ngx_event_t *ev);
static ngx_uint_t ngx_http_tbucket_sqlite_leads(
    ngx_http_tbucket_sqlite_t *sq);
static void ngx_http_tbucket_sqlite_next(ngx_http_tbucket_sqlite_t *sq);
static void ngx_http_tbucket_sqlite_sync(void *data);
static ngx_int_t ngx_http_tbucket_sqlite_follow(
    ngx_http_tbucket_sqlite_t *sq);
static ngx_uint_t ngx_http_tbucket_sqlite_is_down(
    ngx_http_tbucket_sqlite_t *sq);
static void ngx_http_tbucket_sqlite_synced(void *data);
static void ngx_http_tbucket_sqlite_watch(ngx_event_t *ev);
static void ngx_http_tbucket_sqlite_save(void *data);
static void ngx_http_tbucket_sqlite_saved(void *data);
static void ngx_http_tbucket_sqlite_verdict(ngx_http_tbucket_sqlite_t *sq,
    uint32_t bit, ngx_uint_t ok, const char *reason);


static const ngx_http_tbucket_store_ops_t  ngx_http_tbucket_sqlite_ops = {
    "sqlite",
    0,
    ngx_http_tbucket_sqlite_load,
    ngx_http_tbucket_sqlite_start,
    ngx_http_tbucket_sqlite_stop,
    ngx_http_tbucket_sqlite_persist,
    NULL,
    ngx_http_tbucket_sqlite_finish
};


char *
ngx_http_tbucket_sqlite_conf(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *url)
{
    u_char                     *p;
    ngx_str_t                   path;
    ngx_http_tbucket_sqlite_t  *sq;

    if (store->params.nelts) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" of a database in a file",
                           store->params.elts);
        return NGX_CONF_ERROR;
    }

    path.data = url->data + sizeof("sqlite:") - 1;
    path.len = url->len - (sizeof("sqlite:") - 1);

    if (path.len == 0 || path.data[path.len - 1] == '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the store's URL \"%V\" names no file", url);
        return NGX_CONF_ERROR;
    }

    if (ngx_gw_job_conf(cf, "a store in SQLite") != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    sq = ngx_pcalloc(cf->pool, sizeof(ngx_http_tbucket_sqlite_t));
    if (sq == NULL) {
        return NGX_CONF_ERROR;
    }

    sq->path.len = path.len;
    sq->path.data = ngx_pnalloc(cf->pool, path.len + 1);

    if (sq->path.data == NULL) {
        return NGX_CONF_ERROR;
    }

    *ngx_cpymem(sq->path.data, path.data, path.len) = '\0';

    if (ngx_conf_full_name(cf->cycle, &sq->path, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (sq->path.len + sizeof("-lock") > NGX_MAX_PATH) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the path of the store is longer than %d bytes",
                           NGX_MAX_PATH);
        return NGX_CONF_ERROR;
    }

    sq->lock.len = sq->path.len + sizeof("-lock") - 1;
    sq->lock.data = ngx_pnalloc(cf->pool, sq->lock.len + 1);

    if (sq->lock.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(sq->lock.data, sq->path.data, sq->path.len);
    ngx_memcpy(p, "-lock", sizeof("-lock"));

    sq->store = store;

    store->ops = &ngx_http_tbucket_sqlite_ops;
    store->data = sq;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_tbucket_sqlite_create_zone(ngx_http_tbucket_zone_t *zone)
{
    zone->shared->rows = ngx_slab_calloc(zone->shpool,
                                         sizeof(ngx_http_tbucket_rows_t));

    return zone->shared->rows ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_tbucket_sqlite_start(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_uint_t                   i;
    ngx_http_tbucket_zone_t    **zones;
    ngx_http_tbucket_sqlite_t   *sq;

    sq = store->data;
    zones = store->mcf->zones.elts;

    sq->nzones = store->mcf->zones.nelts;
    sq->zones = ngx_pcalloc(cycle->pool, (sq->nzones + 1)
                            * sizeof(ngx_http_tbucket_saved_t));
    if (sq->zones == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < sq->nzones; i++) {
        if (ngx_http_tbucket_tokens_init(&sq->zones[i], zones[i], cycle->pool)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_queue_init(&sq->waiting);

    sq->db.path = (char *) sq->path.data;
    sq->db.lock_path = (char *) sq->lock.data;
    sq->db.log = cycle->log;
    sq->saver = sq->db;

    sq->sync.run = ngx_http_tbucket_sqlite_sync;
    sq->sync.done = ngx_http_tbucket_sqlite_synced;
    sq->sync.data = sq;

    sq->save.run = ngx_http_tbucket_sqlite_save;
    sq->save.done = ngx_http_tbucket_sqlite_saved;
    sq->save.data = sq;

    sq->ticker.handler = ngx_http_tbucket_sqlite_tick;
    sq->ticker.data = sq;
    sq->ticker.log = cycle->log;
    sq->ticker.cancelable = 1;

    ngx_add_timer(&sq->ticker, NGX_HTTP_TBUCKET_SQLITE_TICK);

    return NGX_OK;
}


static void
ngx_http_tbucket_sqlite_stop(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_uint_t                  i;
    ngx_http_tbucket_sqlite_t  *sq;

    (void) cycle;

    sq = store->data;

    for (i = 0; i < sq->nzones; i++) {
        ngx_gw_leader_resign(&sq->zones[i].zone->shared->rows->leader);
    }

    if (!ngx_gw_job_runs(&sq->sync)) {
        ngx_http_tbucket_db_close(&sq->db);
    }

    if (!ngx_gw_job_runs(&sq->save)) {
        ngx_http_tbucket_db_close(&sq->saver);
    }
}


static void
ngx_http_tbucket_sqlite_persist(ngx_http_tbucket_store_t *store,
    ngx_http_tbucket_write_t *write)
{
    ngx_http_tbucket_sqlite_t  *sq;

    sq = store->data;

    if (sq->hung) {
        ngx_http_tbucket_written(write, NGX_ERROR,
                                 "the disk does not answer");
        return;
    }

    ngx_queue_insert_tail(&sq->waiting, &write->queue);

    ngx_http_tbucket_sqlite_next(sq);
}


static void
ngx_http_tbucket_sqlite_tick(ngx_event_t *ev)
{
    ngx_http_tbucket_sqlite_t  *sq;

    sq = ev->data;

    sq->leads = !ngx_gw_is_leaving() && ngx_http_tbucket_sqlite_leads(sq);

    if (!ngx_gw_is_leaving()) {
        ngx_add_timer(ev, NGX_HTTP_TBUCKET_SQLITE_TICK);
    }

    if (!sq->leads) {

        /* another process may go on with what this one did for all */

        if (!sq->save.busy) {
            ngx_http_tbucket_db_close(&sq->saver);
        }

        return;
    }

    if (!sq->sync.busy
        && (ngx_msec_int_t) (ngx_current_msec - sq->follow_at) >= 0)
    {
        sq->follow = 1;
        ngx_http_tbucket_sqlite_next(sq);
    }

    if (sq->save.busy) {

        if (ngx_current_msec - sq->save_begin > NGX_HTTP_TBUCKET_SQLITE_SLOW)
        {
            ngx_http_tbucket_sqlite_verdict(sq, NGX_HTTP_TBUCKET_SQLITE_SAVE,
                                            0, "the disk does not answer");
        }

    } else if ((ngx_msec_int_t) (ngx_current_msec - sq->save_at) >= 0) {
        sq->save_begin = ngx_current_msec;

        if (ngx_gw_job_start(&sq->save) != NGX_OK) {
            sq->save_at = ngx_current_msec + sq->store->interval;
        }
    }
}


/* Whether this worker looks after the zones; one that has them keeps them. */

static ngx_uint_t
ngx_http_tbucket_sqlite_leads(ngx_http_tbucket_sqlite_t *sq)
{
    ngx_uint_t  i;

    for (i = 0; i < sq->nzones; i++) {
        if (!ngx_gw_leader_claim(&sq->zones[i].zone->shared->rows->leader,
                               NGX_HTTP_TBUCKET_SQLITE_TERM))
        {
            return 0;
        }
    }

    return 1;
}


/*
 * Writes that wait become one transaction; meanwhile the next one gathers.
 * One of many rows is for itself, so that it takes no longer than the disk may.
 */

static void
ngx_http_tbucket_sqlite_next(ngx_http_tbucket_sqlite_t *sq)
{
    ngx_uint_t                 rows;
    ngx_queue_t               *q;
    ngx_http_tbucket_write_t  *write;

    if (sq->sync.busy || (ngx_queue_empty(&sq->waiting) && !sq->follow)) {
        return;
    }

    sq->nbatch = 0;
    rows = 0;

    while (sq->nbatch < NGX_HTTP_TBUCKET_SQLITE_BATCH
           && !ngx_queue_empty(&sq->waiting))
    {
        q = ngx_queue_head(&sq->waiting);
        write = ngx_queue_data(q, ngx_http_tbucket_write_t, queue);

        rows += write->n;

        if (sq->nbatch > 0 && rows > NGX_HTTP_TBUCKET_SQLITE_ROWS) {
            break;
        }

        ngx_queue_remove(q);
        sq->batch[sq->nbatch++] = write;
    }

    if (ngx_gw_job_start(&sq->sync) != NGX_OK) {
        sq->commit_rc = NGX_ERROR;
        sq->follow = 0;

        ngx_http_tbucket_sqlite_synced(sq);
        return;
    }

    sq->watch.handler = ngx_http_tbucket_sqlite_watch;
    sq->watch.data = sq;
    sq->watch.log = ngx_cycle->log;
    sq->watch.cancelable = 1;

    ngx_add_timer(&sq->watch, sq->store->timeout
                              + NGX_HTTP_TBUCKET_SQLITE_HUNG);
}


/* The thread hangs in a call to the system, which cannot be helped. */

static void
ngx_http_tbucket_sqlite_watch(ngx_event_t *ev)
{
    ngx_uint_t                  i;
    ngx_queue_t                *q;
    ngx_http_tbucket_write_t   *write;
    ngx_http_tbucket_sqlite_t  *sq;

    sq = ev->data;
    sq->hung = 1;

    ngx_http_tbucket_sqlite_verdict(sq, NGX_HTTP_TBUCKET_SQLITE_WRITE, 0,
                                    "the disk does not answer");

    for (i = 0; i < sq->nbatch; i++) {
        ngx_http_tbucket_written(sq->batch[i], NGX_AGAIN,
                                 "the disk does not answer");
    }

    while (!ngx_queue_empty(&sq->waiting)) {
        q = ngx_queue_head(&sq->waiting);
        ngx_queue_remove(q);

        write = ngx_queue_data(q, ngx_http_tbucket_write_t, queue);

        ngx_http_tbucket_written(write, NGX_ERROR,
                                 "the disk does not answer");
    }
}


static void
ngx_http_tbucket_sqlite_sync(void *data)
{
    ngx_http_tbucket_sqlite_t *sq = data;

    sq->commit_rc = NGX_OK;
    sq->follow_rc = NGX_OK;

    if (sq->nbatch) {
        sq->commit_rc = ngx_http_tbucket_commit(&sq->db, sq->batch,
                                                sq->nbatch,
                                                sq->store->timeout);
    }

    if (sq->follow && sq->commit_rc == NGX_OK) {
        sq->follow_rc = ngx_http_tbucket_sqlite_follow(sq);
    }
}


static ngx_int_t
ngx_http_tbucket_sqlite_follow(ngx_http_tbucket_sqlite_t *sq)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    if (ngx_http_tbucket_db_open(&sq->db, sq->store->timeout) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_tbucket_db_lock(&sq->db, NGX_HTTP_TBUCKET_DB_APPLY, 1);

    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < sq->nzones && rc == NGX_OK; i++) {
        rc = ngx_http_tbucket_follow(&sq->db, sq->zones[i].zone);
    }

    /* a store that took no writes has to show that it does */

    if (rc == NGX_OK && ngx_http_tbucket_sqlite_is_down(sq)) {
        rc = ngx_http_tbucket_db_run(&sq->db,
                 ngx_http_tbucket_db_statement(&sq->db,
                                               NGX_HTTP_TBUCKET_DB_PROBE));
    }

    ngx_http_tbucket_db_unlock(&sq->db, NGX_HTTP_TBUCKET_DB_APPLY);

    return rc;
}


static ngx_uint_t
ngx_http_tbucket_sqlite_is_down(ngx_http_tbucket_sqlite_t *sq)
{
    uint32_t    down;
    ngx_uint_t  i;

    down = 0;

    for (i = 0; i < sq->nzones; i++) {
        down |= atomic_load_explicit(&sq->zones[i].zone->shared->store.down,
                                     memory_order_relaxed);
    }

    return down & NGX_HTTP_TBUCKET_SQLITE_WRITE;
}


static void
ngx_http_tbucket_sqlite_synced(void *data)
{
    ngx_http_tbucket_sqlite_t *sq = data;

    char                       reason[sizeof(sq->db.error)];
    ngx_int_t                  rc, commit_rc;
    ngx_uint_t                 i, n;
    ngx_http_tbucket_write_t  *done[NGX_HTTP_TBUCKET_SQLITE_BATCH];

    sq->hung = 0;

    if (sq->watch.timer_set) {
        ngx_del_timer(&sq->watch);
    }

    rc = sq->commit_rc != NGX_OK ? sq->commit_rc : sq->follow_rc;

    ngx_http_tbucket_sqlite_verdict(sq, NGX_HTTP_TBUCKET_SQLITE_WRITE,
                                    rc == NGX_OK, sq->db.error);

    if (sq->follow) {
        sq->follow = 0;
        sq->follow_at = ngx_current_msec + sq->store->interval;

        for (i = 0; i < sq->nzones && rc == NGX_OK; i++) {
            ngx_http_tbucket_store_synced(sq->zones[i].zone);
        }
    }

    n = sq->nbatch;
    ngx_memcpy(done, sq->batch, n * sizeof(ngx_http_tbucket_write_t *));

    commit_rc = (sq->commit_rc == NGX_OK) ? NGX_DONE : sq->commit_rc;
    (void) ngx_cpystrn((u_char *) reason, (u_char *) sq->db.error,
                       sizeof(reason));

    ngx_http_tbucket_sqlite_next(sq);

    for (i = 0; i < n; i++) {
        ngx_http_tbucket_written(done[i], commit_rc, reason);
    }
}


static void
ngx_http_tbucket_sqlite_save(void *data)
{
    ngx_http_tbucket_sqlite_t *sq = data;

    sq->save_rc = ngx_http_tbucket_db_open(&sq->saver, sq->store->timeout);

    /* the lock is kept until this process, or its lead, ends */

    if (sq->save_rc == NGX_OK) {
        sq->save_rc = ngx_http_tbucket_db_lock(&sq->saver,
                                               NGX_HTTP_TBUCKET_DB_SAVE, 0);
    }

    if (sq->save_rc == NGX_OK) {
        sq->save_rc = ngx_http_tbucket_tokens_save(&sq->saver, sq->zones,
                                                   sq->nzones);
    }
}


static void
ngx_http_tbucket_sqlite_saved(void *data)
{
    ngx_http_tbucket_sqlite_t *sq = data;

    ngx_msec_t  took;

    ngx_time_update();

    took = ngx_current_msec - sq->save_begin;

    sq->save_at = sq->save_begin + ngx_max(sq->store->interval,
                                        took * NGX_HTTP_TBUCKET_SQLITE_REST);

    if (sq->save_rc != NGX_BUSY) {
        ngx_http_tbucket_sqlite_verdict(sq, NGX_HTTP_TBUCKET_SQLITE_SAVE,
                                        sq->save_rc == NGX_OK,
                                        sq->saver.error);
    }

    if (!sq->leads) {
        ngx_http_tbucket_db_close(&sq->saver);
    }
}


/* One line when something stops to work, and one when it works again. */

static void
ngx_http_tbucket_sqlite_verdict(ngx_http_tbucket_sqlite_t *sq, uint32_t bit,
    ngx_uint_t ok, const char *reason)
{
    uint32_t           was;
    ngx_uint_t         i;
    const char        *what;
    _Atomic uint32_t  *down;

    was = bit;

    for (i = 0; i < sq->nzones; i++) {
        down = &sq->zones[i].zone->shared->store.down;

        if (!ok) {
            was &= atomic_fetch_or_explicit(down, bit, memory_order_relaxed);

        } else if (atomic_load_explicit(down, memory_order_relaxed) & bit) {
            was &= ~atomic_fetch_and_explicit(down, ~bit,
                                              memory_order_relaxed);
        }
    }

    if (was & bit) {
        return;
    }

    what = bit == NGX_HTTP_TBUCKET_SQLITE_WRITE ? "clients" : "token states";

    if (ok) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "tbucket_store: %s are saved again", what);

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "tbucket_store: %s cannot be saved: %s", what, reason);
    }
}
