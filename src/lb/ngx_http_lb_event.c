
/*
 * What happens to servers: a failure or a success goes to the state in
 * shared memory, and each change of it to the log.
 */


#include "src/lb/ngx_http_lb.h"


static ngx_uint_t ngx_http_lb_once(_Atomic uint64_t *last);


void
ngx_http_lb_failed(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    uint32_t                 limit;
    lb_count_t               left;
    ngx_str_t               *reason;
    lb_roster_t             *roster;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;
    roster = lcf->roster;

    reason = ngx_http_lb_reason(ctx, pc);

    ctx->failed = ctx->name;
    ctx->failed_index = ctx->index;

    if (!lb_passive_failed(roster, ctx->index, ngx_current_msec)) {
        return;
    }

    ngx_http_lb_publish(lcf);

    if (lb_roster_status(roster, ctx->index) & LB_UNHEALTHY) {
        return;
    }

    limit = lb_roster_server(roster, ctx->index)->max_fails;
    left = lb_roster_count(roster);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "lb: server %V in upstream \"%V\" is down: %V, "
                  "%uD failure%s; %uD of %uD servers left",
                  &ctx->name, &lcf->upstream->host, reason, limit,
                  (limit == 1) ? "" : "s", left.usable, left.total);

    if (left.usable == 0) {
        ngx_http_lb_log_empty(lcf, ngx_cycle->log);
    }
}


void
ngx_http_lb_passed(ngx_http_lb_ctx_t *ctx)
{
    lb_count_t               left;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;

    if (!lb_passive_passed(lcf->roster, ctx->index, ctx->how,
                           ngx_current_msec))
    {
        return;
    }

    ngx_http_lb_publish(lcf);

    if (lb_roster_status(lcf->roster, ctx->index) & LB_UNHEALTHY) {
        return;
    }

    left = lb_roster_count(lcf->roster);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "lb: server %V in upstream \"%V\" is up: "
                  "a request succeeded; %uD of %uD servers left",
                  &ctx->name, &lcf->upstream->host, left.usable, left.total);
}


void
ngx_http_lb_log_retry(ngx_http_lb_ctx_t *ctx, ngx_log_t *log)
{
    lb_roster_t  *roster;

    roster = ctx->conf->roster;

    atomic_fetch_add_explicit(&roster->retries, 1, memory_order_relaxed);

    if (ngx_http_lb_once(&lb_roster_server(roster, ctx->failed_index)
                          ->told_at))
    {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "lb: retrying on %V after %V failed (%V)",
                      &ctx->name, &ctx->failed, &ctx->reason);
    }
}


void
ngx_http_lb_log_empty(ngx_http_lb_srv_conf_t *lcf, ngx_log_t *log)
{
    if (ngx_http_lb_once(&lcf->roster->empty_at)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "lb: no live servers in upstream \"%V\"",
                      &lcf->upstream->host);
    }
}


void
ngx_http_lb_log_member(void *data, const lb_identity_t *identity, bool added)
{
    ngx_http_lb_srv_conf_t  *lcf = data;

    ngx_str_t   name;
    lb_count_t  left;

    left = lb_roster_count(lcf->roster);

    name.len = identity->name_length;
    name.data = (u_char *) identity->name;

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "lb: server %V in upstream \"%V\" is %s: "
                  "configuration reloaded; %uD of %uD servers left",
                  &name, &lcf->upstream->host, added ? "added" : "removed",
                  left.usable, left.total);
}


/* whether the caller is the first within this second, of all processes */

static ngx_uint_t
ngx_http_lb_once(_Atomic uint64_t *last)
{
    uint64_t  now, then;

    now = ngx_time();
    then = atomic_load_explicit(last, memory_order_relaxed);

    return then != now && atomic_compare_exchange_strong(last, &then, now);
}
