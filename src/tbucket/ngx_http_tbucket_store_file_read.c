
/*
 * The file of clients, and journals on top of it, into memory.
 */


#include "src/tbucket/ngx_http_tbucket_store_file_load.h"
#include "src/common/ngx_gw_child.h"
#include "src/core/tb_journal.h"
#include "src/core/tb_tokens.h"

#include <dirent.h>


/* wrong entries that get a line each in the log */
#define NGX_HTTP_TBUCKET_FILE_WRONG_MAX  10

/* of a journal: what counting up from 1 never comes to */
#define NGX_HTTP_TBUCKET_FILE_NUMBER_MAX  1000000000000000

/* journals that could not be removed, and are not used any more */
#define NGX_HTTP_TBUCKET_FILE_GAP_MAX     1000000


static ngx_int_t ngx_http_tbucket_file_check_clients(
    ngx_http_tbucket_file_loader_t *l, ngx_str_t *text);
static ngx_int_t ngx_http_tbucket_file_parse_clients(
    ngx_http_tbucket_file_loader_t *l, ngx_str_t *text);
static void ngx_http_tbucket_file_entry(tb_snapshot_t *s, void *data);
static int ngx_libc_cdecl ngx_http_tbucket_file_compare(const void *one,
    const void *two);
static ngx_int_t ngx_http_tbucket_file_check_journals(
    ngx_http_tbucket_file_loader_t *l);
static void ngx_http_tbucket_file_read_journal(
    ngx_http_tbucket_file_loader_t *l, ngx_str_t *text, uint64_t number);
static void ngx_http_tbucket_file_change(ngx_http_tbucket_file_loader_t *l,
    tb_change_t *change, uint64_t at);
static ngx_int_t ngx_http_tbucket_file_set(
    ngx_http_tbucket_file_loader_t *l, const char *id, size_t len,
    uint32_t capacity, uint64_t rate);


