
/*
 * From a request to a decision: whose buckets it is charged to, what it
 * costs, and all or nothing where there are several.
 */


#include "src/tbucket/request/ngx_http_tbucket_decide.h"

#include "src/core/limit/tb_take.h"
#include "src/core/limit/tb_text.h"
#include "src/core/text/gw_addr.h"
#include "src/tbucket/ngx_http_tbucket_inflight.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/ngx_http_tbucket_top.h"
#include "src/tbucket/request/ngx_http_tbucket_key.h"
#include "src/tbucket/request/ngx_http_tbucket_plan.h"
#include "src/tbucket/request/ngx_http_tbucket_settle.h"
#include "src/tbucket/request/ngx_http_tbucket_wait.h"


static ngx_gw_inline ngx_int_t ngx_http_tbucket_charge(ngx_http_request_t *r,
    ngx_http_tbucket_limit_t *limit, ngx_http_tbucket_charge_t *charge);
static ngx_gw_noinline ngx_int_t ngx_http_tbucket_fall_back(
    ngx_http_request_t *r, ngx_http_tbucket_charge_t *charge, ngx_int_t rc);
static ngx_gw_noinline uint64_t ngx_http_tbucket_cost(
    ngx_http_request_t *r, ngx_http_tbucket_limit_t *limit);
static ngx_gw_inline ngx_int_t ngx_http_tbucket_take(
    ngx_http_tbucket_charge_t *charge, ngx_http_tbucket_ctx_t *ctx);
static ngx_gw_noinline ngx_int_t ngx_http_tbucket_search(
    ngx_http_tbucket_charge_t *charge, ngx_http_tbucket_ctx_t *ctx);
