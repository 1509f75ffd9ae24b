
/*
 * The life of a connection to Redis: attempts, greeting, loss and backoff.
 *
 *   CLOSED -> WAITING -> [ASKING ->] GREETING -> UP
 *                ^            |          |       |
 *                +------------+----------+-------+
 */


#include "src/redis/ngx_gw_redis.h"
#include "src/core/text/gw_redis_reason.h"


#define NGX_GW_REDIS_DELAY_MIN  100     /* ms, between attempts */
#define NGX_GW_REDIS_DELAY_MAX  3200
#define NGX_GW_REDIS_STEADY     5000    /* ms up, to begin from MIN again */


static void ngx_gw_redis_attempt(ngx_gw_redis_t *redis);
static void ngx_gw_redis_timeout(ngx_event_t *ev);
static ngx_msec_t ngx_gw_redis_delay(ngx_uint_t attempt);

static ngx_int_t ngx_gw_redis_greet(ngx_gw_redis_t *redis);
static ngx_int_t ngx_gw_redis_greet_send(ngx_gw_redis_t *redis,
    redisCallbackFn *fn, int argc, const char **argv, const size_t *argvlen);
static void ngx_gw_redis_admitted(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_gw_redis_greeted(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_gw_redis_role(redisAsyncContext *ac, void *reply, void *data);
static void ngx_gw_redis_greeting_done(ngx_gw_redis_t *redis);

static void ngx_gw_redis_on_close(ngx_gw_redis_link_t *link);
static void ngx_gw_redis_on_leave(ngx_gw_redis_link_t *link);


ngx_gw_redis_t *
ngx_gw_redis_create(ngx_pool_t *pool, ngx_gw_redis_conf_t *conf,
    ngx_log_t *log)
{
    ngx_gw_redis_t  *redis;

    redis = ngx_pcalloc(pool, sizeof(ngx_gw_redis_t));

    if (redis == NULL) {
        return NULL;
    }

    redis->conf = conf;
    redis->log = log;

    redis->link.log = log;
    redis->link.data = redis;
    redis->link.on_close = ngx_gw_redis_on_close;
    redis->link.on_leave = ngx_gw_redis_on_leave;

    redis->timer.handler = ngx_gw_redis_timeout;
    redis->timer.data = redis;
    redis->timer.log = log;
    redis->timer.cancelable = 1;

    ngx_gw_redis_command_init(redis);
    ngx_gw_redis_sentinel_init(redis);

    (void) ngx_cpystrn((u_char *) redis->reason,
                       (u_char *) "not connected yet",
                       sizeof(redis->reason));

    return redis;
}


void
ngx_gw_redis_start(ngx_gw_redis_t *redis)
{
    if (redis->state == NGX_GW_REDIS_CLOSED) {
        ngx_gw_redis_attempt(redis);
    }
}


void
ngx_gw_redis_close(ngx_gw_redis_t *redis)
{
    redis->state = NGX_GW_REDIS_CLOSED;

    (void) ngx_cpystrn((u_char *) redis->reason, (u_char *) "closed",
                       sizeof(redis->reason));

    if (redis->timer.timer_set) {
        ngx_del_timer(&redis->timer);
    }

    ngx_gw_redis_resolve_done(redis);
    ngx_gw_redis_sentinel_done(redis);
    ngx_gw_redis_link_close(&redis->link, "closed");

    if (redis->link.ac == NULL) {
        ngx_gw_redis_command_done(redis);
    }
}


void
ngx_gw_redis_drain(ngx_gw_redis_t *redis, ngx_msec_t msec)
{
    ngx_msec_t      end;
    ngx_msec_int_t  left;

    ngx_time_update();

    end = ngx_current_msec + msec;

    while (redis->nsent > 0 && redis->link.ac != NULL) {
        left = (ngx_msec_int_t) (end - ngx_current_msec);

        if (left <= 0) {
            break;
        }

        ngx_gw_redis_link_poll(&redis->link, left);
        ngx_time_update();
    }
}


static void
ngx_gw_redis_attempt(ngx_gw_redis_t *redis)
{
    ngx_uint_t       n;
    ngx_addr_t      *addr;
    ngx_sockaddr_t   sockaddr;

    redis->state = NGX_GW_REDIS_ASKING;

    if (redis->conf->master.len) {
        ngx_gw_redis_sentinel_ask(redis);
        return;
    }

    n = redis->current;
    redis->current = (n + 1) % redis->conf->naddrs;

    if (ngx_gw_redis_resolve(redis, n) == NGX_OK) {
        return;
    }

    addr = &redis->conf->addrs[n];

    ngx_memcpy(&sockaddr, addr->sockaddr, addr->socklen);
    ngx_gw_redis_connect(redis, &sockaddr, addr->socklen);
}


void
ngx_gw_redis_connect(ngx_gw_redis_t *redis, ngx_sockaddr_t *sockaddr,
    socklen_t socklen)
{
    redis->state = NGX_GW_REDIS_GREETING;

    if (ngx_gw_redis_link_open(&redis->link, sockaddr, socklen) != NGX_OK) {
        ngx_gw_redis_failed(redis, redis->link.reason);
        return;
    }

    ngx_add_timer(&redis->timer, redis->conf->timeout);

    if (ngx_gw_redis_greet(redis) != NGX_OK) {
        ngx_gw_redis_link_close(&redis->link, "out of memory");
    }
}


/* Where every loss and every vain attempt ends: the next one is set up. */

void
ngx_gw_redis_failed(ngx_gw_redis_t *redis, const char *reason)
{
    ngx_uint_t  level, was_up;

    was_up = (redis->state == NGX_GW_REDIS_UP);

    redis->state = NGX_GW_REDIS_WAITING;

    (void) ngx_cpystrn((u_char *) redis->reason, (u_char *) reason,
                       sizeof(redis->reason));

    if (was_up
        && (ngx_msec_t) (ngx_current_msec - redis->up_since)
           >= NGX_GW_REDIS_STEADY)
    {
        redis->attempt = 0;
    }

    if (!redis->lost) {
        redis->lost = 1;
        level = redis->quiet ? NGX_LOG_INFO : NGX_LOG_ERR;
        ngx_log_error(level, redis->log, 0, "redis %V is unreachable: %s",
                      &redis->conf->name, reason);
    }

    ngx_add_timer(&redis->timer, ngx_gw_redis_delay(redis->attempt++));

    if (was_up && redis->on_down != NULL) {
        redis->on_down(redis);
    }
}


static void
ngx_gw_redis_timeout(ngx_event_t *ev)
{
    ngx_gw_redis_t  *redis = ev->data;

    if (ngx_exiting) {
        ngx_gw_redis_close(redis);
        return;
    }

    if (redis->state == NGX_GW_REDIS_WAITING) {
        ngx_gw_redis_attempt(redis);
        return;
    }

    ngx_gw_redis_link_close(&redis->link, "connection timed out");
}


/* 100 ms, 200, ... 3.2 s, of which the second half is random. */

static ngx_msec_t
ngx_gw_redis_delay(ngx_uint_t attempt)
{
    ngx_msec_t  delay;

    delay = NGX_GW_REDIS_DELAY_MIN;

    while (attempt-- > 0 && delay < NGX_GW_REDIS_DELAY_MAX) {
        delay *= 2;
    }

    return delay / 2 + (ngx_msec_t) ngx_random() % (delay / 2 + 1);
}


/*
 * Sends all that Redis has to be told first.  PING is there because it is
 * refused while Redis loads its data, or wants a password.
 */

static ngx_int_t
ngx_gw_redis_greet(ngx_gw_redis_t *redis)
{
    int                   argc;
    char                  db[NGX_INT_T_LEN + 1];
    size_t                argvlen[3];
    const char           *argv[3];
    ngx_gw_redis_conf_t  *conf;

    conf = redis->conf;
    redis->greetings = 0;

    if (conf->password.len) {
        argc = 0;
        argv[argc] = "AUTH";
        argvlen[argc++] = 4;

        if (conf->user.len) {
            argv[argc] = (char *) conf->user.data;
            argvlen[argc++] = conf->user.len;
        }

        argv[argc] = (char *) conf->password.data;
        argvlen[argc++] = conf->password.len;

        if (ngx_gw_redis_greet_send(redis, ngx_gw_redis_admitted, argc, argv,
                                    argvlen)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (conf->db) {
        argv[0] = "SELECT";
        argvlen[0] = 6;
        argv[1] = db;
        argvlen[1] = ngx_sprintf((u_char *) db, "%ui", conf->db)
                     - (u_char *) db;

        if (ngx_gw_redis_greet_send(redis, ngx_gw_redis_greeted, 2, argv,
                                    argvlen)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    argv[0] = "ROLE";
    argvlen[0] = 4;

    if (ngx_gw_redis_greet_send(redis, ngx_gw_redis_role, 1, argv, argvlen)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    argv[0] = "PING";

    return ngx_gw_redis_greet_send(redis, ngx_gw_redis_greeted, 1, argv,
                                   argvlen);
}


static ngx_int_t
ngx_gw_redis_greet_send(ngx_gw_redis_t *redis, redisCallbackFn *fn, int argc,
    const char **argv, const size_t *argvlen)
{
    redis->greetings++;

    return ngx_gw_redis_link_send(&redis->link, fn, redis, argc, argv,
                                  argvlen);
}


/* The reply to AUTH, which may repeat the password. */

static void
ngx_gw_redis_admitted(redisAsyncContext *ac, void *reply, void *data)
{
    redisReply      *answer = reply;
    ngx_gw_redis_t  *redis = data;

    if (answer != NULL && answer->type == REDIS_REPLY_ERROR) {
        ngx_gw_redis_link_close(&redis->link,
                           gw_redis_reason_auth(answer->str, answer->len));
        return;
    }

    ngx_gw_redis_greeted(ac, reply, data);
}


static void
ngx_gw_redis_greeted(redisAsyncContext *ac, void *reply, void *data)
{
    char             reason[NGX_GW_REDIS_REASON];
    const char      *expected;
    redisReply      *answer = reply;
    ngx_gw_redis_t  *redis = data;

    (void) ac;

    if (answer == NULL) {
        return;
    }

    /* PING is the last one */

    expected = (redis->greetings == 1) ? "PONG" : "OK";

    if (answer->type != REDIS_REPLY_STATUS
        || ngx_strcmp(answer->str, expected) != 0)
    {
        ngx_gw_redis_told(redis->conf, answer, reason);
        ngx_gw_redis_link_close(&redis->link, reason);
        return;
    }

    ngx_gw_redis_greeting_done(redis);
}


void
ngx_gw_redis_told(ngx_gw_redis_conf_t *conf, redisReply *reply, char *reason)
{
    if (reply->type != REDIS_REPLY_ERROR) {
        (void) ngx_cpystrn((u_char *) reason, (u_char *) "the reply makes no "
                           "sense", NGX_GW_REDIS_REASON);
        return;
    }

    gw_redis_reason(reason, NGX_GW_REDIS_REASON, reply->str, reply->len);
    gw_redis_reason_hide(reason, (char *) conf->password.data);
}


static void
ngx_gw_redis_role(redisAsyncContext *ac, void *reply, void *data)
{
    char             reason[NGX_GW_REDIS_REASON];
    ngx_gw_redis_t  *redis = data;

    (void) ac;

    if (reply == NULL) {
        return;
    }

    if (!ngx_gw_redis_is_master(reply, reason)) {
        ngx_gw_redis_link_close(&redis->link, reason);
        return;
    }

    ngx_gw_redis_greeting_done(redis);
}


ngx_uint_t
ngx_gw_redis_is_master(redisReply *reply, char *reason)
{
    u_char  *p;
    char     role[32];

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0
        || reply->element[0]->type != REDIS_REPLY_STRING
        || ngx_strcmp(reply->element[0]->str, "master") == 0)
    {
        return 1;
    }

    gw_redis_reason(role, sizeof(role), reply->element[0]->str,
                    reply->element[0]->len);

    p = ngx_snprintf((u_char *) reason, NGX_GW_REDIS_REASON - 1,
                     "%sits role is \"%s\", not \"master\"",
                     ngx_strcmp(role, "slave") == 0 ? "READONLY: " : "",
                     role);
    *p = '\0';

    return 0;
}


static void
ngx_gw_redis_greeting_done(ngx_gw_redis_t *redis)
{
    ngx_uint_t  level;

    /* a link that is about to close stays in GREETING until it has */

    if (--redis->greetings > 0 || redis->link.closing) {
        return;
    }

    if (redis->timer.timer_set) {
        ngx_del_timer(&redis->timer);
    }

    redis->state = NGX_GW_REDIS_UP;
    redis->up_since = ngx_current_msec;

    if (redis->lost) {
        redis->lost = 0;
        level = redis->quiet ? NGX_LOG_INFO : NGX_LOG_NOTICE;
        ngx_log_error(level, redis->log, 0, "redis %V is reachable again",
                      &redis->conf->name);
    }

    if (redis->conf->master.len) {
        ngx_gw_redis_sentinel_watch(redis);
    }

    if (redis->on_up != NULL) {
        redis->on_up(redis);
    }
}


static void
ngx_gw_redis_on_close(ngx_gw_redis_link_t *link)
{
    ngx_gw_redis_t  *redis = link->data;

    if (redis->state == NGX_GW_REDIS_CLOSED) {
        ngx_gw_redis_command_done(redis);
        return;
    }

    ngx_gw_redis_failed(redis, link->reason);
}


/* What is under way is waited for: see ngx_gw_redis_command.c */

static void
ngx_gw_redis_on_leave(ngx_gw_redis_link_t *link)
{
    ngx_gw_redis_t  *redis = link->data;

    if (redis->on_leave != NULL && redis->state == NGX_GW_REDIS_UP) {
        redis->on_leave(redis);
    }

    if (redis->nholding == 0) {
        ngx_gw_redis_close(redis);
    }
}
