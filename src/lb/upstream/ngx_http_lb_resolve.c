
/*
 * Names of an upstream, as nginx's resolver knows them: asked for at once,
 * and again when the answer has expired there.  An answer that differs from
 * the servers is entered as one edit; a failure changes nothing.
 */


#include "src/lb/upstream/ngx_http_lb_resolve.h"

#include "src/common/ngx_gw_clock.h"
#include "src/lb/upstream/ngx_http_lb_answer.h"
#include "src/lb/upstream/ngx_http_lb_line.h"
#include "src/lb/upstream/ngx_http_lb_resolve_conf.h"


/* names that are asked for in one pass of the event loop */
#define NGX_HTTP_LB_RESOLVE_GROUP   16

/* us of a pass that entering answers may take, and ms to the next one */
#define NGX_HTTP_LB_RESOLVE_SLICE   1000
#define NGX_HTTP_LB_RESOLVE_NEXT    1

/* ms from a failure to the next try: from the first on, doubled each time */
#define NGX_HTTP_LB_RESOLVE_AGAIN   1000
#define NGX_HTTP_LB_RESOLVE_LATEST  8000

/* ms; a record with a longer time to live is asked for again all the same */
#define NGX_HTTP_LB_RESOLVE_LONGEST 86400000


/* answers of this process that are to be entered */

typedef struct {
    ngx_queue_t       edits;
    ngx_event_t       event;
    ngx_connection_t  dummy;
    ngx_msec_t        pass;       /* ngx_current_msec of a pass, */
    ngx_uint_t        asked;      /* and the names that were due in it */
} ngx_http_lb_resolving_t;


static void ngx_http_lb_resolve_due(ngx_event_t *ev);
static ngx_uint_t ngx_http_lb_resolve_later(ngx_event_t *ev);
static void ngx_http_lb_resolve_handler(ngx_resolver_ctx_t *ctx);
static ngx_msec_t ngx_http_lb_resolve_next(ngx_http_lb_name_t *name,
    ngx_resolver_ctx_t *ctx);
static ngx_msec_t ngx_http_lb_resolve_failed(ngx_http_lb_name_t *name,
    ngx_int_t state);
static void ngx_http_lb_resolve_again(ngx_http_lb_name_t *name);
static ngx_int_t ngx_http_lb_resolve_state(ngx_resolver_ctx_t *ctx);
static ngx_http_lb_edit_t *ngx_http_lb_resolve_read(ngx_http_lb_name_t *name,
    ngx_resolver_ctx_t *ctx);
static ngx_int_t ngx_http_lb_resolve_addresses(ngx_http_lb_name_t *name,
    ngx_resolver_ctx_t *ctx, ngx_http_lb_edit_t *edit);
static ngx_int_t ngx_http_lb_resolve_records(ngx_http_lb_name_t *name,
    ngx_resolver_ctx_t *ctx, ngx_http_lb_edit_t *edit);
static ngx_int_t ngx_http_lb_resolve_line(ngx_http_lb_name_t *name,
    ngx_http_lb_edit_t *edit, struct sockaddr *sockaddr, socklen_t socklen,
    in_port_t port, lb_line_t *settings);
static void ngx_http_lb_resolve_wait(ngx_http_lb_name_t *name,
    ngx_http_lb_edit_t *edit);
static void ngx_http_lb_resolve_turn(ngx_event_t *ev);
static void ngx_http_lb_resolve_enter(ngx_http_lb_name_t *name,
    ngx_http_lb_edit_t *edit);
static void ngx_http_lb_resolve_entered(ngx_http_lb_edit_t *edit);


static ngx_http_lb_resolving_t  ngx_http_lb_resolving;


void
ngx_http_lb_resolve_run(ngx_http_lb_srv_conf_t *lcf, ngx_connection_t *dummy)
{
    ngx_uint_t           i;
    ngx_http_lb_name_t  *names;

    if (lcf->resolve == NULL) {
        return;
    }

    names = lcf->resolve->elts;

    for (i = 0; i < lcf->resolve->nelts; i++) {

        if (names[i].ctx || names[i].edit || names[i].timer.timer_set) {
            continue;
        }

        names[i].timer.handler = ngx_http_lb_resolve_due;
        names[i].timer.data = dummy;
        names[i].timer.log = ngx_cycle->log;
        names[i].timer.cancelable = 1;

        ngx_add_timer(&names[i].timer, NGX_HTTP_LB_RESOLVE_NEXT);
    }
}


