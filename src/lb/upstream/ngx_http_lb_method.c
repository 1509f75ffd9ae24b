
/*
 * The directives that say how servers are chosen: lb, lb_slow_start,
 * lb_outlier and lb_panic.
 */


#include "src/lb/upstream/ngx_http_lb_method.h"

#include "src/common/ngx_gw_compat.h"
#include "src/common/ngx_gw_param.h"
#include "src/core/balance/lb_cells.h"
#include "src/core/balance/lb_hash.h"
#include "src/core/balance/lb_ip_hash.h"
#include "src/core/balance/lb_ketama.h"
#include "src/core/balance/lb_least_conn.h"
#include "src/core/balance/lb_method.h"


#define NGX_HTTP_LB_TIME_MAX    86400000     /* ms */

/* hundredths */
#define NGX_HTTP_LB_BOUND_MIN   100
#define NGX_HTTP_LB_BOUND_MAX   10000

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


static const ngx_http_lb_method_t  ngx_http_lb_methods[] = {

    { ngx_string("round_robin"), lb_method_round_robin, NULL },
    { ngx_string("least_conn"), lb_least_conn, NULL },
    { ngx_string("random"), lb_method_random, ngx_http_lb_method_random },
    { ngx_string("p2c"), lb_method_p2c, NULL },
    { ngx_string("least_time"), lb_method_least_time,
      ngx_http_lb_method_times },
    { ngx_string("hash"), lb_hash, ngx_http_lb_method_hash },
    { ngx_string("ip_hash"), lb_ip_hash, ngx_http_lb_method_ip_hash },

    { ngx_null_string, NULL, NULL }
};


/* what methods are with parameters */

static const ngx_http_lb_method_t  ngx_http_lb_random_two = {
    ngx_string("random two"), lb_method_p2c, NULL
};

static const ngx_http_lb_method_t  ngx_http_lb_random_times = {
    ngx_string("random two least_time"), lb_method_least_time, NULL
};


static const ngx_http_lb_method_t  ngx_http_lb_hash_bound = {
    ngx_string("hash"), lb_hash_bound, NULL
};

static const ngx_http_lb_method_t  ngx_http_lb_hash_ketama = {
    ngx_string("hash ketama"), lb_ketama, NULL
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


/* KEY [consistent] [ketama] [bound=C]; it is consistent in any case */

static ngx_int_t
ngx_http_lb_method_hash(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_int_t    bound;
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

        if (lcf->bound == 0
            && ngx_strncmp(value[i].data, "bound=", 6) == 0)
        {
            bound = ngx_atofp(value[i].data + 6, value[i].len - 6, 2);

            if (bound >= NGX_HTTP_LB_BOUND_MIN
                && bound <= NGX_HTTP_LB_BOUND_MAX)
            {
                lcf->bound = (uint32_t) bound;
                continue;
            }

            return ngx_http_lb_method_unknown(cf, i, "\"bound=\" a number "
                                              "between 1 and 100, with two "
                                              "decimals at most");
        }

        if (!lcf->ketama && ngx_http_lb_method_is(&value[i], "ketama")) {
            lcf->ketama = 1;
            continue;
        }

        return ngx_http_lb_method_unknown(cf, i, "\"consistent\", \"ketama\" "
                                          "or \"bound=C\", each once");
    }

    if (lcf->ketama) {
        lcf->method = &ngx_http_lb_hash_ketama;

    } else if (lcf->bound) {
        lcf->method = &ngx_http_lb_hash_bound;
    }

    lcf->rules.cells = !lcf->ketama;

    return ngx_http_lb_method_compile(cf, lcf, &value[2]);
}


static ngx_int_t
ngx_http_lb_method_ip_hash(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    if (cf->args->nelts > 2) {
        return ngx_http_lb_method_unknown(cf, 2, "none");
    }

    lcf->ip_hash = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_method_compile(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    ngx_str_t *key)
{
    lcf->key = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (lcf->key == NULL) {
        return NGX_ERROR;
    }

    return ngx_gw_param_value(cf, key, lcf->key);
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


ngx_gw_noinline ngx_int_t
ngx_http_lb_method_key(ngx_http_request_t *r, ngx_http_lb_srv_conf_t *lcf,
    uint64_t *key)
{
    ngx_str_t  value;

    if (lcf->ip_hash) {
        *key = ngx_http_lb_method_address(r);
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, lcf->key, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0) {
        return NGX_DECLINED;
    }

    *key = lcf->ketama ? lb_ketama_key(value.data, value.len)
                       : lb_cells_key(value.data, value.len);

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
        return lb_ip_hash_key(&sin->sin_addr.s_addr, 3);

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;
        return lb_ip_hash_key(&sin6->sin6_addr.s6_addr, 16);
#endif

    default:
        return lb_ip_hash_key("\0\0\0", 3);
    }
}


char *
ngx_http_lb_slow_start(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    static const ngx_gw_param_t  time = {
        .name = ngx_string("time"), .kind = NGX_GW_PARAM_TIME,
        ngx_gw_param_field(ngx_http_lb_srv_conf_t, rules.slow_start),
        .max = NGX_HTTP_LB_TIME_MAX
    };

    if (lcf->given & NGX_HTTP_LB_GIVEN_SLOW_START) {
        return "is duplicate";
    }

    if (ngx_gw_param_argument(cf, 1, &time, lcf) != NGX_CONF_OK) {
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

    static const ngx_gw_param_t  share = {
        .name = ngx_string("percentage"), .kind = NGX_GW_PARAM_PERCENT,
        ngx_gw_param_field(ngx_http_lb_srv_conf_t, rules.panic),
        .max = 100
    };

    if (lcf->given & NGX_HTTP_LB_GIVEN_PANIC) {
        return "is duplicate";
    }

    if (ngx_gw_param_argument(cf, 1, &share, lcf) != NGX_CONF_OK) {
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

    static const ngx_gw_param_t  params[] = {

        { .name = ngx_string("errors="), .kind = NGX_GW_PARAM_NUMBER,
          ngx_gw_param_field(lb_outlier_t, errors),
          .min = 1, .max = NGX_HTTP_LB_ERRORS_MAX, .required = 1 },

        { .name = ngx_string("window="), .kind = NGX_GW_PARAM_TIME,
          ngx_gw_param_field(lb_outlier_t, window),
          .min = 1, .max = NGX_HTTP_LB_TIME_MAX },

        { .name = ngx_string("ejection="), .kind = NGX_GW_PARAM_TIME,
          ngx_gw_param_field(lb_outlier_t, ejection),
          .min = 1, .max = NGX_HTTP_LB_TIME_MAX },

        { .name = ngx_string("max_ejected="), .kind = NGX_GW_PARAM_PERCENT,
          ngx_gw_param_field(lb_outlier_t, max_ejected), .max = 100 },

        { .name = ngx_null_string }
    };

    if (lcf->given & NGX_HTTP_LB_GIVEN_OUTLIER) {
        return "is duplicate";
    }

    lcf->given |= NGX_HTTP_LB_GIVEN_OUTLIER;

    ngx_http_lb_needs_method(cf, cmd, lcf);

    lcf->outlier.window = 10000;
    lcf->outlier.ejection = 30000;
    lcf->outlier.max_ejected = 50;

    if (ngx_gw_params(cf, 1, params, &lcf->outlier, NULL) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    lcf->rules.errors = lcf->outlier.errors;

    return NGX_CONF_OK;
}
