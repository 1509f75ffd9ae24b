
/*
 * A request's way through an upstream: which server each attempt goes to,
 * and what became of it.
 */


#include "src/lb/request/ngx_http_lb_peer.h"

#include "src/common/ngx_gw_compat.h"
#include "src/core/balance/lb_gate.h"
#include "src/core/balance/lb_hash.h"
#include "src/core/balance/lb_pick.h"
#include "src/core/balance/lb_sid.h"
#include "src/lb/request/ngx_http_lb_ctx.h"
#include "src/lb/request/ngx_http_lb_keepalive.h"
#include "src/lb/request/ngx_http_lb_proxy_status.h"
#include "src/lb/request/ngx_http_lb_queue.h"
#include "src/lb/request/ngx_http_lb_queue_conf.h"
#include "src/lb/request/ngx_http_lb_reason.h"
#include "src/lb/request/ngx_http_lb_result.h"
#include "src/lb/request/ngx_http_lb_session.h"
#include "src/lb/request/ngx_http_lb_sticky.h"
#include "src/lb/upstream/ngx_http_lb_budget.h"
#include "src/lb/upstream/ngx_http_lb_log.h"
#include "src/lb/upstream/ngx_http_lb_method.h"
#include "src/lb/upstream/ngx_http_lb_ring.h"


static ngx_int_t ngx_http_lb_get_peer(ngx_peer_connection_t *pc, void *data);
static void ngx_http_lb_hint(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
static ngx_int_t ngx_http_lb_hinted(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
static uint32_t ngx_http_lb_pick(ngx_http_lb_ctx_t *ctx);
static void ngx_http_lb_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static void ngx_http_lb_free_place(ngx_http_lb_ctx_t *ctx, ngx_uint_t state);
static void ngx_http_lb_free_failed(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
static void ngx_http_lb_finalize(ngx_http_request_t *r, ngx_int_t rc);
static ngx_uint_t ngx_http_lb_answered(ngx_http_lb_ctx_t *ctx);
static ngx_uint_t ngx_http_lb_may_try(ngx_http_lb_ctx_t *ctx);
static ngx_int_t ngx_http_lb_hold(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc, uint32_t index);
static ngx_inline ngx_str_t *ngx_http_lb_name(ngx_http_lb_ctx_t *ctx,
    lb_identity_t *identity);
static ngx_int_t ngx_http_lb_tried_add(ngx_http_lb_ctx_t *ctx, uint32_t index);
static ngx_uint_t ngx_http_lb_was_stale(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);


ngx_gw_hot ngx_int_t
ngx_http_lb_init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    ngx_int_t                rc;
    ngx_http_lb_ctx_t       *ctx;
    ngx_http_upstream_t     *u;
    ngx_http_lb_srv_conf_t  *lcf;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "lb init peer, upstream \"%V\"", &us->host);

    lcf = ngx_http_conf_upstream_srv_conf(us, ngx_http_lb_upstream_module);

    ctx = ngx_http_lb_ctx_create(r, lcf);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (lcf->key != NULL || lcf->ip_hash) {
        rc = ngx_http_lb_method_key(r, lcf, &ctx->ask.key);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        ctx->keyless = (rc == NGX_DECLINED);
    }

    if ((lcf->sticky && ngx_http_lb_sticky_find(ctx) != NGX_OK)
        || (lcf->gate
            && ngx_http_lb_queue_find(r, lcf, &ctx->queue) != NGX_OK))
    {
        return NGX_ERROR;
    }

    ctx->ask.waits = (ctx->queue != NULL);

    ngx_http_lb_reason_watch(ctx);

    u = r->upstream;

    ctx->finalize = u->finalize_request;
    u->finalize_request = ngx_http_lb_finalize;

    u->peer.data = ctx;
    u->peer.get = ngx_http_lb_get_peer;
    u->peer.free = ngx_http_lb_free_peer;
    u->peer.tries = atomic_load_explicit(&lcf->roster->pickable,
                                         memory_order_relaxed);
#if (NGX_HTTP_SSL)
    u->peer.set_session = ngx_http_lb_set_session;
    u->peer.save_session = ngx_http_lb_save_session;
#endif

    return NGX_OK;
}


static ngx_gw_hot ngx_int_t
ngx_http_lb_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_lb_ctx_t  *ctx = data;

    uint32_t                 index;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb get peer, tries: %ui", pc->tries);

    pc->cached = 0;
    pc->connection = NULL;
    ctx->key = NULL;

    ngx_http_lb_ctx_drop(ctx);

    ctx->ask.now = ngx_current_msec;

    if (lcf->ketama || lcf->ip_hash) {
        ngx_http_lb_ring(lcf);
        ctx->ask.ring = lcf->ring;
    }

    if (lcf->hinted) {
        ngx_http_lb_hint(ctx, pc);
    }

    index = ngx_http_lb_pick(ctx);

    if (index == LB_NONE) {

        if (ctx->how == LB_FULL) {
            return ngx_http_lb_queue_park(ctx, pc);
        }

        ngx_http_lb_log_empty(lcf, pc->log);

        pc->name = &lcf->upstream->host;

        if (ctx->error == NULL) {
            ctx->error = "destination_unavailable";
        }

        return NGX_BUSY;
    }

    if (ngx_http_lb_queue_parked(ctx)) {
        ngx_http_lb_queue_unpark(ctx, pc);
    }

    if (ngx_http_lb_hold(ctx, pc, index) != NGX_OK
        || (lcf->sticky && ngx_http_lb_sticky_picked(ctx) != NGX_OK)
        || (lcf->hinted && ngx_http_lb_hinted(ctx, pc) != NGX_OK))
    {
        return NGX_ERROR;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb get peer: %V, slot %uD, how %d",
                   &ctx->name, index, ctx->how);

    if (ctx->failed.len) {
        ngx_http_lb_result_retried(ctx, pc->log);
        ctx->failed.len = 0;
    }

    ctx->reason.len = 0;
    ctx->error = NULL;

    /*
     * An answer that another server might do better is passed over only if
     * there is one.  At first all those of the view are left.
     */

    if (ctx->attempts > 1 || ctx->how != LB_USUAL || lcf->budget.window
        || atomic_load_explicit(&lcf->roster->limited, memory_order_relaxed))
    {
        pc->tries = 1 + (ngx_http_lb_may_try(ctx)
                         && lb_pick_left(lcf->roster, &ctx->ask, 0)
                         && ngx_http_lb_budget_allows(lcf));
    }

    /* NGX_DONE: there is no need to connect */

    if (lcf->keepalive.stacks && !ctx->fresh
        && ngx_http_lb_keepalive_get(ctx, pc) == NGX_OK)
    {
        return NGX_DONE;
    }

    if (ctx->attempts > 1) {
        ngx_http_lb_keepalive_restart(ctx->request);
    }

    return NGX_OK;
}


