
/*
 * The file store: its URL, its life in nginx's processes, and what runs when.
 * Whatever touches the disk in a worker runs in a thread, if nginx has any.
 */


#include "src/common/ngx_gw_child.h"
#include "src/tbucket/ngx_http_tbucket_store_file.h"

#define NGX_HTTP_TBUCKET_FILE_TICK    100      /* ms */
#define NGX_HTTP_TBUCKET_FILE_TERM    5000     /* ms of the saver's lease */

/* a save is followed by a pause of so many times as long as it took */
#define NGX_HTTP_TBUCKET_FILE_REST    20


static ngx_int_t ngx_http_tbucket_file_prepare(
    ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);
static ngx_int_t ngx_http_tbucket_file_prepare_zone(
    ngx_http_tbucket_file_zone_t *fz, ngx_cycle_t *cycle);
static void ngx_http_tbucket_file_close(void *data);
static ngx_int_t ngx_http_tbucket_file_load_zones(ngx_gw_child_t *child);
static void ngx_http_tbucket_file_refuse(ngx_http_tbucket_file_zone_t *fz);

static ngx_int_t ngx_http_tbucket_file_load(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle);
static ngx_int_t ngx_http_tbucket_file_start(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle);
static void ngx_http_tbucket_file_stop(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle);
static void ngx_http_tbucket_file_finish(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle);
static ngx_int_t ngx_http_tbucket_file_finish_zones(ngx_gw_child_t *child);

static void ngx_http_tbucket_file_tick(ngx_event_t *ev);
static void ngx_http_tbucket_file_tick_zone(ngx_http_tbucket_file_zone_t *fz);
static void ngx_http_tbucket_file_run_fold(void *data);
static void ngx_http_tbucket_file_folded(void *data);
static void ngx_http_tbucket_file_run_tokens(void *data);
static void ngx_http_tbucket_file_saved(void *data);


static const ngx_http_tbucket_store_ops_t  ngx_http_tbucket_store_file = {
    "file",
    ngx_http_tbucket_file_load,
    ngx_http_tbucket_file_start,
    ngx_http_tbucket_file_stop,
    ngx_http_tbucket_file_write,
    ngx_http_tbucket_file_finish
};


