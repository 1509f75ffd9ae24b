
/*
 * Headers of limited responses: what the client may still do, and when it may
 * come again.  They are added when the response goes out, not when the
 * request comes in: a filter that turns the response into an error, such as
 * 412, throws away those that it had until then.  Other errors, such as 416,
 * come here a second time with their headers.
 */


#include "src/tbucket/request/ngx_http_tbucket_headers.h"

#include "src/common/ngx_gw_compat.h"
#include "src/core/text/gw_digits.h"
#include "src/tbucket/request/ngx_http_tbucket_ctx.h"
#include "src/tbucket/request/ngx_http_tbucket_figures.h"
#include "src/tbucket/request/ngx_http_tbucket_policy.h"


/* room for both figures of a RateLimit value */
#define NGX_HTTP_TBUCKET_FIGURES     (sizeof(";t=") - 1 + 2 * GW_DIGITS_MAX)


static ngx_int_t ngx_http_tbucket_header_filter(ngx_http_request_t *r);
static ngx_inline ngx_int_t ngx_http_tbucket_add_headers(
    ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx);
static ngx_inline ngx_uint_t ngx_http_tbucket_is_redirect(
    ngx_http_request_t *r);
static ngx_gw_noinline void ngx_http_tbucket_drop_headers(
    ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx);
