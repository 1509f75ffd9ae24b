
/*
 * Registry and table, changed together under the zone's mutex.  The hash of
 * the client is noted in shared memory meanwhile, and the registry is
 * changed first: if a worker dies in between, whoever has the mutex next
 * finds the note and brings the table in line with the registry.
 */


#include "src/tbucket/clients/ngx_http_tbucket_clients.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"


/* chains of the registry that one call may find empty */
#define NGX_HTTP_TBUCKET_LIST_BUDGET  100000

static void ngx_http_tbucket_client_begin(ngx_http_tbucket_zone_t *zone,
    tb_hash_t *h);
static void ngx_http_tbucket_client_end(ngx_http_tbucket_zone_t *zone);
static void ngx_http_tbucket_client_mend(ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_client_fill(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client);


ngx_http_tbucket_outcome_e
ngx_http_tbucket_client_set(ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    uint32_t capacity, uint64_t rate, uint64_t tokens)
{
    uint64_t                    now;
    tb_hash_t                   h;
    tb_table_t                 *table;
    tb_limits_t                 dflt, limits;
    tb_registry_t              *registry;
    tb_registry_status_t        status;

    table = zone->shared->table;
    registry = zone->shared->registry;

    h = tb_hash(id->data, id->len, zone->shared->secret);
    limits = tb_limits(capacity, rate, TB_LIMITS_REGISTERED);

    ngx_http_tbucket_client_begin(zone, &h);

    status = tb_registry_set(registry, &h, id->data, id->len, limits);

    if (status == TB_REGISTRY_FULL) {
        ngx_http_tbucket_client_end(zone);
        return NGX_HTTP_TBUCKET_NO_ROOM;
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (!tb_table_set_limits(table, &h, now, dflt, limits)
        && !tb_table_put(table, &h, now, dflt, limits,
                         tb_limits_full(limits)))
    {
        (void) tb_registry_remove(registry, &h);
        ngx_http_tbucket_client_end(zone);
        return NGX_HTTP_TBUCKET_NO_ROOM;
    }

    /* those of a source are set there */

    if (tokens != NGX_HTTP_TBUCKET_TOKENS_KEEP && zone->source == NULL) {
        (void) tb_table_set_tokens(table, &h, now, dflt, tokens);
    }

    ngx_http_tbucket_client_end(zone);

    return status == TB_REGISTRY_ADDED ? NGX_HTTP_TBUCKET_CREATED
                                       : NGX_HTTP_TBUCKET_UPDATED;
}


ngx_http_tbucket_outcome_e
ngx_http_tbucket_client_remove(ngx_http_tbucket_zone_t *zone, ngx_str_t *id)
{
    uint64_t      full, now;
    tb_hash_t     h;
    tb_table_t   *table;
    tb_limits_t   dflt;
    tb_result_t   bucket;

    table = zone->shared->table;
    full = UINT64_MAX;

    h = tb_hash(id->data, id->len, zone->shared->secret);

    ngx_http_tbucket_client_begin(zone, &h);

    if (!tb_registry_remove(zone->shared->registry, &h)) {
        ngx_http_tbucket_client_end(zone);
        return NGX_HTTP_TBUCKET_MISSING;
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (tb_table_read(table, &h, now, dflt, &bucket) == TB_PASS
        && tb_limits_is_full(bucket.limits, bucket.left))
    {
        full = (uint64_t) bucket.left;
    }

    (void) tb_table_set_limits(table, &h, now, dflt, 0);
    tb_table_forget(table, &h, now, dflt, full);

    ngx_http_tbucket_client_end(zone);

    return NGX_HTTP_TBUCKET_REMOVED;
}


ngx_int_t
ngx_http_tbucket_client_get(ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    ngx_http_tbucket_client_t *client)
{
    uint64_t   now;
    tb_hash_t  h;

    h = tb_hash(id->data, id->len, zone->shared->secret);

    ngx_shmtx_lock(&zone->shpool->mutex);

    client->registered = tb_registry_find(zone->shared->registry, &h,
                                          &client->entry);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (client->registered) {
        (void) ngx_http_tbucket_client_fill(zone, client);
        return NGX_OK;
    }

    if (id->len > GW_ID_MAX) {
        return NGX_DECLINED;
    }

    client->entry.hash = h;
    client->entry.limits = ngx_http_tbucket_limits(zone, &now);
    client->entry.len = id->len;
    ngx_memcpy(client->entry.id, id->data, id->len);

    return ngx_http_tbucket_client_fill(zone, client);
}


ngx_int_t
ngx_http_tbucket_client_list(ngx_http_tbucket_zone_t *zone, uint64_t *after,
    ngx_http_tbucket_client_t *clients, ngx_uint_t *n)
{
    bool        end;
    ngx_uint_t  i, max;

    max = *n;

    ngx_shmtx_lock(&zone->shpool->mutex);

    *n = tb_registry_list(zone->shared->registry, after,
                          NGX_HTTP_TBUCKET_LIST_BUDGET, &clients->entry,
                          sizeof(ngx_http_tbucket_client_t), max, &end);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    for (i = 0; i < *n; i++) {
        clients[i].registered = 1;
        (void) ngx_http_tbucket_client_fill(zone, &clients[i]);
    }

    return end ? NGX_DONE : *n == max ? NGX_OK : NGX_AGAIN;
}


ngx_int_t
ngx_http_tbucket_client_of_hash(ngx_http_tbucket_zone_t *zone, uint64_t lo,
    ngx_str_t *id)
{
    bool                 found;
    uint32_t             budget;
    tb_registry_entry_t  entry;

    /* no client has the hash 0 */

    if (lo == 0) {
        return NGX_DECLINED;
    }

    budget = 1;

    ngx_shmtx_lock(&zone->shpool->mutex);

    found = tb_registry_next(zone->shared->registry, lo - 1, &budget, &entry);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (!found || entry.hash.lo != lo) {
        return NGX_DECLINED;
    }

    id->len = entry.len;
    ngx_memcpy(id->data, entry.id, entry.len);

    return NGX_OK;
}


void
ngx_http_tbucket_clients_mend(ngx_http_tbucket_zone_t *zone)
{
    if (atomic_load_explicit(&zone->shared->edited_lo, memory_order_relaxed)
        == 0)
    {
        return;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    ngx_http_tbucket_client_mend(zone);

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


/* Notes which client is about to be changed; hash.lo is never 0. */

static void
ngx_http_tbucket_client_begin(ngx_http_tbucket_zone_t *zone, tb_hash_t *h)
{
    ngx_http_tbucket_client_mend(zone);

    atomic_store_explicit(&zone->shared->edited_hi, h->hi,
                          memory_order_release);
    atomic_store_explicit(&zone->shared->edited_lo, h->lo,
                          memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
}


static void
ngx_http_tbucket_client_end(ngx_http_tbucket_zone_t *zone)
{
    atomic_store_explicit(&zone->shared->edited_lo, 0, memory_order_release);
}


/* With the mutex held: a note that is there was left by somebody dead. */

static void
ngx_http_tbucket_client_mend(ngx_http_tbucket_zone_t *zone)
{
    uint64_t              now;
    tb_hash_t             h;
    tb_table_t           *table;
    tb_limits_t           dflt;
    tb_registry_entry_t   entry;

    table = zone->shared->table;
    dflt = ngx_http_tbucket_limits(zone, &now);

    h.lo = atomic_load_explicit(&zone->shared->edited_lo,
                                memory_order_acquire);
    h.hi = atomic_load_explicit(&zone->shared->edited_hi,
                                memory_order_relaxed);

    if (h.lo == 0) {
        return;
    }

    if (!tb_registry_find(zone->shared->registry, &h, &entry)) {
        (void) tb_table_set_limits(table, &h, now, dflt, 0);

    } else if (!tb_table_set_limits(table, &h, now, dflt, entry.limits)) {
        (void) tb_table_put(table, &h, now, dflt, entry.limits,
                            tb_limits_full(entry.limits));
    }

    ngx_http_tbucket_client_end(zone);
}


/* The rest of what hash and limits say, from its bucket if it has one. */

static ngx_int_t
ngx_http_tbucket_client_fill(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client)
{
    uint64_t     now;
    tb_limits_t  dflt;
    tb_result_t  bucket;

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (tb_table_read(zone->shared->table, &client->entry.hash, now, dflt,
                      &bucket)
        != TB_PASS)
    {
        client->tokens = tb_limits_full(client->entry.limits);
        client->held = 0;

        return NGX_DECLINED;
    }

    client->entry.limits = bucket.limits;
    client->held = bucket.left;
    client->tokens = zone->source != NULL
                     ? zone->source->tokens(zone, &client->entry.hash, &bucket)
                     : (uint64_t) bucket.left;

    return NGX_OK;
}
