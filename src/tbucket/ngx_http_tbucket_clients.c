
/*
 * Registry and table, changed together under the zone's mutex.  The registry
 * is changed first: if a worker dies in between, the refill ticker brings
 * the table in line with it.
 */


#include "src/tbucket/ngx_http_tbucket_clients.h"


/* chains of the registry that one call may find empty */
#define NGX_HTTP_TBUCKET_LIST_BUDGET  100000

/* entries that one tick mends, and chains that it may find empty */
#define NGX_HTTP_TBUCKET_MEND_SLICE   64
#define NGX_HTTP_TBUCKET_MEND_BUDGET  2000


static void ngx_http_tbucket_client_fill(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client);


ngx_http_tbucket_outcome_e
ngx_http_tbucket_client_set(ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    uint32_t capacity, uint64_t rate, uint64_t tokens)
{
    tb_hash_t                   h;
    tb_table_t                 *table;
    tb_limits_t                 limits;
    tb_registry_t              *registry;
    tb_registry_status_t        status;

    table = zone->shared->table;
    registry = zone->shared->registry;

    h = tb_hash(id->data, id->len, zone->shared->secret);
    limits = tb_limits(capacity, rate, TB_LIMITS_REGISTERED);

    status = tb_registry_set(registry, &h, id->data, id->len, limits);

    if (status == TB_REGISTRY_FULL) {
        return NGX_HTTP_TBUCKET_NO_ROOM;
    }

    if (!tb_table_set_limits(table, &h, ngx_current_msec, zone->limits,
                             limits)
        && !tb_table_put(table, &h, ngx_current_msec, zone->limits, limits,
                         tb_limits_full(limits)))
    {
        (void) tb_registry_remove(registry, &h);
        return NGX_HTTP_TBUCKET_NO_ROOM;
    }

    if (tokens != NGX_HTTP_TBUCKET_TOKENS_KEEP) {
        (void) tb_table_set_tokens(table, &h, ngx_current_msec, zone->limits,
                                   tokens);
    }

    return status == TB_REGISTRY_ADDED ? NGX_HTTP_TBUCKET_CREATED
                                       : NGX_HTTP_TBUCKET_UPDATED;
}


ngx_http_tbucket_outcome_e
ngx_http_tbucket_client_remove(ngx_http_tbucket_zone_t *zone, ngx_str_t *id)
{
    tb_hash_t  h;

    h = tb_hash(id->data, id->len, zone->shared->secret);

    if (!tb_registry_remove(zone->shared->registry, &h)) {
        return NGX_HTTP_TBUCKET_MISSING;
    }

    (void) tb_table_set_limits(zone->shared->table, &h, ngx_current_msec,
                               zone->limits, 0);

    return NGX_HTTP_TBUCKET_REMOVED;
}


ngx_int_t
ngx_http_tbucket_client_get(ngx_http_tbucket_zone_t *zone, ngx_str_t *id,
    ngx_http_tbucket_client_t *client)
{
    tb_hash_t    h;
    tb_result_t  bucket;

    h = tb_hash(id->data, id->len, zone->shared->secret);

    ngx_shmtx_lock(&zone->shpool->mutex);

    client->registered = tb_registry_find(zone->shared->registry, &h,
                                          &client->entry);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (client->registered) {
        ngx_http_tbucket_client_fill(zone, client);
        return NGX_OK;
    }

    if (id->len > TB_REGISTRY_ID_MAX
        || tb_table_read(zone->shared->table, &h, ngx_current_msec,
                         zone->limits, &bucket)
           != TB_PASS)
    {
        return NGX_DECLINED;
    }

    client->entry.hash = h;
    client->entry.limits = bucket.limits;
    client->entry.len = id->len;
    ngx_memcpy(client->entry.id, id->data, id->len);
    client->tokens = bucket.left;

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_client_list(ngx_http_tbucket_zone_t *zone, uint64_t *after,
    ngx_http_tbucket_client_t *clients, ngx_uint_t *n)
{
    bool        more;
    uint32_t    budget;
    ngx_uint_t  i, max;

    max = *n;
    more = true;
    budget = NGX_HTTP_TBUCKET_LIST_BUDGET;

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (i = 0; i < max; i++) {
        more = tb_registry_next(zone->shared->registry, *after, &budget,
                                &clients[i].entry);

        if (more || budget == 0) {
            *after = clients[i].entry.hash.lo;
        }

        if (!more) {
            break;
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    for (*n = i, i = 0; i < *n; i++) {
        clients[i].registered = 1;
        ngx_http_tbucket_client_fill(zone, &clients[i]);
    }

    return more ? NGX_OK : budget == 0 ? NGX_AGAIN : NGX_DONE;
}


void
ngx_http_tbucket_clients_mend(ngx_http_tbucket_zone_t *zone, uint64_t *after)
{
    uint32_t             budget;
    ngx_uint_t           i;
    tb_table_t          *table;
    tb_result_t          bucket;
    tb_registry_entry_t  entry;

    table = zone->shared->table;
    budget = NGX_HTTP_TBUCKET_MEND_BUDGET;

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (i = 0; i < NGX_HTTP_TBUCKET_MEND_SLICE; i++) {

        if (!tb_registry_next(zone->shared->registry, *after, &budget,
                              &entry))
        {
            *after = budget == 0 ? entry.hash.lo : 0;
            break;
        }

        *after = entry.hash.lo;

        if (tb_table_read(table, &entry.hash, ngx_current_msec, zone->limits,
                          &bucket)
            == TB_PASS)
        {
            if (bucket.limits != entry.limits) {
                (void) tb_table_set_limits(table, &entry.hash,
                                           ngx_current_msec, zone->limits,
                                           entry.limits);
            }

            continue;
        }

        (void) tb_table_put(table, &entry.hash, ngx_current_msec,
                            zone->limits, entry.limits,
                            tb_limits_full(entry.limits));
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


static void
ngx_http_tbucket_client_fill(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_client_t *client)
{
    tb_result_t  bucket;

    if (tb_table_read(zone->shared->table, &client->entry.hash,
                      ngx_current_msec, zone->limits, &bucket)
        == TB_PASS)
    {
        client->entry.limits = bucket.limits;
        client->tokens = bucket.left;
        return;
    }

    client->tokens = tb_limits_full(client->entry.limits);
}
