
/*
 * What Redis refuses while it can be reached: a script for lack of memory or
 * of a permission, a key of a wrong type, a replica that takes no writes.
 * It is told once, shown by the metrics, and not asked for at once again.
 */

#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"

#include "src/core/text/gw_redis_reason.h"
#include "src/tbucket/ngx_http_tbucket_source.h"


/* ms without a refusal until the same reason is worth a line again */
#define NGX_HTTP_TBUCKET_REDIS_QUIET  10000

/* ms between attempts of what is refused */
#define NGX_HTTP_TBUCKET_REDIS_PAUSE_MIN  100
#define NGX_HTTP_TBUCKET_REDIS_PAUSE_MAX  3200


_Static_assert(NGX_HTTP_TBUCKET_REASON_SIZE == NGX_GW_REDIS_REASON,
               "a reason that is kept is as long as one");


static ngx_uint_t ngx_http_tbucket_redis_is_news(
    ngx_http_tbucket_rzone_t *rz, ngx_http_tbucket_trouble_e kind,
    uint32_t hash);
static ngx_uint_t ngx_http_tbucket_redis_has_told(
    ngx_http_tbucket_rzone_t *first, ngx_uint_t kind, uint32_t hash);
static void ngx_http_tbucket_redis_hide(char *reason, uint8_t *secret);


void
ngx_http_tbucket_redis_refused(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind, const char *what, redisReply *reply)
{
    char                        reason[NGX_GW_REDIS_REASON];
    ngx_http_tbucket_mirror_t  *first;

    if (ngx_gw_redis_is_demoted(reply)) {

        /*
         * This connection ends with it, which is told, and those of other
         * workers are to be made anew.
         */

        first = rz->redis->zones[0].mirror;

        atomic_store_explicit(&first->demoted, 1, memory_order_relaxed);
        (void) atomic_fetch_add_explicit(&first->demotions, 1,
                                         memory_order_relaxed);

        ngx_http_tbucket_redis_pause(rz, kind);
        return;
    }

    ngx_http_tbucket_redis_told(rz, reply, reason);
    ngx_http_tbucket_redis_trouble(rz, kind, what, reason);
}


void
ngx_http_tbucket_redis_trouble(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind, const char *what, const char *reason)
{
    uint32_t  hash;

    ngx_http_tbucket_redis_pause(rz, kind);

    if (kind == NGX_HTTP_TBUCKET_TROUBLE_SEED) {
        ngx_shmtx_lock(&rz->zone->shpool->mutex);

        (void) ngx_cpystrn((u_char *) rz->mirror->unseeded, (u_char *) reason,
                           NGX_HTTP_TBUCKET_REASON_SIZE);

        ngx_shmtx_unlock(&rz->zone->shpool->mutex);
    }

    hash = ngx_crc32_short((u_char *) reason, ngx_strlen(reason)) | 1;

    if (!ngx_http_tbucket_redis_is_news(rz, kind, hash)) {
        return;
    }

    atomic_store_explicit(&rz->first->mirror->troubled, 1,
                          memory_order_relaxed);

    ngx_log_error(NGX_LOG_ERR, rz->redis->log, 0,
                  "tbucket_store: zone \"%V\": %s: %s", &rz->zone->name,
                  what, reason);
}


void
ngx_http_tbucket_redis_fine(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind)
{
    uint64_t                     quiet;
    ngx_http_tbucket_mirror_t   *mirror;
    ngx_http_tbucket_rzone_t    *first;
    ngx_http_tbucket_trouble_t  *t;

    mirror = rz->mirror;
    rz->pause[kind].delay = 0;

    if (kind == NGX_HTTP_TBUCKET_TROUBLE_BEAT) {
        atomic_store_explicit(&rz->redis->zones[0].mirror->demoted, 0,
                              memory_order_relaxed);

        /* whoever was refused may not come again; a beat needs as much */

        t = &mirror->trouble[NGX_HTTP_TBUCKET_TROUBLE_WRITE];
        quiet = ngx_current_msec
                - atomic_load_explicit(&t->at, memory_order_relaxed);

        if (quiet >= NGX_HTTP_TBUCKET_REDIS_QUIET) {
            atomic_store_explicit(&t->active, 0, memory_order_relaxed);
        }
    }

    atomic_store_explicit(&mirror->trouble[kind].active, 0,
                          memory_order_relaxed);

    first = rz->first;
    mirror = first->mirror;

    if (atomic_load_explicit(&mirror->troubled, memory_order_relaxed)
        && !ngx_http_tbucket_redis_any_troubled(first)
        && atomic_exchange_explicit(&mirror->troubled, 0,
                                    memory_order_relaxed))
    {
        ngx_log_error(NGX_LOG_NOTICE, rz->redis->log, 0,
                      "tbucket_store: zone \"%V\": redis refuses nothing any "
                      "more", &rz->zone->name);
    }
}


ngx_msec_t
ngx_http_tbucket_redis_rest(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind)
{
    ngx_msec_int_t             left;
    ngx_http_tbucket_pause_t  *pause;

    pause = &rz->pause[kind];

    if (pause->delay == 0) {
        return 0;
    }

    left = (ngx_msec_int_t) (pause->until - ngx_current_msec);

    return (left > 0) ? (ngx_msec_t) left : 0;
}


