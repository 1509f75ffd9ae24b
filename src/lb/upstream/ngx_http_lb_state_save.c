
/*
 * Writing the state file: beside the old one, synced, and put in its place.
 * All of that is done by a thread, if nginx has any; it looks at servers a
 * few at a time.  This process leads the changes, so they stay the same.
 */


#include "src/lb/upstream/ngx_http_lb_state_save.h"

#include "src/core/balance/lb_entry.h"
#include "src/lb/upstream/ngx_http_lb_check_conf.h"
#include "src/lb/upstream/ngx_http_lb_state_lock.h"
#include "src/lb/upstream/ngx_http_lb_state_read.h"

#include <sys/syscall.h>


#define NGX_HTTP_LB_SAVE_BUFFER  65536

/* room for any one server: each byte of a string is "\u00XX" at most */
#define NGX_HTTP_LB_SAVE_ENTRY   8192


typedef struct {
    ngx_http_lb_save_t  *save;
    ngx_fd_t             fd;
    ngx_uint_t           n;             /* of the array */
    size_t               len;
    off_t                size;          /* of the file, without buf */
    lb_entry_array_t     array;
    gw_json_arena_t      arena;
    union {
        long double      align;
        u_char           data[GW_JSON_WRITE_ARENA];
    } memory;
    u_char               buf[NGX_HTTP_LB_SAVE_BUFFER];
    lb_entry_t           entries[NGX_HTTP_LB_SLICE];
} ngx_http_lb_writer_t;


static void ngx_http_lb_save_do(ngx_http_lb_save_t *save);
static uint64_t ngx_http_lb_save_look(ngx_http_lb_save_t *save);
static void ngx_http_lb_save_read(ngx_http_lb_save_t *save);
static void ngx_http_lb_save_write(ngx_http_lb_save_t *save);
static ngx_int_t ngx_http_lb_save_file(ngx_http_lb_writer_t *w);
static ngx_int_t ngx_http_lb_save_replace(ngx_http_lb_save_t *save,
    ngx_fd_t folder);
static int ngx_http_lb_save_exchange(ngx_http_lb_state_t *state);
static ngx_int_t ngx_http_lb_save_list(ngx_http_lb_writer_t *w);
static ngx_int_t ngx_http_lb_save_array(ngx_http_lb_writer_t *w,
    lb_entry_array_t array);
static ngx_uint_t ngx_http_lb_save_slice(ngx_http_lb_writer_t *w,
    uint32_t from);
static ngx_uint_t ngx_http_lb_save_slot(ngx_http_lb_writer_t *w,
    uint32_t index, lb_entry_t *entry);
static ngx_int_t ngx_http_lb_save_added(ngx_http_lb_writer_t *w);
static ngx_int_t ngx_http_lb_save_names(ngx_http_lb_writer_t *w);
static ngx_int_t ngx_http_lb_save_entry(ngx_http_lb_writer_t *w,
    lb_entry_t *entry);
static void ngx_http_lb_save_print(void *ctx, const char *data, size_t len);
static ngx_int_t ngx_http_lb_save_flush(ngx_http_lb_writer_t *w);
static ngx_int_t ngx_http_lb_save_failed(ngx_http_lb_save_t *save,
    const char *call);


void
ngx_http_lb_state_save(ngx_http_lb_save_t *save)
{
    ngx_fd_t  lock;

    save->edit->outcome = NGX_HTTP_LB_NOT_SAVED;
    save->err = 0;
    save->failed = "malloc()";

    switch (ngx_http_lb_state_enter(save->conf->state, &lock)) {

    case NGX_HTTP_LB_OWNER_ERROR:
        (void) ngx_http_lb_save_failed(save, "locking");
        break;

    case NGX_HTTP_LB_OWNER_OTHER:
        save->edit->outcome = NGX_HTTP_LB_NOT_OURS;
        break;

    case NGX_HTTP_LB_OWNER_GONE:

        if (ngx_http_lb_save_look(save)
            != gw_load_acquire(&save->conf->roster->file))
        {
            save->recover = 1;
        }

        if (ngx_http_lb_state_claim(save->conf->state, lock) != NGX_OK) {
            (void) ngx_http_lb_save_failed(save, "locking");
            break;
        }

        /* fall through */

    default: /* NGX_HTTP_LB_OWNER_US */
        ngx_http_lb_save_do(save);
    }

    if (lock != NGX_INVALID_FILE) {
        (void) ngx_close_file(lock);
    }
}


