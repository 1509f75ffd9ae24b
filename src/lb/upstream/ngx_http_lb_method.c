
/*
 * The directives that say how servers are chosen: lb, lb_slow_start,
 * lb_outlier and lb_panic.
 */


#include "src/lb/upstream/ngx_http_lb_method.h"

#include "src/core/balance/lb_cells.h"
#include "src/core/balance/lb_hash.h"
#include "src/core/balance/lb_least_conn.h"
#include "src/core/balance/lb_method.h"
#include "src/lb/upstream/ngx_http_lb_value.h"


#define NGX_HTTP_LB_ERRORS_MAX  1000000


static ngx_int_t ngx_http_lb_method_random(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_method_times(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_method_hash(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_method_ip_hash(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_method_compile(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf, ngx_str_t *key);
static ngx_uint_t ngx_http_lb_method_is(ngx_str_t *value, const char *word);
static ngx_int_t ngx_http_lb_method_unknown(ngx_conf_t *cf, ngx_uint_t i,
    const char *allowed);
static uint64_t ngx_http_lb_method_address(ngx_http_request_t *r);
static char *ngx_http_lb_outlier_param(ngx_conf_t *cf, ngx_command_t *cmd,
    lb_outlier_t *outlier, ngx_str_t *param);


static const ngx_http_lb_method_t  ngx_http_lb_methods[] = {

    { ngx_string("round_robin"), lb_method_round_robin, NULL },
    { ngx_string("least_conn"), lb_least_conn, NULL },
    { ngx_string("random"), lb_method_random, ngx_http_lb_method_random },
    { ngx_string("p2c"), lb_method_p2c, NULL },
    { ngx_string("least_time"), lb_method_least_time,
      ngx_http_lb_method_times },
    { ngx_string("hash"), lb_hash, ngx_http_lb_method_hash },
    { ngx_string("ip_hash"), lb_hash, ngx_http_lb_method_ip_hash },

    { ngx_null_string, NULL, NULL }
};


/* what "random" is with parameters */

static const ngx_http_lb_method_t  ngx_http_lb_random_two = {
    ngx_string("random two"), lb_method_p2c, NULL
};

static const ngx_http_lb_method_t  ngx_http_lb_random_times = {
    ngx_string("random two least_time"), lb_method_least_time, NULL
};


ngx_int_t
ngx_http_lb_method(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_srv_conf_t *lcf)
{
    ngx_str_t                   *value;
    const ngx_http_lb_method_t  *method;

    value = cf->args->elts;

    for (method = ngx_http_lb_methods; method->name.len; method++) {

        if (ngx_http_lb_method_is(&value[1], (char *) method->name.data)) {
            break;
        }
    }

    if (method->name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown method \"%V\" in \"%V\", it must be "
                           "\"round_robin\", \"least_conn\", \"random\", "
                           "\"p2c\", \"least_time\", \"hash\" or "
                           "\"ip_hash\"",
                           &value[1], &cmd->name);
        return NGX_ERROR;
    }

    lcf->method = method;

    if (method->params) {
        return method->params(cf, lcf);
    }

    if (cf->args->nelts > 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", \"%V %V\" takes none",
                           &value[2], &cmd->name, &value[1]);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* [two [least_conn | least_time=header | least_time=last_byte]], as nginx's */

static ngx_int_t
ngx_http_lb_method_random(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (cf->args->nelts == 2) {
        return NGX_OK;
    }

    if (!ngx_http_lb_method_is(&value[2], "two")) {
        return ngx_http_lb_method_unknown(cf, 2, "\"two\"");
    }

    lcf->method = &ngx_http_lb_random_two;

    if (cf->args->nelts == 3) {
        return NGX_OK;
    }

    if (cf->args->nelts == 4) {

        if (ngx_http_lb_method_is(&value[3], "least_conn")) {
            return NGX_OK;
        }

        lcf->method = &ngx_http_lb_random_times;
        lcf->last_byte = ngx_http_lb_method_is(&value[3],
                                               "least_time=last_byte");

        if (lcf->last_byte
            || ngx_http_lb_method_is(&value[3], "least_time=header"))
        {
            return NGX_OK;
        }
    }

    return ngx_http_lb_method_unknown(cf, cf->args->nelts - 1,
                                      "\"least_conn\", "
                                      "\"least_time=header\" or "
                                      "\"least_time=last_byte\", one of them");
}


/* [header | last_byte] [inflight] */

static ngx_int_t
ngx_http_lb_method_times(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        if (i == 2 && ngx_http_lb_method_is(&value[i], "header")) {
            continue;
        }

        if (i == 2 && ngx_http_lb_method_is(&value[i], "last_byte")) {
            lcf->last_byte = 1;
            continue;
        }

        if (!lcf->inflight && ngx_http_lb_method_is(&value[i], "inflight")) {
            lcf->inflight = 1;
            continue;
        }

        return ngx_http_lb_method_unknown(cf, i, "\"header\" or "
                                          "\"last_byte\", then \"inflight\"");
    }

    return NGX_OK;
}


/* KEY [consistent], which it is with or without the word */

static ngx_int_t
ngx_http_lb_method_hash(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_str_t   *value;
    ngx_uint_t   i, consistent;

    value = cf->args->elts;

    if (cf->args->nelts < 3 || value[2].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V hash\" must have one key, as in "
                           "\"%V hash $request_uri\"",
                           &value[0], &value[0]);
        return NGX_ERROR;
    }

    consistent = 0;

    for (i = 3; i < cf->args->nelts; i++) {

        if (!consistent && ngx_http_lb_method_is(&value[i], "consistent")) {
            consistent = 1;
            continue;
        }

        return ngx_http_lb_method_unknown(cf, i, "\"consistent\"");
    }

    lcf->rules.cells = 1;

    return ngx_http_lb_method_compile(cf, lcf, &value[2]);
}


static ngx_int_t
ngx_http_lb_method_ip_hash(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    if (cf->args->nelts > 2) {
        return ngx_http_lb_method_unknown(cf, 2, "none");
    }

    lcf->rules.cells = 1;
    lcf->ip_hash = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_method_compile(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    ngx_str_t *key)
{
    ngx_http_compile_complex_value_t  ccv;

    lcf->key = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (lcf->key == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = key;
    ccv.complex_value = lcf->key;

    return ngx_http_compile_complex_value(&ccv);
}


static ngx_uint_t
ngx_http_lb_method_is(ngx_str_t *value, const char *word)
{
    return value->len == ngx_strlen(word)
           && ngx_strncmp(value->data, word, value->len) == 0;
}


static ngx_int_t
ngx_http_lb_method_unknown(ngx_conf_t *cf, ngx_uint_t i, const char *allowed)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"%V %V\", "
                       "it must be %s",
                       &value[i], &value[0], &value[1], allowed);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_lb_method_key(ngx_http_request_t *r, ngx_http_lb_srv_conf_t *lcf,
    uint64_t *key)
{
    ngx_str_t  value;

    *key = 0;

    if (lcf->ip_hash) {
        *key = ngx_http_lb_method_address(r);
        return NGX_OK;
    }

    if (lcf->key == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, lcf->key, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0) {
        return NGX_DECLINED;
    }

    *key = lb_cells_key(value.data, value.len);

    return NGX_OK;
}


/* an IPv4 address by its first three bytes, as nginx's ip_hash */

static uint64_t
ngx_http_lb_method_address(ngx_http_request_t *r)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (r->connection->sockaddr->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) r->connection->sockaddr;
        return lb_cells_key(&sin->sin_addr.s_addr, 3);

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;
        return lb_cells_key(&sin6->sin6_addr.s6_addr, 16);
#endif

    default:
        return lb_cells_key("", 0);
    }
}


char *
ngx_http_lb_slow_start(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    ngx_str_t  *value;

    if (lcf->given & NGX_HTTP_LB_GIVEN_SLOW_START) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_http_lb_value_time(&value[1], &lcf->rules.slow_start) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\" in \"%V\", "
                           "it must be between 0 and 1d",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    lcf->given |= NGX_HTTP_LB_GIVEN_SLOW_START;

    ngx_http_lb_needs_method(cf, cmd, lcf);

    return NGX_CONF_OK;
}


char *
ngx_http_lb_panic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    ngx_str_t  *value;

    if (lcf->given & NGX_HTTP_LB_GIVEN_PANIC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_http_lb_value_percent(&value[1], &lcf->rules.panic) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid percentage \"%V\" in \"%V\", "
                           "it must be between 0 and 100",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    lcf->given |= NGX_HTTP_LB_GIVEN_PANIC;

    ngx_http_lb_needs_method(cf, cmd, lcf);

    return NGX_CONF_OK;
}


char *
ngx_http_lb_outlier(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    char          *rv;
    ngx_str_t     *value;
    ngx_uint_t     i;
    lb_outlier_t  *outlier;

    if (lcf->given & NGX_HTTP_LB_GIVEN_OUTLIER) {
        return "is duplicate";
    }

    lcf->given |= NGX_HTTP_LB_GIVEN_OUTLIER;

    ngx_http_lb_needs_method(cf, cmd, lcf);

    outlier = &lcf->outlier;
    outlier->max_ejected = NGX_CONF_UNSET_UINT & UINT32_MAX;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_http_lb_outlier_param(cf, cmd, outlier, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (outlier->errors == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have the parameter \"errors=\"",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (outlier->window == 0) {
        outlier->window = 10000;
    }

    if (outlier->ejection == 0) {
        outlier->ejection = 30000;
    }

    if (outlier->max_ejected > 100) {
        outlier->max_ejected = 50;
    }

    lcf->rules.errors = outlier->errors;

    return NGX_CONF_OK;
}


static char *
ngx_http_lb_outlier_param(ngx_conf_t *cf, ngx_command_t *cmd,
    lb_outlier_t *outlier, ngx_str_t *param)
{
    uint64_t    *time;
    ngx_int_t    n;
    ngx_str_t    s;
    ngx_uint_t   twice;
    const char  *allowed;

    time = NULL;
    twice = 0;
    n = NGX_OK;

    s.data = ngx_strlchr(param->data, param->data + param->len, '=');
    s.data = s.data ? s.data + 1 : param->data + param->len;
    s.len = param->data + param->len - s.data;

    if (ngx_strncmp(param->data, "errors=", 7) == 0) {
        allowed = "a number between 1 and 1000000";
        twice = (outlier->errors != 0);

        n = ngx_atoi(s.data, s.len);

        if (n == 0 || n > NGX_HTTP_LB_ERRORS_MAX) {
            n = NGX_ERROR;
        }

        if (n != NGX_ERROR) {
            outlier->errors = n;
        }

    } else if (ngx_strncmp(param->data, "window=", 7) == 0) {
        allowed = "a time between 1ms and 1d";
        time = &outlier->window;

    } else if (ngx_strncmp(param->data, "ejection=", 9) == 0) {
        allowed = "a time between 1ms and 1d";
        time = &outlier->ejection;

    } else if (ngx_strncmp(param->data, "max_ejected=", 12) == 0) {
        allowed = "a percentage between 0 and 100";
        twice = (outlier->max_ejected <= 100);

        n = ngx_http_lb_value_percent(&s, &outlier->max_ejected);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown parameter \"%V\" in \"%V\", it must be "
                           "\"errors=\", \"window=\", \"ejection=\" or "
                           "\"max_ejected=\"", param, &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (time) {
        twice = (*time != 0);
        n = ngx_http_lb_value_time(&s, time);

        if (*time == 0) {
            n = NGX_ERROR;
        }
    }

    if (twice) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate parameter \"%V\" in \"%V\"",
                           param, &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (n == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"%V\", "
                           "%s is expected", param, &cmd->name, allowed);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
