
/*
 * The directive lb_health_check: its parameters, and the request that a
 * check sends.
 */


#include "src/lb/upstream/ngx_http_lb_check_conf.h"

#include "src/common/ngx_gw_param.h"
#include "src/core/balance/lb_grpc_ask.h"
#include "src/core/balance/lb_health.h"
#include "src/lb/upstream/ngx_http_lb_check_tls.h"


#define NGX_HTTP_LB_CHECK_TIME_MIN  10
#define NGX_HTTP_LB_CHECK_TIME_MAX  86400000
#define NGX_HTTP_LB_CHECK_URI_MAX   2048
#define NGX_HTTP_LB_CHECK_HOST_MAX  255

/* header lines of a check, and bytes of each */
#define NGX_HTTP_LB_CHECK_HEADERS   32
#define NGX_HTTP_LB_CHECK_LINE_MAX  2048

/* a server that does not answer has so many probes under way at most */
#define NGX_HTTP_LB_CHECK_PROBES    64


static char *ngx_http_lb_check_verify(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_check_conf_t *check, uint32_t given);
static ngx_int_t ngx_http_lb_check_quoted(ngx_conf_t *cf);
static const char *ngx_http_lb_check_kind(ngx_http_lb_check_conf_t *check);
static ngx_int_t ngx_http_lb_check_names(ngx_conf_t *cf,
    ngx_http_lb_check_conf_t *check, ngx_uint_t named);
static ngx_int_t ngx_http_lb_check_request(ngx_conf_t *cf,
    ngx_http_lb_check_conf_t *check);
static ngx_int_t ngx_http_lb_check_grpc(ngx_conf_t *cf,
    ngx_http_lb_check_conf_t *check);
static size_t ngx_http_lb_check_size(ngx_http_lb_check_conf_t *check,
    ngx_uint_t *agent);
