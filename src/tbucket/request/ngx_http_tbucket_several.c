
/*
 * Several limits of a request, or one that wants to know its clients: all
 * admit and are charged, or none is.
 */


#include "src/tbucket/request/ngx_http_tbucket_several.h"

#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/request/ngx_http_tbucket_charge.h"
#include "src/tbucket/request/ngx_http_tbucket_settle.h"
#include "src/tbucket/request/ngx_http_tbucket_wait.h"


static ngx_msec_t ngx_http_tbucket_close_all(
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n, ngx_flag_t dry_run,
    ngx_int_t rc, ngx_uint_t unknown);
static ngx_int_t ngx_http_tbucket_charge_all(ngx_http_request_t *r,
    ngx_array_t *limits, ngx_http_tbucket_charge_t *charges, ngx_uint_t *n);
static ngx_uint_t ngx_http_tbucket_only_unknown(
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n);
static ngx_inline ngx_uint_t ngx_http_tbucket_is_unknown(
    ngx_http_tbucket_charge_t *charge);
static ngx_http_tbucket_standing_e ngx_http_tbucket_known(
    ngx_http_tbucket_charge_t *charge, ngx_int_t rc);
static void ngx_http_tbucket_refuse_unknown(
    ngx_http_tbucket_charge_t *charge);
static ngx_int_t ngx_http_tbucket_ask_all(
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n,
    ngx_http_tbucket_ctx_t *ctx);
static void ngx_http_tbucket_untaken(ngx_http_tbucket_charge_t *charges,
    ngx_uint_t n);
static ngx_int_t ngx_http_tbucket_take_all(
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_uint_t ngx_http_tbucket_tightest(
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n, ngx_int_t rc);


ngx_int_t
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

    rc = ngx_http_tbucket_ask_all(charges, n, ctx);

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


void
ngx_http_tbucket_set_charges(ngx_http_tbucket_ctx_t *ctx,
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n, ngx_int_t rc)
{
    ngx_http_tbucket_put_charges(ctx, charges, n,
                                 ngx_http_tbucket_tightest(charges, n, rc));
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
        c->entry = TB_LEDGER_NONE;
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


/* Of a charge to a zone that wants to know its clients; rc: if it is one. */

static ngx_http_tbucket_standing_e
ngx_http_tbucket_known(ngx_http_tbucket_charge_t *c, ngx_int_t rc)
{
    if (rc != NGX_OK
        || (!c->zone->has_fallback
            && !tb_table_is_registered(c->zone->shared->table, &c->hash)))
    {
        return NGX_HTTP_TBUCKET_NOBODY;
    }

    return c->standing;
}


static void
ngx_http_tbucket_refuse_unknown(ngx_http_tbucket_charge_t *c)
{
    if (c->standing != NGX_HTTP_TBUCKET_UNKNOWN) {
        c->standing = NGX_HTTP_TBUCKET_NOBODY;
    }

    if (c->standing == NGX_HTTP_TBUCKET_NOBODY || c->verdict != TB_PASS) {

        /* nobody has been charged */

        c->cost = 0;
    }

    c->verdict = TB_REFUSE;
    c->wait = NGX_HTTP_TBUCKET_NEVER;
}


/*
 * Peeks at all buckets first, which changes nothing; only if all of
 * them admit takes from one after the other.  NGX_OK, NGX_BUSY, NGX_ABORT
 * where only limits that count would refuse, NGX_AGAIN or NGX_ERROR.
 */

static ngx_int_t
ngx_http_tbucket_ask_all(ngx_http_tbucket_charge_t *charges, ngx_uint_t n,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i;
    ngx_http_tbucket_charge_t  *c;

    if (n == 1) {
        return ngx_http_tbucket_take_all(charges, n, ctx);
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
        return ngx_http_tbucket_take_all(charges, n, NULL);
    }

    ngx_http_tbucket_untaken(charges, n);

    return NGX_BUSY;
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
ngx_http_tbucket_take_all(ngx_http_tbucket_charge_t *charges, ngx_uint_t n,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                   all, rc;
    ngx_uint_t                  i;
    ngx_http_tbucket_charge_t  *c;

    all = NGX_OK;
    rc = NGX_OK;

    for (i = 0; i < n; i++) {
        c = &charges[i];

        rc = c->verdict == TB_PASS ? ngx_http_tbucket_take_one(c, ctx)
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
                   ? UINT64_MAX : ngx_http_tbucket_more(&charges[i]);

            if (i == 0 || more < least) {
                tightest = i;
                least = more;
            }
        }
    }

    return tightest;
}