void
ngx_http_lb_resolve_rest(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_uint_t           i;
    ngx_http_lb_name_t  *names;

    names = lcf->resolve ? lcf->resolve->elts : NULL;

    for (i = 0; lcf->resolve && i < lcf->resolve->nelts; i++) {

        if (names[i].timer.timer_set) {
            ngx_del_timer(&names[i].timer);
        }

        if (names[i].ctx) {
            ngx_resolve_name_done(names[i].ctx);
            names[i].ctx = NULL;
        }

        if (names[i].waits) {
            ngx_queue_remove(&names[i].edit->queue);
            ngx_destroy_pool(names[i].edit->pool);
            names[i].waits = 0;
            names[i].edit = NULL;
        }
    }
}


static void
ngx_http_lb_resolve_due(ngx_event_t *ev)
{
    ngx_http_lb_name_t  *name;
    ngx_resolver_ctx_t  *ctx;

    name = ngx_queue_data(ev, ngx_http_lb_name_t, timer);

    if (ngx_http_lb_resolve_later(ev)) {
        return;
    }

    ctx = ngx_resolve_start(name->conf->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        ngx_http_lb_resolve_again(name);
        return;
    }

    ctx->name = name->host;
    ctx->service = name->service;
    ctx->handler = ngx_http_lb_resolve_handler;
    ctx->data = name;
    ctx->timeout = name->conf->resolver_timeout;
    ctx->cancelable = 1;

    name->ctx = ctx;

    /* it may have answered before this returns */

    if (ngx_resolve_name(ctx) != NGX_OK) {
        name->ctx = NULL;
        ngx_http_lb_resolve_again(name);
    }
}


/* Names that are due together are asked for in groups, and so answered. */

static ngx_uint_t
ngx_http_lb_resolve_later(ngx_event_t *ev)
{
    ngx_uint_t                groups;
    ngx_http_lb_resolving_t  *resolving;

    resolving = &ngx_http_lb_resolving;

    if (resolving->pass != ngx_current_msec) {
        resolving->pass = ngx_current_msec;
        resolving->asked = 0;
    }

    groups = resolving->asked++ / NGX_HTTP_LB_RESOLVE_GROUP;

    if (groups == 0) {
        return 0;
    }

    ngx_add_timer(ev, groups * NGX_HTTP_LB_RESOLVE_NEXT);

    return 1;
}


static void
ngx_http_lb_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_int_t            state;
    ngx_msec_t           next;
    ngx_http_lb_edit_t  *edit;
    ngx_http_lb_name_t  *name;

    name = ctx->data;
    edit = NULL;

    state = ngx_http_lb_resolve_state(ctx);

    if (state == NGX_OK) {
        next = ngx_http_lb_resolve_next(name, ctx);
        edit = ngx_http_lb_resolve_read(name, ctx);

    } else {
        next = ngx_http_lb_resolve_failed(name, state);
    }

    ngx_resolve_name_done(ctx);

    name->ctx = NULL;

    ngx_add_timer(&name->timer, next);

    if (edit) {
        ngx_http_lb_resolve_wait(name, edit);
    }
}


/*
 * The resolver gives the same answer as long as it is valid, to the end of
 * that second.
 */

static ngx_msec_t
ngx_http_lb_resolve_next(ngx_http_lb_name_t *name, ngx_resolver_ctx_t *ctx)
{
    time_t       seconds;
    ngx_time_t  *tp;

    if (name->told) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "lb: name %V of upstream \"%V\" is resolved again",
                      &name->text, &name->conf->upstream->host);
    }

    name->told = 0;
    name->failures = 0;

    tp = ngx_timeofday();
    seconds = ngx_max(ctx->valid - tp->sec, 0) + 1;
    seconds = ngx_min(seconds, NGX_HTTP_LB_RESOLVE_LONGEST / 1000);

    return (ngx_msec_t) seconds * 1000 - tp->msec;
}


static ngx_msec_t
ngx_http_lb_resolve_failed(ngx_http_lb_name_t *name, ngx_int_t state)
{
    lb_count_t  left;
    ngx_msec_t  next;

    left = lb_roster_count(name->conf->roster);

    if (name->told != state) {
        name->told = state;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "lb: name %V of upstream \"%V\" could not be resolved "
                      "(%i: %s), its servers stay; %uD of %uD servers left",
                      &name->text, &name->conf->upstream->host, state,
                      ngx_resolver_strerror(state), left.usable, left.total);
    }

    next = (ngx_msec_t) NGX_HTTP_LB_RESOLVE_AGAIN << ngx_min(name->failures,
                                                             3);
    name->failures++;

    return ngx_min(next, NGX_HTTP_LB_RESOLVE_LATEST);
}


