
/*
 * Writes on their way to shared memory: whose turn it is, whether they can
 * be applied, and applying them, large ones in slices.  Not here: how a
 * store makes them safe.
 */


#include "src/tbucket/clients/ngx_http_tbucket_store.h"
#include "src/core/limit/tb_client.h"


/* us that the slices of one pass of the event loop may take */
#define NGX_HTTP_TBUCKET_WRITE_TIME  1000

/* ms until a write that waits for its turn looks again */
#define NGX_HTTP_TBUCKET_WRITE_POLL  2

/* ms that one waits for its turn at most */
#define NGX_HTTP_TBUCKET_WRITE_WAIT  10000

/* ms; a large write that shows no sign of life for that long has no turn */
#define NGX_HTTP_TBUCKET_WRITE_TERM  60000


static ngx_uint_t ngx_http_tbucket_write_turn(
    ngx_http_tbucket_write_t *write);
static void ngx_http_tbucket_write_poll(ngx_event_t *ev);
static void ngx_http_tbucket_write_done(ngx_http_tbucket_write_t *write);
static ngx_int_t ngx_http_tbucket_write_refuse(
    ngx_http_tbucket_write_t *write, ngx_http_tbucket_outcome_e outcome);
static ngx_int_t ngx_http_tbucket_check_new(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change, tb_hash_t *h);
static ngx_int_t ngx_http_tbucket_check_change(
    ngx_http_tbucket_write_t *write, ngx_http_tbucket_change_t *change,
    tb_limits_t limits);
static void ngx_http_tbucket_write_slices(ngx_event_t *ev);


void
ngx_http_tbucket_write_submit(ngx_http_tbucket_store_t *store,
    ngx_http_tbucket_write_t *write)
{
    ngx_http_tbucket_zone_t  *zone;

    zone = write->zone;

    write->store = store;
    write->done = ngx_http_tbucket_write_done;

    if (ngx_queue_empty(&zone->waiting) && ngx_http_tbucket_write_turn(write))
    {
        store->ops->write(store, write);
        return;
    }

    write->since = ngx_current_msec;

    ngx_queue_insert_tail(&zone->waiting, &write->queue);

    if (!zone->turn.timer_set) {
        zone->turn.handler = ngx_http_tbucket_write_poll;
        zone->turn.data = zone;
        zone->turn.log = ngx_cycle->log;

        ngx_add_timer(&zone->turn, NGX_HTTP_TBUCKET_WRITE_POLL);
    }
}


/*
 * Small writes are done under the mutex; they only have to wait while a
 * large one is under way.  One that gets in between the look and the turn of
 * a large one is over before the large one's next slice.
 */

static ngx_uint_t
ngx_http_tbucket_write_turn(ngx_http_tbucket_write_t *write)
{
    ngx_gw_leader_t           *leader;
    ngx_http_tbucket_zone_t  *zone;

    zone = write->zone;
    leader = &zone->shared->bulk;

    if (zone->bulk != NULL) {
        return 0;
    }

    if (write->n <= NGX_HTTP_TBUCKET_WRITE_SMALL) {
        return ngx_gw_leader_is_absent(leader);
    }

    if (!ngx_gw_leader_claim(leader, NGX_HTTP_TBUCKET_WRITE_TERM)) {
        return 0;
    }

    zone->bulk = write;

    return 1;
}


static void
ngx_http_tbucket_write_poll(ngx_event_t *ev)
{
    ngx_queue_t               *q;
    ngx_http_tbucket_zone_t   *zone;
    ngx_http_tbucket_write_t  *write;

    zone = ev->data;

    while (!ngx_queue_empty(&zone->waiting)) {
        q = ngx_queue_head(&zone->waiting);
        write = ngx_queue_data(q, ngx_http_tbucket_write_t, queue);

        if (ngx_http_tbucket_write_turn(write)) {
            ngx_queue_remove(q);
            write->store->ops->write(write->store, write);
            continue;
        }

        if (ngx_current_msec - write->since < NGX_HTTP_TBUCKET_WRITE_WAIT) {
            ngx_add_timer(ev, NGX_HTTP_TBUCKET_WRITE_POLL);
            return;
        }

        ngx_queue_remove(q);

        ngx_str_set(&write->reason, "a large write is under way");
        write->outcome = NGX_HTTP_TBUCKET_STORE_DOWN;
        write->done(write);
    }
}


static void
ngx_http_tbucket_write_done(ngx_http_tbucket_write_t *write)
{
    ngx_http_tbucket_zone_t  *zone;

    zone = write->zone;

    if (zone->bulk == write) {
        zone->bulk = NULL;
        ngx_gw_leader_resign(&zone->shared->bulk);
    }

    write->finish(write);
}


