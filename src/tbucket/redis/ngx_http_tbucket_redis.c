
/*
 * What the parts of the Redis store stand on: keys, scripts, arguments and
 * replies.  The scripts themselves are the files of src/redis, which the build
 * makes a header of (tools/embed).
 */

#include "src/tbucket/redis/ngx_http_tbucket_redis.h"

#include <ngx_sha1.h>

#include "src/tbucket/ngx_http_tbucket_plans.h"

#include "ngx_gw_scripts.h"


/* ms until the stream of a shard is read anew */
#define NGX_HTTP_TBUCKET_REDIS_ANEW  50

/* ms that a reply of Redis may have waited for this process */
#define NGX_HTTP_TBUCKET_REDIS_LATE  1000


static const ngx_str_t  ngx_http_tbucket_scripts[] = {
    ngx_string(ngx_gw_script_write),
    ngx_string(ngx_gw_script_bulk),
    ngx_string(ngx_gw_script_read),
    ngx_string(ngx_gw_script_seed),
    ngx_string(ngx_gw_script_save),
    ngx_string(ngx_gw_script_lease)
};


static ngx_int_t ngx_http_tbucket_redis_name(ngx_http_tbucket_rzone_t *rz,
    ngx_pool_t *pool);
static ngx_int_t ngx_http_tbucket_redis_key(ngx_http_tbucket_rzone_t *rz,
    ngx_pool_t *pool, ngx_str_t *key, const char *kind, ngx_str_t *node,
    ngx_str_t *tag);


