
/*
 * Refusals in the terms of gRPC.
 */


#include "src/common/ngx_gw_grpc.h"

#include "src/common/ngx_gw_text.h"


static ngx_int_t ngx_gw_grpc_add(ngx_http_request_t *r, ngx_str_t *name,
    int64_t number);


ngx_uint_t
ngx_gw_grpc_is_declared(ngx_http_request_t *r)
{
    ngx_table_elt_t  *type;

    type = r->headers_in.content_type;

    return type != NULL
           && type->value.len >= sizeof("application/grpc") - 1
           && ngx_strncasecmp(type->value.data, (u_char *) "application/grpc",
                              sizeof("application/grpc") - 1)
              == 0;
}


ngx_int_t
ngx_gw_grpc_send(ngx_http_request_t *r, ngx_uint_t status,
    const char *message, int64_t pushback)
{
    ngx_str_t  text;

    static ngx_str_t  type = ngx_string("application/grpc");
    static ngx_str_t  names[] = {
        ngx_string("grpc-status"),
        ngx_string("grpc-message"),
        ngx_string("grpc-retry-pushback-ms")
    };

    /* an error page that is refused itself has another status in err_status */

    r->err_status = 0;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.status_line.len = 0;

    r->headers_out.content_type = type;
    r->headers_out.content_type_len = type.len;
    r->headers_out.content_type_lowcase = NULL;

    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    /* a stream of HTTP/2 ends with its headers, a connection is told */

    r->headers_out.content_length_n = r->http_version < NGX_HTTP_VERSION_20
                                      ? 0 : -1;
    r->header_only = 1;

    text.data = (u_char *) message;
    text.len = ngx_strlen(message);

    /* a pushback that is no number from 0 on is taken for "do not retry" */

    if (ngx_gw_grpc_add(r, &names[0], (int64_t) status) != NGX_OK
        || ngx_gw_add_header(r, &names[1], &text) != NGX_OK
        || ngx_gw_grpc_add(r, &names[2], ngx_max(pushback, -1)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_send_header(r);
}


static ngx_int_t
ngx_gw_grpc_add(ngx_http_request_t *r, ngx_str_t *name, int64_t number)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%L", number) - value.data;

    return ngx_gw_add_header(r, name, &value);
}
