
/*
 * Writes of the API: each is decided and done by one script in Redis.  No
 * script can reach several shards, so that an array with clients of some is
 * tried in all of them before it is done in any.  What completes a change is
 * what memory knows of the client; if Redis has something else by then, it says
 * what, and the change is made of that.
 */


#include "src/tbucket/redis/ngx_http_tbucket_redis_write.h"

#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_shards.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


typedef struct ngx_http_tbucket_rwrite_s  ngx_http_tbucket_rwrite_t;


/* What goes to one shard. */

typedef struct {
    ngx_http_tbucket_rwrite_t  *rw;
    ngx_http_tbucket_rzone_t   *rz;        /* NULL: there is nothing */
    ngx_uint_t                  n;         /* clients */
    ngx_uint_t                  created;   /* that were new */
    tb_stream_id_t              seq;       /* of the change, in the stream */
} ngx_http_tbucket_rpart_t;


struct ngx_http_tbucket_rwrite_s {
    ngx_http_tbucket_rzone_t   *first;     /* shard of the zone */
    ngx_http_tbucket_write_t   *write;
    ngx_http_tbucket_rpart_t   *parts;     /* by shard */
    ngx_uint_t                  nparts;    /* that there are */
    ngx_uint_t                  awaited;   /* answers */
    ngx_uint_t                  done;      /* parts */
    unsigned                    trying:1;
    ngx_int_t                   rc;        /* of what was not done */
    char                        reason[NGX_GW_REDIS_FATE];

    /* of a CHANGE */
    ngx_queue_t                 queue;     /* of those under way */
    tb_client_t                 change;    /* as it was asked for */
    char                       *known;     /* what it was made of, a value */
    size_t                      len;
    ngx_uint_t                  tries;
};


/* bytes of a value that the script returns at most */
#define NGX_HTTP_TBUCKET_REDIS_KNOWN  1024

/* times that a change may find the value changed by other processes */
#define NGX_HTTP_TBUCKET_REDIS_TRIES  100


static ngx_int_t ngx_http_tbucket_redis_split(ngx_http_tbucket_rwrite_t *rw);
static ngx_uint_t ngx_http_tbucket_redis_is_changing(
    ngx_http_tbucket_redis_t *redis, ngx_http_tbucket_write_t *write);
static void ngx_http_tbucket_redis_send(ngx_http_tbucket_rwrite_t *rw,
    ngx_uint_t trying);
static void ngx_http_tbucket_redis_state(ngx_http_tbucket_rzone_t *rz,
    const tb_client_t *client, char *buf);
static ngx_int_t ngx_http_tbucket_redis_send_one(
    ngx_http_tbucket_rpart_t *part);
static ngx_int_t ngx_http_tbucket_redis_send_bulk(
    ngx_http_tbucket_rpart_t *part);
static ngx_int_t ngx_http_tbucket_redis_sent(ngx_http_tbucket_rpart_t *part);
static ngx_int_t ngx_http_tbucket_redis_guess(ngx_http_tbucket_rpart_t *part);
static ngx_int_t ngx_http_tbucket_redis_again(ngx_http_tbucket_rpart_t *part,
    redisReply *reply);
static void ngx_http_tbucket_redis_failed(ngx_http_tbucket_rwrite_t *rw,
    ngx_int_t rc, const char *reason);
static void ngx_http_tbucket_redis_ended(ngx_http_tbucket_rwrite_t *rw);
static void ngx_http_tbucket_redis_answered(ngx_gw_redis_t *link,
    redisReply *reply, void *data);
static void ngx_http_tbucket_redis_accepted(ngx_http_tbucket_rpart_t *part,
    redisReply *reply);
static ngx_int_t ngx_http_tbucket_redis_outcome(
    ngx_http_tbucket_rpart_t *part, redisReply *reply);


static const ngx_str_t  ngx_http_tbucket_redis_kinds[] = {
    ngx_string("create"),
    ngx_string("replace"),
    ngx_string("change"),
    ngx_string("remove")
};


