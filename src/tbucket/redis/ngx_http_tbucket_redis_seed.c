
/*
 * A Redis without an epoch has lost its data, or never had any: one node
 * gives it the clients that it knows.  An epoch that ends in "-new" was
 * begun by a node that knew none, and others may still have some.
 */


#include "src/tbucket/redis/ngx_http_tbucket_redis_seed.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_apply.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_plans.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


#define NGX_HTTP_TBUCKET_REDIS_NEW    "-new"

/* ms until it is looked again whether another node is done */
#define NGX_HTTP_TBUCKET_REDIS_AGAIN  100

/* ms in which a node that knows all clients goes first */
#define NGX_HTTP_TBUCKET_REDIS_FIRST  3000

/* ms until the next attempt, if one has come to nothing */
#define NGX_HTTP_TBUCKET_REDIS_VAIN   100

/* lists that are looked through for one page */
#define NGX_HTTP_TBUCKET_REDIS_LISTS  16

/* ms between log lines about a zone that was begun anew */
#define NGX_HTTP_TBUCKET_REDIS_BEGUN  10000


static ngx_msec_t ngx_http_tbucket_redis_seed_after(
    ngx_http_tbucket_rzone_t *rz);
static ngx_int_t ngx_http_tbucket_redis_seed_send(
    ngx_http_tbucket_rzone_t *rz);
static ngx_uint_t ngx_http_tbucket_redis_seed_list(
    ngx_http_tbucket_rzone_t *rz, uint64_t *after, ngx_uint_t *end);
