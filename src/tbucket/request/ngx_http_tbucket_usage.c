
/*
 * tbucket_usage: reads responses as they pass.  The filter comes right after
 * nginx's copy filter, which brings bytes into memory that were buffered in a
 * file, and before all that compresses, rewrites or cuts them.  It changes,
 * keeps and delays nothing.
 */


#include "src/tbucket/request/ngx_http_tbucket_usage.h"

#include "src/core/limit/tb_usage.h"


static ngx_int_t ngx_http_tbucket_usage_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_tbucket_usage_begin(ngx_http_request_t *r);
static ngx_uint_t ngx_http_tbucket_usage_type_has(ngx_str_t *type,
    const char *part);
static ngx_int_t ngx_http_tbucket_usage_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_tbucket_usage_init(ngx_conf_t *cf);


static ngx_http_module_t  ngx_http_tbucket_usage_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_tbucket_usage_init,           /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_tbucket_usage_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_tbucket_usage_filter_module_ctx,     /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt
    ngx_http_tbucket_usage_next_header_filter;
static ngx_http_output_body_filter_pt
    ngx_http_tbucket_usage_next_body_filter;


char *
ngx_http_tbucket_note_usage(ngx_conf_t *cf, void *post, void *data)
{
    ngx_flag_t  *usage = data;

    ngx_http_tbucket_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tbucket_module);

    mcf->has_usage |= *usage;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_tbucket_usage_init(ngx_conf_t *cf)
{
    ngx_http_tbucket_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tbucket_module);

    if (mcf->has_usage) {
        ngx_http_tbucket_usage_next_header_filter = ngx_http_top_header_filter;
        ngx_http_top_header_filter = ngx_http_tbucket_usage_header_filter;

        ngx_http_tbucket_usage_next_body_filter = ngx_http_top_body_filter;
        ngx_http_top_body_filter = ngx_http_tbucket_usage_body_filter;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_usage_header_filter(ngx_http_request_t *r)
{
    ngx_http_tbucket_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_tbucket_module);

    if (lcf->usage && !r->header_only && (r == r->main || lcf->subrequests)
        && ngx_http_tbucket_usage_begin(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_tbucket_usage_next_header_filter(r);
}


static ngx_int_t
ngx_http_tbucket_usage_begin(ngx_http_request_t *r)
{
    ngx_str_t                     *type;
    tb_usage_t                    *usage;
    ngx_uint_t                     events;
    ngx_table_elt_t               *encoding;
    ngx_http_tbucket_main_conf_t  *mcf;

    type = &r->headers_out.content_type;
    events = ngx_http_tbucket_usage_type_has(type, "text/event-stream");

    if (!events && !ngx_http_tbucket_usage_type_has(type, "json")) {
        return NGX_OK;
    }

    encoding = r->headers_out.content_encoding;

    if (encoding != NULL && encoding->hash != 0 && encoding->value.len) {
        mcf = ngx_http_get_module_main_conf(r, ngx_http_tbucket_module);

        if (!mcf->usage_told) {
            mcf->usage_told = 1;
            ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                          "tbucket: usage is not read from a compressed "
                          "response, nor from others like it; "
                          "proxy_set_header Accept-Encoding \"\" has the "
                          "upstream send plain ones");
        }

        return NGX_OK;
    }

    usage = ngx_palloc(r->pool, sizeof(tb_usage_t));
    if (usage == NULL) {
        return NGX_ERROR;
    }

    tb_usage_init(usage, events);

    ngx_http_set_ctx(r, usage, ngx_http_tbucket_usage_filter_module);

    r->filter_need_in_memory = 1;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_tbucket_usage_type_has(ngx_str_t *type, const char *part)
{
    return type->len != 0
           && ngx_strlcasestrn(type->data, type->data + type->len,
                               (u_char *) part, ngx_strlen(part) - 1)
              != NULL;
}


static ngx_int_t
ngx_http_tbucket_usage_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t    *b;
    tb_usage_t   *usage;
    ngx_chain_t  *cl;

    usage = ngx_http_get_module_ctx(r, ngx_http_tbucket_usage_filter_module);

    if (usage != NULL) {

        for (cl = in; cl; cl = cl->next) {
            b = cl->buf;

            if (ngx_buf_in_memory(b)) {
                tb_usage_feed(usage, (char *) b->pos, b->last - b->pos);
            }
        }
    }

    return ngx_http_tbucket_usage_next_body_filter(r, in);
}


ngx_int_t
ngx_http_tbucket_used_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    uint64_t     number;
    tb_usage_t  *usage;

    usage = ngx_http_get_module_ctx(r, ngx_http_tbucket_usage_filter_module);

    if (usage == NULL) {
        usage = ngx_http_get_module_ctx(r->main,
                                        ngx_http_tbucket_usage_filter_module);
    }

    if (usage == NULL
        || !tb_usage_get(usage, (tb_usage_number_t) data, &number))
    {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (v->data == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(v->data, "%uL", number) - v->data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
