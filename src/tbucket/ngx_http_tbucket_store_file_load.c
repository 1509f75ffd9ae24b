
/*
 * Files into memory: at a start, after a person's edit, and for a zone that
 * takes over from another one.  Runs in a child of the master with the zone's
 * locks, so that no worker writes meanwhile, and logs.
 */


#include "src/tbucket/ngx_http_tbucket_store_file_load.h"
#include "src/common/ngx_gw_child.h"
#include "src/core/tb_tokens.h"

#include <sys/random.h>


static ngx_int_t ngx_http_tbucket_file_load_locked(
    ngx_http_tbucket_file_loader_t *l, ngx_cycle_t *cycle,
    ngx_uint_t may_read);
static ngx_int_t ngx_http_tbucket_file_is_current(
    ngx_http_tbucket_file_zone_t *fz, struct stat *folder,
    ngx_http_tbucket_file_error_t *error);
static ngx_int_t ngx_http_tbucket_file_load(
    ngx_http_tbucket_file_loader_t *l, struct stat *folder);
static ngx_int_t ngx_http_tbucket_file_read_tokens(
    ngx_http_tbucket_file_loader_t *l, ngx_str_t *text, tb_tokens_t *tokens);
static void ngx_http_tbucket_file_restore(ngx_http_tbucket_file_loader_t *l,
    tb_tokens_t *tokens);
static ngx_uint_t ngx_http_tbucket_file_is_unused(
    ngx_http_tbucket_zone_t *zone);
static void ngx_http_tbucket_file_take_over(
    ngx_http_tbucket_file_loader_t *l, struct stat *folder);


ngx_int_t
ngx_http_tbucket_file_load_zone(ngx_http_tbucket_file_zone_t *fz,
    ngx_cycle_t *cycle)
{
    ngx_int_t                        rc;
    ngx_http_tbucket_file_loader_t  *l;

    l = ngx_calloc(sizeof(ngx_http_tbucket_file_loader_t), cycle->log);
    if (l == NULL) {
        return NGX_ERROR;
    }

    l->fz = fz;
    l->log = cycle->log;

    /* who folds has the lock COMPACT for long, and changes nothing by that */

    rc = ngx_http_tbucket_file_load_locked(l, cycle, 0);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_tbucket_file_load_locked(l, cycle, 1);
    }

    if (l->error.text[0] != '\0') {
        ngx_log_error(ngx_gw_child_level(), cycle->log, l->error.err,
                      "tbucket_store: zone \"%V\": %s", &fz->zone->name,
                      l->error.text);
    }

    free(l->seen);
    ngx_free(l);

    return rc;
}


/* NGX_DECLINED: the files have to be read, and may not be. */

static ngx_int_t
ngx_http_tbucket_file_load_locked(ngx_http_tbucket_file_loader_t *l,
    ngx_cycle_t *cycle, ngx_uint_t may_read)
{
    ngx_fd_t                       compact, write;
    ngx_int_t                      rc;
    struct stat                    folder;
    ngx_http_tbucket_file_zone_t  *fz;

    fz = l->fz;
    rc = NGX_ERROR;
    compact = NGX_INVALID_FILE;

    if (may_read) {
        compact = ngx_http_tbucket_file_lock(fz, NGX_HTTP_TBUCKET_FILE_COMPACT,
                                             fz->patience, &l->error);
        if (compact == NGX_INVALID_FILE) {
            return NGX_ERROR;
        }
    }

    write = ngx_http_tbucket_file_lock(fz, NGX_HTTP_TBUCKET_FILE_WRITE,
                                       fz->patience, &l->error);

    if (write == NGX_INVALID_FILE) {
        goto done;
    }

    if (stat((char *) fz->file->path.data, &folder) == -1) {
        ngx_http_tbucket_file_fail(&l->error, ngx_errno, "stat()",
                                   (char *) fz->file->path.data);

    } else if (ngx_http_tbucket_file_is_current(fz, &folder, &l->error)
               == NGX_OK)
    {
        rc = NGX_OK;

    } else if (!may_read) {
        rc = NGX_DECLINED;

    } else if (ngx_http_tbucket_file_find_journals(l, cycle->pool) == NGX_OK) {
        rc = ngx_http_tbucket_file_load(l, &folder);
    }

    (void) close(write);

done:

    if (compact != NGX_INVALID_FILE) {
        (void) close(compact);
    }

    return rc;
}


