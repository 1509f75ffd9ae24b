
/*
 * Plans are few, so a change of one has all of them read.  What is read is as
 * of an entry of the stream, and is put into shared memory unless something
 * later is known about the plan, as with clients.
 */


#include "src/tbucket/redis/ngx_http_tbucket_redis_plans.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_apply.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


/* fields of a hash that are looked at: more than there may be plans */
#define NGX_HTTP_TBUCKET_REDIS_PLANS  10000


static void ngx_http_tbucket_redis_on_plans(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static ngx_uint_t ngx_http_tbucket_redis_plans_item(
    ngx_http_tbucket_rzone_t *rz, ngx_http_tbucket_view_t *view,
    redisReply *name, redisReply *value, u_char *seen);
static ngx_uint_t ngx_http_tbucket_redis_plans_allowed(
    ngx_http_tbucket_rzone_t *rz, ngx_http_tbucket_view_t *view,
    const char *name, size_t len);
static void ngx_http_tbucket_redis_plans_remove_others(
    ngx_http_tbucket_rzone_t *rz, ngx_http_tbucket_view_t *view,
    u_char *seen);


void
ngx_http_tbucket_redis_plans(ngx_http_tbucket_rzone_t *rz)
{
    ngx_http_tbucket_args_t  *args;

    if (rz->pages.busy
        || ngx_http_tbucket_redis_rest(rz, NGX_HTTP_TBUCKET_TROUBLE_SCAN))
    {
        return;
    }

    args = &rz->redis->scratch->args;

    ngx_http_tbucket_redis_plans_args(rz, args);

    if (ngx_gw_redis_query(rz->redis->command,
                           ngx_http_tbucket_redis_on_plans, rz,
                           NGX_HTTP_TBUCKET_REDIS_MOST(
                                               NGX_HTTP_TBUCKET_REDIS_PAGE),
                           args->n, args->value, args->len)
        == NGX_OK)
    {
        rz->pages.busy = 1;
        rz->replan = 0;
    }
}


void
ngx_http_tbucket_redis_plans_args(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args)
{
    ngx_http_tbucket_redis_read(rz, args, &rz->plans, "scan");
    ngx_http_tbucket_redis_literal(args, "0");
    ngx_http_tbucket_redis_literal(args, ngx_value(
                                               NGX_HTTP_TBUCKET_REDIS_PLANS));
}


static void
ngx_http_tbucket_redis_on_plans(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_int_t                  rc;
    ngx_http_tbucket_view_t    view;
    ngx_http_tbucket_rzone_t  *rz = data;

    (void) link;

    rz->pages.busy = 0;

    if (reply == NULL || !rz->leader || !rz->following) {
        rz->replan = 1;
        return;
    }

    rc = ngx_http_tbucket_redis_view(&view, reply);

    if (rc == NGX_OK
        && (view.epoch.len == 0
            || ngx_strcmp(view.epoch.data, rz->mirror->epoch) != 0))
    {
        /* the stream's connection sees to it, and to a new comparison */

        rz->replan = 1;
        ngx_http_tbucket_redis_restart(rz);
        return;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_redis_plans_apply(rz, &view);
    }

    if (rc == NGX_ERROR) {
        ngx_http_tbucket_redis_refused(rz, NGX_HTTP_TBUCKET_TROUBLE_SCAN,
                                       "plans cannot be compared", reply);
        rz->replan = 1;
        return;
    }

    ngx_http_tbucket_redis_fine(rz, NGX_HTTP_TBUCKET_TROUBLE_SCAN);

    /* asked for again where it is too old, or where others were changed */

    if (rc == NGX_DECLINED || rz->replan) {
        ngx_http_tbucket_redis_plans(rz);
    }
}


ngx_int_t
ngx_http_tbucket_redis_plans_apply(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view)
{
    size_t        i;
    u_char        seen[TB_PLANS];
    ngx_uint_t    covered;
    ngx_shmtx_t  *mutex;
    redisReply  **items;

    mutex = &rz->zone->shpool->mutex;
    items = view->items->element;

    ngx_memzero(seen, sizeof(seen));

    for (i = 0; i + 1 < (size_t) view->items->elements; i += 2) {

        if (items[i]->type != REDIS_REPLY_STRING
            || items[i + 1]->type != REDIS_REPLY_STRING)
        {
            return NGX_ERROR;
        }

        if (!ngx_http_tbucket_redis_plans_item(rz, view, items[i],
                                               items[i + 1], seen))
        {
            ngx_http_tbucket_store_crowded(rz->zone);
        }
    }

    ngx_shmtx_lock(mutex);

    covered = tb_recent_covers(&rz->mirror->recent, &view->last);

    if (covered && ngx_strncmp(view->cursor.data, "0", 2) == 0) {
        ngx_http_tbucket_redis_plans_remove_others(rz, view, seen);
    }

    ngx_shmtx_unlock(mutex);

    return covered ? NGX_OK : NGX_DECLINED;
}


/* Returns 0 if there is no room for it. */

static ngx_uint_t
ngx_http_tbucket_redis_plans_item(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, redisReply *name, redisReply *value,
    u_char *seen)
{
    uint32_t                     n;
    ngx_uint_t                   valid;
    ngx_http_tbucket_zone_t     *zone;
    ngx_http_tbucket_scratch_t  *scratch;

    zone = rz->zone;
    scratch = rz->redis->scratch;

    if (!tb_plan_is_name(name->str, name->len)) {
        ngx_http_tbucket_redis_malformed(rz, &rz->plans, name, value,
                                         "a plan's name must be "
                                         TB_PLAN_NAME_ALLOWED);
        return 1;
    }

    valid = (gw_record_read(&scratch->reader, &zone->forms.plan_value,
                            &scratch->client, value->str, value->len)
             == 0);

    if (!valid) {
        ngx_http_tbucket_redis_malformed(rz, &rz->plans, name, value,
                                         scratch->reader.json.error);
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    n = ngx_http_tbucket_plan_find(zone, name->str, name->len);

    if (valid
        && ngx_http_tbucket_redis_plans_allowed(rz, view, name->str,
                                                name->len))
    {
        valid = (ngx_http_tbucket_plan_set(zone, name->str, name->len,
                                           &scratch->client)
                 == NGX_OK);

        n = ngx_http_tbucket_plan_find(zone, name->str, name->len);

    } else {
        valid = 1;
    }

    if (n != TB_PLAN_NONE) {
        seen[n] = 1;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return valid;
}


/* Clients are known by the other half of their hashes. */

static ngx_uint_t
ngx_http_tbucket_redis_plans_allowed(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, const char *name, size_t len)
{
    tb_hash_t     h;
    tb_recent_t  *recent;

    recent = &rz->mirror->recent;
    h = tb_hash(name, len, rz->zone->shared->secret);

    return tb_recent_covers(recent, &view->last)
           && tb_recent_allows(recent, h.hi, &view->last);
}


static void
ngx_http_tbucket_redis_plans_remove_others(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_view_t *view, u_char *seen)
{
    size_t                    len;
    uint32_t                  n;
    char                      name[TB_PLAN_NAME_MAX];
    ngx_http_tbucket_zone_t  *zone;

    zone = rz->zone;

    for (n = TB_PLAN_FIRST; n < zone->shared->plans->n; n++) {

        if (seen[n] || ngx_http_tbucket_plan_limits(zone, n) == 0) {
            continue;
        }

        len = tb_plan_names_get(zone->shared->names, n, name);

        if (ngx_http_tbucket_redis_plans_allowed(rz, view, name, len)) {
            ngx_http_tbucket_plan_remove(zone, n);
        }
    }
}


ngx_uint_t
ngx_http_tbucket_redis_plans_list(ngx_http_tbucket_rzone_t *rz,
    uint32_t *plan)
{
    ngx_uint_t                   n;
    tb_client_t                 *client;
    ngx_http_tbucket_zone_t     *zone;
    ngx_http_tbucket_scratch_t  *scratch;

    zone = rz->zone;
    scratch = rz->redis->scratch;
    client = &scratch->client;
    n = 0;

    while (n < NGX_HTTP_TBUCKET_REDIS_PAGE) {

        if (++*plan >= zone->shared->plans->n) {
            *plan = TB_PLAN_NONE;
            break;
        }

        ngx_shmtx_lock(&zone->shpool->mutex);

        ngx_http_tbucket_plan_get(zone, *plan, client);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        if (client->members & TB_CLIENT_LIMITS) {
            ngx_memcpy(scratch->names[n], client->plan, client->plan_len + 1);
            (void) tb_client_print(scratch->values[n], client, zone->unit);
            n++;
        }
    }

    return n;
}
