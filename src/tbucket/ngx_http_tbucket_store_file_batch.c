
/*
 * Writes of a worker: those that come while a thread is at some gather for
 * the next batch.  A disk that does not answer keeps nobody waiting: who has
 * waited for the store's timeout is told so, and whoever comes then is told
 * at once.
 */


#include "src/tbucket/ngx_http_tbucket_store_file.h"


/* looks at those who wait, per timeout */
#define NGX_HTTP_TBUCKET_FILE_LOOKS  8

/* changes of a large write for which a ms more is waited */
#define NGX_HTTP_TBUCKET_FILE_PACE   20


static void ngx_http_tbucket_file_next_batch(
    ngx_http_tbucket_file_zone_t *fz);
static void ngx_http_tbucket_file_committed(void *data);
static void ngx_http_tbucket_file_look(ngx_event_t *ev);
static ngx_uint_t ngx_http_tbucket_file_is_late(
    ngx_http_tbucket_file_zone_t *fz, ngx_http_tbucket_write_t *write);
static void ngx_http_tbucket_file_hangs(ngx_http_tbucket_file_zone_t *fz);
static void ngx_http_tbucket_file_reason(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_file_error_t *error);


void
ngx_http_tbucket_file_prepare_writes(ngx_http_tbucket_file_zone_t *fz)
{
    ngx_queue_init(&fz->waiting);

    fz->commit.run = ngx_http_tbucket_file_commit;
    fz->commit.done = ngx_http_tbucket_file_committed;
    fz->commit.data = fz;

    fz->look.handler = ngx_http_tbucket_file_look;
    fz->look.data = fz;
    fz->look.log = fz->log;
    fz->look.cancelable = 1;
}


void
ngx_http_tbucket_file_write(ngx_http_tbucket_store_t *store,
    ngx_http_tbucket_write_t *write)
{
    ngx_uint_t                     i;
    ngx_http_tbucket_file_t       *file;
    ngx_http_tbucket_file_zone_t  *fz;

    file = store->data;
    write->outcome = NGX_HTTP_TBUCKET_STORE_DOWN;

    for (i = 0; i < file->nzones; i++) {
        fz = &file->zones[i];

        if (fz->zone != write->zone) {
            continue;
        }

        if (fz->hangs) {
            ngx_http_tbucket_file_reason(write, &fz->hang_error);
            break;
        }

        write->since = ngx_current_msec;

        ngx_queue_insert_tail(&fz->waiting, &write->queue);
        ngx_http_tbucket_file_next_batch(fz);

        return;
    }

    write->done(write);
}


/* All that wait, as one batch; while it is written the next one gathers. */

static void
ngx_http_tbucket_file_next_batch(ngx_http_tbucket_file_zone_t *fz)
{
    ngx_msec_t    age, wait;
    ngx_queue_t  *q;

    if (fz->commit.busy || ngx_queue_empty(&fz->waiting)) {
        return;
    }

    fz->nbatch = 0;
    fz->quiet = 0;
    fz->commit_error.text[0] = '\0';

    while (fz->nbatch < NGX_HTTP_TBUCKET_FILE_BATCH
           && !ngx_queue_empty(&fz->waiting))
    {
        q = ngx_queue_head(&fz->waiting);
        ngx_queue_remove(q);

        fz->batch[fz->nbatch++] = ngx_queue_data(q, ngx_http_tbucket_write_t,
                                                 queue);
    }

    /* who cannot have the lock is told so before he is told that he is late */

    age = ngx_current_msec - fz->batch[0]->since;
    wait = fz->store->timeout / 4 * 3;
    fz->wait = age < wait ? wait - age : 0;

    if (!fz->look.timer_set) {
        ngx_add_timer(&fz->look,
                      fz->store->timeout / NGX_HTTP_TBUCKET_FILE_LOOKS + 1);
    }

    ngx_http_tbucket_file_post(&fz->commit);
}


static void
ngx_http_tbucket_file_committed(void *data)
{
    ngx_http_tbucket_file_zone_t  *fz = data;

    ngx_uint_t                 i, n;
    ngx_http_tbucket_write_t  *done[NGX_HTTP_TBUCKET_FILE_BATCH];

    if (fz->ok || (fz->commit_error.text[0] != '\0' && !fz->quiet)) {
        ngx_http_tbucket_file_verdict(fz, NGX_HTTP_TBUCKET_DOWN_WRITE, fz->ok,
                                      &fz->commit_error);
    }

    fz->hangs = 0;

    for (i = fz->nbatch; i > fz->ndone; i--) {
        ngx_queue_insert_head(&fz->waiting, &fz->batch[i - 1]->queue);
    }

    n = fz->ndone;
    ngx_memcpy(done, fz->batch, n * sizeof(ngx_http_tbucket_write_t *));

    for (i = 0; i < n; i++) {
        ngx_http_tbucket_file_reason(done[i], &fz->commit_error);
    }

    ngx_http_tbucket_file_next_batch(fz);

    for (i = 0; i < n; i++) {
        done[i]->done(done[i]);
    }
}