void
ngx_http_tbucket_redis_persist(ngx_http_tbucket_store_t *store,
    ngx_http_tbucket_write_t *write)
{
    ngx_uint_t                  i;
    ngx_http_tbucket_redis_t   *redis;
    ngx_http_tbucket_rwrite_t  *rw;

    redis = store->data;

    rw = ngx_pcalloc(write->pool, sizeof(ngx_http_tbucket_rwrite_t));

    if (rw == NULL) {
        ngx_http_tbucket_written(write, NGX_ERROR, "no memory");
        return;
    }

    for (i = 0; redis->zones[i].zone != write->zone; i += redis->nshards) {
        /* void */
    }

    rw->first = &redis->zones[i];
    rw->write = write;
    write->data = rw;

    if (ngx_http_tbucket_redis_split(rw) != NGX_OK) {
        ngx_http_tbucket_written(write, NGX_ERROR, "no memory");
        return;
    }

    ngx_queue_insert_tail(&redis->pending, &write->queue);
    ngx_http_tbucket_redis_pending(redis);
}


static ngx_int_t
ngx_http_tbucket_redis_split(ngx_http_tbucket_rwrite_t *rw)
{
    ngx_uint_t                  i, shard;
    ngx_http_tbucket_redis_t   *redis;
    ngx_http_tbucket_write_t   *write;
    ngx_http_tbucket_rpart_t   *part;

    redis = rw->first->redis;
    write = rw->write;

    rw->parts = ngx_pcalloc(write->pool, redis->nshards
                                         * sizeof(ngx_http_tbucket_rpart_t));
    if (rw->parts == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < write->n; i++) {
        shard = write->plans ? 0
                : ngx_http_tbucket_redis_shard(redis,
                                               write->changes[i].id.data,
                                               write->changes[i].id.len);
        part = &rw->parts[shard];

        if (part->n++ == 0) {
            part->rw = rw;
            part->rz = &rw->first[shard];
            rw->nparts++;
        }
    }

    return NGX_OK;
}


/*
 * Writes wait for a connection that is being made, but for no other; and a
 * change waits for the one before of the same client, of which it is made.
 */

void
ngx_http_tbucket_redis_pending(ngx_http_tbucket_redis_t *redis)
{
    char                        reason[NGX_GW_REDIS_REASON];
    ngx_queue_t                *q, *next;
    ngx_http_tbucket_write_t   *write;
    ngx_http_tbucket_rwrite_t  *rw;

    /* a connection that is lost in here has it called once more */

    if (redis->sending
        || redis->command->state == NGX_GW_REDIS_ASKING
        || redis->command->state == NGX_GW_REDIS_GREETING)
    {
        return;
    }

    redis->sending = 1;

    for (q = ngx_queue_head(&redis->pending);
         q != ngx_queue_sentinel(&redis->pending);
         q = next)
    {
        next = ngx_queue_next(q);

        write = ngx_queue_data(q, ngx_http_tbucket_write_t, queue);
        rw = write->data;

        if (write->kind == NGX_HTTP_TBUCKET_WRITE_CHANGE
            && ngx_http_tbucket_redis_is_changing(redis, write))
        {
            continue;
        }

        ngx_queue_remove(q);

        if (!ngx_gw_redis_is_up(redis->command)) {
            ngx_http_tbucket_written(write, NGX_ERROR,
                                     redis->command->reason);

        } else if (ngx_http_tbucket_redis_disagrees(rw->first, reason)) {
            ngx_http_tbucket_written(write, NGX_ERROR, reason);

        } else {

            if (write->kind == NGX_HTTP_TBUCKET_WRITE_CHANGE) {
                ngx_queue_insert_tail(&redis->changing, &rw->queue);
            }

            ngx_http_tbucket_redis_send(rw, rw->nparts > 1);
        }
    }

    redis->sending = 0;
}


