
/*
 * Files into memory: at a start, after a person's edit, and for a zone that
 * takes over from another one.  Runs in the master with the zone's locks, so
 * that no worker writes meanwhile, and logs.
 */


#include "src/core/tb_journal.h"
#include "src/core/tb_snapshot.h"
#include "src/core/tb_tokens.h"
#include "src/tbucket/ngx_http_tbucket_store_file.h"

#include <dirent.h>
#include <sys/random.h>


/* wrong entries that get a line each in the log */
#define NGX_HTTP_TBUCKET_FILE_WRONG_MAX  10


typedef struct {
    ngx_http_tbucket_file_zone_t   *fz;
    ngx_log_t                      *log;
    ngx_http_tbucket_file_error_t   error;

    ngx_uint_t                      live;      /* memory holds clients */
    ngx_uint_t                      apply;     /* else only looking */
    ngx_uint_t                      wrong;     /* entries */
    ngx_uint_t                      twice;
    ngx_uint_t                      lost;      /* no room for them */
    ngx_uint_t                      patched;   /* only tokens from now on */
    ngx_uint_t                      ntokens;   /* set by a journal */
    uint64_t                        since;     /* those later than that */
    uint64_t                        now;       /* ms since 1970 */

    /* hashes of all clients that were set, in no order */
    uint64_t                       *seen;
    size_t                          nseen;
    size_t                          room;

    /* numbers of the journals that there are, in order */
    ngx_array_t                     journals;  /* uint64_t */
    uint64_t                        first;     /* the first that counts */
    uint64_t                        last;      /* above all in use */

    tb_snapshot_t                   snapshot;
    char                            path[NGX_MAX_PATH];
    char                            aside[NGX_MAX_PATH];
} ngx_http_tbucket_file_loader_t;


static ngx_int_t ngx_http_tbucket_file_is_current(
    ngx_http_tbucket_file_zone_t *fz, struct stat *folder,
    ngx_http_tbucket_file_error_t *error);
static ngx_int_t ngx_http_tbucket_file_load(
    ngx_http_tbucket_file_loader_t *l, struct stat *folder);
static ngx_int_t ngx_http_tbucket_file_find_journals(
    ngx_http_tbucket_file_loader_t *l, ngx_pool_t *pool);
static int ngx_libc_cdecl ngx_http_tbucket_file_compare(const void *one,
    const void *two);
static ngx_int_t ngx_http_tbucket_file_read_clients(
    ngx_http_tbucket_file_loader_t *l);
static ngx_int_t ngx_http_tbucket_file_parse_clients(
    ngx_http_tbucket_file_loader_t *l, ngx_str_t *text);
static void ngx_http_tbucket_file_entry(tb_snapshot_t *s, void *data);
static void ngx_http_tbucket_file_bad(ngx_http_tbucket_file_loader_t *l,
    const char *what, const char *then);
static ngx_int_t ngx_http_tbucket_file_read_journals(
    ngx_http_tbucket_file_loader_t *l);
static void ngx_http_tbucket_file_read_journal(
    ngx_http_tbucket_file_loader_t *l, ngx_str_t *text, uint64_t number);
static void ngx_http_tbucket_file_change(ngx_http_tbucket_file_loader_t *l,
    tb_change_t *change, uint64_t at);
static ngx_int_t ngx_http_tbucket_file_set(
    ngx_http_tbucket_file_loader_t *l, const char *id, size_t len,
    uint32_t capacity, uint64_t rate);
