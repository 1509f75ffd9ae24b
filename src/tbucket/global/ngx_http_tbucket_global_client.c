
/*
 * What the clients API wants of one client's bucket in Redis: to set its
 * tokens, and to know how many there are on all nodes together.
 */


#include "src/tbucket/global/ngx_http_tbucket_global_client.h"
#include "src/core/limit/tb_table_edit.h"
#include "src/tbucket/global/ngx_http_tbucket_global_round.h"


static ngx_int_t ngx_http_tbucket_global_one(ngx_http_tbucket_zone_t *zone,
    ngx_pool_t *pool, ngx_str_t *id, tb_lease_ask_t *ask,
    ngx_gw_redis_reply_pt callback, void *data);
static ngx_uint_t ngx_http_tbucket_global_answer(redisReply *reply,
    tb_lease_answer_t *answer);
static void ngx_http_tbucket_global_on_set(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_global_on_asked(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_global_void(ngx_http_tbucket_zone_t *zone,
    ngx_str_t *id);


void
ngx_http_tbucket_global_write(ngx_http_tbucket_write_t *write)
{
    tb_lease_ask_t              ask;
    ngx_http_tbucket_change_t  *change;

    change = write->changes;

    if (write->n != 1 || !(change->client.members & TB_CLIENT_TOKENS)
        || write->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT)
    {
        ngx_http_tbucket_written(write, NGX_OK, NULL);
        return;
    }

    ngx_http_tbucket_global_void(write->zone, &change->id);

    ngx_memzero(&ask, sizeof(tb_lease_ask_t));

    ask.op = TB_LEASE_SET;
    ask.limits = ngx_http_tbucket_given_limits(write->zone, &change->client)
                 & ~TB_LIMITS_FLAGS;

    if (write->zone->kind == NGX_HTTP_TBUCKET_QUOTA) {
        ask.limits = tb_limits(tb_limits_capacity(ask.limits), 0, 0);
    }

    ask.want = (uint64_t) change->client.tokens;
    ask.unit = 1;

    if (ngx_http_tbucket_global_one(write->zone, write->pool, &change->id, &ask,
                                    ngx_http_tbucket_global_on_set, write)
        != NGX_OK)
    {
        ngx_http_tbucket_written(write, NGX_ABORT, NULL);
    }
}


ngx_int_t
ngx_http_tbucket_global_ask(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_ask_t *look, ngx_pool_t *pool, ngx_str_t *id,
    tb_limits_t limits)
{
    tb_lease_ask_t  ask;

    if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {

        /* what is shown is in use on this node */

        return NGX_ERROR;
    }

    ngx_memzero(&ask, sizeof(tb_lease_ask_t));

    ask.op = TB_LEASE_PEEK;
    ask.limits = zone->kind == NGX_HTTP_TBUCKET_QUOTA
                 ? tb_limits(tb_limits_capacity(limits), 0, 0) : limits;
    ask.unit = 1;

    return ngx_http_tbucket_global_one(zone, pool, id, &ask,
                                       ngx_http_tbucket_global_on_asked, look);
}


void
ngx_http_tbucket_global_forget(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_ask_t *look)
{
    ngx_gw_redis_forget(zone->asking->rz->redis->command, look);
}


static ngx_int_t
ngx_http_tbucket_global_one(ngx_http_tbucket_zone_t *zone, ngx_pool_t *pool,
    ngx_str_t *id, tb_lease_ask_t *ask, ngx_gw_redis_reply_pt callback,
    void *data)
{
    u_char                     *key;
    tb_hash_t                   h;
    unsigned char               part[TB_LEASE_PART], head[TB_LEASE_HEAD];
    ngx_http_tbucket_args_t    *args;
    ngx_http_tbucket_rzone_t   *rz;
    ngx_http_tbucket_global_t  *g;

    if (!gw_load_seq_cst(&zone->shared->global->keyed)) {
        return NGX_ERROR;
    }

    h = tb_hash(id->data, id->len, zone->shared->global->secret);

    g = &zone->shared->global[h.lo % zone->shards];
    rz = zone->asking[h.lo % zone->shards].rz;
    args = &rz->redis->scratch->args;

    key = ngx_pnalloc(pool, ngx_http_tbucket_global_key_len(rz));

    if (key == NULL || gw_load_seq_cst(&g->node.contact) == 0) {
        return NGX_ERROR;
    }

    ngx_http_tbucket_global_key(rz, key, &h,
                                ngx_http_tbucket_quota_word(zone));
    tb_lease_put(part, ask);
    tb_node_call(&g->node, ngx_http_tbucket_lease_next(g), false, false, head);
    ngx_http_tbucket_global_window(zone, head);

    ngx_http_tbucket_redis_begin(rz->redis, args,
                                 NGX_HTTP_TBUCKET_SCRIPT_LEASE, "2");
    ngx_http_tbucket_redis_str(args, &rz->nodes);
    ngx_http_tbucket_redis_put(args, key, ngx_http_tbucket_global_key_len(rz));
    ngx_http_tbucket_redis_put(args, head, TB_LEASE_HEAD);
    ngx_http_tbucket_redis_put(args, part, TB_LEASE_PART);

    return ngx_gw_redis_command(rz->redis->command, callback, data, args->n,
                                args->value, args->len);
}


/* Whether it is an answer. */

static ngx_uint_t
ngx_http_tbucket_global_answer(redisReply *reply, tb_lease_answer_t *answer)
{
    tb_lease_reply_t  r;

    return reply != NULL && reply->type == REDIS_REPLY_STRING
           && tb_lease_read((unsigned char *) reply->str, (size_t) reply->len,
                            1, &r, answer)
           && r.status == TB_LEASE_OK && answer->status == TB_LEASE_OK;
}


static void
ngx_http_tbucket_global_on_set(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    tb_lease_answer_t          answer;
    ngx_http_tbucket_write_t  *write = data;

    (void) link;

    ngx_http_tbucket_written(write,
                             ngx_http_tbucket_global_answer(reply, &answer)
                             ? NGX_OK : NGX_ABORT, NULL);
}


static void
ngx_http_tbucket_global_on_asked(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    tb_lease_answer_t         answer;
    ngx_http_tbucket_ask_t  *look = data;

    (void) link;

    look->known = ngx_http_tbucket_global_answer(reply, &answer);

    if (look->known) {
        look->elsewhere = answer.left + ngx_max(answer.delta, 0);
    }

    look->done(look);
}


/* What we hold of it ends with the setting; the next request asks anew. */

static void
ngx_http_tbucket_global_void(ngx_http_tbucket_zone_t *zone, ngx_str_t *id)
{
    tb_hash_t                  h;
    tb_slot_t                 *slot;
    ngx_http_tbucket_lease_t  *l;

    h = tb_hash(id->data, id->len, zone->shared->secret);

    ngx_shmtx_lock(&zone->shpool->mutex);

    slot = tb_table_find(zone->shared->table, &h);

    if (slot != NULL) {
        ngx_http_tbucket_lease_empty(zone, slot, &h);

        l = ngx_http_tbucket_lease_find(zone, slot, &h);

        if (l != NULL
            && l->place < gw_load_seq_cst(
                              &ngx_http_tbucket_lease_global(zone, l)->n))
        {
            ngx_http_tbucket_lease_drop(zone, l->shard, l->place, 0);
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}
