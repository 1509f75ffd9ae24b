
/*
 * JSON over HTTP, for the APIs of both modules.
 */


#include "src/common/ngx_gw_json.h"
#include "src/core/text/gw_id.h"


static void ngx_gw_json_print(void *ctx, const char *data, size_t len);
static ngx_int_t ngx_gw_body_read(ngx_gw_body_t *body, ngx_buf_t *b,
    ngx_str_t *piece);


static ngx_str_t  ngx_gw_json_type = ngx_string("application/json");


ngx_gw_json_t *
ngx_gw_json_create(ngx_pool_t *pool)
{
    void           *memory;
    ngx_gw_json_t  *json;

    json = ngx_palloc(pool, sizeof(ngx_gw_json_t));

    if (json == NULL) {
        return NULL;
    }

    memory = ngx_pmemalign(pool, GW_JSON_WRITE_ARENA, 16);

    if (memory == NULL) {
        return NULL;
    }

    ngx_gw_text_init(&json->text, pool);

    json->gen = gw_json_writer(&json->arena, memory, ngx_gw_json_print,
                               &json->text);

    return json->gen ? json : NULL;
}


void
ngx_gw_json_string(ngx_gw_json_t *json, const u_char *data, size_t len)
{
    int      n;
    size_t   i;
    u_char  *p, *copy;

    for (i = 0; i < len; i += n) {
        n = gw_utf8_sequence(data + i, len - i);

        if (n <= 0) {
            break;
        }
    }

    if (i == len) {
        (void) yajl_gen_string(json->gen, data, len);
        return;
    }

    copy = ngx_pnalloc(json->text.pool, 3 * len);

    if (copy == NULL) {
        json->text.failed = 1;
        return;
    }

    p = copy;

    for (i = 0; i < len; i += n) {
        n = gw_utf8_sequence(data + i, len - i);

        if (n <= 0) {
            n = 1;
            p = ngx_cpymem(p, "\xef\xbf\xbd", 3);
            continue;
        }

        p = ngx_cpymem(p, data + i, n);
    }

    (void) yajl_gen_string(json->gen, copy, p - copy);
}


ngx_int_t
ngx_gw_json_send(ngx_gw_json_t *json, ngx_http_request_t *r,
    ngx_uint_t status)
{
    ngx_gw_text_literal(&json->text, "\n");

    return ngx_gw_text_send(&json->text, r, status, &ngx_gw_json_type);
}


ngx_int_t
ngx_gw_json_error(ngx_http_request_t *r, ngx_uint_t status, const char *fmt,
    ...)
{
    u_char         *last, message[1024];
    va_list         args;
    ngx_gw_json_t  *json;

    va_start(args, fmt);
    last = ngx_vslprintf(message, message + sizeof(message), fmt, args);
    va_end(args);

    json = ngx_gw_json_create(r->pool);

    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) yajl_gen_map_open(json->gen);
    ngx_gw_json_literal(json, "code");
    (void) yajl_gen_integer(json->gen, status);
    ngx_gw_json_literal(json, "message");
    ngx_gw_json_string(json, message, last - message);
    (void) yajl_gen_map_close(json->gen);

    return ngx_gw_json_send(json, r, status);
}


ngx_int_t
ngx_gw_json_not_allowed(ngx_http_request_t *r, const char *methods)
{
    ngx_str_t         value;
    static ngx_str_t  name = ngx_string("Allow");

    value.data = (u_char *) methods;
    value.len = ngx_strlen(methods);

    if (ngx_gw_add_header(r, &name, &value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_gw_json_error(r, NGX_HTTP_NOT_ALLOWED,
                             "method %V is not allowed, allowed: %V",
                             &r->method_name, &value);
}


ngx_uint_t
ngx_gw_json_is_declared(ngx_http_request_t *r)
{
    size_t      len;
    ngx_str_t  *type;

    if (r->headers_in.content_type == NULL) {
        return 0;
    }

    type = &r->headers_in.content_type->value;
    len = ngx_gw_json_type.len;

    if (type->len < len
        || ngx_strncasecmp(type->data, ngx_gw_json_type.data, len) != 0)
    {
        return 0;
    }

    while (len < type->len
           && (type->data[len] == ' ' || type->data[len] == '\t'))
    {
        len++;
    }

    return len == type->len || type->data[len] == ';';
}


void
ngx_gw_body_start(ngx_gw_body_t *body, ngx_http_request_t *r)
{
    body->request = r;
    body->in = r->request_body ? r->request_body->bufs : NULL;
    body->offset = 0;
    body->buf = NULL;
}


ngx_int_t
ngx_gw_body_next(ngx_gw_body_t *body, ngx_str_t *piece)
{
    off_t       left;
    ngx_buf_t  *b;

    for ( /* void */ ; body->in; body->in = body->in->next) {
        b = body->in->buf;

        /* the offset counts from the front of the buffer, file or not */

        left = ngx_buf_size(b) - body->offset;

        if (left <= 0) {
            body->offset = 0;
            continue;
        }

        piece->len = (size_t) ngx_min(left, NGX_GW_BODY_PIECE);

        if (!ngx_buf_in_memory(b)) {
            return ngx_gw_body_read(body, b, piece);
        }

        piece->data = b->pos + body->offset;
        body->offset += piece->len;

        return NGX_OK;
    }

    return NGX_DONE;
}


ngx_int_t
ngx_gw_body_feed(ngx_gw_body_t *body, gw_record_t *reader)
{
    ngx_int_t   rc;
    ngx_str_t   piece;
    ngx_uint_t  n;

    for (n = 0; n < NGX_GW_BODY_PIECES; n++) {
        rc = ngx_gw_body_next(body, &piece);

        if (rc != NGX_OK) {
            return rc;
        }

        if (gw_record_feed(reader, piece.data, piece.len) != 0) {
            return NGX_DECLINED;
        }
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_gw_body_read(ngx_gw_body_t *body, ngx_buf_t *b, ngx_str_t *piece)
{
    ssize_t  n;

    if (body->buf == NULL) {
        body->buf = ngx_pnalloc(body->request->pool, NGX_GW_BODY_PIECE);

        if (body->buf == NULL) {
            return NGX_ERROR;
        }
    }

    n = ngx_read_file(b->file, body->buf, piece->len,
                      b->file_pos + body->offset);

    if (n <= 0) {

        if (n == 0) {
            ngx_log_error(NGX_LOG_CRIT, body->request->connection->log, 0,
                          "request body file \"%V\" was truncated",
                          &b->file->name);
        }

        return NGX_ERROR;
    }

    piece->data = body->buf;
    piece->len = n;
    body->offset += n;

    return NGX_OK;
}


static void
ngx_gw_json_print(void *ctx, const char *data, size_t len)
{
    ngx_gw_text_append(ctx, data, len);
}


ngx_uint_t
ngx_gw_json_has_page(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_uint_t                 i;
    ngx_http_err_page_t       *page;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->error_page || clcf->error_pages == NULL || r->uri_changes == 0) {
        return 0;
    }

    page = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {

        if (page[i].status == (ngx_int_t) status) {
            return 1;
        }
    }

    return 0;
}
