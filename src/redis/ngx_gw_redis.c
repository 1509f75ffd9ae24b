
/*
 * The life of a connection to Redis: attempts, loss and backoff, and which
 * server a slot is at.
 *
 *   CLOSED -> WAITING -> [ASKING ->] GREETING -> UP
 *                ^            |          |       |
 *                +------------+----------+-------+
 *
 * Without a cluster there is one slot in use, 0, for all commands.  A cluster
 * stays up while one of its nodes is; for the others attempts go on.
 */


#include "src/redis/ngx_gw_redis.h"


#define NGX_GW_REDIS_DELAY_MIN  100     /* ms, between attempts */
#define NGX_GW_REDIS_DELAY_MAX  1600
#define NGX_GW_REDIS_STEADY     5000    /* ms up, to begin from MIN again */

/* ms between questions while up */
#define NGX_GW_REDIS_WATCH      1000    /* to a Sentinel */
#define NGX_GW_REDIS_RENEW      60000   /* to a cluster */


static ngx_int_t ngx_gw_redis_create_seek(ngx_gw_redis_t *redis);
static ngx_gw_redis_use_t *ngx_gw_redis_find(ngx_gw_redis_t *redis,
    ngx_uint_t slot);
static ngx_int_t ngx_gw_redis_add(ngx_gw_redis_t *redis, ngx_uint_t slot);

static void ngx_gw_redis_attempt(ngx_gw_redis_t *redis);
static void ngx_gw_redis_open(ngx_gw_redis_t *redis);
static void ngx_gw_redis_review(ngx_gw_redis_t *redis, const char *reason);
static void ngx_gw_redis_failed(ngx_gw_redis_t *redis, const char *reason);
static void ngx_gw_redis_retry(ngx_gw_redis_t *redis);
static void ngx_gw_redis_timeout(ngx_event_t *ev);

static ngx_gw_redis_server_t *ngx_gw_redis_server(ngx_gw_redis_t *redis,
    ngx_gw_redis_host_t *host);
static ngx_uint_t ngx_gw_redis_is_used(ngx_gw_redis_t *redis,
    ngx_gw_redis_server_t *server);
static void ngx_gw_redis_ready(ngx_gw_redis_server_t *server);
static void ngx_gw_redis_down(ngx_gw_redis_server_t *server);
static void ngx_gw_redis_leave(ngx_gw_redis_server_t *server);

static void ngx_gw_redis_known(ngx_gw_redis_seek_t *seek, redisReply *reply);
static void ngx_gw_redis_vain(ngx_gw_redis_seek_t *seek, const char *reason);
static void ngx_gw_redis_tidy(ngx_gw_redis_t *redis);

static ngx_gw_redis_server_t *ngx_gw_redis_route(ngx_gw_redis_t *redis,
    ngx_int_t slot);
static ngx_gw_redis_server_t *ngx_gw_redis_moved(ngx_gw_redis_t *redis,
    gw_redis_redirect_t kind, ngx_uint_t slot, const gw_redis_node_t *node,
    ngx_gw_redis_server_t *from);
static void ngx_gw_redis_answered(ngx_gw_redis_t *redis);
static ngx_int_t ngx_gw_redis_submit(ngx_gw_redis_t *redis,
    ngx_gw_redis_ask_t *ask, ngx_uint_t argc, const char **argv,
    const size_t *argvlen);


