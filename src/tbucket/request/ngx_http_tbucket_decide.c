
/*
 * From a request to a decision: whose buckets it is charged to, what it
 * costs, and all or nothing where there are several.
 */


#include "src/tbucket/request/ngx_http_tbucket_decide.h"

#include "src/core/limit/tb_take.h"
#include "src/core/limit/tb_text.h"
#include "src/core/text/gw_addr.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/ngx_http_tbucket_top.h"
#include "src/tbucket/request/ngx_http_tbucket_key.h"


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
static ngx_int_t ngx_http_tbucket_peek(ngx_http_tbucket_charge_t *charge,
    ngx_http_tbucket_ctx_t *ctx);
static void ngx_http_tbucket_untaken(ngx_http_tbucket_charge_t *charges,
    ngx_uint_t n);
static ngx_int_t ngx_http_tbucket_take_all(ngx_http_tbucket_charge_t *charges,
    ngx_uint_t n);
static ngx_uint_t ngx_http_tbucket_tightest(
    ngx_http_tbucket_charge_t *charges, ngx_uint_t n);
static uint64_t ngx_http_tbucket_wait(ngx_http_tbucket_charge_t *charge);
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

    if (limits->nelts > 1) {
        return ngx_http_tbucket_decide_all(r, limits, dry_run, ctx);
    }

    charge = &ctx->charge;

    rc = ngx_http_tbucket_charge(r, limit[0], charge);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_tbucket_take(charge, ctx) != NGX_OK) {
        return NGX_AGAIN;
    }

    ngx_http_tbucket_count(charge, dry_run);

    if (charge->verdict == TB_PASS) {
        return NGX_OK;
    }

    charge->wait = ngx_http_tbucket_wait(charge);

    return NGX_BUSY;
}


/*
 * Peeks at all buckets first, which changes nothing; only if all of
 * them admit takes from one after the other.
 */

static ngx_int_t
ngx_http_tbucket_decide_all(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_uint_t                   i, n;
    ngx_http_tbucket_limit_t   **limit;
    ngx_http_tbucket_charge_t   *charges;

    charges = ngx_palloc(r->pool, limits->nelts
                                  * sizeof(ngx_http_tbucket_charge_t));
    if (charges == NULL) {
        return NGX_ERROR;
    }

    limit = limits->elts;
    n = 0;

    for (i = 0; i < limits->nelts; i++) {
        rc = ngx_http_tbucket_charge(r, limit[i], &charges[n]);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        n += (rc == NGX_OK);
    }

    if (n == 0) {
        return NGX_DECLINED;
    }

    rc = NGX_OK;

    for (i = 0; i < n; i++) {

        if (ngx_http_tbucket_peek(&charges[i], ctx) != NGX_OK) {
            ctx->charge = charges[i];
            return NGX_AGAIN;
        }

        if (charges[i].verdict == TB_REFUSE) {
            rc = NGX_BUSY;
        }
    }

    if (rc == NGX_OK) {
        rc = ngx_http_tbucket_take_all(charges, n);

    } else {
        ngx_http_tbucket_untaken(charges, n);
    }

    for (i = 0; i < n; i++) {

        if (charges[i].verdict == TB_REFUSE) {
            charges[i].wait = ngx_http_tbucket_wait(&charges[i]);

        } else if (rc != NGX_OK) {

            /* would have admitted a refused request, and did not */

            continue;
        }

        ngx_http_tbucket_count(&charges[i], dry_run);
    }

    i = ngx_http_tbucket_tightest(charges, n);

    ctx->charge = charges[i];
    charges[i] = charges[0];

    ctx->others = charges + 1;
    ctx->nothers = n - 1;

    return rc;
}


/* What taking from the bucket would come to. */

static ngx_int_t
ngx_http_tbucket_peek(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx)
{
    uint64_t                  now;
    tb_limits_t               dflt;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;

    if (zone->source != NULL) {
        return zone->source->peek(c, ctx);
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    c->verdict = tb_table_peek(zone->shared->table, &c->hash, now, dflt,
                               c->cost, &c->result);

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
        }
    }
}


/* Somebody else may empty a bucket between the peek and the take. */

static ngx_int_t
ngx_http_tbucket_take_all(ngx_http_tbucket_charge_t *charges, ngx_uint_t n)
{
    uint64_t                    now;
    ngx_uint_t                  i;
    tb_limits_t                 dflt;
    ngx_http_tbucket_charge_t  *c;

    for (i = 0; i < n; i++) {
        c = &charges[i];

        (void) ngx_http_tbucket_search(c, NULL);

        if (c->verdict != TB_PASS) {
            c->verdict = TB_REFUSE;
            break;
        }
    }

    if (i == n) {
        return NGX_OK;
    }

    while (i-- > 0) {
        c = &charges[i];

        if (c->zone->source != NULL) {

            /* others may have reported less by now: no way to give back */

            continue;
        }

        dflt = ngx_http_tbucket_limits(c->zone, &now);

        tb_table_give(c->zone->shared->table, &c->hash, now, dflt, c->cost);

        c->result.left += c->cost;
    }

    return NGX_BUSY;
}


/*
 * Of the refusals the one that lasts longest; if all admit, the one that
 * admits the fewest further requests like this one.
 */

static ngx_uint_t
ngx_http_tbucket_tightest(ngx_http_tbucket_charge_t *charges, ngx_uint_t n)
{
    uint64_t    least, more;
    ngx_uint_t  i, refused, tightest;

    least = 0;
    refused = 0;
    tightest = 0;

    for (i = 0; i < n; i++) {

        if (charges[i].verdict == TB_REFUSE) {
            more = charges[i].wait;

            if (!refused || more > least) {
                refused = 1;
                tightest = i;
                least = more;
            }

        } else if (!refused) {
            more = ngx_http_tbucket_left(&charges[i])
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

    charge->zone = zone;

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

    return rc;
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
        return TB_TOKEN;
    }

    status = tb_text_cost((char *) value.data, value.len, 1, &utok);

    return (status == TB_TEXT_OK || status == TB_TEXT_LARGE) ? utok
                                                             : TB_TOKEN;
}


static ngx_gw_inline ngx_int_t
ngx_http_tbucket_take(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx)
{
    uint64_t                  now;
    tb_limits_t               dflt;
    ngx_http_tbucket_zone_t  *zone;

    zone = c->zone;
    dflt = ngx_http_tbucket_limits(zone, &now);

    c->verdict = tb_table_take_first(zone->shared->table, &c->hash, now,
                                     dflt, c->cost, &c->result);

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
        return zone->source->take(c, ctx);
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

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
    if (charge->zone->source != NULL) {
        return charge->zone->source->retry(charge);
    }

    return tb_word_wait(charge->result.word, charge->result.limits,
                        ngx_current_msec, charge->cost);
}


static void
ngx_http_tbucket_count(ngx_http_tbucket_charge_t *charge, ngx_flag_t dry_run)
{
    _Atomic uint64_t             *counter;
    ngx_http_tbucket_counters_t  *counters;

    counters = charge->zone->shared->counters;
    counters += ngx_worker % NGX_HTTP_TBUCKET_COUNTERS;

    counter = charge->verdict == TB_PASS ? &counters->passed
              : dry_run ? &counters->dry_run : &counters->rejected;

    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);

    ngx_http_tbucket_top_see(charge);
}
