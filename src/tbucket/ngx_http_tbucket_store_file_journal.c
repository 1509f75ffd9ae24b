
/*
 * Writes of the API into a zone's journal: checked, appended, synced and
 * only then applied, all under the lock for writers of the zone.  So the
 * journal has the order of shared memory, a write that was refused or could
 * not be stored has changed nothing, and nobody ever sees a change that a
 * power cut could take back.
 */


#include "src/tbucket/ngx_http_tbucket_store_file.h"
#include "src/core/tb_client.h"
#include "src/core/tb_journal.h"


static ngx_fd_t ngx_http_tbucket_file_append_to(
    ngx_http_tbucket_file_zone_t *fz, ngx_http_tbucket_file_error_t *error);
static u_char *ngx_http_tbucket_file_encode(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_write_t **taken, ngx_uint_t *n, size_t *size);
static ngx_uint_t ngx_http_tbucket_file_collides(
    ngx_http_tbucket_file_zone_t *fz, ngx_uint_t n);
static ngx_int_t ngx_http_tbucket_file_check(ngx_http_tbucket_write_t *write);
static size_t ngx_http_tbucket_file_record(ngx_http_tbucket_write_t *write,
    u_char *p, uint64_t at, ngx_http_tbucket_kept_t *kept, uint64_t offset);
static ngx_http_tbucket_outcome_e ngx_http_tbucket_file_append(
    ngx_http_tbucket_file_zone_t *fz, ngx_fd_t fd, u_char *data, size_t size);
static void ngx_http_tbucket_file_apply(ngx_http_tbucket_write_t *write);


ngx_int_t
ngx_http_tbucket_file_fence(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_error_t *error)
{
    char                      path[NGX_MAX_PATH];
    uint64_t                  number, owner;
    ngx_int_t                 rc;
    ngx_str_t                 text;
    struct stat               st;
    ngx_http_tbucket_kept_t  *kept;

    kept = &fz->zone->shared->kept;

    if (kept->journal == 0 || kept->fenced) {
        return NGX_DECLINED;
    }

    ngx_http_tbucket_file_journal(fz, path, kept->journal + 1);

    if (access(path, F_OK) == -1) {

        if (ngx_errno == NGX_ENOENT) {
            return NGX_OK;
        }

        ngx_http_tbucket_file_fail(error, ngx_errno, "access()", path);
        return NGX_ERROR;
    }

    rc = ngx_http_tbucket_file_read(fz, path, &text, &st, error);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (!tb_journal_read_header(text.data, text.len, &number, &owner)) {

        /* somebody died while beginning it */

        rc = unlink(path) == 0 ? NGX_OK : NGX_ERROR;

    } else if (owner == kept->owner) {

        /* one of us died right after */

        kept->end = TB_JOURNAL_HEADER_SIZE;
        kept->dirty = 1;
        kept->journal = kept->journal + 1;

    } else {
        kept->fenced = 1;
        rc = NGX_DECLINED;
    }

    if (rc == NGX_ERROR) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "unlink()", path);
    }

    free(text.data);

    return rc;
}


ngx_int_t
ngx_http_tbucket_file_begin(ngx_http_tbucket_file_zone_t *fz,
    uint64_t number, ngx_http_tbucket_file_error_t *error)
{
    char                      path[NGX_MAX_PATH];
    ngx_fd_t                  fd;
    unsigned char             header[TB_JOURNAL_HEADER_SIZE];
    ngx_http_tbucket_kept_t  *kept;

    kept = &fz->zone->shared->kept;

    ngx_http_tbucket_file_journal(fz, path, number);

    fd = ngx_http_tbucket_file_open(path, O_CREAT|O_EXCL, error);

    if (fd == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    tb_journal_write_header(header, number, kept->owner);

    if (ngx_http_tbucket_file_put(fd, header, sizeof(header), 0) != NGX_OK) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "pwrite()", path);

    } else if (fsync(fd) == -1) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "fsync()", path);

    } else if (ngx_http_tbucket_file_sync_folder(fz, error) == NGX_OK) {
        (void) close(fd);

        kept->end = TB_JOURNAL_HEADER_SIZE;
        kept->dirty = 0;
        kept->journal = number;

        return NGX_OK;
    }

    (void) close(fd);
    (void) unlink(path);

    return NGX_ERROR;
}


