
/*
 * Token states back from Redis into buckets: read by the master at a start,
 * or in pages by a worker if Redis was unreachable then.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/limit/tb_client_own.h"
#include "src/core/limit/tb_tokens.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_restore.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


#define NGX_HTTP_TBUCKET_REDIS_STATES  200      /* in a page, about */


static void ngx_http_tbucket_redis_on_states(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static ngx_int_t ngx_http_tbucket_redis_hash(ngx_http_tbucket_rzone_t *rz,
    redisReply *name, ngx_uint_t hashes, tb_hash_t *h);


void
ngx_http_tbucket_redis_ask_states(ngx_http_tbucket_rzone_t *rz)
{
    ngx_http_tbucket_args_t  *args;
    ngx_http_tbucket_save_t  *save;

    save = &rz->save;
    args = &rz->redis->scratch->args;
    args->n = 0;

    if (!save->restoring) {
        save->restoring = 1;
        ngx_memcpy(save->cursor, "0", 2);
    }

    ngx_http_tbucket_redis_literal(args, "HSCAN");
    ngx_http_tbucket_redis_str(args, &rz->tokens);
    ngx_http_tbucket_redis_put(args, save->cursor, ngx_strlen(save->cursor));
    ngx_http_tbucket_redis_literal(args, "COUNT");
    ngx_http_tbucket_redis_literal(args, ngx_value(
                                          NGX_HTTP_TBUCKET_REDIS_STATES));

    if (ngx_gw_redis_query(rz->redis->command,
                           ngx_http_tbucket_redis_on_states, rz,
                           NGX_HTTP_TBUCKET_REDIS_MOST(
                                          NGX_HTTP_TBUCKET_REDIS_STATES),
                           args->n, args->value, args->len)
        == NGX_OK)
    {
        save->busy = 1;
    }
}


static void
ngx_http_tbucket_redis_on_states(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    redisReply                *cursor;
    ngx_http_tbucket_save_t   *save;
    ngx_http_tbucket_rzone_t  *rz = data;

    (void) link;

    save = &rz->save;
    save->busy = 0;

    if (reply == NULL) {
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[0]->len > 20)
    {
        ngx_http_tbucket_redis_refused(rz, NGX_HTTP_TBUCKET_TROUBLE_STATES,
                                       "token states cannot be read", reply);
        return;
    }

    ngx_http_tbucket_redis_fine(rz, NGX_HTTP_TBUCKET_TROUBLE_STATES);

    (void) ngx_http_tbucket_redis_restore(rz, reply->element[1], 0);

    cursor = reply->element[0];
    *ngx_cpymem(save->cursor, cursor->str, cursor->len) = '\0';

    if (ngx_strcmp(save->cursor, "0") == 0) {
        save->restoring = 0;
        gw_store_release(&rz->mirror->restored, 1);
    }
}


ngx_uint_t
ngx_http_tbucket_redis_restore(ngx_http_tbucket_rzone_t *rz, redisReply *list,
    ngx_uint_t hashes)
{
    size_t                       i;
    int64_t                      left;
    uint64_t                     now;
    tb_hash_t                    h;
    ngx_uint_t                   n;
    redisReply                  *value;
    tb_limits_t                  dflt, limits, own;
    tb_registry_entry_t          entry;
    ngx_http_tbucket_zone_t     *zone;
    ngx_http_tbucket_scratch_t  *scratch;

    zone = rz->zone;
    scratch = rz->redis->scratch;
    n = 0;

    if (list->type != REDIS_REPLY_ARRAY) {
        return 0;
    }

    for (i = 0; i + 1 < (size_t) list->elements; i += 2) {
        value = list->element[i + 1];

        if (value->type != REDIS_REPLY_STRING
            || ngx_http_tbucket_redis_hash(rz, list->element[i], hashes, &h)
               != NGX_OK
            || gw_record_read(&scratch->reader, &zone->forms.state,
                              &scratch->client, value->str, value->len)
               != 0)
        {
            continue;
        }

        ngx_shmtx_lock(&zone->shpool->mutex);

        own = tb_registry_find(zone->shared->registry, &h, &entry)
              ? tb_own_slot(entry.limits)
              : (scratch->client.members & TB_CLIENT_PLAN)
              ? ngx_http_tbucket_plan_lent(zone, scratch->client.plan,
                                           scratch->client.plan_len)
              : 0;
        dflt = ngx_http_tbucket_limits(zone, &now);
        limits = tb_table_limits(zone->shared->table, own, dflt);

        left = scratch->client.tokens;

        if (zone->kind == NGX_HTTP_TBUCKET_QUOTA) {
            left += (int64_t) (TB_COST_MAX
                               - scratch->client.quota * TB_TOKEN
                                 / zone->unit);
        }

        left = tb_tokens_credit(left, scratch->client.at,
                                ngx_http_tbucket_redis_time(rz),
                                ngx_http_tbucket_saved_limits(zone, limits));

        if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {

            /* requests end with the process */

            left = (int64_t) TB_COST_MAX;
        }

        /* requests that are served meanwhile need no lock */

        if (!tb_limits_is_full(limits, left)) {
            n += tb_table_lower_tokens(zone->shared->table, &h, now, dflt,
                                       left)
                 || tb_table_put(zone->shared->table, &h, now, dflt, own,
                                 left);
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);
    }

    return n;
}


/* Whose bucket a name is of. */

static ngx_int_t
ngx_http_tbucket_redis_hash(ngx_http_tbucket_rzone_t *rz, redisReply *name,
    ngx_uint_t hashes, tb_hash_t *h)
{
    ngx_uint_t  i, digit;

    if (name->type != REDIS_REPLY_STRING) {
        return NGX_ERROR;
    }

    if (name->len != 33 || name->str[0] != '#') {
        *h = tb_hash(name->str, name->len, rz->zone->shared->secret);
        return gw_id_check(name->str, name->len) == GW_ID_OK ? NGX_OK
                                                             : NGX_ERROR;
    }

    h->lo = 0;
    h->hi = 0;

    for (i = 0; i < 32; i++) {
        digit = ngx_hextoi((u_char *) &name->str[1 + i], 1);

        if (digit > 15) {
            return NGX_ERROR;
        }

        if (i < 16) {
            h->lo = h->lo << 4 | digit;

        } else {
            h->hi = h->hi << 4 | digit;
        }
    }

    return hashes && h->lo != 0 ? NGX_OK : NGX_ERROR;
}
