
/*
 * Who is asked where a master is; see ngx_gw_redis_seek.h.
 *
 * The connection to a Sentinel stays, as it is asked again soon, so that a
 * switch is followed even if the old master still answers.  The nodes of a
 * cluster say by themselves when a slot has moved.
 */


#include "src/redis/ngx_gw_redis_seek.h"


static ngx_uint_t ngx_gw_redis_seek_hosts(ngx_gw_redis_seek_t *seek);
static void ngx_gw_redis_seek_ask(ngx_gw_redis_seek_t *seek);
static void ngx_gw_redis_seek_ready(ngx_gw_redis_server_t *server);
static void ngx_gw_redis_seek_answer(ngx_gw_redis_call_t *call,
    redisReply *reply);
static void ngx_gw_redis_seek_known(ngx_gw_redis_seek_t *seek,
    redisReply *reply);
static void ngx_gw_redis_seek_down(ngx_gw_redis_server_t *server);
static void ngx_gw_redis_seek_remember(ngx_gw_redis_seek_t *seek,
    ngx_gw_redis_host_t *host);
static void ngx_gw_redis_seek_timer(ngx_event_t *ev);


void
ngx_gw_redis_seek_init(ngx_gw_redis_seek_t *seek, ngx_gw_redis_conf_t *conf,
    ngx_log_t *log)
{
    seek->conf = conf;

    ngx_gw_redis_server_init(&seek->server, conf,
                             conf->kind == GW_REDIS_SENTINEL
                             ? NGX_GW_REDIS_SENTINEL : NGX_GW_REDIS_SEED,
                             log);

    seek->server.data = seek;
    seek->server.on_ready = ngx_gw_redis_seek_ready;
    seek->server.on_down = ngx_gw_redis_seek_down;

    seek->call.answer = ngx_gw_redis_seek_answer;
    seek->call.data = seek;
    seek->call.most = NGX_GW_REDIS_TOPOLOGY;
    seek->call.background = 1;

    seek->timer.handler = ngx_gw_redis_seek_timer;
    seek->timer.data = seek;
    seek->timer.log = log;
    seek->timer.cancelable = 1;
}


void
ngx_gw_redis_seek_now(ngx_gw_redis_seek_t *seek)
{
    seek->urgent = 1;
    seek->asked = 0;

    if (!seek->asking) {
        ngx_gw_redis_seek_ask(seek);
    }
}


void
ngx_gw_redis_seek_later(ngx_gw_redis_seek_t *seek, ngx_msec_t msec)
{
    seek->every = msec;

    if (!seek->asking) {
        ngx_add_timer(&seek->timer, msec);
    }
}


void
ngx_gw_redis_seek_close(ngx_gw_redis_seek_t *seek)
{
    seek->asking = 0;
    seek->urgent = 0;
    seek->every = 0;

    if (seek->timer.timer_set) {
        ngx_del_timer(&seek->timer);
    }

    ngx_gw_redis_server_close(&seek->server, "closed");
}


ngx_int_t
ngx_gw_redis_seek_find(ngx_gw_redis_seek_t *seek, redisReply *reply,
    ngx_uint_t slot, ngx_gw_redis_host_t *host)
{
    bool             found;
    gw_redis_node_t  node;

    if (seek->conf->kind == GW_REDIS_SENTINEL) {
        found = gw_redis_sentinel_find(reply, &node);

    } else if (seek->old) {
        found = gw_redis_slots_find(reply, slot, &node);

    } else {
        found = gw_redis_shards_find(reply, slot, seek->conf->tls != NULL,
                                     &node);
    }

    if (!found) {
        return NGX_DECLINED;
    }

    ngx_memcpy(host->name, node.name[0] ? node.name : seek->server.host.name,
               sizeof(host->name));
    host->port = node.port;

    if (seek->conf->kind == GW_REDIS_CLUSTER) {
        ngx_gw_redis_seek_remember(seek, host);
    }

    return NGX_OK;
}


/* The seeds may all be replaced while the cluster lives. */

static void
ngx_gw_redis_seek_remember(ngx_gw_redis_seek_t *seek,
    ngx_gw_redis_host_t *host)
{
    ngx_uint_t  i;

    for (i = 0; i < seek->nknown; i++) {

        if (seek->known[i].port == host->port
            && ngx_strcmp(seek->known[i].name, host->name) == 0)
        {
            return;
        }
    }

    if (seek->nknown < NGX_GW_REDIS_KNOWN) {
        seek->nknown++;

    } else {
        i = (seek->oldest++) % NGX_GW_REDIS_KNOWN;
    }

    seek->known[i] = *host;
}


static ngx_uint_t
ngx_gw_redis_seek_hosts(ngx_gw_redis_seek_t *seek)
{
    return seek->conf->nhosts + seek->nknown;
}


