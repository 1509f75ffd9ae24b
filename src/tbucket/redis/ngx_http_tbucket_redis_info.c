
/*
 * What Redis says of itself: whether it may remove keys when it is short of
 * memory, and has.  A hash of clients that has gone so is given back; one
 * that somebody has deleted is not.
 */


#include "src/tbucket/redis/ngx_http_tbucket_redis_info.h"


#define NGX_HTTP_TBUCKET_REDIS_INFO  262144     /* bytes, of INFO */

/* ms between log lines about clients that were evicted */
#define NGX_HTTP_TBUCKET_REDIS_EVICTED  10000


static uint32_t ngx_http_tbucket_redis_known(ngx_http_tbucket_rzone_t *rz);
static ngx_int_t ngx_http_tbucket_redis_ask_info(
    ngx_http_tbucket_redis_t *redis, ngx_gw_redis_reply_pt callback,
    void *data);
static void ngx_http_tbucket_redis_on_info(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_on_gone(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_evicted(ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_removed(ngx_http_tbucket_rzone_t *rz);
static ngx_uint_t ngx_http_tbucket_redis_read_info(
    ngx_http_tbucket_redis_t *redis, redisReply *reply);
static ngx_uint_t ngx_http_tbucket_redis_field(redisReply *reply,
    const char *name, ngx_str_t *value);
static void ngx_http_tbucket_redis_warn(ngx_http_tbucket_redis_t *redis,
    ngx_str_t *policy);


void
ngx_http_tbucket_redis_inform(ngx_http_tbucket_redis_t *redis)
{
    if (redis->informed || !ngx_gw_redis_is_up(redis->command)) {
        return;
    }

    redis->informed = 1;

    (void) ngx_http_tbucket_redis_ask_info(redis,
                                           ngx_http_tbucket_redis_on_info,
                                           redis);
}


ngx_uint_t
ngx_http_tbucket_redis_gone(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view)
{
    uint32_t                    known;
    ngx_http_tbucket_redis_t   *redis;

    redis = rz->redis;

    known = ngx_http_tbucket_redis_known(rz);

    if ((uint64_t) view->clients * 2 >= known) {
        rz->gone = NGX_HTTP_TBUCKET_GONE_NOT;
        return 0;
    }

    if (rz->gone == NGX_HTTP_TBUCKET_GONE_REMOVED) {
        return 0;
    }

    /* what the stream tells of is no loss */

    if (rz->gone == NGX_HTTP_TBUCKET_GONE_ASKED
        || tb_stream_id_compare(&view->last, &rz->mirror->position) > 0)
    {
        return 1;
    }

    rz->left = view->clients;

    if (!redis->evicts) {
        ngx_http_tbucket_redis_removed(rz);
        return 0;
    }

    if (ngx_http_tbucket_redis_ask_info(redis, ngx_http_tbucket_redis_on_gone,
                                        rz)
        == NGX_OK)
    {
        rz->gone = NGX_HTTP_TBUCKET_GONE_ASKED;
    }

    return 1;
}


/* Clients in memory that are in the shard; of several, as last counted. */

static uint32_t
ngx_http_tbucket_redis_known(ngx_http_tbucket_rzone_t *rz)
{
    if (ngx_http_tbucket_redis_polls(rz)) {
        return (uint32_t) rz->known;
    }

    return atomic_load_explicit(&rz->zone->shared->registry->entries,
                                memory_order_relaxed);
}


static ngx_int_t
ngx_http_tbucket_redis_ask_info(ngx_http_tbucket_redis_t *redis,
    ngx_gw_redis_reply_pt callback, void *data)
{
    size_t       len;
    const char  *argv;

    argv = "INFO";
    len = 4;

    return ngx_gw_redis_query(redis->command, callback, data,
                              NGX_HTTP_TBUCKET_REDIS_INFO, 1, &argv, &len);
}


static void
ngx_http_tbucket_redis_on_info(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_redis_t  *redis = data;

    (void) link;

    if (reply != NULL) {
        (void) ngx_http_tbucket_redis_read_info(redis, reply);
    }
}


static void
ngx_http_tbucket_redis_on_gone(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rzone_t  *rz = data;

    (void) link;

    rz->gone = NGX_HTTP_TBUCKET_GONE_NOT;

    if (reply == NULL || !rz->leader) {
        return;
    }

    if (ngx_http_tbucket_redis_read_info(rz->redis, reply)) {
        ngx_http_tbucket_redis_evicted(rz);
        return;
    }

    ngx_http_tbucket_redis_removed(rz);
}


/* The epoch that is there has lost its meaning: seeding makes another one. */

static void
ngx_http_tbucket_redis_evicted(ngx_http_tbucket_rzone_t *rz)
{
    if (rz->evicted == 0
        || (ngx_msec_t) (ngx_current_msec - rz->evicted)
           >= NGX_HTTP_TBUCKET_REDIS_EVICTED)
    {
        rz->evicted = ngx_max(ngx_current_msec, 1);

        ngx_log_error(NGX_LOG_ERR, rz->redis->log, 0,
                      "tbucket_store: zone \"%V\": redis has evicted clients: "
                      "%uD of %uD are left, it gets them back",
                      &rz->name, rz->left, ngx_http_tbucket_redis_known(rz));
    }

    rz->reseed = 1;
    ngx_http_tbucket_redis_restart(rz);
}


/* Somebody has removed them; who removes all of them may not mean to. */

static void
ngx_http_tbucket_redis_removed(ngx_http_tbucket_rzone_t *rz)
{
    rz->gone = NGX_HTTP_TBUCKET_GONE_REMOVED;

    if (rz->left > 0) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, rz->redis->log, 0,
                  "tbucket_store: zone \"%V\": \"%V\" has gone from redis, "
                  "with %uD clients, which are removed", &rz->name,
                  &rz->clients, ngx_http_tbucket_redis_known(rz));
}


/* Whether any key was evicted since the last time. */

static ngx_uint_t
ngx_http_tbucket_redis_read_info(ngx_http_tbucket_redis_t *redis,
    redisReply *reply)
{
    ngx_int_t   n, before;
    ngx_str_t   policy, evicted;

    redis->evicts = 0;

    if (reply->type != REDIS_REPLY_STRING
        || !ngx_http_tbucket_redis_field(reply, "maxmemory_policy:", &policy)
        || !ngx_http_tbucket_redis_field(reply, "evicted_keys:", &evicted))
    {
        return 0;
    }

    redis->evicts = policy.len > 8
                    && ngx_strncmp(policy.data, "allkeys-", 8) == 0;

    ngx_http_tbucket_redis_warn(redis, &policy);

    n = ngx_atoi(evicted.data, evicted.len);

    if (n == NGX_ERROR) {
        return 0;
    }

    before = redis->evicted;
    redis->evicted = n;

    return redis->evicts && n > before;
}


static ngx_uint_t
ngx_http_tbucket_redis_field(redisReply *reply, const char *name,
    ngx_str_t *value)
{
    u_char  *end, *p;

    end = (u_char *) reply->str + reply->len;

    p = ngx_strnstr((u_char *) reply->str, (char *) name, reply->len);

    if (p == NULL) {
        return 0;
    }

    value->data = p + ngx_strlen(name);

    for (p = value->data; p < end; p++) {
        if (*p <= ' ' || *p > '~') {
            break;
        }
    }

    value->len = p - value->data;

    return 1;
}


/* Once for each policy, whichever worker sees it. */

static void
ngx_http_tbucket_redis_warn(ngx_http_tbucket_redis_t *redis,
    ngx_str_t *policy)
{
    uint32_t     hash;
    ngx_uint_t   lends, i;
    const char  *what;

    lends = 0;

    for (i = 0; i < redis->nzones; i++) {
        lends |= (redis->zones[i].zone->source != NULL);
    }

    what = redis->evicts ? "clients"
           : (lends && policy->len > 9
              && ngx_strncmp(policy->data, "volatile-", 9) == 0)
             ? "buckets of scope=global" : NULL;

    hash = what ? ngx_crc32_short(policy->data, policy->len) | 1 : 0;

    if (atomic_exchange_explicit(&redis->zones[0].mirror->policy, hash,
                                 memory_order_relaxed)
        == hash || what == NULL)
    {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, redis->log, 0,
                  "tbucket_store: redis %V has maxmemory-policy \"%V\" and may "
                  "remove %s when it is short of memory, use \"noeviction\"",
                  &redis->conf.name, policy, what);
}
