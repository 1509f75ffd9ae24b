
/*
 * Requests that wait for their tokens.  Each takes what it costs when it comes,
 * into debt, and sleeps until that is refilled, so that turns are those of
 * arrival and nobody looks for whose turn it is.
 */


#include "src/tbucket/request/ngx_http_tbucket_wait.h"

#include "src/core/limit/tb_take.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/request/ngx_http_tbucket_settle.h"


typedef struct {
    ngx_event_t                  event;
    ngx_http_request_t          *request;
    ngx_http_tbucket_ctx_t      *ctx;
    ngx_msec_t                   begin;
} ngx_http_tbucket_hold_t;


static ngx_msec_t ngx_http_tbucket_turn(ngx_http_tbucket_hold_t *h);
static uint64_t ngx_http_tbucket_turn_of(ngx_http_tbucket_hold_t *h,
    ngx_http_tbucket_charge_t *c, ngx_uint_t number);
static ngx_inline ngx_uint_t ngx_http_tbucket_is_lent(
    ngx_http_tbucket_charge_t *c);
static void ngx_http_tbucket_resume(ngx_event_t *ev);
static void ngx_http_tbucket_gone(void *data);


ngx_uint_t
ngx_http_tbucket_may_wait(ngx_http_tbucket_charge_t *c)
{
    if (c->zone->source != NULL) {
        return c->limit->wait != 0
               && c->zone->source->retry(c) <= c->limit->wait;
    }

    return c->limit->wait != 0
           && c->cost <= tb_limits_full(c->result.limits)
           && c->result.left - (int64_t) c->cost
              >= tb_limits_floor(c->result.limits, c->limit->wait);
}


ngx_msec_t
ngx_http_tbucket_take_debt(ngx_http_tbucket_charge_t *c)
{
    uint64_t                  hold, now;
    tb_limits_t               dflt;
    tb_result_t               result;
    tb_verdict_t              verdict;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;

    if (zone->source != NULL) {
        hold = zone->source->retry(c);

        if (hold > c->limit->wait || !zone->source->lend(c)) {
            return 0;
        }

        /* when its turn is, the source tells soon */

        return c->ticket ? 1 : (ngx_msec_t) hold;
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    verdict = tb_table_wait(zone->shared->table, &c->hash, now, dflt, c->cost,
                            c->limit->wait, &result, &hold);

    if (verdict == TB_ABSENT) {

        /* a new key for which there is no room: refused as it was */

        return 0;
    }

    c->verdict = verdict;
    c->result = result;

    return verdict == TB_PASS ? (ngx_msec_t) hold : 0;
}


void
ngx_http_tbucket_count_delay(ngx_http_tbucket_charge_t *c)
{
    if (c->result.left >= 0) {
        return;
    }

    atomic_fetch_add_explicit(&c->zone->counters->delayed, 1,
                              memory_order_relaxed);
}


/*
 * The timer is not cancelable: a worker that shuts down waits for its
 * requests.
 */

ngx_int_t
ngx_http_tbucket_hold(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx)
{
    ngx_event_t              *rev;
    ngx_http_cleanup_t       *cln;
    ngx_http_tbucket_hold_t  *h;

    h = ngx_pcalloc(r->pool, sizeof(ngx_http_tbucket_hold_t));
    cln = ngx_http_cleanup_add(r, 0);

    if (h == NULL || cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h->event.handler = ngx_http_tbucket_resume;
    h->event.data = h;
    h->event.log = r->connection->log;
    h->request = r;
    h->ctx = ctx;
    h->begin = ngx_current_msec;

    rev = r->connection->read;

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);

    } else if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    cln->handler = ngx_http_tbucket_gone;
    cln->data = h;

    ngx_add_timer(&h->event, ctx->hold);

    ctx->hold = 0;

    return NGX_AGAIN;
}


/*
 * ms until it is the turn of a request that has waited for as long as it was
 * thought to have to: a bucket that others share may say otherwise.
 */

static ngx_msec_t
ngx_http_tbucket_turn(ngx_http_tbucket_hold_t *h)
{
    uint64_t                 ms, most;
    ngx_uint_t               i;
    ngx_http_tbucket_ctx_t  *ctx;

    ctx = h->ctx;
    most = ngx_http_tbucket_turn_of(h, &ctx->charge, 1);

    for (i = 0; i < ctx->nothers; i++) {
        ms = ngx_http_tbucket_turn_of(h, &ctx->others[i], 2 + i);
        most = ngx_max(most, ms);
    }

    return ctx->overdue ? 0 : (ngx_msec_t) most;
}


/*
 * What several nodes lend in the same moment counts for none of them when they
 * judge whether a turn is near enough; so it may turn out to be further away.
 */

static uint64_t
ngx_http_tbucket_turn_of(ngx_http_tbucket_hold_t *h,
    ngx_http_tbucket_charge_t *c, ngx_uint_t number)
{
    uint64_t    ms;
    ngx_uint_t  asked;

    if (!ngx_http_tbucket_is_lent(c)) {
        return 0;
    }

    asked = (c->ticket != 0);
    ms = c->zone->source->turn(c);

    if (asked && c->ticket == 0
        && ngx_current_msec - h->begin + ms > c->limit->wait)
    {
        h->ctx->overdue = (u_char) ngx_min(number, 255);
    }

    return ms;
}


static ngx_inline ngx_uint_t
ngx_http_tbucket_is_lent(ngx_http_tbucket_charge_t *c)
{
    return c->zone->source != NULL && c->limit->wait != 0
           && c->standing == NGX_HTTP_TBUCKET_LIMITED
           && c->verdict == TB_PASS && c->result.left < 0;
}


static void
ngx_http_tbucket_resume(ngx_event_t *ev)
{
    ngx_msec_t                ms;
    ngx_connection_t         *c;
    ngx_http_request_t       *r;
    ngx_http_tbucket_hold_t  *h;

    h = ev->data;
    r = h->request;
    c = r->connection;

    ms = ngx_http_tbucket_turn(h);

    if (ms != 0) {
        ngx_add_timer(ev, ms);
        return;
    }

    h->ctx->held += ngx_current_msec - h->begin;

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = (r == r->main) ? ngx_http_block_reading
                                           : ngx_http_request_empty_handler;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


/* The request ends; if it still waits, it has had nothing. */

static void
ngx_http_tbucket_gone(void *data)
{
    ngx_http_tbucket_hold_t *h = data;

    if (!h->event.timer_set) {
        return;
    }

    ngx_del_timer(&h->event);

    h->ctx->held += ngx_current_msec - h->begin;

    ngx_http_tbucket_give_all(h->ctx);
}
