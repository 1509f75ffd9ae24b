
/*
 * Writes through the APIs of clients and plans.  ngx_http_tbucket_write_run()
 * is the way that each of them goes: the body is read into changes; what memory
 * can say against them is checked; the store makes them safe; they are applied
 * to shared memory; the outcome is told.  Who is not registered has no more
 * than a bucket, which no store has to know of.  Not here: how a body is read,
 * how a store makes anything safe, what is answered.
 */


#include "src/tbucket/clients/ngx_http_tbucket_write.h"

#include "src/common/ngx_gw_json.h"
#include "src/core/limit/tb_client.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_body.h"
#include "src/tbucket/clients/ngx_http_tbucket_store.h"
#include "src/tbucket/clients/ngx_http_tbucket_write_reply.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"


/* what a write takes besides an array, bytes */
#define NGX_HTTP_TBUCKET_WRITE_POOL  2048


static ngx_http_tbucket_write_t *ngx_http_tbucket_write_create(
    ngx_http_request_t *r, ngx_http_tbucket_zone_t *zone, ngx_str_t *id);
static ngx_int_t ngx_http_tbucket_write_begin(ngx_http_tbucket_write_t *write,
    ngx_http_request_t *r, ngx_str_t *id);
static void ngx_http_tbucket_write_step(ngx_gw_task_t *task);
static void ngx_http_tbucket_write_gone(ngx_gw_task_t *task);
static void ngx_http_tbucket_write_run(ngx_http_tbucket_write_t *write);
static ngx_int_t ngx_http_tbucket_write_read(ngx_http_tbucket_write_t *write);
static ngx_int_t ngx_http_tbucket_write_check(
    ngx_http_tbucket_write_t *write);
static void ngx_http_tbucket_write_touch(ngx_http_tbucket_write_t *write);
static ngx_int_t ngx_http_tbucket_write_room(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change);
static ngx_int_t ngx_http_tbucket_write_named(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change);
static ngx_int_t ngx_http_tbucket_write_refuse(
    ngx_http_tbucket_write_t *write, ngx_http_tbucket_outcome_e outcome);
static ngx_int_t ngx_http_tbucket_write_bucket(
    ngx_http_tbucket_write_t *write);
static void ngx_http_tbucket_write_apply(ngx_http_tbucket_write_t *write);
static void ngx_http_tbucket_write_apply_plan(
    ngx_http_tbucket_write_t *write, ngx_http_tbucket_change_t *change);
static void ngx_http_tbucket_write_answer(ngx_http_tbucket_write_t *write);


