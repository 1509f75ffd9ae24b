
/*
 * What a request is charged beside the decision.  Debt is part of the word of
 * a bucket, so all of this is a compare-and-swap on it.
 */


#include "src/tbucket/request/ngx_http_tbucket_settle.h"

#include "src/core/limit/tb_table_overflow.h"
#include "src/core/limit/tb_text.h"
#include "src/tbucket/ngx_http_tbucket_inflight.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/request/ngx_http_tbucket_ctx.h"


/* a true cost that is not known, so that the cost stays as it was */
#define NGX_HTTP_TBUCKET_UNSETTLED  UINT64_MAX


static ngx_inline ngx_uint_t ngx_http_tbucket_is_admitted(
    ngx_http_tbucket_ctx_t *ctx);
static ngx_gw_noinline void ngx_http_tbucket_settle_all(
    ngx_http_request_t *r);
static ngx_gw_noinline void ngx_http_tbucket_settle_ctx(
    ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx);
static ngx_inline void ngx_http_tbucket_settle_charge(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *c);
static ngx_inline uint64_t ngx_http_tbucket_true_cost(ngx_http_request_t *r,
    ngx_http_tbucket_limit_t *limit);
static ngx_gw_noinline uint64_t ngx_http_tbucket_read_cost(
    ngx_http_request_t *r, ngx_http_tbucket_limit_t *limit);
static ngx_gw_noinline void ngx_http_tbucket_change_cost(
    ngx_http_tbucket_charge_t *c, uint64_t utok);
static uint64_t ngx_http_tbucket_charge_more(ngx_http_tbucket_charge_t *c,
    uint64_t utok);
static void ngx_http_tbucket_give_tokens(ngx_http_tbucket_charge_t *c,
    uint64_t utok);
static ngx_inline ngx_uint_t ngx_http_tbucket_is_overflow(
    ngx_http_tbucket_charge_t *c);


ngx_int_t
ngx_http_tbucket_settle(ngx_http_request_t *r)
{
    ngx_http_tbucket_ctx_t        *ctx;
    ngx_http_tbucket_main_conf_t  *mcf;

    if (r != r->main) {
        return NGX_OK;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_tbucket_module);

    if (mcf->has_subrequests) {
        ngx_http_tbucket_settle_all(r);
        return NGX_OK;
    }

    ctx = ngx_http_tbucket_get_ctx(r);

    if (ctx != NULL && ngx_http_tbucket_is_admitted(ctx)) {
        ngx_http_tbucket_settle_ctx(r, ctx);
    }

    return NGX_OK;
}


static ngx_inline ngx_uint_t
ngx_http_tbucket_is_admitted(ngx_http_tbucket_ctx_t *ctx)
{
    return !ctx->untaken
           && (ctx->status == NGX_HTTP_TBUCKET_PASSED
               || ctx->status == NGX_HTTP_TBUCKET_REJECTED_DRY_RUN);
}


/* Those of subrequests, too. */

static void
ngx_http_tbucket_settle_all(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_tbucket_ctx_t  *ctx;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        ctx = ngx_http_tbucket_cleanup_ctx(cln);

        if (ctx != NULL && ngx_http_tbucket_is_admitted(ctx)) {
            ngx_http_tbucket_settle_ctx(ctx->request, ctx);
        }
    }
}


static void
ngx_http_tbucket_settle_ctx(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx)
{
    ngx_uint_t                  i;
    ngx_http_tbucket_charge_t  *c;

    c = &ctx->charge;

    for (i = 0; /* void */ ; i++) {
        ngx_http_tbucket_settle_charge(r, c);

        if (i == ctx->nothers) {
            return;
        }

        c = &ctx->others[i];
    }
}


static ngx_inline void
ngx_http_tbucket_settle_charge(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *c)
{
    uint64_t                  utok;
    ngx_http_tbucket_zone_t  *zone;

    if (c->limit->settle == NULL || c->verdict != TB_PASS
        || c->standing != NGX_HTTP_TBUCKET_LIMITED)
    {
        return;
    }

    utok = ngx_http_tbucket_true_cost(r, c->limit);

    if (utok == NGX_HTTP_TBUCKET_UNSETTLED) {
        return;
    }

    zone = c->zone;

    if (utok == c->cost
        || (zone->kind == NGX_HTTP_TBUCKET_RATE && c->result.slot != NULL
            && zone->source == NULL
            && tb_slot_adjust(zone->shared->table, c->result.slot, &c->hash,
                              ngx_current_msec, zone->limits, 0,
                              (int64_t) (c->cost - utok))))
    {
        c->cost = utok;

    } else {
        ngx_http_tbucket_change_cost(c, utok);
    }

    atomic_fetch_add_explicit(&zone->counters->settled, 1,
                              memory_order_relaxed);
}


/* A short whole number is read in place, and a constant has been read. */

static ngx_inline uint64_t
ngx_http_tbucket_true_cost(ngx_http_request_t *r,
    ngx_http_tbucket_limit_t *limit)
{
    uint64_t                    utok;
    ngx_http_variable_value_t  *v;

    if (limit->measure == -1) {
        return limit->settle->lengths == NULL
               ? limit->settled : ngx_http_tbucket_read_cost(r, limit);
    }

    v = ngx_http_get_flushed_variable(r, limit->measure);

    if (v == NULL || v->not_found) {
        return NGX_HTTP_TBUCKET_UNSETTLED;
    }

    utok = tb_text_short_cost((char *) v->data, v->len, limit->zone->unit);

    return utok != UINT64_MAX ? utok : ngx_http_tbucket_read_cost(r, limit);
}


