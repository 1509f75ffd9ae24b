
/*
 * The directive lb_retry_budget, and what is spent of it.
 */


#include "src/lb/upstream/ngx_http_lb_budget.h"

#include "src/lb/upstream/ngx_http_lb_log.h"
#include "src/lb/upstream/ngx_http_lb_value.h"


#define NGX_HTTP_LB_BUDGET_WINDOW      10000     /* ms */
#define NGX_HTTP_LB_BUDGET_WINDOW_MIN  1000
#define NGX_HTTP_LB_BUDGET_WINDOW_MAX  3600000

#define NGX_HTTP_LB_BUDGET_RETRIES     1000000   /* a second */


static const char *ngx_http_lb_budget_param(lb_budget_t *budget,
    ngx_str_t *param, ngx_uint_t *given);


char *
ngx_http_lb_budget(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    ngx_str_t    *value;
    ngx_uint_t    i, given;
    lb_budget_t  *budget;
    const char   *allowed;

    budget = &lcf->budget;

    if (budget->window) {
        return "is duplicate";
    }

    ngx_http_lb_needs_method(cf, cmd, lcf);

    value = cf->args->elts;

    if (ngx_http_lb_value_percent(&value[1], &budget->percent) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid percentage \"%V\" in \"%V\", "
                           "it must be between 0 and 100",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    budget->window = NGX_HTTP_LB_BUDGET_WINDOW;
    given = 0;

    for (i = 2; i < cf->args->nelts; i++) {
        allowed = ngx_http_lb_budget_param(budget, &value[i], &given);

        if (allowed) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in \"%V\", "
                               "%s is expected", &value[i], &cmd->name,
                               allowed);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* NULL, or what it must be */

static const char *
ngx_http_lb_budget_param(lb_budget_t *budget, ngx_str_t *param,
    ngx_uint_t *given)
{
    ngx_int_t  n;
    ngx_str_t  s;

    if (!(*given & 1) && param->len > 6
        && ngx_strncmp(param->data, "min=", 4) == 0
        && ngx_strncmp(param->data + param->len - 2, "/s", 2) == 0)
    {
        *given |= 1;

        n = ngx_atoi(param->data + 4, param->len - 6);

        if (n == NGX_ERROR || n > NGX_HTTP_LB_BUDGET_RETRIES) {
            return "\"min=\" of 0/s to 1000000/s";
        }

        budget->min = (uint32_t) n;

        return NULL;
    }

    if (!(*given & 2) && ngx_strncmp(param->data, "window=", 7) == 0) {
        *given |= 2;

        s.len = param->len - 7;
        s.data = param->data + 7;

        if (ngx_http_lb_value_time(&s, &budget->window) != NGX_OK
            || budget->window < NGX_HTTP_LB_BUDGET_WINDOW_MIN
            || budget->window > NGX_HTTP_LB_BUDGET_WINDOW_MAX)
        {
            return "\"window=\" of 1s to 1h";
        }

        return NULL;
    }

    return "\"min=N/s\" or \"window=TIME\", each once,";
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
