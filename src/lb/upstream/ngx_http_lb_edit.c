
/*
 * Changes of servers at runtime, one after the other: of one process by a
 * queue, of several by a leader, whose term ends with its process.
 *
 * A change goes through the states of ngx_http_lb_edit_run().  Without a
 * state file it does so at once.
 */


#include "src/lb/upstream/ngx_http_lb_edit.h"

#include "src/common/ngx_gw_leader.h"
#include "src/lb/upstream/ngx_http_lb_answer.h"
#include "src/lb/upstream/ngx_http_lb_build.h"
#include "src/lb/upstream/ngx_http_lb_log.h"
#include "src/lb/upstream/ngx_http_lb_state.h"
#include "src/lb/upstream/ngx_http_lb_state_lines.h"
#include "src/lb/upstream/ngx_http_lb_state_save.h"


/* ms; a term that outlives its process only if that has been stopped */
#define NGX_HTTP_LB_EDIT_TERM   3600000

/* ms between two claims while another process is the leader */
#define NGX_HTTP_LB_EDIT_POLL   2

/* ms that a change waits for the lead, or for its turn */
#define NGX_HTTP_LB_EDIT_WAIT   5000

/* ms between two looks at who has waited that long */
#define NGX_HTTP_LB_EDIT_LOOK   1000


#define ngx_http_lb_editor(lcf)                                              \
    ((ngx_gw_leader_t *) &(lcf)->roster->editor)


