
/*
 * Waiting for a place, in one process: who frees a place of its own posts
 * "wake", and as long as somebody waits "look" comes every few ms for the
 * places that other processes free.
 */


#include "src/lb/request/ngx_http_lb_queue.h"

#include "src/core/balance/lb_gate.h"
#include "src/lb/request/ngx_http_lb_dead.h"
#include "src/lb/request/ngx_http_lb_refuse.h"
#include "src/lb/upstream/ngx_http_lb_log.h"


/* requests that are sent on or refused in one pass of the event loop */
#define NGX_HTTP_LB_QUEUE_SLICE  64


typedef struct ngx_http_lb_parked_s  ngx_http_lb_parked_t;

struct ngx_http_lb_parked_s {
    lb_waiter_t                   waiter;     /* comes first */
    ngx_queue_t                   refused;    /* in the gate's, if why */
    ngx_http_lb_ctx_t            *ctx;
    const char                   *why;        /* it is refused, or NULL */
    ngx_event_t                   timer;
    uint32_t                      priority;
    unsigned                      waits:1;    /* its timer runs */
    unsigned                      counted:1;  /* by lb_gate_enter() */
    unsigned                      listed:1;   /* in the gate's waiters */
};


/* what nginx has for a connection of those that wait, one for all of them */

typedef struct {
    ngx_connection_t              connection;
    ngx_event_t                   read;
    ngx_event_t                   write;
    ngx_pool_t                    pool;       /* its log only */
    struct sockaddr               address;
    ngx_connection_t              dummy;      /* for timers */
    ngx_log_t                     silent;
} ngx_http_lb_nowhere_t;


static uint32_t ngx_http_lb_queue_row(ngx_http_lb_srv_conf_t *lcf);
static ngx_uint_t ngx_http_lb_queue_open(ngx_http_lb_ctx_t *ctx,
    uint32_t class, uint64_t since);
static uint32_t ngx_http_lb_queue_class(ngx_http_lb_ctx_t *ctx);
static uint32_t ngx_http_lb_queue_level(ngx_http_lb_ctx_t *ctx);
static ngx_http_lb_parked_t *ngx_http_lb_queue_create(ngx_http_lb_ctx_t *ctx);
static void ngx_http_lb_queue_enter(ngx_http_lb_parked_t *parked);
static void ngx_http_lb_queue_give_up(ngx_http_lb_parked_t *parked,
    const char *why);
