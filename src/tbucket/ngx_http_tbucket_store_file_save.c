
/*
 * Whole files: the clients, and the token states.  Both are written beside
 * the old one, synced, and renamed over it.  Meant for a thread: memory is
 * visited a few entries at a time, with pauses.
 */


#include "src/tbucket/ngx_http_tbucket_store_file.h"
#include "src/core/tb_snapshot.h"
#include "src/core/tb_tokens.h"


#define NGX_HTTP_TBUCKET_FILE_BUFFER  65536

/* entries, and empty chains, that are visited with the mutex held */
#define NGX_HTTP_TBUCKET_FILE_SLICE   32
#define NGX_HTTP_TBUCKET_FILE_BUDGET  1024

/* us of work after which the thread makes room, and for how long, in ms */
#define NGX_HTTP_TBUCKET_FILE_WORK    2000
#define NGX_HTTP_TBUCKET_FILE_PAUSE   1


/* A file that is being written. */

typedef struct {
    ngx_http_tbucket_file_zone_t   *fz;
    ngx_http_tbucket_file_error_t  *error;
    ngx_uint_t                      final;      /* no pauses, no way back */
    ngx_fd_t                        fd;
    off_t                           offset;
    size_t                          len;
    uint64_t                        until;      /* us: then pause */
    char                            path[NGX_MAX_PATH];
    char                            target[NGX_MAX_PATH];
    char                            buf[NGX_HTTP_TBUCKET_FILE_BUFFER];
    tb_tokens_writer_t              tokens;
    tb_registry_entry_t             entries[NGX_HTTP_TBUCKET_FILE_SLICE];
} ngx_http_tbucket_file_writer_t;


static ngx_http_tbucket_file_writer_t *ngx_http_tbucket_file_open_writer(
    ngx_http_tbucket_file_zone_t *fz, const char *suffix, ngx_uint_t final,
    ngx_http_tbucket_file_error_t *error);
static void ngx_http_tbucket_file_close_writer(
    ngx_http_tbucket_file_writer_t *w, ngx_uint_t keep);
static ngx_int_t ngx_http_tbucket_file_flush(
    ngx_http_tbucket_file_writer_t *w, size_t room);
static ngx_int_t ngx_http_tbucket_file_sync(
    ngx_http_tbucket_file_writer_t *w);
static ngx_int_t ngx_http_tbucket_file_replace(
    ngx_http_tbucket_file_writer_t *w);
static ngx_int_t ngx_http_tbucket_file_pause(
    ngx_http_tbucket_file_writer_t *w);
static ngx_int_t ngx_http_tbucket_file_list(
    ngx_http_tbucket_file_writer_t *w, uint64_t number);
static ngx_int_t ngx_http_tbucket_file_publish(
    ngx_http_tbucket_file_writer_t *w, uint64_t number);
static ngx_int_t ngx_http_tbucket_file_list_tokens(
    ngx_http_tbucket_file_writer_t *w);


ngx_int_t
ngx_http_tbucket_file_write_clients(ngx_http_tbucket_file_zone_t *fz,
    uint64_t number, ngx_uint_t has_write, ngx_uint_t final,
    ngx_http_tbucket_file_error_t *error)
{
    ngx_fd_t                         lock;
    ngx_int_t                        rc;
    ngx_http_tbucket_file_writer_t  *w;

    w = ngx_http_tbucket_file_open_writer(fz, ".json", final, error);

    if (w == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_tbucket_file_list(w, number);

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_file_sync(w);
    }

    if (rc == NGX_OK && has_write) {
        rc = ngx_http_tbucket_file_publish(w, number);

    } else if (rc == NGX_OK) {
        lock = ngx_http_tbucket_file_lock(fz, NGX_HTTP_TBUCKET_FILE_WRITE,
                                          fz->patience, error);

        rc = NGX_ERROR;

        if (lock != NGX_INVALID_FILE) {
            rc = ngx_http_tbucket_file_fence(fz, error);

            if (rc == NGX_OK) {
                rc = ngx_http_tbucket_file_publish(w, number);
            }

            (void) close(lock);
        }
    }

    ngx_http_tbucket_file_close_writer(w, rc == NGX_OK);

    return rc;
}


