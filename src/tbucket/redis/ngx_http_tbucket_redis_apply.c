
/*
 * From what was read of Redis to shared memory: one client at a time, so
 * that the mutex is never held for long.
 */


#include "src/tbucket/redis/ngx_http_tbucket_redis_apply.h"


/* chains of the registry that one call may find empty */
#define NGX_HTTP_TBUCKET_REDIS_BUDGET  10000


static void ngx_http_tbucket_redis_apply_item(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, redisReply *name, redisReply *value);
static ngx_uint_t ngx_http_tbucket_redis_differs(
    ngx_http_tbucket_rzone_t *rz, ngx_http_tbucket_view_t *view,
    ngx_str_t *id, redisReply *value);
static void ngx_http_tbucket_redis_set(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, ngx_str_t *id, tb_client_t *client);


ngx_int_t
ngx_http_tbucket_redis_apply(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view)
{
    size_t           i;
    ngx_uint_t       covered;
    ngx_shmtx_t     *mutex;
    redisReply     **items;

    mutex = &rz->zone->shpool->mutex;
    items = view->items->element;

    for (i = 0; i + 1 < (size_t) view->items->elements; i += 2) {

        if (items[i]->type != REDIS_REPLY_STRING
            || (items[i + 1]->type != REDIS_REPLY_STRING
                && items[i + 1]->type != REDIS_REPLY_NIL))
        {
            return NGX_ERROR;
        }

        ngx_http_tbucket_redis_apply_item(rz, view, items[i], items[i + 1]);
    }

    /* the floor may have been raised meanwhile, and items been left out */

    ngx_shmtx_lock(mutex);

    covered = tb_recent_covers(&rz->mirror->recent, &view->last);

    ngx_shmtx_unlock(mutex);

    return covered ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_tbucket_redis_apply_item(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, redisReply *name, redisReply *value)
{
    char                         error[128];
    ngx_str_t                    id;
    ngx_uint_t                   shard;
    gw_id_status_t               status;
    ngx_http_tbucket_scratch_t  *scratch;

    id.data = (u_char *) name->str;
    id.len = name->len;

    status = gw_id_check(name->str, id.len);

    if (status != GW_ID_OK) {

        if (value->type == REDIS_REPLY_STRING) {
            (void) snprintf(error, sizeof(error), "the id %s",
                            gw_id_error(status));
            ngx_http_tbucket_redis_malformed(rz, &rz->clients, name, value,
                                             error);
        }

        return;
    }

    shard = ngx_http_tbucket_redis_shard(rz->redis, id.data, id.len);

    if (shard != rz->shard) {

        if (value->type == REDIS_REPLY_STRING) {
            (void) snprintf(error, sizeof(error), "the client's shard is %u",
                            (unsigned) shard);
            ngx_http_tbucket_redis_malformed(rz, &rz->clients, name, value,
                                             error);
        }

        return;
    }

    if (!ngx_http_tbucket_redis_differs(rz, view, &id, value)) {
        return;
    }

    scratch = rz->redis->scratch;

    if (gw_record_read(&scratch->reader, &rz->zone->forms.value,
                       &scratch->client, value->str, value->len)
        != 0)
    {
        ngx_http_tbucket_redis_malformed(rz, &rz->clients, name, value,
                                         scratch->reader.json.error);
        return;
    }

    ngx_http_tbucket_redis_set(rz, view, &id, &scratch->client);
}


/*
 * Whether the value has to be read: most are as they were, and printed alike.
 * A client that has no value is removed right here.
 */

static ngx_uint_t
ngx_http_tbucket_redis_differs(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, ngx_str_t *id, redisReply *value)
{
    char                        text[TB_CLIENT_VALUE_SIZE];
    bool                        found;
    size_t                      len;
    tb_hash_t                   h;
    ngx_uint_t                  known;
    tb_recent_t                *recent;
    tb_registry_entry_t         entry;
    ngx_http_tbucket_zone_t    *zone;

    zone = rz->zone;
    recent = &rz->mirror->recent;

    h = tb_hash(id->data, id->len, zone->shared->secret);

    ngx_shmtx_lock(&zone->shpool->mutex);

    known = !tb_recent_covers(recent, &view->last)
            || !tb_recent_allows(recent, h.lo, &view->last);

    found = tb_registry_find(zone->shared->registry, &h, &entry);

    if (!known && value->type == REDIS_REPLY_NIL) {

        if (found) {
            (void) ngx_http_tbucket_client_remove(zone, id);
        }

        known = 1;
    }

    if (!known && found) {
        ngx_http_tbucket_client_given(zone, entry.limits,
                                      &rz->redis->scratch->known);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (known || !found) {
        return !known;
    }

    len = tb_client_print(text, &rz->redis->scratch->known, zone->unit);

    return len != (size_t) value->len
           || ngx_memcmp(text, value->str, len) != 0;
}


static void
ngx_http_tbucket_redis_set(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, ngx_str_t *id, tb_client_t *client)
{
    tb_hash_t                    h;
    tb_recent_t                 *recent;
    ngx_http_tbucket_zone_t     *zone;
    ngx_http_tbucket_outcome_e   outcome;

    zone = rz->zone;
    recent = &rz->mirror->recent;
    outcome = NGX_HTTP_TBUCKET_UPDATED;

    h = tb_hash(id->data, id->len, zone->shared->secret);

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (tb_recent_covers(recent, &view->last)
        && tb_recent_allows(recent, h.lo, &view->last))
    {
        outcome = ngx_http_tbucket_client_set(zone, id, client,
                                              NGX_HTTP_TBUCKET_TOKENS_KEEP);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (outcome == NGX_HTTP_TBUCKET_NO_ROOM) {
        ngx_http_tbucket_store_crowded(zone);
    }
}


void
ngx_http_tbucket_redis_malformed(ngx_http_tbucket_rzone_t *rz,
    ngx_str_t *key, redisReply *name, redisReply *value, const char *reason)
{
    char        quoted[GW_JSON_QUOTE_SIZE];
    uint32_t    hash;
    ngx_uint_t  i, n;

    hash = ngx_crc32_long((u_char *) name->str, name->len)
           ^ ngx_crc32_short((u_char *) value->str, value->len) * 31;

    n = sizeof(rz->reported) / sizeof(rz->reported[0]);

    for (i = 0; i < ngx_min(rz->nreported, n); i++) {
        if (rz->reported[i] == hash) {
            return;
        }
    }

    if (rz->nreported > n) {
        return;
    }

    if (rz->nreported++ == n) {
        ngx_log_error(NGX_LOG_ERR, rz->redis->log, 0,
                      "tbucket_store: \"%V\" has more malformed values, "
                      "which are skipped, too", key);
        return;
    }

    rz->reported[i] = hash;

    ngx_log_error(NGX_LOG_ERR, rz->redis->log, 0,
                  "tbucket_store: value of \"%s\" in \"%V\" is skipped: %s",
                  gw_json_quote(quoted, name->str, name->len), key, reason);
}


ngx_uint_t
ngx_http_tbucket_redis_list(ngx_http_tbucket_rzone_t *rz, uint64_t *after,
    tb_registry_entry_t *entries, ngx_uint_t *end)
{
    bool                      last;
    size_t                    some, max;
    ngx_uint_t                n;
    ngx_http_tbucket_zone_t  *zone;

    zone = rz->zone;
    n = 0;

    do {
        max = ngx_min(64, NGX_HTTP_TBUCKET_REDIS_PAGE - n);

        ngx_shmtx_lock(&zone->shpool->mutex);

        some = tb_registry_list(zone->shared->registry, after,
                                NGX_HTTP_TBUCKET_REDIS_BUDGET, &entries[n],
                                sizeof(tb_registry_entry_t), max, &last);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        n += some;

    } while (some == max && n < NGX_HTTP_TBUCKET_REDIS_PAGE);

    *end = last;

    return n;
}