char *
ngx_http_tbucket_store_file_conf(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *url)
{
    u_char                   *p;
    ngx_str_t                 path;
    ngx_http_tbucket_file_t  *file;

    path.data = url->data + sizeof("file:") - 1;
    path.len = url->len - (sizeof("file:") - 1);

    while (path.len > 1 && path.data[path.len - 1] == '/') {
        path.len--;
    }

    if (path.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the store's URL \"%V\" names no folder", url);
        return NGX_CONF_ERROR;
    }

    file = ngx_pcalloc(cf->pool, sizeof(ngx_http_tbucket_file_t));
    if (file == NULL) {
        return NGX_CONF_ERROR;
    }

    file->path.len = path.len;
    file->path.data = ngx_pnalloc(cf->pool, path.len + 1);

    if (file->path.data == NULL) {
        return NGX_CONF_ERROR;
    }

    *ngx_cpymem(file->path.data, path.data, path.len) = '\0';

    if (ngx_conf_full_name(cf->cycle, &file->path, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    file->lock.len = file->path.len + sizeof("/lock") - 1;
    file->lock.data = ngx_pnalloc(cf->pool, file->lock.len + 1);

    if (file->lock.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(file->lock.data, file->path.data, file->path.len);
    ngx_memcpy(p, "/lock", sizeof("/lock"));

    file->fd = NGX_INVALID_FILE;

#if (NGX_THREADS)
    if (ngx_thread_pool_add(cf, NULL) == NULL) {
        return NGX_CONF_ERROR;
    }
#endif

    store->ops = &ngx_http_tbucket_store_file;
    store->data = file;

    return NGX_CONF_OK;
}


/* Once all zones of the configuration are known. */

static ngx_int_t
ngx_http_tbucket_file_prepare(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_uint_t                      i;
    ngx_pool_cleanup_t             *cln;
    ngx_http_tbucket_zone_t       **zones;
    ngx_http_tbucket_file_t        *file;
    ngx_http_tbucket_file_zone_t   *fz;

    file = store->data;

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_tbucket_file_close;
    cln->data = file;

    zones = store->mcf->zones.elts;

    file->zones = ngx_pcalloc(cycle->pool, store->mcf->zones.nelts
                              * sizeof(ngx_http_tbucket_file_zone_t));
    if (file->zones == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < store->mcf->zones.nelts; i++) {
        fz = &file->zones[i];

        fz->zone = zones[i];
        fz->store = store;
        fz->file = file;
        fz->log = cycle->log;
        fz->patience = NGX_HTTP_TBUCKET_FILE_LOAD_WAIT;

        if (ngx_http_tbucket_file_prepare_zone(fz, cycle) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    file->nzones = store->mcf->zones.nelts;

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_file_prepare_zone(ngx_http_tbucket_file_zone_t *fz,
    ngx_cycle_t *cycle)
{
    u_char     *p;
    ngx_str_t  *name, *path;

    /* the name of a zone is letters, digits and "._-" */

    name = &fz->zone->name;
    path = &fz->file->path;

    fz->stem.len = path->len + 1 + name->len;
    fz->stem.data = ngx_pnalloc(cycle->pool, fz->stem.len + 1);

    if (fz->stem.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(fz->stem.data, path->data, path->len);
    *p++ = '/';
    p = ngx_cpymem(p, name->data, name->len);
    *p = '\0';

    if (fz->stem.len + 64 > NGX_MAX_PATH) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "tbucket_store: the path of zone \"%V\" is too long",
                      name);
        return NGX_ERROR;
    }

    fz->byte = 8 * (uint64_t) ngx_crc32_long(name->data, name->len);

    ngx_http_tbucket_file_prepare_writes(fz);

    fz->compact.run = ngx_http_tbucket_file_run_fold;
    fz->compact.done = ngx_http_tbucket_file_folded;
    fz->tokens.run = ngx_http_tbucket_file_run_tokens;
    fz->tokens.done = ngx_http_tbucket_file_saved;

    fz->compact.data = fz;
    fz->tokens.data = fz;

    return NGX_OK;
}


static void
ngx_http_tbucket_file_close(void *data)
{
    ngx_http_tbucket_file_t  *file = data;

    if (file->fd != NGX_INVALID_FILE) {
        (void) close(file->fd);
        file->fd = NGX_INVALID_FILE;
    }
}


/*
 * At a reload nothing may fail any more: a zone whose files cannot be used
 * takes no writes then, and the log says why.
 */

static ngx_int_t
ngx_http_tbucket_file_load(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_gw_child_t            child;
    ngx_http_tbucket_file_t  *file;

    file = store->data;

    if (ngx_http_tbucket_file_prepare(store, cycle) != NGX_OK) {
        return ngx_is_init_cycle(ngx_cycle) ? NGX_ERROR : NGX_OK;
    }

    rc = ngx_http_tbucket_file_open_folder(file, cycle);

    if (rc == NGX_OK) {
        ngx_memzero(&child, sizeof(ngx_gw_child_t));

        child.name = "tbucket_store";
        child.run = ngx_http_tbucket_file_load_zones;
        child.data = file;
        child.cycle = cycle;

        rc = ngx_gw_child_run(&child);
    }

    if (ngx_is_init_cycle(ngx_cycle)) {
        return rc == NGX_OK ? NGX_OK : NGX_ERROR;
    }

    for (i = 0; rc != NGX_OK && i < file->nzones; i++) {
        if (rc != NGX_DECLINED) {
            ngx_http_tbucket_file_refuse(&file->zones[i]);
        }
    }

    return NGX_OK;
}


/* NGX_DECLINED: some could not be loaded, and take no writes. */

static ngx_int_t
ngx_http_tbucket_file_load_zones(ngx_gw_child_t *child)
{
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_http_tbucket_file_t  *file;

    file = child->data;
    rc = NGX_OK;

    for (i = 0; i < file->nzones; i++) {

        if (ngx_http_tbucket_file_load_zone(&file->zones[i], child->cycle)
            != NGX_OK)
        {
            ngx_http_tbucket_file_refuse(&file->zones[i]);
            rc = NGX_DECLINED;
        }
    }

    return rc;
}


static void
ngx_http_tbucket_file_refuse(ngx_http_tbucket_file_zone_t *fz)
{
    fz->zone->shared->kept.fenced = 1;

    ngx_http_tbucket_store_down(fz->zone, NGX_HTTP_TBUCKET_DOWN_WRITE);
}


static ngx_int_t
ngx_http_tbucket_file_start(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_uint_t                i;
    ngx_http_tbucket_file_t  *file;

    file = store->data;

    if (ngx_process == NGX_PROCESS_WORKER) {

        /* the folder is the master's as long as that lives */

        ngx_http_tbucket_file_close(file);
    }

    for (i = 0; i < file->nzones; i++) {
        file->zones[i].patience = NGX_HTTP_TBUCKET_FILE_SAVE_WAIT;
    }

    file->ticker.handler = ngx_http_tbucket_file_tick;
    file->ticker.data = file;
    file->ticker.log = cycle->log;
    file->ticker.cancelable = 1;

    ngx_add_timer(&file->ticker, NGX_HTTP_TBUCKET_FILE_TICK);

    return NGX_OK;
}


static void
ngx_http_tbucket_file_stop(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_uint_t                i;
    ngx_http_tbucket_file_t  *file;

    (void) cycle;

    file = store->data;

    for (i = 0; i < file->nzones; i++) {
        ngx_gw_lease_release(&file->zones[i].zone->shared->kept.lease);
    }
}


/* In the master, when no worker is left, or in the only process. */

static void
ngx_http_tbucket_file_finish(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_gw_child_t  child;

    ngx_memzero(&child, sizeof(ngx_gw_child_t));

    child.name = "tbucket_store";
    child.run = ngx_http_tbucket_file_finish_zones;
    child.data = store->data;
    child.cycle = cycle;

    (void) ngx_gw_child_run(&child);
}


static ngx_int_t
ngx_http_tbucket_file_finish_zones(ngx_gw_child_t *child)
{
    ngx_int_t                       tokens, clients;
    ngx_uint_t                      i;
    ngx_http_tbucket_file_t        *file;
    ngx_http_tbucket_file_zone_t   *fz;
    ngx_http_tbucket_file_error_t   error;

    file = child->data;

    ngx_time_update();

    for (i = 0; i < file->nzones; i++) {
        fz = &file->zones[i];

        error.text[0] = '\0';
        fz->patience = NGX_HTTP_TBUCKET_FILE_LOAD_WAIT;

        tokens = ngx_http_tbucket_file_save_tokens(fz, 1, &error);
        clients = ngx_http_tbucket_file_fold(fz, 1, &error);

        if (tokens == NGX_ERROR || clients == NGX_ERROR) {
            ngx_log_error(NGX_LOG_ERR, child->cycle->log, error.err,
                          "tbucket_store: zone \"%V\" could not be saved: %s",
                          &fz->zone->name, error.text);
        }
    }

    return NGX_OK;
}


static void
ngx_http_tbucket_file_tick(ngx_event_t *ev)
{
    ngx_uint_t                     i;
    ngx_http_tbucket_file_t       *file;
    ngx_http_tbucket_file_zone_t  *fz;

    file = ev->data;

    for (i = 0; i < file->nzones; i++) {
        fz = &file->zones[i];

        if (ngx_gw_is_leaving()) {
            ngx_gw_lease_release(&fz->zone->shared->kept.lease);
            continue;
        }

        if (ngx_gw_lease_hold(&fz->zone->shared->kept.lease,
                              NGX_HTTP_TBUCKET_FILE_TERM))
        {
            ngx_http_tbucket_file_tick_zone(fz);
        }
    }

    if (!ngx_gw_is_leaving()) {
        ngx_add_timer(ev, NGX_HTTP_TBUCKET_FILE_TICK);
    }
}


static void
ngx_http_tbucket_file_tick_zone(ngx_http_tbucket_file_zone_t *fz)
{
    ngx_http_tbucket_kept_t  *kept;

    kept = &fz->zone->shared->kept;

    ngx_http_tbucket_file_watch(fz, &fz->compact, fz->compact_begin,
                                NGX_HTTP_TBUCKET_DOWN_WRITE);
    ngx_http_tbucket_file_watch(fz, &fz->tokens, fz->tokens_begin,
                                NGX_HTTP_TBUCKET_DOWN_TOKENS);

    if (kept->fenced) {
        return;
    }

    if (!fz->compact.busy
        && (ngx_msec_int_t) (ngx_current_msec - fz->compact_at) >= 0
        && !kept->edited && (kept->records || kept->failed))
    {
        fz->compact_begin = ngx_http_tbucket_usec();
        fz->compact_error.text[0] = '\0';

        ngx_http_tbucket_file_post(&fz->compact);
    }

    if (!fz->tokens.busy
        && (ngx_msec_int_t) (ngx_current_msec - fz->tokens_at) >= 0)
    {
        fz->tokens_begin = ngx_http_tbucket_usec();
        fz->tokens_error.text[0] = '\0';

        ngx_http_tbucket_file_post(&fz->tokens);
    }
}


static void
ngx_http_tbucket_file_run_fold(void *data)
{
    ngx_http_tbucket_file_zone_t  *fz = data;

    fz->compact_rc = ngx_http_tbucket_file_fold(fz, 0, &fz->compact_error);
}


static void
ngx_http_tbucket_file_folded(void *data)
{
    ngx_http_tbucket_file_zone_t  *fz = data;

    uint64_t                  took;
    ngx_http_tbucket_kept_t  *kept;

    kept = &fz->zone->shared->kept;
    took = (ngx_http_tbucket_usec() - fz->compact_begin) / 1000;

    fz->compact_at = ngx_current_msec
                     + ngx_max(fz->store->interval,
                               took * NGX_HTTP_TBUCKET_FILE_REST);

    if (fz->compact_rc == NGX_DECLINED
        && kept->edited == NGX_HTTP_TBUCKET_FILE_EDITED && !fz->told)
    {
        fz->told = 1;

        ngx_log_error(NGX_LOG_NOTICE, fz->log, 0,
                      "tbucket_store: \"%V.json\" was edited, it is read at "
                      "the next reload", &fz->stem);
    }

    ngx_http_tbucket_file_tell(fz, &fz->compact, fz->compact_rc,
                               NGX_HTTP_TBUCKET_DOWN_WRITE,
                               &fz->compact_error);
}


static void
ngx_http_tbucket_file_run_tokens(void *data)
{
    ngx_http_tbucket_file_zone_t  *fz = data;

    fz->tokens_rc = ngx_http_tbucket_file_save_tokens(fz, 0,
                                                      &fz->tokens_error);
}


static void
ngx_http_tbucket_file_saved(void *data)
{
    ngx_http_tbucket_file_zone_t  *fz = data;

    uint64_t  took, period;

    took = (ngx_http_tbucket_usec() - fz->tokens_begin) / 1000;

    /* a bit early, so that what is kept is never older than an interval */

    period = fz->store->interval
             - ngx_min(fz->store->interval / 4,
                       2 * NGX_HTTP_TBUCKET_FILE_TICK);

    fz->tokens_at = ngx_current_msec - took
                    + ngx_max(period, took * NGX_HTTP_TBUCKET_FILE_REST / 2);

    ngx_http_tbucket_file_tell(fz, &fz->tokens, fz->tokens_rc,
                               NGX_HTTP_TBUCKET_DOWN_TOKENS,
                               &fz->tokens_error);

    if (fz->tokens_rc == NGX_OK) {
        ngx_http_tbucket_store_synced(fz->zone);
    }
}
