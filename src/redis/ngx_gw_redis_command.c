
/*
 * Commands under way.  Redis answers in the order of the questions, so one
 * timer, for the first of them, is enough.
 */


#include "src/redis/ngx_gw_redis.h"
#include "src/core/text/gw_redis_reason.h"


/* ms: how late a timer has to be for the worker to have been busy */
#define NGX_GW_REDIS_LAG  20


typedef struct {
    ngx_queue_t             queue;
    ngx_gw_redis_t         *redis;
    ngx_gw_redis_reply_pt   callback;   /* NULL: nobody asks any more */
    void                   *data;
    ngx_msec_t              deadline;
    size_t                  most;       /* bytes of the reply */
    unsigned                background:1;
} ngx_gw_redis_command_t;


static ngx_int_t ngx_gw_redis_send(ngx_gw_redis_t *redis,
    ngx_gw_redis_command_t *command, ngx_msec_t timeout, ngx_uint_t argc,
    const char **argv, const size_t *argvlen);
static ngx_gw_redis_command_t *ngx_gw_redis_command_get(
    ngx_gw_redis_t *redis);
static void ngx_gw_redis_answered(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_gw_redis_no_answer(ngx_gw_redis_t *redis);
static void ngx_gw_redis_set_deadline(ngx_gw_redis_t *redis);
static void ngx_gw_redis_expired(ngx_event_t *ev);


void
ngx_gw_redis_command_init(ngx_gw_redis_t *redis)
{
    ngx_queue_init(&redis->sent);
    ngx_queue_init(&redis->spare);

    redis->deadline.handler = ngx_gw_redis_expired;
    redis->deadline.data = redis;
    redis->deadline.log = redis->log;
    redis->deadline.cancelable = 1;
}


void
ngx_gw_redis_command_done(ngx_gw_redis_t *redis)
{
    ngx_queue_t  *q;

    if (redis->deadline.timer_set) {
        ngx_del_timer(&redis->deadline);
    }

    while (!ngx_queue_empty(&redis->spare)) {
        q = ngx_queue_head(&redis->spare);
        ngx_queue_remove(q);
        ngx_free(ngx_queue_data(q, ngx_gw_redis_command_t, queue));
    }
}


ngx_int_t
ngx_gw_redis_command(ngx_gw_redis_t *redis, ngx_gw_redis_reply_pt callback,
    void *data, ngx_uint_t argc, const char **argv, const size_t *argvlen)
{
    return ngx_gw_redis_query(redis, callback, data, NGX_GW_REDIS_REPLY, argc,
                              argv, argvlen);
}


ngx_int_t
ngx_gw_redis_query(ngx_gw_redis_t *redis, ngx_gw_redis_reply_pt callback,
    void *data, size_t most, ngx_uint_t argc, const char **argv,
    const size_t *argvlen)
{
    ngx_gw_redis_command_t  *command;

    command = ngx_gw_redis_command_get(redis);

    if (command == NULL) {
        return NGX_ERROR;
    }

    command->callback = callback;
    command->data = data;
    command->most = most;
    command->background = 0;

    return ngx_gw_redis_send(redis, command, redis->conf->timeout, argc, argv,
                             argvlen);
}


ngx_int_t
ngx_gw_redis_background(ngx_gw_redis_t *redis,
    ngx_gw_redis_reply_pt callback, void *data, size_t most,
    ngx_msec_t timeout, ngx_uint_t argc, const char **argv,
    const size_t *argvlen)
{
    ngx_gw_redis_command_t  *command;

    command = ngx_gw_redis_command_get(redis);

    if (command == NULL) {
        return NGX_ERROR;
    }

    command->callback = callback;
    command->data = data;
    command->most = most;
    command->background = 1;

    return ngx_gw_redis_send(redis, command, timeout, argc, argv, argvlen);
}


void
ngx_gw_redis_forget(ngx_gw_redis_t *redis, void *data)
{
    ngx_queue_t             *q;
    ngx_gw_redis_command_t  *command;

    for (q = ngx_queue_head(&redis->sent);
         q != ngx_queue_sentinel(&redis->sent);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_gw_redis_command_t, queue);

        if (command->data == data) {
            command->callback = NULL;
        }
    }
}


static ngx_int_t
ngx_gw_redis_send(ngx_gw_redis_t *redis, ngx_gw_redis_command_t *command,
    ngx_msec_t timeout, ngx_uint_t argc, const char **argv,
    const size_t *argvlen)
{
    command->deadline = ngx_current_msec + timeout;

    if (ngx_gw_redis_link_send(&redis->link, ngx_gw_redis_answered, command,
                               (int) argc, argv, argvlen)
        != NGX_OK)
    {
        (void) ngx_cpystrn((u_char *) redis->reason,
                           (u_char *) ngx_gw_redis_link_reason(&redis->link),
                           sizeof(redis->reason));

        ngx_queue_insert_head(&redis->spare, &command->queue);
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&redis->sent, &command->queue);

    redis->nsent++;
    redis->nholding += !command->background;

    ngx_gw_redis_set_deadline(redis);

    return NGX_OK;
}