/* the server that nginx's "sticky" asks for */

static void
ngx_http_lb_hint(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_str_t  *hint;

    hint = ngx_gw_peer_hint(pc);

    ctx->sid = (hint && hint->len && hint->len <= LB_SID_MAX)
               ? lb_sid_hash(hint->data, hint->len) : 0;
}


/* and the one that it got; the slot is held, and stays the server's */

static ngx_int_t
ngx_http_lb_hinted(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_str_t      *sid;
    lb_identity_t  *identity;

    identity = lb_roster_identity(ctx->conf->roster, ctx->index);

    sid = ngx_palloc(ctx->request->pool, sizeof(ngx_str_t) + LB_SID_MAX);
    if (sid == NULL) {
        return NGX_ERROR;
    }

    sid->len = ngx_min(identity->sid_length, LB_SID_MAX);
    sid->data = (u_char *) (sid + 1);
    ngx_memcpy(sid->data, identity->sid, sid->len);

    ngx_gw_peer_set_sid(pc, sid->len ? sid : NULL);

    return NGX_OK;
}


/* LB_NONE: there is no server for the request, or with LB_FULL not yet */

static uint32_t
ngx_http_lb_pick(ngx_http_lb_ctx_t *ctx)
{
    uint32_t                 index;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;
    index = LB_NONE;

    ctx->how = LB_FULL;

    if (ctx->queue && ngx_http_lb_queue_waits(ctx)) {
        return LB_NONE;
    }

    if (lcf->automatic) {

        if (!lb_gate_take(lcf->roster, ctx->ask.row,
                          ctx->queue && ctx->queue->automatic))
        {
            return LB_NONE;
        }

        ctx->total = 1;
    }

    ctx->how = LB_USUAL;

    if (ctx->sid != 0) {
        index = lb_pick_sticky(lcf->roster, &ctx->ask, ctx->sid,
                               lcf->hinted);
    }

    if (index == LB_NONE) {
        index = lb_pick(lcf->roster,
                        ctx->keyless ? lb_hash_keyless : lcf->method->pick,
                        &ctx->ask, &ctx->how);
    }

    if (index == LB_NONE && ctx->total) {
        lb_gate_drop(lcf->roster, ctx->ask.row);
        ctx->total = 0;
    }

    return index;
}