static uint64_t
ngx_http_tbucket_read_cost(ngx_http_request_t *r,
    ngx_http_tbucket_limit_t *limit)
{
    uint64_t          utok;
    ngx_str_t         value;
    tb_text_status_t  status;

    if (ngx_http_complex_value(r, limit->settle, &value) != NGX_OK) {
        return NGX_HTTP_TBUCKET_UNSETTLED;
    }

    status = tb_text_cost((char *) value.data, value.len, limit->zone->unit,
                          &utok);

    return (status == TB_TEXT_OK || status == TB_TEXT_LARGE)
           ? utok : NGX_HTTP_TBUCKET_UNSETTLED;
}


/* Charges or gives back the difference. */

static void
ngx_http_tbucket_change_cost(ngx_http_tbucket_charge_t *c, uint64_t utok)
{
    if (utok > c->cost) {
        c->cost += ngx_http_tbucket_charge_more(c, utok - c->cost);

    } else {
        ngx_http_tbucket_give_tokens(c, c->cost - utok);
        c->cost = utok;
    }
}


static uint64_t
ngx_http_tbucket_charge_more(ngx_http_tbucket_charge_t *c, uint64_t utok)
{
    uint64_t                  charged, now;
    tb_table_t               *table;
    tb_limits_t               dflt;
    tb_result_t               result;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;
    table = zone->shared->table;

    if (zone->source != NULL) {
        return zone->source->charge(c, utok, &result);
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (ngx_http_tbucket_is_overflow(c)) {
        tb_table_charge_overflow(table, now, dflt, utok, -TB_DEBT_MAX,
                                 &result, &charged);
        return charged;
    }

    if (tb_table_charge(table, &c->hash, now, dflt, utok, -TB_DEBT_MAX,
                        &result, &charged)
        == TB_PASS)
    {
        return charged;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    tb_table_insert_charge(table, &c->hash, now, dflt, utok, -TB_DEBT_MAX,
                           &result, &charged);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return charged;
}


static void
ngx_http_tbucket_give_tokens(ngx_http_tbucket_charge_t *c, uint64_t utok)
{
    uint64_t      now;
    tb_table_t   *table;
    tb_limits_t   dflt;

    dflt = ngx_http_tbucket_limits(c->zone, &now);

    if ((dflt & TB_LIMITS_WINDOW)
        && tb_limits_rate(dflt) != tb_limits_rate(c->result.limits))
    {
        /* it was taken out of a window that is over */

        return;
    }

    if (c->zone->source != NULL) {
        c->zone->source->give(c, utok);
        return;
    }

    table = c->zone->shared->table;

    if (ngx_http_tbucket_is_overflow(c)) {
        tb_table_give_overflow(table, now, dflt, utok);
        return;
    }

    /* a bucket that is not there any more is full, or another's by now */

    (void) tb_table_give(table, &c->hash, now, dflt, utok);
}


/* A key that cost nothing so far has no slot either. */

static ngx_inline ngx_uint_t
ngx_http_tbucket_is_overflow(ngx_http_tbucket_charge_t *c)
{
    return c->result.slot == NULL && c->cost != 0;
}


void
ngx_http_tbucket_give(ngx_http_tbucket_charge_t *c)
{
    if (c->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        ngx_http_tbucket_inflight_return(c);

    } else if (c->standing == NGX_HTTP_TBUCKET_UNLIMITED
               || c->standing == NGX_HTTP_TBUCKET_NOBODY)
    {
        /* nothing was taken */

        return;

    } else if (c->cost != 0) {
        ngx_http_tbucket_give_tokens(c, c->cost);
    }

    c->result.left += (int64_t) c->cost;
    c->cost = 0;
}


void
ngx_http_tbucket_give_all(ngx_http_tbucket_ctx_t *ctx)
{
    ngx_uint_t  i;

    if (ctx->untaken) {
        return;
    }

    ctx->untaken = 1;

    if (ctx->charge.verdict == TB_PASS) {
        ngx_http_tbucket_give(&ctx->charge);
    }

    for (i = 0; i < ctx->nothers; i++) {
        if (ctx->others[i].verdict == TB_PASS) {
            ngx_http_tbucket_give(&ctx->others[i]);
        }
    }
}


uint64_t
ngx_http_tbucket_penalize(ngx_http_tbucket_charge_t *c)
{
    uint64_t                  charged, now;
    tb_limits_t               dflt;
    tb_result_t               result;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;
    dflt = ngx_http_tbucket_limits(zone, &now);

    if (zone->source != NULL) {
        charged = zone->source->charge(c, c->limit->penalty, &result);

    } else if (tb_table_charge(zone->shared->table, &c->hash, now, dflt,
                               c->limit->penalty, -TB_DEBT_MAX, &result,
                               &charged)
               != TB_PASS)
    {
        return 0;
    }

    c->result.left = result.left;
    c->result.word = tb_word(result.left, now);
    c->result.limits = result.limits;

    return charged;
}