ngx_int_t
ngx_http_tbucket_write(ngx_http_request_t *r, ngx_http_tbucket_zone_t *zone,
    ngx_str_t *id, ngx_uint_t plans)
{
    ngx_http_tbucket_write_t  *write;

    if (!(r->method & NGX_HTTP_DELETE) && !ngx_gw_json_is_declared(r)) {
        return ngx_gw_json_error(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                 "the body must be declared as "
                                 "\"Content-Type: application/json\"");
    }

    write = ngx_http_tbucket_write_create(r, zone, id);
    if (write == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    write->plans = plans;

    return write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE
           ? ngx_gw_task_run(&write->task, r)
           : ngx_gw_task_read(&write->task, r);
}


static ngx_http_tbucket_write_t *
ngx_http_tbucket_write_create(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id)
{
    ngx_pool_t                *pool;
    ngx_http_tbucket_write_t  *write;

    pool = ngx_create_pool(NGX_HTTP_TBUCKET_WRITE_POOL, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    write = ngx_pcalloc(pool, sizeof(ngx_http_tbucket_write_t));

    if (write != NULL) {
        write->pool = pool;
        write->log = ngx_cycle->log;
        write->zone = zone;

        if (ngx_http_tbucket_write_begin(write, r, id) == NGX_OK) {
            return write;
        }
    }

    ngx_destroy_pool(pool);

    return NULL;
}


static ngx_int_t
ngx_http_tbucket_write_begin(ngx_http_tbucket_write_t *write,
    ngx_http_request_t *r, ngx_str_t *id)
{
    ngx_http_tbucket_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_tbucket_module);

    write->store = mcf->store;
    write->task.step = ngx_http_tbucket_write_step;
    write->task.gone = ngx_http_tbucket_write_gone;

    switch (r->method) {

    case NGX_HTTP_POST:
        write->kind = NGX_HTTP_TBUCKET_WRITE_CREATE;
        return NGX_OK;

    case NGX_HTTP_PUT:
        write->kind = NGX_HTTP_TBUCKET_WRITE_REPLACE;
        break;

    case NGX_HTTP_PATCH:
        write->kind = NGX_HTTP_TBUCKET_WRITE_CHANGE;
        break;

    default: /* NGX_HTTP_DELETE */
        write->kind = NGX_HTTP_TBUCKET_WRITE_REMOVE;
    }

    /* the one client that the URI names */

    write->changes = ngx_pcalloc(write->pool,
                                 sizeof(ngx_http_tbucket_change_t));
    if (write->changes == NULL) {
        return NGX_ERROR;
    }

    write->n = 1;
    write->changes->id.len = id->len;
    write->changes->id.data = ngx_pstrdup(write->pool, id);

    return write->changes->id.data ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_tbucket_write_step(ngx_gw_task_t *task)
{
    ngx_http_tbucket_write_t  *write;

    write = ngx_gw_task_data(task, ngx_http_tbucket_write_t, task);

    write->awake = 1;

    ngx_http_tbucket_write_run(write);
}


/* What the store has goes on without the request. */

static void
ngx_http_tbucket_write_gone(ngx_gw_task_t *task)
{
    ngx_http_tbucket_write_t  *write;

    write = ngx_gw_task_data(task, ngx_http_tbucket_write_t, task);

    switch (write->state) {

    case NGX_HTTP_TBUCKET_WRITE_READ:
    case NGX_HTTP_TBUCKET_WRITE_ANSWER:
        ngx_destroy_pool(write->pool);
        break;

    default:
        write->gone = 1;
    }
}


/* Goes on until the body, the store or the answer has to be waited for. */

static void
ngx_http_tbucket_write_run(ngx_http_tbucket_write_t *write)
{
    ngx_int_t  rc;

    for ( ;; ) {

        switch (write->state) {

        case NGX_HTTP_TBUCKET_WRITE_READ:
            rc = ngx_http_tbucket_write_read(write);

            if (rc == NGX_AGAIN) {
                ngx_gw_task_again(&write->task);
                return;
            }

            write->state = (rc == NGX_OK) ? NGX_HTTP_TBUCKET_WRITE_CHECK
                                          : NGX_HTTP_TBUCKET_WRITE_ANSWER;
            break;

        case NGX_HTTP_TBUCKET_WRITE_CHECK:
            rc = ngx_http_tbucket_write_check(write);

            write->state = (rc == NGX_OK) ? NGX_HTTP_TBUCKET_WRITE_PERSIST
                                          : NGX_HTTP_TBUCKET_WRITE_BUCKET;
            break;

        case NGX_HTTP_TBUCKET_WRITE_PERSIST:
            write->awake = 0;
            ngx_gw_task_wait(&write->task);

            write->store->ops->persist(write->store, write);
            return;

        case NGX_HTTP_TBUCKET_WRITE_BUCKET:
            rc = ngx_http_tbucket_write_bucket(write);

            write->state = (rc == NGX_OK) ? NGX_HTTP_TBUCKET_WRITE_TOKENS
                                          : NGX_HTTP_TBUCKET_WRITE_ANSWER;
            break;

        case NGX_HTTP_TBUCKET_WRITE_APPLY:
            ngx_shmtx_lock(&write->zone->shpool->mutex);
            ngx_http_tbucket_write_apply(write);
            ngx_shmtx_unlock(&write->zone->shpool->mutex);

            write->state = NGX_HTTP_TBUCKET_WRITE_TOKENS;
            break;

        case NGX_HTTP_TBUCKET_WRITE_TOKENS:

            if (write->zone->source != NULL) {
                write->zone->source->write(write);
                return;
            }

            write->state = NGX_HTTP_TBUCKET_WRITE_ANSWER;
            break;

        case NGX_HTTP_TBUCKET_WRITE_LATE:
        case NGX_HTTP_TBUCKET_WRITE_ANSWER:
            ngx_http_tbucket_write_answer(write);
            return;
        }
    }
}


void
ngx_http_tbucket_written(ngx_http_tbucket_write_t *write, ngx_int_t rc,
    const char *reason)
{
    ngx_str_t  s;

    s.data = (u_char *) (reason ? reason : "");
    s.len = ngx_strlen(s.data);

    write->reason.data = ngx_pstrdup(write->pool, &s);
    write->reason.len = write->reason.data ? s.len : 0;

    switch (rc) {

    case NGX_OK:
        write->state = (write->state == NGX_HTTP_TBUCKET_WRITE_PERSIST)
                       ? NGX_HTTP_TBUCKET_WRITE_APPLY
                       : NGX_HTTP_TBUCKET_WRITE_ANSWER;
        break;

    case NGX_AGAIN:
        write->state = NGX_HTTP_TBUCKET_WRITE_LATE;
        break;

    case NGX_ERROR:
        write->outcome = NGX_HTTP_TBUCKET_STORE_DOWN;
        write->state = NGX_HTTP_TBUCKET_WRITE_ANSWER;
        break;

    case NGX_ABORT:
        write->outcome = NGX_HTTP_TBUCKET_STORE_UNKNOWN;
        write->state = NGX_HTTP_TBUCKET_WRITE_ANSWER;
        break;

    default: /* NGX_DONE, NGX_DECLINED */
        write->state = (write->state == NGX_HTTP_TBUCKET_WRITE_PERSIST)
                       ? NGX_HTTP_TBUCKET_WRITE_BUCKET
                       : NGX_HTTP_TBUCKET_WRITE_ANSWER;
    }

    ngx_http_tbucket_write_run(write);
}


/* NGX_OK: it is read; NGX_AGAIN; NGX_DONE: there is nothing to be done. */

static ngx_int_t
ngx_http_tbucket_write_read(ngx_http_tbucket_write_t *write)
{
    ngx_int_t  rc;

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
        return NGX_OK;
    }

    if (write->body == NULL) {
        write->body = ngx_http_tbucket_body_create(write->task.request,
                                                   write);
    }

    rc = write->body ? ngx_http_tbucket_body_read(write->body) : NGX_ERROR;

    switch (rc) {

    case NGX_OK:

        if (write->n > 0) {
            return NGX_OK;
        }

        /* an array of nobody, about which no store has to be asked */

        write->outcome = NGX_HTTP_TBUCKET_UPDATED;
        return NGX_DONE;

    case NGX_AGAIN:
        return NGX_AGAIN;

    case NGX_DECLINED:
        write->outcome = NGX_HTTP_TBUCKET_MALFORMED;
        return NGX_DONE;

    default: /* NGX_ERROR */
        write->outcome = NGX_HTTP_TBUCKET_UNREAD;
        return NGX_DONE;
    }
}


/*
 * A store says itself whether there is a client, but not whether there is
 * room for it here.  Without one all is said at once, and applied with the
 * mutex still held.  NGX_OK: the store may have it.
 */

static ngx_int_t
ngx_http_tbucket_write_check(ngx_http_tbucket_write_t *write)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i, stored;
    tb_client_t                 old;
    ngx_shmtx_t                *mutex;
    ngx_http_tbucket_change_t  *change;

    mutex = &write->zone->shpool->mutex;
    stored = (write->store->ops->persist != NULL);

    if (!write->plans) {
        ngx_http_tbucket_write_touch(write);
    }

    ngx_shmtx_lock(mutex);

    rc = stored ? NGX_OK : ngx_http_tbucket_write_superseded(write);

    for (i = 0; rc == NGX_OK && i < write->n; i++) {
        change = &write->changes[i];

        rc = ngx_http_tbucket_write_known(write, change, &old);

        if (!stored) {
            rc = ngx_http_tbucket_write_judge(write, change,
                                              rc == NGX_OK ? &old : NULL);

        } else if (rc != NGX_OK) {
            rc = ngx_http_tbucket_write_room(write, change);

        } else {
            rc = ngx_http_tbucket_write_named(write, change);
        }
    }

    if (rc == NGX_OK && !stored) {
        ngx_http_tbucket_write_apply(write);
        rc = NGX_DONE;
    }

    ngx_shmtx_unlock(mutex);

    write->cells = 0;

    return rc;
}


