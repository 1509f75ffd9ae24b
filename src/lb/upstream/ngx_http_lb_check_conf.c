
/*
 * The directive lb_health_check: its parameters, and the request that a
 * check sends.
 */


#include "src/lb/upstream/ngx_http_lb_check_conf.h"

#include "src/common/ngx_gw_param.h"
#include "src/core/balance/lb_health.h"


#define NGX_HTTP_LB_CHECK_TIME_MIN  10
#define NGX_HTTP_LB_CHECK_TIME_MAX  86400000
#define NGX_HTTP_LB_CHECK_URI_MAX   2048
#define NGX_HTTP_LB_CHECK_HOST_MAX  255

/* a server that does not answer has so many probes under way at most */
#define NGX_HTTP_LB_CHECK_PROBES    64


static char *ngx_http_lb_check_verify(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_check_conf_t *check, uint32_t given);
static ngx_int_t ngx_http_lb_check_request(ngx_conf_t *cf,
    ngx_http_lb_check_conf_t *check);
static ngx_int_t ngx_http_lb_check_uri(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_lb_check_method(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_lb_check_status(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_lb_check_body(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);


#define ngx_http_lb_check_field(field)                                       \
    ngx_gw_param_field(ngx_http_lb_check_conf_t, field)

/* those that mean nothing to tcp come first */

#define NGX_HTTP_LB_CHECK_NHTTP  5

static const ngx_gw_param_t  ngx_http_lb_check_params[] = {

    { .name = ngx_string("uri="), .kind = NGX_GW_PARAM_OWN,
      ngx_http_lb_check_field(uri), .set = ngx_http_lb_check_uri,
      .allowed = "\"/\" and at most 2047 more characters, without spaces" },

    { .name = ngx_string("method="), .kind = NGX_GW_PARAM_OWN,
      ngx_http_lb_check_field(method), .set = ngx_http_lb_check_method,
      .allowed = "\"GET\", \"HEAD\" or \"OPTIONS\"" },

    { .name = ngx_string("host="), .kind = NGX_GW_PARAM_VISIBLE,
      ngx_http_lb_check_field(host), .max = NGX_HTTP_LB_CHECK_HOST_MAX },

    { .name = ngx_string("status="), .kind = NGX_GW_PARAM_OWN,
      ngx_http_lb_check_field(expect.ranges),
      .set = ngx_http_lb_check_status,
      .allowed = "at most 16 codes or ranges from 100 to 599, as in "
                 "\"200,301-302\"" },

    { .name = ngx_string("body="), .kind = NGX_GW_PARAM_OWN,
      ngx_http_lb_check_field(expect.text), .set = ngx_http_lb_check_body,
      .allowed = "from 1 to 255 bytes" },

    { .name = ngx_string("http"), ngx_http_lb_check_field(tcp), .min = 0 },

    { .name = ngx_string("tcp"), ngx_http_lb_check_field(tcp), .min = 1 },

    { .name = ngx_string("interval="), .kind = NGX_GW_PARAM_TIME,
      ngx_http_lb_check_field(interval),
      .min = NGX_HTTP_LB_CHECK_TIME_MIN, .max = NGX_HTTP_LB_CHECK_TIME_MAX },

    { .name = ngx_string("timeout="), .kind = NGX_GW_PARAM_TIME,
      ngx_http_lb_check_field(timeout),
      .min = NGX_HTTP_LB_CHECK_TIME_MIN, .max = NGX_HTTP_LB_CHECK_TIME_MAX },

    { .name = ngx_string("rise="), .kind = NGX_GW_PARAM_NUMBER,
      ngx_http_lb_check_field(rise), .min = 1, .max = LB_HEALTH_MAX },

    { .name = ngx_string("fall="), .kind = NGX_GW_PARAM_NUMBER,
      ngx_http_lb_check_field(fall), .min = 1, .max = LB_HEALTH_MAX },

    { .name = ngx_string("jitter="), .kind = NGX_GW_PARAM_PERCENT,
      ngx_http_lb_check_field(jitter), .max = 100, .scale = 10 },

    { .name = ngx_string("port="), .kind = NGX_GW_PARAM_NUMBER,
      ngx_http_lb_check_field(port), .min = 1, .max = 65535 },

    { .name = ngx_string("mandatory"), ngx_http_lb_check_field(mandatory),
      .min = 1 },

    { .name = ngx_null_string }
};


char *
ngx_http_lb_health_check(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    char                      *rv;
    uint32_t                   given;
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

    if (ngx_gw_params(cf, 1, ngx_http_lb_check_params, check, &given)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_lb_check_verify(cf, cmd, check, given);

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


/* what can be said of the parameters together only */

static char *
ngx_http_lb_check_verify(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_check_conf_t *check, uint32_t given)
{
    ngx_uint_t             i;
    const ngx_gw_param_t  *param;

    for (i = 0; check->tcp && i < NGX_HTTP_LB_CHECK_NHTTP; i++) {
        param = &ngx_http_lb_check_params[i];

        if (given & ((uint32_t) 1 << i)) {
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


static ngx_int_t
ngx_http_lb_check_uri(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_lb_check_conf_t  *check = conf;

    size_t  i;

    if (value->len == 0 || value->len > NGX_HTTP_LB_CHECK_URI_MAX
        || (value->data[0] != '/'
            && (value->len != 1 || value->data[0] != '*')))
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < value->len; i++) {

        if (value->data[i] <= ' ' || value->data[i] == 0x7f) {
            return NGX_DECLINED;
        }
    }

    check->uri = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_check_method(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_lb_check_conf_t  *check = conf;

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

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_lb_check_status(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_lb_check_conf_t  *check = conf;

    return lb_expect_status(&check->expect, (char *) value->data, value->len)
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_lb_check_body(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_lb_check_conf_t  *check = conf;

    return lb_expect_text(&check->expect, (char *) value->data, value->len)
           ? NGX_OK : NGX_DECLINED;
}
