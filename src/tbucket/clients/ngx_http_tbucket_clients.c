
/*
 * Registry and table, changed together under the zone's mutex.  The hash of
 * the client is noted in shared memory meanwhile, and the registry is
 * changed first: if a worker dies in between, whoever has the mutex next
 * finds the note and brings the table in line with the registry.
 */


#include "src/tbucket/clients/ngx_http_tbucket_clients.h"
#include "src/core/limit/tb_client_own.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"


/* chains of the registry that one call may find empty */
#define NGX_HTTP_TBUCKET_LIST_BUDGET  100000

static void ngx_http_tbucket_client_begin(ngx_http_tbucket_zone_t *zone,
    tb_hash_t *h, uint32_t plan);
static void ngx_http_tbucket_client_end(ngx_http_tbucket_zone_t *zone);
static void ngx_http_tbucket_client_count(ngx_http_tbucket_zone_t *zone,
    uint32_t plan);
static void ngx_http_tbucket_client_mend(ngx_http_tbucket_zone_t *zone);
static void ngx_http_tbucket_client_plan(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client);
static ngx_int_t ngx_http_tbucket_client_fill(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client);


ngx_http_tbucket_outcome_e
ngx_http_tbucket_client_set(ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    const tb_client_t *given, int64_t tokens)
{
    uint32_t                    plan;
    uint64_t                    now;
    tb_hash_t                   h;
    tb_table_t                 *table;
    tb_limits_t                 dflt, own, slot;
    tb_registry_t              *registry;
    tb_registry_status_t        status;

    table = zone->shared->table;
    registry = zone->shared->registry;

    h = tb_hash(id->data, id->len, zone->shared->secret);
    plan = TB_PLAN_NONE;

    if (given->members & TB_CLIENT_PLAN) {
        plan = ngx_http_tbucket_plan_reserve(zone, given->plan,
                                             given->plan_len);

        if (plan == TB_PLAN_NONE) {
            return NGX_HTTP_TBUCKET_NO_ROOM;
        }
    }

    own = tb_client_own(given, plan);
    slot = tb_own_slot(own);

    ngx_http_tbucket_client_begin(zone, &h, plan);

    status = tb_registry_set(registry, &h, id->data, id->len, own);

    if (status == TB_REGISTRY_FULL) {
        ngx_http_tbucket_client_count(zone, zone->shared->edited_plan[0]);
        ngx_http_tbucket_client_end(zone);
        return NGX_HTTP_TBUCKET_NO_ROOM;
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (!tb_table_set_limits(table, &h, now, dflt, slot)
        && !tb_table_put(table, &h, now, dflt, slot,
                         (int64_t) tb_limits_room(tb_table_limits(table, slot,
                                                                  dflt))))
    {
        (void) tb_registry_remove(registry, &h);
        ngx_http_tbucket_client_count(zone, TB_PLAN_NONE);
        ngx_http_tbucket_client_end(zone);
        return NGX_HTTP_TBUCKET_NO_ROOM;
    }

    /* those of a source are set there */

    if (tokens != NGX_HTTP_TBUCKET_TOKENS_KEEP && zone->source == NULL) {
        (void) tb_table_set_tokens(table, &h, now, dflt, tokens
                       + tb_limits_lowest(ngx_http_tbucket_given_limits(zone,
                                                                    given)));
    }

    ngx_http_tbucket_client_count(zone, plan);
    ngx_http_tbucket_client_end(zone);

    return status == TB_REGISTRY_ADDED ? NGX_HTTP_TBUCKET_CREATED
                                       : NGX_HTTP_TBUCKET_UPDATED;
}


void
ngx_http_tbucket_client_given(ngx_http_tbucket_zone_t *zone, tb_limits_t own,
    tb_client_t *given)
{
    uint32_t  plan;

    plan = tb_client_read_own(given, own, zone->forms.kind);

    if (plan != TB_PLAN_NONE) {
        given->plan_len = tb_plan_names_get(zone->shared->names, plan,
                                            given->plan);
        given->plan[given->plan_len] = '\0';
    }
}


tb_limits_t
ngx_http_tbucket_given_limits(ngx_http_tbucket_zone_t *zone,
    const tb_client_t *given)
{
    uint32_t     plan;
    uint64_t     now;
    tb_client_t  c;

    plan = TB_PLAN_NONE;
    c = *given;
    c.members &= ~(TB_CLIENT_BLOCKED | TB_CLIENT_UNLIMITED);

    if (c.members & TB_CLIENT_PLAN) {
        plan = ngx_http_tbucket_plan_find(zone, c.plan, c.plan_len);

        if (plan == TB_PLAN_NONE) {
            c.members = 0;
        }
    }

    return tb_limits_in_force(tb_client_own(&c, plan), zone->shared->plans,
                              ngx_http_tbucket_limits(zone, &now));
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

    ngx_http_tbucket_client_begin(zone, &h, TB_PLAN_NONE);

    if (!tb_registry_remove(zone->shared->registry, &h)) {
        ngx_http_tbucket_client_count(zone, TB_PLAN_NONE);
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

    ngx_http_tbucket_client_count(zone, TB_PLAN_NONE);
    ngx_http_tbucket_client_end(zone);

    return NGX_HTTP_TBUCKET_REMOVED;
}


ngx_http_tbucket_outcome_e
ngx_http_tbucket_client_refill(ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    tb_client_t *given)
{
    int64_t                     full;
    uint64_t                    now;
    tb_hash_t                  *h;
    tb_table_t                 *table;
    ngx_uint_t                  fill;
    tb_limits_t                 dflt;
    tb_result_t                 bucket;
    ngx_http_tbucket_client_t   client;

    ngx_http_tbucket_client_mend(zone);

    table = zone->shared->table;
    dflt = ngx_http_tbucket_limits(zone, &now);

    h = &client.entry.hash;
    *h = tb_hash(id->data, id->len, zone->shared->secret);

    if (id->len > GW_ID_MAX
        || tb_registry_find(zone->shared->registry, h, &client.entry)
        || tb_table_read(table, h, now, dflt, &bucket) != TB_PASS)
    {
        return NGX_HTTP_TBUCKET_MISSING;
    }

    client.entry.limits = 0;
    ngx_http_tbucket_client_plan(zone, &client);

    if (client.plan_len) {
        given->members |= TB_CLIENT_PLAN;
        given->plan_len = client.plan_len;
        ngx_memcpy(given->plan, client.plan, client.plan_len);
        given->plan[client.plan_len] = '\0';
    }

    full = (int64_t) tb_limits_full(bucket.limits);
    fill = !(given->members & TB_CLIENT_TOKENS);

    if (fill) {
        given->members |= TB_CLIENT_TOKENS;
        given->tokens = full;
    }

    if (given->tokens > full) {
        return NGX_HTTP_TBUCKET_TOKENS_RANGE;
    }

    if (zone->source != NULL) {
        return NGX_HTTP_TBUCKET_UPDATED;
    }

    if (!(dflt & TB_LIMITS_PLACES)
        && !tb_table_set_tokens(table, h, now, dflt,
                                given->tokens
                                + tb_limits_lowest(bucket.limits)))
    {
        return NGX_HTTP_TBUCKET_MISSING;
    }

    if (fill) {
        tb_table_forget(table, h, now, dflt, UINT64_MAX);
    }

    return NGX_HTTP_TBUCKET_UPDATED;
}


ngx_int_t
ngx_http_tbucket_client_get(ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    ngx_http_tbucket_client_t *client)
{
    tb_hash_t  h;

    h = tb_hash(id->data, id->len, zone->shared->secret);

    ngx_shmtx_lock(&zone->shpool->mutex);

    client->registered = tb_registry_find(zone->shared->registry, &h,
                                          &client->entry);

    if (!client->registered && id->len <= GW_ID_MAX) {
        client->entry.hash = h;
        client->entry.limits = 0;
        client->entry.len = id->len;
        ngx_memcpy(client->entry.id, id->data, id->len);
    }

    ngx_http_tbucket_client_plan(zone, client);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (client->registered) {
        (void) ngx_http_tbucket_client_fill(zone, client);
        return NGX_OK;
    }

    if (id->len > GW_ID_MAX) {
        return NGX_DECLINED;
    }

    return ngx_http_tbucket_client_fill(zone, client);
}


/*
 * Who has neither limits nor a plan of its own may have one that the last
 * request brought along.
 */

static void
ngx_http_tbucket_client_plan(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client)
{
    tb_limits_t  slot;

    client->plan_len = 0;

    if (!tb_own_is_limited(client->entry.limits)) {
        slot = tb_table_own_limits(zone->shared->table, &client->entry.hash);

        if (tb_plan_number(slot) == TB_PLAN_NONE
            || tb_plan_number(slot) < TB_PLAN_FIRST)
        {
            return;
        }

        client->entry.limits |= slot;
    }

    if (client->entry.limits & TB_LIMITS_PLAN) {
        client->plan_len = tb_plan_names_get(zone->shared->names,
                                       tb_plan_number(client->entry.limits),
                                       client->plan);
    }
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

    for (i = 0; i < *n; i++) {
        clients[i].registered = 1;
        ngx_http_tbucket_client_plan(zone, &clients[i]);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    for (i = 0; i < *n; i++) {
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


/*
 * Notes which client is about to be changed (hash.lo is never 0), and counts it
 * as one of the plan that it is to have.
 */

static void
ngx_http_tbucket_client_begin(ngx_http_tbucket_zone_t *zone, tb_hash_t *h,
    uint32_t plan)
{
    ngx_uint_t                  i;
    tb_registry_entry_t         entry;
    ngx_http_tbucket_shared_t  *shared;

    ngx_http_tbucket_client_mend(zone);

    shared = zone->shared;

    shared->edited_plan[0] = tb_registry_find(shared->registry, h, &entry)
                             ? tb_plan_number(entry.limits) : TB_PLAN_NONE;
    shared->edited_plan[1] = plan;

    for (i = 0; i < 2; i++) {
        shared->edited_members[i] =
            ngx_http_tbucket_plan_members(zone, shared->edited_plan[i]);
    }

    atomic_store_explicit(&shared->edited_hi, h->hi, memory_order_release);
    atomic_store_explicit(&shared->edited_lo, h->lo, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);

    if (plan != TB_PLAN_NONE) {
        tb_plan_join(shared->plans, plan);
    }
}


/*
 * Says how many clients have the plans of the edit, by the one that the client
 * has now, whatever was counted of the edit so far.
 */

static void
ngx_http_tbucket_client_count(ngx_http_tbucket_zone_t *zone, uint32_t plan)
{
    uint32_t                    n;
    ngx_uint_t                  i;
    ngx_http_tbucket_shared_t  *shared;

    shared = zone->shared;

    for (i = 0; i < 2; i++) {
        n = shared->edited_plan[i];

        if (n < shared->plans->n) {
            shared->plans->plan[n].members = shared->edited_members[i]
                                             - (n == shared->edited_plan[0])
                                             + (n == plan);
        }
    }
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
    bool                  found;
    uint64_t              now;
    tb_hash_t             h;
    tb_table_t           *table;
    tb_limits_t           dflt, slot;
    tb_registry_entry_t   entry;

    h.lo = atomic_load_explicit(&zone->shared->edited_lo,
                                memory_order_acquire);
    h.hi = atomic_load_explicit(&zone->shared->edited_hi,
                                memory_order_relaxed);

    if (h.lo == 0) {
        return;
    }

    table = zone->shared->table;
    dflt = ngx_http_tbucket_limits(zone, &now);

    found = tb_registry_find(zone->shared->registry, &h, &entry);
    slot = found ? tb_own_slot(entry.limits) : 0;

    if (!tb_table_set_limits(table, &h, now, dflt, slot) && found) {
        (void) tb_table_put(table, &h, now, dflt, slot,
                            (int64_t) tb_limits_room(
                                       tb_table_limits(table, slot, dflt)));
    }

    ngx_http_tbucket_client_count(zone, found ? tb_plan_number(entry.limits)
                                              : TB_PLAN_NONE);
    ngx_http_tbucket_client_end(zone);
}


/* The rest of what hash and limits say, from its bucket if it has one. */

static ngx_int_t
ngx_http_tbucket_client_fill(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client)
{
    uint64_t     now;
    tb_limits_t  dflt, own;
    tb_result_t  bucket;

    dflt = ngx_http_tbucket_limits(zone, &now);

    own = client->entry.limits & ~(TB_OWN_BLOCKED | TB_OWN_UNLIMITED);
    client->limits = tb_limits_in_force(own, zone->shared->plans, dflt);

    if (tb_table_read(zone->shared->table, &client->entry.hash, now, dflt,
                      &bucket)
        != TB_PASS)
    {
        client->tokens = (int64_t) tb_limits_full(client->limits);
        client->held = 0;

        return NGX_DECLINED;
    }

    client->held = bucket.left;
    client->tokens = zone->source != NULL
                     ? zone->source->tokens(zone, &client->entry.hash,
                                            &bucket)
                     : bucket.left;

    if (zone->kind == NGX_HTTP_TBUCKET_QUOTA) {
        client->tokens -= tb_limits_lowest(client->limits);
    }

    client->tokens = ngx_min(client->tokens,
                             (int64_t) tb_limits_full(client->limits));

    return NGX_OK;
}