ngx_int_t
ngx_http_tbucket_file_fold(ngx_http_tbucket_file_zone_t *fz,
    ngx_uint_t final, ngx_http_tbucket_file_error_t *error)
{
    uint32_t                  records;
    uint64_t                  number, patched;
    ngx_fd_t                  lock, write;
    ngx_int_t                 rc;
    ngx_http_tbucket_kept_t  *kept;

    kept = &fz->zone->shared->kept;
    records = 0;

    lock = ngx_http_tbucket_file_lock(fz, NGX_HTTP_TBUCKET_FILE_COMPACT,
                                      fz->patience, error);
    if (lock == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    write = ngx_http_tbucket_file_lock(fz, NGX_HTTP_TBUCKET_FILE_WRITE,
                                       fz->patience, error);
    if (write == NGX_INVALID_FILE) {
        (void) close(lock);
        return NGX_ERROR;
    }

    rc = ngx_http_tbucket_file_fence(fz, error);

    if (rc == NGX_OK && kept->edited) {
        rc = NGX_DECLINED;
    }

    number = kept->journal + 1;
    patched = kept->patched;

    if (rc != NGX_OK || (kept->records == 0 && !kept->failed)) {
        (void) close(write);
        (void) close(lock);
        return rc;
    }

    rc = ngx_http_tbucket_file_begin(fz, number, error);

    if (rc == NGX_OK) {
        records = atomic_exchange(&kept->records, 0);
    }

    (void) close(write);

    /* tokens that only a journal has must not go with it */

    if (rc == NGX_OK && patched >= kept->saved_at) {
        rc = ngx_http_tbucket_file_save_tokens(fz, final, error);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_file_write_clients(fz, number, 0, final,
                                                 error);
    }

    if (rc != NGX_OK) {
        atomic_fetch_add(&kept->records, records);
    }

    (void) close(lock);

    return rc;
}


ngx_int_t
ngx_http_tbucket_file_save_tokens(ngx_http_tbucket_file_zone_t *fz,
    ngx_uint_t final, ngx_http_tbucket_file_error_t *error)
{
    ngx_fd_t                         lock, write;
    ngx_int_t                        rc;
    ngx_http_tbucket_kept_t         *kept;
    ngx_http_tbucket_file_writer_t  *w;

    kept = &fz->zone->shared->kept;

    lock = ngx_http_tbucket_file_lock(fz, NGX_HTTP_TBUCKET_FILE_TOKENS,
                                      fz->patience, error);
    if (lock == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    w = ngx_http_tbucket_file_open_writer(fz, ".tokens", final, error);

    if (w == NULL) {
        (void) close(lock);
        return NGX_ERROR;
    }

    rc = ngx_http_tbucket_file_list_tokens(w);

    if (rc == NGX_OK && w->tokens.count == 0 && kept->saved == 0) {

        /* nothing to tell, and nothing to take back */

        kept->saved_at = w->tokens.at;
        ngx_http_tbucket_file_close_writer(w, 0);
        (void) close(lock);

        return NGX_OK;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_file_sync(w);
    }

    if (rc == NGX_OK) {
        write = ngx_http_tbucket_file_lock(fz, NGX_HTTP_TBUCKET_FILE_WRITE,
                                           fz->patience, error);
        rc = NGX_ERROR;

        if (write != NGX_INVALID_FILE) {
            rc = ngx_http_tbucket_file_fence(fz, error);

            if (rc == NGX_OK) {
                rc = ngx_http_tbucket_file_replace(w);
            }

            (void) close(write);
        }
    }

    if (rc == NGX_OK) {
        kept->saved_at = w->tokens.at;
        kept->saved = w->tokens.count;
    }

    ngx_http_tbucket_file_close_writer(w, rc == NGX_OK);

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_file_sync_folder(fz, error);
    }

    (void) close(lock);

    return rc;
}


static ngx_http_tbucket_file_writer_t *
ngx_http_tbucket_file_open_writer(ngx_http_tbucket_file_zone_t *fz,
    const char *suffix, ngx_uint_t final,
    ngx_http_tbucket_file_error_t *error)
{
    void                            *p;
    ngx_http_tbucket_file_writer_t  *w;

    if (posix_memalign(&p, 64, sizeof(ngx_http_tbucket_file_writer_t)) != 0) {
        ngx_http_tbucket_file_fail(error, NGX_ENOMEM,
                                   "no memory to write a file", NULL);
        return NULL;
    }

    w = p;
    w->fz = fz;
    w->error = error;
    w->final = final;
    w->offset = 0;
    w->len = 0;
    w->until = ngx_http_tbucket_usec() + NGX_HTTP_TBUCKET_FILE_WORK;

    ngx_http_tbucket_file_path(fz, w->target, suffix);

    if (snprintf(w->path, NGX_MAX_PATH, "%s.new", w->target) >= NGX_MAX_PATH)
    {
        ngx_http_tbucket_file_fail(error, NGX_ENAMETOOLONG, "open()",
                                   w->target);
        free(w);
        return NULL;
    }

    w->fd = ngx_http_tbucket_file_open(w->path, O_CREAT|O_TRUNC, error);

    if (w->fd == NGX_INVALID_FILE) {
        free(w);
        return NULL;
    }

    return w;
}


static void
ngx_http_tbucket_file_close_writer(ngx_http_tbucket_file_writer_t *w,
    ngx_uint_t keep)
{
    (void) close(w->fd);

    if (!keep) {
        (void) unlink(w->path);
    }

    free(w);
}


/* Makes room for that many bytes in the buffer. */

static ngx_int_t
ngx_http_tbucket_file_flush(ngx_http_tbucket_file_writer_t *w, size_t room)
{
    if (w->len + room <= sizeof(w->buf)) {
        return NGX_OK;
    }

    if (ngx_http_tbucket_file_put(w->fd, w->buf, w->len, w->offset)
        != NGX_OK)
    {
        ngx_http_tbucket_file_fail(w->error, ngx_errno, "pwrite()", w->path);
        return NGX_ERROR;
    }

    w->offset += (off_t) w->len;
    w->len = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_file_sync(ngx_http_tbucket_file_writer_t *w)
{
    if (ngx_http_tbucket_file_flush(w, sizeof(w->buf)) != NGX_OK) {
        return NGX_ERROR;
    }

    if (fsync(w->fd) == -1) {
        ngx_http_tbucket_file_fail(w->error, ngx_errno, "fsync()", w->path);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_file_replace(ngx_http_tbucket_file_writer_t *w)
{
    if (rename(w->path, w->target) == -1) {
        ngx_http_tbucket_file_fail(w->error, ngx_errno, "rename() to",
                                   w->target);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Between two slices: others come first. */

static ngx_int_t
ngx_http_tbucket_file_pause(ngx_http_tbucket_file_writer_t *w)
{
    ngx_http_tbucket_file_alive(w->fz);

    if (w->final) {
        return NGX_OK;
    }

    if (ngx_gw_is_leaving()) {
        return NGX_ABORT;
    }

    if (ngx_http_tbucket_usec() > w->until) {
#if (NGX_THREADS)
        ngx_msleep(NGX_HTTP_TBUCKET_FILE_PAUSE);
#endif
        w->until = ngx_http_tbucket_usec() + NGX_HTTP_TBUCKET_FILE_WORK;
    }

    return NGX_OK;
}


/*
 * The clients in order of their hashes.  What changes meanwhile may be in the
 * list or not: it is in the journal, which is read on top of it.
 */

static ngx_int_t
ngx_http_tbucket_file_list(ngx_http_tbucket_file_writer_t *w,
    uint64_t number)
{
    bool                      found, first;
    uint32_t                  budget;
    uint64_t                  after;
    ngx_int_t                 rc;
    ngx_uint_t                i, n;
    tb_registry_entry_t      *entry;
    ngx_http_tbucket_zone_t  *zone;

    zone = w->fz->zone;
    after = 0;
    found = true;
    first = true;

    w->len = tb_snapshot_write_begin(w->buf, (char *) zone->name.data,
                                     zone->name.len, number);

    while (found) {
        budget = NGX_HTTP_TBUCKET_FILE_BUDGET;

        ngx_shmtx_lock(&zone->shpool->mutex);

        for (n = 0; n < NGX_HTTP_TBUCKET_FILE_SLICE; n++) {
            entry = &w->entries[n];
            found = tb_registry_next(zone->shared->registry, after, &budget,
                                     entry);

            if (found || budget == 0) {
                after = entry->hash.lo;
            }

            if (!found) {
                found = budget == 0;
                break;
            }
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);

        for (i = 0; i < n; i++) {
            if (ngx_http_tbucket_file_flush(w, TB_SNAPSHOT_LINE_SIZE)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            entry = &w->entries[i];

            w->len += tb_snapshot_write_client(w->buf + w->len, entry->id,
                                        entry->len,
                                        tb_limits_capacity(entry->limits),
                                        tb_limits_rate(entry->limits), first);
            first = false;
        }

        rc = ngx_http_tbucket_file_pause(w);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ngx_http_tbucket_file_flush(w, TB_SNAPSHOT_LINE_SIZE) != NGX_OK) {
        return NGX_ERROR;
    }

    w->len += tb_snapshot_write_end(w->buf + w->len);

    return NGX_OK;
}


/*
 * With both locks held.  A file of clients that is not as we left it was
 * edited, and stays; one that is gone is written again.
 */

static ngx_int_t
ngx_http_tbucket_file_publish(ngx_http_tbucket_file_writer_t *w,
    uint64_t number)
{
    char                       path[NGX_MAX_PATH];
    uint64_t                   n;
    struct stat                st;
    ngx_http_tbucket_kept_t   *kept;
    ngx_http_tbucket_print_t   print;

    kept = &w->fz->zone->shared->kept;

    if (stat(w->target, &st) == 0) {
        ngx_http_tbucket_file_print(&print, &st);

        if (ngx_memcmp(&print, &kept->clients, sizeof(print)) != 0) {
            kept->edited = NGX_HTTP_TBUCKET_FILE_EDITED;
            return NGX_DECLINED;
        }
    }

    if (fstat(w->fd, &st) == -1) {
        ngx_http_tbucket_file_fail(w->error, ngx_errno, "fstat()", w->path);
        return NGX_ERROR;
    }

    if (ngx_http_tbucket_file_replace(w) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_tbucket_file_print(&kept->clients, &st);

    if (ngx_http_tbucket_file_sync_folder(w->fz, w->error) != NGX_OK) {
        return NGX_ERROR;
    }

    for (n = kept->base; n < number; n++) {
        (void) unlink(ngx_http_tbucket_file_journal(w->fz, path, n));
    }

    kept->base = number;
    kept->failed = 0;

    return NGX_OK;
}


/* What the table holds, but the buckets that are full; lock-free. */

static ngx_int_t
ngx_http_tbucket_file_list_tokens(ngx_http_tbucket_file_writer_t *w)
{
    size_t                    size;
    uint32_t                  i, slots;
    uint64_t                  now, tokens;
    ngx_int_t                 rc;
    tb_hash_t                 h;
    tb_table_t               *table;
    tb_limits_t               limits;
    ngx_http_tbucket_zone_t  *zone;

    zone = w->fz->zone;
    table = zone->shared->table;
    slots = tb_table_slots(table);

    w->len = tb_tokens_write_header(&w->tokens, (u_char *) w->buf,
                                    ngx_http_tbucket_file_now(),
                                    zone->shared->secret);

    for (i = 0; i < slots; i++) {

        if (i % TB_CHUNK_SLOTS == 0) {

            if (!tb_table_chunk_used(table, i)) {
                i += TB_CHUNK_SLOTS - 1;
                continue;
            }

            rc = ngx_http_tbucket_file_pause(w);

            if (rc != NGX_OK) {
                return rc;
            }
        }

        now = ngx_current_msec;

        if (!tb_table_bucket(table, i, &now, zone->limits, &h, &limits,
                             &tokens)
            || tokens == tb_limits_full(limits))
        {
            continue;
        }

        if (ngx_http_tbucket_file_flush(w, TB_TOKENS_ENTRY_SIZE) != NGX_OK) {
            return NGX_ERROR;
        }

        size = tb_tokens_write_entry(&w->tokens, (u_char *) w->buf + w->len,
                                     &h, tokens, ngx_http_tbucket_file_now());

        if (size == 0) {
            ngx_http_tbucket_file_fail(w->error, ETIMEDOUT, "saving tokens to",
                                       w->path);
            return NGX_ERROR;
        }

        w->len += size;
    }

    if (ngx_http_tbucket_file_flush(w, TB_TOKENS_TRAILER_SIZE) != NGX_OK) {
        return NGX_ERROR;
    }

    w->len += tb_tokens_write_trailer(&w->tokens, (u_char *) w->buf + w->len);

    return NGX_OK;
}
