
/*
 * $lb_server, $lb_tries, $lb_method and $lb_queue_time.
 */


#include "src/lb/request/ngx_http_lb_variable.h"

#include "src/lb/request/ngx_http_lb_ctx.h"


#define NGX_HTTP_LB_SERVER  0
#define NGX_HTTP_LB_TRIES   1
#define NGX_HTTP_LB_METHOD  2
#define NGX_HTTP_LB_QUEUE   3


static ngx_int_t ngx_http_lb_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_lb_vars[] = {

    { ngx_string("lb_server"), NULL, ngx_http_lb_variable,
      NGX_HTTP_LB_SERVER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("lb_tries"), NULL, ngx_http_lb_variable,
      NGX_HTTP_LB_TRIES, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("lb_method"), NULL, ngx_http_lb_variable,
      NGX_HTTP_LB_METHOD, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("lb_queue_time"), NULL, ngx_http_lb_variable,
      NGX_HTTP_LB_QUEUE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_lb_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_lb_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    u_char             *p;
    ngx_str_t           value;
    ngx_http_lb_ctx_t  *ctx;

    ctx = ngx_http_lb_ctx_get(r);

    if (ctx == NULL || (data == NGX_HTTP_LB_QUEUE && ctx->queue == NULL)) {
        v->not_found = 1;
        return NGX_OK;
    }

    switch (data) {

    case NGX_HTTP_LB_SERVER:
        value = ctx->name;
        break;

    case NGX_HTTP_LB_METHOD:
        value = ctx->conf->method->name;
        break;

    case NGX_HTTP_LB_QUEUE:
        p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + sizeof(".000"));
        if (p == NULL) {
            return NGX_ERROR;
        }

        value.data = p;
        value.len = ngx_sprintf(p, "%T.%03M", (time_t) ctx->waited / 1000,
                                ctx->waited % 1000)
                    - p;
        break;

    default: /* NGX_HTTP_LB_TRIES */
        p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        value.data = p;
        value.len = ngx_sprintf(p, "%uD", ctx->attempts) - p;
    }

    if (value.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = value.data;
    v->len = value.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