static void
ngx_http_lb_save_do(ngx_http_lb_save_t *save)
{
    if (gw_load_acquire(&save->conf->roster->superseded)) {
        save->edit->outcome = NGX_HTTP_LB_SUPERSEDED;
        return;
    }

    if (save->recover) {
        ngx_http_lb_save_read(save);

    } else if (save->edit->kind == NGX_HTTP_LB_RECOVER) {
        save->edit->outcome = NGX_HTTP_LB_DONE;

    } else {
        ngx_http_lb_save_write(save);
    }
}


/* which file there is, 0: none */

static uint64_t
ngx_http_lb_save_look(ngx_http_lb_save_t *save)
{
    struct stat  st;

    if (lstat((char *) save->conf->state->path.data, &st) == -1) {
        return 0;
    }

    return ngx_http_lb_state_stamp(&st);
}


/* save->pool stays, with the list in it, or is NULL */

static void
ngx_http_lb_save_read(ngx_http_lb_save_t *save)
{
    ngx_fd_t              fd;
    ngx_int_t             rc;
    ngx_http_lb_state_t  *state;

    state = save->conf->state;

    fd = open((char *) state->path.data,
              O_RDONLY|O_NONBLOCK|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1) {

        if (ngx_errno == NGX_ENOENT) {

            /* then nothing can have been written to it */

            save->stamp = 0;
            save->edit->outcome = NGX_HTTP_LB_DONE;
            return;
        }

        (void) ngx_http_lb_save_failed(save, ngx_open_file_n);
        return;
    }

    rc = NGX_ERROR;
    save->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);

    if (save->pool) {
        rc = ngx_http_lb_state_read(&save->list, save->pool, fd,
                            ngx_http_lb_check_is_mandatory(save->conf));
    }

    if (rc == NGX_OK) {
        save->edit->outcome = NGX_HTTP_LB_DONE;

    } else {
        (void) ngx_http_lb_save_failed(save, "reading it");

        if (rc == NGX_DECLINED) {
            save->err = 0;
        }

        if (save->pool) {
            ngx_destroy_pool(save->pool);
            save->pool = NULL;
        }
    }

    (void) ngx_close_file(fd);
}


