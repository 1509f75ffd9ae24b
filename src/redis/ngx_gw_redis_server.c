
/*
 * One server; see ngx_gw_redis_server.h.
 *
 *   DOWN -> LOOKING -> GREETED -> READY
 *    ^         |          |  ^      |
 *    |         |          +--+ the next address
 *    +---------+----------+---------+
 */


#include "src/redis/ngx_gw_redis_server.h"


static void ngx_gw_redis_server_found(ngx_gw_redis_name_t *name);
static void ngx_gw_redis_server_next(ngx_gw_redis_server_t *server);
static ngx_int_t ngx_gw_redis_server_greet(ngx_gw_redis_server_t *server);
static void ngx_gw_redis_server_greeted(ngx_gw_redis_call_t *call,
    redisReply *reply);
static void ngx_gw_redis_server_ready(ngx_gw_redis_server_t *server);
static void ngx_gw_redis_server_lost(ngx_gw_redis_link_t *link);
static void ngx_gw_redis_server_left(ngx_gw_redis_link_t *link);
static void ngx_gw_redis_server_down(ngx_gw_redis_server_t *server,
    const char *reason);


void
ngx_gw_redis_server_init(ngx_gw_redis_server_t *server,
    ngx_gw_redis_conf_t *conf, ngx_gw_redis_greet_e kind, ngx_log_t *log)
{
    server->greet.conf = conf;
    server->greet.kind = kind;

    ngx_gw_redis_link_init(&server->link, log);

    server->link.data = server;
    server->link.on_close = ngx_gw_redis_server_lost;
    server->link.on_leave = ngx_gw_redis_server_left;

    server->name.conf = conf;
    server->name.log = log;
    server->name.data = server;
    server->name.done = ngx_gw_redis_server_found;
}


void
ngx_gw_redis_server_open(ngx_gw_redis_server_t *server)
{
    if (server->state != NGX_GW_REDIS_DOWN) {
        return;
    }

    server->state = NGX_GW_REDIS_LOOKING;
    server->tried = 0;

    ngx_gw_redis_name_find(&server->name, &server->host);
}


void
ngx_gw_redis_server_close(ngx_gw_redis_server_t *server, const char *reason)
{
    if (server->state == NGX_GW_REDIS_LOOKING) {
        ngx_gw_redis_name_cancel(&server->name);
        ngx_gw_redis_server_down(server, reason);
        return;
    }

    /* no further address */

    server->tried = server->name.addrs.n;

    ngx_gw_redis_link_close(&server->link, reason);
}


static void
ngx_gw_redis_server_found(ngx_gw_redis_name_t *name)
{
    ngx_gw_redis_server_t  *server;

    server = name->data;

    if (name->addrs.n == 0) {
        ngx_gw_redis_server_down(server, name->addrs.reason);
        return;
    }

    ngx_gw_redis_server_next(server);
}


static void
ngx_gw_redis_server_next(ngx_gw_redis_server_t *server)
{
    ngx_uint_t             n;
    ngx_gw_redis_addrs_t  *addrs;

    addrs = &server->name.addrs;
    server->state = NGX_GW_REDIS_GREETED;

    while (server->tried < addrs->n) {
        n = server->tried++;

        if (ngx_gw_redis_link_open(&server->link, server->greet.conf->tls,
                                   server->host.name, &addrs->sockaddr[n],
                                   addrs->socklen[n])
            == NGX_OK)
        {
            if (ngx_gw_redis_server_greet(server) != NGX_OK) {
                ngx_gw_redis_link_close(&server->link, "out of memory");
            }

            return;
        }
    }

    ngx_gw_redis_server_down(server, server->link.reason);
}


/* All that is to be said goes out at once. */

static ngx_int_t
ngx_gw_redis_server_greet(ngx_gw_redis_server_t *server)
{
    int                   len;
    char                 *bytes;
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_gw_redis_conf_t  *conf;
    ngx_gw_redis_call_t  *call;

    conf = server->greet.conf;
    server->greeted = 0;

    ngx_gw_redis_greet(&server->greet, conf, server->greet.kind,
                       server->link.log);

    for (i = 0; i < server->greet.n; i++) {
        len = ngx_gw_redis_greet_format(&server->greet, i, &bytes);

        if (len < 0) {
            return NGX_ERROR;
        }

        call = &server->calls[i];
        call->answer = ngx_gw_redis_server_greeted;
        call->most = GW_REDIS_REPLY;
        call->deadline = ngx_current_msec + conf->timeout;
        call->background = 1;
        call->data = server;

        rc = ngx_gw_redis_link_send(&server->link, call, bytes, len);

        ngx_gw_redis_greet_free(bytes, len);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_gw_redis_server_greeted(ngx_gw_redis_call_t *call, redisReply *reply)
{
    char                    reason[NGX_GW_REDIS_REASON];
    ngx_uint_t              i;
    ngx_gw_redis_server_t  *server;

    server = call->data;
    i = server->greeted++;

    if (reply == NULL) {
        return;
    }

    if (ngx_gw_redis_greet_check(&server->greet, i, reply, reason) != NGX_OK)
    {
        ngx_gw_redis_link_close(&server->link, reason);
        return;
    }

    if (server->greeted == server->greet.n) {
        ngx_gw_redis_server_ready(server);
    }
}


static void
ngx_gw_redis_server_ready(ngx_gw_redis_server_t *server)
{
    server->state = NGX_GW_REDIS_READY;
    server->since = ngx_current_msec;

    server->on_ready(server);
}


static void
ngx_gw_redis_server_lost(ngx_gw_redis_link_t *link)
{
    ngx_gw_redis_server_t  *server;

    server = link->data;

    if (server->state == NGX_GW_REDIS_GREETED && !ngx_exiting
        && server->tried < server->name.addrs.n)
    {
        ngx_gw_redis_server_next(server);
        return;
    }

    ngx_gw_redis_server_down(server, link->reason);
}


static void
ngx_gw_redis_server_left(ngx_gw_redis_link_t *link)
{
    ngx_gw_redis_server_t  *server;

    server = link->data;

    if (server->on_leave == NULL || server->state != NGX_GW_REDIS_READY) {
        ngx_gw_redis_server_close(server, "worker process is exiting");
        return;
    }

    server->on_leave(server);
}


static void
ngx_gw_redis_server_down(ngx_gw_redis_server_t *server, const char *reason)
{
    server->state = NGX_GW_REDIS_DOWN;

    if (reason != server->reason) {
        ngx_gw_redis_reason(server->reason, reason);
    }

    server->on_down(server);
}