static ngx_gw_hot void
ngx_http_lb_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    ngx_http_lb_ctx_t  *ctx = data;

    ngx_http_upstream_state_t  *us;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb free peer, tries: %ui, state: %ui", pc->tries, state);

    if (pc->tries) {
        pc->tries--;
    }

    if (ngx_http_lb_queue_parked(ctx)) {
        ngx_http_lb_queue_unpark(ctx, pc);
        return;
    }

    if (ctx->index == LB_NONE) {
        ngx_http_lb_queue_leave_nowhere(pc);
        return;
    }

    if (ctx->conf->gate) {
        ngx_http_lb_free_place(ctx, state);
    }

    if (!(state & NGX_PEER_FAILED)) {

        /* a client that went away before the answer says nothing */

        if (ngx_http_lb_answered(ctx)) {
            us = ctx->request->upstream->state;

            ngx_http_lb_result_count(ctx, us);

            if (ctx->broken) {
                ngx_http_lb_result_broken(ctx, pc);

            } else {
                ngx_http_lb_result_passed(ctx, us->header_time);
            }
        }

        if (ctx->conf->keepalive.stacks) {
            ngx_http_lb_keepalive_put(ctx, pc);
        }

        if (state & NGX_PEER_NEXT) {
            pc->tries = ngx_http_lb_may_try(ctx)
                        && lb_pick_left(ctx->conf->roster, &ctx->ask, 0)
                        && ngx_http_lb_budget_allows(ctx->conf);
        }

    } else {
        ngx_http_lb_free_failed(ctx, pc);
    }

    ngx_http_lb_ctx_drop(ctx);
}


/*
 * What a queue goes by: how long requests take, and with an automatic limit
 * the time to the header, or that in which none has come.
 */

static void
ngx_http_lb_free_place(ngx_http_lb_ctx_t *ctx, ngx_uint_t state)
{
    uint64_t      took;
    ngx_uint_t    answered;
    lb_roster_t  *roster;

    roster = ctx->conf->roster;
    answered = ngx_http_lb_answered(ctx);
    took = (uint64_t) (ngx_current_msec - ctx->held_at) * 1000 + 500;

    if (answered && !(state & NGX_PEER_FAILED)) {
        lb_gate_served(roster, took);
    }

    if (!ctx->conf->automatic) {
        return;
    }

    if (answered) {
        took = (uint64_t) ctx->request->upstream->state->header_time * 1000
               + 500;

    } else if (took <= lb_limit_base(&roster->gate.limit)) {
        return;
    }

    lb_limit_enter(&roster->gate.limit,
                   (uint32_t) ngx_min(took, LB_LIMIT_TIME_MAX),
                   lb_gate_total(roster), ngx_current_msec,
                   (uint32_t) lb_random(ctx->ask.random));
}


/*
 * nginx goes on as long as there are tries left, and adds one if a kept
 * connection was of no use.
 */

static void
ngx_http_lb_free_failed(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_uint_t  answered, left, excused;

    excused = ngx_http_lb_reason_excuses(ctx, pc);
    answered = ngx_http_lb_answered(ctx);

    /* whatever the reason was: the next attempt is to tell for sure */

    if (pc->cached && !answered) {
        ctx->fresh = 1;
    }

    if (ngx_http_lb_was_stale(ctx, pc)) {

        /* a fresh connection to the same server is no second attempt */

        ctx->ask.tried.number--;
        ctx->stale++;
        return;
    }

    pc->cached = 0;

    if (excused) {
        ngx_http_lb_result_excused(ctx, pc);

    } else {
        ngx_http_lb_result_failed(ctx, pc);
    }

    if (!answered) {
        ngx_http_lb_proxy_status_failed(ctx, pc, excused);
    }

    if (ctx->cookie) {
        ngx_http_lb_sticky_failed(ctx);
    }

    left = lb_pick_left(ctx->conf->roster, &ctx->ask, !answered)
           || (!answered && ctx->queue
               && lb_pick_full(ctx->conf->roster, &ctx->ask));

    if (!left && !excused) {
        ngx_http_lb_log_empty(ctx->conf, pc->log);
    }

    pc->tries = left && ngx_http_lb_may_try(ctx);

    if (pc->tries && !ngx_http_lb_budget_allows(ctx->conf)) {
        ngx_http_lb_budget_denied(ctx->conf, pc->log);
        pc->tries = 0;
    }
}


