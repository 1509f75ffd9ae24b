
/*
 * What happens to servers: a failure or a success goes to the state in
 * shared memory, and each change of it to the log.
 */


#include "src/lb/ngx_http_lb.h"


static void ngx_http_lb_error(ngx_http_lb_ctx_t *ctx, ngx_msec_t time,
    ngx_str_t *reason);
static void ngx_http_lb_log_list(ngx_http_lb_srv_conf_t *lcf,
    const lb_identity_t *identity, const char *what, const char *reason);
static ngx_uint_t ngx_http_lb_once(_Atomic uint64_t *last);


void
ngx_http_lb_failed(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
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

    ngx_http_lb_error(ctx, ngx_current_msec
                           - ctx->request->upstream->start_time, reason);

    if (!down) {
        return;
    }

    ngx_http_lb_publish(lcf);

    if (lb_roster_status(roster, ctx->index) & LB_UNHEALTHY) {
        return;
    }

    ngx_http_lb_explain(lcf, ctx->index, LB_FAILED, reason);

    limit = lb_roster_server(roster, ctx->index)->max_fails;
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
ngx_http_lb_broken(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    lb_server_t  *server;

    server = lb_roster_server(ctx->conf->roster, ctx->index);

    atomic_fetch_add_explicit(&server->failures, 1, memory_order_relaxed);

    ngx_http_lb_error(ctx, ngx_current_msec
                           - ctx->request->upstream->start_time,
                      ngx_http_lb_reason(ctx, pc));
}


void
ngx_http_lb_excused(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    (void) ngx_http_lb_reason(ctx, pc);

    ctx->failed = ctx->name;
    ctx->failed_index = ctx->index;
}


void
ngx_http_lb_passed(ngx_http_lb_ctx_t *ctx, ngx_msec_t header_time)
{
    u_char                  *p;
    u_char                   text[sizeof("status ") + NGX_INT_T_LEN];
    ngx_str_t                reason;
    lb_count_t               left;
    ngx_uint_t               status;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;
    status = ctx->request->upstream->headers_in.status_n;

    if (status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        p = ngx_sprintf(text, "status %ui", status);

        reason.len = p - text;
        reason.data = text;

        ngx_http_lb_error(ctx, header_time, &reason);

    } else {
        lb_latency_enter(&lb_roster_server(lcf->roster, ctx->index)->latency,
                         (uint64_t) header_time * 1000 + 500,
                         ngx_current_msec);
    }

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


/* an error in the sense of lb_outlier, which least_time minds as well */

static void
ngx_http_lb_error(ngx_http_lb_ctx_t *ctx, ngx_msec_t time, ngx_str_t *reason)
{
    lb_count_t               left;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;

    lb_latency_fail(&lb_roster_server(lcf->roster, ctx->index)->latency,
                    (uint64_t) time * 1000, ngx_current_msec);

    if (!lb_outlier_error(lcf->roster, &lcf->outlier, ctx->index,
                          ngx_current_msec)
        || ngx_http_lb_eject(lcf, ctx->index) != NGX_OK)
    {
        return;
    }

    ngx_http_lb_explain(lcf, ctx->index, LB_EJECTED, reason);

    left = lb_roster_count(lcf->roster);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "lb: server %V in upstream \"%V\" is ejected: %V, "
                  "%uD error%s; %uD of %uD servers left",
                  &ctx->name, &lcf->upstream->host, reason,
                  lcf->outlier.errors, (lcf->outlier.errors == 1) ? "" : "s",
                  left.usable, left.total);

    ngx_http_lb_log_panic(lcf);
}


ngx_msec_t
ngx_http_lb_return(ngx_http_lb_srv_conf_t *lcf, ngx_msec_t max)
{
    uint32_t        index, from;
    uint64_t        next;
    ngx_str_t       name;
    lb_count_t      left;
    lb_identity_t  *identity;

    if (lcf->outlier.errors == 0) {
        return max;
    }

    from = 0;

    for ( ;; ) {
        index = lb_outlier_return(lcf->roster, ngx_current_msec, &from, &next);

        if (index == LB_NONE) {
            break;
        }

        ngx_http_lb_publish(lcf);

        left = lb_roster_count(lcf->roster);
        identity = lb_roster_identity(lcf->roster, index);

        name.len = identity->name_length;
        name.data = (u_char *) identity->name;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "lb: server %V in upstream \"%V\" is up: "
                      "its ejection is over; %uD of %uD servers left",
                      &name, &lcf->upstream->host, left.usable, left.total);
    }

    if (next >= ngx_current_msec + max) {
        return max;
    }

    return ngx_max(next - ngx_current_msec, 1);
}


