
/*
 * The Redis store in the master: at a start clients and token states are in
 * place before the first request, if Redis can be reached; at the end the
 * last states are saved.  Both block, and neither for long.
 */


#include "src/redis/ngx_gw_redis_sync.h"
#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_load.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_apply.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_plans.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_restore.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_seed.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_shards.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_tokens.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


/* ms that a start or reload, and the end, wait for Redis at most */
#define NGX_HTTP_TBUCKET_REDIS_LOAD    10000
#define NGX_HTTP_TBUCKET_REDIS_FINISH  4000

#define NGX_HTTP_TBUCKET_REDIS_LARGE   1000     /* in a page, about */


/* One shard that is being loaded, or whose last states are saved. */

typedef struct {
    ngx_gw_redis_sync_t       *sync;
    ngx_http_tbucket_rzone_t  *rz;
    ngx_uint_t                 unused;   /* nothing has been counted yet */
    ngx_uint_t                 clients;  /* there were some */
    ngx_uint_t                 secret;   /* of the states is ours */
    ngx_uint_t                 named;    /* the zone's is that of states */
    ngx_uint_t                 restored; /* buckets */
    char                       error[NGX_GW_REDIS_REASON];
} ngx_http_tbucket_rload_t;


static ngx_int_t ngx_http_tbucket_redis_prepare(
    ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);
