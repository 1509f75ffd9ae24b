
/*
 * Sentinel: who is the master?  Each is asked in turn; the one that knew is
 * asked again every second, so that a switch is followed even if the old
 * master still answers.
 */


#include "src/redis/ngx_gw_redis.h"


#define NGX_GW_REDIS_WATCH  1000        /* ms between questions while up */


static void ngx_gw_redis_sentinel_question(ngx_gw_redis_t *redis);
static void ngx_gw_redis_sentinel_answer(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_gw_redis_sentinel_known(ngx_gw_redis_t *redis,
    ngx_sockaddr_t *sockaddr, socklen_t socklen);
static void ngx_gw_redis_sentinel_next(ngx_gw_redis_t *redis);
static void ngx_gw_redis_sentinel_on_close(ngx_gw_redis_link_t *link);
static void ngx_gw_redis_sentinel_timer(ngx_event_t *ev);


void
ngx_gw_redis_sentinel_init(ngx_gw_redis_t *redis)
{
    redis->sentinel.log = redis->log;
    redis->sentinel.data = redis;
    redis->sentinel.on_close = ngx_gw_redis_sentinel_on_close;

    redis->watch.handler = ngx_gw_redis_sentinel_timer;
    redis->watch.data = redis;
    redis->watch.log = redis->log;
    redis->watch.cancelable = 1;
}


void
ngx_gw_redis_sentinel_done(ngx_gw_redis_t *redis)
{
    redis->asking = 0;

    if (redis->watch.timer_set) {
        ngx_del_timer(&redis->watch);
    }

    ngx_gw_redis_link_close(&redis->sentinel, "closed");
}


/* Begins a round of questions. */

void
ngx_gw_redis_sentinel_ask(ngx_gw_redis_t *redis)
{
    redis->asked = 0;

    ngx_gw_redis_sentinel_question(redis);
}


void
ngx_gw_redis_sentinel_watch(ngx_gw_redis_t *redis)
{
    if (!redis->asking) {
        ngx_add_timer(&redis->watch, NGX_GW_REDIS_WATCH);
    }
}


static void
ngx_gw_redis_sentinel_question(ngx_gw_redis_t *redis)
{
    size_t                argvlen[3];
    ngx_addr_t           *addr;
    const char           *argv[3];
    ngx_sockaddr_t        sockaddr;
    ngx_gw_redis_conf_t  *conf;

    conf = redis->conf;
    redis->asking = 1;

    if (redis->sentinel.ac == NULL) {
        addr = &conf->addrs[redis->current];
        ngx_memcpy(&sockaddr, addr->sockaddr, addr->socklen);

        if (ngx_gw_redis_link_open(&redis->sentinel, &sockaddr,
                                   addr->socklen)
            != NGX_OK)
        {
            ngx_gw_redis_sentinel_next(redis);
            return;
        }
    }

    argv[0] = "SENTINEL";
    argvlen[0] = 8;
    argv[1] = "get-master-addr-by-name";
    argvlen[1] = 23;
    argv[2] = (char *) conf->master.data;
    argvlen[2] = conf->master.len;

    ngx_add_timer(&redis->watch, conf->timeout);

    if (ngx_gw_redis_link_send(&redis->sentinel, ngx_gw_redis_sentinel_answer,
                               redis, 3, argv, argvlen)
        != NGX_OK)
    {
        ngx_gw_redis_link_close(&redis->sentinel, "out of memory");
    }
}


static void
ngx_gw_redis_sentinel_answer(redisAsyncContext *ac, void *reply, void *data)
{
    char             reason[NGX_GW_REDIS_REASON];
    socklen_t        socklen;
    redisReply      *answer = reply;
    ngx_gw_redis_t  *redis = data;
    ngx_sockaddr_t   sockaddr;

    (void) ac;

    /* on_close sees to it if there was no answer */

    if (answer == NULL || !redis->asking) {
        return;
    }

    if (answer->type == REDIS_REPLY_ERROR) {
        ngx_gw_redis_told(redis->conf, answer, reason);
        ngx_gw_redis_link_close(&redis->sentinel, reason);
        return;
    }

    if (ngx_gw_redis_sentinel_parse(answer, redis->log, &sockaddr, &socklen)
        != NGX_OK)
    {
        ngx_gw_redis_link_close(&redis->sentinel,
                                (answer->type == REDIS_REPLY_NIL)
                                ? "Sentinel does not know the master"
                                : "Sentinel did not answer with a numeric "
                                  "address");
        return;
    }

    redis->asking = 0;
    ngx_del_timer(&redis->watch);

    ngx_gw_redis_sentinel_known(redis, &sockaddr, socklen);
}


/* The answer is an array of address and port, both strings. */

ngx_int_t
ngx_gw_redis_sentinel_parse(redisReply *reply, ngx_log_t *log,
    ngx_sockaddr_t *sockaddr, socklen_t *socklen)
{
    u_char       text[NGX_SOCKADDR_STRLEN];
    ngx_int_t    port;
    ngx_pool_t  *pool;
    ngx_addr_t   addr;
    redisReply  *host, *number;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        return NGX_ERROR;
    }

    host = reply->element[0];
    number = reply->element[1];

    if (host->type != REDIS_REPLY_STRING
        || number->type != REDIS_REPLY_STRING
        || host->len >= sizeof(text))
    {
        return NGX_ERROR;
    }

    port = ngx_atoi((u_char *) number->str, number->len);

    if (port < 1 || port > 65535) {
        return NGX_ERROR;
    }

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE, log);

    if (pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_parse_addr(pool, &addr, (u_char *) host->str, host->len)
        != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    ngx_memzero(sockaddr, sizeof(ngx_sockaddr_t));
    ngx_memcpy(sockaddr, addr.sockaddr, addr.socklen);
    *socklen = addr.socklen;

    ngx_destroy_pool(pool);

    ngx_inet_set_port(&sockaddr->sockaddr, (in_port_t) port);

    return NGX_OK;
}


