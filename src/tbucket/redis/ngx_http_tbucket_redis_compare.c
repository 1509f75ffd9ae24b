
/*
 * Full comparisons of a zone and Redis.  Pages of what is in Redis, and of
 * what is in memory, are compared all the time, which finds changes made by
 * hand; when a stream has a gap, page follows page.
 */


#include "src/tbucket/redis/ngx_http_tbucket_redis_compare.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_apply.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_info.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_plans.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


static void ngx_http_tbucket_redis_scan(ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_on_scan(ngx_gw_redis_t *link,
    redisReply *reply, void *data);

static void ngx_http_tbucket_redis_walk(ngx_http_tbucket_rzone_t *first);
static ngx_uint_t ngx_http_tbucket_redis_walk_due(
    ngx_http_tbucket_rzone_t *first);
static ngx_uint_t ngx_http_tbucket_redis_walk_shard(
    ngx_http_tbucket_rzone_t *rz, ngx_uint_t n);
static void ngx_http_tbucket_redis_on_walk(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_walk_end(ngx_http_tbucket_rzone_t *first);

static ngx_uint_t ngx_http_tbucket_redis_due(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_pass_t *pass);
static ngx_int_t ngx_http_tbucket_redis_page(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_pass_t *pass, ngx_http_tbucket_view_t *view,
    redisReply *reply);
static void ngx_http_tbucket_redis_compared(ngx_http_tbucket_rzone_t *rz);


void
ngx_http_tbucket_redis_compare(ngx_http_tbucket_rzone_t *rz)
{
    if (rz->following && ngx_http_tbucket_redis_due(rz, &rz->scan)) {
        ngx_http_tbucket_redis_scan(rz);
    }

    if (rz == rz->first && ngx_http_tbucket_redis_walk_due(rz)) {
        ngx_http_tbucket_redis_walk(rz);
    }

    if (rz == rz->first && rz->following
        && ngx_http_tbucket_redis_due(rz, &rz->pages))
    {
        rz->pages.done = 1;
        rz->replan = 1;
    }

    if (rz->replan && rz->following) {
        ngx_http_tbucket_redis_plans(rz);
    }
}


void
ngx_http_tbucket_redis_in_line(ngx_http_tbucket_rzone_t *rz)
{
    ngx_uint_t  i;

    if (rz != rz->first) {
        return;
    }

    for (i = 0; i < rz->redis->nshards; i++) {
        if (!rz[i].following || rz[i].scan.full || rz[i].walk.full) {
            return;
        }
    }

    ngx_http_tbucket_store_synced(rz->zone);
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
        ngx_memcpy(pass->cursor, "0", 2);
    }

    return 1;
}


static void
ngx_http_tbucket_redis_scan(ngx_http_tbucket_rzone_t *rz)
{
    ngx_http_tbucket_args_t  *args;

    args = &rz->redis->scratch->args;

    ngx_http_tbucket_redis_read(rz, args, &rz->clients, "scan");
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
        rz->scan.done = 1;

        if (rz->scan.full) {
            rz->scan.full = 0;
            ngx_http_tbucket_redis_compared(rz);
        }

    } else if (rz->scan.full) {
        ngx_http_tbucket_redis_compare(rz);
    }
}


/*
 * A page of all clients in memory is asked for in as many shards as it has
 * clients of.  A shard that is away is missed in this round.
 */

static void
ngx_http_tbucket_redis_walk(ngx_http_tbucket_rzone_t *first)
{
    ngx_uint_t                   end, i, n, shard;
    ngx_http_tbucket_scratch_t  *scratch;

    scratch = first->redis->scratch;

    first->next = first->walk.after;

    n = ngx_http_tbucket_redis_list(first, &first->next, scratch->entries,
                                    &end);

    if (n == 0) {
        first->walk.after = first->next;

        if (end) {
            ngx_http_tbucket_redis_walk_end(first);
        }

        return;
    }

    ngx_memzero(scratch->some, sizeof(scratch->some));

    for (i = 0; i < n; i++) {
        shard = ngx_http_tbucket_redis_shard(first->redis,
                                             scratch->entries[i].id,
                                             scratch->entries[i].len);
        scratch->shards[i] = (uint8_t) shard;
        scratch->some[shard] = 1;
    }

    for (i = 0; i < first->redis->nshards; i++) {
        if (scratch->some[i]) {
            first->walking += ngx_http_tbucket_redis_walk_shard(&first[i], n);
        }
    }

    if (first->walking == 0) {
        first->walk.after = first->next;
    }
}