void
ngx_http_lb_log_panic(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t      now, told;
    lb_count_t    left;
    lb_roster_t  *roster;

    roster = lcf->roster;

    now = atomic_load_explicit(&roster->panicking, memory_order_relaxed);
    told = atomic_load_explicit(&roster->panic_told, memory_order_relaxed);

    if (now == told
        || !atomic_compare_exchange_strong(&roster->panic_told, &told, now))
    {
        return;
    }

    left = lb_roster_count(roster);

    if (now) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "lb: upstream \"%V\" panics and uses all servers: "
                      "fewer than %uD%% usable; %uD of %uD servers left",
                      &lcf->upstream->host, lcf->rules.panic,
                      left.usable, left.total);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "lb: upstream \"%V\" panics no more: "
                  "%uD%% or more are usable; %uD of %uD servers left",
                  &lcf->upstream->host, lcf->rules.panic,
                  left.usable, left.total);
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
    ngx_http_lb_log_list(data, identity, added ? "added" : "removed",
                         "configuration reloaded");
}


void
ngx_http_lb_log_read(void *data, const lb_identity_t *identity, bool added)
{
    ngx_http_lb_log_list(data, identity, added ? "added" : "removed",
                         "state file read");
}


void
ngx_http_lb_log_gone(void *data, const lb_identity_t *identity, bool added)
{
    (void) added;

    ngx_http_lb_log_list(data, identity, "removed",
                         identity->replaced ? "configuration reloaded"
                                            : "deleted through the API");
}


static void
ngx_http_lb_log_list(ngx_http_lb_srv_conf_t *lcf,
    const lb_identity_t *identity, const char *what, const char *reason)
{
    ngx_str_t   name;
    lb_count_t  left;

    left = lb_roster_count(lcf->roster);

    name.len = identity->name_length;
    name.data = (u_char *) identity->name;

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "lb: server %V in upstream \"%V\" is %s: %s; "
                  "%uD of %uD servers left",
                  &name, &lcf->upstream->host, what, reason,
                  left.usable, left.total);
}


void
ngx_http_lb_log_edit(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    const char *what)
{
    ngx_str_t       name;
    lb_load_t       load;
    lb_count_t      left;
    lb_identity_t  *identity;

    load = lb_roster_load(lcf->roster);
    left = lb_roster_count(lcf->roster);
    identity = lb_roster_identity(lcf->roster, index);

    name.len = identity->name_length;
    name.data = (u_char *) identity->name;

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "lb: server %V in upstream \"%V\" is %s: through the "
                  "API, %uD requests in flight; %uD of %uD servers left",
                  &name, &lcf->upstream->host, what,
                  lb_load_active(&load, index), left.usable, left.total);
}


void
ngx_http_lb_log_change(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    uint32_t before)
{
    uint32_t     status;
    const char  *what;

    status = lb_roster_status(lcf->roster, index);

    if (((status ^ before) & (LB_DISABLED | LB_DRAINING)) == 0) {
        what = "changed";

    } else if (status & LB_DISABLED) {
        what = "disabled";

    } else if (status & LB_DRAINING) {
        what = "draining";

    } else {
        what = (status & LB_UNUSABLE) ? "enabled" : "up";
    }

    ngx_http_lb_log_edit(lcf, index, what);
}


void
ngx_http_lb_explain(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    uint32_t bits, ngx_str_t *reason)
{
    lb_identity_t  *identity;

    identity = lb_roster_identity(lcf->roster, index);

    if (!ngx_shmtx_trylock(&lcf->shpool->mutex)) {
        return;
    }

    identity->reason_status = bits;
    identity->reason_length = (uint16_t) ngx_min(reason->len, LB_REASON_MAX);
    ngx_memcpy(identity->reason, reason->data, identity->reason_length);

    ngx_shmtx_unlock(&lcf->shpool->mutex);
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
