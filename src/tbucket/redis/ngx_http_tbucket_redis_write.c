
/*
 * Writes of the API: each is decided and done by one script in Redis, and
 * applied here when that has answered.  The clients of a large one are sent
 * in pages to a hash of its own first, so that the script finds them all.
 */


#include "src/tbucket/global/ngx_http_tbucket_global.h"


/* ms that clients of a large write wait in Redis for the rest */
#define NGX_HTTP_TBUCKET_REDIS_STAGED  "60000"


typedef struct {
    ngx_http_tbucket_rzone_t   *rz;
    ngx_http_tbucket_write_t   *write;
    tb_stream_id_t              seq;       /* of the change, in the stream */
    ngx_uint_t                  sent;      /* changes, of a large write */
    ngx_str_t                   staged;    /* their key */
    ngx_uint_t                  text;
    ngx_queue_t                 queue;     /* of those that wait for a link */
} ngx_http_tbucket_rwrite_t;


static void ngx_http_tbucket_redis_checked(ngx_http_tbucket_write_t *write,
    ngx_int_t rc);
static ngx_int_t ngx_http_tbucket_redis_room(ngx_http_tbucket_write_t *write,
    ngx_uint_t from, ngx_uint_t n);
static void ngx_http_tbucket_redis_send(ngx_http_tbucket_rwrite_t *rw);
static void ngx_http_tbucket_redis_in_force(ngx_http_tbucket_rwrite_t *rw,
    char *capacity, char *rate);