ngx_uint_t
ngx_http_tbucket_redis_is_troubled(ngx_http_tbucket_rzone_t *rz)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_TBUCKET_TROUBLES; i++) {
        if (atomic_load_explicit(&rz->mirror->trouble[i].active,
                                 memory_order_relaxed))
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_tbucket_redis_any_troubled(ngx_http_tbucket_rzone_t *first)
{
    ngx_uint_t  i;

    for (i = 0; i < first->redis->nshards; i++) {
        if (ngx_http_tbucket_redis_is_troubled(&first[i])) {
            return 1;
        }
    }

    return 0;
}


/* Replies to commands that carry the key of the hashes may repeat it. */

void
ngx_http_tbucket_redis_told(ngx_http_tbucket_rzone_t *rz, redisReply *reply,
    char *reason)
{
    ngx_http_tbucket_shared_t  *shared;

    shared = rz->zone->shared;

    ngx_gw_redis_told(&rz->redis->conf, reply, reason);

    ngx_http_tbucket_redis_hide(reason, shared->secret);

    if (rz->zone->source != NULL) {
        ngx_http_tbucket_redis_hide(reason,
                                    rz->zone->source->secret(rz->zone));
    }
}


void
ngx_http_tbucket_redis_empty(ngx_http_tbucket_rzone_t *rz, char *reason)
{
    ngx_http_tbucket_mirror_t  *mirror;

    mirror = rz->mirror;

    (void) ngx_cpystrn((u_char *) reason, (u_char *) "it has lost its data, "
                       "and gets them back", NGX_HTTP_TBUCKET_REASON_SIZE);

    if (!atomic_load_explicit(
                      &mirror->trouble[NGX_HTTP_TBUCKET_TROUBLE_SEED].active,
                      memory_order_relaxed))
    {
        return;
    }

    ngx_shmtx_lock(&rz->zone->shpool->mutex);

    (void) ngx_cpystrn((u_char *) reason, (u_char *) mirror->unseeded,
                       NGX_HTTP_TBUCKET_REASON_SIZE);

    ngx_shmtx_unlock(&rz->zone->shpool->mutex);
}


void
ngx_http_tbucket_redis_pause(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind)
{
    ngx_msec_t                 delay;
    ngx_http_tbucket_pause_t  *pause;

    pause = &rz->pause[kind];

    delay = (pause->delay == 0) ? NGX_HTTP_TBUCKET_REDIS_PAUSE_MIN
                                : ngx_min(pause->delay * 2,
                                          NGX_HTTP_TBUCKET_REDIS_PAUSE_MAX);

    pause->delay = delay;
    pause->until = ngx_current_msec + delay / 2
                   + (ngx_msec_t) ngx_random() % (delay / 2 + 1);
}


/* Notes the refusal; whether its reason has not been told of late. */

static ngx_uint_t
ngx_http_tbucket_redis_is_news(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind, uint32_t hash)
{
    uint64_t                     last;
    uint32_t                     none;
    ngx_uint_t                   active, i;
    ngx_http_tbucket_trouble_t  *t;

    t = &rz->mirror->trouble[kind];

    active = atomic_exchange_explicit(&t->active, 1, memory_order_relaxed);

    if (rz != rz->first) {
        atomic_store_explicit(&t->at, ngx_current_msec, memory_order_relaxed);
    }

    /* what was told is of all shards */

    t = &rz->first->mirror->trouble[kind];
    last = atomic_exchange_explicit(&t->at, ngx_current_msec,
                                    memory_order_relaxed);

    if (!active && ngx_current_msec - last >= NGX_HTTP_TBUCKET_REDIS_QUIET) {
        for (i = 0; i < NGX_HTTP_TBUCKET_REASONS; i++) {
            atomic_store_explicit(&t->told[i], 0, memory_order_relaxed);
        }
    }

    for (i = 0; i < NGX_HTTP_TBUCKET_REASONS; i++) {
        none = 0;

        if (atomic_compare_exchange_strong_explicit(&t->told[i], &none, hash,
                                                    memory_order_relaxed,
                                                    memory_order_relaxed))
        {
            break;
        }

        if (none == hash) {
            return 0;
        }
    }

    if (i == NGX_HTTP_TBUCKET_REASONS) {
        return 0;
    }

    /* what is refused for one reason is told of the first kind only */

    for (i = 0; i < NGX_HTTP_TBUCKET_TROUBLES; i++) {
        if (i != kind
            && ngx_http_tbucket_redis_has_told(rz->first, i, hash))
        {
            return 0;
        }
    }

    return 1;
}


/* Of a kind that is refused now, in one shard at least. */

static ngx_uint_t
ngx_http_tbucket_redis_has_told(ngx_http_tbucket_rzone_t *first,
    ngx_uint_t kind, uint32_t hash)
{
    ngx_uint_t                   i, active;
    ngx_http_tbucket_trouble_t  *t;

    active = 0;

    for (i = 0; i < first->redis->nshards; i++) {
        active |= atomic_load_explicit(&first[i].mirror->trouble[kind].active,
                                       memory_order_relaxed);
    }

    if (!active) {
        return 0;
    }

    t = &first->mirror->trouble[kind];

    for (i = 0; i < NGX_HTTP_TBUCKET_REASONS; i++) {
        if (atomic_load_explicit(&t->told[i], memory_order_relaxed) == hash) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_tbucket_redis_hide(char *reason, uint8_t *secret)
{
    u_char  hex[2 * TB_SECRET_SIZE + 1];

    *ngx_hex_dump(hex, secret, TB_SECRET_SIZE) = '\0';

    gw_redis_reason_hide(reason, (char *) hex);

    ngx_explicit_memzero(hex, sizeof(hex));
}
