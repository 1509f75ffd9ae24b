
/*
 * The directive lb_resolve: a name, its parameters, and by which resolver it
 * is looked up.
 */


#include "src/lb/upstream/ngx_http_lb_resolve_conf.h"

#include "src/common/ngx_gw_compat.h"
#include "src/common/ngx_gw_param.h"
#include "src/lb/upstream/ngx_http_lb_line.h"


#define NGX_HTTP_LB_RESOLVE_NAME_MAX     253
#define NGX_HTTP_LB_RESOLVE_SERVICE_MAX  128

/* ms; nginx's default for resolver_timeout */
#define NGX_HTTP_LB_RESOLVE_TIMEOUT      30000


static ngx_int_t ngx_http_lb_resolve_url(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_lb_name_t *name);
static ngx_uint_t ngx_http_lb_resolve_is_host(ngx_str_t *host);
static ngx_int_t ngx_http_lb_resolve_text(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_lb_name_t *name);
static ngx_int_t ngx_http_lb_resolve_place(ngx_conf_t *cf,
    ngx_http_lb_name_t *name);
static ngx_int_t ngx_http_lb_resolve_servers(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_resolve_server(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf, ngx_http_upstream_server_t *server);
static ngx_http_lb_name_t *ngx_http_lb_resolve_add(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_resolve_with(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_uint_t ngx_http_lb_resolve_is_twice(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_name_t *name);


#define ngx_http_lb_resolve_field(field)                                     \
    ngx_gw_param_field(ngx_http_lb_name_t, field)

/* those of a server line, but for the first */

static const ngx_gw_param_t  ngx_http_lb_resolve_params[] = {

    { .name = ngx_string("service="), .kind = NGX_GW_PARAM_NAME,
      ngx_http_lb_resolve_field(service), .chars = "-_.",
      .max = NGX_HTTP_LB_RESOLVE_SERVICE_MAX,
      .allowed = "from 1 to 128 letters, digits, \"-\", \"_\" and \".\"" },

    { .name = ngx_string("weight="), .kind = NGX_GW_PARAM_NUMBER,
      ngx_http_lb_resolve_field(line.weight), .min = 1, .max = INT32_MAX },

    { .name = ngx_string("max_conns="), .kind = NGX_GW_PARAM_NUMBER,
      ngx_http_lb_resolve_field(line.max_conns), .max = INT32_MAX },

    { .name = ngx_string("max_fails="), .kind = NGX_GW_PARAM_NUMBER,
      ngx_http_lb_resolve_field(line.max_fails), .max = INT32_MAX },

    { .name = ngx_string("fail_timeout="), .kind = NGX_GW_PARAM_TIME,
      ngx_http_lb_resolve_field(line.fail_timeout),
      .max = LB_ENTRY_TIME_MAX * (ngx_int_t) 1000,
      .allowed = "a time up to 2147483647 seconds" },

    { .name = ngx_string("backup"), ngx_http_lb_resolve_field(backup),
      .min = 1 },

    { .name = ngx_string("down"), ngx_http_lb_resolve_field(down),
      .min = 1 },

    { .name = ngx_null_string }
};


char *
ngx_http_lb_resolve(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    ngx_str_t           *value;
    ngx_http_lb_name_t  *name;

    ngx_http_lb_needs_method(cf, cmd, lcf);

    value = cf->args->elts;

    name = ngx_http_lb_resolve_add(cf, lcf);
    if (name == NULL) {
        return NGX_CONF_ERROR;
    }

    name->line.weight = 1;
    name->line.max_fails = 1;
    name->line.fail_timeout = 10000;

    if (ngx_gw_params(cf, 2, ngx_http_lb_resolve_params, name, NULL)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    name->line.status = (name->backup ? LB_BACKUP : 0)
                        | (name->down ? LB_DISABLED : 0);

    if (ngx_http_lb_resolve_url(cf, &value[1], name) != NGX_OK
        || ngx_http_lb_resolve_text(cf, &value[1], name) != NGX_OK
        || ngx_http_lb_resolve_place(cf, name) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_lb_resolve_url(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_lb_name_t *name)
{
    ngx_url_t    u;
    const char  *wrong;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *text;
    u.default_port = 80;
    u.no_resolve = 1;

    wrong = NULL;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        wrong = u.err ? u.err : "no memory";

    } else if (u.naddrs || u.family == AF_UNIX) {
        wrong = "this is an address, which is for \"server\"";

    } else if (u.uri.len) {
        wrong = "there is more behind the port";

    } else if (u.host.len > NGX_HTTP_LB_RESOLVE_NAME_MAX) {
        wrong = "it is longer than 253 characters";

    } else if (!ngx_http_lb_resolve_is_host(&u.host)) {
        wrong = "it has what no host name has";

    } else if (name->service.len && !u.no_port) {
        wrong = "the port is that of the records with \"service\"";
    }

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" in \"lb_resolve\", it must be "
                           "a host name and may have a port: %s", text,
                           wrong);
        return NGX_ERROR;
    }

    name->host = u.host;
    name->port = u.port;

    return NGX_OK;
}


/* a variable, above all, would be looked up as it is for ever */

static ngx_uint_t
ngx_http_lb_resolve_is_host(ngx_str_t *host)
{
    u_char      c;
    ngx_uint_t  i;

    for (i = 0; i < host->len; i++) {
        c = ngx_tolower(host->data[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c < 0x80
            && c != '-' && c != '_' && c != '.')
        {
            return 0;
        }
    }

    return 1;
}


/* how servers of the name are shown: as it is written, or as its records */

static ngx_int_t
ngx_http_lb_resolve_text(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_lb_name_t *name)
{
    u_char      *p;
    ngx_uint_t   short_form;

    name->text = *text;

    if (name->service.len) {
        short_form = (ngx_strlchr(name->service.data, name->service.data
                                                      + name->service.len,
                                  '.')
                      == NULL);

        p = ngx_pnalloc(cf->pool, sizeof("_._tcp.") + name->service.len
                                  + name->host.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        name->text.data = p;
        p = ngx_sprintf(p, short_form ? "_%V._tcp.%V" : "%V.%V",
                        &name->service, &name->host);
        name->text.len = p - name->text.data;
    }

    if (name->text.len > LB_HOST_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "name \"%V\" is longer than %d characters",
                           &name->text, LB_HOST_MAX);
        return NGX_ERROR;
    }

    name->line.host = (char *) name->text.data;
    name->line.host_length = name->text.len;

    return NGX_OK;
}


/* nginx wants an upstream to have a server: this one has no addresses */

static ngx_int_t
ngx_http_lb_resolve_place(ngx_conf_t *cf, ngx_http_lb_name_t *name)
{
    ngx_http_upstream_server_t    *server;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    server = ngx_array_push(uscf->servers);
    if (server == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(server, sizeof(ngx_http_upstream_server_t));

    server->name = name->text;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_resolve_servers(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_str_t                   *host;
    ngx_uint_t                   i;
    ngx_http_upstream_server_t  *server;

    server = lcf->upstream->servers->elts;

    for (i = 0; i < lcf->upstream->servers->nelts; i++) {
        host = ngx_gw_server_host(&server[i]);

        if (host && host->len
            && ngx_http_lb_resolve_server(cf, lcf, &server[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* a name of a server line with "resolve" */

static ngx_int_t
ngx_http_lb_resolve_server(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    ngx_http_upstream_server_t *server)
{
    ngx_str_t           *host, *service, *route;
    ngx_http_lb_name_t  *name;

    host = ngx_gw_server_host(server);

    name = ngx_http_lb_resolve_add(cf, lcf);
    if (name == NULL || host == NULL) {
        return NGX_ERROR;
    }

    service = ngx_gw_server_service(server);
    route = ngx_gw_server_route(server);

    name->host = *host;
    name->port = ngx_inet_get_port(server->addrs[0].sockaddr);

    if (service) {
        name->service = *service;
    }

    if (route) {
        name->route = *route;
    }

    ngx_http_lb_line_settings(server, &name->line);

    return ngx_http_lb_resolve_text(cf, &server->name, name);
}


static ngx_http_lb_name_t *
ngx_http_lb_resolve_add(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_http_lb_name_t  *name;

    if (lcf->resolve == NULL) {
        lcf->resolve = ngx_array_create(cf->pool, 1,
                                        sizeof(ngx_http_lb_name_t));
        if (lcf->resolve == NULL) {
            return NULL;
        }
    }

    name = ngx_array_push(lcf->resolve);

    if (name) {
        ngx_memzero(name, sizeof(ngx_http_lb_name_t));
        name->conf = lcf;
        name->number = lcf->resolve->nelts - 1;
    }

    return name;
}


ngx_int_t
ngx_http_lb_resolve_init(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_uint_t           i;
    ngx_http_lb_name_t  *names;

    if (ngx_http_lb_resolve_servers(cf, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (lcf->resolve == NULL) {
        return NGX_OK;
    }

    if (ngx_http_lb_resolve_with(cf, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    names = lcf->resolve->elts;

    lcf->names = ngx_pcalloc(cf->pool, lcf->resolve->nelts
                                       * sizeof(lb_name_t));
    if (lcf->names == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < lcf->resolve->nelts; i++) {

        if (ngx_http_lb_resolve_is_twice(lcf, &names[i])) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "name \"%V\" is there twice in upstream \"%V\" "
                          "in %s:%ui", &names[i].text, &lcf->upstream->host,
                          lcf->file, lcf->line);
            return NGX_ERROR;
        }

        lcf->names[i].line = names[i].line;
        lcf->names[i].service = (names[i].service.len != 0);

        lcf->nnames++;
    }

    return NGX_OK;
}


/* the upstream's own resolver, or that of http{} */

static ngx_int_t
ngx_http_lb_resolve_with(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    lcf->resolver = ngx_gw_upstream_resolver(lcf->upstream);
    lcf->resolver_timeout = ngx_gw_upstream_timeout(lcf->upstream);

    if (lcf->resolver == NULL) {
        lcf->resolver = clcf->resolver;
    }

    ngx_conf_merge_msec_value(lcf->resolver_timeout, clcf->resolver_timeout,
                              NGX_HTTP_LB_RESOLVE_TIMEOUT);

    if (lcf->resolver == NULL || lcf->resolver->connections.nelts == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"resolver\" in http{} to look up names of upstream "
                      "\"%V\" in %s:%ui", &lcf->upstream->host, lcf->file,
                      lcf->line);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_lb_resolve_is_twice(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_name_t *name)
{
    uint32_t             i;
    ngx_http_lb_name_t  *names;

    names = lcf->resolve->elts;

    for (i = 0; i < name->number; i++) {

        if (names[i].text.len == name->text.len
            && ngx_strncasecmp(names[i].text.data, name->text.data,
                               name->text.len)
               == 0)
        {
            return 1;
        }
    }

    for (i = 0; i < lcf->nlines; i++) {

        if (lcf->lines[i].host_length == name->text.len
            && ngx_strncasecmp((u_char *) lcf->lines[i].host, name->text.data,
                               name->text.len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}