static void ngx_http_tbucket_redis_answered(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_stage(ngx_http_tbucket_rwrite_t *rw);
static void ngx_http_tbucket_redis_staged(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_commit(ngx_http_tbucket_rwrite_t *rw);
static void ngx_http_tbucket_redis_accepted(ngx_http_tbucket_rwrite_t *rw,
    redisReply *reply);
static ngx_int_t ngx_http_tbucket_redis_outcome(
    ngx_http_tbucket_rwrite_t *rw, redisReply *reply);
static ngx_int_t ngx_http_tbucket_redis_merged(ngx_http_tbucket_rwrite_t *rw,
    redisReply *reply);
static ngx_int_t ngx_http_tbucket_redis_slice(ngx_http_tbucket_write_t *write,
    ngx_uint_t from, ngx_uint_t n);
static void ngx_http_tbucket_redis_applied(ngx_http_tbucket_write_t *write,
    ngx_int_t rc);
static void ngx_http_tbucket_redis_why(ngx_http_tbucket_rwrite_t *rw,
    const char *reason);
static void ngx_http_tbucket_redis_end(ngx_http_tbucket_rwrite_t *rw,
    ngx_http_tbucket_outcome_e outcome);


static const ngx_str_t  ngx_http_tbucket_redis_kinds[] = {
    ngx_string("create"),
    ngx_string("replace"),
    ngx_string("change"),
    ngx_string("remove")
};


void
ngx_http_tbucket_redis_write(ngx_http_tbucket_store_t *store,
    ngx_http_tbucket_write_t *write)
{
    ngx_uint_t                  i;
    ngx_http_tbucket_redis_t   *redis;
    ngx_http_tbucket_rwrite_t  *rw;

    redis = store->data;

    rw = ngx_pcalloc(write->pool, sizeof(ngx_http_tbucket_rwrite_t));

    for (i = 0; rw != NULL && i < redis->nzones; i++) {

        if (redis->zones[i].zone != write->zone) {
            continue;
        }

        rw->rz = &redis->zones[i];
        rw->write = write;
        write->state = rw;

        ngx_queue_insert_tail(&redis->pending, &rw->queue);
        ngx_http_tbucket_redis_pending(redis);
        return;
    }

    write->outcome = NGX_HTTP_TBUCKET_STORE_DOWN;
    write->done(write);
}


/* Writes wait for a connection that is being made, but for no other. */

void
ngx_http_tbucket_redis_pending(ngx_http_tbucket_redis_t *redis)
{
    ngx_queue_t                *q;
    ngx_http_tbucket_rwrite_t  *rw;

    if (redis->command->state == NGX_GW_REDIS_ASKING
        || redis->command->state == NGX_GW_REDIS_GREETING)
    {
        return;
    }

    while (!ngx_queue_empty(&redis->pending)) {
        q = ngx_queue_head(&redis->pending);
        ngx_queue_remove(q);

        rw = ngx_queue_data(q, ngx_http_tbucket_rwrite_t, queue);

        if (ngx_gw_redis_is_up(redis->command)) {
            ngx_http_tbucket_write_each(rw->write,
                                        ngx_http_tbucket_redis_room,
                                        ngx_http_tbucket_redis_checked);

        } else {
            ngx_http_tbucket_redis_why(rw, redis->command->reason);
            ngx_http_tbucket_redis_end(rw, NGX_HTTP_TBUCKET_STORE_DOWN);
        }
    }
}


/* Whether it may be done is for Redis to say; room is here, or not. */

static ngx_int_t
ngx_http_tbucket_redis_room(ngx_http_tbucket_write_t *write, ngx_uint_t from,
    ngx_uint_t n)
{
    ngx_int_t                 rc;
    ngx_http_tbucket_write_e  kind;

    kind = write->kind;

    if (kind == NGX_HTTP_TBUCKET_WRITE_CHANGE
        || kind == NGX_HTTP_TBUCKET_WRITE_REMOVE)
    {
        return NGX_OK;
    }

    write->kind = NGX_HTTP_TBUCKET_WRITE_BULK;
    rc = ngx_http_tbucket_write_check(write, from, n);
    write->kind = kind;

    return rc;
}


static void
ngx_http_tbucket_redis_checked(ngx_http_tbucket_write_t *write, ngx_int_t rc)
{
    ngx_http_tbucket_rwrite_t  *rw;

    rw = write->state;

    if (rc != NGX_OK) {
        write->done(write);
        return;
    }

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_BULK) {
        ngx_http_tbucket_redis_stage(rw);
        return;
    }

    ngx_http_tbucket_redis_send(rw);
}


static void
ngx_http_tbucket_redis_send(ngx_http_tbucket_rwrite_t *rw)
{
    char                        capacity[GW_NUMBER_SIZE];
    char                        rate[GW_NUMBER_SIZE];
    char                        tokens[GW_NUMBER_SIZE];
    char                        known[2][GW_NUMBER_SIZE];
    char                        state[TB_CLIENT_VALUE_SIZE];
    ngx_http_tbucket_args_t    *args;
    ngx_http_tbucket_rzone_t   *rz;
    ngx_http_tbucket_redis_t   *redis;
    ngx_http_tbucket_change_t  *change;

    rz = rw->rz;
    redis = rz->redis;
    args = &redis->scratch->args;
    change = rw->write->changes;

    capacity[0] = '\0';
    rate[0] = '\0';
    tokens[0] = '\0';
    state[0] = '\0';

    if (change->members & TB_CLIENT_CAPACITY) {
        (void) snprintf(capacity, sizeof(capacity), "%u",
                        (unsigned) change->capacity);
    }

    if (change->members & TB_CLIENT_RATE) {
        rate[tb_client_print_rate(rate, change->rate)] = '\0';
    }

    if (change->members & TB_CLIENT_TOKENS) {
        tokens[tb_client_print_tokens(tokens, change->tokens)] = '\0';
    }

    if ((change->members & TB_CLIENT_TOKENS) && !rz->zone->global) {
        state[tb_client_print_state(state, change->tokens,
                                    ngx_http_tbucket_redis_time(rz))] = '\0';
    }

    ngx_http_tbucket_redis_in_force(rw, known[0], known[1]);

    ngx_http_tbucket_redis_begin(redis, args, NGX_HTTP_TBUCKET_SCRIPT_WRITE,
                                 rw->text, "5");
    ngx_http_tbucket_redis_str(args, &rz->clients);
    ngx_http_tbucket_redis_str(args, &rz->changes);
    ngx_http_tbucket_redis_str(args, &rz->epoch);
    ngx_http_tbucket_redis_str(args, &rz->tokens);
    ngx_http_tbucket_redis_str(args, &rz->patched);

    ngx_http_tbucket_redis_str(args,
                           &ngx_http_tbucket_redis_kinds[rw->write->kind]);
    ngx_http_tbucket_redis_str(args, &change->id);
    ngx_http_tbucket_redis_put(args, capacity, ngx_strlen(capacity));
    ngx_http_tbucket_redis_put(args, rate, ngx_strlen(rate));
    ngx_http_tbucket_redis_put(args, tokens, ngx_strlen(tokens));
    ngx_http_tbucket_redis_put(args, state, ngx_strlen(state));
    ngx_http_tbucket_redis_put(args, known[0], ngx_strlen(known[0]));
    ngx_http_tbucket_redis_put(args, known[1], ngx_strlen(known[1]));

    if (ngx_gw_redis_command(redis->command, ngx_http_tbucket_redis_answered,
                             rw, args->n, args->value, args->len)
        != NGX_OK)
    {
        ngx_http_tbucket_redis_end(rw, NGX_HTTP_TBUCKET_STORE_DOWN);
    }
}


/* The limits to complete a change with if those in Redis are malformed. */

static void
ngx_http_tbucket_redis_in_force(ngx_http_tbucket_rwrite_t *rw, char *capacity,
    char *rate)
{
    bool                        found;
    tb_hash_t                   h;
    tb_registry_entry_t         entry;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_change_t  *change;

    capacity[0] = '\0';
    rate[0] = '\0';

    if (rw->write->kind != NGX_HTTP_TBUCKET_WRITE_CHANGE) {
        return;
    }

    zone = rw->rz->zone;
    change = rw->write->changes;

    h = tb_hash(change->id.data, change->id.len, zone->shared->secret);

    ngx_shmtx_lock(&zone->shpool->mutex);

    found = tb_registry_find(zone->shared->registry, &h, &entry);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (found) {
        (void) snprintf(capacity, GW_NUMBER_SIZE, "%u",
                        (unsigned) tb_limits_capacity(entry.limits));
        rate[tb_client_print_rate(rate, tb_limits_rate(entry.limits))] = '\0';
    }
}


static void
ngx_http_tbucket_redis_answered(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rwrite_t  *rw = data;

    (void) link;

    if (reply == NULL) {
        ngx_http_tbucket_redis_end(rw, NGX_HTTP_TBUCKET_STORE_UNKNOWN);
        return;
    }

    if (ngx_http_tbucket_redis_unknown(reply, rw->text)) {
        rw->text = 1;

        if (rw->write->kind == NGX_HTTP_TBUCKET_WRITE_BULK) {
            ngx_http_tbucket_redis_commit(rw);

        } else {
            ngx_http_tbucket_redis_send(rw);
        }

        return;
    }

    ngx_http_tbucket_redis_accepted(rw, reply);
}


/* Sends the next page, or the script if there is none. */

static void
ngx_http_tbucket_redis_stage(ngx_http_tbucket_rwrite_t *rw)
{
    size_t                       len;
    ngx_uint_t                   i, n;
    ngx_http_tbucket_args_t     *args;
    ngx_http_tbucket_redis_t    *redis;
    ngx_http_tbucket_write_t    *write;
    ngx_http_tbucket_change_t   *change;
    ngx_http_tbucket_scratch_t  *scratch;

    write = rw->write;
    redis = rw->rz->redis;
    scratch = redis->scratch;
    args = &scratch->args;

    if (rw->staged.data == NULL) {
        rw->staged.data = ngx_pnalloc(write->pool,
                                      rw->rz->clients.len + 3 * 9 + 1);
        if (rw->staged.data == NULL) {
            ngx_http_tbucket_redis_end(rw, NGX_HTTP_TBUCKET_STORE_DOWN);
            return;
        }

        rw->staged.len = ngx_sprintf(rw->staged.data, "%V:%08xD%08xD%08xD",
                                     &rw->rz->clients, (uint32_t) ngx_pid,
                                     (uint32_t) ngx_random(),
                                     (uint32_t) ngx_random())
                         - rw->staged.data;
    }

    n = ngx_min(write->n - rw->sent, NGX_HTTP_TBUCKET_REDIS_PAGE);

    if (n == 0) {
        ngx_http_tbucket_redis_commit(rw);
        return;
    }

    args->n = 0;

    ngx_http_tbucket_redis_literal(args, "HSET");
    ngx_http_tbucket_redis_str(args, &rw->staged);

    for (i = 0; i < n; i++) {
        change = &write->changes[rw->sent + i];

        len = tb_client_print_limits(scratch->values[i], change->capacity,
                                     change->rate);

        ngx_http_tbucket_redis_str(args, &change->id);
        ngx_http_tbucket_redis_put(args, scratch->values[i], len);
    }

    if (ngx_gw_redis_command(redis->command, ngx_http_tbucket_redis_staged,
                             rw, args->n, args->value, args->len)
        != NGX_OK)
    {
        ngx_http_tbucket_redis_end(rw, NGX_HTTP_TBUCKET_STORE_DOWN);
        return;
    }

    if (rw->sent == 0) {
        args->n = 0;

        ngx_http_tbucket_redis_literal(args, "PEXPIRE");
        ngx_http_tbucket_redis_str(args, &rw->staged);
        ngx_http_tbucket_redis_literal(args, NGX_HTTP_TBUCKET_REDIS_STAGED);

        (void) ngx_gw_redis_command(redis->command, NULL, NULL, args->n,
                                    args->value, args->len);
    }

    rw->sent += n;
}


/* Nothing of it counts before the script has run. */

static void
ngx_http_tbucket_redis_staged(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rwrite_t  *rw = data;

    (void) link;

    if (reply == NULL) {
        ngx_http_tbucket_redis_end(rw, NGX_HTTP_TBUCKET_STORE_DOWN);
        return;
    }

    if (reply->type != REDIS_REPLY_INTEGER) {
        ngx_http_tbucket_redis_accepted(rw, reply);
        return;
    }

    if (rw->rz->zone->bulk == rw->write) {
        (void) ngx_gw_leader_claim(&rw->rz->zone->shared->bulk, 60000);
    }

    ngx_http_tbucket_redis_stage(rw);
}


static void
ngx_http_tbucket_redis_commit(ngx_http_tbucket_rwrite_t *rw)
{
    char                       n[NGX_INT_T_LEN + 1];
    size_t                     len;
    ngx_http_tbucket_args_t   *args;
    ngx_http_tbucket_rzone_t  *rz;

    rz = rw->rz;
    args = &rz->redis->scratch->args;

    len = ngx_sprintf((u_char *) n, "%ui", rw->write->n) - (u_char *) n;

    ngx_http_tbucket_redis_begin(rz->redis, args,
                                 NGX_HTTP_TBUCKET_SCRIPT_BULK, rw->text, "4");
    ngx_http_tbucket_redis_str(args, &rz->clients);
    ngx_http_tbucket_redis_str(args, &rz->changes);
    ngx_http_tbucket_redis_str(args, &rz->epoch);
    ngx_http_tbucket_redis_str(args, &rw->staged);
    ngx_http_tbucket_redis_put(args, n, len);

    /* Redis does nothing else meanwhile, for 4 us or so a client */

    if (ngx_gw_redis_background(rz->redis->command,
                                ngx_http_tbucket_redis_answered, rw,
                                NGX_GW_REDIS_REPLY,
                                rz->redis->conf.timeout + rw->write->n / 50,
                                args->n, args->value, args->len)
        != NGX_OK)
    {
        ngx_http_tbucket_redis_end(rw, NGX_HTTP_TBUCKET_STORE_DOWN);
    }
}


/* Redis has answered: what it decided is applied. */

static void
ngx_http_tbucket_redis_accepted(ngx_http_tbucket_rwrite_t *rw,
    redisReply *reply)
{
    char                       reason[NGX_GW_REDIS_REASON];
    ngx_int_t                  rc;
    ngx_http_tbucket_rzone_t  *rz;

    rz = rw->rz;
    rc = ngx_http_tbucket_redis_outcome(rw, reply);

    if (rc == NGX_DECLINED) {
        ngx_http_tbucket_redis_end(rw, rw->write->outcome);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_tbucket_redis_refused(rz, NGX_HTTP_TBUCKET_TROUBLE_WRITE,
                                       "writes are refused", reply);

        ngx_http_tbucket_redis_told(rz, reply, reason);
        ngx_http_tbucket_redis_why(rw, reason);

        ngx_http_tbucket_redis_end(rw, reply->type == REDIS_REPLY_ERROR
                                       ? NGX_HTTP_TBUCKET_STORE_DOWN
                                       : NGX_HTTP_TBUCKET_STORE_UNKNOWN);
        return;
    }

    ngx_http_tbucket_redis_fine(rz, NGX_HTTP_TBUCKET_TROUBLE_WRITE);

    ngx_http_tbucket_write_each(rw->write, ngx_http_tbucket_redis_slice,
                                ngx_http_tbucket_redis_applied);
}


/* NGX_OK: it was done; NGX_DECLINED: it was not, the outcome is set. */

static ngx_int_t
ngx_http_tbucket_redis_outcome(ngx_http_tbucket_rwrite_t *rw,
    redisReply *reply)
{
    char                       reason[NGX_GW_REDIS_REASON];
    redisReply                *word;
    ngx_http_tbucket_write_t  *write;

    write = rw->write;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        return NGX_ERROR;
    }

    word = reply->element[0];

    if (ngx_http_tbucket_redis_is(word, "EXISTS")) {
        write->outcome = NGX_HTTP_TBUCKET_EXISTS;
        return NGX_DECLINED;
    }

    if (ngx_http_tbucket_redis_is(word, "MISSING")) {
        write->outcome = NGX_HTTP_TBUCKET_MISSING;
        return NGX_DECLINED;
    }

    if (ngx_http_tbucket_redis_is(word, "EPOCH")
        || ngx_http_tbucket_redis_is(word, "LOST"))
    {
        ngx_http_tbucket_redis_empty(rw->rz, reason);
        ngx_http_tbucket_redis_why(rw, reason);
        write->outcome = NGX_HTTP_TBUCKET_STORE_DOWN;
        return NGX_DECLINED;
    }

    if (ngx_http_tbucket_redis_is(word, "RANGE")
        && ngx_http_tbucket_redis_merged(rw, reply) == NGX_OK)
    {
        write->outcome = NGX_HTTP_TBUCKET_TOKENS_RANGE;
        return NGX_DECLINED;
    }

    if (reply->elements < 2
        || reply->element[1]->type != REDIS_REPLY_STRING
        || !tb_stream_id_parse(&rw->seq, reply->element[1]->str,
                               reply->element[1]->len))
    {
        return NGX_ERROR;
    }

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_BULK) {

        if (reply->elements != 3
            || reply->element[2]->type != REDIS_REPLY_INTEGER
            || reply->element[2]->integer < 0
            || reply->element[2]->integer > (long long) write->n)
        {
            return NGX_ERROR;
        }

        write->created = reply->element[2]->integer;
        write->updated = write->n - write->created;
        write->outcome = NGX_HTTP_TBUCKET_UPDATED;

        return NGX_OK;
    }

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
        write->outcome = NGX_HTTP_TBUCKET_REMOVED;
        return NGX_OK;
    }

    write->outcome = ngx_http_tbucket_redis_is(word, "NEW")
                     ? NGX_HTTP_TBUCKET_CREATED : NGX_HTTP_TBUCKET_UPDATED;

    return ngx_http_tbucket_redis_merged(rw, reply);
}