static ngx_uint_t
ngx_http_tbucket_redis_is_changing(ngx_http_tbucket_redis_t *redis,
    ngx_http_tbucket_write_t *write)
{
    ngx_queue_t                *q;
    ngx_http_tbucket_write_t   *other;
    ngx_http_tbucket_rwrite_t  *rw;

    for (q = ngx_queue_head(&redis->changing);
         q != ngx_queue_sentinel(&redis->changing);
         q = ngx_queue_next(q))
    {
        rw = ngx_queue_data(q, ngx_http_tbucket_rwrite_t, queue);
        other = rw->write;

        if (other->zone == write->zone && other->plans == write->plans
            && other->changes->id.len == write->changes->id.len
            && ngx_memcmp(other->changes->id.data, write->changes->id.data,
                          write->changes->id.len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* All parts at once. */

static void
ngx_http_tbucket_redis_send(ngx_http_tbucket_rwrite_t *rw, ngx_uint_t trying)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_http_tbucket_rpart_t  *part;

    rw->trying = trying;
    rw->rc = NGX_OK;

    /* one more, so that it does not end in between */

    rw->awaited = 1;

    for (i = 0; i < rw->first->redis->nshards; i++) {
        part = &rw->parts[i];

        if (part->n == 0) {
            continue;
        }

        rc = (rw->write->kind == NGX_HTTP_TBUCKET_WRITE_BULK)
             ? ngx_http_tbucket_redis_send_bulk(part)
             : ngx_http_tbucket_redis_send_one(part);

        if (rc == NGX_OK) {
            rw->awaited++;
        }
    }

    ngx_http_tbucket_redis_ended(rw);
}


static void
ngx_http_tbucket_redis_failed(ngx_http_tbucket_rwrite_t *rw, ngx_int_t rc,
    const char *reason)
{
    /* what is not known of one is not known of all */

    if (rw->rc != NGX_ABORT) {
        rw->rc = rc;
        (void) ngx_cpystrn((u_char *) rw->reason, (u_char *) reason,
                           NGX_GW_REDIS_FATE);
    }
}


/* One answer less is awaited; the last one decides how it goes on. */

static void
ngx_http_tbucket_redis_ended(ngx_http_tbucket_rwrite_t *rw)
{
    ngx_uint_t                 i;
    ngx_http_tbucket_write_t  *write;

    if (--rw->awaited > 0) {
        return;
    }

    write = rw->write;

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_CHANGE) {
        ngx_queue_remove(&rw->queue);

        if (!ngx_queue_empty(&rw->first->redis->pending)) {
            ngx_post_event(&rw->first->redis->next, &ngx_posted_events);
        }
    }

    if (rw->trying) {

        if (rw->rc == NGX_OK) {
            ngx_http_tbucket_redis_send(rw, 0);
            return;
        }

        /* a trial that was not answered has changed nothing, either */

        ngx_http_tbucket_written(write, NGX_ERROR, rw->reason);
        return;
    }

    if (rw->rc != NGX_OK) {
        ngx_http_tbucket_written(write, rw->done > 0 ? NGX_ABORT : rw->rc,
                                 rw->reason);
        return;
    }

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_BULK) {
        write->created = 0;

        for (i = 0; i < rw->first->redis->nshards; i++) {
            write->created += rw->parts[i].created;
        }

        write->updated = write->n - write->created;
        write->outcome = NGX_HTTP_TBUCKET_UPDATED;
    }

    ngx_http_tbucket_written(write, NGX_OK, NULL);
}


/* Tokens that are set, as a save would say them. */

static void
ngx_http_tbucket_redis_state(ngx_http_tbucket_rzone_t *rz,
    const tb_client_t *client, char *buf)
{
    tb_client_t  state;

    state = *client;
    state.members &= TB_CLIENT_PLAN;
    state.at = ngx_http_tbucket_redis_time(rz);
    state.quota = ngx_http_tbucket_quota_of(rz->zone,
                         ngx_http_tbucket_given_limits(rz->zone, client));
    state.members |= state.quota ? TB_CLIENT_QUOTA : 0;

    (void) tb_client_print_state(buf, &state, rz->zone->unit);
}


static ngx_int_t
ngx_http_tbucket_redis_send_one(ngx_http_tbucket_rpart_t *part)
{
    char                        value[TB_CLIENT_VALUE_SIZE];
    char                        state[TB_CLIENT_VALUE_SIZE];
    char                        most[NGX_INT_T_LEN + 1];
    uint32_t                    unit;
    tb_client_t                *client;
    ngx_http_tbucket_args_t    *args;
    ngx_http_tbucket_rzone_t   *rz;
    ngx_http_tbucket_redis_t   *redis;
    ngx_http_tbucket_write_t   *write;
    ngx_http_tbucket_rwrite_t  *rw;

    rw = part->rw;
    rz = part->rz;
    redis = rz->redis;
    args = &redis->scratch->args;
    write = rw->write;
    client = &write->changes->client;
    unit = rz->zone->unit;

    value[0] = '\0';
    state[0] = '\0';

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_CHANGE && rw->known == NULL
        && ngx_http_tbucket_redis_guess(part) != NGX_OK)
    {
        ngx_http_tbucket_redis_failed(rw, NGX_ERROR, "no memory");
        return NGX_ERROR;
    }

    if (write->kind != NGX_HTTP_TBUCKET_WRITE_REMOVE) {
        (void) tb_client_print(value, client, unit);
    }

    if ((client->members & TB_CLIENT_TOKENS) && rz->zone->source == NULL) {
        ngx_http_tbucket_redis_state(rz, client, state);
    }

    ngx_http_tbucket_redis_begin(redis, args, NGX_HTTP_TBUCKET_SCRIPT_WRITE,
                                 "5");
    ngx_http_tbucket_redis_str(args, write->plans ? &rz->plans
                                                  : &rz->clients);
    ngx_http_tbucket_redis_str(args, &rz->changes);
    ngx_http_tbucket_redis_str(args, &rz->epoch);
    ngx_http_tbucket_redis_str(args, &rz->tokens);
    ngx_http_tbucket_redis_str(args, &rz->patched);

    ngx_http_tbucket_redis_str(args,
                               &ngx_http_tbucket_redis_kinds[write->kind]);

    most[0] = '\0';

    if (write->plans) {
        ngx_http_tbucket_redis_literal(args, "plan");
        ngx_sprintf((u_char *) most, "%ui%Z",
                    ngx_http_tbucket_plans_most(rz->zone));

    } else {
        ngx_http_tbucket_redis_literal(args, "id");
    }

    ngx_http_tbucket_redis_str(args, &write->changes->id);
    ngx_http_tbucket_redis_put(args, value, ngx_strlen(value));
    ngx_http_tbucket_redis_put(args, rw->known, rw->len);
    ngx_http_tbucket_redis_put(args, state, ngx_strlen(state));
    ngx_http_tbucket_redis_put(args, most, ngx_strlen(most));

    return ngx_http_tbucket_redis_sent(part);
}