static void
ngx_gw_redis_sentinel_known(ngx_gw_redis_t *redis, ngx_sockaddr_t *sockaddr,
    socklen_t socklen)
{
    ngx_uint_t  same;

    same = redis->master_len == socklen
           && ngx_cmp_sockaddr(&redis->master.sockaddr, redis->master_len,
                               &sockaddr->sockaddr, socklen, 1)
              == NGX_OK;

    redis->master = *sockaddr;
    redis->master_len = socklen;

    if (redis->state == NGX_GW_REDIS_ASKING) {
        ngx_gw_redis_connect(redis, sockaddr, socklen);
        return;
    }

    ngx_gw_redis_sentinel_watch(redis);

    if (!same) {
        ngx_gw_redis_link_close(&redis->link, "Sentinel has another master");
    }
}


/*
 * This one did not answer.  In an attempt all are asked before it counts as
 * vain; while Redis is up there is no hurry.
 */

static void
ngx_gw_redis_sentinel_next(ngx_gw_redis_t *redis)
{
    redis->asking = 0;
    redis->current = (redis->current + 1) % redis->conf->naddrs;

    if (redis->watch.timer_set) {
        ngx_del_timer(&redis->watch);
    }

    if (redis->state != NGX_GW_REDIS_ASKING) {
        ngx_gw_redis_sentinel_watch(redis);
        return;
    }

    if (++redis->asked < redis->conf->naddrs) {
        ngx_gw_redis_sentinel_question(redis);
        return;
    }

    ngx_gw_redis_failed(redis, redis->sentinel.reason);
}


static void
ngx_gw_redis_sentinel_on_close(ngx_gw_redis_link_t *link)
{
    ngx_gw_redis_t  *redis = link->data;

    /* an idle connection was closed: there is a new one with the next */

    if (redis->asking && !ngx_exiting) {
        ngx_gw_redis_sentinel_next(redis);
    }
}


static void
ngx_gw_redis_sentinel_timer(ngx_event_t *ev)
{
    ngx_gw_redis_t  *redis = ev->data;

    if (redis->asking) {
        ngx_gw_redis_link_close(&redis->sentinel, "Sentinel timed out");
        return;
    }

    if (redis->state == NGX_GW_REDIS_UP) {
        ngx_gw_redis_sentinel_question(redis);
    }
}