/* The limits that the script has come to. */

static ngx_int_t
ngx_http_tbucket_redis_merged(ngx_http_tbucket_rwrite_t *rw,
    redisReply *reply)
{
    int                          len;
    char                         text[TB_CLIENT_VALUE_SIZE];
    ngx_http_tbucket_change_t   *change;
    ngx_http_tbucket_scratch_t  *scratch;

    if (reply->elements != 4
        || reply->element[2]->type != REDIS_REPLY_STRING
        || reply->element[3]->type != REDIS_REPLY_STRING)
    {
        return NGX_ERROR;
    }

    len = snprintf(text, sizeof(text),
                   "{\"capacity\":%s,\"rate_per_sec\":%s}",
                   reply->element[2]->str, reply->element[3]->str);

    scratch = rw->rz->redis->scratch;

    if (len < 0 || (size_t) len >= sizeof(text)
        || gw_record_read(&scratch->reader, &tb_client_limits,
                          &scratch->client, text, len)
           != 0)
    {
        return NGX_ERROR;
    }

    change = rw->write->changes;

    change->capacity = scratch->client.capacity;
    change->rate = scratch->client.rate;

    return NGX_OK;
}


/* Unless a later change of the same client has been applied already. */

static ngx_int_t
ngx_http_tbucket_redis_slice(ngx_http_tbucket_write_t *write, ngx_uint_t from,
    ngx_uint_t n)
{
    uint64_t                    tokens;
    tb_hash_t                   h;
    ngx_uint_t                  i;
    tb_recent_t                *recent;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_change_t  *change;
    ngx_http_tbucket_rwrite_t  *rw;

    rw = write->state;
    zone = write->zone;
    recent = &rw->rz->mirror->recent;

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_BULK) {
        tb_recent_raise(recent, &rw->seq);
    }

    for (i = from; i < from + n; i++) {
        change = &write->changes[i];

        h = tb_hash(change->id.data, change->id.len, zone->shared->secret);

        if (!tb_recent_allows(recent, h.lo, &rw->seq)) {
            continue;
        }

        if (write->kind != NGX_HTTP_TBUCKET_WRITE_BULK) {
            tb_recent_note(recent, h.lo, &rw->seq);
        }

        if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
            (void) ngx_http_tbucket_client_remove(zone, &change->id);
            continue;
        }

        tokens = (change->members & TB_CLIENT_TOKENS)
                 ? change->tokens : NGX_HTTP_TBUCKET_TOKENS_KEEP;

        if (ngx_http_tbucket_client_set(zone, &change->id, change->capacity,
                                        change->rate, tokens)
            == NGX_HTTP_TBUCKET_NO_ROOM)
        {
            ngx_http_tbucket_redis_crowded(rw->rz);
        }
    }

    return NGX_OK;
}


static void
ngx_http_tbucket_redis_applied(ngx_http_tbucket_write_t *write, ngx_int_t rc)
{
    (void) rc;

    if (write->zone->global) {
        ngx_http_tbucket_global_write(write);
        return;
    }

    write->done(write);
}


static void
ngx_http_tbucket_redis_why(ngx_http_tbucket_rwrite_t *rw, const char *reason)
{
    ngx_str_t  s;

    s.data = (u_char *) reason;
    s.len = ngx_strlen(reason);

    rw->write->reason.data = ngx_pstrdup(rw->write->pool, &s);
    rw->write->reason.len = rw->write->reason.data ? s.len : 0;
}


static void
ngx_http_tbucket_redis_end(ngx_http_tbucket_rwrite_t *rw,
    ngx_http_tbucket_outcome_e outcome)
{
    rw->write->outcome = outcome;
    rw->write->done(rw->write);
}