/* Whether the next page is due, with which a round may begin. */

static ngx_uint_t
ngx_http_tbucket_redis_walk_due(ngx_http_tbucket_rzone_t *first)
{
    ngx_uint_t                 i, n, full, some;
    ngx_http_tbucket_pass_t   *pass;
    ngx_http_tbucket_rzone_t  *rz;

    if (first->walking > 0) {
        return 0;
    }

    pass = &first->walk;
    n = first->redis->nshards;
    full = 0;
    some = 0;

    for (i = 0; i < n; i++) {
        rz = &first[i];

        if (rz->following && !ngx_http_tbucket_redis_rest(rz, pass->kind)) {
            some = 1;
            full |= rz->walk.full;
        }
    }

    if (!some) {
        return 0;
    }

    if (!pass->done) {
        return 1;
    }

    if (!full
        && (ngx_msec_t) (ngx_current_msec - pass->begin)
           < first->redis->store->interval / 3)
    {
        return 0;
    }

    pass->done = 0;
    pass->begin = ngx_current_msec;
    pass->after = 0;

    for (i = 0; i < n; i++) {
        first[i].missed = !first[i].following;
        first[i].walked = 0;
    }

    return 1;
}


/* Asks for those of the page that are in the shard; 1: it was sent. */

static ngx_uint_t
ngx_http_tbucket_redis_walk_shard(ngx_http_tbucket_rzone_t *rz, ngx_uint_t n)
{
    ngx_uint_t                   i;
    ngx_http_tbucket_args_t     *args;
    ngx_http_tbucket_scratch_t  *scratch;

    scratch = rz->redis->scratch;
    args = &scratch->args;

    if (!rz->following || ngx_http_tbucket_redis_rest(rz, rz->walk.kind)) {
        rz->missed = 1;
        return 0;
    }

    ngx_http_tbucket_redis_read(rz, args, &rz->clients, "get");

    for (i = 0; i < n; i++) {
        if (scratch->shards[i] == rz->shard) {
            ngx_http_tbucket_redis_put(args, scratch->entries[i].id,
                                       scratch->entries[i].len);
        }
    }

    if (ngx_gw_redis_query(rz->redis->command,
                           ngx_http_tbucket_redis_on_walk, rz,
                           NGX_HTTP_TBUCKET_REDIS_MOST(n), args->n,
                           args->value, args->len)
        != NGX_OK)
    {
        rz->missed = 1;
        return 0;
    }

    return 1;
}


static void
ngx_http_tbucket_redis_on_walk(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_int_t                  rc;
    ngx_http_tbucket_view_t    view;
    ngx_http_tbucket_rzone_t  *rz = data;

    ngx_http_tbucket_rzone_t  *first;

    (void) link;

    first = rz->first;
    first->walking--;

    rc = ngx_http_tbucket_redis_page(rz, &rz->walk, &view, reply);

    if (rc == NGX_OK) {
        rz->walked += view.items->elements / 2;

    } else if (rc == NGX_DECLINED && reply != NULL && rz->leader
               && rz->following)
    {
        first->again = 1;

    } else {
        rz->missed = 1;
    }

    if (first->walking > 0) {
        return;
    }

    if (!first->again) {
        first->walk.after = first->next;
    }

    first->again = 0;

    if (rz->walk.full && first->leader) {
        ngx_http_tbucket_redis_compare(first);
    }
}


/* All pages of a round are done. */

static void
ngx_http_tbucket_redis_walk_end(ngx_http_tbucket_rzone_t *first)
{
    ngx_uint_t                 i;
    ngx_http_tbucket_rzone_t  *rz;

    first->walk.done = 1;

    for (i = 0; i < first->redis->nshards; i++) {
        rz = &first[i];

        if (rz->missed) {
            continue;
        }

        rz->known = rz->walked;

        if (rz->walk.full) {
            rz->walk.full = 0;
            ngx_http_tbucket_redis_compared(rz);
        }
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


static void
ngx_http_tbucket_redis_compared(ngx_http_tbucket_rzone_t *rz)
{
    if (!rz->scan.full && !rz->walk.full) {
        gw_store_release(&rz->mirror->stale, 0);
        ngx_http_tbucket_redis_in_line(rz->first);
    }
}