static ngx_inline ngx_int_t ngx_http_tbucket_add_ietf(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_gw_noinline ngx_int_t ngx_http_tbucket_add_any(
    ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_add_refused(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_add_lists(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);
static ngx_int_t ngx_http_tbucket_find_policies(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx, ngx_http_tbucket_policy_t **policies,
    size_t *len);
static ngx_inline ngx_http_tbucket_charge_t *ngx_http_tbucket_nth_charge(
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t i);
static ngx_inline u_char *ngx_http_tbucket_print_before(u_char *end,
    const void *text, size_t len);
static ngx_inline u_char *ngx_http_tbucket_print_figures(u_char *end,
    uint64_t left, uint64_t seconds);
static ngx_int_t ngx_http_tbucket_add_legacy(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx);


static ngx_http_output_header_filter_pt  ngx_http_tbucket_next_header_filter;


void
ngx_http_tbucket_init_header_filter(void)
{
    ngx_http_tbucket_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_tbucket_header_filter;
}


static ngx_gw_hot ngx_int_t
ngx_http_tbucket_header_filter(ngx_http_request_t *r)
{
    ngx_http_tbucket_ctx_t  *ctx;

    if (r == r->main) {
        ctx = ngx_http_tbucket_get_ctx(r);

        if (ctx != NULL && ctx->due
            && ngx_http_tbucket_add_headers(r, ctx) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_tbucket_next_header_filter(r);
}


static ngx_inline ngx_int_t
ngx_http_tbucket_add_headers(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx)
{
    if (ctx->added && (ctx->added == 2 || !r->filter_finalize)) {
        return NGX_OK;
    }

    if (r->upstream != NULL) {
        ngx_http_tbucket_drop_headers(r, ctx);
    }

    if (ngx_http_tbucket_is_redirect(r)) {
        return NGX_OK;
    }

    ctx->added = r->filter_finalize ? 2 : 1;

    if (ctx->headers == NGX_HTTP_TBUCKET_HEADERS_IETF
        && ctx->nothers == 0
        && ctx->charge.verdict == TB_PASS
        && ctx->charge.standing == NGX_HTTP_TBUCKET_LIMITED
        && ngx_http_tbucket_add_ietf(r, ctx) == NGX_OK)
    {
        return NGX_OK;
    }

    return ngx_http_tbucket_add_any(r, ctx);
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
 * what the client has to go by; nor, where it has the page for a refusal, when
 * to come again.
 */

static void
ngx_http_tbucket_drop_headers(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx)
{
    u_char            c;
    ngx_str_t        *key;
    ngx_uint_t        i, refused, told;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    told = (ctx->headers != NGX_HTTP_TBUCKET_HEADERS_OFF);
    refused = (ctx->status == NGX_HTTP_TBUCKET_REJECTED);

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            key = &h[i].key;

            if (key->len < sizeof("RateLimit") - 1) {
                continue;
            }

            /* most are told by their first letter */

            c = key->data[0] | 0x20;

            if ((c == 'r' && told
                 && ngx_strncasecmp(key->data, (u_char *) "RateLimit",
                                    sizeof("RateLimit") - 1)
                    == 0)
                || (c == 'r' && refused
                    && key->len == sizeof("Retry-After") - 1
                    && ngx_strncasecmp(key->data, (u_char *) "Retry-After",
                                       sizeof("Retry-After") - 1)
                       == 0)
                || (c == 'x' && told && key->len >= sizeof("X-RateLimit-") - 1
                    && ngx_strncasecmp(key->data, (u_char *) "X-RateLimit-",
                                       sizeof("X-RateLimit-") - 1)
                       == 0))
            {
                h[i].hash = 0;
            }
        }
    }
}


/*
 * draft-ietf-httpapi-ratelimit-headers-10 for most responses: of one limit
 * that is a rate, with a policy that has been made and a list of headers that
 * has room for both.  NGX_DECLINED of others.
 */

static ngx_inline ngx_int_t
ngx_http_tbucket_add_ietf(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx)
{
    u_char                           *p, *end;
    uint64_t                          left;
    ngx_list_part_t                  *last;
    ngx_table_elt_t                  *h;
    ngx_http_tbucket_zone_t          *zone;
    const ngx_http_tbucket_policy_t  *policy;

    zone = ctx->charge.zone;
    last = r->headers_out.headers.last;

    if (!zone->brief || last->nelts + 2 > r->headers_out.headers.nalloc) {
        return NGX_DECLINED;
    }

    policy = *ngx_http_tbucket_policy_place(zone, ctx->charge.result.limits);

    if (policy == NULL || policy->limits != ctx->charge.result.limits
        || policy->rate == 0)
    {
        return NGX_DECLINED;
    }

    h = last->elts;
    h += last->nelts;
    last->nelts += 2;

    h[0] = policy->headers[0];
    h[1] = policy->headers[1];

    left = ngx_max(ctx->charge.result.left, 0);
    left = left * zone->unit / TB_TOKEN;

    end = ctx->text + sizeof(ctx->text);

    p = ngx_http_tbucket_print_figures(end, left,
                                       tb_spend_seconds(left, policy->rate));

    /* a copy of a known length is made in place */

    ngx_memcpy(p - NGX_HTTP_TBUCKET_PREFIX,
               zone->remaining.data + zone->remaining.len
               - NGX_HTTP_TBUCKET_PREFIX, NGX_HTTP_TBUCKET_PREFIX);

    p -= zone->remaining.len;

    h[1].value.data = p;
    h[1].value.len = end - p;

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_add_any(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx)
{
    if (ctx->status == NGX_HTTP_TBUCKET_REJECTED
        && ngx_http_tbucket_add_refused(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    switch (ctx->headers) {

    case NGX_HTTP_TBUCKET_HEADERS_IETF:
        return ngx_http_tbucket_add_lists(r, ctx);

    case NGX_HTTP_TBUCKET_HEADERS_LEGACY:
        return ngx_http_tbucket_add_legacy(r, ctx);

    default:
        return NGX_OK;
    }
}


static ngx_int_t
ngx_http_tbucket_add_refused(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx)
{
    ngx_table_elt_t  *h;

    static u_char  key[] = "ApiKey";

    if (ctx->charge.wait != NGX_HTTP_TBUCKET_NEVER && !ctx->grpc) {
        h = ngx_http_tbucket_add_number(r,
                                ngx_http_tbucket_name("Retry-After"),
                                ngx_http_tbucket_seconds(ctx->charge.wait));
        if (h == NULL) {
            return NGX_ERROR;
        }
    }

    if (ctx->charge.standing == NGX_HTTP_TBUCKET_UNKNOWN
        || ctx->charge.standing == NGX_HTTP_TBUCKET_NOBODY)
    {
        h = ngx_http_tbucket_add_value(r,
                                    ngx_http_tbucket_name("WWW-Authenticate"),
                                    key, key + sizeof("ApiKey") - 1);
        if (h == NULL) {
            return NGX_ERROR;
        }

        r->headers_out.www_authenticate = h;
    }

    return NGX_OK;
}


/*
 * Both values are lists with one member for each limit, the tightest first.
 * They are printed from their ends, as figures are.
 */

static ngx_int_t
ngx_http_tbucket_add_lists(ngx_http_request_t *r, ngx_http_tbucket_ctx_t *ctx)
{
    size_t                       len;
    u_char                      *p, *q, *middle, *end;
    uint64_t                     left, seconds;
    ngx_uint_t                   i;
    ngx_str_t                   *value;
    ngx_http_tbucket_charge_t   *c;
    ngx_http_tbucket_policy_t  **policies, *only;

    only = NULL;
    policies = ctx->nothers == 0
               ? &only
               : ngx_palloc(r->pool, (ctx->nothers + 1) * sizeof(only));

    if (policies == NULL
        || ngx_http_tbucket_find_policies(r, ctx, policies, &len) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (len == 0) {

        /* nobody is limited */

        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 2 * len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    middle = p + len;
    end = middle + len;

    p = middle;
    q = end;

    for (i = ctx->nothers + 1; i-- > 0; /* void */) {

        if (policies[i] == NULL) {
            continue;
        }

        if (q != end) {
            p = ngx_http_tbucket_print_before(p, ", ", sizeof(", ") - 1);
            q = ngx_http_tbucket_print_before(q, ", ", sizeof(", ") - 1);
        }

        c = ngx_http_tbucket_nth_charge(ctx, i);
        value = &policies[i]->headers[0].value;

        p = ngx_http_tbucket_print_before(p, value->data, value->len);
        left = ngx_http_tbucket_remaining(c);
        seconds = ngx_http_tbucket_spend_time(c, left);

        q = seconds == NGX_HTTP_TBUCKET_NEVER
            ? gw_digits_before(q, left)
            : ngx_http_tbucket_print_figures(q, left, seconds);
        q = ngx_http_tbucket_print_before(q, c->zone->remaining.data,
                                          c->zone->remaining.len);
    }

    return ngx_http_tbucket_add_value(r,
                                   ngx_http_tbucket_name("RateLimit-Policy"),
                                   p, middle) == NULL
           || ngx_http_tbucket_add_value(r,
                                         ngx_http_tbucket_name("RateLimit"),
                                         q, end) == NULL
           ? NGX_ERROR : NGX_OK;
}


/*
 * NULL for a limit that the client is not told of; *len is room for either
 * list.
 */

static ngx_int_t
ngx_http_tbucket_find_policies(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx, ngx_http_tbucket_policy_t **policies,
    size_t *len)
{
    ngx_uint_t                  i;
    ngx_http_tbucket_charge_t  *c;

    *len = 0;

    for (i = 0; i <= ctx->nothers; i++) {
        c = ngx_http_tbucket_nth_charge(ctx, i);

        policies[i] = NULL;

        if (!ngx_http_tbucket_is_told(c)) {
            continue;
        }

        policies[i] = ngx_http_tbucket_policy(r->pool, c->zone,
                                              c->result.limits);
        if (policies[i] == NULL) {
            return NGX_ERROR;
        }

        *len += policies[i]->headers[0].value.len + c->zone->remaining.len
                + NGX_HTTP_TBUCKET_FIGURES + sizeof(", ") - 1;
    }

    return NGX_OK;
}


static ngx_inline ngx_http_tbucket_charge_t *
ngx_http_tbucket_nth_charge(ngx_http_tbucket_ctx_t *ctx, ngx_uint_t i)
{
    return i == 0 ? &ctx->charge : &ctx->others[i - 1];
}


static ngx_inline u_char *
ngx_http_tbucket_print_before(u_char *end, const void *text, size_t len)
{
    ngx_memcpy(end - len, text, len);

    return end - len;
}


/*
 * What is left, and the time in which the client may use no more than that;
 * NGX_HTTP_TBUCKET_FIGURES bytes at most.
 */

static ngx_inline u_char *
ngx_http_tbucket_print_figures(u_char *end, uint64_t left, uint64_t seconds)
{
    end = gw_digits_before(end, seconds);
    end = ngx_http_tbucket_print_before(end, ";t=", sizeof(";t=") - 1);

    /* less than 2^40 µtok, of up to 1,000 units */

    return gw_digits_before(end, (uint32_t) left);
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
        == NULL
        || ngx_http_tbucket_add_number(r,
                               ngx_http_tbucket_name("X-RateLimit-Remaining"),
                               ngx_http_tbucket_remaining(c))
           == NULL)
    {
        return NGX_ERROR;
    }

    reset = ngx_http_tbucket_reset(c,
                                  ctx->status == NGX_HTTP_TBUCKET_PASSED);

    return reset == NGX_HTTP_TBUCKET_NEVER
           || ngx_http_tbucket_add_number(r,
                                   ngx_http_tbucket_name("X-RateLimit-Reset"),
                                   reset)
              != NULL
           ? NGX_OK : NGX_ERROR;
}


ngx_table_elt_t *
ngx_http_tbucket_add_number(ngx_http_request_t *r, const char *name,
    size_t len, uint64_t number)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, GW_DIGITS_MAX);
    if (p == NULL) {
        return NULL;
    }

    return ngx_http_tbucket_add_value(r, name, len, p, gw_digits(p, number));
}


ngx_table_elt_t *
ngx_http_tbucket_add_value(ngx_http_request_t *r, const char *name,
    size_t len, u_char *begin, u_char *end)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_gw_header_init(h);

    h->key.data = (u_char *) name;
    h->key.len = len;
    h->value.data = begin;
    h->value.len = end - begin;

    return h;
}


/* What lies before the end of the text is copied by blocks. */

ngx_str_t
ngx_http_tbucket_remaining_prefix(ngx_pool_t *pool, ngx_str_t *zone)
{
    size_t     size;
    u_char    *p;
    ngx_str_t  remaining;

    ngx_str_null(&remaining);

    remaining.len = sizeof("\"\";r=") - 1 + zone->len;

    size = ngx_max(remaining.len, NGX_HTTP_TBUCKET_PREFIX);

    p = ngx_pcalloc(pool, size + 1);
    if (p == NULL) {
        return remaining;
    }

    remaining.data = p + size - remaining.len;
    ngx_sprintf(remaining.data, "\"%V\";r=", zone);

    return remaining;
}
