
/*
 * The refusal of a request that has waited in vain.
 */


#include "src/lb/request/ngx_http_lb_refuse.h"

#include "src/common/ngx_gw_grpc.h"
#include "src/common/ngx_gw_json.h"


#define NGX_HTTP_LB_REFUSED  "Upstream is overloaded"


static ngx_int_t ngx_http_lb_refuse_grpc(ngx_http_request_t *r,
    ngx_uint_t seconds);
static ngx_int_t ngx_http_lb_refuse_problem(ngx_http_request_t *r);
static ngx_uint_t ngx_http_lb_refuse_wants_problem(ngx_http_request_t *r);


ngx_int_t
ngx_http_lb_refuse(ngx_http_request_t *r, ngx_uint_t seconds)
{
    u_char      *p;
    ngx_str_t    value;
    ngx_uint_t   page;

    static ngx_str_t  name = ngx_string("Retry-After");

    /* what is part of a response is left to nginx, as other errors are */

    page = (r != r->main
            || ngx_gw_json_has_page(r, NGX_HTTP_SERVICE_UNAVAILABLE));

    if (!page && ngx_gw_grpc_is_declared(r)) {
        return ngx_http_lb_refuse_grpc(r, seconds);
    }

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%ui", seconds) - p;

    if (ngx_gw_add_header(r, &name, &value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (page) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (ngx_http_lb_refuse_wants_problem(r)) {
        return ngx_http_lb_refuse_problem(r);
    }

    return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                             NGX_HTTP_LB_REFUSED);
}


/* as nginx does for its own error pages: no "100 Continue", no body */

static ngx_int_t
ngx_http_lb_refuse_grpc(ngx_http_request_t *r, ngx_uint_t seconds)
{
    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    return ngx_gw_grpc_send(r, NGX_GW_GRPC_UNAVAILABLE, NGX_HTTP_LB_REFUSED,
                            (int64_t) seconds * 1000);
}


static ngx_int_t
ngx_http_lb_refuse_problem(ngx_http_request_t *r)
{
    ngx_gw_text_t  text;

    static ngx_str_t  type = ngx_string("application/problem+json");

    ngx_gw_text_init(&text, r->pool);

    ngx_gw_text_literal(&text,
                        "{\"type\":\"https://iana.org/assignments/"
                        "http-problem-types#temporary-reduced-capacity\","
                        "\"title\":\"" NGX_HTTP_LB_REFUSED "\","
                        "\"status\":503}\n");

    return ngx_gw_text_send(&text, r, NGX_HTTP_SERVICE_UNAVAILABLE, &type);
}


/* a client that has a problem's type among those that it takes */

static ngx_uint_t
ngx_http_lb_refuse_wants_problem(ngx_http_request_t *r)
{
#if (NGX_HTTP_HEADERS)
    ngx_table_elt_t  *accept;

    accept = r->headers_in.accept;

    return accept
           && ngx_strlcasestrn(accept->value.data,
                               accept->value.data + accept->value.len,
                               (u_char *) "application/problem+json",
                               sizeof("application/problem+json") - 2)
              != NULL;
#else
    return 0;
#endif
}


#if (NGX_HTTP_CACHE)

ngx_uint_t
ngx_http_lb_refuse_is_stale(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_uint_t            on;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u->cache_status != NGX_HTTP_CACHE_EXPIRED || r->connection->error) {
        return 0;
    }

    /* a refusal is an answer of 503, and that no server can be selected */

    on = (rc == NGX_HTTP_BAD_GATEWAY) ? NGX_HTTP_UPSTREAM_FT_ERROR
         : (rc == NGX_HTTP_SERVICE_UNAVAILABLE)
           ? NGX_HTTP_UPSTREAM_FT_NOLIVE|NGX_HTTP_UPSTREAM_FT_HTTP_503 : 0;

    return on && ((u->conf->cache_use_stale & on) || r->cache->stale_error);
}

#endif