static void ngx_http_lb_queue_drop(ngx_http_lb_parked_t *parked);
static void ngx_http_lb_queue_lead_nowhere(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
static void ngx_http_lb_queue_expired(ngx_event_t *ev);
static void ngx_http_lb_queue_wake(ngx_event_t *ev);
static ngx_uint_t ngx_http_lb_queue_serve(ngx_http_lb_gate_t *gate);
static ngx_int_t ngx_http_lb_queue_try(ngx_http_lb_parked_t *parked);
static ngx_int_t ngx_http_lb_queue_connect(ngx_http_lb_ctx_t *ctx);
static ngx_uint_t ngx_http_lb_queue_another(ngx_http_request_t *r,
    ngx_http_upstream_t *u);
static void ngx_http_lb_queue_connected(ngx_http_request_t *r,
    ngx_http_upstream_t *u, ngx_int_t rc);
static void ngx_http_lb_queue_shed(ngx_http_lb_gate_t *gate);
static void ngx_http_lb_queue_refuse(ngx_http_lb_parked_t *parked);
static void ngx_http_lb_queue_end(ngx_http_request_t *r, ngx_int_t rc);
#if (NGX_HTTP_CACHE)
static void ngx_http_lb_queue_send_stale(ngx_http_request_t *r);
#endif


static ngx_http_lb_nowhere_t  ngx_http_lb_nowhere;


ngx_int_t
ngx_http_lb_queue_join(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_http_lb_gate_t     *gate;
    ngx_http_lb_nowhere_t  *nowhere;

    gate = ngx_pcalloc(cycle->pool, sizeof(ngx_http_lb_gate_t));
    if (gate == NULL) {
        return NGX_ERROR;
    }

    gate->left = ngx_pcalloc(cycle->pool, lcf->nrows * sizeof(lb_left_t));
    if (gate->left == NULL) {
        return NGX_ERROR;
    }

    lb_waiters_init(&gate->waiters);
    ngx_queue_init(&gate->refused);

    nowhere = &ngx_http_lb_nowhere;

    nowhere->connection.fd = (ngx_socket_t) -1;
    nowhere->connection.read = &nowhere->read;
    nowhere->connection.write = &nowhere->write;
    nowhere->connection.pool = &nowhere->pool;
    nowhere->read.data = &nowhere->connection;
    nowhere->write.data = &nowhere->connection;
    nowhere->write.write = 1;
    nowhere->dummy.fd = (ngx_socket_t) -1;

    gate->conf = lcf;

    gate->wake.handler = ngx_http_lb_queue_wake;
    gate->wake.data = gate;
    gate->wake.log = cycle->log;

    gate->look.handler = ngx_http_lb_queue_wake;
    gate->look.data = gate;
    gate->look.log = cycle->log;

    lcf->gate = gate;

    /* whoever had the row before may have been killed while it waited */

    lb_turn_clear(&lb_gate_turns(lcf->roster)[ngx_http_lb_queue_row(lcf)]);

    return NGX_OK;
}


static uint32_t
ngx_http_lb_queue_row(ngx_http_lb_srv_conf_t *lcf)
{
    lb_load_t  load;

    load = lb_roster_load(lcf->roster);

    return (uint32_t) (lcf->row - load.rows);
}


ngx_uint_t
ngx_http_lb_queue_waits(ngx_http_lb_ctx_t *ctx)
{
    uint32_t                 class;
    lb_waiter_t             *first;
    ngx_http_lb_gate_t      *gate;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;
    gate = lcf->gate;

    if (ctx->turn
        || (gate->waiters.number == 0
            && !lb_gate_busy(lcf->roster, ngx_current_msec)))
    {
        return 0;
    }

    class = ngx_http_lb_queue_class(ctx);
    first = lb_waiters_first(&gate->waiters);

    return (first && first->class >= class)
           || !ngx_http_lb_queue_open(ctx, class, ngx_current_msec);
}


static ngx_uint_t
ngx_http_lb_queue_open(ngx_http_lb_ctx_t *ctx, uint32_t class, uint64_t since)
{
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;

    return lb_gate_open(lcf->roster, lcf->gate->left,
                        ngx_http_lb_queue_row(lcf),
                        ctx->queue->automatic != 0, class, since,
                        ngx_current_msec);
}


/* one that had a server before does not wait behind those that had none */

static uint32_t
ngx_http_lb_queue_class(ngx_http_lb_ctx_t *ctx)
{
    return (ctx->attempts != 0) ? LB_CLASS_RETRY
                                : ngx_http_lb_queue_level(ctx);
}


static uint32_t
ngx_http_lb_queue_level(ngx_http_lb_ctx_t *ctx)
{
    ngx_str_t  value;

    if (ctx->queue->priority == NULL
        || ngx_http_complex_value(ctx->request, ctx->queue->priority, &value)
           != NGX_OK
        || value.len != 1 || value.data[0] < '0' || value.data[0] > '9')
    {
        return 0;
    }

    return value.data[0] - '0';
}


ngx_int_t
ngx_http_lb_queue_park(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_http_lb_gate_t    *gate;
    ngx_http_lb_parked_t  *parked;

    gate = ctx->conf->gate;
    parked = ctx->parked;

    if (parked == NULL) {
        parked = ngx_http_lb_queue_create(ctx);
        if (parked == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb queue park: %p, again: %d", parked, parked->waits);

    if (parked->waits) {

        /* "wake" has tried it, and would do that again for ever */

        parked->listed = 1;
        lb_waiters_put_back(&gate->waiters, &parked->waiter);

    } else {
        ngx_http_lb_queue_enter(parked);
        ngx_post_event(&gate->wake, &ngx_posted_events);
    }

    ngx_http_lb_queue_lead_nowhere(ctx, pc);

    return NGX_AGAIN;
}


static ngx_http_lb_parked_t *
ngx_http_lb_queue_create(ngx_http_lb_ctx_t *ctx)
{
    ngx_http_lb_parked_t  *parked;

    parked = ngx_pcalloc(ctx->request->pool, sizeof(ngx_http_lb_parked_t));
    if (parked == NULL) {
        return NULL;
    }

    parked->ctx = ctx;
    parked->priority = ngx_http_lb_queue_level(ctx);
    parked->timer.handler = ngx_http_lb_queue_expired;
    parked->timer.data = &ngx_http_lb_nowhere.dummy;
    parked->timer.log = ctx->request->connection->log;

    ctx->parked = parked;

    return parked;
}


/* where there is no room, the oldest of a lower class gives way, if any */

static void
ngx_http_lb_queue_enter(ngx_http_lb_parked_t *parked)
{
    ngx_uint_t               retry;
    lb_waiter_t             *last;
    ngx_http_lb_ctx_t       *ctx;
    ngx_http_lb_gate_t      *gate;
    ngx_http_lb_srv_conf_t  *lcf;

    ctx = parked->ctx;
    lcf = ctx->conf;
    gate = lcf->gate;
    retry = (ctx->attempts != 0);

    parked->waits = 1;
    parked->waiter.class = retry ? LB_CLASS_RETRY : parked->priority;
    parked->waiter.since = ngx_current_msec;

    parked->counted = lb_gate_enter(lcf->roster, lcf->row,
                                    retry ? 0 : (uint32_t) ctx->queue->size);

    last = parked->counted ? NULL : lb_waiters_last(&gate->waiters);

    if (last && last->class < parked->waiter.class) {
        ngx_http_lb_queue_give_up((ngx_http_lb_parked_t *) last,
                                  "others of a higher priority take the room");

        parked->counted = lb_gate_enter(lcf->roster, lcf->row,
                                        (uint32_t) ctx->queue->size);
    }

    if (!parked->counted) {
        ngx_http_lb_queue_give_up(parked, "there is no room for more");
        return;
    }

    ngx_add_timer(&parked->timer, ctx->queue->timeout);

    parked->listed = 1;
    lb_waiters_add(&gate->waiters, &parked->waiter);
}


/* the request waits no more, and is told when nothing else is under way */

static void
ngx_http_lb_queue_give_up(ngx_http_lb_parked_t *parked, const char *why)
{
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = parked->ctx->conf;

    ngx_http_lb_queue_drop(parked);

    parked->why = why;
    ngx_queue_insert_tail(&lcf->gate->refused, &parked->refused);
}


/* takes a request out of all that makes it wait */

static void
ngx_http_lb_queue_drop(ngx_http_lb_parked_t *parked)
{
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = parked->ctx->conf;

    if (parked->listed) {
        lb_waiters_remove(&lcf->gate->waiters, &parked->waiter);
        parked->listed = 0;
    }

    if (parked->counted) {
        lb_gate_leave(lcf->roster, lcf->row);
        parked->counted = 0;
    }

    if (parked->timer.timer_set) {
        ngx_del_timer(&parked->timer);
    }
}


/*
 * nginx takes it for a connection that is not established yet, and starts a
 * timer for that, which "wake" stops before it can come.
 */

static void
ngx_http_lb_queue_lead_nowhere(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc)
{
    ngx_http_lb_nowhere_t  *nowhere;

    nowhere = &ngx_http_lb_nowhere;

    nowhere->read.log = pc->log;
    nowhere->write.log = pc->log;
    nowhere->read.timedout = 0;
    nowhere->write.timedout = 0;

    pc->connection = &nowhere->connection;
    pc->sockaddr = &nowhere->address;
    pc->socklen = sizeof(struct sockaddr);
    pc->name = &ctx->conf->upstream->host;
}


ngx_uint_t
ngx_http_lb_queue_parked(ngx_http_lb_ctx_t *ctx)
{
    return ctx->parked && ctx->parked->waits;
}


/* times that nginx has taken begin with the attempt, not with the wait */

void
ngx_http_lb_queue_unpark(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_msec_t               waited;
    ngx_http_upstream_t     *u;
    ngx_http_lb_parked_t    *parked;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ctx->conf;
    parked = ctx->parked;

    ngx_http_lb_queue_drop(parked);

    if (parked->why) {
        ngx_queue_remove(&parked->refused);
        parked->why = NULL;
    }

    parked->waits = 0;

    waited = ngx_current_msec - (ngx_msec_t) parked->waiter.since;

    ctx->waited += waited;
    lb_meter_count(lcf->roster->gate.waits, (uint32_t) ngx_process_slot,
                   waited);

    u = ctx->request->upstream;
    u->start_time = ngx_current_msec;
    u->peer.start_time += waited;

    ngx_http_lb_queue_leave_nowhere(pc);
}


void
ngx_http_lb_queue_leave_nowhere(ngx_peer_connection_t *pc)
{
    if (pc->connection == &ngx_http_lb_nowhere.connection) {
        pc->connection = NULL;
    }
}


static void
ngx_http_lb_queue_expired(ngx_event_t *ev)
{
    ngx_http_lb_parked_t  *parked;

    parked = (ngx_http_lb_parked_t *)
                 ((u_char *) ev - offsetof(ngx_http_lb_parked_t, timer));

    ngx_http_lb_queue_give_up(parked, "no place has become free in time");

    ngx_post_event(&parked->ctx->conf->gate->wake, &ngx_posted_events);
}


static void
ngx_http_lb_queue_wake(ngx_event_t *ev)
{
    ngx_uint_t              n;
    lb_turn_t              *turn;
    ngx_event_t            *nowhere;
    lb_waiter_t            *first;
    lb_roster_t            *roster;
    ngx_http_lb_gate_t     *gate;

    gate = ev->data;
    roster = gate->conf->roster;
    nowhere = &ngx_http_lb_nowhere.write;

    /* the request whose log nginx has given it may be gone */

    nowhere->log = ev->log;

    if (nowhere->timer_set) {
        ngx_del_timer(nowhere);
    }

    if (gate->waiters.number && lb_gate_search(roster, ngx_current_msec)) {
        ngx_http_lb_dead_look(gate->conf);
    }

    ngx_http_lb_queue_shed(gate);

    n = 0;

    while (!ngx_queue_empty(&gate->refused) && n++ < NGX_HTTP_LB_QUEUE_SLICE) {
        ngx_http_lb_queue_refuse(ngx_queue_data(ngx_queue_head(&gate->refused),
                                                ngx_http_lb_parked_t,
                                                refused));
    }

    if (ngx_http_lb_queue_serve(gate) || !ngx_queue_empty(&gate->refused)) {
        ngx_post_event(&gate->wake, &ngx_posted_next_events);
    }

    turn = &lb_gate_turns(roster)[ngx_http_lb_queue_row(gate->conf)];
    first = lb_waiters_first(&gate->waiters);

    if (first == NULL) {
        lb_turn_clear(turn);
        return;
    }

    lb_turn_show(turn, first->class, first->since, ngx_current_msec);
    atomic_store_explicit(&roster->gate.looked, ngx_current_msec,
                          memory_order_relaxed);

    if (!gate->look.timer_set) {
        ngx_add_timer(&gate->look, LB_TURN_LOOK);
    }
}


/*
 * Sends requests on in their order, as long as there are places.  Returns
 * whether it has to go on.  A retry for which the free place is none, because
 * it was there before, holds up no other request.
 */

static ngx_uint_t
ngx_http_lb_queue_serve(ngx_http_lb_gate_t *gate)
{
    ngx_uint_t             sent, stuck;
    lb_waiter_t           *waiter, *next;
    ngx_http_lb_parked_t  *parked;

    sent = 0;
    stuck = 0;
    waiter = lb_waiters_first(&gate->waiters);

    while (waiter) {
        parked = (ngx_http_lb_parked_t *) waiter;

        if (!ngx_http_lb_queue_open(parked->ctx, waiter->class,
                                    waiter->since))
        {
            return 0;
        }

        if (sent == NGX_HTTP_LB_QUEUE_SLICE) {
            return 1;
        }

        next = lb_waiters_next(&gate->waiters, waiter);

        if (ngx_http_lb_queue_try(parked) != NGX_AGAIN) {

            /* others may have come or gone meanwhile */

            waiter = lb_waiters_first(&gate->waiters);
            sent++;
            continue;
        }

        if (waiter->class != LB_CLASS_RETRY) {
            return 0;
        }

        if (++stuck == NGX_HTTP_LB_QUEUE_SLICE) {
            next = NULL;
        }

        waiter = next ? next
                      : lb_waiters_below(&gate->waiters, LB_CLASS_RETRY);
    }

    return 0;
}


/* NGX_AGAIN: it goes on waiting; else the request may be gone */

static ngx_int_t
ngx_http_lb_queue_try(ngx_http_lb_parked_t *parked)
{
    ngx_int_t             rc;
    ngx_connection_t     *c;
    ngx_http_request_t   *r;

    r = parked->ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (c->error) {
        ngx_http_lb_queue_end(r, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return NGX_OK;
    }

    lb_waiters_remove(&parked->ctx->conf->gate->waiters, &parked->waiter);
    parked->listed = 0;

    parked->ctx->turn = 1;
    rc = ngx_http_lb_queue_connect(parked->ctx);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_http_run_posted_requests(c);

    return NGX_OK;
}


/* what nginx does with a request that gets a connection; NGX_AGAIN: none yet */

static ngx_int_t
ngx_http_lb_queue_connect(ngx_http_lb_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    r = ctx->request;
    u = r->upstream;

    do {
        rc = ngx_event_connect_peer(&u->peer);

        if (rc == NGX_AGAIN
            && u->peer.connection == &ngx_http_lb_nowhere.connection)
        {
            ctx->turn = 0;
            return NGX_AGAIN;
        }

        u->state->peer = u->peer.name;

    } while (rc == NGX_DECLINED && ngx_http_lb_queue_another(r, u));

    ctx->turn = 0;

    if (rc == NGX_OK || rc == NGX_DONE || rc == NGX_AGAIN) {
        ngx_http_lb_queue_connected(r, u, rc);
        return NGX_OK;
    }

    ngx_http_lb_queue_end(r, (rc == NGX_ERROR)
                             ? NGX_HTTP_INTERNAL_SERVER_ERROR
                             : NGX_HTTP_BAD_GATEWAY);
    return NGX_OK;
}


/* Whether there is another attempt after one that has failed at once. */

static ngx_uint_t
ngx_http_lb_queue_another(ngx_http_request_t *r, ngx_http_upstream_t *u)
{
    ngx_msec_t                  timeout;
    ngx_http_upstream_state_t  *state;

    u->peer.free(&u->peer, u->peer.data, NGX_PEER_FAILED);
    u->peer.sockaddr = NULL;

    timeout = u->conf->next_upstream_timeout;

    if (u->peer.tries == 0
        || !(u->conf->next_upstream & NGX_HTTP_UPSTREAM_FT_ERROR)
        || (timeout && ngx_current_msec - u->peer.start_time >= timeout))
    {
        return 0;
    }

    u->state->status = NGX_HTTP_BAD_GATEWAY;
    u->state->response_time = ngx_current_msec - u->start_time;

    state = ngx_array_push(r->upstream_states);
    if (state == NULL) {
        return 0;
    }

    ngx_memzero(state, sizeof(ngx_http_upstream_state_t));

    state->response_time = (ngx_msec_t) -1;
    state->connect_time = (ngx_msec_t) -1;
    state->header_time = (ngx_msec_t) -1;

    u->state = state;
    u->start_time = ngx_current_msec;

    return 1;
}


/*
 * The connection takes the place of the one that leads nowhere, for which
 * nginx has prepared everything else.
 */

static void
ngx_http_lb_queue_connected(ngx_http_request_t *r, ngx_http_upstream_t *u,
    ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = u->peer.connection;

    c->requests++;
    c->data = r;
    c->write->handler = ngx_http_lb_nowhere.write.handler;
    c->read->handler = ngx_http_lb_nowhere.read.handler;

    c->sendfile &= r->connection->sendfile;
    u->output.sendfile = c->sendfile;

    if (r->connection->tcp_nopush == NGX_TCP_NOPUSH_DISABLED) {
        c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;
    }

    if (c->pool == NULL) {
        c->pool = ngx_create_pool(128, r->connection->log);
        if (c->pool == NULL) {
            ngx_http_lb_queue_end(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }
    }

    c->log = r->connection->log;
    c->pool->log = c->log;
    c->read->log = c->log;
    c->write->log = c->log;

    u->writer.connection = c;

    if (rc == NGX_AGAIN) {
        ngx_add_timer(c->write, u->conf->connect_timeout);
        return;
    }

    c->write->handler(c->write);
}


/*
 * Under overload those who have waited for too long give way, the oldest of
 * the lowest class first.  One of a higher class is served before all of those
 * that it is measured by, so it is given more time.
 */

static void
ngx_http_lb_queue_shed(ngx_http_lb_gate_t *gate)
{
    uint32_t      class, lowest;
    uint64_t      age, now, target;
    ngx_uint_t    n;
    lb_waiter_t  *waiter;

    now = ngx_current_msec;
    age = 0;
    waiter = lb_waiters_oldest(&gate->waiters);

    if (waiter) {
        age = now - waiter->since;
        gate->patience = ((ngx_http_lb_parked_t *) waiter)->ctx->queue
                             ->timeout;
    }

    target = lb_overload_target(atomic_load_explicit(
                                    &gate->conf->roster->gate.service,
                                    memory_order_relaxed),
                                gate->patience);

    if (!lb_overload_judge(&gate->overload, now ? now : 1, age, target,
                           gate->patience))
    {
        return;
    }

    waiter = lb_waiters_last(&gate->waiters);
    lowest = waiter ? waiter->class : 0;
    class = lowest;

    for (n = 0; n < NGX_HTTP_LB_QUEUE_SLICE; n++) {
        waiter = lb_waiters_from(&gate->waiters, class);

        if (waiter == NULL) {
            break;
        }

        age = now - waiter->since;

        if (age > target + (waiter->class > lowest ? target / 4 : 0)) {
            ngx_http_lb_queue_give_up((ngx_http_lb_parked_t *) waiter,
                                      "more come than there are places for");

        } else {
            class = waiter->class + 1;
        }
    }
}


static void
ngx_http_lb_queue_refuse(ngx_http_lb_parked_t *parked)
{
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_lb_srv_conf_t  *lcf;

    r = parked->ctx->request;
    c = r->connection;
    lcf = parked->ctx->conf;

    ngx_http_set_log_request(c->log, r);

    atomic_fetch_add_explicit(&lcf->roster->gate.refused[parked->priority], 1,
                              memory_order_relaxed);

    if (ngx_http_lb_log_once(&lcf->roster->gate.refused_at)) {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "lb: a request of priority %uD is refused by the queue "
                      "of upstream \"%V\": %s; %uD waiting",
                      parked->priority, &lcf->upstream->host, parked->why,
                      lb_gate_waiting(lcf->roster));
    }

    ngx_http_lb_queue_end(r, NGX_HTTP_SERVICE_UNAVAILABLE);

    ngx_http_run_posted_requests(c);
}


/*
 * Ends a request that has no server.  nginx's way to end the upstream part of
 * it alone is the one of a request that goes on to somewhere else.
 */

static void
ngx_http_lb_queue_end(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_uint_t               seconds;
    ngx_http_upstream_t     *u;
    ngx_http_lb_srv_conf_t  *lcf;

#if (NGX_HTTP_CACHE)

    if (ngx_http_lb_refuse_is_stale(r, rc)) {
        ngx_http_lb_queue_send_stale(r);
        return;
    }

#endif

    u = r->upstream;
    lcf = ((ngx_http_lb_ctx_t *) ngx_http_lb_ctx_get(r))->conf;
    seconds = lb_gate_delay(lcf->roster);

    if (u->state) {
        u->state->status = rc;
    }

    r->main->count++;

    (*u->cleanup)(r);

    if (rc == NGX_HTTP_SERVICE_UNAVAILABLE) {
        rc = ngx_http_lb_refuse(r, seconds);
    }

    ngx_http_finalize_request(r, rc);
}


#if (NGX_HTTP_CACHE)

/*
 * nginx sends what it has in the cache when a connection cannot be made and
 * there is no other try.
 */

static void
ngx_http_lb_queue_send_stale(ngx_http_request_t *r)
{
    ngx_http_lb_ctx_t    *ctx;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    ctx = ngx_http_lb_ctx_get(r);

    ngx_http_lb_queue_lead_nowhere(ctx, &u->peer);

    ngx_http_lb_nowhere.connection.log = &ngx_http_lb_nowhere.silent;

    r->cache->stale_error = 1;

    u->peer.cached = 0;
    u->peer.tries = 0;
    u->request_sent = 0;

    u->read_event_handler(r, u);
}

#endif
