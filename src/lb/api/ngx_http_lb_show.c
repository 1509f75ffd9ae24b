
/*
 * A server as the API shows it.
 */


#include "src/lb/api/ngx_http_lb_show.h"

#include "src/core/balance/lb_edit.h"
#include "src/core/balance/lb_health.h"
#include "src/core/balance/lb_latency.h"
#include "src/core/text/gw_number.h"


static void ngx_http_lb_show_time(ngx_gw_json_t *json, uint64_t ms);
static void ngx_http_lb_show_check(ngx_gw_json_t *json,
    ngx_http_lb_shown_t *shown);
static const char *ngx_http_lb_show_reason(uint32_t status);
static void ngx_http_lb_show_text(ngx_gw_json_t *json, const char *text);


ngx_int_t
ngx_http_lb_show_copy(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    ngx_http_lb_shown_t *shown)
{
    lb_load_t       load;
    lb_roster_t    *roster;
    lb_server_t    *server;
    lb_identity_t  *identity;

    roster = lcf->roster;
    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);
    load = lb_roster_load(roster);

    shown->status = lb_roster_status(roster, index);

    if (!(shown->status & LB_USED)) {
        return NGX_DECLINED;
    }

    shown->since = lb_roster_since(roster, index, ngx_time());
    shown->active = lb_load_active(&load, index);
    shown->requests = gw_load_acquire(&server->requests);
    shown->failures = gw_load_acquire(&server->failures);
    shown->latency = lb_latency_read(&server->latency, ngx_current_msec);
    shown->health = gw_load_acquire(&server->health);
    shown->check_time = gw_load_acquire(&server->check_time);
    shown->checked_at = gw_load_acquire(&server->checked_at);
    shown->checks[0] = gw_load_acquire(&server->checks[0]);
    shown->checks[1] = gw_load_acquire(&server->checks[1]);

    lb_edit_entry(roster, index, &shown->entry);

    shown->reason_length = 0;

    if (identity->reason_length && (shown->status & identity->reason_status))
    {
        shown->reason_length = identity->reason_length;
        ngx_memcpy(shown->reason, identity->reason, identity->reason_length);
    }

    return NGX_OK;
}


void
ngx_http_lb_show_write(ngx_gw_json_t *json, ngx_http_lb_shown_t *shown)
{
    char    number[GW_NUMBER_SIZE];
    size_t  len;

    (void) yajl_gen_map_open(json->gen);

    shown->entry.members &= ~LB_ENTRY_STATE;
    gw_member_write(json->gen, lb_entry_members, &shown->entry);

    ngx_gw_json_literal(json, "state");
    ngx_http_lb_show_text(json, ngx_http_lb_show_state(shown->status));


    ngx_gw_json_literal(json, "reason");

    if (shown->reason_length) {
        ngx_gw_json_string(json, (u_char *) shown->reason,
                           shown->reason_length);
    } else {
        ngx_http_lb_show_text(json, ngx_http_lb_show_reason(shown->status));
    }

    ngx_gw_json_literal(json, "active");
    (void) yajl_gen_integer(json->gen, shown->active);
    ngx_gw_json_literal(json, "requests");
    (void) yajl_gen_integer(json->gen, shown->requests);
    ngx_gw_json_literal(json, "failures");
    (void) yajl_gen_integer(json->gen, shown->failures);

    len = gw_number_print(number, shown->latency, 3);
    ngx_gw_json_literal(json, "response_time_ms");
    (void) yajl_gen_number(json->gen, number, len);

    ngx_gw_json_literal(json, "since");
    ngx_http_lb_show_time(json, shown->since * 1000);

    ngx_http_lb_show_check(json, shown);

    (void) yajl_gen_map_close(json->gen);
}


static void
ngx_http_lb_show_check(ngx_gw_json_t *json, ngx_http_lb_shown_t *shown)
{
    ngx_gw_json_literal(json, "last_check");

    if (shown->checked_at == 0) {
        (void) yajl_gen_null(json->gen);
        return;
    }

    (void) yajl_gen_map_open(json->gen);
    ngx_gw_json_literal(json, "at");
    ngx_http_lb_show_time(json, shown->checked_at);
    ngx_gw_json_literal(json, "passed");
    (void) yajl_gen_bool(json->gen,
                         (shown->health & LB_HEALTH_PASSING) != 0);
    ngx_gw_json_literal(json, "time_ms");
    (void) yajl_gen_integer(json->gen, shown->check_time);
    (void) yajl_gen_map_close(json->gen);

    ngx_gw_json_literal(json, "checks");
    (void) yajl_gen_map_open(json->gen);
    ngx_gw_json_literal(json, "passed");
    (void) yajl_gen_integer(json->gen, shown->checks[1]);
    ngx_gw_json_literal(json, "failed");
    (void) yajl_gen_integer(json->gen, shown->checks[0]);
    (void) yajl_gen_map_close(json->gen);
}


/* of Unix ms */

static void
ngx_http_lb_show_time(ngx_gw_json_t *json, uint64_t ms)
{
    u_char    *last;
    u_char     text[sizeof("1970-09-28T12:00:00.000Z")];
    ngx_tm_t   tm;

    ngx_gmtime(ms / 1000, &tm);

    last = ngx_sprintf(text, "%4d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                       tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                       tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                       (int) (ms % 1000));

    (void) yajl_gen_string(json->gen, text, last - text);
}


const char *
ngx_http_lb_show_state(uint32_t status)
{
    static const char *const  states[LB_IS_STATES] = {
        "up", "down", "ejected", "draining", "disabled"
    };

    return states[lb_roster_is(status)];
}


/* as good as it gets if nobody has left a better one; empty if it is up */

static const char *
ngx_http_lb_show_reason(uint32_t status)
{
    if (status & LB_REMOVED) {
        return "is being removed";
    }

    if (status & LB_DISABLED) {
        return "disabled by an operator";
    }

    if (status & LB_DRAINING) {
        return "drained by an operator";
    }

    if (status & LB_UNHEALTHY) {
        return "no health check has passed";
    }

    if (status & LB_FAILED) {
        return "requests have failed";
    }

    return (status & LB_EJECTED) ? "more errors than others" : "";
}


static void
ngx_http_lb_show_text(ngx_gw_json_t *json, const char *text)
{
    (void) yajl_gen_string(json->gen, (const u_char *) text,
                           ngx_strlen(text));
}
