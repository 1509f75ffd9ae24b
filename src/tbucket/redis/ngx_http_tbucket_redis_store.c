
/*
 * The Redis store: its URL, its life in nginx's processes, and whose turn it
 * is to follow the stream and to save.
 */


#include "src/tbucket/redis/ngx_http_tbucket_redis_store.h"
#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_info.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_compare.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_load.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_shards.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_sync.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_tokens.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_write.h"


#define NGX_HTTP_TBUCKET_REDIS_TICK  50       /* ms, of a worker */
#define NGX_HTTP_TBUCKET_REDIS_TERM  2000     /* ms, of the leader */

/* clients that an interval is enough to compare, with room to spare */
#define NGX_HTTP_TBUCKET_REDIS_PACE  25000


static ngx_int_t ngx_http_tbucket_redis_shards(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *param);
static ngx_int_t ngx_http_tbucket_redis_start(
    ngx_http_tbucket_store_t *store, ngx_cycle_t *cycle);
static ngx_int_t ngx_http_tbucket_redis_start_zone(
    ngx_http_tbucket_rzone_t *rz, ngx_cycle_t *cycle);
static void ngx_http_tbucket_redis_stop(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle);

static void ngx_http_tbucket_redis_tick(ngx_event_t *ev);
static void ngx_http_tbucket_redis_next(ngx_event_t *ev);
static void ngx_http_tbucket_redis_tick_zone(ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_hold(ngx_http_tbucket_rzone_t *rz,
    ngx_uint_t hold);
static void ngx_http_tbucket_redis_drop(ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_retry(ngx_event_t *ev);
static void ngx_http_tbucket_redis_stream_up(ngx_gw_redis_t *link);
static void ngx_http_tbucket_redis_stream_down(ngx_gw_redis_t *link);
static void ngx_http_tbucket_redis_changed(ngx_gw_redis_t *link);
static void ngx_http_tbucket_redis_report(ngx_http_tbucket_redis_t *redis);
static ngx_uint_t ngx_http_tbucket_redis_report_zone(
    ngx_http_tbucket_rzone_t *first);
static void ngx_http_tbucket_redis_renew(ngx_http_tbucket_redis_t *redis);


static const ngx_http_tbucket_store_ops_t  ngx_http_tbucket_redis_ops = {
    "redis",
    1,
    ngx_http_tbucket_redis_load,
    ngx_http_tbucket_redis_start,
    ngx_http_tbucket_redis_stop,
    ngx_http_tbucket_redis_persist,
    ngx_http_tbucket_redis_is_latest,
    ngx_http_tbucket_redis_finish
};


char *
ngx_http_tbucket_redis_conf(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *url)
{
    char                      *rv;
    ngx_str_t                 *param;
    ngx_msec_t                 tick;
    ngx_uint_t                 i;
    ngx_gw_redis_params_t      params;
    ngx_http_tbucket_redis_t  *redis;
    ngx_http_core_loc_conf_t  *clcf;

    redis = ngx_pcalloc(cf->pool, sizeof(ngx_http_tbucket_redis_t));
    if (redis == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&params, sizeof(ngx_gw_redis_params_t));
    store->shards = 0;
    param = store->params.elts;

    for (i = 0; i < store->params.nelts; i++) {

        if (param[i].len > 7 && ngx_strncmp(param[i].data, "shards=", 7) == 0)
        {
            if (ngx_http_tbucket_redis_shards(cf, store, &param[i])
                != NGX_OK)
            {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        switch (ngx_gw_redis_param(cf, &params, &param[i])) {

        case NGX_OK:
            break;

        case NGX_DECLINED:
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &param[i]);
            return NGX_CONF_ERROR;

        default:
            return NGX_CONF_ERROR;
        }
    }

    store->shards = ngx_max(store->shards, 1);

    rv = ngx_gw_redis_configure(cf, &redis->conf, url, &params);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    /* "resolver" may come later, but stands here then */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    redis->conf.resolver = &clcf->resolver;

    /* so that the API answers in less than the timeout */

    redis->conf.timeout = store->timeout - store->timeout / 10;

    tick = ngx_min(ngx_max(store->interval / 100, 5),
                   NGX_HTTP_TBUCKET_REDIS_TICK);

    redis->store = store;
    redis->tick = tick;

    *ngx_sprintf((u_char *) redis->page, "%ui",
                 (ngx_uint_t) ngx_max(NGX_HTTP_TBUCKET_REDIS_PACE * tick
                                      / store->interval, 10)) = '\0';

    ngx_http_tbucket_redis_scripts(redis);

    store->ops = &ngx_http_tbucket_redis_ops;
    store->data = redis;

    return NGX_CONF_OK;
}


/* A power of two, so that the slot of an id says its shard. */

static ngx_int_t
ngx_http_tbucket_redis_shards(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *param)
{
    ngx_int_t  n;
    ngx_str_t  value;

    value.data = param->data + sizeof("shards=") - 1;
    value.len = param->len - (sizeof("shards=") - 1);

    if (store->shards != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"shards\" parameter");
        return NGX_ERROR;
    }

    n = ngx_atoi(value.data, value.len);

    if (n < 1 || n > NGX_HTTP_TBUCKET_REDIS_SHARDS || (n & (n - 1)) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid shards \"%V\", a power of two from 1 to "
                           "%d is expected", &value,
                           NGX_HTTP_TBUCKET_REDIS_SHARDS);
        return NGX_ERROR;
    }

    store->shards = n;

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_redis_create_zone(ngx_http_tbucket_zone_t *zone)
{
    zone->shared->mirror = ngx_slab_calloc(zone->shpool, zone->shards
                                         * sizeof(ngx_http_tbucket_mirror_t));

    return zone->shared->mirror ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_tbucket_redis_start(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_uint_t                 i;
    ngx_http_tbucket_redis_t  *redis;

    redis = store->data;

    if (redis->nzones == 0) {
        return NGX_OK;
    }

    redis->log = cycle->log;
    redis->command = ngx_gw_redis_create(cycle->pool, &redis->conf,
                                         cycle->log);
    if (redis->command == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < redis->nzones; i++) {
        if (ngx_http_tbucket_redis_start_zone(&redis->zones[i], cycle)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_queue_init(&redis->pending);
    ngx_queue_init(&redis->changing);

    redis->next.handler = ngx_http_tbucket_redis_next;
    redis->next.data = redis;
    redis->next.log = cycle->log;

    redis->demotions = atomic_load_explicit(&redis->zones[0].mirror->demotions,
                                            memory_order_relaxed);

    redis->command->data = redis;
    redis->command->on_up = ngx_http_tbucket_redis_changed;
    redis->command->on_down = ngx_http_tbucket_redis_changed;
    redis->command->quiet = 1;

    redis->ticker.handler = ngx_http_tbucket_redis_tick;
    redis->ticker.data = redis;
    redis->ticker.log = cycle->log;
    redis->ticker.cancelable = 1;

    ngx_gw_redis_start(redis->command);
    ngx_http_tbucket_redis_tick(&redis->ticker);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_redis_start_zone(ngx_http_tbucket_rzone_t *rz,
    ngx_cycle_t *cycle)
{
    if (ngx_gw_redis_use(rz->redis->command, &rz->clients) != NGX_OK
        || ngx_gw_redis_use(rz->redis->command, &rz->shards) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_tbucket_redis_polls(rz)) {
        rz->stream = rz->redis->command;

    } else {
        rz->stream = ngx_gw_redis_create(cycle->pool, &rz->redis->conf,
                                         cycle->log);

        if (rz->stream == NULL
            || ngx_gw_redis_use(rz->stream, &rz->clients) != NGX_OK)
        {
            return NGX_ERROR;
        }

        rz->stream->data = rz;
        rz->stream->on_up = ngx_http_tbucket_redis_stream_up;
        rz->stream->on_down = ngx_http_tbucket_redis_stream_down;
        rz->stream->quiet = 1;
    }

    rz->scan.done = 1;
    rz->scan.kind = NGX_HTTP_TBUCKET_TROUBLE_SCAN;
    rz->walk.done = 1;
    rz->walk.kind = NGX_HTTP_TBUCKET_TROUBLE_WALK;
    rz->pages.kind = NGX_HTTP_TBUCKET_TROUBLE_SCAN;

    rz->retry.handler = ngx_http_tbucket_redis_retry;
    rz->retry.data = rz;
    rz->retry.log = cycle->log;
    rz->retry.cancelable = 1;

    return NGX_OK;
}


static void
ngx_http_tbucket_redis_stop(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle)
{
    ngx_uint_t                 i;
    ngx_http_tbucket_redis_t  *redis;

    (void) cycle;

    redis = store->data;

    for (i = 0; i < redis->nzones; i++) {
        ngx_gw_leader_resign(&redis->zones[i].mirror->leader);

        ngx_http_tbucket_redis_unread(&redis->zones[i]);

        if (redis->zones[i].stream != NULL
            && !ngx_http_tbucket_redis_polls(&redis->zones[i]))
        {
            ngx_gw_redis_close(redis->zones[i].stream);
        }

        if (redis->zones[i].zone->source != NULL) {
            redis->zones[i].zone->source->stop(&redis->zones[i]);
        }

        ngx_http_tbucket_redis_save_done(&redis->zones[i]);
    }

    if (redis->command != NULL) {
        ngx_gw_redis_close(redis->command);
    }
}


static void
ngx_http_tbucket_redis_tick(ngx_event_t *ev)
{
    ngx_uint_t                 i, hold, leaving, held;
    ngx_http_tbucket_rzone_t  *rz;
    ngx_http_tbucket_redis_t  *redis;

    redis = ev->data;
    leaving = ngx_gw_is_leaving();
    held = 0;

    hold = 0;

    for (i = 0; i < redis->nzones; i++) {
        rz = &redis->zones[i];

        /* who has the first shard of a zone has all of them */

        if (rz == rz->first) {
            hold = !leaving
                   && gw_load_relaxed(&rz->mirror->store) == redis->identity
                   && ngx_gw_leader_claim(&rz->mirror->leader,
                                          NGX_HTTP_TBUCKET_REDIS_TERM);
        }

        ngx_http_tbucket_redis_hold(rz, hold);

        if (rz->leader) {
            ngx_http_tbucket_redis_inform(redis);
            ngx_http_tbucket_redis_tick_zone(rz);
            held = 1;
        }
    }

    ngx_http_tbucket_redis_renew(redis);
    ngx_http_tbucket_redis_report(redis);
    ngx_http_tbucket_redis_pending(redis);

    if (!leaving || !ngx_queue_empty(&redis->pending)) {
        ngx_add_timer(ev, held ? redis->tick : NGX_HTTP_TBUCKET_REDIS_TICK);
    }
}


static void
ngx_http_tbucket_redis_hold(ngx_http_tbucket_rzone_t *rz, ngx_uint_t hold)
{
    if (hold == rz->leader) {
        return;
    }

    rz->leader = hold;

    if (rz->zone->source != NULL) {
        rz->zone->source->joined(rz);
    }

    if (hold) {

        if (ngx_http_tbucket_redis_polls(rz)) {
            ngx_post_event(&rz->retry, &ngx_posted_events);

        } else {
            ngx_gw_redis_start(rz->stream);
        }

        return;
    }

    ngx_http_tbucket_redis_drop(rz);
}


static void
ngx_http_tbucket_redis_drop(ngx_http_tbucket_rzone_t *rz)
{
    ngx_gw_leader_resign(&rz->mirror->leader);
    ngx_http_tbucket_redis_unread(rz);

    if (!ngx_http_tbucket_redis_polls(rz)) {
        ngx_gw_redis_close(rz->stream);
    }

    ngx_http_tbucket_redis_save_done(rz);

    rz->reseed = 0;
    rz->gone = NGX_HTTP_TBUCKET_GONE_NOT;
    rz->scan.full = 0;
    rz->walk.full = 0;
}


static void
ngx_http_tbucket_redis_next(ngx_event_t *ev)
{
    ngx_http_tbucket_redis_pending(ev->data);
}


static void
ngx_http_tbucket_redis_tick_zone(ngx_http_tbucket_rzone_t *rz)
{
    if (!ngx_gw_redis_is_up(rz->redis->command)) {
        return;
    }

    if (rz == rz->first) {
        ngx_http_tbucket_redis_agree(rz);
        ngx_http_tbucket_redis_gather_states(rz);
    }

    ngx_http_tbucket_redis_compare(rz);

    if (rz->following) {
        ngx_http_tbucket_redis_save(rz);
    }
}


static void
ngx_http_tbucket_redis_retry(ngx_event_t *ev)
{
    ngx_http_tbucket_rzone_t  *rz = ev->data;

    if (!rz->leader || !ngx_gw_redis_is_up(rz->stream)) {
        return;
    }

    if (rz->following && ngx_http_tbucket_redis_polls(rz)) {
        ngx_http_tbucket_redis_wait(rz);
        return;
    }

    ngx_http_tbucket_redis_follow(rz);
}


static void
ngx_http_tbucket_redis_stream_up(ngx_gw_redis_t *link)
{
    ngx_http_tbucket_redis_follow(link->data);
}


static void
ngx_http_tbucket_redis_stream_down(ngx_gw_redis_t *link)
{
    ngx_http_tbucket_redis_unread(link->data);
}


static void
ngx_http_tbucket_redis_changed(ngx_gw_redis_t *link)
{
    ngx_uint_t                 i;
    ngx_http_tbucket_redis_t  *redis;
    ngx_http_tbucket_rzone_t  *rz;

    redis = link->data;
    redis->informed = 0;

    ngx_http_tbucket_redis_report(redis);
    ngx_http_tbucket_redis_pending(redis);

    for (i = 0; i < redis->nzones; i++) {
        rz = &redis->zones[i];

        if (rz->zone->source != NULL) {
            rz->zone->source->joined(rz);
        }

        if (rz->leader && ngx_http_tbucket_redis_polls(rz)
            && !rz->following && !rz->seeding)
        {
            ngx_post_event(&rz->retry, &ngx_posted_events);
        }

        if (rz->leader && rz == rz->first && ngx_gw_redis_is_up(link)) {
            rz->agreed = 0;
            ngx_http_tbucket_redis_agree(rz);
        }
    }
}


/*
 * The leader of the first zone speaks for all.  A server that
 * said READONLY counts as lost until one has taken a write.
 */

static void
ngx_http_tbucket_redis_report(ngx_http_tbucket_redis_t *redis)
{
    ngx_uint_t                  i, up;
    ngx_http_tbucket_rzone_t   *rz;
    ngx_http_tbucket_mirror_t  *mirror;

    rz = redis->zones;
    mirror = rz->mirror;

    if (!rz->leader) {
        return;
    }

    up = ngx_gw_redis_is_up(redis->command);

    if (!up && redis->command->state != NGX_GW_REDIS_WAITING) {
        return;
    }

    if (!up && !atomic_exchange_explicit(&mirror->lost, 1,
                                         memory_order_acq_rel))
    {
        ngx_log_error(NGX_LOG_ERR, redis->log, 0,
                      "tbucket_store: redis %V is unreachable: %s",
                      &redis->conf.name, redis->command->reason);
    }

    up = up && !atomic_load_explicit(&mirror->demoted, memory_order_relaxed);

    if (up && atomic_exchange_explicit(&mirror->lost, 0,
                                       memory_order_acq_rel))
    {
        ngx_log_error(NGX_LOG_NOTICE, redis->log, 0,
                      "tbucket_store: redis %V is reachable again",
                      &redis->conf.name);
    }

    for (i = 0; i < redis->nzones; i += redis->nshards) {
        ngx_http_tbucket_store_down(rz[i].zone,
                          !up || ngx_http_tbucket_redis_report_zone(&rz[i]));
    }
}


/*
 * Whether something of the zone does not work, while there is a connection:
 * of a cluster some nodes may be away.
 */

static ngx_uint_t
ngx_http_tbucket_redis_report_zone(ngx_http_tbucket_rzone_t *first)
{
    ngx_uint_t    i, n, away;
    const char   *reason, *why;

    n = first->redis->nshards;
    away = 0;
    why = NULL;

    for (i = 0; i < n; i++) {
        reason = ngx_gw_redis_lacks(first->redis->command, &first[i].clients);

        if (reason != NULL) {
            away++;
            why = reason;
        }
    }

    if (away > 0 && !atomic_exchange_explicit(&first->mirror->away, 1,
                                              memory_order_acq_rel))
    {
        ngx_log_error(NGX_LOG_ERR, first->redis->log, 0,
                      "tbucket_store: zone \"%V\": %ui of %ui shards cannot "
                      "be reached: %s", &first->zone->name, away, n, why);
    }

    if (away == 0 && atomic_exchange_explicit(&first->mirror->away, 0,
                                              memory_order_acq_rel))
    {
        ngx_log_error(NGX_LOG_NOTICE, first->redis->log, 0,
                      "tbucket_store: zone \"%V\": all shards can be reached "
                      "again", &first->zone->name);
    }

    return away > 0 || ngx_http_tbucket_redis_any_troubled(first)
           || gw_load_acquire(&first->mirror->agreed)
              != NGX_HTTP_TBUCKET_AGREED;
}


/*
 * Another worker, or another connection, was told READONLY: all begin anew,
 * as the address may lead elsewhere by now.
 */

static void
ngx_http_tbucket_redis_renew(ngx_http_tbucket_redis_t *redis)
{
    uint32_t    n;
    ngx_uint_t  i;

    n = atomic_load_explicit(&redis->zones[0].mirror->demotions,
                             memory_order_relaxed);

    if (n == redis->demotions) {
        return;
    }

    redis->demotions = n;

    ngx_gw_redis_reconnect(redis->command, NGX_GW_REDIS_DEMOTED);

    for (i = 0; redis->nshards == 1 && i < redis->nzones; i++) {
        ngx_gw_redis_reconnect(redis->zones[i].stream, NGX_GW_REDIS_DEMOTED);
    }
}