/* Whether memory and files agree already: a reload without an edit. */

static ngx_int_t
ngx_http_tbucket_file_is_current(ngx_http_tbucket_file_zone_t *fz,
    struct stat *folder, ngx_http_tbucket_file_error_t *error)
{
    char                       path[NGX_MAX_PATH];
    struct stat                st;
    ngx_http_tbucket_kept_t   *kept;
    ngx_http_tbucket_print_t   print;

    kept = &fz->zone->shared->kept;

    if (kept->journal == 0 || kept->device != folder->st_dev
        || kept->inode != folder->st_ino
        || ngx_http_tbucket_file_fence(fz, error) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (stat(ngx_http_tbucket_file_path(fz, path, ".json"), &st) == -1) {
        return ngx_errno == NGX_ENOENT ? NGX_OK : NGX_DECLINED;
    }

    ngx_http_tbucket_file_print(&print, &st);

    return ngx_memcmp(&print, &kept->clients, sizeof(print)) == 0
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_tbucket_file_load(ngx_http_tbucket_file_loader_t *l,
    struct stat *folder)
{
    ngx_int_t                 clients, rc;
    ngx_str_t                 text;
    tb_tokens_t               tokens;
    ngx_uint_t                unused;
    ngx_http_tbucket_zone_t  *zone;

    zone = l->fz->zone;

    ngx_time_update();

    l->now = ngx_http_tbucket_file_now();
    l->last = ngx_max(l->last, 1);
    l->live = atomic_load(&zone->shared->registry->entries) != 0;
    unused = ngx_http_tbucket_file_is_unused(zone);

    rc = ngx_http_tbucket_file_read_tokens(l, &text, &tokens);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK && unused) {
        ngx_memcpy(zone->shared->secret, tokens.secret, TB_SECRET_SIZE);
    }

    clients = ngx_http_tbucket_file_read_clients(l);

    if (clients == NGX_ERROR) {
        free(text.data);
        return NGX_ERROR;
    }

    if (clients == NGX_DECLINED && l->journals.nelts == 0) {

        /* nothing to read: what memory holds is what there is */

    } else if (ngx_http_tbucket_file_read_journals(l) != NGX_OK) {
        free(text.data);
        return NGX_ERROR;

    } else if (l->live && clients == NGX_OK) {
        ngx_http_tbucket_file_remove_others(l);
    }

    if (unused) {
        if (rc == NGX_OK) {
            l->since = tokens.at;
            ngx_http_tbucket_file_restore(l, &tokens);
        }

        l->patched = 1;

        if (ngx_http_tbucket_file_read_journals(l) != NGX_OK) {
            free(text.data);
            return NGX_ERROR;
        }
    }

    free(text.data);

    ngx_http_tbucket_file_take_over(l, folder);

    return NGX_OK;
}


/* NGX_OK: *tokens can be read, from *text; NGX_DECLINED: there are none. */

static ngx_int_t
ngx_http_tbucket_file_read_tokens(ngx_http_tbucket_file_loader_t *l,
    ngx_str_t *text, tb_tokens_t *tokens)
{
    ngx_int_t    rc;
    struct stat  st;

    ngx_http_tbucket_file_path(l->fz, l->path, ".tokens");

    rc = ngx_http_tbucket_file_read(l->fz, l->path, text, &st, &l->error);

    if (rc != NGX_OK || tb_tokens_init(tokens, text->data, text->len)) {
        return rc;
    }

    ngx_log_error(NGX_LOG_ERR, l->log, 0,
                  "tbucket_store: \"%s\" is torn or not a file of token "
                  "states", l->path);
    ngx_http_tbucket_file_bad(l, "file", "buckets start full");

    free(text->data);
    ngx_str_null(text);

    return NGX_DECLINED;
}


/* Buckets as they would be had nginx been running all the time. */

static void
ngx_http_tbucket_file_restore(ngx_http_tbucket_file_loader_t *l,
    tb_tokens_t *tokens)
{
    uint64_t                  at, left;
    tb_hash_t                 h;
    ngx_uint_t                restored, lost;
    tb_limits_t               limits, own;
    tb_registry_entry_t       entry;
    ngx_http_tbucket_zone_t  *zone;

    zone = l->fz->zone;
    restored = 0;
    lost = 0;

    while (tb_tokens_next(tokens, &h, &left, &at)) {
        ngx_gw_child_alive();

        ngx_shmtx_lock(&zone->shpool->mutex);

        own = tb_registry_find(zone->shared->registry, &h, &entry)
              ? entry.limits : 0;
        limits = own ? own : zone->limits;

        left = tb_tokens_credit(left, at, l->now, limits);

        if (left != tb_limits_full(limits)) {

            if (tb_table_put(zone->shared->table, &h, ngx_current_msec,
                             zone->limits, own, left))
            {
                restored++;

            } else {
                lost++;
            }
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);
    }

    ngx_log_error(NGX_LOG_NOTICE, l->log, 0,
                  "tbucket_store: zone \"%V\": %ui drained buckets restored, "
                  "%ui have no room", &zone->name, restored, lost);
}


/* Whether nothing was ever put into the zone, so that its hash may change. */

static ngx_uint_t
ngx_http_tbucket_file_is_unused(ngx_http_tbucket_zone_t *zone)
{
    uint32_t     i;
    tb_table_t  *table;

    if (atomic_load(&zone->shared->registry->entries) != 0) {
        return 0;
    }

    table = zone->shared->table;

    for (i = 0; i < tb_table_slots(table); i += TB_CHUNK_SLOTS) {
        if (tb_table_chunk_used(table, i)) {
            return 0;
        }
    }

    return 1;
}


/*
 * Makes files and memory agree, in a new journal: whoever wrote to the last
 * one finds it and stops.  What fails here is tried again by the workers;
 * until then the store takes no writes.
 */

static void
ngx_http_tbucket_file_take_over(ngx_http_tbucket_file_loader_t *l,
    struct stat *folder)
{
    uint64_t                 *numbers;
    ngx_int_t                 rc;
    ngx_http_tbucket_zone_t  *zone;
    ngx_http_tbucket_kept_t  *kept;

