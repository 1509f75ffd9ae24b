
/*
 * The variables of the limiter.
 */


#include "src/tbucket/request/ngx_http_tbucket_vars.h"

#include "src/core/limit/tb_usage.h"
#include "src/tbucket/request/ngx_http_tbucket_ctx.h"
#include "src/tbucket/request/ngx_http_tbucket_figures.h"
#include "src/tbucket/request/ngx_http_tbucket_key.h"
#include "src/tbucket/request/ngx_http_tbucket_plan.h"
#include "src/tbucket/request/ngx_http_tbucket_usage.h"


typedef enum {
    NGX_HTTP_TBUCKET_VAR_STATUS = 0,
    NGX_HTTP_TBUCKET_VAR_ZONE,
    NGX_HTTP_TBUCKET_VAR_CLIENT,
    NGX_HTTP_TBUCKET_VAR_CLIENT_HASH,
    NGX_HTTP_TBUCKET_VAR_LIMIT,
    NGX_HTTP_TBUCKET_VAR_REMAINING,
    NGX_HTTP_TBUCKET_VAR_RESET,
    NGX_HTTP_TBUCKET_VAR_RETRY_AFTER,
    NGX_HTTP_TBUCKET_VAR_WAIT,
    NGX_HTTP_TBUCKET_VAR_COST,
    NGX_HTTP_TBUCKET_VAR_PLAN
} ngx_http_tbucket_var_e;


static ngx_int_t ngx_http_tbucket_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static u_char *ngx_http_tbucket_print(u_char *p, ngx_http_tbucket_ctx_t *ctx,
    uintptr_t data);