void
ngx_http_tbucket_file_commit(void *data)
{
    ngx_http_tbucket_file_zone_t  *fz = data;

    size_t                       size;
    u_char                      *records;
    ngx_fd_t                     fd, lock;
    ngx_uint_t                   i, n;
    ngx_http_tbucket_write_t    *taken[NGX_HTTP_TBUCKET_FILE_BATCH];
    ngx_http_tbucket_outcome_e   outcome;

    fz->ok = 0;
    fz->ndone = fz->nbatch;
    records = NULL;
    outcome = NGX_HTTP_TBUCKET_STORE_DOWN;

    for (n = 0; n < fz->nbatch; n++) {
        fz->batch[n]->outcome = outcome;
    }

    ngx_http_tbucket_file_yield(fz);

    lock = ngx_http_tbucket_file_lock(fz, NGX_HTTP_TBUCKET_FILE_WRITE,
                                      fz->wait, &fz->commit_error);

    if (lock == NGX_INVALID_FILE) {
        return;
    }

    fd = ngx_http_tbucket_file_append_to(fz, &fz->commit_error);

    if (fd == NGX_INVALID_FILE) {
        goto done;
    }

    records = ngx_http_tbucket_file_encode(fz, taken, &n, &size);

    if (records == NULL) {
        goto done;
    }

    if (n > 0) {
        outcome = ngx_http_tbucket_file_append(fz, fd, records, size);
    }

    for (i = 0; i < n; i++) {

        if (outcome == NGX_HTTP_TBUCKET_UPDATED) {
            ngx_http_tbucket_file_apply(taken[i]);

        } else {
            taken[i]->outcome = outcome;
        }
    }

    fz->ok = n > 0 && outcome == NGX_HTTP_TBUCKET_UPDATED;

done:

    free(records);

    if (fd != NGX_INVALID_FILE) {
        (void) close(fd);
    }

    (void) close(lock);
}


/* The journal, ready for a record at kept->end. */

static ngx_fd_t
ngx_http_tbucket_file_append_to(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_error_t *error)
{
    char                      path[NGX_MAX_PATH];
    ngx_fd_t                  fd;
    struct stat               st;
    ngx_http_tbucket_kept_t  *kept;

    kept = &fz->zone->shared->kept;

    if (ngx_http_tbucket_file_fence(fz, error) != NGX_OK) {

        if (kept->fenced || kept->journal == 0) {
            ngx_http_tbucket_file_fail(error, 0, "its files belong to another "
                                       "nginx, or could not be read", NULL);
            fz->quiet = 1;
        }

        return NGX_INVALID_FILE;
    }

    if (kept->failed) {
        ngx_http_tbucket_file_fail(error, 0, "its journal is to be written "
                                   "anew first", NULL);
        fz->quiet = 1;
        return NGX_INVALID_FILE;
    }

    ngx_http_tbucket_file_journal(fz, path, kept->journal);

    fd = ngx_http_tbucket_file_open(path, 0, error);

    if (fd == NGX_INVALID_FILE) {
        kept->failed = 1;
        return NGX_INVALID_FILE;
    }

    if (kept->dirty) {

        /* somebody died, or failed, while appending */

        if (ftruncate(fd, (off_t) kept->end) == -1) {
            ngx_http_tbucket_file_fail(error, ngx_errno, "ftruncate()", path);
            kept->failed = 1;
            goto failed;
        }

        kept->dirty = 0;
    }

    if (fstat(fd, &st) == -1 || (uint64_t) st.st_size != kept->end) {
        ngx_http_tbucket_file_fail(error, 0,
                                   "appending, after somebody else wrote, to",
                                   path);
        kept->failed = 1;
        goto failed;
    }

    return fd;

failed:

    (void) close(fd);

    return NGX_INVALID_FILE;
}