/*
 * How a response has ended is told to the module that wanted it, and not to
 * the balancer.  A status of nginx's own stands for what the server did if
 * it is not that of its answer; streams of an upgraded connection have no end
 * to miss.
 */

static ngx_gw_hot void
ngx_http_lb_finalize(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_lb_ctx_t    *ctx;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    ctx = ngx_http_lb_ctx_get(r);

    ctx->broken = (rc == NGX_HTTP_BAD_GATEWAY
                   || rc == NGX_HTTP_GATEWAY_TIME_OUT)
                  && !u->upgrade
                  && (ngx_uint_t) rc != u->headers_in.status_n;

    ctx->finalize(r, rc);
}


static ngx_uint_t
ngx_http_lb_answered(ngx_http_lb_ctx_t *ctx)
{
    ngx_http_upstream_state_t  *state;

    state = ctx->request->upstream->state;

    return state && state->header_time != (ngx_msec_t) -1;
}


/* whether proxy_next_upstream_tries leaves another attempt */

static ngx_uint_t
ngx_http_lb_may_try(ngx_http_lb_ctx_t *ctx)
{
    ngx_uint_t  limit;

    limit = ctx->request->upstream->conf->next_upstream_tries;

    return limit == 0 || ctx->attempts - ctx->stale < limit;
}


/*
 * Address and name lie in shared memory.  The server stays there as long as
 * it is held, but nginx keeps the name for $upstream_addr till the end.
 */

static ngx_int_t
ngx_http_lb_hold(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc,
    uint32_t index)
{
    ngx_str_t      *name;
    lb_roster_t    *roster;
    lb_identity_t  *identity;

    roster = ctx->conf->roster;
    identity = lb_roster_identity(roster, index);

    ctx->index = index;
    ctx->generation = gw_load_acquire(&lb_roster_server(roster, index)
                                       ->generation);
    ctx->attempts++;

    /* a fresh connection in place of a stale one is neither */

    if (ctx->attempts == 1 || ctx->attempts - ctx->stale > 1) {
        ngx_http_lb_budget_count(ctx->conf, ctx->attempts > 1);
    }

    if (ctx->conf->bound) {
        atomic_fetch_add_explicit(&ctx->conf->roster->in_flight, 1,
                                  memory_order_relaxed);
    }

    ctx->held_at = ngx_current_msec;

    if (ctx->conf->ages) {
        ctx->conf->ages[index].number++;
        ctx->conf->ages[index].began += ngx_current_msec;
    }

    name = ngx_http_lb_name(ctx, identity);

    if (name == NULL || ngx_http_lb_tried_add(ctx, index) != NGX_OK) {
        ngx_http_lb_ctx_drop(ctx);
        return NGX_ERROR;
    }

    ctx->name = *name;

    pc->sockaddr = (struct sockaddr *) identity->address;
    pc->socklen = identity->address_length;
    pc->name = name;

    return NGX_OK;
}


static ngx_inline ngx_str_t *
ngx_http_lb_name(ngx_http_lb_ctx_t *ctx, lb_identity_t *identity)
{
    ngx_str_t  *name;

    if (ctx->attempts == 1) {
        name = &ctx->first;
        name->data = ctx->first_name;

    } else {
        name = ngx_palloc(ctx->request->pool,
                          sizeof(ngx_str_t) + identity->name_length);
        if (name == NULL) {
            return NULL;
        }

        name->data = (u_char *) (name + 1);
    }

    name->len = identity->name_length;
    ngx_memcpy(name->data, identity->name, identity->name_length);

    return name;
}


static ngx_int_t
ngx_http_lb_tried_add(ngx_http_lb_ctx_t *ctx, uint32_t index)
{
    uint16_t    *list;
    lb_tried_t  *tried;

    tried = &ctx->ask.tried;

    if (tried->number == tried->size) {
        list = ngx_palloc(ctx->request->pool,
                          2 * tried->size * sizeof(uint16_t));
        if (list == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(list, tried->list, tried->size * sizeof(uint16_t));

        tried->list = list;
        tried->size *= 2;
    }

    tried->list[tried->number++] = (uint16_t) index;

    return NGX_OK;
}


/*
 * A kept connection that ends before any answer was closed by the server
 * while it was idle: that is no failure, and nginx grants another try.
 */

static ngx_uint_t
ngx_http_lb_was_stale(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_connection_t     *c;
    ngx_http_upstream_t  *u;

    c = pc->connection;
    u = ctx->request->upstream;

    return pc->cached
           && c && !c->read->timedout && !c->write->timedout
           && !ngx_http_lb_answered(ctx)
           && u->state && u->state->bytes_received == 0;
}
