
/*
 * The stream of a shard, which tells at once which clients were changed
 * through a node.  The only shard of a zone has a connection of its own, on
 * which its leader waits for entries.  Several are looked at in turn on the
 * connection for commands: of a cluster one may be away while others are not.
 */


#include "src/tbucket/redis/ngx_http_tbucket_redis_sync.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_apply.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_compare.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_plans.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_seed.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


#define NGX_HTTP_TBUCKET_REDIS_BLOCK  1000      /* ms, of XREAD */
#define NGX_HTTP_TBUCKET_REDIS_POLL   40        /* ms, between XREADs */
#define NGX_HTTP_TBUCKET_REDIS_BATCH  100       /* entries of the stream */

/* bytes of a batch: ids of 255 bytes, a hundred of them in an entry */
#define NGX_HTTP_TBUCKET_REDIS_ENTRIES  (NGX_HTTP_TBUCKET_REDIS_BATCH * 65536)


static void ngx_http_tbucket_redis_hello(ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_on_hello(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_resume(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, ngx_uint_t anew);
static void ngx_http_tbucket_redis_idle(ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_on_entries(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static ngx_int_t ngx_http_tbucket_redis_entries(ngx_http_tbucket_rzone_t *rz,
    redisReply *reply);
static ngx_int_t ngx_http_tbucket_redis_entry(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args, redisReply *entry);
static void ngx_http_tbucket_redis_on_changes(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_odd(ngx_http_tbucket_rzone_t *rz,
    const char *what, redisReply *reply);
static void ngx_http_tbucket_redis_later(ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_lost(ngx_http_tbucket_rzone_t *rz);


/* What the stream is like comes first. */

void
ngx_http_tbucket_redis_follow(ngx_http_tbucket_rzone_t *rz)
{
    rz->following = 0;

    if (!rz->seeding
        && gw_load_acquire(&rz->first->mirror->agreed)
           == NGX_HTTP_TBUCKET_AGREED)
    {
        ngx_http_tbucket_redis_hello(rz);
    }
}


void
ngx_http_tbucket_redis_unread(ngx_http_tbucket_rzone_t *rz)
{
    rz->following = 0;
    rz->seeding = 0;
    rz->empty = 0;

    if (rz->retry.timer_set) {
        ngx_del_timer(&rz->retry);
    }

    if (rz->stream != NULL && ngx_http_tbucket_redis_polls(rz)) {
        ngx_gw_redis_forget(rz->stream, &rz->reading);
    }
}


/*
 * If a command cannot be sent on a connection of its own, that goes down, and
 * comes up again.
 */

static void
ngx_http_tbucket_redis_hello(ngx_http_tbucket_rzone_t *rz)
{
    ngx_http_tbucket_args_t  *args;

    args = &rz->redis->scratch->args;

    ngx_http_tbucket_redis_read(rz, args, &rz->clients, "get");

    if (ngx_gw_redis_command(rz->stream, ngx_http_tbucket_redis_on_hello,
                             &rz->reading, args->n, args->value, args->len)
        != NGX_OK)
    {
        ngx_http_tbucket_redis_lost(rz);
    }
}


static void
ngx_http_tbucket_redis_on_hello(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_int_t                  rc;
    ngx_http_tbucket_view_t    view;
    ngx_http_tbucket_rzone_t  *rz;

    (void) link;

    rz = ngx_http_tbucket_redis_reading(data);

    if (reply == NULL) {
        ngx_http_tbucket_redis_lost(rz);
        return;
    }

    if (ngx_http_tbucket_redis_view(&view, reply) != NGX_OK) {
        ngx_http_tbucket_redis_odd(rz, "Redis cannot be compared", reply);
        return;
    }

    /* by now it may be of a new configuration, which has another Redis */

    if (gw_load_relaxed(&rz->mirror->store) != rz->redis->identity) {
        return;
    }

    rc = ngx_http_tbucket_redis_judge(rz, &view);

    if (rc == NGX_DECLINED) {

        /* another node has begun anew */

        rz->reseed = 0;

    } else if (rc == NGX_OK && rz->reseed) {
        ngx_memcpy(rz->seen, view.epoch.data, view.epoch.len + 1);
        rc = NGX_AGAIN;
    }

    if (rc == NGX_AGAIN) {
        ngx_http_tbucket_redis_seed(rz);
        return;
    }

    rz->empty = 0;

    ngx_http_tbucket_redis_fine(rz, NGX_HTTP_TBUCKET_TROUBLE_SEED);
    ngx_http_tbucket_redis_set_time(rz, view.time);

    ngx_http_tbucket_redis_resume(rz, &view, rc == NGX_DECLINED);
}


/*
 * From where the stream was left, if all since then is still in it; else
 * from its end, with a comparison of everything.
 */

static void
ngx_http_tbucket_redis_resume(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, ngx_uint_t anew)
{
    ngx_http_tbucket_mirror_t  *mirror;

    mirror = rz->mirror;

    ngx_shmtx_lock(&rz->zone->shpool->mutex);

    /*
     * A stream that begins later than we left it may have lost entries; one
     * that ends before what we have written is another one's.
     */

    anew |= rz->skip;
    rz->skip = 0;

    if (anew || tb_stream_id_compare(&view->last, &mirror->position) < 0
        || !tb_recent_covers(&mirror->recent, &view->last)
        || (view->length > 0
            && tb_stream_id_compare(&view->first, &mirror->position) > 0))
    {
        anew = 1;
        mirror->position = view->last;
        tb_recent_clear(&mirror->recent);
    }

    ngx_shmtx_unlock(&rz->zone->shpool->mutex);

    rz->following = 1;

    if (anew || gw_load_acquire(&mirror->stale)) {
        ngx_http_tbucket_redis_resync(rz);
    }

    ngx_http_tbucket_redis_wait(rz);

    if (ngx_gw_redis_is_up(rz->redis->command)) {
        ngx_http_tbucket_redis_compare(rz);
    }
}


void
ngx_http_tbucket_redis_wait(ngx_http_tbucket_rzone_t *rz)
{
    char                      position[TB_STREAM_ID_SIZE];
    size_t                    len;
    ngx_msec_t                timeout;
    ngx_http_tbucket_args_t  *args;

    timeout = rz->redis->conf.timeout;
    args = &rz->redis->scratch->args;
    args->n = 0;

    len = tb_stream_id_print(position, &rz->mirror->position);

    ngx_http_tbucket_redis_literal(args, "XREAD");
    ngx_http_tbucket_redis_literal(args, "COUNT");
    ngx_http_tbucket_redis_literal(args, ngx_value(
                                              NGX_HTTP_TBUCKET_REDIS_BATCH));

    if (!ngx_http_tbucket_redis_polls(rz)) {
        ngx_http_tbucket_redis_literal(args, "BLOCK");
        ngx_http_tbucket_redis_literal(args, ngx_value(
                                              NGX_HTTP_TBUCKET_REDIS_BLOCK));
        timeout += NGX_HTTP_TBUCKET_REDIS_BLOCK;
    }

    ngx_http_tbucket_redis_literal(args, "STREAMS");
    ngx_http_tbucket_redis_str(args, &rz->changes);
    ngx_http_tbucket_redis_put(args, position, len);

    rz->asked = ngx_current_msec;

    if (ngx_gw_redis_background(rz->stream, ngx_http_tbucket_redis_on_entries,
                                &rz->reading, NGX_HTTP_TBUCKET_REDIS_ENTRIES,
                                timeout, args->n, args->value, args->len)
        != NGX_OK)
    {
        ngx_http_tbucket_redis_lost(rz);
    }
}


static void
ngx_http_tbucket_redis_on_entries(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rzone_t  *rz;

    rz = ngx_http_tbucket_redis_reading(data);

    if (reply == NULL) {

        /* of entries that nobody can read only a comparison gets us past */

        rz->skip |= ngx_gw_redis_is_unbound(link);
        ngx_http_tbucket_redis_lost(rz);
        return;
    }

    if (reply->type == REDIS_REPLY_NIL) {

        if (!ngx_http_tbucket_redis_polls(rz)
            && (ngx_msec_t) (ngx_current_msec - rz->asked)
               < NGX_HTTP_TBUCKET_REDIS_BLOCK / 2)
        {
            ngx_http_tbucket_redis_trouble(rz,
                                           NGX_HTTP_TBUCKET_TROUBLE_STREAM,
                                           "the stream cannot be read",
                                           "it is not waited for entries");
            ngx_http_tbucket_redis_later(rz);
            return;
        }

        ngx_http_tbucket_redis_fine(rz, NGX_HTTP_TBUCKET_TROUBLE_STREAM);
        ngx_http_tbucket_redis_in_line(rz);
        ngx_http_tbucket_redis_idle(rz);
        return;
    }

    if (ngx_http_tbucket_redis_entries(rz, reply) != NGX_OK) {
        ngx_http_tbucket_redis_odd(rz, "the stream cannot be read", reply);
    }
}


/* There are no more entries for now. */

static void
ngx_http_tbucket_redis_idle(ngx_http_tbucket_rzone_t *rz)
{
    if (ngx_http_tbucket_redis_polls(rz)) {
        ngx_add_timer(&rz->retry, NGX_HTTP_TBUCKET_REDIS_POLL);
        return;
    }

    ngx_http_tbucket_redis_wait(rz);
}


/* [[key, [[id, [field, value, ...]], ...]]] */

static ngx_int_t
ngx_http_tbucket_redis_entries(ngx_http_tbucket_rzone_t *rz,
    redisReply *reply)
{
    size_t                    i;
    redisReply               *entries;
    ngx_http_tbucket_args_t  *args;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1
        || reply->element[0]->type != REDIS_REPLY_ARRAY
        || reply->element[0]->elements != 2
        || reply->element[0]->element[1]->type != REDIS_REPLY_ARRAY
        || reply->element[0]->element[1]->elements == 0
        || reply->element[0]->element[1]->elements
           > NGX_HTTP_TBUCKET_REDIS_PAGE)
    {
        return NGX_ERROR;
    }

    entries = reply->element[0]->element[1];
    args = &rz->redis->scratch->args;

    ngx_http_tbucket_redis_read(rz, args, &rz->clients, "get");

    for (i = 0; i < (size_t) entries->elements; i++) {
        if (ngx_http_tbucket_redis_entry(rz, args, entries->element[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (tb_stream_id_compare(&rz->upcoming, &rz->mirror->position) <= 0) {
        return NGX_ERROR;
    }

    if (ngx_gw_redis_query(rz->stream, ngx_http_tbucket_redis_on_changes,
                           &rz->reading, NGX_HTTP_TBUCKET_REDIS_MOST(args->n),
                           args->n, args->value, args->len)
        != NGX_OK)
    {
        ngx_http_tbucket_redis_lost(rz);
    }

    /* not before: it is put together in the same place */

    if (rz->replan) {
        ngx_http_tbucket_redis_plans(rz);
    }

    return NGX_OK;
}


/*
 * Adds the values of its fields "id", as many as there is room for; more
 * than that are left to a full comparison.  Where a plan was changed all plans
 * are read.
 */

static ngx_int_t
ngx_http_tbucket_redis_entry(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args, redisReply *entry)
{
    size_t       i;
    redisReply  *fields, *id;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2
        || entry->element[0]->type != REDIS_REPLY_STRING
        || entry->element[1]->type != REDIS_REPLY_ARRAY
        || !tb_stream_id_parse(&rz->upcoming, entry->element[0]->str,
                               entry->element[0]->len))
    {
        return NGX_ERROR;
    }

    fields = entry->element[1];

    for (i = 0; i + 1 < (size_t) fields->elements; i += 2) {
        id = fields->element[i + 1];

        if (rz == rz->first
            && ngx_http_tbucket_redis_is(fields->element[i], "plan"))
        {
            rz->replan = 1;
            continue;
        }

        /* what is no id of a client is nothing to us */

        if (!ngx_http_tbucket_redis_is(fields->element[i], "id")
            || id->type != REDIS_REPLY_STRING
            || gw_id_check(id->str, id->len) != GW_ID_OK)
        {
            continue;
        }

        if (args->n == NGX_HTTP_TBUCKET_REDIS_ARGS) {
            rz->crowded = 1;
            return NGX_OK;
        }

        ngx_http_tbucket_redis_put(args, id->str, id->len);
    }

    return NGX_OK;
}


static void
ngx_http_tbucket_redis_on_changes(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_int_t                  rc;
    ngx_uint_t                 gap;
    ngx_http_tbucket_view_t    view;
    ngx_http_tbucket_rzone_t  *rz;

    (void) link;

    rz = ngx_http_tbucket_redis_reading(data);

    if (reply == NULL) {
        ngx_http_tbucket_redis_lost(rz);
        return;
    }

    if (ngx_http_tbucket_redis_view(&view, reply) != NGX_OK) {
        ngx_http_tbucket_redis_odd(rz, "changes cannot be read", reply);
        return;
    }

    if (view.epoch.len == 0
        || ngx_strcmp(view.epoch.data, rz->mirror->epoch) != 0)
    {
        ngx_http_tbucket_redis_follow(rz);
        return;
    }

    rc = ngx_http_tbucket_redis_apply(rz, &view);

    if (rc == NGX_ERROR) {
        ngx_http_tbucket_redis_odd(rz, "changes cannot be read", reply);
        return;
    }

    ngx_http_tbucket_redis_fine(rz, NGX_HTTP_TBUCKET_TROUBLE_STREAM);

    /* more than the stream holds may have been added at once */

    ngx_shmtx_lock(&rz->zone->shpool->mutex);

    gap = rz->crowded
          || (tb_stream_id_compare(&view.first, &rz->mirror->position) > 0
              && view.length * 2 > NGX_HTTP_TBUCKET_REDIS_STREAM);

    if (rc == NGX_OK) {
        rz->mirror->position = rz->upcoming;
        rz->crowded = 0;
    }

    ngx_shmtx_unlock(&rz->zone->shpool->mutex);

    if (rc == NGX_OK) {
        rz->declined = 0;

    } else if (++rz->declined > NGX_HTTP_TBUCKET_REDIS_DECLINED) {
        rz->declined = 0;
        ngx_http_tbucket_redis_restart(rz);
        return;
    }

    if (gap) {
        ngx_http_tbucket_redis_resync(rz);

    } else if (rc == NGX_OK) {
        ngx_http_tbucket_redis_in_line(rz);
    }

    ngx_http_tbucket_redis_wait(rz);
}


/* A reply that is an error, or none at all: it is tried again later. */

static void
ngx_http_tbucket_redis_odd(ngx_http_tbucket_rzone_t *rz, const char *what,
    redisReply *reply)
{
    ngx_http_tbucket_redis_refused(rz, NGX_HTTP_TBUCKET_TROUBLE_STREAM, what,
                                   reply);
    ngx_http_tbucket_redis_later(rz);
}


static void
ngx_http_tbucket_redis_later(ngx_http_tbucket_rzone_t *rz)
{
    rz->following = 0;

    ngx_add_timer(&rz->retry,
                  ngx_http_tbucket_redis_rest(rz,
                                         NGX_HTTP_TBUCKET_TROUBLE_STREAM));
}


/*
 * Nothing came of a command.  The loss of a connection of its own is seen to
 * where that is; here it may be that of one node of several.
 */

static void
ngx_http_tbucket_redis_lost(ngx_http_tbucket_rzone_t *rz)
{
    if (!ngx_http_tbucket_redis_polls(rz)) {
        return;
    }

    rz->following = 0;
    rz->seeding = 0;

    if (rz->leader) {
        ngx_http_tbucket_redis_pause(rz, NGX_HTTP_TBUCKET_TROUBLE_STREAM);
        ngx_http_tbucket_redis_later(rz);
    }
}