ngx_gw_redis_t *
ngx_gw_redis_create(ngx_pool_t *pool, ngx_gw_redis_conf_t *conf,
    ngx_log_t *log)
{
    ngx_gw_redis_t  *redis;

    redis = ngx_pcalloc(pool, sizeof(ngx_gw_redis_t));

    if (redis == NULL
        || ngx_array_init(&redis->uses, pool, 1, sizeof(ngx_gw_redis_use_t))
           != NGX_OK)
    {
        return NULL;
    }

    redis->conf = conf;
    redis->pool = pool;
    redis->log = log;

    ngx_queue_init(&redis->servers);

    redis->commands.redis = redis;
    redis->commands.conf = conf;
    redis->commands.log = log;
    redis->commands.reason = redis->reason;
    redis->commands.route = ngx_gw_redis_route;
    redis->commands.moved = ngx_gw_redis_moved;
    redis->commands.answered = ngx_gw_redis_answered;

    ngx_gw_redis_commands_init(&redis->commands);

    redis->timer.handler = ngx_gw_redis_timeout;
    redis->timer.data = redis;
    redis->timer.log = log;
    redis->timer.cancelable = 1;

    ngx_gw_redis_reason(redis->reason, "not connected yet");

    return ngx_gw_redis_create_seek(redis) == NGX_OK ? redis : NULL;
}


