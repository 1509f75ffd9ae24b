
/*
 * A text in a chain of buffers.
 */


#include "src/common/ngx_gw_compat.h"
#include "src/common/ngx_gw_text.h"


#define NGX_GW_TEXT_FIRST  1024         /* bytes; most replies are short */
#define NGX_GW_TEXT_NEXT   16384
#define NGX_GW_TEXT_LINE   512          /* of one ngx_gw_text_printf() */


static ngx_int_t ngx_gw_text_grow(ngx_gw_text_t *text);


void
ngx_gw_text_init(ngx_gw_text_t *text, ngx_pool_t *pool)
{
    ngx_memzero(text, sizeof(ngx_gw_text_t));

    text->pool = pool;
    text->last_out = &text->out;
}


void
ngx_gw_text_append(ngx_gw_text_t *text, const void *data, size_t len)
{
    size_t         n;
    ngx_buf_t     *b;
    const u_char  *p;

    p = data;

    while (len > 0 && !text->failed) {
        b = text->buf;

        if (b == NULL || b->last == b->end) {

            if (ngx_gw_text_grow(text) != NGX_OK) {
                text->failed = 1;
                return;
            }

            b = text->buf;
        }

        n = ngx_min(len, (size_t) (b->end - b->last));

        b->last = ngx_cpymem(b->last, p, n);
        text->size += n;
        p += n;
        len -= n;
    }
}


void
ngx_gw_text_printf(ngx_gw_text_t *text, const char *fmt, ...)
{
    u_char   *last, line[NGX_GW_TEXT_LINE];
    va_list   args;

    va_start(args, fmt);
    last = ngx_vslprintf(line, line + NGX_GW_TEXT_LINE, fmt, args);
    va_end(args);

    ngx_gw_text_append(text, line, last - line);
}


ngx_int_t
ngx_gw_text_send(ngx_gw_text_t *text, ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type)
{
    ngx_int_t  rc;

    if (text != NULL && text->failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    r->headers_out.status = status;

    /* a failed condition (If-Match, ...) must not hide what has been done */

    r->disable_not_modified = 1;

    if (text == NULL || text->out == NULL) {
        r->header_only = 1;
        r->headers_out.content_length_n = (status == NGX_HTTP_NO_CONTENT)
                                          ? -1 : 0;
        return ngx_http_send_header(r);
    }

    r->headers_out.content_length_n = text->size;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    text->buf->last_buf = (r == r->main) ? 1 : 0;
    text->buf->last_in_chain = 1;

    return ngx_http_output_filter(r, text->out);
}


ngx_int_t
ngx_gw_add_header(ngx_http_request_t *r, ngx_str_t *name, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);

    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_gw_header_init(h);
    h->key = *name;
    h->value = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_gw_text_grow(ngx_gw_text_t *text)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(text->pool);

    if (cl == NULL) {
        return NGX_ERROR;
    }

    b = ngx_create_temp_buf(text->pool, text->buf ? NGX_GW_TEXT_NEXT
                                                  : NGX_GW_TEXT_FIRST);

    if (b == NULL) {
        return NGX_ERROR;
    }

    cl->buf = b;
    cl->next = NULL;

    *text->last_out = cl;
    text->last_out = &cl->next;
    text->buf = b;

    return NGX_OK;
}