static void ngx_http_lb_edit_run(ngx_http_lb_edit_t *edit);
static ngx_http_lb_edit_e ngx_http_lb_edit_check(ngx_http_lb_edit_t *edit);
static ngx_int_t ngx_http_lb_edit_persist(ngx_http_lb_edit_t *edit);
static void ngx_http_lb_edit_save(void *data);
static void ngx_http_lb_edit_saved(void *data);
static ngx_http_lb_edit_e ngx_http_lb_edit_apply(ngx_http_lb_edit_t *edit);
static void ngx_http_lb_edit_answer(ngx_http_lb_edit_t *edit);
static void ngx_http_lb_edit_failed(ngx_http_lb_edit_t *edit);
static void ngx_http_lb_edit_start(ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_edit_next(ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_edit_timer(ngx_event_t *ev);
static void ngx_http_lb_edit_expire(ngx_http_lb_srv_conf_t *lcf);
static ngx_uint_t ngx_http_lb_edit_is_late(ngx_http_lb_edit_t *edit);
static void ngx_http_lb_edit_find(ngx_http_lb_edit_t *edit);
static void ngx_http_lb_edit_make(ngx_http_lb_edit_t *edit, uint32_t index);
static void ngx_http_lb_edit_adopt(ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_edit_free(ngx_http_lb_edit_t *edit);


ngx_http_lb_edit_t *
ngx_http_lb_edit_create(ngx_http_lb_srv_conf_t *lcf, ngx_http_lb_kind_e kind)
{
    ngx_pool_t          *pool;
    ngx_http_lb_edit_t  *edit;

    pool = ngx_create_pool(sizeof(ngx_http_lb_edit_t) + 1024,
                           ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    edit = ngx_pcalloc(pool, sizeof(ngx_http_lb_edit_t));

    if (edit == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    edit->pool = pool;
    edit->conf = lcf;
    edit->kind = kind;

    return edit;
}


void
ngx_http_lb_edit_submit(ngx_http_lb_edit_t *edit)
{
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = edit->conf;

    if (lcf->state == NULL) {
        ngx_http_lb_edit_run(edit);
        return;
    }

    ngx_http_lb_edit_start(lcf);

    edit->deadline = ngx_current_msec + NGX_HTTP_LB_EDIT_WAIT;

    ngx_queue_insert_tail(&lcf->state->waiting, &edit->queue);

    ngx_http_lb_edit_next(lcf);
}


static void
ngx_http_lb_edit_run(ngx_http_lb_edit_t *edit)
{
    for ( ;; ) {

        switch (edit->state) {

        case NGX_HTTP_LB_EDIT_CHECK:
            edit->state = ngx_http_lb_edit_check(edit);
            break;

        case NGX_HTTP_LB_EDIT_PERSIST:
            edit->state = NGX_HTTP_LB_EDIT_APPLY;

            if (ngx_http_lb_edit_persist(edit) == NGX_OK) {

                /* ngx_http_lb_edit_saved() goes on */

                return;
            }

            break;

        case NGX_HTTP_LB_EDIT_APPLY:
            edit->state = ngx_http_lb_edit_apply(edit);
            break;

        case NGX_HTTP_LB_EDIT_ANSWER:
            ngx_http_lb_edit_answer(edit);
            return;
        }
    }
}


/*
 * Whether there is something to write.  With a file that may have what memory
 * has not, that is found out first.
 */

static ngx_http_lb_edit_e
ngx_http_lb_edit_check(ngx_http_lb_edit_t *edit)
{
    lb_roster_t         *roster;
    ngx_http_lb_edit_e   next;
    ngx_http_lb_save_t  *save;

    if (edit->conf->state == NULL) {
        return NGX_HTTP_LB_EDIT_APPLY;
    }

    roster = edit->conf->roster;
    save = &edit->conf->state->save;
    next = NGX_HTTP_LB_EDIT_ANSWER;

    ngx_shmtx_lock(&edit->conf->shpool->mutex);

    if (ngx_http_lb_edit_is_late(edit)) {
        edit->outcome = NGX_HTTP_LB_SUPERSEDED;

    } else if (gw_load_acquire(&roster->saving)) {
        save->recover = 1;
        next = NGX_HTTP_LB_EDIT_PERSIST;

    } else {
        save->recover = 0;

        ngx_http_lb_edit_find(edit);

        /* that is in force whether or not the file can be written */

        if (edit->kind == NGX_HTTP_LB_RESOLVE) {
            ngx_http_lb_edit_make(edit, LB_NONE);
        }

        if (edit->outcome == NGX_HTTP_LB_DONE
            && edit->kind != NGX_HTTP_LB_RECOVER)
        {
            next = NGX_HTTP_LB_EDIT_PERSIST;
        }
    }

    if (next == NGX_HTTP_LB_EDIT_PERSIST) {
        gw_store_release(&roster->saving, 1);
    }

    ngx_shmtx_unlock(&edit->conf->shpool->mutex);

    if (edit->kind == NGX_HTTP_LB_RESOLVE) {
        ngx_http_lb_build(edit->conf);
    }

    return next;
}


/* Leaves the file to a thread: NGX_OK; NGX_ERROR: there is none for that. */

static ngx_int_t
ngx_http_lb_edit_persist(ngx_http_lb_edit_t *edit)
{
    ngx_http_lb_save_t  *save;

    save = &edit->conf->state->save;

    save->edit = edit;
    save->pool = NULL;
    save->err = 0;
    save->failed = "starting a thread";

    edit->outcome = NGX_HTTP_LB_NOT_SAVED;

    return ngx_gw_job_start(&save->job);
}


static void
ngx_http_lb_edit_save(void *data)
{
    ngx_http_lb_state_save(data);
}


static void
ngx_http_lb_edit_saved(void *data)
{
    ngx_http_lb_save_t  *save = data;

    ngx_http_lb_edit_run(save->edit);
    ngx_http_lb_edit_next(save->conf);
}


/* What is in the file is made in memory; what was read of it, too. */

static ngx_http_lb_edit_e
ngx_http_lb_edit_apply(ngx_http_lb_edit_t *edit)
{
    ngx_uint_t               persisted;
    ngx_http_lb_edit_e       next;
    ngx_http_lb_save_t      *save;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = edit->conf;
    save = lcf->state ? &lcf->state->save : NULL;
    persisted = (edit->outcome == NGX_HTTP_LB_DONE);
    next = NGX_HTTP_LB_EDIT_ANSWER;

    ngx_shmtx_lock(&lcf->shpool->mutex);

    if (!persisted) {

        /* as far as is known the file is what it was */

        if (edit->outcome != NGX_HTTP_LB_UNKNOWN && !save->recover) {
            gw_store_release(&lcf->roster->saving, 0);
        }

    } else if (save && save->recover) {
        ngx_http_lb_edit_adopt(lcf);

        if (edit->kind != NGX_HTTP_LB_RECOVER) {
            next = NGX_HTTP_LB_EDIT_CHECK;
        }

    } else if (save == NULL && ngx_http_lb_edit_is_late(edit)) {
        edit->outcome = NGX_HTTP_LB_SUPERSEDED;

    } else if (save == NULL || edit->kind != NGX_HTTP_LB_RESOLVE) {
        ngx_http_lb_edit_find(edit);

        if (edit->outcome == NGX_HTTP_LB_DONE) {
            ngx_http_lb_edit_make(edit, edit->index);
        }
    }

    if (save && persisted) {
        gw_store_release(&lcf->roster->file, save->stamp);
        gw_store_release(&lcf->roster->saving, 0);
    }

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    ngx_http_lb_build(lcf);

    if (save && save->pool) {
        ngx_destroy_pool(save->pool);
        save->pool = NULL;
    }

    return next;
}


static void
ngx_http_lb_edit_answer(ngx_http_lb_edit_t *edit)
{
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = edit->conf;

    if (lcf->state) {
        lcf->state->edit = NULL;

        ngx_gw_leader_resign(ngx_http_lb_editor(lcf));

        ngx_http_lb_edit_failed(edit);
    }

    edit->finish(edit);
}


static void
ngx_http_lb_edit_failed(ngx_http_lb_edit_t *edit)
{
    ngx_http_lb_save_t      *save;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = edit->conf;
    save = &lcf->state->save;

    switch (edit->outcome) {

    case NGX_HTTP_LB_NOT_SAVED:
    case NGX_HTTP_LB_UNKNOWN:
        edit->path = &lcf->state->path;
        edit->failed = save->failed;
        edit->err = save->err;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, save->err,
                      "lb: state file \"%V\" of upstream \"%V\" cannot be "
                      "written: %s failed", &lcf->state->path,
                      &lcf->upstream->host, save->failed);
        break;

    case NGX_HTTP_LB_NOT_OURS:
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "lb: state file \"%V\" of upstream \"%V\" is in use "
                      "by another nginx", &lcf->state->path,
                      &lcf->upstream->host);
        break;

    default:
        break;
    }
}


static void
ngx_http_lb_edit_start(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    if (state->started) {
        return;
    }

    ngx_queue_init(&state->waiting);

    state->event.handler = ngx_http_lb_edit_timer;
    state->event.data = lcf;
    state->event.log = ngx_cycle->log;

    state->save.conf = lcf;
    state->save.job.run = ngx_http_lb_edit_save;
    state->save.job.done = ngx_http_lb_edit_saved;
    state->save.job.data = &state->save;

    state->started = 1;
}


/* Makes those changes that wait, if it is the turn of this process. */

static void
ngx_http_lb_edit_next(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_queue_t          *q;
    ngx_http_lb_edit_t   *edit;
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    while (state->edit == NULL && !ngx_queue_empty(&state->waiting)
           && ngx_gw_leader_claim(ngx_http_lb_editor(lcf),
                                  NGX_HTTP_LB_EDIT_TERM))
    {
        q = ngx_queue_head(&state->waiting);
        ngx_queue_remove(q);

        edit = ngx_queue_data(q, ngx_http_lb_edit_t, queue);

        state->edit = edit;
        ngx_http_lb_edit_run(edit);
    }

    if (!ngx_queue_empty(&state->waiting) && !state->event.timer_set) {
        ngx_add_timer(&state->event, state->edit ? NGX_HTTP_LB_EDIT_LOOK
                                                 : NGX_HTTP_LB_EDIT_POLL);
    }
}


static void
ngx_http_lb_edit_timer(ngx_event_t *ev)
{
    ngx_http_lb_edit_expire(ev->data);
    ngx_http_lb_edit_next(ev->data);
}


static void
ngx_http_lb_edit_expire(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_queue_t         *q;
    ngx_http_lb_edit_t  *edit;

    while (!ngx_queue_empty(&lcf->state->waiting)) {
        q = ngx_queue_head(&lcf->state->waiting);
        edit = ngx_queue_data(q, ngx_http_lb_edit_t, queue);

        if ((ngx_msec_int_t) (edit->deadline - ngx_current_msec) > 0) {
            break;
        }

        ngx_queue_remove(q);

        edit->outcome = NGX_HTTP_LB_BUSY;
        edit->finish(edit);
    }
}


/*
 * Whether the servers are those of another zone or configuration by now, so
 * that a change of these would be lost; the mutex is held.
 */

static ngx_uint_t
ngx_http_lb_edit_is_late(ngx_http_lb_edit_t *edit)
{
    lb_roster_t  *roster;

    roster = edit->conf->roster;

    /* names are those of the configuration in force */

    if (edit->kind == NGX_HTTP_LB_RESOLVE
        && gw_load_acquire(&roster->config) > edit->conf->config)
    {
        return 1;
    }

    return gw_load_acquire(&roster->superseded)
           || gw_load_acquire(&roster->kept)
              != ngx_http_lb_state_key(edit->conf);
}


/* Whether the change can be made, and where; the mutex is held. */

static void
ngx_http_lb_edit_find(ngx_http_lb_edit_t *edit)
{
    lb_roster_t  *roster;

    roster = edit->conf->roster;

    edit->outcome = NGX_HTTP_LB_DONE;
    edit->index = LB_NONE;

    if (edit->kind == NGX_HTTP_LB_RECOVER
        || edit->kind == NGX_HTTP_LB_RESOLVE)
    {
        return;
    }

    if (edit->kind == NGX_HTTP_LB_ADD) {

        if (lb_edit_find_address(roster, edit->line.address,
                                 edit->line.address_length)
            != LB_NONE)
        {
            edit->outcome = NGX_HTTP_LB_EXISTS;
            return;
        }

        lb_roster_sweep(roster, ngx_http_lb_log_gone, edit->conf);

        if (!lb_edit_has_room(roster, &edit->line)) {
            edit->outcome = NGX_HTTP_LB_NO_ROOM;
        }

        return;
    }

    edit->index = lb_edit_find(roster, edit->id);

    if (edit->index == LB_NONE
        || (edit->kind == NGX_HTTP_LB_DRAINED
            && !lb_edit_is_drained(roster, edit->index, ngx_time())))
    {
        edit->outcome = NGX_HTTP_LB_MISSING;

    } else if (lb_roster_status(roster, edit->index) & LB_REMOVED) {
        edit->outcome = NGX_HTTP_LB_LEAVING;

    } else if (lb_roster_identity(roster, edit->index)->resolved
               && (edit->kind != NGX_HTTP_LB_CHANGE
                   || (edit->entry.members & LB_ENTRY_DRAIN_UNTIL)))
    {
        edit->outcome = NGX_HTTP_LB_RESOLVED;
    }
}


static void
ngx_http_lb_edit_make(ngx_http_lb_edit_t *edit, uint32_t index)
{
    uint32_t                 before;
    lb_roster_t             *roster;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = edit->conf;
    roster = lcf->roster;

    switch (edit->kind) {

    case NGX_HTTP_LB_ADD:

        index = lb_edit_returns(roster, &edit->line);

        if (index != LB_NONE) {
            ngx_http_lb_log_gone(lcf, lb_roster_identity(roster, index), 0);
        }

        edit->line.id = 0;
        index = lb_edit_add(roster, &edit->line);

        if (index == LB_NONE) {
            edit->outcome = NGX_HTTP_LB_NO_ROOM;
            return;
        }

        edit->id = lb_roster_identity(roster, index)->id;

        ngx_http_lb_log_edit(lcf, index, "added", NGX_HTTP_LB_LOG_API);
        break;

    case NGX_HTTP_LB_CHANGE:

        before = lb_roster_status(roster, index);

        lb_edit_change(roster, index, &edit->entry);
        ngx_http_lb_log_change(lcf, index, before);
        break;

    case NGX_HTTP_LB_REMOVE:
    case NGX_HTTP_LB_DRAINED:

        lb_edit_remove(roster, index);
        lb_roster_sweep(roster, ngx_http_lb_log_gone, lcf);

        if (lb_roster_status(roster, index) & LB_REMOVED) {
            ngx_http_lb_log_edit(lcf, index, "draining",
                                 NGX_HTTP_LB_LOG_API);
        }

        break;

    case NGX_HTTP_LB_RESOLVE:
        ngx_http_lb_answer(lcf, edit->answer);
        break;

    case NGX_HTTP_LB_RECOVER:
        return;
    }
}


/* Memory becomes what the file says; the mutex is held. */

static void
ngx_http_lb_edit_adopt(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_http_lb_save_t  *save;

    save = &lcf->state->save;

    if (save->pool == NULL) {
        return;
    }

    save->stamp = save->list.stamp;

    ngx_http_lb_state_adopt(lcf, &save->list);
}


/* Several workers may do so at once: what comes later finds no such drain. */

void
ngx_http_lb_edit_drained(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t             from, index;
    ngx_http_lb_edit_t  *edit;

    from = 0;

    for ( ;; ) {
        index = lb_edit_drained(lcf->roster, ngx_time(), &from);

        if (index == LB_NONE) {
            return;
        }

        edit = ngx_http_lb_edit_create(lcf, NGX_HTTP_LB_DRAINED);
        if (edit == NULL) {
            return;
        }

        edit->id = lb_roster_identity(lcf->roster, index)->id;
        edit->finish = ngx_http_lb_edit_free;

        ngx_http_lb_edit_submit(edit);
    }
}


void
ngx_http_lb_edit_recover(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_http_lb_edit_t  *edit;

    edit = ngx_http_lb_edit_create(lcf, NGX_HTTP_LB_RECOVER);

    if (edit) {
        edit->finish = ngx_http_lb_edit_free;

        ngx_http_lb_edit_submit(edit);
    }
}


static void
ngx_http_lb_edit_free(ngx_http_lb_edit_t *edit)
{
    ngx_destroy_pool(edit->pool);
}