static ngx_uint_t ngx_http_tbucket_redis_enter(ngx_http_tbucket_rzone_t *rz);
static ngx_uint_t ngx_http_tbucket_redis_is_unused(
    ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_redis_load_zone(
    ngx_gw_redis_sync_t *sync, ngx_http_tbucket_rzone_t *first);
static ngx_int_t ngx_http_tbucket_redis_load_number(
    ngx_http_tbucket_rload_t *l);
static ngx_int_t ngx_http_tbucket_redis_load_shard(
    ngx_http_tbucket_rload_t *l);
static void ngx_http_tbucket_redis_unloaded(ngx_http_tbucket_rload_t *l);
static ngx_int_t ngx_http_tbucket_redis_load_epoch(
    ngx_http_tbucket_rload_t *l);
static ngx_int_t ngx_http_tbucket_redis_load_secret(
    ngx_http_tbucket_rload_t *l);
static ngx_int_t ngx_http_tbucket_redis_load_plans(
    ngx_http_tbucket_rload_t *l);
static ngx_int_t ngx_http_tbucket_redis_load_clients(
    ngx_http_tbucket_rload_t *l);
static ngx_int_t ngx_http_tbucket_redis_load_states(
    ngx_http_tbucket_rload_t *l);
static redisReply *ngx_http_tbucket_redis_ask(ngx_http_tbucket_rload_t *l,
    size_t most);
static void ngx_http_tbucket_redis_away(ngx_http_tbucket_redis_t *redis,
    const char *reason);
static void ngx_http_tbucket_redis_finish_zone(ngx_gw_redis_sync_t *sync,
    ngx_http_tbucket_rzone_t *first);
static ngx_int_t ngx_http_tbucket_redis_finish_shard(
    ngx_http_tbucket_rload_t *l);


ngx_int_t
ngx_http_tbucket_redis_load(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_uint_t                 i, due;
    ngx_gw_redis_sync_t        sync;
    ngx_http_tbucket_redis_t  *redis;

    redis = store->data;

    if (ngx_http_tbucket_redis_prepare(store, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    due = 0;

    for (i = 0; i < redis->nzones; i++) {
        due |= ngx_http_tbucket_redis_enter(&redis->zones[i]);
    }

    if (!due) {
        return NGX_OK;
    }

    if (ngx_gw_redis_sync_open(&sync, &redis->conf,
                               NGX_HTTP_TBUCKET_REDIS_LOAD)
        != NGX_OK)
    {
        ngx_http_tbucket_redis_away(redis, sync.reason);
        return NGX_OK;
    }

    for (i = 0; i < redis->nzones; i += redis->nshards) {
        if (ngx_http_tbucket_redis_load_zone(&sync, &redis->zones[i])
            != NGX_OK)
        {
            ngx_http_tbucket_redis_away(redis, sync.reason);
            break;
        }
    }

    ngx_gw_redis_sync_close(&sync);

    return NGX_OK;
}


/* The workers go on with it, and tell when Redis is back. */

static void
ngx_http_tbucket_redis_away(ngx_http_tbucket_redis_t *redis,
    const char *reason)
{
    ngx_uint_t  i;

    if (!atomic_exchange_explicit(&redis->zones[0].mirror->lost, 1,
                                  memory_order_relaxed))
    {
        ngx_log_error(NGX_LOG_ERR, redis->log, 0,
                      "tbucket_store: redis %V is unreachable: %s",
                      &redis->conf.name, reason);
    }

    for (i = 0; i < redis->nzones; i++) {
        ngx_http_tbucket_store_down(redis->zones[i].zone, 1);
    }
}


/* Once all zones of the configuration are known. */

static ngx_int_t
ngx_http_tbucket_redis_prepare(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_str_t                 *prefix;
    size_t                     size;
    ngx_uint_t                 i, n, shard;
    ngx_http_tbucket_redis_t  *redis;
    ngx_http_tbucket_zone_t  **zones;
    ngx_http_tbucket_rzone_t  *rz;

    redis = store->data;
    redis->log = cycle->log;
    redis->nshards = store->shards;

    zones = store->mcf->zones.elts;
    n = store->mcf->zones.nelts * redis->nshards;

    size = n * sizeof(ngx_http_tbucket_rzone_t);

    redis->zones = ngx_pcalloc(cycle->pool, size + 1);
    redis->scratch = ngx_palloc(cycle->pool,
                                sizeof(ngx_http_tbucket_scratch_t));

    if (redis->zones == NULL || redis->scratch == NULL) {
        return NGX_ERROR;
    }

    prefix = &store->prefix;

    redis->identity = ngx_crc32_long(redis->conf.name.data,
                                     redis->conf.name.len);
    redis->identity = redis->identity << 32
                      | (ngx_crc32_long(prefix->data, prefix->len)
                         + redis->conf.db * 2 + 1);

    for (i = 0; i < n; i++) {
        rz = &redis->zones[i];
        shard = i % redis->nshards;

        rz->zone = zones[i / redis->nshards];
        rz->shard = shard;
        rz->first = rz - shard;
        rz->mirror = &rz->zone->shared->mirror[shard];
        rz->redis = redis;
        rz->reading.rz = rz;

        if (ngx_http_tbucket_redis_keys(rz, cycle->pool) != NGX_OK
            || (rz->zone->source != NULL
                && rz->zone->source->create(rz, cycle) != NGX_OK))
        {
            return NGX_ERROR;
        }
    }

    redis->nzones = n;

    return NGX_OK;
}


/* Whether what is known about the zone is of no other Redis, or of none. */

static ngx_uint_t
ngx_http_tbucket_redis_enter(ngx_http_tbucket_rzone_t *rz)
{
    char                        token[NGX_HTTP_TBUCKET_EPOCH_SIZE];
    uint64_t                    store;
    ngx_http_tbucket_mirror_t  *mirror;

    mirror = rz->mirror;

    ngx_shmtx_lock(&rz->zone->shpool->mutex);

    store = gw_load_relaxed(&mirror->store);

    if (store != rz->redis->identity) {
        if (rz->zone->source != NULL && store != 0) {
            rz->zone->source->anew(rz->zone, rz->shard);
        }

        gw_store_relaxed(&mirror->store, rz->redis->identity);
        gw_store_release(&mirror->agreed, NGX_HTTP_TBUCKET_AGREED_UNKNOWN);
        atomic_store_explicit(&mirror->lost, 0, memory_order_relaxed);
        mirror->epoch[0] = '\0';
        mirror->position.ms = 0;
        mirror->position.seq = 0;
        gw_store_relaxed(&mirror->restored, 0);
        tb_recent_clear(&mirror->recent);
        ngx_memzero(mirror->trouble, sizeof(mirror->trouble));
        gw_store_release(&mirror->troubled, 0);
        gw_store_release(&mirror->demoted, 0);

        ngx_http_tbucket_redis_new_epoch(token, 0);
        ngx_memcpy(mirror->token, token, NGX_HTTP_TBUCKET_TOKEN_SIZE);
    }

    ngx_shmtx_unlock(&rz->zone->shpool->mutex);

    return mirror->epoch[0] == '\0';
}


static ngx_uint_t
ngx_http_tbucket_redis_is_unused(ngx_http_tbucket_zone_t *zone)
{
    uint32_t  i, n;

    i = 0;

    return ngx_http_tbucket_redis_has_none(zone)
           && !tb_table_each(zone->shared->table, &i, &n);
}


/* NGX_ERROR: nothing more can be read. */

static ngx_int_t
ngx_http_tbucket_redis_load_zone(ngx_gw_redis_sync_t *sync,
    ngx_http_tbucket_rzone_t *first)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i, loaded, whole;
    ngx_http_tbucket_zone_t   *zone;
    ngx_http_tbucket_rload_t   l;

    ngx_memzero(&l, sizeof(ngx_http_tbucket_rload_t));

    zone = first->zone;
    l.sync = sync;
    l.rz = first;

    ngx_time_update();

    l.unused = ngx_http_tbucket_redis_is_unused(zone);
    l.clients = !ngx_http_tbucket_redis_has_none(zone);

    loaded = 0;
    whole = 1;
    rc = ngx_http_tbucket_redis_load_number(&l);

    /* before any client has a hash */

    for (i = 0; rc == NGX_OK && i < first->redis->nshards && l.unused
                && zone->source == NULL && !l.named; i++)
    {
        l.rz = &first[i];
        rc = ngx_http_tbucket_redis_load_secret(&l);
    }

    for (i = 0; rc == NGX_OK && i < first->redis->nshards; i++) {
        l.rz = &first[i];
        l.error[0] = '\0';

        if (l.rz->mirror->epoch[0] != '\0') {
            continue;
        }

        switch (ngx_http_tbucket_redis_load_shard(&l)) {

        case NGX_OK:
            loaded++;
            break;

        case NGX_DECLINED:
            whole = 0;
            break;

        default: /* NGX_ERROR */
            whole = 0;

            if (!ngx_gw_redis_sync_is_open(sync)) {
                rc = NGX_ERROR;
                break;
            }

            ngx_http_tbucket_redis_unloaded(&l);
        }
    }

    if (loaded == 0) {
        return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    ngx_log_error(NGX_LOG_NOTICE, first->redis->log, 0,
                  "tbucket_store: zone \"%V\": %uD clients read, %ui drained "
                  "buckets restored", &zone->name,
                  gw_load_acquire(&zone->shared->registry->entries),
                  l.restored);

    if (whole && rc == NGX_OK) {
        ngx_http_tbucket_store_synced(zone);
    }

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


static void
ngx_http_tbucket_redis_unloaded(ngx_http_tbucket_rload_t *l)
{
    ngx_http_tbucket_redis_trouble(l->rz, NGX_HTTP_TBUCKET_TROUBLE_STREAM,
                                   "clients could not be read",
                                   l->error[0] ? l->error
                                   : "the reply makes no sense");
    ngx_http_tbucket_store_down(l->rz->zone, 1);
}


/*
 * Whether Redis has the zone in as many shards, or in none yet.  NGX_DECLINED:
 * it is not known, or it has not: the workers see to that, and tell.
 */

static ngx_int_t
ngx_http_tbucket_redis_load_number(ngx_http_tbucket_rload_t *l)
{
    char                       number[NGX_INT_T_LEN + 1];
    ngx_int_t                  rc;
    ngx_uint_t                 agreed, found;
    redisReply                *reply;
    ngx_http_tbucket_args_t   *args;
    ngx_http_tbucket_rzone_t  *first;

    first = l->rz;
    args = &first->redis->scratch->args;

    *ngx_sprintf((u_char *) number, "%ui", first->redis->nshards) = '\0';

    args->n = 0;
    ngx_http_tbucket_redis_literal(args, "SET");
    ngx_http_tbucket_redis_str(args, &first->shards);
    ngx_http_tbucket_redis_put(args, number, ngx_strlen(number));
    ngx_http_tbucket_redis_literal(args, "NX");

    reply = ngx_http_tbucket_redis_ask(l, GW_REDIS_REPLY);

    if (reply != NULL) {
        freeReplyObject(reply);

    } else if (!ngx_gw_redis_sync_is_open(l->sync)) {
        return NGX_ERROR;
    }

    args->n = 0;
    ngx_http_tbucket_redis_literal(args, "GET");
    ngx_http_tbucket_redis_str(args, &first->shards);

    reply = ngx_http_tbucket_redis_ask(l, GW_REDIS_REPLY);

    if (reply == NULL && !ngx_gw_redis_sync_is_open(l->sync)) {
        return NGX_ERROR;
    }

    if (reply == NULL) {
        ngx_http_tbucket_redis_unloaded(l);
        return NGX_DECLINED;
    }

    /* as long as it is not there, nobody has said otherwise */

    agreed = (reply->type == REDIS_REPLY_NIL);

    if (reply->type == REDIS_REPLY_STRING) {
        rc = ngx_http_tbucket_redis_judge_shards(first, reply, &found);
        agreed = (rc && found == first->redis->nshards);
    }

    freeReplyObject(reply);

    if (!agreed) {
        return NGX_DECLINED;
    }

    gw_store_release(&first->mirror->agreed, NGX_HTTP_TBUCKET_AGREED);

    return NGX_OK;
}


/*
 * NGX_DECLINED: what memory holds is for the workers to compare, or to give;
 * NGX_ERROR: there was no answer.
 */

static ngx_int_t
ngx_http_tbucket_redis_load_shard(ngx_http_tbucket_rload_t *l)
{
    ngx_int_t                 rc;
    ngx_http_tbucket_zone_t  *zone;

    zone = l->rz->zone;

    /* what is not read now is for the workers to compare */

    gw_store_release(&l->rz->mirror->stale, 1);

    rc = ngx_http_tbucket_redis_load_epoch(l);

    if (rc != NGX_OK) {
        return rc;
    }

    if (l->unused && zone->source == NULL
        && ngx_http_tbucket_redis_load_secret(l) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* tokens that are leased are in Redis anyway */

    if ((l->rz == l->rz->first
         && ngx_http_tbucket_redis_load_plans(l) != NGX_OK)
        || ngx_http_tbucket_redis_load_clients(l) != NGX_OK
        || (zone->source == NULL
            && ngx_http_tbucket_redis_load_states(l) != NGX_OK))
    {
        return NGX_ERROR;
    }

    gw_store_release(&l->rz->mirror->restored, 1);
    gw_store_release(&l->rz->mirror->stale, l->clients);

    return NGX_OK;
}


/* NGX_DECLINED: Redis is empty, and we are not. */

static ngx_int_t
ngx_http_tbucket_redis_load_epoch(ngx_http_tbucket_rload_t *l)
{
    char                       epoch[NGX_HTTP_TBUCKET_EPOCH_SIZE];
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    redisReply                *reply;
    ngx_http_tbucket_view_t    view;
    ngx_http_tbucket_args_t   *args;
    ngx_http_tbucket_rzone_t  *rz;

    rz = l->rz;
    args = &rz->redis->scratch->args;

    for (i = 0; i < 3; i++) {
        ngx_http_tbucket_redis_read(rz, args, &rz->clients, "get");

        reply = ngx_http_tbucket_redis_ask(l, GW_REDIS_REPLY);

        if (reply == NULL) {
            return NGX_ERROR;
        }

        rc = ngx_http_tbucket_redis_view(&view, reply);

        if (rc == NGX_OK) {
            ngx_http_tbucket_redis_set_time(rz, view.time);
            rc = ngx_http_tbucket_redis_judge(rz, &view);

            if (rc == NGX_DECLINED) {
                rz->mirror->position = view.last;
            }
        }

        freeReplyObject(reply);

        if (rc != NGX_AGAIN) {
            return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
        }

        if (l->clients) {
            return NGX_DECLINED;
        }

        ngx_http_tbucket_redis_new_epoch(epoch, 1);
        ngx_http_tbucket_redis_seed_args(rz, args, &rz->clients, epoch);

        reply = ngx_http_tbucket_redis_ask(l, GW_REDIS_REPLY);

        if (reply == NULL) {
            return NGX_ERROR;
        }

        rc = ngx_http_tbucket_redis_is(reply, "BUSY");

        freeReplyObject(reply);

        if (rc) {
            return NGX_DECLINED;
        }
    }

    return NGX_DECLINED;
}


/*
 * The hashes of the states are of this secret, so it becomes ours; that of
 * any other shard is the same, or its hashes are of no use.
 */

static ngx_int_t
ngx_http_tbucket_redis_load_secret(ngx_http_tbucket_rload_t *l)
{
    uint8_t                   secret[TB_SECRET_SIZE];
    ngx_int_t                 byte;
    ngx_uint_t                i;
    redisReply               *reply;
    ngx_http_tbucket_args_t  *args;

    args = &l->rz->redis->scratch->args;
    args->n = 0;
    l->secret = 0;

    ngx_http_tbucket_redis_literal(args, "GET");
    ngx_http_tbucket_redis_str(args, &l->rz->secret);

    reply = ngx_http_tbucket_redis_ask(l, GW_REDIS_REPLY);

    if (reply == NULL) {
        return NGX_ERROR;
    }

    if (reply->type == REDIS_REPLY_STRING
        && reply->len == 2 * TB_SECRET_SIZE)
    {
        for (i = 0; i < TB_SECRET_SIZE; i++) {
            byte = ngx_hextoi((u_char *) &reply->str[2 * i], 2);

            if (byte == NGX_ERROR) {
                break;
            }

            secret[i] = (uint8_t) byte;
        }

        if (i == TB_SECRET_SIZE && !l->named) {
            ngx_memcpy(l->rz->zone->shared->secret, secret, TB_SECRET_SIZE);
            l->named = 1;
        }

        l->secret = (i == TB_SECRET_SIZE
                     && ngx_memcmp(l->rz->zone->shared->secret, secret,
                                   TB_SECRET_SIZE)
                        == 0);
    }

    freeReplyObject(reply);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_redis_load_plans(ngx_http_tbucket_rload_t *l)
{
    ngx_int_t                  rc;
    redisReply                *reply;
    ngx_http_tbucket_view_t    view;
    ngx_http_tbucket_rzone_t  *rz;

    rz = l->rz;

    ngx_http_tbucket_redis_plans_args(rz, &rz->redis->scratch->args);

    reply = ngx_http_tbucket_redis_ask(l, NGX_HTTP_TBUCKET_REDIS_MOST(
                                              NGX_HTTP_TBUCKET_REDIS_LARGE));

    if (reply == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_tbucket_redis_view(&view, reply);

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_redis_plans_apply(rz, &view);
    }

    freeReplyObject(reply);

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_redis_load_clients(ngx_http_tbucket_rload_t *l)
{
    char                       cursor[24];
    ngx_int_t                  rc;
    redisReply                *reply;
    ngx_http_tbucket_view_t    view;
    ngx_http_tbucket_args_t   *args;
    ngx_http_tbucket_rzone_t  *rz;

    rz = l->rz;
    args = &rz->redis->scratch->args;

    ngx_memcpy(cursor, "0", 2);

    do {
        ngx_http_tbucket_redis_read(rz, args, &rz->clients, "scan");
        ngx_http_tbucket_redis_put(args, cursor, ngx_strlen(cursor));
        ngx_http_tbucket_redis_literal(args, ngx_value(
                                           NGX_HTTP_TBUCKET_REDIS_LARGE));

        reply = ngx_http_tbucket_redis_ask(l, NGX_HTTP_TBUCKET_REDIS_MOST(
                                              NGX_HTTP_TBUCKET_REDIS_LARGE));

        if (reply == NULL) {
            return NGX_ERROR;
        }

        rc = ngx_http_tbucket_redis_view(&view, reply);

        if (rc == NGX_OK) {
            rc = ngx_http_tbucket_redis_apply(rz, &view);
        }

        if (rc == NGX_OK) {
            *ngx_cpymem(cursor, view.cursor.data, view.cursor.len) = '\0';
        }

        freeReplyObject(reply);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

    } while (ngx_strcmp(cursor, "0") != 0);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_redis_load_states(ngx_http_tbucket_rload_t *l)
{
    char                      cursor[24];
    redisReply               *reply;
    ngx_http_tbucket_args_t  *args;

    args = &l->rz->redis->scratch->args;

    ngx_memcpy(cursor, "0", 2);

    do {
        args->n = 0;

        ngx_http_tbucket_redis_literal(args, "HSCAN");
        ngx_http_tbucket_redis_str(args, &l->rz->tokens);
        ngx_http_tbucket_redis_put(args, cursor, ngx_strlen(cursor));
        ngx_http_tbucket_redis_literal(args, "COUNT");
        ngx_http_tbucket_redis_literal(args, ngx_value(
                                           NGX_HTTP_TBUCKET_REDIS_LARGE));

        reply = ngx_http_tbucket_redis_ask(l, NGX_HTTP_TBUCKET_REDIS_MOST(
                                              NGX_HTTP_TBUCKET_REDIS_LARGE));

        if (reply == NULL) {
            return NGX_ERROR;
        }

        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
            || reply->element[0]->type != REDIS_REPLY_STRING
            || reply->element[0]->len > 20)
        {
            freeReplyObject(reply);
            return NGX_ERROR;
        }

        l->restored += ngx_http_tbucket_redis_restore(l->rz,
                                                      reply->element[1],
                                                      l->secret);

        *ngx_cpymem(cursor, reply->element[0]->str, reply->element[0]->len)
            = '\0';

        freeReplyObject(reply);

    } while (ngx_strcmp(cursor, "0") != 0);

    return NGX_OK;
}


/* Sends what was put together; a reply that is an error is none. */

static redisReply *
ngx_http_tbucket_redis_ask(ngx_http_tbucket_rload_t *l, size_t most)
{
    redisReply               *reply;
    ngx_http_tbucket_args_t  *args;

    args = &l->rz->redis->scratch->args;

    reply = ngx_gw_redis_sync_command(l->sync, most, args->n, args->value,
                                      args->len);
    ngx_time_update();

    if (reply == NULL) {
        (void) ngx_cpystrn((u_char *) l->error, (u_char *) l->sync->reason,
                           sizeof(l->error));
        return NULL;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_http_tbucket_redis_told(l->rz, reply, l->error);
        freeReplyObject(reply);
        return NULL;
    }

    return reply;
}


void
ngx_http_tbucket_redis_finish(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_uint_t                 i;
    ngx_gw_redis_sync_t        sync;
    ngx_http_tbucket_redis_t  *redis;

    redis = store->data;

    if (redis->nzones == 0) {
        return;
    }

    ngx_time_update();

    if (ngx_gw_redis_sync_open(&sync, &redis->conf,
                               NGX_HTTP_TBUCKET_REDIS_FINISH)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "tbucket_store: the last token states are not saved: "
                      "redis %V is unreachable: %s", &redis->conf.name,
                      sync.reason);
        return;
    }

    for (i = 0; i < redis->nzones; i += redis->nshards) {
        ngx_http_tbucket_redis_finish_zone(&sync, &redis->zones[i]);
    }

    ngx_gw_redis_sync_close(&sync);
}


static void
ngx_http_tbucket_redis_finish_zone(ngx_gw_redis_sync_t *sync,
    ngx_http_tbucket_rzone_t *first)
{
    char                       reason[NGX_GW_REDIS_REASON];
    ngx_int_t                  rc;
    ngx_uint_t                 i, told;
    ngx_http_tbucket_rload_t   l;

    told = 0;

    if (ngx_http_tbucket_redis_disagrees(first, reason)) {
        return;
    }

    rc = ngx_http_tbucket_redis_gather_begin(first);

    if (rc == NGX_OK && first->zone->source == NULL) {
        (void) ngx_http_tbucket_redis_gather(first, UINT64_MAX);
    }

    for (i = 0; rc == NGX_OK && i < first->redis->nshards; i++) {
        ngx_memzero(&l, sizeof(ngx_http_tbucket_rload_t));

        l.sync = sync;
        l.rz = &first[i];

        if (ngx_http_tbucket_redis_finish_shard(&l) != NGX_OK && !told) {
            ngx_log_error(NGX_LOG_WARN, first->redis->log, 0,
                          "tbucket_store: the last token states of zone "
                          "\"%V\" are not saved: %s", &first->zone->name,
                          l.error[0] ? l.error
                          : !ngx_gw_redis_sync_is_open(sync) ? sync->reason
                          : "the name of the node is in use");
            told = 1;
        }
    }

    for (i = 0; i < first->redis->nshards; i++) {
        ngx_http_tbucket_redis_save_done(&first[i]);
    }
}


static ngx_int_t
ngx_http_tbucket_redis_finish_shard(ngx_http_tbucket_rload_t *l)
{
    ngx_int_t                  rc;
    redisReply                *reply;
    ngx_http_tbucket_args_t   *args;
    ngx_http_tbucket_rzone_t  *rz;

    rz = l->rz;
    args = &rz->redis->scratch->args;

    if (rz->zone->source != NULL
        && rz->zone->source->finish(l->sync, rz) != NGX_OK)
    {
        return NGX_ERROR;
    }

    args->n = 0;
    ngx_http_tbucket_redis_literal(args, "DEL");
    ngx_http_tbucket_redis_str(args, &rz->staged);

    do {
        reply = ngx_http_tbucket_redis_ask(l, GW_REDIS_REPLY);

        if (reply == NULL) {
            return NGX_ERROR;
        }

        freeReplyObject(reply);

    } while (ngx_http_tbucket_redis_stage_args(rz, args) > 0);

    ngx_http_tbucket_redis_save_args(rz, args, "leave");

    reply = ngx_http_tbucket_redis_ask(l, GW_REDIS_REPLY);

    if (reply == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_tbucket_redis_is(reply, "OK") ? NGX_OK : NGX_ERROR;

    freeReplyObject(reply);

    return rc;
}
