
/*
 * Becoming known to Redis as a node, again if Redis has forgotten us or lost
 * its data; and giving everything back at the end.
 */


#include "src/tbucket/global/ngx_http_tbucket_global_join.h"
#include "src/tbucket/global/ngx_http_tbucket_global_places.h"
#include "src/tbucket/global/ngx_http_tbucket_global_round.h"
#include "src/tbucket/global/ngx_http_tbucket_global_wait.h"
#include "src/tbucket/global/ngx_http_tbucket_lease_places.h"

#include <sys/random.h>


static void ngx_http_tbucket_global_reset(ngx_http_tbucket_asking_t *a);
static ngx_uint_t ngx_http_tbucket_global_clear(
    ngx_http_tbucket_zone_t *zone, ngx_uint_t shard, ngx_uint_t n);
static ngx_int_t ngx_http_tbucket_global_new_secret(
    ngx_http_tbucket_asking_t *a, const uint8_t *secret);
static void ngx_http_tbucket_global_ask_secret(ngx_http_tbucket_asking_t *a);
static void ngx_http_tbucket_global_on_proposed(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_global_on_secret(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_global_give_back(ngx_http_tbucket_asking_t *a);


void
ngx_http_tbucket_global_join(ngx_http_tbucket_asking_t *a)
{
    ngx_http_tbucket_global_t  *g;

    g = a->global;

    if (a->joining) {
        return;
    }

    if (gw_load_seq_cst(&g->unknown)) {

        /* what was leased is void; nobody asks for more until it is gone */

        gw_store_seq_cst(&g->ready, 0);
        ngx_http_tbucket_global_reset(a);

        if (!ngx_http_tbucket_global_clear(a->rz->zone, a->rz->shard,
                                           NGX_HTTP_TBUCKET_LEASE_CLEAR))
        {
            ngx_post_event(&a->post, &ngx_posted_next_events);
            return;
        }

        gw_store_seq_cst(&g->unknown, 0);
    }

    /* the first shard has the secret of all */

    if (a->rz->shard == 0 && !gw_load_seq_cst(&g->ready)) {
        ngx_http_tbucket_global_ask_secret(a);
        return;
    }

    if (gw_load_seq_cst(&a->rz->zone->shared->global->keyed)) {
        a->beat = 1;
    }
}


/* Whether all that was leased is given up; up to n leases. */

static ngx_uint_t
ngx_http_tbucket_global_clear(ngx_http_tbucket_zone_t *zone, ngx_uint_t shard,
    ngx_uint_t n)
{
    if (zone->kind != NGX_HTTP_TBUCKET_INFLIGHT) {
        return ngx_http_tbucket_lease_clear(zone, shard, n);
    }

    ngx_http_tbucket_places_clear(zone, shard);

    return 1;
}


static void
ngx_http_tbucket_global_reset(ngx_http_tbucket_asking_t *a)
{
    uint32_t       tag;
    ngx_str_t     *node;
    unsigned char  id[TB_NODE_ID];

    node = &a->rz->redis->store->node;

    if (getrandom(id, TB_NODE_ID, 0) != TB_NODE_ID) {
        ngx_log_error(NGX_LOG_ALERT, a->rz->redis->log, ngx_errno,
                      "getrandom() failed");
        ngx_memcpy(id, &a->rz->mirror->token, TB_NODE_ID);
        id[0] ^= (unsigned char) a->seq;
    }

    tb_node_reset(&a->global->node, id, ngx_current_msec);

    tag = ngx_crc32_short(node->data, node->len);
    ngx_memcpy(a->global->node.tag, &tag, TB_NODE_TAG);
}


/*
 * One for all nodes: buckets go by a keyed hash, and ids are not told.  One
 * that is known stays in use: what the buckets of other shards are called goes
 * by it.
 */

static void
ngx_http_tbucket_global_ask_secret(ngx_http_tbucket_asking_t *a)
{
    u_char                      hex[2 * TB_SECRET_SIZE];
    uint8_t                     secret[TB_SECRET_SIZE];
    ngx_gw_redis_t             *command;
    ngx_http_tbucket_args_t    *args;

    if (gw_load_seq_cst(&a->global->keyed)) {
        ngx_memcpy(secret, a->global->secret, TB_SECRET_SIZE);

    } else if (getrandom(secret, TB_SECRET_SIZE, 0) != TB_SECRET_SIZE) {
        return;
    }

    command = a->rz->redis->command;
    args = &a->rz->redis->scratch->args;
    args->n = 0;

    ngx_http_tbucket_redis_literal(args, "SET");
    ngx_http_tbucket_redis_str(args, &a->rz->global_secret);
    ngx_http_tbucket_redis_put(args, hex, ngx_hex_dump(hex, secret,
                                                       TB_SECRET_SIZE)
                                          - hex);
    ngx_http_tbucket_redis_literal(args, "NX");

    if (ngx_gw_redis_command(command, ngx_http_tbucket_global_on_proposed, a,
                             args->n, args->value, args->len)
        != NGX_OK)
    {
        return;
    }

    args->n = 0;

    ngx_http_tbucket_redis_literal(args, "GET");
    ngx_http_tbucket_redis_str(args, &a->rz->global_secret);

    if (ngx_gw_redis_command(command, ngx_http_tbucket_global_on_secret, a,
                             args->n, args->value, args->len)
        == NGX_OK)
    {
        a->joining = 1;
    }
}


/* It says nil if there is a secret already. */

static void
ngx_http_tbucket_global_on_proposed(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_asking_t  *a = data;

    (void) link;

    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        ngx_http_tbucket_redis_refused(a->rz, NGX_HTTP_TBUCKET_TROUBLE_LEASE,
                                       "tokens cannot be leased", reply);
    }
}


static void
ngx_http_tbucket_global_on_secret(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    uint8_t                     secret[TB_SECRET_SIZE];
    ngx_int_t                   byte;
    ngx_uint_t                  i;
    ngx_http_tbucket_asking_t  *a = data;

    (void) link;

    a->joining = 0;

    if (reply == NULL || !a->rz->leader || gw_load_seq_cst(&a->global->ready)) {
        return;
    }

    if (reply->type == REDIS_REPLY_NIL) {

        /* Redis did not take the one that was proposed, and has said why */

        ngx_http_tbucket_redis_pause(a->rz, NGX_HTTP_TBUCKET_TROUBLE_LEASE);
        return;
    }

    if (reply->type != REDIS_REPLY_STRING || reply->len != 2 * TB_SECRET_SIZE)
    {
        ngx_http_tbucket_redis_refused(a->rz, NGX_HTTP_TBUCKET_TROUBLE_LEASE,
                                       "tokens cannot be leased", reply);
        return;
    }

    for (i = 0; i < TB_SECRET_SIZE; i++) {
        byte = ngx_hextoi((u_char *) &reply->str[2 * i], 2);
        secret[i] = (uint8_t) byte;
    }

    if (ngx_http_tbucket_global_new_secret(a, secret) != NGX_OK) {
        ngx_post_event(&a->post, &ngx_posted_next_events);
        return;
    }

    gw_store_seq_cst(&a->global->ready, 1);

    ngx_http_tbucket_global_reset(a);

    for (i = 0; i < a->rz->redis->nshards; i++) {
        ngx_http_tbucket_global_wake(&a[i], UINT32_MAX);
        ngx_post_event(&a[i].post, &ngx_posted_events);
    }
}


/*
 * What all shards have leased goes, and those that requests have brought in
 * meanwhile, since none of it has that name in Redis.  NGX_AGAIN: there is
 * more of it than one pass of the event loop is for.
 */

static ngx_int_t
ngx_http_tbucket_global_new_secret(ngx_http_tbucket_asking_t *a,
    const uint8_t *secret)
{
    ngx_uint_t                  i;
    ngx_shmtx_t                *mutex;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_global_t  *g;

    zone = a->rz->zone;
    g = zone->shared->global;
    mutex = &zone->shpool->mutex;

    if (gw_load_seq_cst(&g->keyed)
        && ngx_memcmp(g->secret, secret, TB_SECRET_SIZE) == 0)
    {
        return NGX_OK;
    }

    for (i = 0; i < zone->shards; i++) {
        if (!ngx_http_tbucket_global_clear(zone, i,
                                           NGX_HTTP_TBUCKET_LEASE_CLEAR))
        {
            return NGX_AGAIN;
        }
    }

    ngx_shmtx_lock(mutex);

    ngx_memcpy(g->secret, secret, TB_SECRET_SIZE);
    gw_store_seq_cst(&g->keyed, 1);

    ngx_shmtx_unlock(mutex);

    for (i = 0; i < zone->shards; i++) {

        while (!ngx_http_tbucket_global_clear(zone, i, UINT32_MAX)) {
            /* void */
        }

        if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
            ngx_http_tbucket_places_unname(zone, i);
        }

        /* they join by another id, or for the first time */

        if (i > 0 && gw_load_seq_cst(&g[i].node.contact) != 0) {
            gw_store_seq_cst(&g[i].unknown, 1);

        } else if (i > 0) {
            ngx_http_tbucket_global_reset(&a[i]);
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_global_finish(ngx_gw_redis_sync_t *sync,
    ngx_http_tbucket_rzone_t *rz)
{
    ngx_uint_t                  leave;
    redisReply                 *reply;
    ngx_http_tbucket_args_t    *args;
    ngx_http_tbucket_asking_t  *a;

    a = &rz->zone->asking[rz->shard];
    args = &rz->redis->scratch->args;

    if (!gw_load_seq_cst(&rz->zone->shared->global->keyed)
        || gw_load_seq_cst(&a->global->node.contact) == 0
        || gw_load_seq_cst(&a->global->unknown))
    {
        return NGX_OK;
    }

    a->beat = 0;

    do {
        a->seq = ngx_http_tbucket_lease_next(a->global);

        ngx_http_tbucket_global_give_back(a);

        leave = (gw_load_seq_cst(&a->global->n) == 0);

        ngx_http_tbucket_global_args(a, leave);

        reply = ngx_gw_redis_sync_command(sync, GW_REDIS_REPLY, args->n,
                                          args->value, args->len);
        ngx_time_update();

        if (reply == NULL) {
            return NGX_ERROR;
        }

        freeReplyObject(reply);

    } while (!leave);

    return NGX_OK;
}


static void
ngx_http_tbucket_global_give_back(ngx_http_tbucket_asking_t *a)
{
    uint32_t                    left;
    tb_word_t                   word;
    tb_limits_t                 limits;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_lease_t   *l;
    ngx_http_tbucket_entry_t   *e;
    ngx_http_tbucket_global_t  *g;

    g = a->global;
    zone = a->rz->zone;

    a->n = 0;

    ngx_shmtx_lock(&zone->shpool->mutex);

    while ((left = gw_load_seq_cst(&g->n)) > 0 && a->n < TB_LEASE_BATCH) {
        l = &g->leases[g->list[left - 1]];
        e = &a->entries[a->n];

        if (l->key.lo != 0
            && ngx_http_tbucket_lease_read(zone, l, &e->hash, &word,
                                            &limits))
        {
            ngx_memzero(&e->ask, sizeof(tb_lease_ask_t));

            e->lease = NULL;
            e->hash = l->key;
            e->window = l->lease.window;
            e->ask.limits = limits;
            e->ask.gen = l->lease.warm ? l->lease.gen : TB_LEASE_ANY_GEN;
            e->ask.hold = ngx_min(tb_word_tokens(word), 0);
            e->ask.back = ngx_max(tb_word_tokens(word), 0);
            e->ask.refund = gw_load_seq_cst(&l->lease.refund);
            e->ask.heard = l->lease.heard;
            e->ask.unit = 1;
            a->n++;

            if (tb_limits_are_places(limits)) {

                /* all requests are over */

                ngx_http_tbucket_global_places_none(e, limits);
            }

            (void) atomic_fetch_add_explicit(&g->returned,
                                             (uint64_t) e->ask.back,
                                             memory_order_relaxed);
        }

        ngx_http_tbucket_lease_drop(zone, a->rz->shard, left - 1, 0);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}