static ngx_int_t
ngx_gw_redis_create_seek(ngx_gw_redis_t *redis)
{
    ngx_gw_redis_use_t  *use;

    if (redis->conf->kind != GW_REDIS_CLUSTER
        && ngx_gw_redis_add(redis, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (redis->conf->kind == GW_REDIS_TCP
        || redis->conf->kind == GW_REDIS_UNIX)
    {
        use = redis->uses.elts;
        use->server = ngx_gw_redis_server(redis, redis->conf->hosts);

        return use->server ? NGX_OK : NGX_ERROR;
    }

    redis->seek = ngx_pcalloc(redis->pool, sizeof(ngx_gw_redis_seek_t));

    if (redis->seek == NULL) {
        return NGX_ERROR;
    }

    ngx_gw_redis_seek_init(redis->seek, redis->conf, redis->log);

    redis->seek->data = redis;
    redis->seek->on_known = ngx_gw_redis_known;
    redis->seek->on_vain = ngx_gw_redis_vain;

    return NGX_OK;
}


ngx_int_t
ngx_gw_redis_use(ngx_gw_redis_t *redis, ngx_str_t *key)
{
    if (redis->conf->kind != GW_REDIS_CLUSTER) {
        return NGX_OK;
    }

    return ngx_gw_redis_add(redis,
                            gw_redis_slot((char *) key->data, key->len));
}


/* They are in order of their slots. */

static ngx_int_t
ngx_gw_redis_add(ngx_gw_redis_t *redis, ngx_uint_t slot)
{
    ngx_gw_redis_use_t  *use, *first;

    if (ngx_gw_redis_find(redis, slot) != NULL) {
        return NGX_OK;
    }

    use = ngx_array_push(&redis->uses);

    if (use == NULL) {
        return NGX_ERROR;
    }

    first = redis->uses.elts;

    for ( /* void */ ; use > first && use[-1].slot > slot; use--) {
        *use = use[-1];
    }

    use->slot = slot;
    use->server = NULL;

    return NGX_OK;
}


static ngx_gw_redis_use_t *
ngx_gw_redis_find(ngx_gw_redis_t *redis, ngx_uint_t slot)
{
    ngx_uint_t           low, high, middle;
    ngx_gw_redis_use_t  *use;

    use = redis->uses.elts;
    low = 0;
    high = redis->uses.nelts;

    while (low < high) {
        middle = (low + high) / 2;

        if (use[middle].slot == slot) {
            return &use[middle];
        }

        if (use[middle].slot < slot) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return NULL;
}


const char *
ngx_gw_redis_lacks(ngx_gw_redis_t *redis, ngx_str_t *key)
{
    ngx_gw_redis_use_t  *use;

    if (redis->conf->kind != GW_REDIS_CLUSTER
        || redis->state != NGX_GW_REDIS_UP)
    {
        return NULL;
    }

    use = ngx_gw_redis_find(redis, gw_redis_slot((char *) key->data,
                                                 key->len));

    if (use == NULL || use->server == NULL) {
        return "nobody serves the key's slot";
    }

    /* one that is being connected for the first time is not away yet */

    return (use->server->state != NGX_GW_REDIS_READY
            && use->server->reason[0] != '\0')
           ? use->server->reason : NULL;
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
    ngx_queue_t  *q;

    redis->state = NGX_GW_REDIS_CLOSED;

    ngx_gw_redis_reason(redis->reason, "closed");

    if (redis->timer.timer_set) {
        ngx_del_timer(&redis->timer);
    }

    if (redis->seek != NULL) {
        ngx_gw_redis_seek_close(redis->seek);
    }

    for (q = ngx_queue_head(&redis->servers);
         q != ngx_queue_sentinel(&redis->servers);
         q = ngx_queue_next(q))
    {
        ngx_gw_redis_server_close(ngx_queue_data(q, ngx_gw_redis_server_t,
                                                 queue), "closed");
    }

    ngx_gw_redis_commands_close(&redis->commands);
}


void
ngx_gw_redis_reconnect(ngx_gw_redis_t *redis, const char *reason)
{
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&redis->servers);
         q != ngx_queue_sentinel(&redis->servers);
         q = ngx_queue_next(q))
    {
        ngx_gw_redis_server_close(ngx_queue_data(q, ngx_gw_redis_server_t,
                                                 queue), reason);
    }
}


static void
ngx_gw_redis_attempt(ngx_gw_redis_t *redis)
{
    if (redis->state != NGX_GW_REDIS_UP) {
        redis->state = NGX_GW_REDIS_ASKING;
    }

    if (redis->seek != NULL) {
        ngx_gw_redis_seek_now(redis->seek);
        return;
    }

    ngx_gw_redis_open(redis);
}


static void
ngx_gw_redis_open(ngx_gw_redis_t *redis)
{
    ngx_uint_t           i;
    ngx_gw_redis_use_t  *use;

    if (redis->state == NGX_GW_REDIS_ASKING) {
        redis->state = NGX_GW_REDIS_GREETING;
    }

    /* what fails at once is seen to when all have been tried */

    redis->opening = 1;
    use = redis->uses.elts;

    for (i = 0; i < redis->uses.nelts; i++) {
        if (use[i].server != NULL) {
            ngx_gw_redis_server_open(use[i].server);
        }
    }

    redis->opening = 0;

    ngx_gw_redis_review(redis, NULL);
}


/* What the state of the servers means; reason: of the last loss, if known. */

static void
ngx_gw_redis_review(ngx_gw_redis_t *redis, const char *reason)
{
    ngx_uint_t           i, ready, trying;
    ngx_gw_redis_use_t  *use;

    if (redis->state == NGX_GW_REDIS_CLOSED || redis->opening) {
        return;
    }

    ready = 0;
    trying = 0;
    use = redis->uses.elts;

    for (i = 0; i < redis->uses.nelts; i++) {

        if (use[i].server == NULL) {
            continue;
        }

        if (use[i].server->state == NGX_GW_REDIS_READY) {
            ready++;

        } else if (use[i].server->state != NGX_GW_REDIS_DOWN) {
            trying++;

        } else if (reason == NULL) {
            reason = use[i].server->reason;
        }
    }

    if (ready + trying == redis->uses.nelts) {
        return;
    }

    if (ready > 0) {
        ngx_gw_redis_retry(redis);

    } else if (trying == 0) {
        ngx_gw_redis_failed(redis, reason ? reason
                                   : "nobody serves the slots in use");
    }
}


/* Where every loss and every vain attempt ends: the next one is set up. */

static void
ngx_gw_redis_failed(ngx_gw_redis_t *redis, const char *reason)
{
    ngx_uint_t  level, was_up;

    if (redis->state == NGX_GW_REDIS_WAITING) {
        return;
    }

    was_up = (redis->state == NGX_GW_REDIS_UP);

    redis->state = NGX_GW_REDIS_WAITING;

    ngx_gw_redis_reason(redis->reason, reason);

    if (!redis->lost) {
        redis->lost = 1;
        level = redis->quiet ? NGX_LOG_INFO : NGX_LOG_ERR;
        ngx_log_error(level, redis->log, 0, "redis %V is unreachable: %s",
                      &redis->conf->name, redis->reason);
    }

    ngx_gw_redis_retry(redis);

    if (was_up && redis->on_down != NULL) {
        redis->on_down(redis);
    }
}


/* In 100 ms, 200, ... 1.6 s, of which the second half is random. */

static void
ngx_gw_redis_retry(ngx_gw_redis_t *redis)
{
    ngx_uint_t  i;
    ngx_msec_t  delay;

    if (redis->timer.timer_set) {
        return;
    }

    delay = NGX_GW_REDIS_DELAY_MIN;

    for (i = 0; i < redis->attempt && delay < NGX_GW_REDIS_DELAY_MAX; i++) {
        delay *= 2;
    }

    redis->attempt++;

    ngx_add_timer(&redis->timer,
                  delay / 2 + (ngx_msec_t) ngx_random() % (delay / 2 + 1));
}


static void
ngx_gw_redis_timeout(ngx_event_t *ev)
{
    ngx_gw_redis_t  *redis = ev->data;

    if (ngx_exiting) {
        ngx_gw_redis_close(redis);
        return;
    }

    ngx_gw_redis_attempt(redis);
}


/* The server of that name, a new one if need be; NULL: no memory. */

static ngx_gw_redis_server_t *
ngx_gw_redis_server(ngx_gw_redis_t *redis, ngx_gw_redis_host_t *host)
{
    ngx_queue_t            *q;
    ngx_gw_redis_server_t  *server, *unused;

    unused = NULL;

    for (q = ngx_queue_head(&redis->servers);
         q != ngx_queue_sentinel(&redis->servers);
         q = ngx_queue_next(q))
    {
        server = ngx_queue_data(q, ngx_gw_redis_server_t, queue);

        if (server->host.port == host->port
            && ngx_strcasecmp((u_char *) server->host.name,
                              (u_char *) host->name)
               == 0)
        {
            return server;
        }

        if (server->state == NGX_GW_REDIS_DOWN
            && !ngx_gw_redis_is_used(redis, server)
            && !ngx_gw_redis_commands_at(&redis->commands, server))
        {
            unused = server;
        }
    }

    server = unused;

    if (server == NULL) {
        server = ngx_pcalloc(redis->pool, sizeof(ngx_gw_redis_server_t));

        if (server == NULL) {
            return NULL;
        }

        ngx_gw_redis_server_init(server, redis->conf, NGX_GW_REDIS_SERVER,
                                 redis->log);

        server->data = redis;
        server->on_ready = ngx_gw_redis_ready;
        server->on_down = ngx_gw_redis_down;
        server->on_leave = ngx_gw_redis_leave;

        ngx_queue_insert_tail(&redis->servers, &server->queue);
    }

    server->host = *host;

    return server;
}


static ngx_uint_t
ngx_gw_redis_is_used(ngx_gw_redis_t *redis, ngx_gw_redis_server_t *server)
{
    ngx_uint_t           i;
    ngx_gw_redis_use_t  *use;

    use = redis->uses.elts;

    for (i = 0; i < redis->uses.nelts; i++) {
        if (use[i].server == server) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_gw_redis_ready(ngx_gw_redis_server_t *server)
{
    ngx_uint_t       level;
    ngx_gw_redis_t  *redis;

    redis = server->data;

    if (redis->state != NGX_GW_REDIS_UP
        && ngx_gw_redis_is_used(redis, server))
    {
        redis->state = NGX_GW_REDIS_UP;

        if (redis->lost) {
            redis->lost = 0;
            level = redis->quiet ? NGX_LOG_INFO : NGX_LOG_NOTICE;
            ngx_log_error(level, redis->log, 0,
                          "redis %V is reachable again", &redis->conf->name);
        }

        if (redis->seek != NULL) {
            ngx_gw_redis_seek_later(redis->seek,
                                    redis->conf->kind == GW_REDIS_SENTINEL
                                    ? NGX_GW_REDIS_WATCH
                                    : NGX_GW_REDIS_RENEW);
        }

        if (redis->on_up != NULL) {
            redis->on_up(redis);
        }
    }

    ngx_gw_redis_commands_resume(&redis->commands);
}


static void
ngx_gw_redis_down(ngx_gw_redis_server_t *server)
{
    ngx_gw_redis_t  *redis;

    redis = server->data;

    if (redis->state == NGX_GW_REDIS_CLOSED) {
        ngx_gw_redis_commands_close(&redis->commands);
        return;
    }

    if (server->since != 0
        && ngx_current_msec - server->since >= NGX_GW_REDIS_STEADY)
    {
        redis->attempt = 0;
    }

    server->since = 0;

    ngx_gw_redis_commands_resume(&redis->commands);

    if (ngx_gw_redis_is_used(redis, server)) {
        ngx_gw_redis_review(redis, server->reason);
    }
}


/* What is under way is waited for. */

static void
ngx_gw_redis_leave(ngx_gw_redis_server_t *server)
{
    ngx_gw_redis_t  *redis;

    redis = server->data;

    if (!redis->leaving) {
        redis->leaving = 1;

        if (redis->on_leave != NULL && redis->state == NGX_GW_REDIS_UP) {
            redis->on_leave(redis);
        }
    }

    ngx_gw_redis_answered(redis);
}


static void
ngx_gw_redis_answered(ngx_gw_redis_t *redis)
{
    if (redis->leaving && redis->commands.nholding == 0
        && redis->state != NGX_GW_REDIS_CLOSED)
    {
        ngx_gw_redis_close(redis);
    }
}


static void
ngx_gw_redis_known(ngx_gw_redis_seek_t *seek, redisReply *reply)
{
    ngx_uint_t              i;
    ngx_gw_redis_t         *redis;
    ngx_gw_redis_use_t     *use;
    ngx_gw_redis_host_t     host;
    ngx_gw_redis_server_t  *server;

    redis = seek->data;
    use = redis->uses.elts;

    for (i = 0; i < redis->uses.nelts; i++) {

        if (ngx_gw_redis_seek_find(seek, reply, use[i].slot, &host)
            != NGX_OK)
        {
            continue;
        }

        server = ngx_gw_redis_server(redis, &host);

        if (server == NULL || server == use[i].server) {
            continue;
        }

        if (redis->state == NGX_GW_REDIS_UP && use[i].server != NULL
            && seek->conf->kind == GW_REDIS_SENTINEL)
        {
            ngx_gw_redis_server_close(use[i].server,
                                      "Sentinel has another master");
        }

        use[i].server = server;
    }

    ngx_gw_redis_tidy(redis);

    if (redis->state != NGX_GW_REDIS_WAITING) {
        ngx_gw_redis_open(redis);
    }
}


static void
ngx_gw_redis_vain(ngx_gw_redis_seek_t *seek, const char *reason)
{
    ngx_gw_redis_t  *redis;

    redis = seek->data;

    if (redis->state == NGX_GW_REDIS_UP) {
        ngx_gw_redis_retry(redis);
        return;
    }

    ngx_gw_redis_failed(redis, reason);
}


/* Nodes that serve nothing in use any more. */

static void
ngx_gw_redis_tidy(ngx_gw_redis_t *redis)
{
    ngx_queue_t            *q;
    ngx_gw_redis_server_t  *server;

    for (q = ngx_queue_head(&redis->servers);
         q != ngx_queue_sentinel(&redis->servers);
         q = ngx_queue_next(q))
    {
        server = ngx_queue_data(q, ngx_gw_redis_server_t, queue);

        if (server->state != NGX_GW_REDIS_DOWN
            && !ngx_gw_redis_is_used(redis, server)
            && !ngx_gw_redis_commands_at(&redis->commands, server))
        {
            ngx_gw_redis_server_close(server, "no longer needed");
        }
    }
}


static ngx_gw_redis_server_t *
ngx_gw_redis_route(ngx_gw_redis_t *redis, ngx_int_t slot)
{
    ngx_uint_t           i;
    ngx_gw_redis_use_t  *use;

    use = redis->uses.elts;

    if (redis->seek == NULL || redis->conf->kind == GW_REDIS_SENTINEL) {
        return use->server;
    }

    if (slot != -1) {
        use = ngx_gw_redis_find(redis, slot);

        if (use != NULL) {
            return use->server;
        }

        /* it is found out for the next command */

        if (ngx_gw_redis_add(redis, slot) == NGX_OK) {
            ngx_gw_redis_retry(redis);
        }

        return NULL;
    }

    for (i = 0; i < redis->uses.nelts; i++) {

        if (use[i].server != NULL
            && use[i].server->state == NGX_GW_REDIS_READY)
        {
            return use[i].server;
        }
    }

    return NULL;
}


static ngx_gw_redis_server_t *
ngx_gw_redis_moved(ngx_gw_redis_t *redis, gw_redis_redirect_t kind,
    ngx_uint_t slot, const gw_redis_node_t *node,
    ngx_gw_redis_server_t *from)
{
    ngx_gw_redis_use_t     *use;
    ngx_gw_redis_host_t     host;
    ngx_gw_redis_server_t  *server;

    ngx_memcpy(host.name, node->name[0] ? node->name : from->host.name,
               sizeof(host.name));
    host.port = node->port;

    server = ngx_gw_redis_server(redis, &host);

    if (server != NULL && kind == GW_REDIS_MOVED) {
        use = ngx_gw_redis_find(redis, slot);

        if (use != NULL) {
            use->server = server;
        }
    }

    return server;
}


ngx_int_t
ngx_gw_redis_command(ngx_gw_redis_t *redis, ngx_gw_redis_reply_pt callback,
    void *data, ngx_uint_t argc, const char **argv, const size_t *argvlen)
{
    return ngx_gw_redis_query(redis, callback, data, GW_REDIS_REPLY, argc,
                              argv, argvlen);
}


ngx_int_t
ngx_gw_redis_query(ngx_gw_redis_t *redis, ngx_gw_redis_reply_pt callback,
    void *data, size_t most, ngx_uint_t argc, const char **argv,
    const size_t *argvlen)
{
    ngx_gw_redis_ask_t  ask;

    ask.callback = callback;
    ask.data = data;
    ask.most = most;
    ask.timeout = redis->conf->timeout;
    ask.background = 0;

    return ngx_gw_redis_submit(redis, &ask, argc, argv, argvlen);
}


ngx_int_t
ngx_gw_redis_background(ngx_gw_redis_t *redis,
    ngx_gw_redis_reply_pt callback, void *data, size_t most,
    ngx_msec_t timeout, ngx_uint_t argc, const char **argv,
    const size_t *argvlen)
{
    ngx_gw_redis_ask_t  ask;

    ask.callback = callback;
    ask.data = data;
    ask.most = most;
    ask.timeout = timeout;
    ask.background = 1;

    return ngx_gw_redis_submit(redis, &ask, argc, argv, argvlen);
}


/* While it is down, redis->reason is set already. */

static ngx_int_t
ngx_gw_redis_submit(ngx_gw_redis_t *redis, ngx_gw_redis_ask_t *ask,
    ngx_uint_t argc, const char **argv, const size_t *argvlen)
{
    if (redis->state != NGX_GW_REDIS_UP) {
        return NGX_ERROR;
    }

    return ngx_gw_redis_commands_send(&redis->commands, ask, argc, argv,
                                      argvlen);
}


void
ngx_gw_redis_forget(ngx_gw_redis_t *redis, void *data)
{
    ngx_gw_redis_commands_forget(&redis->commands, data);
}