ngx_int_t
ngx_http_tbucket_file_read_clients(ngx_http_tbucket_file_loader_t *l)
{
    ngx_int_t    rc;
    ngx_str_t    text;
    struct stat  st;

    ngx_http_tbucket_file_path(l->fz, l->path, ".json");

    rc = ngx_http_tbucket_file_read(l->fz, l->path, &text, &st, &l->error);

    if (rc != NGX_OK) {
        ngx_memzero(&l->fz->zone->shared->kept.clients,
                    sizeof(ngx_http_tbucket_print_t));
        return rc;
    }

    ngx_http_tbucket_file_print(&l->fz->zone->shared->kept.clients, &st);

    rc = ngx_http_tbucket_file_check_clients(l, &text);

    if (rc != NGX_OK) {
        free(text.data);
        return rc;
    }

    /* one that names a later journal than there is came from elsewhere */

    l->first = l->snapshot.journal <= l->last ? l->snapshot.journal : 0;
    l->apply = 1;

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


/*
 * Clients that were acknowledged are in it, so a file that cannot be read, or
 * not as a whole, is never passed over: if memory has them it is set aside,
 * else it stays where it is and nothing begins.
 */

static ngx_int_t
ngx_http_tbucket_file_check_clients(ngx_http_tbucket_file_loader_t *l,
    ngx_str_t *text)
{
    ngx_uint_t  level;

    level = l->live ? NGX_LOG_ERR : ngx_gw_child_level();

    if (ngx_http_tbucket_file_parse_clients(l, text) != NGX_OK) {
        ngx_log_error(level, l->log, 0,
                      "tbucket_store: \"%s\" is not a file of clients: "
                      "line %uz: %s", l->path, l->snapshot.line,
                      l->snapshot.json.error);

    } else if (l->snapshot.zone_len != 0
               && (l->snapshot.zone_len != l->fz->zone->name.len
                   || ngx_memcmp(l->snapshot.zone, l->fz->zone->name.data,
                                 l->snapshot.zone_len) != 0))
    {
        ngx_log_error(level, l->log, 0,
                      "tbucket_store: \"%s\" is a file of zone \"%*s\"",
                      l->path, l->snapshot.zone_len, l->snapshot.zone);

    } else if (l->wrong == 0) {
        return NGX_OK;
    }

    if (l->live) {
        ngx_http_tbucket_file_bad(l, "file", "the clients in force remain");
        return NGX_ABORT;
    }

    ngx_log_error(ngx_gw_child_level(), l->log, 0,
                  "tbucket_store: \"%s\" must be mended, or moved away; it is "
                  "left as it is, and nothing is written", l->path);

    return NGX_ERROR;
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

    char  quoted[GW_JSON_QUOTE_SIZE];

    if (s->wrong[0] != '\0') {

        if (l->apply || l->wrong++ >= NGX_HTTP_TBUCKET_FILE_WRONG_MAX) {
            return;
        }

        ngx_log_error(NGX_LOG_ERR, l->log, 0,
                      "tbucket_store: \"%s\", line %uz, client \"%s\": %s",
                      l->path, s->line,
                      gw_json_quote(quoted, s->client.id, s->client.id_len),
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


ngx_int_t
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

        if (p[strspn(p, "0123456789")] != '\0') {
            continue;
        }

        n = ngx_atoi((u_char *) p, ngx_strlen(p));

        if (n <= 0 || n > NGX_HTTP_TBUCKET_FILE_NUMBER_MAX) {
            ngx_http_tbucket_file_path(l->fz, l->path, entry->d_name + len);
            ngx_http_tbucket_file_fail(&l->error, 0, "a number that no "
                                       "journal of ours has: reading",
                                       l->path);
            (void) closedir(dir);
            return NGX_ERROR;
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


ngx_int_t
ngx_http_tbucket_file_read_journals(ngx_http_tbucket_file_loader_t *l)
{
    uint64_t     number, owner, *numbers;
    ngx_int_t    rc;
    ngx_str_t    text;
    ngx_uint_t   i;
    struct stat  st;

    if (ngx_http_tbucket_file_check_journals(l) != NGX_OK) {
        return NGX_ERROR;
    }

    numbers = l->journals.elts;

    for (i = 0; i < l->journals.nelts; i++) {

        if (numbers[i] < l->first) {
            continue;
        }

        ngx_http_tbucket_file_journal(l->fz, l->path, numbers[i]);

        rc = ngx_http_tbucket_file_read(l->fz, l->path, &text, &st,
                                        &l->error);

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
            ngx_http_tbucket_file_fail(&l->error, 0, "what is no journal of "
                                       "ours, and must be moved away: reading",
                                       l->path);
            free(text.data);
            return NGX_ERROR;
        }

        free(text.data);
    }

    return NGX_OK;
}


/* A journal follows on the one before, or one is missing, or a stray. */

static ngx_int_t
ngx_http_tbucket_file_check_journals(ngx_http_tbucket_file_loader_t *l)
{
    uint64_t    *numbers;
    ngx_uint_t   i;

    numbers = l->journals.elts;

    for (i = 1; i < l->journals.nelts; i++) {

        if ((numbers[i - 1] >= l->first && numbers[i] != numbers[i - 1] + 1)
            || numbers[i] - numbers[i - 1] > NGX_HTTP_TBUCKET_FILE_GAP_MAX)
        {
            ngx_http_tbucket_file_journal(l->fz, l->path, numbers[i]);
            ngx_http_tbucket_file_fail(&l->error, 0, "a journal without the "
                                       "one before: reading", l->path);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_tbucket_file_read_journal(ngx_http_tbucket_file_loader_t *l,
    ngx_str_t *text, uint64_t owner)
{
    size_t               records;
    ngx_fd_t             fd;
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

        ngx_gw_child_alive();

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

    fd = ngx_http_tbucket_file_open(l->path, 0, &l->error);

    if (fd != NGX_INVALID_FILE) {

        if (ftruncate(fd, (off_t) journal.offset) == -1) {
            ngx_http_tbucket_file_fail(&l->error, ngx_errno, "ftruncate()",
                                       l->path);
        }

        (void) close(fd);
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

    ngx_gw_child_alive();

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


void
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


void
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