ngx_int_t
ngx_http_tbucket_write_known(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change, tb_client_t *old)
{
    uint32_t                  n;
    tb_hash_t                 h;
    tb_registry_entry_t       entry;
    ngx_http_tbucket_zone_t  *zone;

    zone = write->zone;

    if (write->plans) {
        n = ngx_http_tbucket_plan_find(zone, change->id.data, change->id.len);
        ngx_http_tbucket_plan_get(zone, n, old);

        return (old->members & TB_CLIENT_LIMITS) ? NGX_OK : NGX_DECLINED;
    }

    h = tb_hash(change->id.data, change->id.len, zone->shared->secret);

    if (!tb_registry_find(zone->shared->registry, &h, &entry)) {
        return NGX_DECLINED;
    }

    ngx_http_tbucket_client_given(zone, entry.limits, old);

    return NGX_OK;
}


/*
 * Memory of the table that nobody has used yet takes some microseconds a page
 * to come, which should not be with the mutex held.
 */

static void
ngx_http_tbucket_write_touch(ngx_http_tbucket_write_t *write)
{
    uint64_t                    now;
    tb_hash_t                   h;
    ngx_uint_t                  i;
    tb_limits_t                 dflt;
    tb_result_t                 bucket;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_change_t  *change;

    zone = write->zone;
    dflt = ngx_http_tbucket_limits(zone, &now);

    for (i = 0; i < write->n; i++) {
        change = &write->changes[i];

        h = tb_hash(change->id.data, change->id.len, zone->shared->secret);

        (void) tb_table_read(zone->shared->table, &h, now, dflt, &bucket);
    }
}