static ngx_int_t ngx_http_lb_check_uri(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_lb_check_method(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_lb_check_status(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_lb_check_body(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_lb_check_header(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_uint_t ngx_http_lb_check_is_token(ngx_str_t *name);
static ngx_uint_t ngx_http_lb_check_is_own(ngx_str_t *name);


#define ngx_http_lb_check_field(field)                                       \
    ngx_gw_param_field(ngx_http_lb_check_conf_t, field)

/* the bit of "host=" among those that are given */
#define NGX_HTTP_LB_CHECK_GIVEN_HOST  0x10

/* those that are not for all kinds come first, in the same order */

static const ngx_uint_t  ngx_http_lb_check_kinds[] = {
    NGX_HTTP_LB_CHECK_HTTP | NGX_HTTP_LB_CHECK_HTTPS,
    NGX_HTTP_LB_CHECK_HTTP | NGX_HTTP_LB_CHECK_HTTPS,
    NGX_HTTP_LB_CHECK_HTTP | NGX_HTTP_LB_CHECK_HTTPS,
    NGX_HTTP_LB_CHECK_HTTP | NGX_HTTP_LB_CHECK_HTTPS,
    NGX_HTTP_LB_CHECK_HTTP | NGX_HTTP_LB_CHECK_HTTPS | NGX_HTTP_LB_CHECK_GRPC,
    NGX_HTTP_LB_CHECK_HTTP | NGX_HTTP_LB_CHECK_HTTPS | NGX_HTTP_LB_CHECK_GRPC,
    NGX_HTTP_LB_CHECK_HTTPS | NGX_HTTP_LB_CHECK_GRPC,
    NGX_HTTP_LB_CHECK_HTTPS | NGX_HTTP_LB_CHECK_GRPC,
    NGX_HTTP_LB_CHECK_GRPC
};

static const ngx_gw_param_t  ngx_http_lb_check_params[] = {

    { .name = ngx_string("uri="), .kind = NGX_GW_PARAM_OWN,
      ngx_http_lb_check_field(uri), .set = ngx_http_lb_check_uri,
      .allowed = "\"/\" and at most 2047 more characters, without spaces" },

    { .name = ngx_string("method="), .kind = NGX_GW_PARAM_OWN,
      ngx_http_lb_check_field(method), .set = ngx_http_lb_check_method,
      .allowed = "\"GET\", \"HEAD\" or \"OPTIONS\"" },

    { .name = ngx_string("status="), .kind = NGX_GW_PARAM_OWN,
      ngx_http_lb_check_field(expect.ranges),
      .set = ngx_http_lb_check_status,
      .allowed = "at most 16 codes or ranges from 100 to 599, as in "
                 "\"200,301-302\"" },

    { .name = ngx_string("body="), .kind = NGX_GW_PARAM_OWN,
      ngx_http_lb_check_field(expect.text), .set = ngx_http_lb_check_body,
      .allowed = "from 1 to 255 bytes" },

    { .name = ngx_string("host="), .kind = NGX_GW_PARAM_VISIBLE,
      ngx_http_lb_check_field(host), .max = NGX_HTTP_LB_CHECK_HOST_MAX },

    { .name = ngx_string("header="), .kind = NGX_GW_PARAM_OWN,
      ngx_http_lb_check_field(headers), .set = ngx_http_lb_check_header,
      .repeated = 1,
      .allowed = "at most 32 of \"NAME: VALUE\" with up to 2048 characters, "
                 "and none that a check has of its own, as Host" },

    { .name = ngx_string("tls_name="), .kind = NGX_GW_PARAM_NAME,
      ngx_http_lb_check_field(tls_name), .chars = "-._:",
      .max = NGX_HTTP_LB_CHECK_HOST_MAX,
      .allowed = "a host name or an address of up to 255 characters" },

    { .name = ngx_string("tls_ca="), .kind = NGX_GW_PARAM_FILE,
      ngx_http_lb_check_field(tls_ca),
      .allowed = "the path of a file with certificates" },

    { .name = ngx_string("service="), .kind = NGX_GW_PARAM_VISIBLE,
      ngx_http_lb_check_field(service), .max = LB_GRPC_SERVICE_MAX },

    { .name = ngx_string("http"), ngx_http_lb_check_field(kind),
      .min = NGX_HTTP_LB_CHECK_HTTP },

    { .name = ngx_string("https"), ngx_http_lb_check_field(kind),
      .min = NGX_HTTP_LB_CHECK_HTTPS },

    { .name = ngx_string("tcp"), ngx_http_lb_check_field(kind),
      .min = NGX_HTTP_LB_CHECK_TCP },

    { .name = ngx_string("grpc"), ngx_http_lb_check_field(kind),
      .min = NGX_HTTP_LB_CHECK_GRPC },

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
    check->kind = NGX_HTTP_LB_CHECK_HTTP;
    check->host = lcf->upstream->host;
    ngx_str_set(&check->uri, "/");
    ngx_str_set(&check->method, "GET");
    (void) lb_expect_status(&check->expect, "200-399", 7);

    if (ngx_http_lb_check_quoted(cf) != NGX_OK
        || ngx_gw_params(cf, 1, ngx_http_lb_check_params, check, &given)
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

    if (ngx_http_lb_check_names(cf, check, given & NGX_HTTP_LB_CHECK_GIVEN_HOST)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (check->tls && ngx_http_lb_check_tls_init(cf, check) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_lb_check_request(cf, check) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * To nginx a quotation mark within a word is one like others, so header="A: b"
 * comes as two words: makes one of them.
 */

static ngx_int_t
ngx_http_lb_check_quoted(ngx_conf_t *cf)
{
    u_char      *p;
    size_t       len;
    ngx_str_t   *args, arg;
    ngx_uint_t   i, k, n;

    static const ngx_str_t  quoted = ngx_string("header=\"");

    args = cf->args->elts;
    n = 0;

    for (i = 0; i < cf->args->nelts; i = k) {
        arg = args[i];
        k = i + 1;

        if (arg.len <= quoted.len
            || ngx_strncmp(arg.data, quoted.data, quoted.len) != 0)
        {
            args[n++] = arg;
            continue;
        }

        len = arg.len;

        while (k < cf->args->nelts && args[k - 1].data[args[k - 1].len - 1]
                                      != '"')
        {
            len += args[k++].len + 1;
        }

        p = ngx_pnalloc(cf->pool, len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        args[n].data = p;

        p = ngx_cpymem(p, quoted.data, quoted.len - 1);
        p = ngx_cpymem(p, arg.data + quoted.len, arg.len - quoted.len);

        for (i++; i < k; i++) {
            *p++ = ' ';
            p = ngx_cpymem(p, args[i].data, args[i].len);
        }

        args[n].len = p - args[n].data - (p[-1] == '"');
        n++;
    }

    cf->args->nelts = n;

    return NGX_OK;
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
    ngx_uint_t             i, n;
    const ngx_gw_param_t  *param;

    n = sizeof(ngx_http_lb_check_kinds) / sizeof(ngx_uint_t);

    for (i = 0; i < n; i++) {
        param = &ngx_http_lb_check_params[i];

        if ((given & ((uint32_t) 1 << i))
            && !(ngx_http_lb_check_kinds[i] & check->kind))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "parameter \"%*s\" cannot be used with "
                               "\"%s\" in \"%V\"",
                               param->name.len - 1, param->name.data,
                               ngx_http_lb_check_kind(check), &cmd->name);
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


static const char *
ngx_http_lb_check_kind(ngx_http_lb_check_conf_t *check)
{
    switch (check->kind) {

    case NGX_HTTP_LB_CHECK_HTTP:
        return "http";

    case NGX_HTTP_LB_CHECK_HTTPS:
        return "https";

    case NGX_HTTP_LB_CHECK_TCP:
        return "tcp";

    default:
        return "grpc";
    }
}


/*
 * The name that a certificate has to have, and that is sent: unless somebody
 * has said so, the upstream's name is not sent, as few servers know it.
 */

static ngx_int_t
ngx_http_lb_check_names(ngx_conf_t *cf, ngx_http_lb_check_conf_t *check,
    ngx_uint_t named)
{
    u_char      *p, *last;
    ngx_str_t   *name;

    check->tls = (check->kind == NGX_HTTP_LB_CHECK_HTTPS
                  || (check->kind == NGX_HTTP_LB_CHECK_GRPC
                      && (check->tls_name.len || check->tls_ca.len)));

    name = check->tls_name.len ? &check->tls_name : &check->host;

    p = ngx_pnalloc(cf->pool, name->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    check->host_name.data = p;
    last = ngx_cpymem(p, name->data, name->len);

    if (check->tls_name.len == 0) {

        /* a port, which an address of IPv6 has behind brackets only */

        if (*p == '[') {
            check->host_name.data = p + 1;
            p = ngx_strlchr(p, last, ']');
            last = p ? p : last;

        } else {
            p = ngx_strlchr(p, last, ':');
            last = p ? p : last;
        }
    }

    *last = '\0';
    check->host_name.len = last - check->host_name.data;

    if ((named || check->tls_name.len)
        && !ngx_http_lb_check_tls_is_address(&check->host_name))
    {
        check->sni = check->host_name;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_check_request(ngx_conf_t *cf, ngx_http_lb_check_conf_t *check)
{
    u_char        *p, *last;
    ngx_str_t     *request;
    ngx_uint_t     i, agent;
    ngx_keyval_t  *header;

    static const char  format[] = "%V %V HTTP/1.1" CRLF "Host: %V" CRLF;
    static const char  closing[] = "Connection: close" CRLF CRLF;
    static const char  ours[] = "User-Agent: nginx (health check)" CRLF;

    if (check->kind == NGX_HTTP_LB_CHECK_TCP) {
        return NGX_OK;
    }

    if (check->kind == NGX_HTTP_LB_CHECK_GRPC) {
        return ngx_http_lb_check_grpc(cf, check);
    }

    request = &check->request;

    request->len = sizeof(format) + sizeof(closing) + sizeof(ours)
                   + check->method.len + check->uri.len + check->host.len
                   + ngx_http_lb_check_size(check, &agent);

    request->data = ngx_pnalloc(cf->pool, request->len);
    if (request->data == NULL) {
        return NGX_ERROR;
    }

    last = request->data + request->len;

    p = ngx_slprintf(request->data, last, format, &check->method, &check->uri,
                     &check->host);

    if (!agent) {
        p = ngx_slprintf(p, last, "%s", ours);
    }

    header = check->headers ? check->headers->elts : NULL;

    for (i = 0; header && i < check->headers->nelts; i++) {
        p = ngx_slprintf(p, last, "%V: %V" CRLF, &header[i].key,
                         &header[i].value);
    }

    p = ngx_slprintf(p, last, "%s", closing);

    request->len = p - request->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_check_grpc(ngx_conf_t *cf, ngx_http_lb_check_conf_t *check)
{
    size_t              size;
    ngx_str_t          *request;
    ngx_uint_t          i, agent;
    ngx_keyval_t       *header;
    lb_grpc_header_t    headers[NGX_HTTP_LB_CHECK_HEADERS];
    lb_grpc_request_t   ask;

    header = check->headers ? check->headers->elts : NULL;
    ask.nheaders = check->headers ? check->headers->nelts : 0;

    for (i = 0; i < ask.nheaders; i++) {
        ngx_strlow(header[i].key.data, header[i].key.data, header[i].key.len);

        headers[i].name = (char *) header[i].key.data;
        headers[i].name_length = header[i].key.len;
        headers[i].value = (char *) header[i].value.data;
        headers[i].value_length = header[i].value.len;
    }

    ask.tls = (check->tls != 0);
    ask.authority = (char *) check->host.data;
    ask.authority_length = check->host.len;
    ask.service = (char *) check->service.data;
    ask.service_length = check->service.len;
    ask.headers = headers;

    request = &check->request;

    size = 512 + check->host.len + check->service.len
           + ngx_http_lb_check_size(check, &agent);

    request->data = ngx_pnalloc(cf->pool, size);
    if (request->data == NULL) {
        return NGX_ERROR;
    }

    request->len = lb_grpc_ask(request->data, size, &ask);

    if (request->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"header\" parameters of more than 16k in "
                           "\"lb_health_check\"");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* bytes for the header lines, and whether one of them is User-Agent */

static size_t
ngx_http_lb_check_size(ngx_http_lb_check_conf_t *check, ngx_uint_t *agent)
{
    size_t         size;
    ngx_uint_t     i;
    ngx_keyval_t  *header;

    size = 0;
    *agent = 0;

    header = check->headers ? check->headers->elts : NULL;

    for (i = 0; header && i < check->headers->nelts; i++) {
        size += header[i].key.len + header[i].value.len + 8;

        *agent |= (header[i].key.len == 10
                   && ngx_strncasecmp(header[i].key.data,
                                      (u_char *) "user-agent", 10) == 0);
    }

    return size;
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


static ngx_int_t
ngx_http_lb_check_header(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_lb_check_conf_t  *check = conf;

    size_t         i;
    u_char        *colon, *last;
    ngx_str_t      name, text;
    ngx_keyval_t  *header;

    last = value->data + value->len;
    colon = ngx_strlchr(value->data, last, ':');

    if (colon == NULL || value->len > NGX_HTTP_LB_CHECK_LINE_MAX) {
        return NGX_DECLINED;
    }

    name.data = value->data;
    name.len = colon - value->data;

    for (colon++; colon < last && *colon == ' '; colon++) { /* void */ }
    for ( /* void */ ; last > colon && last[-1] == ' '; last--) { /* void */ }

    text.data = colon;
    text.len = last - colon;

    for (i = 0; i < text.len; i++) {

        if ((text.data[i] < ' ' && text.data[i] != '\t')
            || text.data[i] == 0x7f)
        {
            return NGX_DECLINED;
        }
    }

    if (!ngx_http_lb_check_is_token(&name) || ngx_http_lb_check_is_own(&name))
    {
        return NGX_DECLINED;
    }

    if (check->headers == NULL) {
        check->headers = ngx_array_create(cf->pool, 4, sizeof(ngx_keyval_t));
        if (check->headers == NULL) {
            return NGX_ERROR;
        }
    }

    if (check->headers->nelts == NGX_HTTP_LB_CHECK_HEADERS) {
        return NGX_DECLINED;
    }

    header = ngx_array_push(check->headers);
    if (header == NULL) {
        return NGX_ERROR;
    }

    header->key = name;
    header->value = text;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_lb_check_is_token(ngx_str_t *name)
{
    u_char  c;
    size_t  i;

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')
            && !(c >= '0' && c <= '9')
            && (c == '\0' || ngx_strchr("!#$%&'*+-.^_`|~", c) == NULL))
        {
            return 0;
        }
    }

    return name->len != 0;
}


/* what the request has already, or must not have */

static ngx_uint_t
ngx_http_lb_check_is_own(ngx_str_t *name)
{
    ngx_uint_t  i;

    static ngx_str_t  own[] = {
        ngx_string("Host"),
        ngx_string("Connection"),
        ngx_string("Content-Length"),
        ngx_string("Transfer-Encoding"),
        ngx_string("Upgrade"),
        ngx_string("Expect"),
        ngx_string("TE"),
        ngx_string("Content-Type")
    };

    for (i = 0; i < sizeof(own) / sizeof(own[0]); i++) {

        if (own[i].len == name->len
            && ngx_strncasecmp(own[i].data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
