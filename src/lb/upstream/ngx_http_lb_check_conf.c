
/*
 * The directive lb_health_check: its parameters, and the request that a
 * check sends.
 */


#include "src/lb/upstream/ngx_http_lb_check_conf.h"

#include "src/core/balance/lb_health.h"


#define NGX_HTTP_LB_CHECK_TIME_MIN  10
#define NGX_HTTP_LB_CHECK_TIME_MAX  86400000
#define NGX_HTTP_LB_CHECK_URI_MAX   2048
#define NGX_HTTP_LB_CHECK_HOST_MAX  255

/* a server that does not answer has so many probes under way at most */
#define NGX_HTTP_LB_CHECK_PROBES    64


/* sets a parameter; NULL, or what it must be */
typedef const char *(*ngx_http_lb_check_set_pt)(
    ngx_http_lb_check_conf_t *check, ngx_str_t *value);


typedef struct {
    ngx_str_t                  name;
    ngx_http_lb_check_set_pt   set;
    ngx_uint_t                 http;      /* means nothing to tcp */
} ngx_http_lb_check_param_t;


static char *ngx_http_lb_check_param(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_check_conf_t *check, ngx_str_t *arg);
static char *ngx_http_lb_check_verify(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_check_conf_t *check);
static ngx_int_t ngx_http_lb_check_request(ngx_conf_t *cf,
    ngx_http_lb_check_conf_t *check);
