
/*
 * The states of buckets that are not full: gathered in slices every interval,
 * dealt to the shards, and sent in pages to a key of their own, which then
 * takes the place of the last ones.  Times are Redis', so that a clock that is
 * set at boot does not matter.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/tbucket/redis/ngx_http_tbucket_redis_tokens.h"
#include "src/common/ngx_gw_clock.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_restore.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


/* us that gathering may take of the event loop at a time */
#define NGX_HTTP_TBUCKET_REDIS_GATHER  400

/* ms that states are kept at least, and at most */
#define NGX_HTTP_TBUCKET_REDIS_EXPIRY_MIN  UINT64_C(60000)
#define NGX_HTTP_TBUCKET_REDIS_EXPIRY_MAX  UINT64_C(2592000000)


static ngx_uint_t ngx_http_tbucket_redis_saves(ngx_http_tbucket_rzone_t *rz);
static ngx_uint_t ngx_http_tbucket_redis_is_taken(
    ngx_http_tbucket_rzone_t *rz);
static ngx_uint_t ngx_http_tbucket_redis_deal(ngx_http_tbucket_rzone_t *first,
    uint64_t until);
static void ngx_http_tbucket_redis_stage_states(ngx_http_tbucket_rzone_t *rz);
static void ngx_http_tbucket_redis_on_stage(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_number(ngx_http_tbucket_args_t *args,
    char *buf, uint64_t value);
static void ngx_http_tbucket_redis_send_save(ngx_http_tbucket_rzone_t *rz,
    const char *mode);
static void ngx_http_tbucket_redis_on_beat(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_on_save(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static ngx_uint_t ngx_http_tbucket_redis_verdict(
    ngx_http_tbucket_rzone_t *rz, ngx_http_tbucket_trouble_e kind,
    redisReply *reply);
static void ngx_http_tbucket_redis_taken(ngx_http_tbucket_rzone_t *rz);
static size_t ngx_http_tbucket_redis_state_of(ngx_http_tbucket_zone_t *zone,
    tb_emptiest_entry_t *entry, uint64_t clock, char *buf);
static size_t ngx_http_tbucket_redis_name(ngx_http_tbucket_rzone_t *rz,
    const tb_hash_t *h, char *name);


void
ngx_http_tbucket_redis_save(ngx_http_tbucket_rzone_t *rz)
{
    ngx_http_tbucket_save_t  *save;

    save = &rz->save;

    if (save->busy) {
        return;
    }

    if (rz->zone->source == NULL && !gw_load_acquire(&rz->mirror->restored)) {

        /* with own limits, so once all clients are known */

        if (!rz->scan.full && !rz->walk.full
            && !ngx_http_tbucket_redis_rest(rz,
                                          NGX_HTTP_TBUCKET_TROUBLE_STATES))
        {
            ngx_http_tbucket_redis_ask_states(rz);
        }

        return;
    }

    if (ngx_http_tbucket_redis_rest(rz, NGX_HTTP_TBUCKET_TROUBLE_BEAT)) {
        return;
    }

    if ((ngx_msec_t) (ngx_current_msec - save->beat)
        >= NGX_HTTP_TBUCKET_REDIS_BEAT)
    {
        save->beat = ngx_current_msec;
        ngx_http_tbucket_redis_send_save(rz, "beat");
        return;
    }

    if (!save->due || rz->first->gathered.gathering
        || !ngx_http_tbucket_redis_saves(rz))
    {
        return;
    }

    if (save->sent > 0 || save->next != NGX_HTTP_TBUCKET_REDIS_NONE
        || save->saved)
    {
        ngx_http_tbucket_redis_stage_states(rz);

    } else {
        save->due = 0;
    }
}


/* Whether there is anything to gather for. */

static ngx_uint_t
ngx_http_tbucket_redis_saves(ngx_http_tbucket_rzone_t *rz)
{
    return rz->following && rz->zone->source == NULL
           && gw_load_acquire(&rz->mirror->restored) && rz->save.taken == 0
           && ngx_http_tbucket_redis_rest(rz, NGX_HTTP_TBUCKET_TROUBLE_SAVE)
              == 0;
}


/* What a shard has not begun to send by the next time is out of date. */

void
ngx_http_tbucket_redis_gather_states(ngx_http_tbucket_rzone_t *first)
{
    ngx_uint_t                    i, some;
    ngx_http_tbucket_gathered_t  *all;

    all = &first->gathered;

    if (!all->gathering) {

        if ((ngx_msec_t) (ngx_current_msec - all->begin)
            < first->redis->store->interval)
        {
            return;
        }

        some = 0;

        for (i = 0; i < first->redis->nshards; i++) {

            /* what is being sent is to be sent whole */

            if (first[i].save.busy && first[i].save.due) {
                return;
            }

            some |= ngx_http_tbucket_redis_saves(&first[i]);
        }

        if (!some || ngx_http_tbucket_redis_gather_begin(first) != NGX_OK) {
            return;
        }

        for (i = 0; i < first->redis->nshards; i++) {
            first[i].save.due = ngx_http_tbucket_redis_saves(&first[i]);
        }
    }

    (void) ngx_http_tbucket_redis_gather(first, ngx_gw_usec()
                                           + NGX_HTTP_TBUCKET_REDIS_GATHER);
}


ngx_int_t
ngx_http_tbucket_redis_gather_begin(ngx_http_tbucket_rzone_t *first)
{
    ngx_uint_t                    i;
    tb_emptiest_entry_t          *entries;
    ngx_http_tbucket_save_t      *save;
    ngx_http_tbucket_gathered_t  *all;

    all = &first->gathered;

    if (all->buckets.entries == NULL) {
        entries = ngx_alloc(NGX_HTTP_TBUCKET_REDIS_SAVED
                            * (sizeof(tb_emptiest_entry_t)
                               + sizeof(uint16_t)), first->redis->log);
        if (entries == NULL) {
            return NGX_ERROR;
        }

        all->buckets.entries = entries;
        all->next = (uint16_t *) (entries + NGX_HTTP_TBUCKET_REDIS_SAVED);
    }

    tb_emptiest_init(&all->buckets, all->buckets.entries,
                     NGX_HTTP_TBUCKET_REDIS_SAVED);

    all->begin = ngx_current_msec;
    all->gathering = 1;
    all->slot = 0;
    all->dealt = 0;

    for (i = 0; i < first->redis->nshards; i++) {
        save = &first[i].save;

        save->next = NGX_HTTP_TBUCKET_REDIS_NONE;
        save->due = 1;
        save->sent = 0;
        save->expiry = NGX_HTTP_TBUCKET_REDIS_EXPIRY_MIN;

        /* what a worker has got an answer to is in the bucket by then */

        save->since = ngx_http_tbucket_redis_time(&first[i])
                      - first->redis->store->timeout;
    }

    return NGX_OK;
}


void
ngx_http_tbucket_redis_save_done(ngx_http_tbucket_rzone_t *rz)
{
    if (rz->gathered.buckets.entries != NULL) {
        ngx_free(rz->gathered.buckets.entries);
    }

    ngx_memzero(&rz->gathered, sizeof(ngx_http_tbucket_gathered_t));
    ngx_memzero(&rz->save, sizeof(ngx_http_tbucket_save_t));
}


ngx_uint_t
ngx_http_tbucket_redis_gather(ngx_http_tbucket_rzone_t *first, uint64_t until)
{
    uint32_t                      n;
    uint64_t                      now;
    tb_table_t                   *table;
    tb_limits_t                   limits;
    ngx_http_tbucket_gathered_t  *all;

    all = &first->gathered;
    table = first->zone->shared->table;
    limits = ngx_http_tbucket_limits(first->zone, &now);

    /* requests in flight end with the process */

    while (first->zone->kind != NGX_HTTP_TBUCKET_INFLIGHT
           && tb_table_each(table, &all->slot, &n))
    {
        if (ngx_gw_usec() > until) {
            return 0;
        }

        tb_emptiest_gather(&all->buckets, table, all->slot, n, now, limits);

        all->slot += n;
    }

    if (!ngx_http_tbucket_redis_deal(first, until)) {
        return 0;
    }

    all->gathering = 0;

    return 1;
}


/* A registered client's goes with it, any other by the hash. */

static ngx_uint_t
ngx_http_tbucket_redis_deal(ngx_http_tbucket_rzone_t *first, uint64_t until)
{
    char                          name[NGX_HTTP_TBUCKET_REDIS_NAME];
    size_t                        len;
    ngx_uint_t                    shard;
    tb_emptiest_entry_t          *entry;
    ngx_http_tbucket_save_t      *save;
    ngx_http_tbucket_gathered_t  *all;

    all = &first->gathered;
    shard = 0;

    for ( /* void */ ; all->dealt < all->buckets.count; all->dealt++) {
        entry = &all->buckets.entries[all->dealt];

        if (first->redis->nshards > 1) {

            if (all->dealt % 64 == 63 && ngx_gw_usec() > until) {
                return 0;
            }

            len = ngx_http_tbucket_redis_name(first, &entry->hash, name);

            shard = (name[0] == '#')
                    ? entry->hash.lo % first->redis->nshards
                    : ngx_http_tbucket_redis_shard(first->redis, name, len);
        }

        save = &first[shard].save;

        all->next[all->dealt] = save->next;
        save->next = (uint16_t) all->dealt;
    }

    return 1;
}


ngx_uint_t
ngx_http_tbucket_redis_stage_args(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args)
{
    size_t                       len;
    uint64_t                     clock, left, rate;
    ngx_uint_t                   i;
    tb_emptiest_entry_t         *entry;
    ngx_http_tbucket_save_t     *save;
    ngx_http_tbucket_scratch_t  *scratch;
    ngx_http_tbucket_gathered_t *all;

    save = &rz->save;
    all = &rz->first->gathered;
    scratch = rz->redis->scratch;
    clock = ngx_http_tbucket_redis_time(rz) - ngx_current_msec;

    args->n = 0;

    ngx_http_tbucket_redis_literal(args, "HSET");
    ngx_http_tbucket_redis_str(args, &rz->staged);

    for (i = 0; i < NGX_HTTP_TBUCKET_REDIS_PAGE
                && save->next != NGX_HTTP_TBUCKET_REDIS_NONE; i++)
    {
        entry = &all->buckets.entries[save->next];
        save->next = all->next[save->next];

        len = ngx_http_tbucket_redis_name(rz, &entry->hash,
                                          scratch->names[i]);
        ngx_http_tbucket_redis_put(args, scratch->names[i], len);

        len = ngx_http_tbucket_redis_state_of(rz->zone, entry, clock,
                                              scratch->values[i]);
        ngx_http_tbucket_redis_put(args, scratch->values[i], len);

        rate = ngx_max(tb_limits_rate(entry->limits), 1);
        left = rz->zone->kind == NGX_HTTP_TBUCKET_QUOTA
               ? ngx_http_tbucket_quota_left(rz->zone)
               : (tb_limits_full(entry->limits) - entry->tokens)
                 / rate * TB_STEPS_A_UTOK;

        save->expiry = ngx_max(save->expiry,
                               NGX_HTTP_TBUCKET_REDIS_EXPIRY_MIN + left);
    }

    save->expiry = ngx_min(save->expiry, NGX_HTTP_TBUCKET_REDIS_EXPIRY_MAX);
    save->sent += i;

    return i;
}


/* clock: what the store's is ahead of the table's. */

static size_t
ngx_http_tbucket_redis_state_of(ngx_http_tbucket_zone_t *zone,
    tb_emptiest_entry_t *entry, uint64_t clock, char *buf)
{
    uint32_t     n;
    tb_client_t  state;

    state.members = 0;
    state.tokens = entry->tokens - tb_limits_lowest(entry->limits);
    state.at = entry->at + clock;
    state.quota = ngx_http_tbucket_quota_of(zone, entry->limits);
    state.members |= state.quota ? TB_CLIENT_QUOTA : 0;

    n = zone->kind == NGX_HTTP_TBUCKET_RATE
        ? tb_plan_remembered(tb_table_own_limits(zone->shared->table,
                                                 &entry->hash))
        : TB_PLAN_NONE;

    if (n != TB_PLAN_NONE) {
        ngx_shmtx_lock(&zone->shpool->mutex);

        state.plan_len = tb_plan_names_get(zone->shared->names, n,
                                           state.plan);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        state.members |= state.plan_len ? TB_CLIENT_PLAN : 0;
    }

    return tb_client_print_state(buf, &state, zone->unit);
}


/* An id that looks like a hash goes by its hash, too. */

static size_t
ngx_http_tbucket_redis_name(ngx_http_tbucket_rzone_t *rz, const tb_hash_t *h,
    char *name)
{
    bool                      found;
    tb_registry_entry_t       entry;
    ngx_http_tbucket_zone_t  *zone;

    zone = rz->zone;

    ngx_shmtx_lock(&zone->shpool->mutex);

    found = tb_registry_find(zone->shared->registry, h, &entry);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (found && entry.id[0] != '#') {
        ngx_memcpy(name, entry.id, entry.len);
        return entry.len;
    }

    return (size_t) snprintf(name, NGX_HTTP_TBUCKET_REDIS_NAME,
                             "#%016llx%016llx", (unsigned long long) h->lo,
                             (unsigned long long) h->hi);
}


static void
ngx_http_tbucket_redis_stage_states(ngx_http_tbucket_rzone_t *rz)
{
    ngx_uint_t                first;
    ngx_gw_redis_t           *command;
    ngx_http_tbucket_args_t  *args;
    ngx_http_tbucket_save_t  *save;

    save = &rz->save;
    args = &rz->redis->scratch->args;
    command = rz->redis->command;

    first = (save->sent == 0);

    if (first) {
        args->n = 0;

        ngx_http_tbucket_redis_literal(args, "DEL");
        ngx_http_tbucket_redis_str(args, &rz->staged);

        (void) ngx_gw_redis_command(command, NULL, NULL, args->n, args->value,
                                    args->len);
    }

    if (ngx_http_tbucket_redis_stage_args(rz, args) == 0) {
        ngx_http_tbucket_redis_send_save(rz, "save");
        return;
    }

    if (ngx_gw_redis_command(command, ngx_http_tbucket_redis_on_stage, rz,
                             args->n, args->value, args->len)
        != NGX_OK)
    {
        save->due = 0;
        return;
    }

    save->busy = 1;

    if (first) {
        args->n = 0;

        ngx_http_tbucket_redis_literal(args, "PEXPIRE");
        ngx_http_tbucket_redis_str(args, &rz->staged);
        ngx_http_tbucket_redis_literal(args, "60000");

        (void) ngx_gw_redis_command(command, NULL, NULL, args->n, args->value,
                                    args->len);
    }
}


static void
ngx_http_tbucket_redis_on_stage(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rzone_t  *rz = data;

    (void) link;

    rz->save.busy = 0;

    /* or of a save that has been given up, with the lead */

    if (reply == NULL || !rz->leader || rz->save.sent == 0) {
        rz->save.due = 0;
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        rz->save.due = 0;
        (void) ngx_http_tbucket_redis_verdict(rz,
                                      NGX_HTTP_TBUCKET_TROUBLE_SAVE, reply);
        return;
    }

    ngx_http_tbucket_redis_stage_states(rz);
}


void
ngx_http_tbucket_redis_save_args(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args, const char *mode)
{
    ngx_http_tbucket_scratch_t  *scratch;

    scratch = rz->redis->scratch;

    ngx_http_tbucket_redis_begin(rz->redis, args,
                                 NGX_HTTP_TBUCKET_SCRIPT_SAVE, "7");
    ngx_http_tbucket_redis_str(args, &rz->tokens);
    ngx_http_tbucket_redis_str(args, &rz->secret);
    ngx_http_tbucket_redis_str(args, &rz->node);
    ngx_http_tbucket_redis_str(args, &rz->staged);
    ngx_http_tbucket_redis_str(args, &rz->patched);
    ngx_http_tbucket_redis_str(args, &rz->clients);
    ngx_http_tbucket_redis_str(args, &rz->changes);

    ngx_http_tbucket_redis_put(args, rz->mirror->token,
                               NGX_HTTP_TBUCKET_TOKEN_SIZE);
    ngx_http_tbucket_redis_literal(args, ngx_value(
                                             NGX_HTTP_TBUCKET_REDIS_ALIVE));
    ngx_http_tbucket_redis_put(args, mode, ngx_strlen(mode));

    ngx_http_tbucket_redis_number(args, scratch->numbers[0], rz->save.sent);

    (void) ngx_hex_dump((u_char *) scratch->secret, rz->zone->shared->secret,
                        TB_SECRET_SIZE);
    ngx_http_tbucket_redis_put(args, scratch->secret, 2 * TB_SECRET_SIZE);

    ngx_http_tbucket_redis_number(args, scratch->numbers[1], rz->save.expiry);
    ngx_http_tbucket_redis_number(args, scratch->numbers[2], rz->save.since);
}


static void
ngx_http_tbucket_redis_number(ngx_http_tbucket_args_t *args, char *buf,
    uint64_t value)
{
    u_char  *p = (u_char *) buf;

    ngx_http_tbucket_redis_put(args, p, ngx_sprintf(p, "%uL", value) - p);
}


static void
ngx_http_tbucket_redis_send_save(ngx_http_tbucket_rzone_t *rz,
    const char *mode)
{
    ngx_http_tbucket_args_t  *args;

    args = &rz->redis->scratch->args;

    ngx_http_tbucket_redis_save_args(rz, args, mode);

    if (ngx_gw_redis_command(rz->redis->command,
                             (*mode == 'b') ? ngx_http_tbucket_redis_on_beat
                                            : ngx_http_tbucket_redis_on_save,
                             rz, args->n, args->value, args->len)
        == NGX_OK)
    {
        rz->save.busy = 1;

    } else {
        rz->save.due = 0;
    }
}


static void
ngx_http_tbucket_redis_on_beat(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rzone_t  *rz = data;

    (void) link;

    rz->save.busy = 0;

    if (reply != NULL) {
        (void) ngx_http_tbucket_redis_verdict(rz,
                                      NGX_HTTP_TBUCKET_TROUBLE_BEAT, reply);
    }
}


static void
ngx_http_tbucket_redis_on_save(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_save_t   *save;
    ngx_http_tbucket_rzone_t  *rz = data;

    (void) link;

    save = &rz->save;
    save->busy = 0;
    save->due = 0;

    if (reply == NULL
        || !ngx_http_tbucket_redis_verdict(rz, NGX_HTTP_TBUCKET_TROUBLE_SAVE,
                                           reply))
    {
        return;
    }

    save->saved = (save->sent > 0);
}


/* Whether Redis did what it was asked. */

static ngx_uint_t
ngx_http_tbucket_redis_verdict(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_trouble_e kind, redisReply *reply)
{
    if (ngx_http_tbucket_redis_is(reply, "TAKEN")) {
        ngx_http_tbucket_redis_fine(rz, kind);
        ngx_http_tbucket_redis_taken(rz);
        return 0;
    }

    if (ngx_http_tbucket_redis_is(reply, "LOST")) {
        return 0;
    }

    if (!ngx_http_tbucket_redis_is(reply, "OK")) {
        ngx_http_tbucket_redis_refused(rz, kind,
                                       kind == NGX_HTTP_TBUCKET_TROUBLE_BEAT
                                       ? "writes are refused"
                                       : "token states cannot be saved",
                                       reply);
        return 0;
    }

    rz->save.taken = 0;

    if (atomic_exchange_explicit(&rz->mirror->taken, 0, memory_order_acq_rel)
        && !ngx_http_tbucket_redis_is_taken(rz))
    {
        ngx_log_error(NGX_LOG_NOTICE, rz->redis->log, 0,
                      "tbucket_store: zone \"%V\": node \"%V\" is ours again, "
                      "token states are saved", &rz->zone->name,
                      &rz->redis->store->node);
    }

    ngx_http_tbucket_redis_fine(rz, kind);

    return 1;
}


/* The name may be that of our predecessor, who has died: then it expires. */

static void
ngx_http_tbucket_redis_taken(ngx_http_tbucket_rzone_t *rz)
{
    ngx_uint_t  told;

    told = ngx_http_tbucket_redis_is_taken(rz);

    if (rz->save.taken == 0) {
        rz->save.taken = ngx_max(ngx_current_msec, 1);
    }

    if ((ngx_msec_t) (ngx_current_msec - rz->save.taken)
        <= NGX_HTTP_TBUCKET_REDIS_ALIVE + NGX_HTTP_TBUCKET_REDIS_BEAT
        || atomic_exchange_explicit(&rz->mirror->taken, 1,
                                    memory_order_acq_rel) || told)
    {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, rz->redis->log, 0,
                  "tbucket_store: zone \"%V\": token states are not saved: "
                  "node \"%V\" is in use by another nginx, \"node=\" must "
                  "differ", &rz->zone->name, &rz->redis->store->node);
}


/* In one shard at least. */

static ngx_uint_t
ngx_http_tbucket_redis_is_taken(ngx_http_tbucket_rzone_t *rz)
{
    ngx_uint_t  i, taken;

    taken = 0;

    for (i = 0; i < rz->redis->nshards; i++) {
        taken |= gw_load_acquire(&rz->first[i].mirror->taken);
    }

    return taken;
}
