
/*
 * How many shards Redis has a zone in: a key outside of them says so, which
 * whoever comes first sets.  A gateway with another number would look for
 * clients in the wrong places, so it leaves the zone alone until they agree;
 * where there are no clients yet, the number of who comes takes the place of
 * that one.
 */


#include "src/tbucket/redis/ngx_http_tbucket_redis_shards.h"
#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_sync.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


/* ms between looks, also while Redis has another number */
#define NGX_HTTP_TBUCKET_REDIS_LOOK      1000
#define NGX_HTTP_TBUCKET_REDIS_DISAGREE  3000


static void ngx_http_tbucket_redis_on_shards(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_propose(ngx_http_tbucket_rzone_t *first,
    ngx_uint_t absent);
static void ngx_http_tbucket_redis_on_proposed(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_count(ngx_http_tbucket_rzone_t *first);
static void ngx_http_tbucket_redis_on_count(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_agreed(ngx_http_tbucket_rzone_t *first,
    ngx_uint_t found);


void
ngx_http_tbucket_redis_agree(ngx_http_tbucket_rzone_t *first)
{
    uint32_t                  agreed;
    ngx_msec_t                pause;
    ngx_http_tbucket_args_t  *args;

    agreed = gw_load_acquire(&first->mirror->agreed);

    pause = (agreed == NGX_HTTP_TBUCKET_AGREED) ? NGX_HTTP_TBUCKET_REDIS_LOOK
            : (agreed == NGX_HTTP_TBUCKET_AGREED_NOT)
              ? NGX_HTTP_TBUCKET_REDIS_DISAGREE : 0;

    if (first->agreeing || first->awaited > 0
        || ngx_http_tbucket_redis_rest(first, NGX_HTTP_TBUCKET_TROUBLE_SHARDS)
        || (ngx_msec_t) (ngx_current_msec - first->agreed) < pause)
    {
        return;
    }

    args = &first->redis->scratch->args;
    args->n = 0;

    ngx_http_tbucket_redis_literal(args, "GET");
    ngx_http_tbucket_redis_str(args, &first->shards);

    if (ngx_gw_redis_command(first->redis->command,
                             ngx_http_tbucket_redis_on_shards, first,
                             args->n, args->value, args->len)
        == NGX_OK)
    {
        first->agreeing = 1;
        first->agreed = ngx_current_msec;
    }
}


static void
ngx_http_tbucket_redis_on_shards(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_uint_t                 found;
    ngx_http_tbucket_rzone_t  *first = data;

    (void) link;

    first->agreeing = 0;

    if (reply == NULL || !first->leader) {
        return;
    }

    if (reply->type == REDIS_REPLY_NIL) {
        ngx_http_tbucket_redis_propose(first, 1);
        return;
    }

    if (reply->type != REDIS_REPLY_STRING) {
        ngx_http_tbucket_redis_refused(first, NGX_HTTP_TBUCKET_TROUBLE_SHARDS,
                                       "the number of shards cannot be read",
                                       reply);
        return;
    }

    ngx_http_tbucket_redis_fine(first, NGX_HTTP_TBUCKET_TROUBLE_SHARDS);

    /* of two that are there none gives way to the other again and again */

    if (ngx_http_tbucket_redis_judge_shards(first, reply, &found)
        || gw_load_acquire(&first->mirror->agreed)
           != NGX_HTTP_TBUCKET_AGREED_UNKNOWN)
    {
        ngx_http_tbucket_redis_agreed(first, found);
        return;
    }

    first->found = found;
    ngx_http_tbucket_redis_count(first);
}


ngx_uint_t
ngx_http_tbucket_redis_judge_shards(ngx_http_tbucket_rzone_t *first,
    redisReply *reply, ngx_uint_t *found)
{
    ngx_int_t  n;

    n = ngx_atoi((u_char *) reply->str, reply->len);

    if (n < 1 || n > NGX_HTTP_TBUCKET_REDIS_SHARDS) {
        n = 0;
    }

    *found = n;

    return n == 0 || (ngx_uint_t) n == first->redis->nshards;
}


/* Where Redis refuses that, nobody has said otherwise, and it may be read. */

static void
ngx_http_tbucket_redis_propose(ngx_http_tbucket_rzone_t *first,
    ngx_uint_t absent)
{
    u_char                   *p;
    ngx_http_tbucket_args_t  *args;

    args = &first->redis->scratch->args;
    p = (u_char *) first->redis->scratch->numbers[0];
    args->n = 0;

    ngx_http_tbucket_redis_literal(args, "SET");
    ngx_http_tbucket_redis_str(args, &first->shards);
    ngx_http_tbucket_redis_put(args, p,
                               ngx_sprintf(p, "%ui", first->redis->nshards)
                               - p);

    if (absent) {
        ngx_http_tbucket_redis_literal(args, "NX");
        first->found = first->redis->nshards;
    }

    if (ngx_gw_redis_command(first->redis->command,
                             ngx_http_tbucket_redis_on_proposed, first,
                             args->n, args->value, args->len)
        == NGX_OK)
    {
        first->agreeing = 1;
    }
}


static void
ngx_http_tbucket_redis_on_proposed(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rzone_t  *first = data;

    (void) link;

    first->agreeing = 0;

    if (reply == NULL || !first->leader) {
        return;
    }

    if (reply->type == REDIS_REPLY_NIL) {

        /* somebody else was first: what is there now? */

        first->agreed = ngx_current_msec - NGX_HTTP_TBUCKET_REDIS_DISAGREE;
        return;
    }

    ngx_http_tbucket_redis_agreed(first, reply->type == REDIS_REPLY_ERROR
                                         ? first->found
                                         : first->redis->nshards);
}


/* Clients in all of those shards. */

static void
ngx_http_tbucket_redis_count(ngx_http_tbucket_rzone_t *first)
{
    u_char                    *key, *p;
    ngx_str_t                 *prefix;
    ngx_uint_t                 i;
    ngx_http_tbucket_args_t   *args;

    prefix = &first->redis->store->prefix;
    args = &first->redis->scratch->args;
    first->there = 0;

    key = ngx_alloc(prefix->len + first->zone->name.len + NGX_INT_T_LEN + 16,
                    first->redis->log);
    if (key == NULL) {
        return;
    }

    for (i = 0; i < first->found; i++) {
        args->n = 0;

        p = ngx_sprintf(key, "%V:{%V", prefix, &first->zone->name);

        if (first->found > 1) {
            p = ngx_sprintf(p, ".%ui", i);
        }

        p = ngx_sprintf(p, "}:clients");

        ngx_http_tbucket_redis_literal(args, "HLEN");
        ngx_http_tbucket_redis_put(args, key, p - key);

        if (ngx_gw_redis_command(first->redis->command,
                                 ngx_http_tbucket_redis_on_count, first,
                                 args->n, args->value, args->len)
            == NGX_OK)
        {
            first->awaited++;

        } else {
            first->there++;
        }
    }

    ngx_free(key);

    if (first->awaited == 0) {
        ngx_http_tbucket_redis_agreed(first, first->found);
    }
}


/* One that cannot be counted may have some. */

static void
ngx_http_tbucket_redis_on_count(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rzone_t  *first = data;

    (void) link;

    first->there += (reply == NULL || reply->type != REDIS_REPLY_INTEGER)
                    ? 1 : reply->integer;

    if (--first->awaited > 0 || !first->leader) {
        return;
    }

    if (first->there == 0) {
        ngx_http_tbucket_redis_propose(first, 0);
        return;
    }

    ngx_http_tbucket_redis_agreed(first, first->found);
}


static void
ngx_http_tbucket_redis_agreed(ngx_http_tbucket_rzone_t *first,
    ngx_uint_t found)
{
    char        reason[NGX_GW_REDIS_REASON];
    uint32_t    now, before;
    ngx_uint_t  i;

    now = (found == first->redis->nshards) ? NGX_HTTP_TBUCKET_AGREED
                                           : NGX_HTTP_TBUCKET_AGREED_NOT;

    first->found = found;
    gw_store_release(&first->mirror->found, (uint32_t) found);
    before = atomic_exchange_explicit(&first->mirror->agreed, now,
                                      memory_order_acq_rel);

    if (now == before) {
        return;
    }

    if (now == NGX_HTTP_TBUCKET_AGREED_NOT) {
        (void) ngx_http_tbucket_redis_disagrees(first, reason);

        ngx_log_error(NGX_LOG_ERR, first->redis->log, 0,
                      "tbucket_store: zone \"%V\" does not use redis: %s",
                      &first->zone->name, reason);

    } else if (before == NGX_HTTP_TBUCKET_AGREED_NOT) {
        ngx_log_error(NGX_LOG_NOTICE, first->redis->log, 0,
                      "tbucket_store: zone \"%V\" uses redis again",
                      &first->zone->name);
    }

    for (i = 0; i < first->redis->nshards; i++) {
        ngx_http_tbucket_redis_unread(&first[i]);

        if (now == NGX_HTTP_TBUCKET_AGREED) {
            ngx_post_event(&first[i].retry, &ngx_posted_events);

        } else if (!ngx_http_tbucket_redis_polls(first)) {
            ngx_gw_redis_reconnect(first->stream, reason);
        }
    }

    if (first->zone->source != NULL) {
        for (i = 0; i < first->redis->nshards; i++) {
            first->zone->source->joined(&first[i]);
        }
    }
}


ngx_uint_t
ngx_http_tbucket_redis_disagrees(ngx_http_tbucket_rzone_t *rz, char *reason)
{
    u_char     *p, *last;
    uint32_t    agreed, found;

    agreed = gw_load_acquire(&rz->first->mirror->agreed);
    found = gw_load_acquire(&rz->first->mirror->found);

    if (agreed == NGX_HTTP_TBUCKET_AGREED
        || (agreed == NGX_HTTP_TBUCKET_AGREED_UNKNOWN
            && !ngx_http_tbucket_redis_polls(rz)))
    {
        return 0;
    }

    p = (u_char *) reason;
    last = p + NGX_GW_REDIS_REASON - 1;

    if (agreed == NGX_HTTP_TBUCKET_AGREED_UNKNOWN) {
        p = ngx_slprintf(p, last, "it is not known yet in how many shards it "
                         "has the zone");

    } else if (found == 0) {
        p = ngx_slprintf(p, last, "\"%V\" is no number of shards",
                         &rz->first->shards);

    } else {
        p = ngx_slprintf(p, last, "it has the zone in %uD shards, and not in "
                         "%ui", found, rz->redis->nshards);
    }

    *p = '\0';

    return 1;
}
