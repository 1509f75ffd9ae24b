
/*
 * The state of a request on its way through an upstream.
 */


#include "src/lb/request/ngx_http_lb_ctx.h"

#include "src/common/ngx_gw_compat.h"
#include "src/core/balance/lb_gate.h"


static void ngx_http_lb_ctx_cleanup(void *data);


/* This worker's that serve no request, by cleanup.data. */

static ngx_http_lb_ctx_t  *ngx_http_lb_ctx_idle;


/*
 * It lies outside of the request's pool, which most requests would need
 * another block for, and serves the next request when its own is gone.
 */

ngx_http_lb_ctx_t *
ngx_http_lb_ctx_create(ngx_http_request_t *r, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_http_lb_ctx_t  *ctx;

    ctx = ngx_http_lb_ctx_idle;

    if (ctx != NULL) {
        ngx_http_lb_ctx_idle = ctx->cleanup.data;

    } else {
        ctx = ngx_alloc(sizeof(ngx_http_lb_ctx_t), r->connection->log);
        if (ctx == NULL) {
            return NULL;
        }
    }

    ctx->request = r;
    ctx->conf = lcf;
    ctx->queue = NULL;
    ctx->parked = NULL;
    ctx->waited = 0;
    ctx->turn = 0;
    ctx->total = 0;
    ctx->index = LB_NONE;
    ctx->how = LB_USUAL;
    ctx->sid = 0;
    ctx->picked = 0;
    ctx->session = 0;
    ctx->cookie = NULL;
    ctx->attempts = 0;
    ctx->stale = 0;
    ctx->fresh = 0;
    ctx->keyless = 0;
    ctx->broken = 0;
    ctx->error = NULL;
    ctx->text = NULL;
    ctx->key = NULL;
    ctx->log_handler = NULL;
    ctx->ask.row = lcf->row;
    ctx->ask.random = &lcf->random;
    ctx->ask.ages = lcf->ages;
    ctx->ask.bound = lcf->bound;
    ctx->ask.key = 0;
    ctx->ask.ring = NULL;
    ctx->ask.last = 0;
    ctx->ask.waits = 0;
    ctx->ask.tried.list = ctx->tried;
    ctx->ask.tried.number = 0;
    ctx->ask.tried.size = NGX_HTTP_LB_TRIED;

    ngx_str_null(&ctx->name);
    ngx_str_null(&ctx->failed);
    ngx_str_null(&ctx->reason);

    ctx->cleanup.handler = ngx_http_lb_ctx_cleanup;
    ctx->cleanup.data = ctx;
    ctx->cleanup.next = r->pool->cleanup;
    r->pool->cleanup = &ctx->cleanup;

    return ctx;
}


/*
 * Nothing is held here, unless the request was torn down by other ways.
 * nginx goes on to cleanup.next, which stays until the state is used.
 */

static void
ngx_http_lb_ctx_cleanup(void *data)
{
    ngx_http_lb_ctx_t  *ctx = data;

    ngx_http_lb_ctx_drop(ctx);

    ctx->cleanup.handler = NULL;
    ctx->cleanup.data = ngx_http_lb_ctx_idle;

    ngx_http_lb_ctx_idle = ctx;
}


/*
 * The state is found through the pool's list of clean-ups, which an internal
 * redirect leaves alone; subrequests share the pool.
 */

ngx_http_lb_ctx_t *
ngx_http_lb_ctx_get(ngx_http_request_t *r)
{
    ngx_http_lb_ctx_t   *ctx;
    ngx_pool_cleanup_t  *cln;

    cln = r->pool->cleanup;

    while ((ctx = ngx_http_lb_ctx_next(&cln)) != NULL) {

        if (ctx->request == r) {
            return ctx;
        }
    }

    return NULL;
}


ngx_http_lb_ctx_t *
ngx_http_lb_ctx_next(ngx_pool_cleanup_t **cln)
{
    ngx_pool_cleanup_t  *found;

    for (found = *cln; found; found = found->next) {

        if (found->handler == ngx_http_lb_ctx_cleanup) {
            *cln = found->next;
            return found->data;
        }
    }

    return NULL;
}


ngx_gw_hot void
ngx_http_lb_ctx_release(ngx_http_lb_ctx_t *ctx)
{
    lb_load_t  load;

    load = lb_roster_load(ctx->conf->roster);
    lb_load_drop(&load, ctx->ask.row, ctx->index);

    if (ctx->conf->bound) {
        atomic_fetch_sub_explicit(&ctx->conf->roster->in_flight, 1,
                                  memory_order_relaxed);
    }

    if (ctx->conf->ages) {
        ctx->conf->ages[ctx->index].number--;
        ctx->conf->ages[ctx->index].began -= ctx->held_at;
    }

    if (ctx->total) {
        lb_gate_drop(ctx->conf->roster, ctx->ask.row);
        ctx->total = 0;
    }

    /* not from here: this may be on the way of a request to another server */

    if (ctx->conf->gate && ctx->conf->gate->waiters.number != 0) {
        ngx_post_event(&ctx->conf->gate->wake, &ngx_posted_events);
    }

    ctx->index = LB_NONE;
}
