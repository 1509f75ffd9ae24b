
/*
 * Values of parameters.
 */


#include "src/lb/upstream/ngx_http_lb_value.h"


#define NGX_HTTP_LB_VALUE_TIME_MAX  86400000     /* ms */


ngx_int_t
ngx_http_lb_value_time(ngx_str_t *s, uint64_t *time)
{
    ngx_int_t  n;

    n = ngx_parse_time(s, 0);

    if (n == NGX_ERROR || n > NGX_HTTP_LB_VALUE_TIME_MAX) {
        return NGX_ERROR;
    }

    *time = n;

    return NGX_OK;
}


ngx_int_t
ngx_http_lb_value_percent(ngx_str_t *s, uint32_t *percent)
{
    size_t     len;
    ngx_int_t  n;

    len = s->len;

    if (len && s->data[len - 1] == '%') {
        len--;
    }

    n = ngx_atoi(s->data, len);

    if (n == NGX_ERROR || n > 100) {
        return NGX_ERROR;
    }

    *percent = n;

    return NGX_OK;
}
