
/*
 * Names of servers, looked up anew for each connection by nginx's resolver,
 * where the configuration has one.  Without it, or without an answer, the
 * addresses are those that they had when the configuration was read.
 */


#include "src/redis/ngx_gw_redis.h"


static void ngx_gw_redis_resolved(ngx_resolver_ctx_t *ctx);


ngx_int_t
ngx_gw_redis_resolve(ngx_gw_redis_t *redis, ngx_uint_t n)
{
    ngx_resolver_t       *resolver;
    ngx_resolver_ctx_t   *ctx;
    ngx_gw_redis_conf_t  *conf;

    conf = redis->conf;
    resolver = conf->resolver ? *conf->resolver : NULL;

    if (resolver == NULL || resolver->connections.nelts == 0
        || conf->names == NULL || conf->names[n].len == 0)
    {
        return NGX_DECLINED;
    }

    ctx = ngx_resolve_start(resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return NGX_DECLINED;
    }

    ctx->name = conf->names[n];
    ctx->handler = ngx_gw_redis_resolved;
    ctx->data = redis;
    ctx->timeout = conf->timeout;
    ctx->cancelable = 1;

    redis->resolving = ctx;
    redis->resolved = n;

    /* it may have answered before this returns */

    if (ngx_resolve_name(ctx) != NGX_OK) {
        redis->resolving = NULL;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_gw_redis_resolve_done(ngx_gw_redis_t *redis)
{
    if (redis->resolving != NULL) {
        ngx_resolve_name_done(redis->resolving);
        redis->resolving = NULL;
    }
}


static void
ngx_gw_redis_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_addr_t           *addr;
    socklen_t             socklen;
    ngx_gw_redis_t       *redis;
    ngx_sockaddr_t        sockaddr;
    ngx_resolver_addr_t  *answer;

    redis = ctx->data;
    addr = &redis->conf->addrs[redis->resolved];

    ngx_memzero(&sockaddr, sizeof(ngx_sockaddr_t));

    if (ctx->state == NGX_OK && ctx->naddrs > 0) {
        answer = &ctx->addrs[redis->attempt % ctx->naddrs];
        socklen = answer->socklen;

        ngx_memcpy(&sockaddr, answer->sockaddr, socklen);
        ngx_inet_set_port(&sockaddr.sockaddr,
                          ngx_inet_get_port(addr->sockaddr));

    } else {
        ngx_log_error(NGX_LOG_INFO, redis->log, 0,
                      "redis: %V could not be resolved (%i: %s)", &ctx->name,
                      ctx->state, ngx_resolver_strerror(ctx->state));

        socklen = addr->socklen;
        ngx_memcpy(&sockaddr, addr->sockaddr, socklen);
    }

    ngx_gw_redis_resolve_done(redis);
    ngx_gw_redis_connect(redis, &sockaddr, socklen);
}
