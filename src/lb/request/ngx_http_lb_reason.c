
/*
 * Why an attempt failed.  nginx does not tell a balancer: the error of a
 * connect is read, logged, and gone.  But each of a request's log lines
 * passes r->log_handler, which adds the request to it; there the words that
 * nginx found for the failure are picked up.
 */


#include "src/lb/request/ngx_http_lb_reason.h"

#include "src/lb/upstream/ngx_http_lb_error.h"


static u_char *ngx_http_lb_log_handler(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len);
static void ngx_http_lb_reason_catch(ngx_http_lb_ctx_t *ctx, u_char *line,
    u_char *end);
static void ngx_http_lb_reason_set(ngx_http_lb_ctx_t *ctx, u_char *text,
    size_t len);


void
ngx_http_lb_reason_watch(ngx_http_lb_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request->main;

    if (r->log_handler != ngx_http_lb_log_handler) {
        ctx->log_handler = r->log_handler;
        r->log_handler = ngx_http_lb_log_handler;
    }
}


ngx_str_t *
ngx_http_lb_reason(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    u_char                *p;
    u_char                 text[LB_REASON_MAX];
    ngx_connection_t      *c;
    ngx_http_upstream_t   *u;

    c = pc->connection;
    u = ctx->request->upstream;

    if (c && (c->read->timedout || c->write->timedout)) {

        p = ngx_snprintf(text, LB_REASON_MAX, "timed out (%d: ",
                         NGX_ETIMEDOUT);
        p = ngx_strerror(NGX_ETIMEDOUT, p, text + sizeof(text) - 1 - p);
        *p++ = ')';

        ngx_http_lb_reason_set(ctx, text, p - text);

    } else if (!ctx->broken
               && u->state && u->state->header_time != (ngx_msec_t) -1)
    {
        p = ngx_snprintf(text, LB_REASON_MAX, "status %ui",
                         u->headers_in.status_n);

        ngx_http_lb_reason_set(ctx, text, p - text);

    } else if (ctx->reason.len == 0) {

        /* nothing was logged, the level of the log is too high */

        if (ctx->broken) {
            ngx_str_set(&ctx->reason, "response has ended early");

        } else if (c == NULL || !u->request_sent) {
            ngx_str_set(&ctx->reason, "connect() failed");

        } else {
            ngx_str_set(&ctx->reason, "no valid response");
        }
    }

    return &ctx->reason;
}


ngx_uint_t
ngx_http_lb_reason_excuses(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc)
{
    ngx_err_t   err;
    ngx_str_t  *reason;

    err = ngx_socket_errno;
    reason = &ctx->reason;

    if (reason->len) {
        err = ngx_http_lb_reason_number(reason);

    } else if (pc->connection) {
        err = 0;
    }

    if (ngx_http_lb_error_is_local(err)) {
        return 1;
    }

    /* for Unix sockets it means that the server does not accept */

    if (err == NGX_EAGAIN) {
        return pc->connection == NULL
               && pc->sockaddr->sa_family != AF_UNIX;
    }

    /* of gRPC: without an error, a request that will not be looked at */

    return reason->len == sizeof("upstream sent goaway with error 0") - 1
           && ngx_strncmp(reason->data, "upstream sent goaway with error 0",
                          reason->len)
              == 0;
}


ngx_err_t
ngx_http_lb_reason_number(ngx_str_t *reason)
{
    u_char     *p, *colon, *last;
    ngx_int_t   n;

    last = reason->data + reason->len;

    if (ngx_strncmp(reason->data, "upstream", sizeof("upstream") - 1) == 0) {
        return 0;
    }

    for (p = reason->data;
         (p = ngx_strlchr(p, last, '(')) != NULL;
         p++)
    {
        colon = ngx_strlchr(p, last, ':');

        if (colon == NULL) {
            break;
        }

        n = ngx_atoi(p + 1, colon - p - 1);

        if (n != NGX_ERROR) {
            return (ngx_err_t) n;
        }
    }

    return 0;
}


/*
 * buf lies in a line of NGX_MAX_ERROR_STR bytes of which len are left, as
 * ngx_log_error_core() hands it to the handler of a log.
 */

static u_char *
ngx_http_lb_log_handler(ngx_http_request_t *r, ngx_http_request_t *sr,
    u_char *buf, size_t len)
{
    ngx_http_lb_ctx_t        *ctx;
    ngx_pool_cleanup_t       *cln;
    ngx_http_log_handler_pt   handler;

    handler = NULL;

    cln = r->pool->cleanup;

    while ((ctx = ngx_http_lb_ctx_next(&cln)) != NULL) {

        if (ctx->request == sr && ctx->index != LB_NONE
            && len <= NGX_MAX_ERROR_STR)
        {
            ngx_http_lb_reason_catch(ctx, buf + len - NGX_MAX_ERROR_STR, buf);
        }

        if (ctx->log_handler) {
            handler = ctx->log_handler;
        }
    }

    return handler ? handler(r, sr, buf, len) : buf;
}


/*
 * A line reads "TIME [LEVEL] PID#TID: *CONNECTION MESSAGE while ACTION, ...";
 * only what happens with the upstream is of interest, and not our own lines.
 */

static void
ngx_http_lb_reason_catch(ngx_http_lb_ctx_t *ctx, u_char *line, u_char *end)
{
    char    *action;
    u_char  *p, *text;

    action = ctx->request->connection->log->action;

    if (action == NULL || ngx_strstr(action, "upstream") == NULL) {
        return;
    }

    p = ngx_strlchr(line, end, '#');
    p = p ? ngx_strlchr(p, end, ' ') : NULL;

    if (p == NULL) {
        return;
    }

    text = p + 1;

    if (text < end && *text == '*') {
        p = ngx_strlchr(text, end, ' ');

        if (p == NULL) {
            return;
        }

        text = p + 1;
    }

    p = ngx_strnstr(text, " while ", end - text);

    if (p == NULL || ngx_strncmp(text, "lb: ", 4) == 0) {
        return;
    }

    ngx_http_lb_reason_set(ctx, text, p - text);
}


/* Without memory for it there is no reason to tell. */

static void
ngx_http_lb_reason_set(ngx_http_lb_ctx_t *ctx, u_char *text, size_t len)
{
    static u_char  none[1];

    if (ctx->text == NULL) {

        /* an allocation that fails is logged, and that comes here again */

        ctx->text = none;
        ctx->text = ngx_pnalloc(ctx->request->pool, LB_REASON_MAX);
    }

    if (ctx->text == NULL || ctx->text == none) {
        ctx->reason.len = 0;
        return;
    }

    ctx->reason.data = ctx->text;
    ctx->reason.len = ngx_min(len, LB_REASON_MAX);

    ngx_memcpy(ctx->text, text, ctx->reason.len);
}