ngx_int_t
ngx_http_tbucket_write_check(ngx_http_tbucket_write_t *write,
    ngx_uint_t from, ngx_uint_t n)
{
    ngx_int_t                   rc;
    tb_hash_t                   h;
    ngx_uint_t                  i;
    tb_registry_entry_t         entry;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_change_t  *change;

    zone = write->zone;
    rc = NGX_OK;

    for (i = from; rc == NGX_OK && i < from + n; i++) {
        change = &write->changes[i];

        h = tb_hash(change->id.data, change->id.len, zone->shared->secret);

        if (!tb_registry_find(zone->shared->registry, &h, &entry)) {
            rc = ngx_http_tbucket_check_new(write, change, &h);

        } else if (write->kind == NGX_HTTP_TBUCKET_WRITE_CREATE) {
            rc = ngx_http_tbucket_write_refuse(write,
                                               NGX_HTTP_TBUCKET_EXISTS);

        } else if (write->kind == NGX_HTTP_TBUCKET_WRITE_CHANGE) {
            rc = ngx_http_tbucket_check_change(write, change, entry.limits);
        }
    }

    return rc;
}


static ngx_int_t
ngx_http_tbucket_write_refuse(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_outcome_e outcome)
{
    write->outcome = outcome;

    return NGX_DECLINED;
}


/* The client is not registered yet. */

static ngx_int_t
ngx_http_tbucket_check_new(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change, tb_hash_t *h)
{
    ngx_http_tbucket_zone_t  *zone;

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_CHANGE
        || write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE)
    {
        return ngx_http_tbucket_write_refuse(write, NGX_HTTP_TBUCKET_MISSING);
    }

    zone = write->zone;

    write->cells += tb_registry_cells(change->id.len);

    if (write->cells > tb_registry_room(zone->shared->registry)
        || !tb_table_has_room(zone->shared->table, h, ngx_current_msec,
                              zone->limits))
    {
        return ngx_http_tbucket_write_refuse(write, NGX_HTTP_TBUCKET_NO_ROOM);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_check_change(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change, tb_limits_t limits)
{
    if (!(change->members & TB_CLIENT_CAPACITY)) {
        change->capacity = tb_limits_capacity(limits);
        change->members |= TB_CLIENT_CAPACITY;
    }

    if (!(change->members & TB_CLIENT_RATE)) {
        change->rate = tb_limits_rate(limits);
        change->members |= TB_CLIENT_RATE;
    }

    if ((change->members & TB_CLIENT_TOKENS)
        && change->tokens > change->capacity * TB_TOKEN)
    {
        return ngx_http_tbucket_write_refuse(write,
                                             NGX_HTTP_TBUCKET_TOKENS_RANGE);
    }

    return NGX_OK;
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


ngx_int_t
ngx_http_tbucket_write_apply(ngx_http_tbucket_write_t *write,
    ngx_uint_t from, ngx_uint_t n)
{
    uint64_t                     tokens;
    ngx_uint_t                   i;
    ngx_http_tbucket_change_t   *change;
    ngx_http_tbucket_outcome_e   outcome;

    outcome = NGX_HTTP_TBUCKET_UPDATED;

    for (i = from; i < from + n; i++) {
        change = &write->changes[i];

        if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
            outcome = ngx_http_tbucket_client_remove(write->zone,
                                                     &change->id);
            continue;
        }

        tokens = (change->members & TB_CLIENT_TOKENS)
                 ? change->tokens : NGX_HTTP_TBUCKET_TOKENS_KEEP;

        outcome = ngx_http_tbucket_client_set(write->zone, &change->id,
                                              change->capacity, change->rate,
                                              tokens);

        write->created += (outcome == NGX_HTTP_TBUCKET_CREATED);
        write->updated += (outcome == NGX_HTTP_TBUCKET_UPDATED);

        if (outcome == NGX_HTTP_TBUCKET_NO_ROOM) {
            ngx_log_error(NGX_LOG_ALERT, write->log, 0,
                          "tbucket: zone \"%V\" has no room for a client "
                          "that its store has accepted", &write->zone->name);
        }
    }

    write->outcome = outcome;

    return NGX_OK;
}


void
ngx_http_tbucket_write_each(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_slice_pt slice, ngx_http_tbucket_write_pt then)
{
    write->from = 0;
    write->slice = slice;
    write->then = then;

    write->event.handler = ngx_http_tbucket_write_slices;
    write->event.data = write;
    write->event.log = write->log;

    ngx_http_tbucket_write_slices(&write->event);
}


static void
ngx_http_tbucket_write_slices(ngx_event_t *ev)
{
    uint64_t                   until;
    ngx_int_t                  rc;
    ngx_uint_t                 n;
    ngx_http_tbucket_zone_t   *zone;
    ngx_http_tbucket_write_t  *write;

    write = ev->data;
    zone = write->zone;

    rc = NGX_OK;
    until = ngx_http_tbucket_usec() + NGX_HTTP_TBUCKET_WRITE_TIME;

    while (rc == NGX_OK && write->from < write->n) {

        if (ngx_http_tbucket_usec() > until) {

            if (zone->bulk == write) {
                (void) ngx_gw_leader_claim(&zone->shared->bulk,
                                         NGX_HTTP_TBUCKET_WRITE_TERM);
            }

            ngx_post_event(ev, &ngx_posted_next_events);
            return;
        }

        n = ngx_min(write->n - write->from, NGX_HTTP_TBUCKET_WRITE_SLICE);

        ngx_shmtx_lock(&zone->shpool->mutex);

        rc = write->slice(write, write->from, n);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        write->from += n;
    }

    write->then(write, rc);
}