static u_char *ngx_http_tbucket_print_tokens(u_char *p, uint64_t utok);
static ngx_int_t ngx_http_tbucket_addr_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_tbucket_vars[] = {

    { ngx_string("tbucket_status"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_STATUS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_zone"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_ZONE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_client"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_CLIENT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_client_hash"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_CLIENT_HASH, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_limit"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_LIMIT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_remaining"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_REMAINING, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_reset"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_RESET, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_retry_after"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_RETRY_AFTER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_wait"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_WAIT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_cost"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_COST, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_plan"), NULL, ngx_http_tbucket_variable,
      NGX_HTTP_TBUCKET_VAR_PLAN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_usage_input"), NULL, ngx_http_tbucket_used_variable,
      TB_USAGE_INPUT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_usage_output"), NULL, ngx_http_tbucket_used_variable,
      TB_USAGE_OUTPUT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_usage_total"), NULL, ngx_http_tbucket_used_variable,
      TB_USAGE_TOTAL, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tbucket_addr"), NULL, ngx_http_tbucket_addr_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_str_t  ngx_http_tbucket_statuses[] = {
    ngx_null_string,
    ngx_string("PASSED"),
    ngx_string("REJECTED"),
    ngx_string("REJECTED_DRY_RUN")
};


ngx_int_t
ngx_http_tbucket_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_tbucket_vars; v->name.len; v++) {
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
ngx_http_tbucket_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                     *p;
    ngx_str_t                  *status;
    ngx_http_tbucket_ctx_t     *ctx;
    ngx_http_tbucket_charge_t  *c;

    ctx = ngx_http_tbucket_get_ctx(r);

    if (ctx == NULL && r != r->main) {

        /* a subrequest that is not limited itself */

        ctx = ngx_http_tbucket_get_ctx(r->main);
    }

    if (ctx == NULL || ctx->status == NGX_HTTP_TBUCKET_NOT_LIMITED
        || (data == NGX_HTTP_TBUCKET_VAR_RETRY_AFTER
            && ctx->status == NGX_HTTP_TBUCKET_PASSED)
        || ((data == NGX_HTTP_TBUCKET_VAR_RETRY_AFTER
             || data == NGX_HTTP_TBUCKET_VAR_RESET)
            && ctx->status != NGX_HTTP_TBUCKET_PASSED
            && ctx->charge.wait == NGX_HTTP_TBUCKET_NEVER)
        || ((data == NGX_HTTP_TBUCKET_VAR_LIMIT
             || data == NGX_HTTP_TBUCKET_VAR_REMAINING
             || data == NGX_HTTP_TBUCKET_VAR_RESET)
            && !ngx_http_tbucket_is_told(&ctx->charge)))
    {
        v->not_found = 1;
        return NGX_OK;
    }

    c = &ctx->charge;

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    switch (data) {

    case NGX_HTTP_TBUCKET_VAR_STATUS:
        status = &ngx_http_tbucket_statuses[ctx->status];
        v->data = status->data;
        v->len = status->len;
        return NGX_OK;

    case NGX_HTTP_TBUCKET_VAR_ZONE:
        v->data = c->zone->name.data;
        v->len = c->zone->name.len;
        return NGX_OK;

    case NGX_HTTP_TBUCKET_VAR_CLIENT:
        if (c->client.len <= GW_ID_MAX) {
            v->data = c->client.data;
            v->len = c->client.len;
            return NGX_OK;
        }

        break;
    }

    p = ngx_pnalloc(r->pool, TB_PLAN_NAME_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;

    p = ngx_http_tbucket_print(p, ctx, data);

    v->len = p - v->data;

    return NGX_OK;
}


/* Those that are numbers, or made of them. */

static u_char *
ngx_http_tbucket_print(u_char *p, ngx_http_tbucket_ctx_t *ctx, uintptr_t data)
{
    ngx_http_tbucket_charge_t  *c;

    c = &ctx->charge;

    switch (data) {

    case NGX_HTTP_TBUCKET_VAR_CLIENT:
        return ngx_sprintf(p, "#%016xL", c->hash.lo);

    case NGX_HTTP_TBUCKET_VAR_CLIENT_HASH:
        return ngx_sprintf(p, "%016xL", c->hash.lo);

    case NGX_HTTP_TBUCKET_VAR_LIMIT:
        return ngx_sprintf(p, "%uL", ngx_http_tbucket_limit(c->zone,
                                                            c->result.limits));

    case NGX_HTTP_TBUCKET_VAR_REMAINING:
        return ngx_sprintf(p, "%uL", ngx_http_tbucket_remaining(c));

    case NGX_HTTP_TBUCKET_VAR_RESET:
        return ngx_sprintf(p, "%uL",
                           ngx_http_tbucket_reset(c, ctx->status
                                                  == NGX_HTTP_TBUCKET_PASSED));

    case NGX_HTTP_TBUCKET_VAR_WAIT:
        return ngx_sprintf(p, "%M", ctx->held);

    case NGX_HTTP_TBUCKET_VAR_COST:
        return ngx_http_tbucket_print_tokens(p, c->cost * c->zone->unit);

    case NGX_HTTP_TBUCKET_VAR_PLAN:
        return ngx_http_tbucket_plan_print(p, c);

    default: /* NGX_HTTP_TBUCKET_VAR_RETRY_AFTER */
        return ngx_sprintf(p, "%uL", ngx_http_tbucket_seconds(c->wait));
    }
}


/* As many digits as there are, since logs are added up. */

static u_char *
ngx_http_tbucket_print_tokens(u_char *p, uint64_t utok)
{
    u_char  *last;

    last = ngx_sprintf(p, "%uL.%06uL", utok / TB_TOKEN, utok % TB_TOKEN);

    while (last[-1] == '0') {
        last--;
    }

    return last[-1] == '.' ? last - 1 : last;
}


static ngx_int_t
ngx_http_tbucket_addr_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t  addr;

    if (ngx_http_tbucket_client_addr(r, &addr) != NGX_OK) {
        return NGX_ERROR;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = addr.data;
    v->len = addr.len;

    return NGX_OK;
}