ngx_int_t
ngx_http_tbucket_write_judge(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change, const tb_client_t *old)
{
    if (old == NULL) {

        if (write->kind == NGX_HTTP_TBUCKET_WRITE_CHANGE
            || write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE)
        {
            return ngx_http_tbucket_write_refuse(write,
                                                 NGX_HTTP_TBUCKET_MISSING);
        }

        write->outcome = NGX_HTTP_TBUCKET_CREATED;
        write->created++;

        return ngx_http_tbucket_write_room(write, change);
    }

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_CREATE) {
        return ngx_http_tbucket_write_refuse(write, NGX_HTTP_TBUCKET_EXISTS);
    }

    if (ngx_http_tbucket_write_named(write, change) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
        write->outcome = NGX_HTTP_TBUCKET_REMOVED;
        return NGX_OK;
    }

    write->outcome = NGX_HTTP_TBUCKET_UPDATED;
    write->updated++;

    return write->kind == NGX_HTTP_TBUCKET_WRITE_CHANGE
           ? ngx_http_tbucket_write_merge(write, change, old) : NGX_OK;
}


ngx_int_t
ngx_http_tbucket_write_merge(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change, const tb_client_t *old)
{
    tb_client_t              *client;
    ngx_http_tbucket_zone_t  *zone;

    zone = write->zone;
    client = &change->client;

    write->lacking = tb_client_merge(client, old, zone->forms.limits);

    if (write->lacking) {
        return ngx_http_tbucket_write_refuse(write, NGX_HTTP_TBUCKET_PARTIAL);
    }

    if ((client->members & TB_CLIENT_TOKENS)
        && client->tokens > (int64_t) tb_limits_full(
                                ngx_http_tbucket_given_limits(zone, client)))
    {
        return ngx_http_tbucket_write_refuse(write,
                                             NGX_HTTP_TBUCKET_TOKENS_RANGE);
    }

    return NGX_OK;
}


