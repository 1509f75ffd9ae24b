
/*
 * From a request to a decision, but for what is inline: of one limit, which is
 * what most have, and of those that are checked late.
 */


#include "src/tbucket/request/ngx_http_tbucket_decide.h"

#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/request/ngx_http_tbucket_charge.h"
#include "src/tbucket/request/ngx_http_tbucket_fast.h"
#include "src/tbucket/request/ngx_http_tbucket_settle.h"
#include "src/tbucket/request/ngx_http_tbucket_several.h"
#include "src/tbucket/request/ngx_http_tbucket_wait.h"


ngx_int_t
ngx_http_tbucket_decide(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_tbucket_limit_t   **limit;
    ngx_http_tbucket_charge_t   *c;

    limit = limits->elts;

    if (limit[0]->zone->coarse_time) {

        /* nginx's own time stands still meanwhile */

        ngx_time_update();
    }

    if (limits->nelts > 1 || limit[0]->zone->known) {
        return ngx_http_tbucket_decide_all(r, limits, dry_run, ctx);
    }

    c = &ctx->charge;

    rc = ngx_http_tbucket_charge(r, limit[0], c);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_tbucket_decide_one(r, dry_run, ctx);
}


ngx_int_t
ngx_http_tbucket_decide_one(ngx_http_request_t *r, ngx_flag_t dry_run,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                   rc;
    ngx_http_tbucket_charge_t  *c;

    c = &ctx->charge;
    c->wait = 0;
    c->entry = TB_LEDGER_NONE;

    rc = ngx_http_tbucket_take_one(c, ctx);

    ctx->places = (c->entry != TB_LEDGER_NONE);

    if (rc == NGX_OK) {
        ctx->hold = (dry_run || c->limit->dry_run) ? 0 : c->wait;
        ngx_http_tbucket_count(c, dry_run);

        if (c->wait != 0) {
            ngx_http_tbucket_count_delay(c);
        }

        return NGX_OK;
    }

    if (rc != NGX_BUSY) {
        return rc;
    }

    ngx_http_tbucket_refusal(c, dry_run);

    if (c->limit->dry_run) {
        return NGX_ABORT;
    }

    ctx->untaken = 1;

    return dry_run ? NGX_ABORT : NGX_BUSY;
}


/*
 * The charges so far stay what the variables speak of, as a late limit may
 * rest on them, until all of its own are known.
 */

ngx_int_t
ngx_http_tbucket_decide_late(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                   rc;
    ngx_uint_t                  n;
    ngx_http_tbucket_ctx_t      late;
    ngx_http_tbucket_charge_t   first, *charges;

    if (ctx->status == NGX_HTTP_TBUCKET_NOT_LIMITED) {
        return ngx_http_tbucket_decide(r, limits, dry_run, ctx);
    }

    charges = ngx_palloc(r->pool, (1 + ctx->nothers + limits->nelts)
                                  * sizeof(ngx_http_tbucket_charge_t));
    if (charges == NULL) {
        return NGX_ERROR;
    }

    late = *ctx;
    late.nothers = 0;

    rc = ngx_http_tbucket_decide_fast(r, limits, &late);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_tbucket_decide(r, limits, dry_run, &late);
    }

    if (rc == NGX_AGAIN) {
        first = ctx->charge;
        ctx->charge = late.charge;

        rc = ctx->charge.zone->source->wait(r, ctx);

        ctx->charge = first;
        return (rc == NGX_AGAIN) ? NGX_AGAIN : NGX_ERROR;
    }

    if (rc != NGX_OK && rc != NGX_BUSY && rc != NGX_ABORT) {
        return rc;
    }

    if (late.untaken) {

        /* one refuses: none is charged, as if all had been asked at once */

        ngx_http_tbucket_give_all(ctx);
    }

    charges[0] = ctx->charge;
    n = 1;

    ngx_memcpy(&charges[n], ctx->others,
               ctx->nothers * sizeof(ngx_http_tbucket_charge_t));
    n += ctx->nothers;

    charges[n++] = late.charge;

    ngx_memcpy(&charges[n], late.others,
               late.nothers * sizeof(ngx_http_tbucket_charge_t));
    n += late.nothers;

    ctx->hold = late.hold;
    ngx_http_tbucket_set_charges(ctx, charges, n, rc);

    return rc;
}


void
ngx_http_tbucket_decide_overdue(ngx_http_tbucket_ctx_t *ctx)
{
    uint64_t                    cost;
    ngx_http_tbucket_charge_t   c, *late;

    late = ctx->overdue == 1 ? &ctx->charge : &ctx->others[ctx->overdue - 2];
    ctx->overdue = 0;

    cost = late->cost;

    ngx_http_tbucket_give_all(ctx);

    /* what its word owed, Redis has been told */

    late->verdict = TB_REFUSE;
    late->result.left = 0;
    late->cost = cost;

    /* it was counted when it came */

    atomic_fetch_sub_explicit(&late->zone->counters->passed, 1,
                              memory_order_relaxed);

    ngx_http_tbucket_refusal(late, 0);

    c = ctx->charge;
    ctx->charge = *late;

    if (late != &ctx->charge) {
        *late = c;
    }
}
