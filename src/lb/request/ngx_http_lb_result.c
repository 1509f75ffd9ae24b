
/*
 * What an attempt has come to: a failure or a success goes to the server's
 * state in shared memory, and each change of it to the log.
 */


#include "src/lb/request/ngx_http_lb_result.h"

#include "src/core/balance/lb_latency.h"
#include "src/lb/request/ngx_http_lb_reason.h"
#include "src/lb/upstream/ngx_http_lb_build.h"
#include "src/lb/upstream/ngx_http_lb_log.h"
#include "src/lb/upstream/ngx_http_lb_outlier.h"


static void ngx_http_lb_result_error(ngx_http_lb_ctx_t *ctx, ngx_msec_t time,
    ngx_str_t *reason);


void
ngx_http_lb_result_failed(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    uint32_t                 limit;
    lb_count_t               left;
    ngx_str_t               *reason;
    ngx_uint_t               down;
    lb_roster_t             *roster;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;
    roster = lcf->roster;

    reason = ngx_http_lb_reason(ctx, pc);

    ctx->failed = ctx->name;
    ctx->failed_index = ctx->index;

    down = lb_passive_failed(roster, ctx->index, ngx_current_msec);

    ngx_http_lb_result_error(ctx, ngx_current_msec
                           - ctx->request->upstream->start_time, reason);

    if (!down) {
        return;
    }

    ngx_http_lb_build(lcf);

    if (lb_roster_status(roster, ctx->index) & LB_UNHEALTHY) {
        return;
    }

    ngx_http_lb_log_reason(lcf, ctx->index, LB_FAILED, reason);

    limit = gw_load_relaxed(&lb_roster_server(roster, ctx->index)->max_fails);
    left = lb_roster_count(roster);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "lb: server %V in upstream \"%V\" is down: %V, "
                  "%uD failure%s; %uD of %uD servers left",
                  &ctx->name, &lcf->upstream->host, reason, limit,
                  (limit == 1) ? "" : "s", left.usable, left.total);

    if (left.usable == 0
        && lb_roster_against(roster) != LB_PANICKING) {
        ngx_http_lb_log_empty(lcf, ngx_cycle->log);
    }
}


void
ngx_http_lb_result_broken(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    lb_server_t  *server;

    server = lb_roster_server(ctx->conf->roster, ctx->index);

    atomic_fetch_add_explicit(&server->failures, 1, memory_order_relaxed);

    ngx_http_lb_result_error(ctx, ngx_current_msec
                           - ctx->request->upstream->start_time,
                      ngx_http_lb_reason(ctx, pc));
}


void
ngx_http_lb_result_excused(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    (void) ngx_http_lb_reason(ctx, pc);

    ctx->failed = ctx->name;
    ctx->failed_index = ctx->index;
}


void
ngx_http_lb_result_passed(ngx_http_lb_ctx_t *ctx, ngx_msec_t header_time)
{
    u_char                  *p;
    u_char                   text[sizeof("status ") + NGX_INT_T_LEN];
    ngx_str_t                reason;
    lb_count_t               left;
    ngx_uint_t               status;
    ngx_http_upstream_t     *u;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;
    status = ctx->request->upstream->headers_in.status_n;

    if (status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        p = ngx_sprintf(text, "status %ui", status);

        reason.len = p - text;
        reason.data = text;

        ngx_http_lb_result_error(ctx, header_time, &reason);

    } else {
        u = ctx->request->upstream;

        if (lcf->last_byte && !u->upgrade) {
            header_time = ngx_current_msec - u->start_time;
        }

        lb_latency_enter(&lb_roster_server(lcf->roster, ctx->index)->latency,
                         (uint64_t) header_time * 1000 + 500,
                         ngx_current_msec);
    }

    if (!lb_passive_passed(lcf->roster, ctx->index, ctx->how,
                           ngx_current_msec))
    {
        return;
    }

    ngx_http_lb_build(lcf);

    if (lb_roster_status(lcf->roster, ctx->index) & LB_UNHEALTHY) {
        return;
    }

    left = lb_roster_count(lcf->roster);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "lb: server %V in upstream \"%V\" is up: "
                  "a request succeeded; %uD of %uD servers left",
                  &ctx->name, &lcf->upstream->host, left.usable, left.total);
}


/* an error in the sense of lb_outlier, which least_time minds as well */

static void
ngx_http_lb_result_error(ngx_http_lb_ctx_t *ctx, ngx_msec_t time,
    ngx_str_t *reason)
{
    lb_count_t               left;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;

    lb_latency_fail(&lb_roster_server(lcf->roster, ctx->index)->latency,
                    (uint64_t) time * 1000, ngx_current_msec);

    if (!lb_outlier_error(lcf->roster, &lcf->outlier, ctx->index,
                          ngx_current_msec)
        || ngx_http_lb_outlier_eject(lcf, ctx->index) != NGX_OK)
    {
        return;
    }

    ngx_http_lb_log_reason(lcf, ctx->index, LB_EJECTED, reason);

    left = lb_roster_count(lcf->roster);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "lb: server %V in upstream \"%V\" is ejected: %V, "
                  "%uD error%s; %uD of %uD servers left",
                  &ctx->name, &lcf->upstream->host, reason,
                  lcf->outlier.errors, (lcf->outlier.errors == 1) ? "" : "s",
                  left.usable, left.total);

    ngx_http_lb_log_panic(lcf);
}


void
ngx_http_lb_result_retried(ngx_http_lb_ctx_t *ctx, ngx_log_t *log)
{
    lb_roster_t  *roster;

    roster = ctx->conf->roster;

    atomic_fetch_add_explicit(&roster->retries, 1, memory_order_relaxed);

    if (ngx_http_lb_log_once(&lb_roster_server(roster, ctx->failed_index)
                          ->reported_at))
    {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "lb: retrying on %V after %V failed (%V)",
                      &ctx->name, &ctx->failed, &ctx->reason);
    }
}


void
ngx_http_lb_result_count(ngx_http_lb_ctx_t *ctx,
    ngx_http_upstream_state_t *state)
{
    ngx_uint_t    kind;
    lb_roster_t  *roster;

    roster = ctx->conf->roster;
    kind = state->status / 100;

    if (kind >= LB_ANSWERS) {
        kind = 0;
    }

    atomic_fetch_add_explicit(&lb_roster_server(roster, ctx->index)
                                  ->answers[kind],
                              1, memory_order_relaxed);

    lb_meter_count(roster->meters, (uint32_t) ngx_process_slot,
                   state->header_time);
}
