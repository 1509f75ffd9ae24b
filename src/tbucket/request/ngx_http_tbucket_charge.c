
/*
 * One limit of a request, but for what is inline.
 */


#include "src/tbucket/request/ngx_http_tbucket_charge.h"

#include "src/core/limit/tb_text.h"
#include "src/core/text/gw_addr.h"
#include "src/tbucket/ngx_http_tbucket_inflight.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/request/ngx_http_tbucket_settle.h"
#include "src/tbucket/request/ngx_http_tbucket_wait.h"


static uint64_t ngx_http_tbucket_cost(ngx_http_request_t *r,
    ngx_http_tbucket_limit_t *limit);
static ngx_int_t ngx_http_tbucket_take(ngx_http_tbucket_charge_t *charge,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_uint_t ngx_http_tbucket_stands_apart(
    ngx_http_tbucket_charge_t *charge);
static uint64_t ngx_http_tbucket_wait(ngx_http_tbucket_charge_t *charge);


ngx_int_t
ngx_http_tbucket_fall_back(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *charge, ngx_int_t rc)
{
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_shared_t  *shared;

    zone = charge->zone;
    shared = zone->shared;

    if (rc == NGX_OK
        && tb_table_is_registered(shared->table, &charge->hash)
        && !(gw_addr_begins((char *) charge->client.data, charge->client.len)
             && gw_addr_is_spelled((char *) charge->client.data,
                                   charge->client.len)))
    {
        return NGX_OK;
    }

    if (zone->known) {
        charge->standing = NGX_HTTP_TBUCKET_UNKNOWN;
    }

    rc = ngx_http_tbucket_key_value(r, &zone->fallback, &charge->client);

    if (rc == NGX_OK) {
        charge->hash = tb_hash(charge->client.data, charge->client.len,
                               shared->secret);
    }

    return rc;
}


ngx_int_t
ngx_http_tbucket_charge(ngx_http_request_t *r,
    ngx_http_tbucket_limit_t *limit, ngx_http_tbucket_charge_t *charge)
{
    ngx_int_t  rc;

    rc = ngx_http_tbucket_charge_key(r, limit, limit->zone, charge, NULL);

    charge->cost = limit->cost ? ngx_http_tbucket_cost(r, limit)
                               : limit->utok;

    if (limit->plan != NULL && rc == NGX_OK) {
        ngx_http_tbucket_plan(r, charge);
    }

    return rc;
}


/* What a cost with variables comes to, µtok. */

static uint64_t
ngx_http_tbucket_cost(ngx_http_request_t *r, ngx_http_tbucket_limit_t *limit)
{
    uint64_t          utok;
    ngx_str_t         value;
    tb_text_status_t  status;

    if (ngx_http_complex_value(r, limit->cost, &value) != NGX_OK) {
        return limit->utok;
    }

    status = tb_text_cost((char *) value.data, value.len, limit->zone->unit,
                          &utok);

    return (status == TB_TEXT_OK || status == TB_TEXT_LARGE) ? utok
                                                             : limit->utok;
}


/* Of a limit but of requests in flight; NGX_OK or NGX_AGAIN. */

static ngx_int_t
ngx_http_tbucket_take(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx)
{
    uint64_t                  now;
    tb_table_t               *table;
    tb_limits_t               dflt;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;
    table = zone->shared->table;

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (zone->source != NULL) {
        c->verdict = tb_table_take_known(table, &c->hash, now, dflt, c->cost,
                                         &c->result);

        return (c->verdict == TB_PASS || ngx_http_tbucket_stands_apart(c))
               ? NGX_OK : zone->source->take(c, ctx);
    }

    c->verdict = tb_table_take(table, &c->hash, now, dflt, c->cost,
                               &c->result);

    if (c->verdict == TB_ABSENT) {
        ngx_shmtx_lock(&zone->shpool->mutex);

        c->verdict = tb_table_insert(table, &c->hash, now, dflt, c->cost,
                                     &c->result);

        ngx_shmtx_unlock(&zone->shpool->mutex);
    }

    return NGX_OK;
}


/*
 * Whether a client of a zone with a source is one for whom it does not matter
 * what the bucket holds; the verdict is set then.
 */

static ngx_uint_t
ngx_http_tbucket_stands_apart(ngx_http_tbucket_charge_t *c)
{
    tb_limits_t  limits, own;
    tb_table_t  *table;

    table = c->zone->shared->table;
    own = tb_table_own_limits(table, &c->hash);

    if (!(own & TB_LIMITS_PLAN)) {
        return 0;
    }

    limits = tb_table_limits(table, own, c->zone->limits);

    if (!tb_limits_are_blocked(limits) && !tb_limits_are_unlimited(limits)) {

        /* the result of a take that was tried already stays */

        return 0;
    }

    c->result.slot = NULL;
    c->result.limits = limits;
    c->result.left = 0;
    c->result.word = 0;

    return ngx_http_tbucket_stand(c, 0);
}


ngx_uint_t
ngx_http_tbucket_stand(ngx_http_tbucket_charge_t *c, ngx_uint_t taken)
{
    ngx_uint_t  blocked;

    blocked = tb_limits_are_blocked(c->result.limits);

    if (!blocked && !tb_limits_are_unlimited(c->result.limits)) {
        return 0;
    }

    if (taken && c->zone->kind != NGX_HTTP_TBUCKET_INFLIGHT) {
        ngx_http_tbucket_give(c);
    }

    c->standing = blocked ? NGX_HTTP_TBUCKET_BLOCKED
                          : NGX_HTTP_TBUCKET_UNLIMITED;
    c->verdict = blocked ? TB_REFUSE : TB_PASS;
    c->cost = 0;

    return 1;
}


ngx_int_t
ngx_http_tbucket_peek(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx)
{
    uint64_t                  now;
    tb_limits_t               dflt;
    ngx_http_tbucket_zone_t  *zone;

    if (c->standing == NGX_HTTP_TBUCKET_NOBODY) {
        c->verdict = TB_PASS;
        return NGX_OK;
    }

    zone = c->zone;

    if (zone->source != NULL) {
        return ngx_http_tbucket_stands_apart(c) ? NGX_OK
                                                : zone->source->peek(c, ctx);
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    c->verdict = tb_table_peek(zone->shared->table, &c->hash, now, dflt,
                               c->cost, &c->result);

    if (c->result.limits & TB_LIMITS_REGISTERED) {
        (void) ngx_http_tbucket_stand(c, 0);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_take_one(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (c->standing == NGX_HTTP_TBUCKET_NOBODY) {
        c->verdict = TB_PASS;
        return NGX_OK;
    }

    if (c->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        rc = NGX_OK;

        if (c->zone->source == NULL || !ngx_http_tbucket_stands_apart(c)) {
            rc = ngx_http_tbucket_inflight_take(c, ctx);
        }

        if (rc != NGX_OK) {
            return rc;
        }

    } else if (ngx_http_tbucket_take(c, ctx) != NGX_OK) {
        return NGX_AGAIN;
    }

    if (c->verdict == TB_ABSENT) {
        c->verdict = TB_REFUSE;
    }

    if (c->result.limits & TB_LIMITS_REGISTERED) {
        (void) ngx_http_tbucket_stand(c, c->verdict == TB_PASS);
    }

    if (c->verdict != TB_PASS && c->limit->wait != 0
        && c->standing == NGX_HTTP_TBUCKET_LIMITED)
    {
        c->wait = ngx_http_tbucket_take_debt(c);
    }

    return c->verdict == TB_PASS ? NGX_OK : NGX_BUSY;
}


static uint64_t
ngx_http_tbucket_wait(ngx_http_tbucket_charge_t *charge)
{
    if (charge->standing == NGX_HTTP_TBUCKET_BLOCKED) {
        return NGX_HTTP_TBUCKET_NEVER;
    }

    if (charge->zone->source != NULL) {
        return charge->zone->source->retry(charge);
    }

    switch (charge->zone->kind) {

    case NGX_HTTP_TBUCKET_QUOTA:
        return charge->cost > tb_limits_full(charge->result.limits)
               ? NGX_HTTP_TBUCKET_NEVER
               : ngx_http_tbucket_quota_left(charge->zone);

    case NGX_HTTP_TBUCKET_INFLIGHT:
        return NGX_HTTP_TBUCKET_INFLIGHT_WAIT;

    default:
        return tb_word_wait(charge->result.word, charge->result.limits,
                            ngx_current_msec, charge->cost);
    }
}


void
ngx_http_tbucket_refusal(ngx_http_tbucket_charge_t *c, ngx_flag_t dry_run)
{
    uint64_t  charged;

    charged = 0;

    if (c->limit->penalty != 0 && !dry_run && !c->limit->dry_run
        && c->standing == NGX_HTTP_TBUCKET_LIMITED)
    {
        charged = ngx_http_tbucket_penalize(c);
    }

    c->wait = ngx_http_tbucket_wait(c);
    c->cost = charged;

    ngx_http_tbucket_count(c, dry_run);
}


void
ngx_http_tbucket_count(ngx_http_tbucket_charge_t *c, ngx_flag_t dry_run)
{
    _Atomic uint64_t  *counter;

    if (c->verdict == TB_PASS) {
        ngx_http_tbucket_count_passed(c, c->zone);
        return;
    }

    counter = (dry_run || c->limit->dry_run) ? &c->zone->counters->dry_run
                                             : &c->zone->counters->rejected;

    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);

    ngx_http_tbucket_top_count(c);
}