static ngx_gw_noinline ngx_int_t ngx_http_tbucket_decide_all(
    ngx_http_request_t *r, ngx_array_t *limits, ngx_flag_t dry_run,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_charge_all(ngx_http_request_t *r,
    ngx_array_t *limits, ngx_http_tbucket_charge_t *charges, ngx_uint_t *n);
static ngx_uint_t ngx_http_tbucket_only_unknown(
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n);
static ngx_inline ngx_uint_t ngx_http_tbucket_is_unknown(
    ngx_http_tbucket_charge_t *charge);
static void ngx_http_tbucket_refuse_unknown(
    ngx_http_tbucket_charge_t *charge);
static ngx_msec_t ngx_http_tbucket_close_all(
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n, ngx_flag_t dry_run,
    ngx_int_t rc, ngx_uint_t unknown);
static ngx_int_t ngx_http_tbucket_ask_all(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_peek(ngx_http_tbucket_charge_t *charge,
    ngx_http_tbucket_ctx_t *ctx);
static void ngx_http_tbucket_untaken(ngx_http_tbucket_charge_t *charges,
    ngx_uint_t n);
static ngx_int_t ngx_http_tbucket_take_all(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_take_one(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *charge, ngx_http_tbucket_ctx_t *ctx);
static ngx_gw_noinline ngx_int_t ngx_http_tbucket_decide_other(
    ngx_http_request_t *r, ngx_http_tbucket_charge_t *charge,
    ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx);
static ngx_gw_noinline ngx_int_t ngx_http_tbucket_too_little(
    ngx_http_tbucket_charge_t *charge, ngx_flag_t dry_run,
    ngx_http_tbucket_ctx_t *ctx);
static void ngx_http_tbucket_refusal(ngx_http_tbucket_charge_t *charge,
    ngx_flag_t dry_run);
static void ngx_http_tbucket_set_charges(ngx_http_tbucket_ctx_t *ctx,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n, ngx_int_t rc);
static ngx_uint_t ngx_http_tbucket_stands_apart(
    ngx_http_tbucket_charge_t *charge);
static ngx_gw_noinline ngx_uint_t ngx_http_tbucket_stand(
    ngx_http_tbucket_charge_t *charge, ngx_uint_t taken);
static ngx_uint_t ngx_http_tbucket_tightest(
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n, ngx_int_t rc);
static uint64_t ngx_http_tbucket_wait(ngx_http_tbucket_charge_t *charge);
static ngx_http_tbucket_standing_e ngx_http_tbucket_known(
    ngx_http_tbucket_charge_t *charge, ngx_int_t rc);
static void ngx_http_tbucket_count(ngx_http_tbucket_charge_t *charge,
    ngx_flag_t dry_run);


ngx_int_t
ngx_http_tbucket_decide(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_tbucket_limit_t   **limit;
    ngx_http_tbucket_charge_t   *charge;

    limit = limits->elts;

    if (limit[0]->zone->coarse_time) {

        /* nginx's own time stands still meanwhile */

        ngx_time_update();
    }

    if (limits->nelts > 1 || limit[0]->zone->known) {
        return ngx_http_tbucket_decide_all(r, limits, dry_run, ctx);
    }

    charge = &ctx->charge;

    rc = ngx_http_tbucket_charge(r, limit[0], charge);

    if (rc != NGX_OK) {
        return rc;
    }

    if (limit[0]->zone->kind != NGX_HTTP_TBUCKET_RATE) {
        return ngx_http_tbucket_decide_other(r, charge, dry_run, ctx);
    }

    if (ngx_http_tbucket_take(charge, ctx) != NGX_OK) {
        return NGX_AGAIN;
    }

    if (tb_limits_capacity(charge->result.limits) > TB_CAPACITY_MAX) {
        (void) ngx_http_tbucket_stand(charge, charge->verdict == TB_PASS);
    }

    if (charge->verdict != TB_PASS) {
        return ngx_http_tbucket_too_little(charge, dry_run, ctx);
    }

    ngx_http_tbucket_count(charge, dry_run);

    return NGX_OK;
}


/* The only limit is a quota, or of requests in flight. */

static ngx_int_t
ngx_http_tbucket_decide_other(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *c, ngx_flag_t dry_run,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t  rc;

    c->place = NULL;

    rc = ngx_http_tbucket_take_one(r, c, ctx);

    if (rc == NGX_BUSY) {
        return ngx_http_tbucket_too_little(c, dry_run, ctx);
    }

    if (rc == NGX_OK) {
        ngx_http_tbucket_count(c, dry_run);
    }

    return rc;
}


/* The only limit does not admit at once. */

static ngx_int_t
ngx_http_tbucket_too_little(ngx_http_tbucket_charge_t *c, ngx_flag_t dry_run,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_msec_t  hold;

    hold = (c->limit->wait != 0 && c->standing == NGX_HTTP_TBUCKET_LIMITED)
           ? ngx_http_tbucket_take_debt(c) : 0;

    if (c->verdict == TB_PASS) {
        ctx->hold = (dry_run || c->limit->dry_run) ? 0 : hold;
        ngx_http_tbucket_count(c, dry_run);
        ngx_http_tbucket_count_delay(c);
        return NGX_OK;
    }

    ngx_http_tbucket_refusal(c, dry_run);

    if (c->limit->dry_run) {
        return NGX_ABORT;
    }

    ctx->untaken = 1;

    return dry_run ? NGX_ABORT : NGX_BUSY;
}


/* Several limits, or one that takes more than a bucket that fills with time. */

static ngx_int_t
ngx_http_tbucket_decide_all(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                   rc;
    ngx_uint_t                  n, unknown;
    ngx_http_tbucket_charge_t  *charges;

    charges = ngx_palloc(r->pool, limits->nelts
                                  * sizeof(ngx_http_tbucket_charge_t));
    if (charges == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_tbucket_charge_all(r, limits, charges, &n);

    if (rc != NGX_OK) {
        return rc;
    }

    unknown = ngx_http_tbucket_only_unknown(charges, n);
    n = unknown ? unknown : n;

    rc = ngx_http_tbucket_ask_all(r, charges, n, ctx);

    if (rc != NGX_OK && rc != NGX_BUSY && rc != NGX_ABORT) {
        return rc;
    }

    ctx->hold = ngx_http_tbucket_close_all(charges, n, dry_run, rc, unknown);

    if (unknown) {
        rc = NGX_BUSY;
    }

    ctx->untaken = (rc == NGX_BUSY);

    ngx_http_tbucket_set_charges(ctx, charges, n, rc);

    return (rc == NGX_BUSY && dry_run) ? NGX_ABORT : rc;
}


/*
 * What the charges come to, now that the request is admitted or not, and how
 * long it is to wait.
 */

static ngx_msec_t
ngx_http_tbucket_close_all(ngx_http_tbucket_charge_t *charges, ngx_uint_t n,
    ngx_flag_t dry_run, ngx_int_t rc, ngx_uint_t unknown)
{
    ngx_uint_t                  i;
    ngx_msec_t                  hold;
    ngx_http_tbucket_charge_t  *c;

    hold = 0;

    for (i = 0; i < n; i++) {
        c = &charges[i];

        if ((unknown && rc != NGX_BUSY)
            || (c->verdict == TB_REFUSE && ngx_http_tbucket_is_unknown(c)
                && c->limit->dry_run))
        {
            ngx_http_tbucket_refuse_unknown(c);
            ngx_http_tbucket_count(c, dry_run);

        } else if (c->verdict == TB_REFUSE) {

            if (c->standing == NGX_HTTP_TBUCKET_UNKNOWN) {

                /* too many of them */

                c->standing = NGX_HTTP_TBUCKET_LIMITED;
            }

            ngx_http_tbucket_refusal(c, dry_run);

        } else if (rc != NGX_BUSY) {
            ngx_http_tbucket_count(c, dry_run);
            ngx_http_tbucket_count_delay(c);

            if (c->wait > hold && !dry_run && !c->limit->dry_run) {
                hold = c->wait;
            }
        }

        /* else it would have admitted a refused request, and did not */
    }

    return hold;
}


ngx_int_t
ngx_http_tbucket_decide_late(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                   rc;
    ngx_uint_t                  n;
    ngx_http_tbucket_ctx_t      first;
    ngx_http_tbucket_charge_t  *charges;

    if (ctx->status == NGX_HTTP_TBUCKET_NOT_LIMITED) {
        return ngx_http_tbucket_decide(r, limits, dry_run, ctx);
    }

    first = *ctx;

    charges = ngx_palloc(r->pool, (1 + ctx->nothers + limits->nelts)
                                  * sizeof(ngx_http_tbucket_charge_t));
    if (charges == NULL) {
        return NGX_ERROR;
    }

    ctx->nothers = 0;

    rc = ngx_http_tbucket_decide(r, limits, dry_run, ctx);

    if (rc == NGX_AGAIN) {
        rc = ctx->charge.zone->source->wait(r, ctx);
        rc = (rc == NGX_AGAIN) ? NGX_AGAIN : NGX_ERROR;
    }

    if (rc != NGX_OK && rc != NGX_BUSY && rc != NGX_ABORT) {
        ctx->charge = first.charge;
        ctx->nothers = first.nothers;
        return rc;
    }

    if (ctx->untaken) {

        /* one refuses: none is charged, as if all had been asked at once */

        ngx_http_tbucket_give_all(&first);
    }

    charges[0] = first.charge;
    n = 1;

    ngx_memcpy(&charges[n], first.others,
               first.nothers * sizeof(ngx_http_tbucket_charge_t));
    n += first.nothers;

    charges[n++] = ctx->charge;

    ngx_memcpy(&charges[n], ctx->others,
               ctx->nothers * sizeof(ngx_http_tbucket_charge_t));
    n += ctx->nothers;

    ngx_http_tbucket_set_charges(ctx, charges, n, rc);

    return rc;
}


/* The tightest is the request's own, the others follow. */

static void
ngx_http_tbucket_set_charges(ngx_http_tbucket_ctx_t *ctx,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n, ngx_int_t rc)
{
    ngx_uint_t  i;

    i = ngx_http_tbucket_tightest(charges, n, rc);

    ctx->charge = charges[i];
    charges[i] = charges[0];

    ctx->others = charges + 1;
    ctx->nothers = n - 1;
}


/*
 * When the request would pass, as its penalty leaves it; its cost becomes what
 * it has been charged.
 */

static void
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


/* NGX_DECLINED if no limit applies. */

static ngx_int_t
ngx_http_tbucket_charge_all(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t *n)
{
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    ngx_http_tbucket_limit_t   **limit;
    ngx_http_tbucket_charge_t   *c;

    limit = limits->elts;
    *n = 0;

    for (i = 0; i < limits->nelts; i++) {
        c = &charges[*n];
        c->place = NULL;
        c->wait = 0;
        c->verdict = TB_PASS;

        rc = ngx_http_tbucket_charge(r, limit[i], c);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (c->zone->known) {
            c->standing = ngx_http_tbucket_known(c, rc);

            if (rc != NGX_OK) {
                ngx_str_set(&c->client, "");
                c->hash = tb_hash(c->client.data, 0,
                                  c->zone->shared->secret);
                rc = NGX_OK;
            }

            if (c->limit->dry_run && ngx_http_tbucket_is_unknown(c)) {
                c->verdict = TB_REFUSE;
            }
        }

        *n += (rc == NGX_OK);
    }

    return *n ? NGX_OK : NGX_DECLINED;
}


/*
 * A request by somebody unknown is refused, and charged to the fallback of
 * the limits that ask for more, so that it is too many of these first.
 * Moves them to the front and returns how many there are.
 */

static ngx_uint_t
ngx_http_tbucket_only_unknown(ngx_http_tbucket_charge_t *charges,
    ngx_uint_t n)
{
    ngx_uint_t  i, unknown;

    unknown = 0;

    for (i = 0; i < n; i++) {

        if (ngx_http_tbucket_is_unknown(&charges[i])
            && !charges[i].limit->dry_run)
        {
            charges[unknown++] = charges[i];
        }
    }

    return unknown;
}


static ngx_inline ngx_uint_t
ngx_http_tbucket_is_unknown(ngx_http_tbucket_charge_t *c)
{
    return c->standing == NGX_HTTP_TBUCKET_UNKNOWN
           || c->standing == NGX_HTTP_TBUCKET_NOBODY;
}


static void
ngx_http_tbucket_refuse_unknown(ngx_http_tbucket_charge_t *c)
{
    c->verdict = TB_REFUSE;
    c->wait = NGX_HTTP_TBUCKET_NEVER;

    if (c->standing != NGX_HTTP_TBUCKET_UNKNOWN) {
        c->standing = NGX_HTTP_TBUCKET_NOBODY;
    }
}


/*
 * Peeks at all buckets first, which changes nothing; only if all of
 * them admit takes from one after the other.  NGX_OK, NGX_BUSY, NGX_ABORT
 * where only limits that count would refuse, NGX_AGAIN or NGX_ERROR.
 */

static ngx_int_t
ngx_http_tbucket_ask_all(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i;
    ngx_http_tbucket_charge_t  *c;

    if (n == 1) {
        return ngx_http_tbucket_take_all(r, charges, n, ctx);
    }

    rc = NGX_OK;

    for (i = 0; i < n; i++) {
        c = &charges[i];

        if (c->verdict != TB_PASS) {
            continue;
        }

        if (ngx_http_tbucket_peek(c, ctx) != NGX_OK) {
            ctx->charge = *c;
            return NGX_AGAIN;
        }

        if (c->verdict == TB_REFUSE && ngx_http_tbucket_may_wait(c)) {
            c->verdict = TB_PASS;
            c->result.left -= (int64_t) c->cost;
        }

        if (c->verdict == TB_REFUSE && !c->limit->dry_run) {
            rc = NGX_BUSY;
        }
    }

    if (rc == NGX_OK) {
        return ngx_http_tbucket_take_all(r, charges, n, NULL);
    }

    ngx_http_tbucket_untaken(charges, n);

    return NGX_BUSY;
}


/* What taking from the bucket would come to. */

static ngx_int_t
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


/* What is left where a peek found enough, and nothing is taken. */

static void
ngx_http_tbucket_untaken(ngx_http_tbucket_charge_t *charges, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (charges[i].verdict == TB_PASS) {
            charges[i].result.left += charges[i].cost;
            charges[i].cost = 0;
        }
    }
}


/*
 * Takes from all that admit.  Somebody else may empty a bucket between the
 * peek and the take.  With a ctx the only charge may have to wait for a lease.
 */

static ngx_int_t
ngx_http_tbucket_take_all(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                   all, rc;
    ngx_uint_t                  i;
    ngx_http_tbucket_charge_t  *c;

    all = NGX_OK;
    rc = NGX_OK;

    for (i = 0; i < n; i++) {
        c = &charges[i];

        rc = c->verdict == TB_PASS ? ngx_http_tbucket_take_one(r, c, ctx)
                                   : NGX_BUSY;

        if (rc == NGX_AGAIN) {
            ctx->charge = *c;
        }

        if (rc == NGX_BUSY && c->limit->dry_run) {
            all = NGX_ABORT;

        } else if (rc != NGX_OK) {
            break;
        }
    }

    if (i == n) {
        return all;
    }

    while (i-- > 0) {
        if (charges[i].verdict == TB_PASS) {
            ngx_http_tbucket_give(&charges[i]);
        }
    }

    return rc;
}


/* NGX_OK, NGX_BUSY, NGX_AGAIN or NGX_ERROR. */

static ngx_int_t
ngx_http_tbucket_take_one(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *c, ngx_http_tbucket_ctx_t *ctx)
{
    if (c->standing == NGX_HTTP_TBUCKET_NOBODY) {
        c->verdict = TB_PASS;
        return NGX_OK;
    }

    if (c->zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {

        if (ngx_http_tbucket_inflight_take(r->pool, c) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (ngx_http_tbucket_search(c, ctx) != NGX_OK) {
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


/*
 * Whether the limits of the result are those that stand for being blocked or
 * not limited at all; then what was taken is given back.
 */

static ngx_gw_noinline ngx_uint_t
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


/*
 * One of a client that is blocked; of the refusals the one that lasts longest,
 * where those of limits that only count come last; if all admit, the one that
 * admits the fewest further requests like this.
 */

static ngx_uint_t
ngx_http_tbucket_tightest(ngx_http_tbucket_charge_t *charges, ngx_uint_t n,
    ngx_int_t rc)
{
    uint64_t    least, more;
    ngx_uint_t  i, refused, tightest;

    least = 0;
    refused = 0;
    tightest = 0;

    for (i = 0; i < n; i++) {

        if (rc == NGX_BUSY && charges[i].verdict == TB_REFUSE
            && charges[i].limit->dry_run)
        {
            continue;
        }

        if (charges[i].standing == NGX_HTTP_TBUCKET_BLOCKED) {
            return i;
        }

        if (charges[i].verdict == TB_REFUSE) {
            more = charges[i].wait;

            if (!refused || more > least) {
                refused = 1;
                tightest = i;
                least = more;
            }

        } else if (!refused) {
            more = (charges[i].standing == NGX_HTTP_TBUCKET_UNLIMITED
                    || charges[i].standing == NGX_HTTP_TBUCKET_NOBODY)
                   ? UINT64_MAX
                   : ngx_http_tbucket_left(&charges[i])
                     / ngx_max(charges[i].cost, 1);

            if (i == 0 || more < least) {
                tightest = i;
                least = more;
            }
        }
    }

    return tightest;
}


/* Fills in whose bucket it is and the cost; NGX_DECLINED: nobody's. */

static ngx_gw_inline ngx_int_t
ngx_http_tbucket_charge(ngx_http_request_t *r,
    ngx_http_tbucket_limit_t *limit, ngx_http_tbucket_charge_t *charge)
{
    ngx_int_t                   rc;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_shared_t  *shared;

    zone = limit->zone;
    shared = zone->shared;

    charge->limit = limit;
    charge->zone = zone;
    charge->standing = NGX_HTTP_TBUCKET_LIMITED;

    rc = ngx_http_tbucket_key_value(r, &zone->key, &charge->client);

    if (rc == NGX_OK) {
        charge->hash = tb_hash(charge->client.data, charge->client.len,
                               shared->secret);
    }

    if (zone->has_fallback && rc != NGX_ERROR) {
        rc = ngx_http_tbucket_fall_back(r, charge, rc);
    }

    charge->cost = limit->cost ? ngx_http_tbucket_cost(r, limit)
                               : limit->utok;

    if (limit->plan != NULL && rc == NGX_OK) {
        ngx_http_tbucket_plan(r, charge);
    }

    return rc;
}


/* Of a charge to a zone that wants to know its clients; rc: if it is one. */

static ngx_http_tbucket_standing_e
ngx_http_tbucket_known(ngx_http_tbucket_charge_t *c, ngx_int_t rc)
{
    if (rc != NGX_OK
        || (!c->zone->has_fallback
            && !tb_table_is_client(c->zone->shared->table, &c->hash)))
    {
        return NGX_HTTP_TBUCKET_NOBODY;
    }

    return c->standing;
}


/* Only the key of a registered client stands for itself; rc: if there is. */

static ngx_int_t
ngx_http_tbucket_fall_back(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *charge, ngx_int_t rc)
{
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_shared_t  *shared;

    zone = charge->zone;
    shared = zone->shared;

    if (rc == NGX_OK
        && tb_table_is_client(shared->table, &charge->hash)
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


static ngx_gw_inline ngx_int_t
ngx_http_tbucket_take(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;

    c->verdict = tb_table_take_first(zone->shared->table, &c->hash,
                                     ngx_current_msec, zone->limits, c->cost,
                                     &c->result);

    if (c->verdict == TB_PASS
        || (c->verdict == TB_REFUSE && zone->source == NULL))
    {
        return NGX_OK;
    }

    return ngx_http_tbucket_search(c, ctx);
}


/* The key is not where most are; it may be new.  Or there is a source. */

static ngx_int_t
ngx_http_tbucket_search(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx)
{
    uint64_t                  now;
    tb_table_t               *table;
    tb_limits_t               dflt;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;
    table = zone->shared->table;

    if (zone->source != NULL) {
        return ngx_http_tbucket_stands_apart(c) ? NGX_OK
                                                : zone->source->take(c, ctx);
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (zone->kind == NGX_HTTP_TBUCKET_QUOTA) {
        c->verdict = tb_table_take_first(table, &c->hash, now, dflt, c->cost,
                                         &c->result);

        if (c->verdict != TB_ABSENT) {
            return NGX_OK;
        }
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


static void
ngx_http_tbucket_count(ngx_http_tbucket_charge_t *charge, ngx_flag_t dry_run)
{
    _Atomic uint64_t             *counter;
    ngx_http_tbucket_counters_t  *counters;

    counters = charge->zone->shared->counters;
    counters += ngx_worker % NGX_HTTP_TBUCKET_COUNTERS;

    counter = charge->verdict == TB_PASS ? &counters->passed
              : (dry_run || charge->limit->dry_run) ? &counters->dry_run
              : &counters->rejected;

    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);

    ngx_http_tbucket_top_see(charge);
}
