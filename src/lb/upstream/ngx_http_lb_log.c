
/*
 * What the log says about servers, one line for each change, and the reason of
 * a server's state, which is kept to be shown.
 */


#include "src/lb/upstream/ngx_http_lb_log.h"


static void ngx_http_lb_log_list(ngx_http_lb_srv_conf_t *lcf,
    const lb_identity_t *identity, const char *what, const char *reason);


void
ngx_http_lb_log_panic(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t      now, told;
    lb_count_t    left;
    lb_roster_t  *roster;

    roster = lcf->roster;

    now = atomic_load_explicit(&roster->panicking, memory_order_relaxed);
    told = atomic_load_explicit(&roster->panic_reported, memory_order_relaxed);

    if (now == told
        || !atomic_compare_exchange_strong_explicit(&roster->panic_reported,
                                                    &told, now,
                                                    memory_order_acq_rel,
                                                    memory_order_acquire))
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
ngx_http_lb_log_empty(ngx_http_lb_srv_conf_t *lcf, ngx_log_t *log)
{
    if (ngx_http_lb_log_once(&lcf->roster->empty_at)) {
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
                         identity->resolved ? NGX_HTTP_LB_LOG_LOST
                         : identity->replaced ? "configuration reloaded"
                         : identity->drained ? "its drain is over"
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
    const char *what, const char *reason)
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
                  "lb: server %V in upstream \"%V\" is %s: %s, "
                  "%uD requests in flight; %uD of %uD servers left",
                  &name, &lcf->upstream->host, what, reason,
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

    ngx_http_lb_log_edit(lcf, index, what, NGX_HTTP_LB_LOG_API);
}


void
ngx_http_lb_log_reason(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
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


ngx_uint_t
ngx_http_lb_log_once(_Atomic uint64_t *last)
{
    uint64_t  now, then;

    now = ngx_time();
    then = atomic_load_explicit(last, memory_order_relaxed);

    return then != now
           && atomic_compare_exchange_strong_explicit(last, &then, now,
                                                      memory_order_acq_rel,
                                                      memory_order_acquire);
}