/*
 * Completes a change by what memory knows.  What memory has against that is
 * for Redis to confirm: the value is asked for then, by one that none is.
 */

static ngx_int_t
ngx_http_tbucket_redis_guess(ngx_http_tbucket_rpart_t *part)
{
    ngx_int_t                   rc;
    tb_client_t                 old;
    ngx_shmtx_t                *mutex;
    ngx_http_tbucket_write_t   *write;
    ngx_http_tbucket_change_t  *change;
    ngx_http_tbucket_rwrite_t  *rw;

    rw = part->rw;
    write = rw->write;
    change = write->changes;
    mutex = &part->rz->zone->shpool->mutex;

    rw->known = ngx_pnalloc(write->pool, NGX_HTTP_TBUCKET_REDIS_KNOWN);

    if (rw->known == NULL) {
        return NGX_ERROR;
    }

    rw->len = 0;
    rw->change = change->client;

    ngx_shmtx_lock(mutex);

    rc = ngx_http_tbucket_write_known(write, change, &old);

    ngx_shmtx_unlock(mutex);

    if (rc == NGX_OK
        && ngx_http_tbucket_write_merge(write, change, &old) == NGX_OK)
    {
        rw->len = tb_client_print(rw->known, &old, part->rz->zone->unit);
    }

    return NGX_OK;
}


/*
 * The change is made of the value that Redis has, or, where that is malformed,
 * of what is in force.  NGX_OK: it was sent again; NGX_DECLINED: it cannot be
 * made, the outcome says why; NGX_ERROR: the reply makes no sense, or it was
 * not sent.
 */