/* Whether there is room for a client, or plan, that would be new. */

static ngx_int_t
ngx_http_tbucket_write_room(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change)
{
    uint64_t                    now;
    tb_hash_t                   h;
    tb_limits_t                 dflt;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_shared_t  *shared;

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_CHANGE
        || write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE)
    {
        return NGX_OK;
    }

    zone = write->zone;
    shared = zone->shared;

    if (write->plans) {
        return ngx_http_tbucket_plan_has_room(zone, (char *) change->id.data,
                                              change->id.len)
               ? NGX_OK
               : ngx_http_tbucket_write_refuse(write,
                                               NGX_HTTP_TBUCKET_NO_PLAN);
    }

    dflt = ngx_http_tbucket_limits(zone, &now);
    h = tb_hash(change->id.data, change->id.len, shared->secret);

    write->cells += tb_registry_cells(change->id.len);

    if (write->cells > tb_registry_room(shared->registry)
        || !tb_table_has_room(shared->table, &h, now, dflt))
    {
        return ngx_http_tbucket_write_refuse(write, NGX_HTTP_TBUCKET_NO_ROOM);
    }

    return ngx_http_tbucket_write_named(write, change);
}


/*
 * Whether there is room for the plan that a client names; and of a plan that is
 * to go, whether nobody has it.
 */

static ngx_int_t
ngx_http_tbucket_write_named(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change)
{
    uint32_t      n;
    tb_client_t  *client;

    client = &change->client;

    if (write->plans) {

        if (write->kind != NGX_HTTP_TBUCKET_WRITE_REMOVE) {
            return NGX_OK;
        }

        n = ngx_http_tbucket_plan_find(write->zone, change->id.data,
                                       change->id.len);

        return ngx_http_tbucket_plan_members(write->zone, n) == 0
               ? NGX_OK
               : ngx_http_tbucket_write_refuse(write,
                                               NGX_HTTP_TBUCKET_IN_USE);
    }

    return !(client->members & TB_CLIENT_PLAN)
           || ngx_http_tbucket_plan_has_room(write->zone, client->plan,
                                             client->plan_len)
           ? NGX_OK
           : ngx_http_tbucket_write_refuse(write, NGX_HTTP_TBUCKET_NO_PLAN);
}


static ngx_int_t
ngx_http_tbucket_write_refuse(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_outcome_e outcome)
{
    write->outcome = outcome;

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_tbucket_write_superseded(ngx_http_tbucket_write_t *write)
{
    if (!atomic_load_explicit(&write->zone->shared->superseded,
                              memory_order_relaxed))
    {
        return NGX_OK;
    }

    return ngx_http_tbucket_write_refuse(write, NGX_HTTP_TBUCKET_SUPERSEDED);
}


/*
 * A client that is not registered, of which only the tokens are to change: of
 * a bucket that is live.  NGX_OK: they have; NGX_DECLINED: the outcome stands,
 * whatever it is.
 */

static ngx_int_t
ngx_http_tbucket_write_bucket(ngx_http_tbucket_write_t *write)
{
    ngx_shmtx_t                *mutex;
    ngx_http_tbucket_change_t  *change;

    change = write->changes;

    if (write->outcome != NGX_HTTP_TBUCKET_MISSING || write->plans
        || (change->client.members & TB_CLIENT_GIVEN))
    {
        return NGX_DECLINED;
    }

    mutex = &write->zone->shpool->mutex;

    ngx_shmtx_lock(mutex);

    if (ngx_http_tbucket_write_superseded(write) == NGX_OK) {
        write->outcome = ngx_http_tbucket_client_refill(write->zone,
                                                        &change->id,
                                                        &change->client);
    }

    ngx_shmtx_unlock(mutex);

    if (write->outcome != NGX_HTTP_TBUCKET_UPDATED) {
        return NGX_DECLINED;
    }

    write->unregistered = 1;

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
        write->outcome = NGX_HTTP_TBUCKET_REMOVED;
    }

    return NGX_OK;
}