/* NULL while Redis is down, too: redis->reason is set already then. */

static ngx_gw_redis_command_t *
ngx_gw_redis_command_get(ngx_gw_redis_t *redis)
{
    ngx_queue_t             *q;
    ngx_gw_redis_command_t  *command;

    if (redis->state != NGX_GW_REDIS_UP) {
        return NULL;
    }

    if (!ngx_queue_empty(&redis->spare)) {
        q = ngx_queue_head(&redis->spare);
        ngx_queue_remove(q);
        return ngx_queue_data(q, ngx_gw_redis_command_t, queue);
    }

    command = ngx_alloc(sizeof(ngx_gw_redis_command_t), redis->log);

    if (command == NULL) {
        (void) ngx_cpystrn((u_char *) redis->reason,
                           (u_char *) "out of memory",
                           sizeof(redis->reason));
        return NULL;
    }

    command->redis = redis;

    return command;
}


static void
ngx_gw_redis_answered(redisAsyncContext *ac, void *reply, void *data)
{
    void                    *user;
    redisReply              *answer = reply;
    ngx_gw_redis_t          *redis;
    ngx_gw_redis_reply_pt    callback;
    ngx_gw_redis_command_t  *command = data;

    (void) ac;

    redis = command->redis;
    callback = command->callback;
    user = command->data;

    redis->nsent--;
    redis->nholding -= !command->background;

    ngx_queue_remove(&command->queue);
    ngx_queue_insert_head(&redis->spare, &command->queue);

    redis->extended = 0;
    ngx_gw_redis_set_deadline(redis);

    if (answer == NULL) {
        ngx_gw_redis_no_answer(redis);
    }

    if (callback != NULL) {
        callback(redis, answer, user);
    }

    /*
     * It goes on answering, although its address, or what Sentinel says,
     * leads to another one by now.
     */

    if (answer != NULL && ngx_gw_redis_is_demoted(answer)) {
        ngx_gw_redis_link_close(&redis->link, NGX_GW_REDIS_DEMOTED);
    }

    if (redis->link.leaving && redis->nholding == 0) {
        ngx_gw_redis_close(redis);
    }
}


static void
ngx_gw_redis_no_answer(ngx_gw_redis_t *redis)
{
    u_char  *p;

    p = ngx_snprintf((u_char *) redis->reason, sizeof(redis->reason) - 1,
                     "%s, the outcome is unknown",
                     ngx_gw_redis_link_reason(&redis->link));
    *p = '\0';
}


ngx_uint_t
ngx_gw_redis_is_demoted(redisReply *reply)
{
    char  reason[NGX_GW_REDIS_REASON];

    if (reply->type != REDIS_REPLY_ERROR) {
        return 0;
    }

    gw_redis_reason(reason, sizeof(reason), reply->str, reply->len);

    return gw_redis_reason_is(reason, "READONLY")
           || gw_redis_reason_is(reason, "UNBLOCKED");
}


/*
 * The first command sent is the next to be answered: when and at what length
 * at the latest.  Only those that somebody waits for keep an exiting worker
 * alive.
 */

static void
ngx_gw_redis_set_deadline(ngx_gw_redis_t *redis)
{
    ngx_msec_int_t           left;
    ngx_gw_redis_command_t  *command;

    redis->deadline.cancelable = (redis->nholding == 0);
    redis->link.bound.most = NGX_GW_REDIS_REPLY;

    if (ngx_queue_empty(&redis->sent)) {

        if (redis->deadline.timer_set) {
            ngx_del_timer(&redis->deadline);
        }

        return;
    }

    command = ngx_queue_data(ngx_queue_head(&redis->sent),
                             ngx_gw_redis_command_t, queue);

    redis->link.bound.most = command->most;

    left = (ngx_msec_int_t) (command->deadline - ngx_current_msec);

    ngx_add_timer(&redis->deadline, (left > 0) ? (ngx_msec_t) left : 1);
}


/*
 * A worker that was busy is late for its timers, and perhaps for a reply that
 * has been there in time: once, it gets the time again that it was late.
 */

static void
ngx_gw_redis_expired(ngx_event_t *ev)
{
    ngx_msec_int_t           late;
    ngx_gw_redis_t          *redis = ev->data;
    ngx_gw_redis_command_t  *command;

    if (ngx_queue_empty(&redis->sent)) {
        return;
    }

    command = ngx_queue_data(ngx_queue_head(&redis->sent),
                             ngx_gw_redis_command_t, queue);

    late = (ngx_msec_int_t) (ngx_current_msec - command->deadline);

    if (late > NGX_GW_REDIS_LAG && !redis->extended) {
        redis->extended = 1;
        command->deadline = ngx_current_msec
                            + ngx_min((ngx_msec_t) late,
                                      redis->conf->timeout);
        late = -1;
    }

    /* nginx does not move a timer that is to be a little later */

    if (late < 0) {
        ngx_gw_redis_set_deadline(redis);
        return;
    }

    ngx_gw_redis_link_close(&redis->link, "timed out");
}