static ngx_int_t
ngx_http_tbucket_redis_again(ngx_http_tbucket_rpart_t *part,
    redisReply *reply)
{
    redisReply                  *value;
    tb_client_t                 *old;
    ngx_shmtx_t                 *mutex;
    ngx_http_tbucket_zone_t     *zone;
    ngx_http_tbucket_write_t    *write;
    ngx_http_tbucket_change_t   *change;
    ngx_http_tbucket_rwrite_t   *rw;
    ngx_http_tbucket_scratch_t  *scratch;

    rw = part->rw;

    if (reply->elements != 3
        || reply->element[2]->type != REDIS_REPLY_STRING
        || reply->element[2]->len > NGX_HTTP_TBUCKET_REDIS_KNOWN
        || rw->known == NULL
        || rw->tries++ == NGX_HTTP_TBUCKET_REDIS_TRIES)
    {
        ngx_http_tbucket_redis_failed(rw, NGX_ERROR,
                                      "others change it all the time");
        return NGX_ERROR;
    }

    write = rw->write;
    change = write->changes;
    zone = part->rz->zone;
    scratch = part->rz->redis->scratch;
    value = reply->element[2];
    old = &scratch->known;
    mutex = &zone->shpool->mutex;

    if (gw_record_read(&scratch->reader,
                       write->plans ? &zone->forms.plan_value
                                    : &zone->forms.value,
                       old, value->str, value->len)
        != 0)
    {
        old->members = 0;

        ngx_shmtx_lock(mutex);

        (void) ngx_http_tbucket_write_known(write, change, old);

        ngx_shmtx_unlock(mutex);
    }

    change->client = rw->change;

    if (ngx_http_tbucket_write_merge(write, change, old) != NGX_OK) {
        ngx_http_tbucket_redis_failed(rw, NGX_DECLINED, "");
        return NGX_DECLINED;
    }

    rw->len = value->len;
    ngx_memcpy(rw->known, value->str, rw->len);

    return ngx_http_tbucket_redis_send_one(part);
}


/* An array, as ids and values in turn; or only whether it could be done. */

static ngx_int_t
ngx_http_tbucket_redis_send_bulk(ngx_http_tbucket_rpart_t *part)
{
    char                       *value;
    size_t                      len;
    ngx_uint_t                  i;
    ngx_http_tbucket_args_t    *args;
    ngx_http_tbucket_rzone_t   *rz;
    ngx_http_tbucket_write_t   *write;
    ngx_http_tbucket_change_t  *change;

    rz = part->rz;
    write = part->rw->write;
    args = &rz->redis->scratch->args;

    ngx_http_tbucket_redis_begin(rz->redis, args,
                                 NGX_HTTP_TBUCKET_SCRIPT_BULK, "3");
    ngx_http_tbucket_redis_str(args, &rz->clients);
    ngx_http_tbucket_redis_str(args, &rz->changes);
    ngx_http_tbucket_redis_str(args, &rz->epoch);

    if (part->rw->trying) {
        ngx_http_tbucket_redis_literal(args, "try");
        return ngx_http_tbucket_redis_sent(part);
    }

    value = ngx_pnalloc(write->pool, part->n * TB_CLIENT_VALUE_SIZE);

    if (value == NULL) {
        ngx_http_tbucket_redis_failed(part->rw, NGX_ERROR, "no memory");
        return NGX_ERROR;
    }

    ngx_http_tbucket_redis_literal(args, "do");

    for (i = 0; i < write->n; i++) {
        change = &write->changes[i];

        if (ngx_http_tbucket_redis_shard(rz->redis, change->id.data,
                                         change->id.len)
            != rz->shard)
        {
            continue;
        }

        len = tb_client_print(value, &change->client, rz->zone->unit);

        ngx_http_tbucket_redis_str(args, &change->id);
        ngx_http_tbucket_redis_put(args, value, len);

        value += len;
    }

    return ngx_http_tbucket_redis_sent(part);
}


