
/*
 * Keeping a zone in line with Redis.  The stream tells at once which clients
 * were changed through a node.  Pages of what is in Redis, and of what is in
 * memory, are compared all the time, which finds changes made by hand; when
 * the stream has a gap, page follows page.
 */


#include "src/tbucket/redis/ngx_http_tbucket_redis_sync.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_apply.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_info.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_seed.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


#define NGX_HTTP_TBUCKET_REDIS_BLOCK  1000      /* ms, of XREAD */
#define NGX_HTTP_TBUCKET_REDIS_BATCH  100       /* entries of the stream */

/* bytes of a batch: ids of 255 bytes, a hundred of them in an entry */
#define NGX_HTTP_TBUCKET_REDIS_ENTRIES  (NGX_HTTP_TBUCKET_REDIS_BATCH * 65536)

/* views in a row that may be too old to be judged */
#define NGX_HTTP_TBUCKET_REDIS_DECLINED  10


static void ngx_http_tbucket_redis_hello(ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_on_hello(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_resume(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, ngx_uint_t anew);
static void ngx_http_tbucket_redis_wait(ngx_http_tbucket_rzone_t *rz);
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

static void ngx_http_tbucket_redis_scan(ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_walk(ngx_http_tbucket_rzone_t *rz);
static ngx_uint_t ngx_http_tbucket_redis_due(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_pass_t *pass);
static void ngx_http_tbucket_redis_on_scan(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_on_walk(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static ngx_int_t ngx_http_tbucket_redis_page(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_pass_t *pass, ngx_http_tbucket_view_t *view,
    redisReply *reply);
static void ngx_http_tbucket_redis_round(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_pass_t *pass);


/* What the stream is like comes first. */

void
ngx_http_tbucket_redis_follow(ngx_http_tbucket_rzone_t *rz)
{
    rz->following = 0;

    if (!rz->seeding) {
        ngx_http_tbucket_redis_hello(rz);
    }
}


/* If a command cannot be sent, the link goes down, and comes up again. */

static void
ngx_http_tbucket_redis_hello(ngx_http_tbucket_rzone_t *rz)
{
    ngx_http_tbucket_args_t  *args;

    args = &rz->redis->scratch->args;

    ngx_http_tbucket_redis_read(rz, args, "get");

    (void) ngx_gw_redis_command(rz->stream, ngx_http_tbucket_redis_on_hello,
                                rz, args->n, args->value, args->len);
}


static void
ngx_http_tbucket_redis_on_hello(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_int_t                  rc;
    ngx_http_tbucket_view_t    view;
    ngx_http_tbucket_rzone_t  *rz = data;

    (void) link;

    if (reply == NULL) {
        return;
    }

    if (ngx_http_tbucket_redis_view(&view, reply) != NGX_OK) {
        ngx_http_tbucket_redis_odd(rz, "Redis cannot be compared", reply);
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

    if (anew || atomic_load(&mirror->stale)) {
        ngx_http_tbucket_redis_resync(rz);
    }

    ngx_http_tbucket_redis_wait(rz);

    if (ngx_gw_redis_is_up(rz->redis->command)) {
        ngx_http_tbucket_redis_compare(rz);
    }
}


static void
ngx_http_tbucket_redis_wait(ngx_http_tbucket_rzone_t *rz)
{
    char                      position[TB_STREAM_ID_SIZE];
    size_t                    len;
    ngx_http_tbucket_args_t  *args;

    args = &rz->redis->scratch->args;
    args->n = 0;

    len = tb_stream_id_print(position, &rz->mirror->position);

    ngx_http_tbucket_redis_literal(args, "XREAD");
    ngx_http_tbucket_redis_literal(args, "COUNT");
    ngx_http_tbucket_redis_literal(args, ngx_value(
                                              NGX_HTTP_TBUCKET_REDIS_BATCH));
    ngx_http_tbucket_redis_literal(args, "BLOCK");
    ngx_http_tbucket_redis_literal(args, ngx_value(
                                              NGX_HTTP_TBUCKET_REDIS_BLOCK));
    ngx_http_tbucket_redis_literal(args, "STREAMS");
    ngx_http_tbucket_redis_str(args, &rz->changes);
    ngx_http_tbucket_redis_put(args, position, len);

    rz->asked = ngx_current_msec;

    (void) ngx_gw_redis_background(rz->stream,
                                   ngx_http_tbucket_redis_on_entries, rz,
                                   NGX_HTTP_TBUCKET_REDIS_ENTRIES,
                                   rz->redis->conf.timeout
                                   + NGX_HTTP_TBUCKET_REDIS_BLOCK,
                                   args->n, args->value, args->len);
}


static void
ngx_http_tbucket_redis_on_entries(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rzone_t  *rz = data;

    if (reply == NULL) {

        /* of entries that nobody can read only a comparison gets us past */

        rz->skip = ngx_gw_redis_is_unbound(link);
        return;
    }

    if (reply->type == REDIS_REPLY_NIL) {

        if ((ngx_msec_t) (ngx_current_msec - rz->asked)
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

        if (!rz->scan.full && !rz->walk.full) {
            ngx_http_tbucket_store_synced(rz->zone);
        }

        ngx_http_tbucket_redis_wait(rz);
        return;
    }

    if (ngx_http_tbucket_redis_entries(rz, reply) != NGX_OK) {
        ngx_http_tbucket_redis_odd(rz, "the stream cannot be read", reply);
    }
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

    ngx_http_tbucket_redis_read(rz, args, "get");

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

    (void) ngx_gw_redis_query(rz->stream, ngx_http_tbucket_redis_on_changes,
                              rz, NGX_HTTP_TBUCKET_REDIS_MOST(args->n),
                              args->n, args->value, args->len);

    return NGX_OK;
}


/*
 * Adds the values of its fields "id", as many as there is room for; more
 * than that are left to a full comparison.
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
    ngx_http_tbucket_rzone_t  *rz = data;

    (void) link;

    if (reply == NULL) {
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

    } else if (rc == NGX_OK && !rz->scan.full && !rz->walk.full) {
        ngx_http_tbucket_store_synced(rz->zone);
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


void
ngx_http_tbucket_redis_compare(ngx_http_tbucket_rzone_t *rz)
{
    if (!rz->following) {
        return;
    }

    if (ngx_http_tbucket_redis_due(rz, &rz->scan)) {
        ngx_http_tbucket_redis_scan(rz);
    }

    if (ngx_http_tbucket_redis_due(rz, &rz->walk)) {
        ngx_http_tbucket_redis_walk(rz);
    }
}


/* Rounds of few pages begin no sooner than is needed. */

static ngx_uint_t
ngx_http_tbucket_redis_due(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_pass_t *pass)
{
    if (pass->busy || ngx_http_tbucket_redis_rest(rz, pass->kind)) {
        return 0;
    }

    if (pass->done) {

        if (!pass->full
            && (ngx_msec_t) (ngx_current_msec - pass->begin)
               < rz->redis->store->interval / 3)
        {
            return 0;
        }

        pass->done = 0;
        pass->begin = ngx_current_msec;
        pass->after = 0;
        ngx_memcpy(pass->cursor, "0", 2);
    }

    return 1;
}


static void
ngx_http_tbucket_redis_scan(ngx_http_tbucket_rzone_t *rz)
{
    ngx_http_tbucket_args_t  *args;

    args = &rz->redis->scratch->args;

    ngx_http_tbucket_redis_read(rz, args, "scan");
    ngx_http_tbucket_redis_put(args, rz->scan.cursor,
                               ngx_strlen(rz->scan.cursor));
    ngx_http_tbucket_redis_put(args, rz->redis->page,
                               ngx_strlen(rz->redis->page));

    if (ngx_gw_redis_query(rz->redis->command,
                           ngx_http_tbucket_redis_on_scan, rz,
                           NGX_HTTP_TBUCKET_REDIS_MOST(
                                ngx_atoi((u_char *) rz->redis->page,
                                         ngx_strlen(rz->redis->page))),
                           args->n, args->value, args->len)
        == NGX_OK)
    {
        rz->scan.busy = 1;
    }
}


static void
ngx_http_tbucket_redis_walk(ngx_http_tbucket_rzone_t *rz)
{
    ngx_uint_t                   end, i, n;
    ngx_http_tbucket_args_t     *args;
    ngx_http_tbucket_scratch_t  *scratch;

    scratch = rz->redis->scratch;
    args = &scratch->args;

    rz->next = rz->walk.after;

    n = ngx_http_tbucket_redis_list(rz, &rz->next, scratch->entries, &end);

    if (n == 0) {
        rz->walk.after = rz->next;

        if (end) {
            ngx_http_tbucket_redis_round(rz, &rz->walk);
        }

        return;
    }

    ngx_http_tbucket_redis_read(rz, args, "get");

    for (i = 0; i < n; i++) {
        ngx_http_tbucket_redis_put(args, scratch->entries[i].id,
                                   scratch->entries[i].len);
    }

    if (ngx_gw_redis_query(rz->redis->command,
                           ngx_http_tbucket_redis_on_walk, rz,
                           NGX_HTTP_TBUCKET_REDIS_MOST(n), args->n,
                           args->value, args->len)
        == NGX_OK)
    {
        rz->walk.busy = 1;
    }
}


static void
ngx_http_tbucket_redis_on_scan(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_view_t    view;
    ngx_http_tbucket_rzone_t  *rz = data;

    (void) link;

    rz->scan.busy = 0;

    if (ngx_http_tbucket_redis_page(rz, &rz->scan, &view, reply) != NGX_OK) {
        return;
    }

    *ngx_cpymem(rz->scan.cursor, view.cursor.data, view.cursor.len) = '\0';

    if (rz->scan.cursor[0] == '0') {
        ngx_http_tbucket_redis_round(rz, &rz->scan);

    } else if (rz->scan.full) {
        ngx_http_tbucket_redis_compare(rz);
    }
}


static void
ngx_http_tbucket_redis_on_walk(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_view_t    view;
    ngx_http_tbucket_rzone_t  *rz = data;

    (void) link;

    rz->walk.busy = 0;

    if (ngx_http_tbucket_redis_page(rz, &rz->walk, &view, reply) != NGX_OK) {
        return;
    }

    rz->walk.after = rz->next;

    if (rz->walk.full) {
        ngx_http_tbucket_redis_compare(rz);
    }
}


/* NGX_OK: a page is done; else it is asked for again. */

static ngx_int_t
ngx_http_tbucket_redis_page(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_pass_t *pass, ngx_http_tbucket_view_t *view,
    redisReply *reply)
{
    ngx_int_t  rc;

    if (reply == NULL || !rz->leader || !rz->following) {
        return NGX_DECLINED;
    }

    rc = ngx_http_tbucket_redis_view(view, reply);

    if (rc == NGX_OK
        && (view->epoch.len == 0
            || ngx_strcmp(view->epoch.data, rz->mirror->epoch) != 0))
    {
        /* the stream's connection sees to it */

        ngx_http_tbucket_redis_restart(rz);
        return NGX_DECLINED;
    }

    if (rc == NGX_OK && ngx_http_tbucket_redis_gone(rz, view)) {
        return NGX_DECLINED;
    }

    if (rc == NGX_OK) {
        ngx_http_tbucket_redis_set_time(rz, view->time);
        rc = ngx_http_tbucket_redis_apply(rz, view);
    }

    if (rc == NGX_ERROR) {
        ngx_http_tbucket_redis_refused(rz, pass->kind,
                                       "clients cannot be compared", reply);
        return NGX_ERROR;
    }

    ngx_http_tbucket_redis_fine(rz, pass->kind);

    if (rc == NGX_OK) {
        pass->declined = 0;

    } else if (++pass->declined > NGX_HTTP_TBUCKET_REDIS_DECLINED) {
        pass->declined = 0;
        ngx_http_tbucket_redis_restart(rz);
    }

    return rc;
}


/* All pages of a round are done. */

static void
ngx_http_tbucket_redis_round(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_pass_t *pass)
{
    pass->done = 1;

    if (!pass->full) {
        return;
    }

    pass->full = 0;

    if (!rz->scan.full && !rz->walk.full) {
        atomic_store(&rz->mirror->stale, 0);
        ngx_http_tbucket_store_synced(rz->zone);
    }
}