static void
ngx_http_lb_resolve_again(ngx_http_lb_name_t *name)
{
    ngx_add_timer(&name->timer, ngx_http_lb_resolve_failed(name, NGX_ERROR));
}


/* NGX_OK, or why there are no addresses */

static ngx_int_t
ngx_http_lb_resolve_state(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t  i;

    if (ctx->state != NGX_OK) {
        return ctx->state;
    }

    if (ctx->service.len == 0) {
        return ctx->naddrs ? NGX_OK : NGX_RESOLVE_NXDOMAIN;
    }

    for (i = 0; i < ctx->nsrvs; i++) {

        if (ctx->srvs[i].naddrs) {
            return NGX_OK;
        }
    }

    return NGX_RESOLVE_NXDOMAIN;
}


/* An edit that enters the answer; NULL: there is no memory, or one already. */

static ngx_http_lb_edit_t *
ngx_http_lb_resolve_read(ngx_http_lb_name_t *name, ngx_resolver_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_uint_t             i, n;
    ngx_http_lb_edit_t    *edit;
    ngx_http_lb_answer_t  *answer;

    if (name->edit) {
        return NULL;
    }

    edit = ngx_http_lb_edit_create(name->conf, NGX_HTTP_LB_RESOLVE);
    if (edit == NULL) {
        return NULL;
    }

    n = ctx->service.len ? 0 : ctx->naddrs;

    for (i = 0; ctx->service.len && i < ctx->nsrvs; i++) {
        n += ctx->srvs[i].naddrs;
    }

    answer = ngx_pcalloc(edit->pool, sizeof(ngx_http_lb_answer_t));

    if (answer) {
        answer->lines = ngx_pcalloc(edit->pool, n * sizeof(lb_line_t));
    }

    if (answer == NULL || answer->lines == NULL) {
        ngx_destroy_pool(edit->pool);
        return NULL;
    }

    edit->answer = answer;
    edit->data = name;
    edit->finish = ngx_http_lb_resolve_entered;

    answer->answer.name = &name->conf->names[name->number];
    answer->answer.lines = answer->lines;

    rc = ctx->service.len ? ngx_http_lb_resolve_records(name, ctx, edit)
                          : ngx_http_lb_resolve_addresses(name, ctx, edit);

    if (rc != NGX_OK) {
        ngx_destroy_pool(edit->pool);
        return NULL;
    }

    return edit;
}