static void
ngx_gw_redis_seek_ask(ngx_gw_redis_seek_t *seek)
{
    ngx_uint_t  n;

    seek->asking = 1;

    if (seek->timer.timer_set) {
        ngx_del_timer(&seek->timer);
    }

    if (seek->server.state == NGX_GW_REDIS_READY) {
        ngx_gw_redis_seek_ready(&seek->server);
        return;
    }

    if (seek->server.state == NGX_GW_REDIS_DOWN) {
        n = seek->current % ngx_gw_redis_seek_hosts(seek);

        seek->server.host = n < seek->conf->nhosts
                            ? seek->conf->hosts[n]
                            : seek->known[n - seek->conf->nhosts];

        ngx_gw_redis_server_open(&seek->server);
    }
}


static void
ngx_gw_redis_seek_ready(ngx_gw_redis_server_t *server)
{
    int                   i, argc, len;
    char                 *bytes;
    size_t                argvlen[3];
    const char           *argv[3];
    ngx_gw_redis_seek_t  *seek;

    seek = server->data;

    if (seek->conf->kind == GW_REDIS_SENTINEL) {
        argv[0] = "SENTINEL";
        argv[1] = "get-master-addr-by-name";
        argv[2] = (char *) seek->conf->master.data;
        argc = 3;

    } else {
        argv[0] = "CLUSTER";
        argv[1] = seek->old ? "SLOTS" : "SHARDS";
        argc = 2;
    }

    for (i = 0; i < argc; i++) {
        argvlen[i] = ngx_strlen(argv[i]);
    }

    len = redisFormatCommandArgv(&bytes, argc, argv, argvlen);

    if (len < 0) {
        ngx_gw_redis_server_close(server, "out of memory");
        return;
    }

    seek->call.deadline = ngx_current_msec + seek->conf->timeout;

    /* if it cannot be sent, the connection is about to close */

    (void) ngx_gw_redis_link_send(&server->link, &seek->call, bytes, len);

    redisFreeCommand(bytes);
}


static void
ngx_gw_redis_seek_answer(ngx_gw_redis_call_t *call, redisReply *reply)
{
    char                  reason[NGX_GW_REDIS_REASON];
    ngx_gw_redis_host_t   host;
    ngx_gw_redis_seek_t  *seek;

    seek = call->data;

    /* that the connection is gone is for ngx_gw_redis_seek_down() */

    if (reply == NULL || !seek->asking) {
        return;
    }

    if (seek->conf->kind == GW_REDIS_CLUSTER
        && reply->type == REDIS_REPLY_ERROR && !seek->old
        && ngx_strncmp(reply->str, "ERR ", 4) == 0
        && ngx_strstr(reply->str, "cluster support") == NULL)
    {
        seek->old = 1;
        ngx_gw_redis_seek_ready(&seek->server);
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_gw_redis_told(seek->conf, reply, reason);
        ngx_gw_redis_server_close(&seek->server, reason);
        return;
    }

    if (seek->conf->kind == GW_REDIS_SENTINEL
        && ngx_gw_redis_seek_find(seek, reply, 0, &host) != NGX_OK)
    {
        ngx_gw_redis_server_close(&seek->server,
                                  "Sentinel does not know the master");
        return;
    }

    ngx_gw_redis_seek_known(seek, reply);
}


static void
ngx_gw_redis_seek_known(ngx_gw_redis_seek_t *seek, redisReply *reply)
{
    seek->asking = 0;
    seek->urgent = 0;

    if (seek->conf->kind == GW_REDIS_CLUSTER) {
        ngx_gw_redis_server_close(&seek->server, "no longer needed");
    }

    if (seek->every) {
        ngx_add_timer(&seek->timer, seek->every);
    }

    seek->on_known(seek, reply);
}


/* In a hurry all are asked before it counts as vain. */

static void
ngx_gw_redis_seek_down(ngx_gw_redis_server_t *server)
{
    ngx_gw_redis_seek_t  *seek;

    seek = server->data;

    /* an idle connection was closed: there is a new one with the next */

    if (!seek->asking || ngx_exiting) {
        return;
    }

    seek->asking = 0;
    seek->current = (seek->current + 1) % ngx_gw_redis_seek_hosts(seek);

    if (!seek->urgent) {

        if (seek->every) {
            ngx_add_timer(&seek->timer, seek->every);
        }

        return;
    }

    if (++seek->asked < ngx_gw_redis_seek_hosts(seek)) {
        ngx_gw_redis_seek_ask(seek);
        return;
    }

    seek->urgent = 0;
    seek->on_vain(seek, server->reason);
}


static void
ngx_gw_redis_seek_timer(ngx_event_t *ev)
{
    ngx_gw_redis_seek_t  *seek = ev->data;

    if (!seek->asking && !ngx_exiting) {
        ngx_gw_redis_seek_ask(seek);
    }
}
