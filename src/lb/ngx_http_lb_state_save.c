
/*
 * Writing the state file: beside the old one, synced, and renamed over it.
 * All of that is done by a thread, if nginx has any; it looks at servers a
 * few at a time.  The lease on changes is held, so they stay the same.
 */


#include "src/lb/ngx_http_lb_edit.h"


#define NGX_HTTP_LB_SAVE_BUFFER  65536

/* room for any one server: each byte of a string is "\u00XX" at most */
#define NGX_HTTP_LB_SAVE_ENTRY   8192


typedef struct {
    ngx_http_lb_save_t  *save;
    ngx_fd_t             fd;
    ngx_uint_t           n;             /* servers written */
    size_t               len;
    gw_json_arena_t      arena;
    union {
        long double      align;
        u_char           data[GW_JSON_WRITE_ARENA];
    } memory;
    u_char               buf[NGX_HTTP_LB_SAVE_BUFFER];
    lb_entry_t           entries[NGX_HTTP_LB_SLICE];
} ngx_http_lb_writer_t;


static void ngx_http_lb_save_run(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_lb_save_file(ngx_http_lb_writer_t *w);
static ngx_int_t ngx_http_lb_save_list(ngx_http_lb_writer_t *w);
static ngx_uint_t ngx_http_lb_save_slice(ngx_http_lb_writer_t *w,
    uint32_t from);
static ngx_int_t ngx_http_lb_save_entry(ngx_http_lb_writer_t *w,
    lb_entry_t *entry);
static void ngx_http_lb_save_print(void *ctx, const char *data, size_t len);
static ngx_int_t ngx_http_lb_save_flush(ngx_http_lb_writer_t *w);
static ngx_int_t ngx_http_lb_save_folder(ngx_http_lb_save_t *save);
static ngx_int_t ngx_http_lb_save_failed(ngx_http_lb_save_t *save,
    const char *call);
#if (NGX_THREADS)
static ngx_int_t ngx_http_lb_save_post(ngx_http_lb_save_t *save);
static void ngx_http_lb_save_posted(ngx_event_t *ev);
#endif


void
ngx_http_lb_state_save(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_http_lb_save_t  *save;

    save = &lcf->state->save;

    save->rc = NGX_ERROR;
    save->err = 0;
    save->failed = "malloc()";

#if (NGX_THREADS)

    if (ngx_http_lb_save_post(save) == NGX_OK) {
        return;
    }

#endif

    ngx_http_lb_save_run(save, ngx_cycle->log);

    save->done(lcf);
}


#if (NGX_THREADS)

static ngx_int_t
ngx_http_lb_save_post(ngx_http_lb_save_t *save)
{
    ngx_thread_pool_t  *pool;

    static ngx_str_t  name = ngx_string("default");

    pool = ngx_thread_pool_get((ngx_cycle_t *) ngx_cycle, &name);

    if (pool == NULL) {
        return NGX_DECLINED;
    }

    save->task.ctx = save;
    save->task.handler = ngx_http_lb_save_run;
    save->task.event.data = save;
    save->task.event.handler = ngx_http_lb_save_posted;
    save->task.event.log = ngx_cycle->log;

    return ngx_thread_task_post(pool, &save->task);
}


static void
ngx_http_lb_save_posted(ngx_event_t *ev)
{
    ngx_http_lb_save_t  *save = ev->data;

    save->done(save->conf);
}

#endif


/* in a thread: memory comes from malloc(), nothing is logged */

static void
ngx_http_lb_save_run(void *data, ngx_log_t *log)
{
    ngx_http_lb_save_t    *save = data;

    ngx_http_lb_writer_t  *w;

    (void) log;

    w = malloc(sizeof(ngx_http_lb_writer_t));

    if (w == NULL) {
        return;
    }

    w->save = save;
    w->n = 0;
    w->len = 0;

    save->rc = ngx_http_lb_save_file(w);

    free(w);
}


static ngx_int_t
ngx_http_lb_save_file(ngx_http_lb_writer_t *w)
{
    ngx_int_t             rc;
    ngx_http_lb_save_t   *save;
    ngx_http_lb_state_t  *state;

    save = w->save;
    state = save->conf->state;

    w->fd = ngx_open_file(state->temp.data, NGX_FILE_WRONLY,
                          NGX_FILE_TRUNCATE, NGX_FILE_DEFAULT_ACCESS);

    if (w->fd == NGX_INVALID_FILE) {
        return ngx_http_lb_save_failed(save, ngx_open_file_n);
    }

    rc = ngx_http_lb_save_list(w);

    if (rc == NGX_OK && fsync(w->fd) == -1) {
        rc = ngx_http_lb_save_failed(save, "fsync()");
    }

    if (ngx_close_file(w->fd) == NGX_FILE_ERROR && rc == NGX_OK) {
        rc = ngx_http_lb_save_failed(save, ngx_close_file_n);
    }

    if (rc == NGX_OK
        && ngx_rename_file(state->temp.data, state->path.data)
           == NGX_FILE_ERROR)
    {
        rc = ngx_http_lb_save_failed(save, ngx_rename_file_n);
    }

    if (rc != NGX_OK) {
        (void) ngx_delete_file(state->temp.data);
        return rc;
    }

    return ngx_http_lb_save_folder(save);
}


/* one server a line, for people */

static ngx_int_t
ngx_http_lb_save_list(ngx_http_lb_writer_t *w)
{
    uint32_t             i, used;
    lb_entry_t           entry;
    ngx_uint_t           k, n;
    lb_roster_t         *roster;
    ngx_http_lb_edit_t  *edit;

    edit = w->save->edit;
    roster = w->save->conf->roster;
    used = atomic_load(&roster->used);

    ngx_http_lb_save_print(w, "{\"servers\":[", 12);

    for (i = 0; i < used; i += NGX_HTTP_LB_SLICE) {
        n = ngx_http_lb_save_slice(w, i);

        for (k = 0; k < n; k++) {

            if (ngx_http_lb_save_entry(w, &w->entries[k]) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    if (edit->kind == NGX_HTTP_LB_ADD) {
        entry = edit->entry;

        entry.members = LB_ENTRY_ADDRESS | LB_ENTRY_ID | LB_ENTRY_SETTINGS;
        entry.id = atomic_load(&roster->id_next) + 1;
        entry.weight = edit->line.weight;
        entry.max_conns = edit->line.max_conns;
        entry.max_fails = edit->line.max_fails;
        entry.fail_timeout = edit->line.fail_timeout;
        entry.address_length = edit->line.name_length;
        ngx_memcpy(entry.address, edit->line.name, edit->line.name_length);

        if (ngx_http_lb_save_entry(w, &entry) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_http_lb_save_print(w, "\n]}\n", 4);

    return ngx_http_lb_save_flush(w);
}


/* copies what is to be written of some slots; returns how many servers */

static ngx_uint_t
ngx_http_lb_save_slice(ngx_http_lb_writer_t *w, uint32_t from)
{
    uint32_t                 i, status, used;
    ngx_uint_t               n;
    lb_roster_t             *roster;
    ngx_http_lb_edit_t      *edit;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = w->save->conf;
    edit = w->save->edit;
    roster = lcf->roster;
    n = 0;

    ngx_shmtx_lock(&lcf->shpool->mutex);

    used = ngx_min(atomic_load(&roster->used), from + NGX_HTTP_LB_SLICE);

    for (i = from; i < used; i++) {
        status = lb_roster_status(roster, i);

        if (!(status & LB_USED) || (status & LB_REMOVED)
            || (i == w->save->index && edit->kind == NGX_HTTP_LB_REMOVE))
        {
            continue;
        }

        lb_edit_entry(roster, i, &w->entries[n]);

        if (i == w->save->index) {
            lb_edit_merge(&w->entries[n], &edit->entry);
        }

        n++;
    }

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    return n;
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

    lb_entry_write(gen, entry);

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
ngx_http_lb_save_folder(ngx_http_lb_save_t *save)
{
    ngx_fd_t   fd;
    ngx_int_t  rc;

    fd = ngx_open_file(save->conf->state->folder.data, NGX_FILE_RDONLY,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        return ngx_http_lb_save_failed(save, ngx_open_file_n);
    }

    rc = NGX_OK;

    if (fsync(fd) == -1) {
        rc = ngx_http_lb_save_failed(save, "fsync()");
    }

    (void) ngx_close_file(fd);

    return rc;
}


static ngx_int_t
ngx_http_lb_save_failed(ngx_http_lb_save_t *save, const char *call)
{
    save->err = ngx_errno;
    save->failed = call;

    return NGX_ERROR;
}