static ngx_int_t
ngx_http_lb_resolve_addresses(ngx_http_lb_name_t *name,
    ngx_resolver_ctx_t *ctx, ngx_http_lb_edit_t *edit)
{
    lb_line_t   settings;
    ngx_uint_t  i;

    lb_name_line(edit->answer->answer.name, 0, false, &settings);

    for (i = 0; i < ctx->naddrs; i++) {

        if (ngx_http_lb_resolve_line(name, edit, ctx->addrs[i].sockaddr,
                                     ctx->addrs[i].socklen, name->port,
                                     &settings)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * As nginx has them by record, which its list of addresses has not if all
 * weights are 0.  What could not be found out of a record's host may be that
 * its servers are as they were.
 */

static ngx_int_t
ngx_http_lb_resolve_records(ngx_http_lb_name_t *name, ngx_resolver_ctx_t *ctx,
    ngx_http_lb_edit_t *edit)
{
    u_short                   best;
    lb_line_t                 settings;
    ngx_uint_t                i, k;
    ngx_resolver_srv_name_t  *srv;

    best = 65535;

    for (i = 0; i < ctx->nsrvs; i++) {
        srv = &ctx->srvs[i];

        if (srv->naddrs) {
            best = ngx_min(best, srv->priority);

        } else if (srv->state != NGX_RESOLVE_NXDOMAIN) {
            edit->answer->answer.partial = true;
        }
    }

    for (i = 0; i < ctx->nsrvs; i++) {
        srv = &ctx->srvs[i];

        /* there is no rank behind a backup */

        if (srv->priority != best && (name->line.status & LB_BACKUP)) {
            continue;
        }

        lb_name_line(edit->answer->answer.name, srv->weight,
                     srv->priority != best, &settings);

        for (k = 0; k < srv->naddrs; k++) {

            if (ngx_http_lb_resolve_line(name, edit, srv->addrs[k].sockaddr,
                                         srv->addrs[k].socklen, srv->port,
                                         &settings)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/* an address that is there twice is one server */

static ngx_int_t
ngx_http_lb_resolve_line(ngx_http_lb_name_t *name, ngx_http_lb_edit_t *edit,
    struct sockaddr *sockaddr, socklen_t socklen, in_port_t port,
    lb_line_t *settings)
{
    uint32_t      i, n;
    u_char       *p;
    ngx_addr_t    addr;
    lb_line_t    *lines;

    lines = edit->answer->lines;
    n = edit->answer->answer.n;

    if (n == LB_SERVERS_MAX || socklen > LB_ADDRESS_MAX) {
        return NGX_OK;
    }

    addr.socklen = socklen;
    addr.sockaddr = ngx_palloc(edit->pool, socklen);
    p = ngx_pnalloc(edit->pool, NGX_SOCKADDR_STRLEN);

    if (addr.sockaddr == NULL || p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(addr.sockaddr, sockaddr, socklen);
    ngx_inet_set_port(addr.sockaddr, port);

    addr.name.data = p;
    addr.name.len = ngx_sock_ntop(addr.sockaddr, socklen, p,
                                  NGX_SOCKADDR_STRLEN, 1);

    for (i = 0; i < n; i++) {

        if (lines[i].address_length == socklen
            && ngx_memcmp(lines[i].address, addr.sockaddr, socklen) == 0)
        {
            return NGX_OK;
        }
    }

    lines[n] = *settings;

    if (ngx_http_lb_line_set(edit->pool, &lines[n], &addr, &name->route)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    edit->answer->answer.n = n + 1;

    return NGX_OK;
}


/* To look for differences costs as much as there are servers. */

static void
ngx_http_lb_resolve_wait(ngx_http_lb_name_t *name, ngx_http_lb_edit_t *edit)
{
    ngx_http_lb_resolving_t  *resolving;

    resolving = &ngx_http_lb_resolving;

    if (resolving->event.handler == NULL) {
        ngx_queue_init(&resolving->edits);

        resolving->dummy.fd = (ngx_socket_t) -1;

        resolving->event.handler = ngx_http_lb_resolve_turn;
        resolving->event.data = &resolving->dummy;
        resolving->event.cancelable = 1;
    }

    name->edit = edit;
    name->waits = 1;

    ngx_queue_insert_tail(&resolving->edits, &edit->queue);

    if (!resolving->event.timer_set) {
        resolving->event.log = ngx_cycle->log;
        ngx_add_timer(&resolving->event, NGX_HTTP_LB_RESOLVE_NEXT);
    }
}


static void
ngx_http_lb_resolve_turn(ngx_event_t *ev)
{
    uint64_t             began;
    ngx_queue_t         *q, *edits;
    ngx_http_lb_edit_t  *edit;
    ngx_http_lb_name_t  *name;

    began = ngx_gw_usec();
    edits = &ngx_http_lb_resolving.edits;

    while (!ngx_queue_empty(edits)) {

        if (ngx_gw_usec() - began > NGX_HTTP_LB_RESOLVE_SLICE) {
            ev->log = ngx_cycle->log;
            ngx_add_timer(ev, NGX_HTTP_LB_RESOLVE_NEXT);
            return;
        }

        q = ngx_queue_head(edits);
        ngx_queue_remove(q);

        edit = ngx_queue_data(q, ngx_http_lb_edit_t, queue);
        name = edit->data;

        name->waits = 0;
        name->edit = NULL;

        ngx_http_lb_resolve_enter(name, edit);
    }
}


static void
ngx_http_lb_resolve_enter(ngx_http_lb_name_t *name, ngx_http_lb_edit_t *edit)
{
    bool                     differs;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = name->conf;

    ngx_shmtx_lock(&lcf->shpool->mutex);

    differs = (edit->answer->answer.n != 0
               && lb_name_differs(lcf->roster, &edit->answer->answer));

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    if (!differs) {
        ngx_destroy_pool(edit->pool);
        return;
    }

    name->edit = edit;

    ngx_http_lb_edit_submit(edit);
}


static void
ngx_http_lb_resolve_entered(ngx_http_lb_edit_t *edit)
{
    uint32_t             left;
    ngx_http_lb_name_t  *name;

    name = edit->data;
    left = edit->answer->left;

    if (left && name->left != left) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "lb: upstream \"%V\" has room for %uD servers, %uD "
                      "addresses of name %V are left out, see \"lb_zone\"",
                      &name->conf->upstream->host,
                      name->conf->roster->capacity, left, &name->text);
    }

    name->left = left;

    /* it has not come to anything: the resolver has the answer yet */

    if (edit->outcome == NGX_HTTP_LB_BUSY && name->timer.timer_set) {
        ngx_add_timer(&name->timer, NGX_HTTP_LB_RESOLVE_AGAIN);
    }

    name->edit = NULL;

    ngx_destroy_pool(edit->pool);
}