/* With the mutex held. */

static void
ngx_http_tbucket_write_apply(ngx_http_tbucket_write_t *write)
{
    int64_t                              tokens;
    tb_hash_t                            h;
    ngx_uint_t                           i;
    ngx_http_tbucket_zone_t             *zone;
    ngx_http_tbucket_change_t           *change;
    const ngx_http_tbucket_store_ops_t  *ops;

    zone = write->zone;
    ops = write->store->ops;

    for (i = 0; i < write->n; i++) {
        change = &write->changes[i];

        if (ops->is_latest != NULL) {
            h = tb_hash(change->id.data, change->id.len,
                        zone->shared->secret);

            if (!ops->is_latest(write, &change->id, &h)) {
                continue;
            }
        }

        if (write->plans) {
            ngx_http_tbucket_write_apply_plan(write, change);
            continue;
        }

        if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
            (void) ngx_http_tbucket_client_remove(zone, &change->id);
            continue;
        }

        tokens = (change->client.members & TB_CLIENT_TOKENS)
                 ? change->client.tokens : NGX_HTTP_TBUCKET_TOKENS_KEEP;

        if (ngx_http_tbucket_client_set(zone, &change->id, &change->client,
                                        tokens)
            == NGX_HTTP_TBUCKET_NO_ROOM)
        {
            ngx_http_tbucket_store_crowded(zone);
        }
    }
}


static void
ngx_http_tbucket_write_apply_plan(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change)
{
    uint32_t                  n;
    ngx_http_tbucket_zone_t  *zone;

    zone = write->zone;

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
        n = ngx_http_tbucket_plan_find(zone, change->id.data, change->id.len);

        if (n != TB_PLAN_NONE) {
            ngx_http_tbucket_plan_remove(zone, n);
        }

    } else if (ngx_http_tbucket_plan_set(zone, (char *) change->id.data,
                                         change->id.len, &change->client)
               != NGX_OK)
    {
        ngx_http_tbucket_store_crowded(zone);
    }
}


/* Wakes the request, or ends it if it is awake. */

static void
ngx_http_tbucket_write_answer(ngx_http_tbucket_write_t *write)
{
    ngx_int_t  rc;

    if (write->gone && write->state == NGX_HTTP_TBUCKET_WRITE_ANSWER) {
        ngx_log_error(NGX_LOG_INFO, write->log, 0,
                      "tbucket: write to zone \"%V\" is done, but its "
                      "client has gone", &write->zone->name);
        ngx_destroy_pool(write->pool);
        return;
    }

    if (write->gone) {
        return;
    }

    if (!write->awake) {
        ngx_gw_task_wake(&write->task);
        return;
    }

    if (write->state == NGX_HTTP_TBUCKET_WRITE_LATE) {
        write->awake = 0;
        write->gone = 1;

        ngx_gw_task_end(&write->task, ngx_http_tbucket_write_unknown(write));
        return;
    }

    rc = ngx_http_tbucket_write_reply(write);

    ngx_gw_task_end(&write->task, rc);

    ngx_destroy_pool(write->pool);
}
