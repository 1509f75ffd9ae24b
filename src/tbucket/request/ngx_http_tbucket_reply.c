
/*
 * What the client and the log get to see of a refusal: the JSON text or the
 * status of gRPC, the log line.
 */


#include "src/tbucket/request/ngx_http_tbucket_reply.h"

#include "src/common/ngx_gw_grpc.h"
#include "src/common/ngx_gw_json.h"
#include "src/tbucket/request/ngx_http_tbucket_headers.h"


#define NGX_HTTP_TBUCKET_PROBLEM                                              \
    "{\"type\":\"https://iana.org/assignments/http-problem-types"             \
    "#quota-exceeded\",\"title\":\"Rate limit exceeded\",\"status\":%ui,"      \
    "\"violated-policies\":["


/* What a refusal says, by the client's standing; 0: the place's own status. */

typedef struct {
    ngx_uint_t   status;
    ngx_uint_t   grpc;
    const char  *message;
    const char  *log;           /* instead of when the next one passes */
} ngx_http_tbucket_refusal_t;


static const ngx_http_tbucket_refusal_t *ngx_http_tbucket_refusal(
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_send_grpc(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_send_json(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t status, ngx_uint_t form);
static void ngx_http_tbucket_reset_headers(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type);
static size_t ngx_http_tbucket_problem_len(ngx_http_tbucket_ctx_t *ctx);
static u_char *ngx_http_tbucket_print_problem(u_char *p,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t status);


static const ngx_http_tbucket_refusal_t  ngx_http_tbucket_exceeded = {
    0, NGX_GW_GRPC_EXHAUSTED, "Rate limit exceeded", NULL
};


static const ngx_http_tbucket_refusal_t  ngx_http_tbucket_blocked = {
    NGX_HTTP_FORBIDDEN, NGX_GW_GRPC_DENIED, "Client is blocked",
    "blocked"
};


static const ngx_http_tbucket_refusal_t  ngx_http_tbucket_unknown = {
    NGX_HTTP_UNAUTHORIZED, NGX_GW_GRPC_UNAUTHENTICATED,
    "Client is not registered", "not registered"
};


static const ngx_http_tbucket_refusal_t *
ngx_http_tbucket_refusal(ngx_http_tbucket_ctx_t *ctx)
{
    switch (ctx->charge.standing) {

    case NGX_HTTP_TBUCKET_BLOCKED:
        return &ngx_http_tbucket_blocked;

    case NGX_HTTP_TBUCKET_UNKNOWN:
    case NGX_HTTP_TBUCKET_NOBODY:
        return &ngx_http_tbucket_unknown;

    default:
        return &ngx_http_tbucket_exceeded;
    }
}


void
ngx_http_tbucket_log_refusal(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t level)
{
    u_char                     *last;
    u_char                      next[sizeof("next in  ms") + NGX_INT64_LEN];
    const char                 *log;
    ngx_http_tbucket_charge_t  *c;

    c = &ctx->charge;

    log = ngx_http_tbucket_refusal(ctx)->log;

    last = log != NULL ? ngx_sprintf(next, "%s", log)
           : c->wait == NGX_HTTP_TBUCKET_NEVER ? ngx_sprintf(next,
                                                             "next never")
           : ngx_sprintf(next, "next in %uL ms", c->wait);

    ngx_log_error(level, r->connection->log, 0,
                  "tbucket: request rejected%s by zone \"%V\", "
                  "client hash %016xL, %*s",
                  ctx->status == NGX_HTTP_TBUCKET_REJECTED_DRY_RUN
                  ? " (dry run)" : "",
                  &c->zone->name, c->hash.lo, (size_t) (last - next), next);
}


void
ngx_http_tbucket_refuse(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx,
    ngx_uint_t status, ngx_uint_t form)
{
    ngx_int_t                          rc;
    const ngx_http_tbucket_refusal_t  *refusal;

    refusal = ngx_http_tbucket_refusal(ctx);
    status = refusal->status ? refusal->status : status;

    if (ngx_gw_json_has_page(r, status)) {
        ngx_http_finalize_request(r, status);
        return;
    }

    /* as nginx does for its own error pages: no "100 Continue", no body */

    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        r->keepalive = 0;
    }

    ctx->grpc = ngx_gw_grpc_is_declared(r);

    rc = ctx->grpc ? ngx_http_tbucket_send_grpc(r, ctx)
                   : ngx_http_tbucket_send_json(r, ctx, status, form);

    ngx_http_finalize_request(r, rc);
}


static ngx_int_t
ngx_http_tbucket_send_grpc(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx)
{
    const ngx_http_tbucket_refusal_t  *refusal;

    refusal = ngx_http_tbucket_refusal(ctx);

    return ngx_gw_grpc_send(r, refusal->grpc, refusal->message,
                            ctx->charge.wait == NGX_HTTP_TBUCKET_NEVER
                            ? -1 : (int64_t) ctx->charge.wait);
}


static ngx_int_t
ngx_http_tbucket_send_json(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx,
    ngx_uint_t status, ngx_uint_t form)
{
    size_t        len;
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;
    const char   *message;

    static ngx_str_t  types[] = {
        ngx_string("application/json"),
        ngx_string("application/problem+json")
    };

    message = ngx_http_tbucket_refusal(ctx)->message;

    len = form == NGX_HTTP_TBUCKET_BODY_PROBLEM
          ? ngx_http_tbucket_problem_len(ctx)
          : sizeof("{\"code\":429,\"message\":\"\"}") - 1
            + ngx_strlen(message);

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = form == NGX_HTTP_TBUCKET_BODY_PROBLEM
              ? ngx_http_tbucket_print_problem(b->pos, ctx, status)
              : ngx_snprintf(b->pos, len,
                             "{\"code\":%03ui,\"message\":\"%s\"}", status,
                             message);
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    ngx_http_tbucket_reset_headers(r, status, &types[form]);

    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static void
ngx_http_tbucket_reset_headers(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type)
{
    /* an error page that is refused itself has another status in err_status */

    r->err_status = 0;
    r->headers_out.status = status;
    r->headers_out.status_line.len = 0;

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);
}


/*
 * RFC 9457, with the type that draft-ietf-httpapi-ratelimit-headers registers:
 * the policies are those of the limits that refuse.  Names of zones need no
 * escapes.
 */

static size_t
ngx_http_tbucket_problem_len(ngx_http_tbucket_ctx_t *ctx)
{
    size_t      len;
    ngx_uint_t  i;

    len = sizeof(NGX_HTTP_TBUCKET_PROBLEM) + NGX_INT_T_LEN
          + sizeof("\"\"") + ctx->charge.zone->name.len + sizeof("]}");

    for (i = 0; i < ctx->nothers; i++) {
        len += sizeof(",\"\"") + ctx->others[i].zone->name.len;
    }

    return len;
}


static u_char *
ngx_http_tbucket_print_problem(u_char *p, ngx_http_tbucket_ctx_t *ctx,
    ngx_uint_t status)
{
    ngx_uint_t                         i;
    const ngx_http_tbucket_refusal_t  *refusal;

    refusal = ngx_http_tbucket_refusal(ctx);

    if (refusal->status) {
        return ngx_sprintf(p, "{\"type\":\"about:blank\",\"title\":\"%s\","
                              "\"status\":%ui}", refusal->message, status);
    }

    p = ngx_sprintf(p, NGX_HTTP_TBUCKET_PROBLEM "\"%V\"", status,
                    &ctx->charge.zone->name);

    for (i = 0; i < ctx->nothers; i++) {
        if (ctx->others[i].verdict == TB_REFUSE) {
            p = ngx_sprintf(p, ",\"%V\"", &ctx->others[i].zone->name);
        }
    }

    return ngx_cpymem(p, "]}", sizeof("]}") - 1);
}