static void ngx_http_tbucket_redis_seed_vain(ngx_http_tbucket_rzone_t *rz);
static ngx_int_t ngx_http_tbucket_redis_seed_plans(
    ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_seeded(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_begun(ngx_http_tbucket_rzone_t *rz);


ngx_int_t
ngx_http_tbucket_redis_judge(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view)
{
    size_t                      len;
    ngx_uint_t                  adopt, fresh, same;
    ngx_http_tbucket_mirror_t  *mirror;

    mirror = rz->mirror;
    len = sizeof(NGX_HTTP_TBUCKET_REDIS_NEW) - 1;

    fresh = view->epoch.len > len
            && ngx_strncmp(view->epoch.data + view->epoch.len - len,
                           NGX_HTTP_TBUCKET_REDIS_NEW, len)
               == 0;

    ngx_shmtx_lock(&rz->zone->shpool->mutex);

    same = view->epoch.len
           && ngx_strcmp(view->epoch.data, mirror->epoch) == 0;

    adopt = !same && view->epoch.len
            && (!fresh || mirror->epoch[0] == '\0'
                || ngx_http_tbucket_redis_has_none(rz->zone));

    if (adopt) {
        ngx_memcpy(mirror->epoch, view->epoch.data, view->epoch.len + 1);
        tb_recent_clear(&mirror->recent);
    }

    ngx_shmtx_unlock(&rz->zone->shpool->mutex);

    if (same) {
        return NGX_OK;
    }

    if (adopt) {
        return NGX_DECLINED;
    }

    ngx_memcpy(rz->seen, view->epoch.data, view->epoch.len + 1);

    return NGX_AGAIN;
}


void
ngx_http_tbucket_redis_seed(ngx_http_tbucket_rzone_t *rz)
{
    ngx_msec_t  rest;

    if (rz->seeding) {
        return;
    }

    rest = ngx_http_tbucket_redis_rest(rz, NGX_HTTP_TBUCKET_TROUBLE_SEED);
    rest = ngx_max(rest, ngx_http_tbucket_redis_seed_after(rz));

    if (rest > 0) {
        ngx_add_timer(&rz->retry, rest);
        return;
    }

    rz->seeding = 1;
    rz->seeded = 0;
    rz->after = 0;
    rz->plan = (rz == rz->first) ? TB_PLAN_FIRST - 1 : TB_PLAN_NONE;

    if (ngx_http_tbucket_redis_seed_send(rz) != NGX_OK) {
        ngx_http_tbucket_redis_seed_vain(rz);
    }
}


/*
 * Where the last comparison has not come to its end, others may know clients
 * that are not known here, and that nobody would miss if these were all.
 * Clients that have vanished under their epoch are another matter.
 */

static ngx_msec_t
ngx_http_tbucket_redis_seed_after(ngx_http_tbucket_rzone_t *rz)
{
    ngx_msec_t  waited;

    if (rz->empty == 0) {
        rz->empty = ngx_max(ngx_current_msec, 1);
    }

    waited = ngx_current_msec - rz->empty;

    if (rz->reseed || waited >= NGX_HTTP_TBUCKET_REDIS_FIRST
        || !gw_load_acquire(&rz->mirror->stale)
        || ngx_http_tbucket_redis_has_none(rz->zone))
    {
        return 0;
    }

    return ngx_min(NGX_HTTP_TBUCKET_REDIS_FIRST - waited,
                   NGX_HTTP_TBUCKET_REDIS_AGAIN);
}


/* Without a connection of its own nothing else begins anew. */

static void
ngx_http_tbucket_redis_seed_vain(ngx_http_tbucket_rzone_t *rz)
{
    rz->seeding = 0;

    if (ngx_http_tbucket_redis_polls(rz) && rz->leader) {
        ngx_add_timer(&rz->retry, NGX_HTTP_TBUCKET_REDIS_VAIN);
    }
}


/* Another page of clients, or the end. */

static ngx_int_t
ngx_http_tbucket_redis_seed_send(ngx_http_tbucket_rzone_t *rz)
{
    char                         epoch[NGX_HTTP_TBUCKET_EPOCH_SIZE];
    size_t                       len;
    uint64_t                     after;
    ngx_uint_t                   end, i, n;
    tb_registry_entry_t         *entry;
    ngx_http_tbucket_args_t     *args;
    ngx_http_tbucket_scratch_t  *scratch;

    scratch = rz->redis->scratch;
    args = &scratch->args;

    after = rz->after;
    end = 0;
    n = 0;

    /* as long as there is an epoch writes go on: it goes before the list */

    if (rz->seen[0] == '\0' && rz->plan != TB_PLAN_NONE) {
        return ngx_http_tbucket_redis_seed_plans(rz);
    }

    if (rz->seen[0] == '\0') {
        n = ngx_http_tbucket_redis_seed_list(rz, &after, &end);
    }

    epoch[0] = '\0';
    end = end && n == 0;

    if (end) {
        ngx_http_tbucket_redis_new_epoch(epoch, !rz->seeded
                    && ngx_http_tbucket_redis_has_none(rz->zone));
    }

    ngx_http_tbucket_redis_seed_args(rz, args, &rz->clients, epoch);

    for (i = 0; i < n; i++) {
        entry = &scratch->entries[i];

        ngx_shmtx_lock(&rz->zone->shpool->mutex);

        ngx_http_tbucket_client_given(rz->zone, entry->limits,
                                      &scratch->client);

        ngx_shmtx_unlock(&rz->zone->shpool->mutex);

        len = tb_client_print(scratch->values[i], &scratch->client,
                              rz->zone->unit);

        ngx_http_tbucket_redis_put(args, entry->id, entry->len);
        ngx_http_tbucket_redis_put(args, scratch->values[i], len);
    }

    if (ngx_gw_redis_command(rz->stream, ngx_http_tbucket_redis_seeded,
                             &rz->reading, args->n, args->value, args->len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* where the next page begins, unless this one has to be sent again */

    rz->next = after;
    rz->next_plan = rz->plan;
    rz->ending = end;
    rz->seeded |= (n > 0);

    return NGX_OK;
}


/* A page of plans, which come before the clients that name them. */

static ngx_int_t
ngx_http_tbucket_redis_seed_plans(ngx_http_tbucket_rzone_t *rz)
{
    size_t                       len;
    uint32_t                     plan;
    ngx_uint_t                   i, n;
    ngx_http_tbucket_args_t     *args;
    ngx_http_tbucket_scratch_t  *scratch;

    scratch = rz->redis->scratch;
    args = &scratch->args;
    plan = rz->plan;

    n = ngx_http_tbucket_redis_plans_list(rz, &plan);

    ngx_http_tbucket_redis_seed_args(rz, args, &rz->plans, "");

    for (i = 0; i < n; i++) {
        len = ngx_strlen(scratch->names[i]);
        ngx_http_tbucket_redis_put(args, scratch->names[i], len);

        len = ngx_strlen(scratch->values[i]);
        ngx_http_tbucket_redis_put(args, scratch->values[i], len);
    }

    if (ngx_gw_redis_command(rz->stream, ngx_http_tbucket_redis_seeded,
                             &rz->reading, args->n, args->value, args->len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rz->next = rz->after;
    rz->next_plan = plan;
    rz->ending = 0;
    rz->seeded |= (n > 0);

    return NGX_OK;
}


/* A page of those in the shard; as ngx_http_tbucket_redis_list(). */

static ngx_uint_t
ngx_http_tbucket_redis_seed_list(ngx_http_tbucket_rzone_t *rz,
    uint64_t *after, ngx_uint_t *end)
{
    ngx_uint_t            i, lists, n, some;
    tb_registry_entry_t  *entries;

    entries = rz->redis->scratch->entries;
    n = 0;

    for (lists = 0; lists < NGX_HTTP_TBUCKET_REDIS_LISTS; lists++) {
        some = ngx_http_tbucket_redis_list(rz, after, entries, end);

        for (i = 0; i < some; i++) {
            if (ngx_http_tbucket_redis_shard(rz->redis, entries[i].id,
                                             entries[i].len)
                == rz->shard)
            {
                entries[n++] = entries[i];
            }
        }

        if (n > 0 || *end) {
            break;
        }
    }

    return n;
}


void
ngx_http_tbucket_redis_seed_args(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args, ngx_str_t *key, const char *epoch)
{
    ngx_http_tbucket_redis_begin(rz->redis, args,
                                 NGX_HTTP_TBUCKET_SCRIPT_SEED, "3");
    ngx_http_tbucket_redis_str(args, key);
    ngx_http_tbucket_redis_str(args, &rz->epoch);
    ngx_http_tbucket_redis_str(args, &rz->guard);
    ngx_http_tbucket_redis_put(args, rz->mirror->token,
                               NGX_HTTP_TBUCKET_TOKEN_SIZE);
    ngx_http_tbucket_redis_put(args, rz->seen, ngx_strlen(rz->seen));
    ngx_http_tbucket_redis_put(args, epoch, ngx_strlen(epoch));
}


void
ngx_http_tbucket_redis_new_epoch(char *buf, ngx_uint_t fresh)
{
    u_char  *p;

    p = ngx_sprintf((u_char *) buf, "%08xD%08xD", (uint32_t) ngx_random(),
                    (uint32_t) ngx_random() ^ (uint32_t) ngx_pid);

    if (fresh) {
        p = ngx_cpymem(p, NGX_HTTP_TBUCKET_REDIS_NEW,
                       sizeof(NGX_HTTP_TBUCKET_REDIS_NEW) - 1);
    }

    *p = '\0';
}


static void
ngx_http_tbucket_redis_seeded(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rzone_t  *rz;

    (void) link;

    rz = ngx_http_tbucket_redis_reading(data);

    if (reply == NULL) {
        ngx_http_tbucket_redis_seed_vain(rz);
        return;
    }

    if (ngx_http_tbucket_redis_is(reply, "OK")) {
        rz->after = rz->next;
        rz->plan = rz->next_plan;
        rz->seen[0] = '\0';

        if (rz->ending) {
            ngx_http_tbucket_redis_begun(rz);
            return;
        }

        if (ngx_http_tbucket_redis_seed_send(rz) != NGX_OK) {
            ngx_http_tbucket_redis_seed_vain(rz);
        }

        return;
    }

    rz->seeding = 0;

    if (ngx_http_tbucket_redis_is(reply, "DONE")) {
        rz->reseed = 0;
        ngx_http_tbucket_redis_pause(rz, NGX_HTTP_TBUCKET_TROUBLE_SEED);
        ngx_post_event(&rz->retry, &ngx_posted_events);
        return;
    }

    if (ngx_http_tbucket_redis_is(reply, "BUSY")) {
        ngx_add_timer(&rz->retry, NGX_HTTP_TBUCKET_REDIS_AGAIN);
        return;
    }

    ngx_http_tbucket_redis_refused(rz, NGX_HTTP_TBUCKET_TROUBLE_SEED,
                                   "clients cannot be given to Redis", reply);

    ngx_add_timer(&rz->retry,
                  ngx_http_tbucket_redis_rest(rz,
                                           NGX_HTTP_TBUCKET_TROUBLE_SEED));
}


/* A Redis that loses it again at once does not get it at once again. */

static void
ngx_http_tbucket_redis_begun(ngx_http_tbucket_rzone_t *rz)
{
    ngx_http_tbucket_rzone_t  *first;

    first = rz->first;

    if (first->begun == 0
        || (ngx_msec_t) (ngx_current_msec - first->begun)
           >= NGX_HTTP_TBUCKET_REDIS_BEGUN)
    {
        ngx_log_error(NGX_LOG_NOTICE, rz->redis->log, 0,
                      "tbucket_store: zone \"%V\" was begun anew in Redis",
                      &rz->zone->name);

        first->begun = ngx_max(ngx_current_msec, 1);
    }

    rz->seeding = 0;
    rz->reseed = 0;

    ngx_http_tbucket_redis_pause(rz, NGX_HTTP_TBUCKET_TROUBLE_SEED);
    ngx_post_event(&rz->retry, &ngx_posted_events);
}
