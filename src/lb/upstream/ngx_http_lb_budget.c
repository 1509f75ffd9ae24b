
/*
 * The directive lb_retry_budget, and what is spent of it.
 */


#include "src/lb/upstream/ngx_http_lb_budget.h"

#include "src/common/ngx_gw_param.h"
#include "src/lb/upstream/ngx_http_lb_log.h"


#define NGX_HTTP_LB_BUDGET_WINDOW      10000     /* ms */
#define NGX_HTTP_LB_BUDGET_WINDOW_MIN  1000
#define NGX_HTTP_LB_BUDGET_WINDOW_MAX  3600000

#define NGX_HTTP_LB_BUDGET_RETRIES     1000000   /* a second */


static ngx_int_t ngx_http_lb_budget_min(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);


char *
ngx_http_lb_budget(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    static const ngx_gw_param_t  share = {
        .name = ngx_string("percentage"), .kind = NGX_GW_PARAM_PERCENT,
        ngx_gw_param_field(lb_budget_t, percent), .max = 100
    };

    static const ngx_gw_param_t  params[] = {

        { .name = ngx_string("min="), .kind = NGX_GW_PARAM_OWN,
          ngx_gw_param_field(lb_budget_t, min), .set = ngx_http_lb_budget_min,
          .allowed = "from 0/s to 1000000/s" },

        { .name = ngx_string("window="), .kind = NGX_GW_PARAM_TIME,
          ngx_gw_param_field(lb_budget_t, window),
          .min = NGX_HTTP_LB_BUDGET_WINDOW_MIN,
          .max = NGX_HTTP_LB_BUDGET_WINDOW_MAX },

        { .name = ngx_null_string }
    };

    if (lcf->budget.window) {
        return "is duplicate";
    }

    ngx_http_lb_needs_method(cf, cmd, lcf);

    lcf->budget.window = NGX_HTTP_LB_BUDGET_WINDOW;

    if (ngx_gw_param_argument(cf, 1, &share, &lcf->budget) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_gw_params(cf, 2, params, &lcf->budget, NULL);
}


static ngx_int_t
ngx_http_lb_budget_min(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    lb_budget_t *budget = conf;

    ngx_int_t  n;

    if (value->len < 3
        || ngx_strncmp(value->data + value->len - 2, "/s", 2) != 0)
    {
        return NGX_DECLINED;
    }

    n = ngx_atoi(value->data, value->len - 2);

    if (n == NGX_ERROR || n > NGX_HTTP_LB_BUDGET_RETRIES) {
        return NGX_DECLINED;
    }

    budget->min = (uint32_t) n;

    return NGX_OK;
}


void
ngx_http_lb_budget_count(ngx_http_lb_srv_conf_t *lcf, ngx_uint_t retry)
{
    if (lcf->budget.window == 0) {
        return;
    }

    if (retry) {
        lb_budget_retry(&lcf->roster->spent, &lcf->budget, ngx_current_msec);

    } else {
        lb_budget_request(&lcf->roster->spent, &lcf->budget,
                          ngx_current_msec);
    }
}


ngx_uint_t
ngx_http_lb_budget_allows(ngx_http_lb_srv_conf_t *lcf)
{
    return lcf->budget.window == 0
           || lb_budget_allows(&lcf->roster->spent, &lcf->budget,
                               ngx_current_msec);
}


void
ngx_http_lb_budget_denied(ngx_http_lb_srv_conf_t *lcf, ngx_log_t *log)
{
    atomic_fetch_add_explicit(&lcf->roster->denied, 1, memory_order_relaxed);

    if (ngx_http_lb_log_once(&lcf->roster->denied_at)) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "lb: retries of upstream \"%V\" are more than its "
                      "budget, failures are final", &lcf->upstream->host);
    }
}