/* What the thread has cannot be taken back, so what it comes to is open. */

static void
ngx_http_tbucket_file_look(ngx_event_t *ev)
{
    ngx_http_tbucket_file_zone_t  *fz = ev->data;

    ngx_uint_t                 i;
    ngx_queue_t               *q;
    ngx_http_tbucket_write_t  *write;

    if (!fz->commit.busy) {
        return;
    }

    for (i = 0; i < fz->nbatch; i++) {
        write = fz->batch[i];

        if (ngx_http_tbucket_file_is_late(fz, write)) {
            ngx_http_tbucket_file_hangs(fz);
            ngx_http_tbucket_file_reason(write, &fz->hang_error);
            write->late(write);
        }
    }

    while (fz->hangs && !ngx_queue_empty(&fz->waiting)) {
        q = ngx_queue_head(&fz->waiting);
        ngx_queue_remove(q);

        write = ngx_queue_data(q, ngx_http_tbucket_write_t, queue);

        ngx_http_tbucket_file_reason(write, &fz->hang_error);
        write->done(write);
    }

    ngx_add_timer(ev, fz->store->timeout / NGX_HTTP_TBUCKET_FILE_LOOKS + 1);
}


static ngx_uint_t
ngx_http_tbucket_file_is_late(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_write_t *write)
{
    return ngx_current_msec - write->since
           >= fz->store->timeout + write->n / NGX_HTTP_TBUCKET_FILE_PACE;
}


static void
ngx_http_tbucket_file_hangs(ngx_http_tbucket_file_zone_t *fz)
{
    if (fz->hangs) {
        return;
    }

    fz->hangs = 1;
    fz->hang_error.err = 0;

    (void) snprintf(fz->hang_error.text, sizeof(fz->hang_error.text),
                    "the disk has not answered for %lu ms",
                    (unsigned long) fz->store->timeout);

    ngx_http_tbucket_file_verdict(fz, NGX_HTTP_TBUCKET_DOWN_WRITE, 0,
                                  &fz->hang_error);
}


/* In the write's memory, as it may be told later. */

static void
ngx_http_tbucket_file_reason(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_file_error_t *error)
{
    u_char  *p, *last;

    if (error->text[0] == '\0' || write->reason.len != 0) {
        return;
    }

    p = ngx_pnalloc(write->pool, NGX_MAX_ERROR_STR);

    if (p == NULL) {
        return;
    }

    last = ngx_slprintf(p, p + NGX_MAX_ERROR_STR, "%s", error->text);

    if (error->err != 0) {
        last = ngx_slprintf(last, p + NGX_MAX_ERROR_STR, " (%d: ",
                            error->err);
        last = ngx_strerror(error->err, last, p + NGX_MAX_ERROR_STR - last);
        last = ngx_slprintf(last, p + NGX_MAX_ERROR_STR, ")");
    }

    write->reason.data = p;
    write->reason.len = last - p;
}


/* One line when something stops to work, and one when it works again. */

void
ngx_http_tbucket_file_verdict(ngx_http_tbucket_file_zone_t *fz, uint32_t bit,
    ngx_uint_t ok, ngx_http_tbucket_file_error_t *error)
{
    uint32_t           was;
    _Atomic uint32_t  *down;

    down = &fz->zone->shared->store.down;

    if (ok) {
        was = atomic_load_explicit(down, memory_order_relaxed);

        if ((was & bit) && (atomic_fetch_and(down, ~bit) & bit)) {
            ngx_log_error(NGX_LOG_NOTICE, fz->log, 0,
                          "tbucket_store: zone \"%V\": %s are saved again",
                          &fz->zone->name,
                          bit == NGX_HTTP_TBUCKET_DOWN_WRITE
                          ? "clients" : "token states");
        }

        return;
    }

    if (!(atomic_fetch_or(down, bit) & bit)) {
        ngx_log_error(NGX_LOG_ERR, fz->log, error->err,
                      "tbucket_store: zone \"%V\": %s cannot be saved: %s",
                      &fz->zone->name,
                      bit == NGX_HTTP_TBUCKET_DOWN_WRITE
                      ? "clients" : "token states", error->text);
    }
}
