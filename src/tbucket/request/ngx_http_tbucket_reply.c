
/*
 * What the client and the log get to see of a decision: headers, the JSON
 * refusal, the log line.
 */


#include "src/tbucket/request/ngx_http_tbucket_reply.h"

#include "src/common/ngx_gw_json.h"
#include "src/core/text/gw_digits.h"
#include "src/tbucket/request/ngx_http_tbucket_ctx.h"
#include "src/tbucket/request/ngx_http_tbucket_figures.h"
#include "src/tbucket/request/ngx_http_tbucket_policy.h"


/* status codes of gRPC */
#define NGX_HTTP_TBUCKET_GRPC_DENIED           7
#define NGX_HTTP_TBUCKET_GRPC_EXHAUSTED        8
#define NGX_HTTP_TBUCKET_GRPC_UNAUTHENTICATED  16

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


static ngx_int_t ngx_http_tbucket_header_filter(ngx_http_request_t *r);
static ngx_gw_noinline ngx_int_t ngx_http_tbucket_filter_due(
    ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx);
static ngx_inline ngx_uint_t ngx_http_tbucket_is_redirect(
    ngx_http_request_t *r);
static void ngx_http_tbucket_drop_headers(ngx_http_request_t *r);
static const ngx_http_tbucket_refusal_t *ngx_http_tbucket_refusal(
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_add_headers(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_add_challenge(ngx_http_request_t *r);
static ngx_int_t ngx_http_tbucket_add_ietf(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);
static u_char *ngx_http_tbucket_print_policies(u_char *p,
    ngx_http_tbucket_ctx_t *ctx);
static u_char *ngx_http_tbucket_print_comma(u_char *p, u_char *begin);
static ngx_int_t ngx_http_tbucket_add_one(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *c, const ngx_str_t *known);
static ngx_inline size_t ngx_http_tbucket_remaining_len(
    ngx_http_tbucket_zone_t *zone);
static u_char *ngx_http_tbucket_print_remaining(u_char *p,
    ngx_http_tbucket_charge_t *c);
static ngx_int_t ngx_http_tbucket_add_legacy(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_add_number(ngx_http_request_t *r,
    const char *name, size_t len, uint64_t number);
static ngx_inline ngx_table_elt_t *ngx_http_tbucket_push_header(
    ngx_http_request_t *r, const char *name, size_t len);
static ngx_uint_t ngx_http_tbucket_is_grpc(ngx_http_request_t *r);
static ngx_int_t ngx_http_tbucket_send_grpc(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_send_json(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t status, ngx_uint_t form);
static void ngx_http_tbucket_reset_headers(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type);
static size_t ngx_http_tbucket_problem_len(ngx_http_tbucket_ctx_t *ctx);
static u_char *ngx_http_tbucket_print_problem(u_char *p,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t status);


/* the name of a header and its length, for the functions above */
#define ngx_http_tbucket_name(name)  name, sizeof(name) - 1


static const ngx_http_tbucket_refusal_t  ngx_http_tbucket_exceeded = {
    0, NGX_HTTP_TBUCKET_GRPC_EXHAUSTED, "Rate limit exceeded", NULL
};


static const ngx_http_tbucket_refusal_t  ngx_http_tbucket_blocked = {
    NGX_HTTP_FORBIDDEN, NGX_HTTP_TBUCKET_GRPC_DENIED, "Client is blocked",
    "blocked"
};


static const ngx_http_tbucket_refusal_t  ngx_http_tbucket_unknown = {
    NGX_HTTP_UNAUTHORIZED, NGX_HTTP_TBUCKET_GRPC_UNAUTHENTICATED,
    "Client is not registered", "not registered"
};


static ngx_http_output_header_filter_pt  ngx_http_tbucket_next_header_filter;


void
ngx_http_tbucket_init_header_filter(void)
{
    ngx_http_tbucket_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_tbucket_header_filter;
}


/*
 * Headers are added when the response goes out, not when the request comes
 * in: a filter that turns the response into an error, such as 412, throws
 * away those that it had until then.  Other errors, such as 416, come here
 * a second time with their headers.
 */

static ngx_int_t
ngx_http_tbucket_header_filter(ngx_http_request_t *r)
{
    ngx_http_tbucket_ctx_t  *ctx;

    if (r == r->main) {
        ctx = ngx_http_tbucket_get_ctx(r);

        if (ctx != NULL && ctx->due) {
            return ngx_http_tbucket_filter_due(r, ctx);
        }
    }

    return ngx_http_tbucket_next_header_filter(r);
}


static ngx_int_t
ngx_http_tbucket_filter_due(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_uint_t  round;

    round = r->filter_finalize ? 2 : 1;

    if (ctx->added < round && !ngx_http_tbucket_is_redirect(r)) {

        if (r->upstream != NULL
            && ctx->headers != NGX_HTTP_TBUCKET_HEADERS_OFF)
        {
            ngx_http_tbucket_drop_headers(r);
        }

        if (ngx_http_tbucket_add_headers(r, ctx) != NGX_OK) {
            return NGX_ERROR;
        }

        ctx->added = round;
    }

    return ngx_http_tbucket_next_header_filter(r);
}


/* The limit is told with what the redirect leads to. */

static ngx_inline ngx_uint_t
ngx_http_tbucket_is_redirect(ngx_http_request_t *r)
{
    return r->headers_out.status >= NGX_HTTP_SPECIAL_RESPONSE
           && r->headers_out.status < NGX_HTTP_BAD_REQUEST
           && r->headers_out.status != NGX_HTTP_NOT_MODIFIED;
}


/*
 * What the upstream says of a limit of its own, in whatever dialect, is not
 * what the client has to go by.
 */

static void
ngx_http_tbucket_drop_headers(ngx_http_request_t *r)
{
    u_char            c;
    ngx_str_t        *key;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            key = &h[i].key;

            if (key->len < sizeof("RateLimit") - 1) {
                continue;
            }

            /* most are told by their first letter */

            c = key->data[0] | 0x20;

            if ((c == 'r'
                 && ngx_strncasecmp(key->data, (u_char *) "RateLimit",
                                    sizeof("RateLimit") - 1)
                    == 0)
                || (c == 'x' && key->len >= sizeof("X-RateLimit-") - 1
                    && ngx_strncasecmp(key->data, (u_char *) "X-RateLimit-",
                                       sizeof("X-RateLimit-") - 1)
                       == 0))
            {
                h[i].hash = 0;
            }
        }
    }
}


static ngx_int_t
ngx_http_tbucket_add_headers(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx)
{
    uint64_t    wait;
    ngx_int_t   rc;
    ngx_uint_t  i;

    wait = ctx->charge.wait;

    if (ctx->status == NGX_HTTP_TBUCKET_REJECTED
        && wait != NGX_HTTP_TBUCKET_NEVER
        && !ctx->grpc)
    {
        rc = ngx_http_tbucket_add_number(r,
                                         ngx_http_tbucket_name("Retry-After"),
                                         ngx_http_tbucket_seconds(wait));
        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_tbucket_refusal(ctx) == &ngx_http_tbucket_unknown
        && ctx->status == NGX_HTTP_TBUCKET_REJECTED
        && ngx_http_tbucket_add_challenge(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; !ngx_http_tbucket_is_told(i == 0 ? &ctx->charge
                                                 : &ctx->others[i - 1]); i++)
    {
        if (i == ctx->nothers) {

            /* nobody is limited */

            return NGX_OK;
        }
    }

    switch (ctx->headers) {

    case NGX_HTTP_TBUCKET_HEADERS_IETF:
        return ngx_http_tbucket_add_ietf(r, ctx);

    case NGX_HTTP_TBUCKET_HEADERS_LEGACY:
        return ngx_http_tbucket_add_legacy(r, ctx);

    default:
        return NGX_OK;
    }
}


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


static ngx_int_t
ngx_http_tbucket_add_challenge(ngx_http_request_t *r)
{
    ngx_table_elt_t  *h;

    h = ngx_http_tbucket_push_header(r,
                                   ngx_http_tbucket_name("WWW-Authenticate"));
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&h->value, "ApiKey");

    r->headers_out.www_authenticate = h;

    return NGX_OK;
}


/*
 * draft-ietf-httpapi-ratelimit-headers-10, where "t" may be left out.  Both
 * values are lists with one member for each limit, the tightest first.
 */

static ngx_int_t
ngx_http_tbucket_add_ietf(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx)
{
    u_char                     *p;
    size_t                      len;
    const ngx_str_t            *known;
    ngx_uint_t                  i;
    ngx_table_elt_t            *policy, *remaining;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_charge_t  *c;

    c = &ctx->charge;
    zone = c->zone;

    if (ctx->nothers == 0) {
        known = ngx_http_tbucket_known_policy(zone, c->result.limits);

        if (known != NULL) {
            return ngx_http_tbucket_add_one(r, c, known);
        }
    }

    len = ngx_http_tbucket_remaining_len(zone)
          + ngx_http_tbucket_policy_len(zone);

    for (i = 0; i < ctx->nothers; i++) {
        zone = ctx->others[i].zone;
        len += sizeof(", ") - 1 + ngx_http_tbucket_policy_len(zone)
               + sizeof(", ") - 1 + ngx_http_tbucket_remaining_len(zone);
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    policy = ngx_http_tbucket_push_header(r,
                                   ngx_http_tbucket_name("RateLimit-Policy"));
    remaining = ngx_http_tbucket_push_header(r,
                                          ngx_http_tbucket_name("RateLimit"));

    if (policy == NULL || remaining == NULL) {
        return NGX_ERROR;
    }

    policy->value.data = p;
    p = ngx_http_tbucket_print_policies(p, ctx);
    policy->value.len = p - policy->value.data;

    remaining->value.data = p;

    if (ngx_http_tbucket_is_told(c)) {
        p = ngx_http_tbucket_print_remaining(p, c);
    }

    for (i = 0; i < ctx->nothers; i++) {

        if (ngx_http_tbucket_is_told(&ctx->others[i])) {
            p = ngx_http_tbucket_print_comma(p, remaining->value.data);
            p = ngx_http_tbucket_print_remaining(p, &ctx->others[i]);
        }
    }

    remaining->value.len = p - remaining->value.data;

    return NGX_OK;
}


/* Most responses have one limit, and a policy that has been printed before. */

static ngx_int_t
ngx_http_tbucket_add_one(ngx_http_request_t *r, ngx_http_tbucket_charge_t *c,
    const ngx_str_t *known)
{
    u_char           *p;
    ngx_table_elt_t  *policy, *remaining;

    p = ngx_pnalloc(r->pool, ngx_http_tbucket_remaining_len(c->zone));

    policy = ngx_http_tbucket_push_header(r,
                                   ngx_http_tbucket_name("RateLimit-Policy"));
    remaining = ngx_http_tbucket_push_header(r,
                                          ngx_http_tbucket_name("RateLimit"));

    if (p == NULL || policy == NULL || remaining == NULL) {
        return NGX_ERROR;
    }

    policy->value = *known;

    remaining->value.data = p;
    remaining->value.len = ngx_http_tbucket_print_remaining(p, c) - p;

    return NGX_OK;
}


static u_char *
ngx_http_tbucket_print_policies(u_char *p, ngx_http_tbucket_ctx_t *ctx)
{
    u_char                     *begin;
    ngx_uint_t                  i;
    ngx_http_tbucket_charge_t  *c;

    begin = p;
    c = &ctx->charge;

    if (ngx_http_tbucket_is_told(c)) {
        p = ngx_http_tbucket_print_policy(p, c->zone, c->result.limits);
    }

    for (i = 0; i < ctx->nothers; i++) {
        c = &ctx->others[i];

        if (ngx_http_tbucket_is_told(c)) {
            p = ngx_http_tbucket_print_comma(p, begin);
            p = ngx_http_tbucket_print_policy(p, c->zone, c->result.limits);
        }
    }

    return p;
}


static u_char *
ngx_http_tbucket_print_comma(u_char *p, u_char *begin)
{
    return p == begin ? p : ngx_cpymem(p, ", ", sizeof(", ") - 1);
}


static ngx_inline size_t
ngx_http_tbucket_remaining_len(ngx_http_tbucket_zone_t *zone)
{
    return zone->remaining.len + NGX_HTTP_TBUCKET_TOKENS_LEN
           + sizeof(";t=") - 1 + GW_DIGITS_MAX;
}


/* The time is that in which the client may use no more than what is left. */

static u_char *
ngx_http_tbucket_print_remaining(u_char *p, ngx_http_tbucket_charge_t *c)
{
    uint64_t  left, seconds;

    left = ngx_http_tbucket_remaining(c);

    p = ngx_cpymem(p, c->zone->remaining.data, c->zone->remaining.len);
    p = gw_digits(p, left);

    seconds = ngx_http_tbucket_spend_time(c, left);

    if (seconds != NGX_HTTP_TBUCKET_NEVER) {
        p = ngx_cpymem(p, ";t=", sizeof(";t=") - 1);
        p = gw_digits(p, seconds);
    }

    return p;
}


static ngx_int_t
ngx_http_tbucket_add_legacy(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx)
{
    uint64_t                    reset;
    ngx_http_tbucket_charge_t  *c;

    c = &ctx->charge;

    if (!ngx_http_tbucket_is_told(c)) {
        return NGX_OK;
    }

    if (ngx_http_tbucket_add_number(r,
                                   ngx_http_tbucket_name("X-RateLimit-Limit"),
                                   ngx_http_tbucket_limit(c->zone,
                                                         c->result.limits))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_tbucket_add_number(r,
                               ngx_http_tbucket_name("X-RateLimit-Remaining"),
                               ngx_http_tbucket_remaining(c))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    reset = ngx_http_tbucket_reset(c,
                                  ctx->status == NGX_HTTP_TBUCKET_PASSED);

    if (reset == NGX_HTTP_TBUCKET_NEVER) {
        return NGX_OK;
    }

    return ngx_http_tbucket_add_number(r,
                                   ngx_http_tbucket_name("X-RateLimit-Reset"),
                                   reset);
}


static ngx_int_t
ngx_http_tbucket_add_number(ngx_http_request_t *r, const char *name,
    size_t len, uint64_t number)
{
    u_char           *p;
    ngx_table_elt_t  *h;

    p = ngx_pnalloc(r->pool, GW_DIGITS_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    h = ngx_http_tbucket_push_header(r, name, len);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->value.data = p;
    h->value.len = gw_digits(p, number) - p;

    return NGX_OK;
}


/* ngx_list_push(), without the call as long as there is room */

static ngx_inline ngx_table_elt_t *
ngx_http_tbucket_push_header(ngx_http_request_t *r, const char *name,
    size_t len)
{
    ngx_list_part_t  *last;
    ngx_table_elt_t  *h;

    last = r->headers_out.headers.last;

    if (last->nelts < r->headers_out.headers.nalloc) {
        h = last->elts;
        h += last->nelts++;

    } else {
        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NULL;
        }
    }

    ngx_gw_header_init(h);

    h->key.data = (u_char *) name;
    h->key.len = len;
    ngx_str_null(&h->value);

    return h;
}


ngx_str_t
ngx_http_tbucket_remaining_prefix(ngx_pool_t *pool, ngx_str_t *zone)
{
    u_char     *p;
    ngx_str_t   remaining;

    ngx_str_null(&remaining);

    p = ngx_pnalloc(pool, sizeof("\"\";r=") - 1 + zone->len);
    if (p == NULL) {
        return remaining;
    }

    remaining.data = p;
    remaining.len = ngx_sprintf(p, "\"%V\";r=", zone) - p;

    return remaining;
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

    ctx->grpc = ngx_http_tbucket_is_grpc(r);

    rc = ctx->grpc ? ngx_http_tbucket_send_grpc(r, ctx)
                   : ngx_http_tbucket_send_json(r, ctx, status, form);

    ngx_http_finalize_request(r, rc);
}


/* application/grpc, application/grpc+proto, application/grpc-web, ... */

static ngx_uint_t
ngx_http_tbucket_is_grpc(ngx_http_request_t *r)
{
    ngx_table_elt_t  *type;

    type = r->headers_in.content_type;

    return type != NULL
           && type->value.len >= sizeof("application/grpc") - 1
           && ngx_strncasecmp(type->value.data, (u_char *) "application/grpc",
                              sizeof("application/grpc") - 1)
              == 0;
}


/*
 * Headers alone, with the status that gRPC has in the trailers of other
 * responses: "Trailers-Only" of the gRPC protocol over HTTP/2.
 */

static ngx_int_t
ngx_http_tbucket_send_grpc(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx)
{
    ngx_int_t                          rc;
    ngx_table_elt_t                   *h;
    const ngx_http_tbucket_refusal_t  *refusal;

    static ngx_str_t  type = ngx_string("application/grpc");

    refusal = ngx_http_tbucket_refusal(ctx);

    ngx_http_tbucket_reset_headers(r, NGX_HTTP_OK, &type);

    /* a stream of HTTP/2 ends with its headers, a connection is told */

    r->headers_out.content_length_n = r->http_version < NGX_HTTP_VERSION_20
                                      ? 0 : -1;
    r->header_only = 1;

    if (ngx_http_tbucket_add_number(r, ngx_http_tbucket_name("grpc-status"),
                                    refusal->grpc)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    h = ngx_http_tbucket_push_header(r, ngx_http_tbucket_name("grpc-message"));
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->value.data = (u_char *) refusal->message;
    h->value.len = ngx_strlen(refusal->message);

    if (ctx->charge.wait != NGX_HTTP_TBUCKET_NEVER) {
        rc = ngx_http_tbucket_add_number(r,
                             ngx_http_tbucket_name("grpc-retry-pushback-ms"),
                             ctx->charge.wait);
        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        h = ngx_http_tbucket_push_header(r,
                             ngx_http_tbucket_name("grpc-retry-pushback-ms"));
        if (h == NULL) {
            return NGX_ERROR;
        }

        /* what a client takes for "do not retry" */

        ngx_str_set(&h->value, "-1");
    }

    return ngx_http_send_header(r);
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