static ngx_int_t
ngx_http_tbucket_redis_sent(ngx_http_tbucket_rpart_t *part)
{
    ngx_http_tbucket_args_t   *args;
    ngx_http_tbucket_redis_t  *redis;

    redis = part->rz->redis;
    args = &redis->scratch->args;

    if (ngx_gw_redis_command(redis->command, ngx_http_tbucket_redis_answered,
                             part, args->n, args->value, args->len)
        != NGX_OK)
    {
        ngx_http_tbucket_redis_failed(part->rw, NGX_ERROR,
                                      redis->command->reason);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_tbucket_redis_answered(ngx_gw_redis_t *link, redisReply *reply,
    void *data)
{
    ngx_http_tbucket_rpart_t  *part = data;

    (void) link;

    if (reply == NULL) {
        ngx_http_tbucket_redis_failed(part->rw, NGX_ABORT,
                                      part->rw->nparts > 1
                                      ? "a shard gave no answer" : "");

    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0
               && ngx_http_tbucket_redis_is(reply->element[0], "AGAIN"))
    {
        if (ngx_http_tbucket_redis_again(part, reply) == NGX_OK) {
            return;
        }

    } else {
        ngx_http_tbucket_redis_accepted(part, reply);
    }

    ngx_http_tbucket_redis_ended(part->rw);
}


/* Redis has answered. */

static void
ngx_http_tbucket_redis_accepted(ngx_http_tbucket_rpart_t *part,
    redisReply *reply)
{
    char                       reason[NGX_GW_REDIS_REASON];
    ngx_int_t                  rc;
    ngx_http_tbucket_rzone_t  *rz;

    rz = part->rz;
    rc = ngx_http_tbucket_redis_outcome(part, reply);

    switch (rc) {

    case NGX_OK:
        ngx_http_tbucket_redis_fine(rz, NGX_HTTP_TBUCKET_TROUBLE_WRITE);
        part->rw->done++;
        return;

    case NGX_DECLINED:
        reason[0] = '\0';
        break;

    case NGX_ERROR:
        ngx_http_tbucket_redis_empty(rz, reason);
        break;

    default: /* NGX_ABORT */
        ngx_http_tbucket_redis_refused(rz, NGX_HTTP_TBUCKET_TROUBLE_WRITE,
                                       "writes are refused", reply);

        ngx_http_tbucket_redis_told(rz, reply, reason);

        if (reply->type == REDIS_REPLY_ERROR) {
            rc = NGX_ERROR;
        }
    }

    ngx_http_tbucket_redis_failed(part->rw, rc, reason);
}


/*
 * NGX_OK: it was done; NGX_DECLINED: it was not, the outcome is set;
 * NGX_ERROR: Redis has to get its clients back first; NGX_ABORT: the reply is
 * an error, or makes no sense.
 */

static ngx_int_t
ngx_http_tbucket_redis_outcome(ngx_http_tbucket_rpart_t *part,
    redisReply *reply)
{
    redisReply                *word;
    ngx_http_tbucket_write_t  *write;

    write = part->rw->write;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        return NGX_ABORT;
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

    if (ngx_http_tbucket_redis_is(word, "FULL")) {
        write->outcome = NGX_HTTP_TBUCKET_NO_PLAN;
        return NGX_DECLINED;
    }

    if (ngx_http_tbucket_redis_is(word, "EPOCH")) {
        return NGX_ERROR;
    }

    if (part->rw->trying) {
        return ngx_http_tbucket_redis_is(word, "FINE") ? NGX_OK : NGX_ABORT;
    }

    if (reply->elements < 2
        || reply->element[1]->type != REDIS_REPLY_STRING
        || !tb_stream_id_parse(&part->seq, reply->element[1]->str,
                               reply->element[1]->len))
    {
        return NGX_ABORT;
    }

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_BULK) {

        if (reply->elements != 3
            || reply->element[2]->type != REDIS_REPLY_INTEGER
            || reply->element[2]->integer < 0
            || reply->element[2]->integer > (long long) part->n)
        {
            return NGX_ABORT;
        }

        part->created = reply->element[2]->integer;

        return NGX_OK;
    }

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_REMOVE) {
        write->outcome = NGX_HTTP_TBUCKET_REMOVED;
        return NGX_OK;
    }

    write->outcome = ngx_http_tbucket_redis_is(word, "NEW")
                     ? NGX_HTTP_TBUCKET_CREATED : NGX_HTTP_TBUCKET_UPDATED;

    return NGX_OK;
}


ngx_uint_t
ngx_http_tbucket_redis_is_latest(ngx_http_tbucket_write_t *write,
    const ngx_str_t *id, const tb_hash_t *h)
{
    uint64_t                    key;
    tb_recent_t                *recent;
    ngx_http_tbucket_rpart_t   *part;
    ngx_http_tbucket_rwrite_t  *rw;

    rw = write->data;
    part = &rw->parts[write->plans ? 0
                      : ngx_http_tbucket_redis_shard(rw->first->redis,
                                                     id->data, id->len)];

    /* plans are known by the other half, as when they are read */

    key = write->plans ? h->hi : h->lo;
    recent = &part->rz->mirror->recent;

    if (write->kind == NGX_HTTP_TBUCKET_WRITE_BULK) {
        tb_recent_raise(recent, &part->seq);
    }

    if (!tb_recent_allows(recent, key, &part->seq)) {
        return 0;
    }

    if (write->kind != NGX_HTTP_TBUCKET_WRITE_BULK) {
        tb_recent_note(recent, key, &part->seq);
    }

    return 1;
}