ngx_int_t
ngx_http_tbucket_redis_keys(ngx_http_tbucket_rzone_t *rz, ngx_pool_t *pool)
{
    ngx_uint_t   i;
    ngx_str_t   *node;

    node = &rz->redis->store->node;

    const struct {
        ngx_str_t   *key;
        const char  *kind;
        ngx_str_t   *node;
        ngx_str_t   *tag;
    } keys[] = {
        { &rz->clients, "clients", NULL, NULL },
        { &rz->plans, "plans", NULL, NULL },
        { &rz->changes, "changes", NULL, NULL },
        { &rz->epoch, "epoch", NULL, NULL },
        { &rz->guard, "seeding", NULL, NULL },
        { &rz->tokens, "tokens", node, NULL },
        { &rz->secret, "secret", node, NULL },
        { &rz->node, "node", node, NULL },
        { &rz->staged, "saving", node, NULL },
        { &rz->patched, "patched", node, NULL },
        { &rz->bucket, "bucket", NULL, NULL },
        { &rz->nodes, "nodes", NULL, NULL },
        { &rz->global_secret, "secret", NULL, &rz->first->name },
        { &rz->shards, "shards", NULL, &rz->zone->name }
    };

    if (ngx_http_tbucket_redis_name(rz, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (ngx_http_tbucket_redis_key(rz, pool, keys[i].key, keys[i].kind,
                                       keys[i].node,
                                       keys[i].tag ? keys[i].tag : &rz->name)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_redis_name(ngx_http_tbucket_rzone_t *rz, ngx_pool_t *pool)
{
    ngx_str_t  *name;

    name = &rz->zone->name;

    if (rz->redis->nshards == 1) {
        rz->name = *name;
        return NGX_OK;
    }

    rz->name.data = ngx_pnalloc(pool, name->len + 1 + NGX_INT_T_LEN);

    if (rz->name.data == NULL) {
        return NGX_ERROR;
    }

    rz->name.len = ngx_sprintf(rz->name.data, "%V.%ui", name, rz->shard)
                   - rz->name.data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_redis_key(ngx_http_tbucket_rzone_t *rz, ngx_pool_t *pool,
    ngx_str_t *key, const char *kind, ngx_str_t *node, ngx_str_t *tag)
{
    u_char     *p;
    ngx_str_t  *prefix;

    prefix = &rz->redis->store->prefix;

    key->data = ngx_pnalloc(pool, prefix->len + sizeof(":{}:") - 1
                                  + tag->len + ngx_strlen(kind)
                                  + (node ? 1 + node->len : 0));
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(key->data, "%V:{%V}:%s", prefix, tag, kind);

    if (node != NULL) {
        p = ngx_sprintf(p, ":%V", node);
    }

    key->len = p - key->data;

    return NGX_OK;
}


void
ngx_http_tbucket_redis_scripts(ngx_http_tbucket_redis_t *redis)
{
    u_char       digest[20];
    ngx_sha1_t   sha1;
    ngx_uint_t   i;

    for (i = 0; i < NGX_HTTP_TBUCKET_SCRIPTS; i++) {
        ngx_sha1_init(&sha1);
        ngx_sha1_update(&sha1, ngx_http_tbucket_scripts[i].data,
                        ngx_http_tbucket_scripts[i].len);
        ngx_sha1_final(digest, &sha1);

        (void) ngx_hex_dump((u_char *) redis->scripts[i].sha1, digest, 20);

        redis->scripts[i].text = ngx_http_tbucket_scripts[i];
    }

    redis->conf.scripts = redis->scripts;
    redis->conf.nscripts = NGX_HTTP_TBUCKET_SCRIPTS;
}


void
ngx_http_tbucket_redis_begin(ngx_http_tbucket_redis_t *redis,
    ngx_http_tbucket_args_t *args, ngx_http_tbucket_script_e script,
    const char *nkeys)
{
    args->n = 0;

    ngx_http_tbucket_redis_literal(args, "EVALSHA");
    ngx_http_tbucket_redis_put(args, redis->scripts[script].sha1, 40);
    ngx_http_tbucket_redis_put(args, nkeys, ngx_strlen(nkeys));
}


void
ngx_http_tbucket_redis_read(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args, ngx_str_t *key, const char *what)
{
    ngx_http_tbucket_redis_begin(rz->redis, args,
                                 NGX_HTTP_TBUCKET_SCRIPT_READ, "3");
    ngx_http_tbucket_redis_str(args, key);
    ngx_http_tbucket_redis_str(args, &rz->changes);
    ngx_http_tbucket_redis_str(args, &rz->epoch);
    ngx_http_tbucket_redis_put(args, what, ngx_strlen(what));
}


ngx_uint_t
ngx_http_tbucket_redis_is(redisReply *reply, const char *word)
{
    return reply->type == REDIS_REPLY_STRING
           && ngx_strcmp(reply->str, word) == 0;
}


ngx_int_t
ngx_http_tbucket_redis_view(ngx_http_tbucket_view_t *view, redisReply *reply)
{
    ngx_int_t     time;
    ngx_uint_t    i;
    redisReply  **e;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 8) {
        return NGX_ERROR;
    }

    e = reply->element;

    for (i = 0; i < 6; i++) {
        if (e[i]->type != (i == 2 ? REDIS_REPLY_INTEGER
                                  : REDIS_REPLY_STRING))
        {
            return NGX_ERROR;
        }
    }

    time = ngx_atoi((u_char *) e[4]->str, e[4]->len);

    if (time == NGX_ERROR
        || e[3]->len >= NGX_HTTP_TBUCKET_EPOCH_SIZE
        || ngx_strlen(e[3]->str) != (size_t) e[3]->len
        || e[5]->len > 20
        || e[6]->type != REDIS_REPLY_ARRAY || e[6]->elements % 2 != 0
        || e[7]->type != REDIS_REPLY_INTEGER || e[7]->integer < 0
        || e[7]->integer > UINT32_MAX
        || !tb_stream_id_parse(&view->last, e[0]->str, e[0]->len)
        || !tb_stream_id_parse(&view->first, e[1]->str, e[1]->len))
    {
        return NGX_ERROR;
    }

    view->length = e[2]->integer;
    view->epoch.data = (u_char *) e[3]->str;
    view->epoch.len = e[3]->len;
    view->time = (uint64_t) time;
    view->cursor.data = (u_char *) e[5]->str;
    view->cursor.len = e[5]->len;
    view->items = e[6];
    view->clients = (uint32_t) e[7]->integer;

    return NGX_OK;
}


ngx_uint_t
ngx_http_tbucket_redis_shard(ngx_http_tbucket_redis_t *redis, const void *id,
    size_t len)
{
    return redis->nshards == 1 ? 0 : gw_redis_slot(id, len) % redis->nshards;
}


ngx_uint_t
ngx_http_tbucket_redis_has_none(ngx_http_tbucket_zone_t *zone)
{
    return gw_load_acquire(&zone->shared->registry->entries) == 0
           && ngx_http_tbucket_plans_none(zone);
}


void
ngx_http_tbucket_redis_resync(ngx_http_tbucket_rzone_t *rz)
{
    gw_store_release(&rz->mirror->stale, 1);

    rz->scan.done = 1;
    rz->scan.full = 1;

    /* what there is in memory, in the next round of all shards */

    rz->walk.full = 1;
    rz->missed = 1;
    if (rz->redis->nshards == 1) {
        rz->walk.done = 1;
    }

    rz->replan = (rz == rz->first);
}


void
ngx_http_tbucket_redis_restart(ngx_http_tbucket_rzone_t *rz)
{
    rz->following = 0;

    if (!ngx_http_tbucket_redis_polls(rz)) {
        ngx_gw_redis_reconnect(rz->stream, "begins with the stream anew");
        return;
    }

    ngx_gw_redis_forget(rz->stream, &rz->reading);
    rz->seeding = 0;

    ngx_add_timer(&rz->retry, NGX_HTTP_TBUCKET_REDIS_ANEW);
}


uint64_t
ngx_http_tbucket_redis_time(ngx_http_tbucket_rzone_t *rz)
{
    uint64_t     clock;
    ngx_time_t  *tp;

    clock = atomic_load_explicit(&rz->mirror->clock, memory_order_relaxed);

    if (clock) {
        return clock + ngx_current_msec;
    }

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}


/*
 * A reply comes later than the time that it tells, by as much as this process
 * had to wait, so the latest of these times is the best.  A clock that was
 * set is followed, and one that is slower than ours.
 */

void
ngx_http_tbucket_redis_set_time(ngx_http_tbucket_rzone_t *rz, uint64_t time)
{
    uint64_t  clock, late;

    clock = atomic_load_explicit(&rz->mirror->clock, memory_order_relaxed);

    time -= ngx_current_msec;
    late = clock - time;

    if (clock && late > 0 && late < NGX_HTTP_TBUCKET_REDIS_LATE) {
        time = clock - 1;
    }

    atomic_store_explicit(&rz->mirror->clock, time, memory_order_relaxed);
}