    zone = l->fz->zone;
    kept = &zone->shared->kept;
    numbers = l->journals.elts;

    kept->device = folder->st_dev;
    kept->inode = folder->st_ino;
    kept->base = l->journals.nelts ? numbers[0] : l->last + 1;
    kept->records = 0;
    kept->fenced = 0;
    kept->edited = 0;
    kept->saved = 1;       /* so that an old file of tokens is replaced */
    kept->saved_at = 0;
    kept->failed = 1;

    if (getrandom(&kept->owner, sizeof(kept->owner), 0)
        != sizeof(kept->owner))
    {
        kept->owner = l->now;
    }

    if (access(ngx_http_tbucket_file_path(l->fz, l->path, ".json"), F_OK)
        == -1)
    {
        ngx_memzero(&kept->clients, sizeof(kept->clients));
    }

    kept->journal = l->last;

    rc = ngx_http_tbucket_file_begin(l->fz, l->last + 1, &l->error);

    if (rc != NGX_OK) {
        ngx_http_tbucket_store_down(zone, NGX_HTTP_TBUCKET_DOWN_WRITE);
        return;
    }

    if (l->lost) {

        /* those without room are only in the files, so these stay */

        kept->failed = 0;
        kept->edited = NGX_HTTP_TBUCKET_FILE_TOO_MANY;

        ngx_log_error(NGX_LOG_ERR, l->log, 0,
                      "tbucket_store: %ui clients have no room in zone "
                      "\"%V\", which must be larger", l->lost, &zone->name);
        return;
    }

    if (l->ntokens) {

        /* the journals go when these are in the file of token states */

        kept->failed = 0;
        kept->records = 1;
        kept->patched = l->now;
        return;
    }

    rc = ngx_http_tbucket_file_write_clients(l->fz, l->last + 1, 1, 1,
                                             &l->error);

    ngx_http_tbucket_store_down(zone, rc == NGX_OK
                                      ? 0 : NGX_HTTP_TBUCKET_DOWN_WRITE);

    if (rc == NGX_OK) {
        ngx_http_tbucket_store_synced(zone);
    }
}