/*
 * The records of all writes of the batch that can be made; these are put
 * into taken.  A write about a client that one before it is about depends on
 * what that one does, and has to wait for the next batch.
 */

static u_char *
ngx_http_tbucket_file_encode(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_write_t **taken, ngx_uint_t *n, size_t *size)
{
    size_t                     room, cells;
    u_char                    *data;
    uint64_t                   at;
    ngx_uint_t                 i, j;
    ngx_http_tbucket_write_t  *write;

    *n = 0;
    room = 0;
    cells = 0;

    for (i = 0; i < fz->nbatch; i++) {
        write = fz->batch[i];

        if (i > 0 && ngx_http_tbucket_file_collides(fz, i)) {
            break;
        }

        write->cells = cells;

        if (ngx_http_tbucket_file_check(write) != NGX_OK) {
            continue;
        }

        cells = write->cells;
        room += TB_JOURNAL_RECORD_SIZE;

        for (j = 0; j < write->n; j++) {
            room += TB_JOURNAL_CHANGE_SIZE + write->changes[j].id.len;
        }

        taken[(*n)++] = write;
    }

    fz->ndone = i;

    data = room < UINT32_MAX ? malloc(room + 1) : NULL;

    if (data == NULL) {
        ngx_http_tbucket_file_fail(&fz->commit_error, ngx_errno,
                                   "no memory for a journal record", NULL);

        for (i = 0; i < *n; i++) {
            taken[i]->outcome = NGX_HTTP_TBUCKET_STORE_DOWN;
        }

        return NULL;
    }

    *size = 0;
    at = ngx_http_tbucket_file_now();

    for (i = 0; i < *n; i++) {
        *size += ngx_http_tbucket_file_record(taken[i], data + *size, at,
                                              &fz->zone->shared->kept,
                                              fz->zone->shared->kept.end
                                              + *size);
    }

    return data;
}