static void ngx_http_tbucket_file_remove_others(
    ngx_http_tbucket_file_loader_t *l);
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
    ngx_fd_t                         compact, write;
    ngx_int_t                        rc;
    struct stat                      folder;
    ngx_http_tbucket_file_loader_t  *l;

    rc = NGX_ERROR;
    write = NGX_INVALID_FILE;

    l = ngx_calloc(sizeof(ngx_http_tbucket_file_loader_t), cycle->log);
    if (l == NULL) {
        return NGX_ERROR;
    }

    l->fz = fz;
    l->log = cycle->log;

    compact = ngx_http_tbucket_file_lock(fz, NGX_HTTP_TBUCKET_FILE_COMPACT,
                                         &l->error);

    if (compact != NGX_INVALID_FILE) {
        write = ngx_http_tbucket_file_lock(fz, NGX_HTTP_TBUCKET_FILE_WRITE,
                                           &l->error);
    }

    if (write != NGX_INVALID_FILE) {

        if (stat((char *) fz->file->path.data, &folder) == -1) {
            ngx_http_tbucket_file_fail(&l->error, ngx_errno, "stat()",
                                       (char *) fz->file->path.data);

        } else if (ngx_http_tbucket_file_is_current(fz, &folder, &l->error)
                   == NGX_OK)
        {
            rc = NGX_OK;

        } else if (ngx_http_tbucket_file_find_journals(l, cycle->pool)
                   == NGX_OK)
        {
            rc = ngx_http_tbucket_file_load(l, &folder);
        }
    }

    if (l->error.text[0] != '\0') {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, l->error.err,
                      "tbucket_store: zone \"%V\": %s", &fz->zone->name,
                      l->error.text);
    }

    if (write != NGX_INVALID_FILE) {
        (void) close(write);
    }

    if (compact != NGX_INVALID_FILE) {
        (void) close(compact);
    }

    free(l->seen);
    ngx_free(l);

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

    if (clients == NGX_ABORT
        || (clients == NGX_DECLINED && l->journals.nelts == 0))
    {
        /* nothing to read: what memory holds is what there is */

    } else if (ngx_http_tbucket_file_read_journals(l) != NGX_OK) {
        free(text.data);
        return NGX_ERROR;

    } else if (l->live) {
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


static ngx_int_t
ngx_http_tbucket_file_find_journals(ngx_http_tbucket_file_loader_t *l,
    ngx_pool_t *pool)
{
    char           *p;
    DIR            *dir;
    size_t          len;
    u_char         *name;
    uint64_t       *number;
    ngx_int_t       n;
    ngx_str_t      *stem;
    struct dirent  *entry;

    if (ngx_array_init(&l->journals, pool, 4, sizeof(uint64_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    dir = opendir((char *) l->fz->file->path.data);

    if (dir == NULL) {
        ngx_http_tbucket_file_fail(&l->error, ngx_errno, "opendir()",
                                   (char *) l->fz->file->path.data);
        return NGX_ERROR;
    }

    stem = &l->fz->stem;
    name = stem->data + l->fz->file->path.len + 1;
    len = ngx_strlen(name);

    while ((entry = readdir(dir)) != NULL) {

        if (ngx_strncmp(entry->d_name, name, len) != 0
            || ngx_strncmp(entry->d_name + len, ".journal.", 9) != 0)
        {
            continue;
        }

        p = entry->d_name + len + 9;
        n = ngx_atoi((u_char *) p, ngx_strlen(p));

        if (n <= 0) {
            continue;
        }

        number = ngx_array_push(&l->journals);

        if (number == NULL) {
            (void) closedir(dir);
            return NGX_ERROR;
        }

        *number = (uint64_t) n;
        l->last = ngx_max(l->last, (uint64_t) n);
    }

    (void) closedir(dir);

    ngx_qsort(l->journals.elts, l->journals.nelts, sizeof(uint64_t),
              ngx_http_tbucket_file_compare);

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_http_tbucket_file_compare(const void *one, const void *two)
{
    const uint64_t  *a = one;
    const uint64_t  *b = two;

    return *a < *b ? -1 : *a > *b;
}


/*
 * NGX_OK: the clients of the file are in memory; NGX_DECLINED: there is no
 * file to use; NGX_ABORT: there is one, but what memory holds is better.
 */

static ngx_int_t
ngx_http_tbucket_file_read_clients(ngx_http_tbucket_file_loader_t *l)
{
    ngx_int_t    rc;
    ngx_str_t    text;
    struct stat  st;

    ngx_http_tbucket_file_path(l->fz, l->path, ".json");

    rc = ngx_http_tbucket_file_read(l->path, &text, &st, &l->error);

    if (rc != NGX_OK) {
        ngx_memzero(&l->fz->zone->shared->kept.clients,
                    sizeof(ngx_http_tbucket_print_t));
        return rc;
    }

    ngx_http_tbucket_file_print(&l->fz->zone->shared->kept.clients, &st);

    if (ngx_http_tbucket_file_parse_clients(l, &text) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, l->log, 0,
                      "tbucket_store: \"%s\" is not a file of clients: "
                      "line %uz: %s", l->path, l->snapshot.line,
                      l->snapshot.json.error);

        rc = l->live ? NGX_ABORT : NGX_DECLINED;

    } else if (l->snapshot.zone_len != 0
               && (l->snapshot.zone_len != l->fz->zone->name.len
                   || ngx_memcmp(l->snapshot.zone, l->fz->zone->name.data,
                                 l->snapshot.zone_len) != 0))
    {
        ngx_log_error(NGX_LOG_ERR, l->log, 0,
                      "tbucket_store: \"%s\" is a file of zone \"%*s\"",
                      l->path, l->snapshot.zone_len, l->snapshot.zone);

        l->snapshot.journal = 0;
        rc = l->live ? NGX_ABORT : NGX_DECLINED;

    } else if (l->wrong && l->live) {
        rc = NGX_ABORT;
    }

    if (rc != NGX_OK) {
        ngx_http_tbucket_file_bad(l, "file",
                                  l->live ? "the clients in force remain"
                                          : "none of its clients is in force");
        free(text.data);
        return rc;
    }

    l->first = l->snapshot.journal;
    l->last = ngx_max(l->last, l->first);
    l->apply = 1;

    if (l->wrong) {
        ngx_http_tbucket_file_bad(l, "file", "its other clients are in force");
    }

    (void) ngx_http_tbucket_file_parse_clients(l, &text);

    if (l->twice) {
        ngx_log_error(NGX_LOG_WARN, l->log, 0,
                      "tbucket_store: %ui clients are more than once in "
                      "\"%s\", the last entry of each counts", l->twice,
                      l->path);
    }

    free(text.data);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_file_parse_clients(ngx_http_tbucket_file_loader_t *l,
    ngx_str_t *text)
{
    tb_snapshot_init(&l->snapshot, ngx_http_tbucket_file_entry, l);

    if (tb_snapshot_feed(&l->snapshot, (char *) text->data, text->len) != 0
        || tb_snapshot_finish(&l->snapshot) != 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_tbucket_file_entry(tb_snapshot_t *s, void *data)
{
    ngx_http_tbucket_file_loader_t  *l = data;

    char  quoted[TB_JSON_QUOTE_SIZE];

    if (s->wrong[0] != '\0') {

        if (l->apply || l->wrong++ >= NGX_HTTP_TBUCKET_FILE_WRONG_MAX) {
            return;
        }

        ngx_log_error(NGX_LOG_ERR, l->log, 0,
                      "tbucket_store: \"%s\", line %uz, client \"%s\": %s",
                      l->path, s->line,
                      tb_json_quote(quoted, s->client.id, s->client.id_len),
                      s->wrong);
        return;
    }

    if (l->apply
        && ngx_http_tbucket_file_set(l, s->client.id, s->client.id_len,
                                     s->client.capacity, s->client.rate)
           == NGX_HTTP_TBUCKET_UPDATED && !l->live)
    {
        l->twice++;
    }
}


/* Sets the file at l->path aside. */

static void
ngx_http_tbucket_file_bad(ngx_http_tbucket_file_loader_t *l,
    const char *what, const char *then)
{
    if (ngx_http_tbucket_file_set_aside(l->path, l->aside) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, l->log, ngx_errno,
                      "rename() \"%s\" to \"%s\" failed", l->path, l->aside);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, l->log, 0,
                  "tbucket_store: %s \"%s\" is set aside as \"%s\", %s",
                  what, l->path, l->aside, then);
}


static ngx_int_t
ngx_http_tbucket_file_read_journals(ngx_http_tbucket_file_loader_t *l)
{
    uint64_t     number, owner, *numbers;
    ngx_int_t    rc;
    ngx_str_t    text;
    ngx_uint_t   i;
    struct stat  st;

    numbers = l->journals.elts;

    for (i = 0; i < l->journals.nelts; i++) {

        if (numbers[i] < l->first) {
            continue;
        }

        ngx_http_tbucket_file_journal(l->fz, l->path, numbers[i]);

        rc = ngx_http_tbucket_file_read(l->path, &text, &st, &l->error);

        if (rc == NGX_DECLINED) {
            continue;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        if (tb_journal_read_header(text.data, text.len, &number, &owner)
            && number == numbers[i])
        {
            ngx_http_tbucket_file_read_journal(l, &text, owner);

        } else if (text.len < TB_JOURNAL_HEADER_SIZE
                   && i == l->journals.nelts - 1)
        {
            ngx_log_error(NGX_LOG_NOTICE, l->log, 0,
                          "tbucket_store: \"%s\" was only being created, it "
                          "is removed", l->path);
            (void) unlink(l->path);

        } else {
            ngx_log_error(NGX_LOG_ERR, l->log, 0,
                          "tbucket_store: \"%s\" is not a journal of it",
                          l->path);
            ngx_http_tbucket_file_bad(l, "file", "nothing of it is used");
        }

        free(text.data);
    }

    return NGX_OK;
}


static void
ngx_http_tbucket_file_read_journal(ngx_http_tbucket_file_loader_t *l,
    ngx_str_t *text, uint64_t owner)
{
    size_t               records;
    tb_change_t          change;
    tb_journal_t         journal;
    tb_journal_status_t  status;

    records = 0;
    tb_journal_init(&journal, text->data, text->len, owner);

    for ( ;; ) {
        status = tb_journal_next(&journal);

        if (status != TB_JOURNAL_OK) {
            break;
        }

        records++;

        while (tb_journal_change(&journal, &change)) {
            ngx_http_tbucket_file_change(l, &change, journal.at);
        }
    }

    if (status == TB_JOURNAL_END || l->patched) {
        return;
    }

    /* what was being appended when all stopped; nobody was told it is safe */

    ngx_log_error(NGX_LOG_WARN, l->log, 0,
                  "tbucket_store: \"%s\" ends in a torn record: %uz bytes "
                  "after its %uz whole ones are cut", l->path,
                  text->len - journal.offset, records);

    if (truncate(l->path, (off_t) journal.offset) == -1) {
        ngx_log_error(NGX_LOG_ERR, l->log, ngx_errno,
                      "truncate() \"%s\" failed", l->path);
    }
}


static void
ngx_http_tbucket_file_change(ngx_http_tbucket_file_loader_t *l,
    tb_change_t *change, uint64_t at)
{
    ngx_str_t                 id;
    tb_hash_t                 h;
    tb_limits_t               limits;
    ngx_http_tbucket_zone_t  *zone;

    zone = l->fz->zone;

    if (!l->patched) {

        if (change->kind & TB_JOURNAL_SET) {
            (void) ngx_http_tbucket_file_set(l, (char *) change->id,
                                             change->len, change->capacity,
                                             change->rate);
            return;
        }

        id.data = (u_char *) change->id;
        id.len = change->len;

        ngx_shmtx_lock(&zone->shpool->mutex);

        (void) ngx_http_tbucket_client_remove(zone, &id);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        return;
    }

    if (!(change->kind & TB_JOURNAL_TOKENS) || at < l->since) {
        return;
    }

    h = tb_hash(change->id, change->len, zone->shared->secret);
    limits = tb_limits(change->capacity, change->rate, TB_LIMITS_REGISTERED);
    l->ntokens++;

    (void) tb_table_set_tokens(zone->shared->table, &h, ngx_current_msec,
                               zone->limits,
                               tb_tokens_credit(change->tokens, at, l->now,
                                                limits));
}


static ngx_int_t
ngx_http_tbucket_file_set(ngx_http_tbucket_file_loader_t *l, const char *id,
    size_t len, uint32_t capacity, uint64_t rate)
{
    size_t                       room;
    uint64_t                    *seen;
    ngx_str_t                    name;
    ngx_http_tbucket_zone_t     *zone;
    ngx_http_tbucket_outcome_e   outcome;

    zone = l->fz->zone;

    name.data = (u_char *) id;
    name.len = len;

    ngx_shmtx_lock(&zone->shpool->mutex);

    outcome = ngx_http_tbucket_client_set(zone, &name, capacity, rate,
                                          NGX_HTTP_TBUCKET_TOKENS_KEEP);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (outcome == NGX_HTTP_TBUCKET_NO_ROOM) {
        l->lost++;
    }

    if (!l->live) {
        return outcome;
    }

    if (l->nseen == l->room) {
        room = l->room ? l->room * 2 : 1024;
        seen = realloc(l->seen, room * sizeof(uint64_t));

        if (seen == NULL) {

            /* then nobody is removed */

            l->live = 0;
            return outcome;
        }

        l->seen = seen;
        l->room = room;
    }

    l->seen[l->nseen++] = tb_hash(id, len, zone->shared->secret).lo;

    return outcome;
}


/* Clients that memory holds and the files do not. */

static void
ngx_http_tbucket_file_remove_others(ngx_http_tbucket_file_loader_t *l)
{
    bool                      found;
    size_t                    i;
    uint32_t                  budget;
    uint64_t                  after;
    ngx_str_t                 id;
    tb_registry_entry_t       entry;
    ngx_http_tbucket_zone_t  *zone;

    zone = l->fz->zone;
    after = 0;
    i = 0;

    ngx_qsort(l->seen, l->nseen, sizeof(uint64_t),
              ngx_http_tbucket_file_compare);

    do {
        budget = 1024;

        ngx_shmtx_lock(&zone->shpool->mutex);

        found = tb_registry_next(zone->shared->registry, after, &budget,
                                 &entry);

        if (found) {
            while (i < l->nseen && l->seen[i] < entry.hash.lo) {
                i++;
            }

            if (i == l->nseen || l->seen[i] != entry.hash.lo) {
                id.data = (u_char *) entry.id;
                id.len = entry.len;

                (void) ngx_http_tbucket_client_remove(zone, &id);
            }
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);

        after = entry.hash.lo;

    } while (found || budget == 0);
}


/* NGX_OK: *tokens can be read, from *text; NGX_DECLINED: there are none. */

static ngx_int_t
ngx_http_tbucket_file_read_tokens(ngx_http_tbucket_file_loader_t *l,
    ngx_str_t *text, tb_tokens_t *tokens)
{
    ngx_int_t    rc;
    struct stat  st;

    ngx_http_tbucket_file_path(l->fz, l->path, ".tokens");

    rc = ngx_http_tbucket_file_read(l->path, text, &st, &l->error);

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