static void
ngx_http_lb_save_write(ngx_http_lb_save_t *save)
{
    ngx_fd_t               folder;
    ngx_int_t              rc;
    ngx_http_lb_state_t   *state;
    ngx_http_lb_writer_t  *w;

    state = save->conf->state;

    w = malloc(sizeof(ngx_http_lb_writer_t));

    if (w == NULL) {
        return;
    }

    w->save = save;
    w->len = 0;
    w->size = 0;

    /* what may fail has to before the file is in its place */

    folder = open((char *) state->folder.data,
                  O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (folder == -1) {
        (void) ngx_http_lb_save_failed(save, ngx_open_file_n);
        free(w);
        return;
    }

    rc = ngx_http_lb_save_file(w);

    if (rc == NGX_OK) {
        rc = ngx_http_lb_save_replace(save, folder);
    }

    if (rc == NGX_OK) {
        save->edit->outcome = NGX_HTTP_LB_DONE;
    }

    (void) ngx_close_file(folder);

    free(w);
}


static ngx_int_t
ngx_http_lb_save_file(ngx_http_lb_writer_t *w)
{
    ngx_int_t             rc;
    struct stat           st;
    ngx_http_lb_save_t   *save;
    ngx_http_lb_state_t  *state;

    save = w->save;
    state = save->conf->state;

    (void) unlink((char *) state->temp.data);

    w->fd = open((char *) state->temp.data,
                 O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC,
                 NGX_FILE_DEFAULT_ACCESS);

    if (w->fd == NGX_INVALID_FILE) {
        return ngx_http_lb_save_failed(save, ngx_open_file_n);
    }

    rc = ngx_http_lb_save_list(w);

    if (rc == NGX_OK && fsync(w->fd) == -1) {
        rc = ngx_http_lb_save_failed(save, "fsync()");
    }

    if (rc == NGX_OK && fstat(w->fd, &st) == -1) {
        rc = ngx_http_lb_save_failed(save, "fstat()");
    }

    if (ngx_close_file(w->fd) == NGX_FILE_ERROR && rc == NGX_OK) {
        rc = ngx_http_lb_save_failed(save, ngx_close_file_n);
    }

    if (rc != NGX_OK) {
        (void) unlink((char *) state->temp.data);
        return rc;
    }

    save->stamp = ngx_http_lb_state_stamp(&st);

    return NGX_OK;
}


/*
 * The old file is there until it is known that the new one will be found
 * after a crash, and comes back if not.
 */

static ngx_int_t
ngx_http_lb_save_replace(ngx_http_lb_save_t *save, ngx_fd_t folder)
{
    ngx_uint_t            exchanged, first;
    ngx_http_lb_state_t  *state;

    state = save->conf->state;

    exchanged = (ngx_http_lb_save_exchange(state) == 0);
    first = (!exchanged && ngx_errno == NGX_ENOENT);

    if (!exchanged
        && ngx_rename_file(state->temp.data, state->path.data)
           == NGX_FILE_ERROR)
    {
        (void) ngx_http_lb_save_failed(save, ngx_rename_file_n);
        (void) unlink((char *) state->temp.data);
        return NGX_ERROR;
    }

    if (fsync(folder) == 0) {

        if (exchanged) {
            (void) unlink((char *) state->temp.data);
        }

        return NGX_OK;
    }

    (void) ngx_http_lb_save_failed(save, "fsync()");

    if (first ? unlink((char *) state->path.data) == -1
              : !exchanged || ngx_http_lb_save_exchange(state) == -1)
    {
        save->edit->outcome = NGX_HTTP_LB_UNKNOWN;
    }

    (void) unlink((char *) state->temp.data);

    return NGX_ERROR;
}


static int
ngx_http_lb_save_exchange(ngx_http_lb_state_t *state)
{
#if defined(SYS_renameat2) && defined(RENAME_EXCHANGE)

    return (int) syscall(SYS_renameat2, AT_FDCWD, state->temp.data, AT_FDCWD,
                         state->path.data, RENAME_EXCHANGE);

#else

    struct stat  st;

    if (lstat((char *) state->path.data, &st) == 0) {
        ngx_set_errno(ENOSYS);
    }

    return -1;

#endif
}


/* one server a line, for people */

static ngx_int_t
ngx_http_lb_save_list(ngx_http_lb_writer_t *w)
{
    if (ngx_http_lb_save_array(w, LB_ENTRY_SERVERS) != NGX_OK
        || ngx_http_lb_save_array(w, LB_ENTRY_LINES) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (w->save->conf->state->list.nnames
        && ngx_http_lb_save_array(w, LB_ENTRY_NAMES) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_lb_save_print(w, "}\n", 2);

    return ngx_http_lb_save_flush(w);
}


static ngx_int_t
ngx_http_lb_save_array(ngx_http_lb_writer_t *w, lb_entry_array_t array)
{
    uint32_t      i, used;
    ngx_int_t     rc;
    const char   *name;
    ngx_uint_t    k, n;

    w->array = array;
    w->n = 0;

    name = lb_entry_arrays[array];

    ngx_http_lb_save_print(w, array ? ",\n\"" : "{\"", array ? 3 : 2);
    ngx_http_lb_save_print(w, name, ngx_strlen(name));
    ngx_http_lb_save_print(w, "\":[", 3);

    rc = NGX_OK;
    used = lb_roster_used(w->save->conf->roster);

    if (array == LB_ENTRY_NAMES) {
        rc = ngx_http_lb_save_names(w);
        used = 0;
    }

    for (i = 0; i < used && rc == NGX_OK; i += NGX_HTTP_LB_SLICE) {
        n = ngx_http_lb_save_slice(w, i);

        for (k = 0; k < n && rc == NGX_OK; k++) {
            rc = ngx_http_lb_save_entry(w, &w->entries[k]);
        }
    }

    if (rc == NGX_OK && array == LB_ENTRY_SERVERS
        && w->save->edit->kind == NGX_HTTP_LB_ADD)
    {
        rc = ngx_http_lb_save_added(w);
    }

    ngx_http_lb_save_print(w, "\n]", 2);

    return rc;
}


/* copies what is to be written of some slots; returns how many entries */

static ngx_uint_t
ngx_http_lb_save_slice(ngx_http_lb_writer_t *w, uint32_t from)
{
    uint32_t                 i, used;
    ngx_uint_t               n;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = w->save->conf;
    n = 0;

    ngx_shmtx_lock(&lcf->shpool->mutex);

    used = ngx_min(lb_roster_used(lcf->roster), from + NGX_HTTP_LB_SLICE);

    for (i = from; i < used; i++) {
        n += ngx_http_lb_save_slot(w, i, &w->entries[n]);
    }

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    return n;
}


static ngx_uint_t
ngx_http_lb_save_slot(ngx_http_lb_writer_t *w, uint32_t index,
    lb_entry_t *entry)
{
    uint32_t             status;
    lb_roster_t         *roster;
    ngx_http_lb_edit_t  *edit;

    roster = w->save->conf->roster;
    edit = w->save->edit;

    if (w->array == LB_ENTRY_LINES) {
        return lb_edit_line(roster, index, entry);
    }

    status = lb_roster_status(roster, index);

    if (!(status & LB_USED) || (status & (LB_REMOVED | LB_REPLACED))
        || (index == edit->index && (edit->kind == NGX_HTTP_LB_REMOVE
                                     || edit->kind == NGX_HTTP_LB_DRAINED)))
    {
        return 0;
    }

    lb_edit_entry(roster, index, entry);

    if (index == edit->index) {
        lb_edit_merge(entry, &edit->entry);
    }

    return 1;
}


static ngx_int_t
ngx_http_lb_save_added(ngx_http_lb_writer_t *w)
{
    uint32_t             old;
    lb_entry_t           entry, line;
    lb_roster_t         *roster;
    ngx_http_lb_edit_t  *edit;

    edit = w->save->edit;
    roster = w->save->conf->roster;

    entry = edit->entry;

    entry.members = LB_ENTRY_ADDRESS | LB_ENTRY_ID | LB_ENTRY_SETTINGS;
    entry.id = gw_load_acquire(&roster->id_next) + 1;
    entry.weight = edit->line.weight;
    entry.max_conns = edit->line.max_conns;
    entry.max_fails = edit->line.max_fails;
    entry.fail_timeout = edit->line.fail_timeout;
    entry.address_length = edit->line.name_length;
    ngx_memcpy(entry.address, edit->line.name, edit->line.name_length);

    /* it may stand for the line of a deleted one, and has its name then */

    ngx_shmtx_lock(&w->save->conf->shpool->mutex);

    old = lb_edit_takes_over(roster, &edit->line);

    if (old != LB_NONE && lb_edit_line(roster, old, &line)
        && (line.members & LB_ENTRY_NAME))
    {
        entry.members |= LB_ENTRY_NAME;
        entry.name_length = line.name_length;
        ngx_memcpy(entry.name, line.name, line.name_length);
    }

    ngx_shmtx_unlock(&w->save->conf->shpool->mutex);

    return ngx_http_lb_save_entry(w, &entry);
}


static ngx_int_t
ngx_http_lb_save_names(ngx_http_lb_writer_t *w)
{
    ngx_uint_t           i;
    ngx_http_lb_file_t  *list;

    list = &w->save->conf->state->list;

    for (i = 0; i < list->nnames; i++) {

        if (ngx_http_lb_save_entry(w, &list->names[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_save_entry(ngx_http_lb_writer_t *w, lb_entry_t *entry)
{
    yajl_gen  gen;

    if (w->len > sizeof(w->buf) - NGX_HTTP_LB_SAVE_ENTRY
        && ngx_http_lb_save_flush(w) != NGX_OK)
    {
        return NGX_ERROR;
    }

    gen = gw_json_writer(&w->arena, w->memory.data, ngx_http_lb_save_print,
                         w);
    if (gen == NULL) {
        return ngx_http_lb_save_failed(w->save, "yajl_gen_alloc()");
    }

    if (w->n++) {
        ngx_http_lb_save_print(w, ",", 1);
    }

    ngx_http_lb_save_print(w, "\n  ", 3);

    (void) yajl_gen_map_open(gen);
    gw_member_write(gen, lb_entry_members, entry);
    (void) yajl_gen_map_close(gen);

    return NGX_OK;
}


static void
ngx_http_lb_save_print(void *ctx, const char *data, size_t len)
{
    ngx_http_lb_writer_t  *w = ctx;

    len = ngx_min(len, sizeof(w->buf) - w->len);

    ngx_memcpy(w->buf + w->len, data, len);
    w->len += len;
}


static ngx_int_t
ngx_http_lb_save_flush(ngx_http_lb_writer_t *w)
{
    u_char   *p;
    ssize_t   n;

    /* it could not be read again */

    w->size += w->len;

    if (w->size > NGX_HTTP_LB_STATE_MAX) {
        ngx_set_errno(EFBIG);
        return ngx_http_lb_save_failed(w->save, ngx_write_fd_n);
    }

    for (p = w->buf; p < w->buf + w->len; p += n) {
        n = ngx_write_fd(w->fd, p, w->buf + w->len - p);

        if (n == -1) {

            if (ngx_errno == NGX_EINTR) {
                n = 0;
                continue;
            }

            return ngx_http_lb_save_failed(w->save, ngx_write_fd_n);
        }
    }

    w->len = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_save_failed(ngx_http_lb_save_t *save, const char *call)
{
    save->err = ngx_errno;
    save->failed = call;

    return NGX_ERROR;
}