static const char *ngx_http_lb_check_http(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_tcp(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_mandatory(
    ngx_http_lb_check_conf_t *check, ngx_str_t *value);
static const char *ngx_http_lb_check_interval(
    ngx_http_lb_check_conf_t *check, ngx_str_t *value);
static const char *ngx_http_lb_check_timeout(
    ngx_http_lb_check_conf_t *check, ngx_str_t *value);
static const char *ngx_http_lb_check_rise(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_fall(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_jitter(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_port(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_uri(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_method(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_host(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_status(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_body(ngx_http_lb_check_conf_t *check,
    ngx_str_t *value);
static const char *ngx_http_lb_check_time(ngx_str_t *value,
    ngx_msec_t *time);
static const char *ngx_http_lb_check_number(ngx_str_t *value,
    ngx_uint_t *number);
static ngx_uint_t ngx_http_lb_check_visible(ngx_str_t *value);


/* a name with "=" takes a value; "http" and "tcp" share a bit of "given" */

static const ngx_http_lb_check_param_t  ngx_http_lb_check_params[] = {

    { ngx_string("tcp"), ngx_http_lb_check_tcp, 0 },
    { ngx_string("http"), ngx_http_lb_check_http, 0 },
    { ngx_string("mandatory"), ngx_http_lb_check_mandatory, 0 },
    { ngx_string("interval="), ngx_http_lb_check_interval, 0 },
    { ngx_string("timeout="), ngx_http_lb_check_timeout, 0 },
    { ngx_string("rise="), ngx_http_lb_check_rise, 0 },
    { ngx_string("fall="), ngx_http_lb_check_fall, 0 },
    { ngx_string("jitter="), ngx_http_lb_check_jitter, 0 },
    { ngx_string("port="), ngx_http_lb_check_port, 0 },
    { ngx_string("uri="), ngx_http_lb_check_uri, 1 },
    { ngx_string("method="), ngx_http_lb_check_method, 1 },
    { ngx_string("host="), ngx_http_lb_check_host, 1 },
    { ngx_string("status="), ngx_http_lb_check_status, 1 },
    { ngx_string("body="), ngx_http_lb_check_body, 1 },

    { ngx_null_string, NULL, 0 }
};


char *
ngx_http_lb_health_check(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    char                      *rv;
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_lb_check_conf_t  *check;

    if (lcf->check) {
        return "is duplicate";
    }

    check = ngx_pcalloc(cf->pool, sizeof(ngx_http_lb_check_conf_t));
    if (check == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_http_lb_needs_method(cf, cmd, lcf);

    lcf->check = check;
    lcf->upstream = ngx_http_conf_get_module_srv_conf(cf,
                                                   ngx_http_upstream_module);

    check->interval = 5000;
    check->timeout = 1000;
    check->rise = 2;
    check->fall = 3;
    check->jitter = 100;
    check->host = lcf->upstream->host;
    ngx_str_set(&check->uri, "/");
    ngx_str_set(&check->method, "GET");
    (void) lb_expect_status(&check->expect, "200-399", 7);

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_http_lb_check_param(cf, cmd, check, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    rv = ngx_http_lb_check_verify(cf, cmd, check);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    check->probes_max = ngx_min(check->timeout / check->interval + 2,
                                NGX_HTTP_LB_CHECK_PROBES);

    if (ngx_http_lb_check_request(cf, check) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_http_lb_check_is_mandatory(ngx_http_lb_srv_conf_t *lcf)
{
    return lcf->check && lcf->check->mandatory;
}


static char *
ngx_http_lb_check_param(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_check_conf_t *check, ngx_str_t *arg)
{
    size_t                            len;
    ngx_str_t                         value;
    ngx_uint_t                        bit;
    const char                       *allowed;
    const ngx_http_lb_check_param_t  *param;

    for (param = ngx_http_lb_check_params; param->name.len; param++) {
        len = param->name.len;

        if (arg->len >= len
            && ngx_strncmp(arg->data, param->name.data, len) == 0
            && (arg->len == len || param->name.data[len - 1] == '='))
        {
            break;
        }
    }

    if (param->name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown parameter \"%V\" in \"%V\", it must be "
                           "\"http\", \"tcp\", \"interval=\", \"timeout=\", "
                           "\"rise=\", \"fall=\", \"jitter=\", \"uri=\", "
                           "\"method=\", \"host=\", \"port=\", \"status=\", "
                           "\"body=\" or \"mandatory\"",
                           arg, &cmd->name);
        return NGX_CONF_ERROR;
    }

    bit = (param->set == ngx_http_lb_check_http)
          ? 1 : (ngx_uint_t) 1 << (param - ngx_http_lb_check_params);

    if (check->given & bit) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate parameter \"%V\" in \"%V\"",
                           arg, &cmd->name);
        return NGX_CONF_ERROR;
    }

    check->given |= bit;

    value.data = arg->data + param->name.len;
    value.len = arg->len - param->name.len;

    allowed = param->set(check, &value);

    if (allowed) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"%*s\" in \"%V\", "
                           "it must be %s",
                           &value, param->name.len - 1, param->name.data,
                           &cmd->name, allowed);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* what can be said of the parameters together only */

static char *
ngx_http_lb_check_verify(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_check_conf_t *check)
{
    ngx_uint_t                        i;
    const ngx_http_lb_check_param_t  *param;

    for (i = 0; ngx_http_lb_check_params[i].name.len; i++) {
        param = &ngx_http_lb_check_params[i];

        if (check->tcp && param->http
            && (check->given & ((ngx_uint_t) 1 << i)))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "parameter \"%*s\" cannot be used with "
                               "\"tcp\" in \"%V\"",
                               param->name.len - 1, param->name.data,
                               &cmd->name);
            return NGX_CONF_ERROR;
        }
    }

    if (check->expect.head && check->expect.length) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "parameter \"body\" cannot be used with "
                           "\"method=HEAD\" in \"%V\"", &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (check->uri.data[0] == '*' && check->method.data[0] != 'O') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"uri=*\" needs \"method=OPTIONS\" in \"%V\"",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_lb_check_request(ngx_conf_t *cf, ngx_http_lb_check_conf_t *check)
{
    u_char     *p;
    ngx_str_t  *request;

    static const char  format[] = "%V %V HTTP/1.1" CRLF
                                  "Host: %V" CRLF
                                  "User-Agent: nginx (health check)" CRLF
                                  "Connection: close" CRLF
                                  CRLF;

    if (check->tcp) {
        return NGX_OK;
    }

    request = &check->request;

    request->len = sizeof(format) + check->method.len + check->uri.len
                   + check->host.len;

    request->data = ngx_pnalloc(cf->pool, request->len);
    if (request->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_snprintf(request->data, request->len, format, &check->method,
                     &check->uri, &check->host);

    request->len = p - request->data;

    return NGX_OK;
}


static const char *
ngx_http_lb_check_http(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    check->tcp = 0;

    return NULL;
}


static const char *
ngx_http_lb_check_tcp(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    check->tcp = 1;

    return NULL;
}


static const char *
ngx_http_lb_check_mandatory(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    check->mandatory = 1;

    return NULL;
}


static const char *
ngx_http_lb_check_interval(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    return ngx_http_lb_check_time(value, &check->interval);
}


static const char *
ngx_http_lb_check_timeout(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    return ngx_http_lb_check_time(value, &check->timeout);
}


static const char *
ngx_http_lb_check_rise(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    return ngx_http_lb_check_number(value, &check->rise);
}


static const char *
ngx_http_lb_check_fall(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    return ngx_http_lb_check_number(value, &check->fall);
}


static const char *
ngx_http_lb_check_jitter(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    ngx_int_t  n;

    n = NGX_ERROR;

    if (value->len > 1 && value->data[value->len - 1] == '%') {
        n = ngx_atoi(value->data, value->len - 1);
    }

    if (n == NGX_ERROR || n > 100) {
        return "from 0% to 100%";
    }

    check->jitter = n * 10;

    return NULL;
}


static const char *
ngx_http_lb_check_port(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > 65535) {
        return "from 1 to 65535";
    }

    check->port = n;

    return NULL;
}


static const char *
ngx_http_lb_check_uri(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    if (value->len == 0 || value->len > NGX_HTTP_LB_CHECK_URI_MAX
        || !ngx_http_lb_check_visible(value)
        || (value->data[0] != '/'
            && (value->len != 1 || value->data[0] != '*')))
    {
        return "\"/\" and at most 2047 more characters, without spaces";
    }

    check->uri = *value;

    return NULL;
}


static const char *
ngx_http_lb_check_method(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    ngx_uint_t  i;

    static ngx_str_t  methods[] = {
        ngx_string("GET"),
        ngx_string("HEAD"),
        ngx_string("OPTIONS")
    };

    for (i = 0; i < 3; i++) {

        if (value->len == methods[i].len
            && ngx_strncmp(value->data, methods[i].data, value->len) == 0)
        {
            check->method = methods[i];
            check->expect.head = (i == 1);

            return NULL;
        }
    }

    return "\"GET\", \"HEAD\" or \"OPTIONS\"";
}


static const char *
ngx_http_lb_check_host(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    if (value->len == 0 || value->len > NGX_HTTP_LB_CHECK_HOST_MAX
        || !ngx_http_lb_check_visible(value))
    {
        return "from 1 to 255 characters, without spaces";
    }

    check->host = *value;

    return NULL;
}


static const char *
ngx_http_lb_check_status(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    if (!lb_expect_status(&check->expect, (char *) value->data, value->len)) {
        return "at most 16 codes or ranges from 100 to 599, "
               "as in \"200,301-302\"";
    }

    return NULL;
}


static const char *
ngx_http_lb_check_body(ngx_http_lb_check_conf_t *check, ngx_str_t *value)
{
    if (!lb_expect_text(&check->expect, (char *) value->data, value->len)) {
        return "from 1 to 255 bytes";
    }

    return NULL;
}


static const char *
ngx_http_lb_check_time(ngx_str_t *value, ngx_msec_t *time)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n < NGX_HTTP_LB_CHECK_TIME_MIN
        || n > NGX_HTTP_LB_CHECK_TIME_MAX)
    {
        return "from 10ms to 1d";
    }

    *time = n;

    return NULL;
}


static const char *
ngx_http_lb_check_number(ngx_str_t *value, ngx_uint_t *number)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > LB_HEALTH_MAX) {
        return "from 1 to 1000";
    }

    *number = n;

    return NULL;
}


static ngx_uint_t
ngx_http_lb_check_visible(ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {

        if (value->data[i] <= ' ' || value->data[i] == 0x7f) {
            return 0;
        }
    }

    return 1;
}