static ngx_uint_t
ngx_http_tbucket_file_collides(ngx_http_tbucket_file_zone_t *fz,
    ngx_uint_t n)
{
    ngx_str_t   *id, *other;
    ngx_uint_t   i;

    if (fz->batch[0]->n != 1 || fz->batch[n]->n != 1) {
        return 1;
    }

    id = &fz->batch[n]->changes[0].id;

    for (i = 0; i < n; i++) {
        other = &fz->batch[i]->changes[0].id;

        if (other->len == id->len
            && ngx_memcmp(other->data, id->data, id->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* What is found stays true while the lock for writers is held. */

static ngx_int_t
ngx_http_tbucket_file_check(ngx_http_tbucket_write_t *write)
{
    ngx_int_t   rc;
    ngx_uint_t  i, n;

    rc = NGX_OK;

    for (i = 0; rc == NGX_OK && i < write->n; i += n) {
        n = ngx_min(write->n - i, NGX_HTTP_TBUCKET_WRITE_SLICE);

        ngx_shmtx_lock(&write->zone->shpool->mutex);

        rc = ngx_http_tbucket_write_superseded(write);

        if (rc == NGX_OK) {
            rc = ngx_http_tbucket_write_check(write, i, n);
        }

        ngx_shmtx_unlock(&write->zone->shpool->mutex);
    }

    return rc;
}


static size_t
ngx_http_tbucket_file_record(ngx_http_tbucket_write_t *write, u_char *p,
    uint64_t at, ngx_http_tbucket_kept_t *kept, uint64_t offset)
{
    size_t                      size;
    ngx_uint_t                  i;
    tb_change_t                 change;
    ngx_http_tbucket_change_t  *c;

    size = TB_JOURNAL_RECORD_SIZE;

    for (i = 0; i < write->n; i++) {
        c = &write->changes[i];

        ngx_memzero(&change, sizeof(tb_change_t));

        change.id = c->id.data;
        change.len = c->id.len;

        if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
            change.kind = TB_JOURNAL_REMOVE;

        } else {
            change.kind = TB_JOURNAL_SET;
            change.capacity = c->capacity;
            change.rate = c->rate;

            if (c->members & TB_CLIENT_TOKENS) {
                change.kind |= TB_JOURNAL_TOKENS;
                change.tokens = c->tokens;
                kept->patched = at;
            }
        }

        size += tb_journal_write_change(p + size, &change);
    }

    tb_journal_write_record(p, size, (uint32_t) write->n, at, kept->owner,
                            offset);

    return size;
}


/*
 * Appends and syncs.  UPDATED: it is safe.  STORE_DOWN: nothing is left of
 * it.  STORE_UNKNOWN: nobody knows what the disk has; the journal is not
 * used any more until all has been written anew.
 */

static ngx_http_tbucket_outcome_e
ngx_http_tbucket_file_append(ngx_http_tbucket_file_zone_t *fz, ngx_fd_t fd,
    u_char *data, size_t size)
{
    char                      path[NGX_MAX_PATH];
    ngx_http_tbucket_kept_t  *kept;

    kept = &fz->zone->shared->kept;
    ngx_http_tbucket_file_journal(fz, path, kept->journal);

    if (kept->end + size > ngx_http_tbucket_file_limit(fz)) {
        ngx_http_tbucket_file_fail(&fz->commit_error, 0, "no more can be "
                                   "appended until a reload to", path);
        return NGX_HTTP_TBUCKET_STORE_DOWN;
    }

    kept->dirty = 1;

    if (ngx_http_tbucket_file_put(fd, data, size, (off_t) kept->end)
        != NGX_OK)
    {
        ngx_http_tbucket_file_fail(&fz->commit_error, ngx_errno, "pwrite()",
                                   path);

        if (ftruncate(fd, (off_t) kept->end) == 0 && fdatasync(fd) == 0) {
            kept->dirty = 0;
            return NGX_HTTP_TBUCKET_STORE_DOWN;
        }

        kept->failed = 1;

        return NGX_HTTP_TBUCKET_STORE_UNKNOWN;
    }

    if (fdatasync(fd) == -1) {
        ngx_http_tbucket_file_fail(&fz->commit_error, ngx_errno,
                                   "fdatasync()", path);
        kept->failed = 1;

        return NGX_HTTP_TBUCKET_STORE_UNKNOWN;
    }

    kept->end += size;
    kept->dirty = 0;
    kept->records++;

    return NGX_HTTP_TBUCKET_UPDATED;
}


/*
 * A zone that takes over while this goes on reads the journal, unless that
 * fails: then the change is on the disk, but not in force.
 */

static void
ngx_http_tbucket_file_apply(ngx_http_tbucket_write_t *write)
{
    ngx_int_t   rc;
    ngx_uint_t  i, n;

    rc = NGX_OK;

    for (i = 0; i < write->n; i += n) {
        n = ngx_min(write->n - i, NGX_HTTP_TBUCKET_WRITE_SLICE);

        ngx_shmtx_lock(&write->zone->shpool->mutex);

        (void) ngx_http_tbucket_write_apply(write, i, n);
        rc = ngx_http_tbucket_write_superseded(write);

        ngx_shmtx_unlock(&write->zone->shpool->mutex);
    }

    if (rc != NGX_OK) {
        write->outcome = NGX_HTTP_TBUCKET_STORE_UNKNOWN;

    } else if (write->outcome == NGX_HTTP_TBUCKET_NO_ROOM) {

        /* the journal says more than there is now */

        write->zone->shared->kept.failed = 1;
    }
}
