
/*
 * Proxy-Status (RFC 9209): a response that nginx makes up, since no server has
 * answered, says so and why, in the terms that the RFC registers.
 */


#include "src/lb/request/ngx_http_lb_proxy_status.h"

#include "src/common/ngx_gw_text.h"
#include "src/lb/request/ngx_http_lb_reason.h"


static const char *ngx_http_lb_proxy_status_error(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);
static ngx_int_t ngx_http_lb_proxy_status_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_lb_proxy_status_add(ngx_http_request_t *r,
    ngx_http_lb_ctx_t *ctx, ngx_uint_t next_hop);


static ngx_http_output_header_filter_pt  ngx_http_lb_proxy_status_next;


ngx_conf_enum_t  ngx_http_lb_proxy_status_words[] = {
    { ngx_string("off"), NGX_HTTP_LB_PROXY_STATUS_OFF },
    { ngx_string("on"), NGX_HTTP_LB_PROXY_STATUS_ON },
    { ngx_string("next_hop"), NGX_HTTP_LB_PROXY_STATUS_NEXT_HOP },
    { ngx_null_string, 0 }
};


/* The words that nginx has for what is no error number, and what it means. */

static const struct {
    ngx_str_t    reason;
    const char  *error;
} ngx_http_lb_proxy_status_reasons[] = {
    { ngx_string("upstream prematurely closed"), "connection_terminated" },
    { ngx_string("upstream SSL certificate"), "tls_certificate_error" },
    { ngx_string("SSL_"), "tls_protocol_error" },
    { ngx_string("upstream sent too big header"),
      "http_response_header_section_size" },
    { ngx_string("upstream sent"), "http_protocol_error" },
    { ngx_null_string, NULL }
};


void
ngx_http_lb_proxy_status_init(ngx_http_lb_main_conf_t *lmcf)
{
    if (lmcf->proxy_status) {
        ngx_http_lb_proxy_status_next = ngx_http_top_header_filter;
        ngx_http_top_header_filter = ngx_http_lb_proxy_status_filter;
    }
}


void
ngx_http_lb_proxy_status_failed(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc, ngx_uint_t excused)
{
    ctx->error = excused ? "proxy_internal_error"
                         : ngx_http_lb_proxy_status_error(ctx, pc);
}


static const char *
ngx_http_lb_proxy_status_error(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc)
{
    ngx_str_t         *reason;
    const ngx_str_t   *known;
    ngx_uint_t         i, sent;
    ngx_connection_t  *c;

    c = pc->connection;
    sent = ctx->request->upstream->request_sent;
    reason = &ctx->reason;

    if (c && (c->read->timedout || c->write->timedout)) {
        return !sent ? "connection_timeout"
               : c->write->timedout ? "connection_write_timeout"
                                    : "connection_read_timeout";
    }

    for (i = 0; ngx_http_lb_proxy_status_reasons[i].error; i++) {
        known = &ngx_http_lb_proxy_status_reasons[i].reason;

        if (reason->len >= known->len
            && ngx_strncmp(reason->data, known->data, known->len) == 0)
        {
            return ngx_http_lb_proxy_status_reasons[i].error;
        }
    }

    switch (ngx_http_lb_reason_number(reason)) {

    case NGX_ECONNREFUSED:
        return "connection_refused";

    case NGX_ETIMEDOUT:
        return sent ? "connection_read_timeout" : "connection_timeout";

    case NGX_EHOSTUNREACH:
    case NGX_ENETUNREACH:
        return "destination_ip_unroutable";

    default:
        return sent ? "connection_terminated" : "destination_unavailable";
    }
}


/* Where a server has answered, its answer is what the client gets. */

static ngx_int_t
ngx_http_lb_proxy_status_filter(ngx_http_request_t *r)
{
    ngx_http_lb_ctx_t       *ctx;
    ngx_http_lb_loc_conf_t  *lcf;

    if (r->headers_out.status < NGX_HTTP_INTERNAL_SERVER_ERROR
        || r != r->main)
    {
        return ngx_http_lb_proxy_status_next(r);
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_lb_upstream_module);

    if (lcf->proxy_status == NGX_HTTP_LB_PROXY_STATUS_OFF) {
        return ngx_http_lb_proxy_status_next(r);
    }

    ctx = ngx_http_lb_ctx_get(r);

    if (ctx && ctx->error
        && ngx_http_lb_proxy_status_add(r, ctx, lcf->proxy_status
                                     == NGX_HTTP_LB_PROXY_STATUS_NEXT_HOP)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_lb_proxy_status_next(r);
}


/* A name is a string there, of which other characters have no place in it. */

static ngx_int_t
ngx_http_lb_proxy_status_add(ngx_http_request_t *r, ngx_http_lb_ctx_t *ctx,
    ngx_uint_t next_hop)
{
    u_char     *p, c;
    size_t      i;
    ngx_str_t   value;

    static ngx_str_t  name = ngx_string("Proxy-Status");

    p = ngx_pnalloc(r->pool, sizeof("nginx; error=; next-hop=\"\"")
                             + ngx_strlen(ctx->error) + 2 * ctx->name.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    p = ngx_sprintf(p, "nginx; error=%s", ctx->error);

    if (next_hop && ctx->name.len) {
        p = ngx_cpymem(p, "; next-hop=\"", sizeof("; next-hop=\"") - 1);

        for (i = 0; i < ctx->name.len; i++) {
            c = ctx->name.data[i];

            if (c == '"' || c == '\\') {
                *p++ = '\\';
            }

            *p++ = (c < 0x20 || c > 0x7e) ? '?' : c;
        }

        *p++ = '"';
    }

    value.len = p - value.data;

    return ngx_gw_add_header(r, &name, &value);
}
