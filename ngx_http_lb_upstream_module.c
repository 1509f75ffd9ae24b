
/*
 * The balancer: directives of upstream{}, and the hooks by which nginx
 * starts it.  Requests are served in src/lb, decisions are made in src/core.
 */


#include "src/common/ngx_gw_cycle.h"
#include "src/lb/ngx_http_lb.h"


static char *ngx_http_lb(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_lb_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_lb_keepalive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_lb_keepalive_param(ngx_conf_t *cf, ngx_str_t *param,
    ngx_http_lb_keepalive_t *keepalive);
static char *ngx_http_lb_init_main_conf(ngx_conf_t *cf, void *conf);
static ngx_int_t ngx_http_lb_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_lb_init_lines(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_init_line(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf, ngx_http_upstream_server_t *server);
static void *ngx_http_lb_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_lb_create_srv_conf(ngx_conf_t *cf);
static void *ngx_http_lb_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_lb_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_lb_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_lb_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_lb_init_process(ngx_cycle_t *cycle);
static void ngx_http_lb_exit_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_http_lb_commands[] = {

    { ngx_string("lb"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_lb,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_zone"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_lb_zone,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_keepalive"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_lb_keepalive,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_lb_srv_conf_t, keepalive),
      NULL },

    { ngx_string("lb_health_check"),
      NGX_HTTP_UPS_CONF|NGX_CONF_ANY,
      ngx_http_lb_health_check,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_slow_start"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_lb_slow_start,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_outlier"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_lb_outlier,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_panic"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_lb_panic,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_state"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_lb_state,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_lb_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_lb_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_lb_upstream_module_ctx = {
    ngx_http_lb_add_variables,             /* preconfiguration */
    ngx_http_lb_postconfiguration,         /* postconfiguration */

    ngx_http_lb_create_main_conf,          /* create main configuration */
    ngx_http_lb_init_main_conf,            /* init main configuration */

    ngx_http_lb_create_srv_conf,           /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_lb_create_loc_conf,           /* create location configuration */
    ngx_http_lb_merge_loc_conf             /* merge location configuration */
};


ngx_module_t  ngx_http_lb_upstream_module = {
    NGX_MODULE_V1,
    &ngx_http_lb_upstream_module_ctx,      /* module context */
    ngx_http_lb_commands,                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_lb_init_module,               /* init module */
    ngx_http_lb_init_process,              /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_lb_exit_process,              /* exit process */
    NULL,                                  /* exit master */
    NGX_GW_MODULE_PADDING
};


static char *
ngx_http_lb(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    ngx_http_lb_srv_conf_t       **lcfp;
    ngx_http_lb_main_conf_t       *lmcf;
    ngx_http_upstream_srv_conf_t  *uscf;

    if (lcf->method) {
        return "is duplicate";
    }

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    if (uscf->peer.init_upstream) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" cannot follow another balancing method; "
                           "\"keepalive\" must be placed after \"%V\"",
                           &cmd->name, &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_lb_method(cf, cmd, lcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    lmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_lb_upstream_module);

    lcfp = ngx_array_push(&lmcf->upstreams);
    if (lcfp == NULL) {
        return NGX_CONF_ERROR;
    }

    *lcfp = lcf;

    lcf->upstream = uscf;
    lcf->file = cf->conf_file->file.name.data;
    lcf->line = cf->conf_file->line;

    uscf->peer.init_upstream = ngx_http_lb_init_upstream;

    uscf->flags = NGX_HTTP_UPSTREAM_CREATE
                  |NGX_HTTP_UPSTREAM_WEIGHT
                  |NGX_HTTP_UPSTREAM_MAX_CONNS
                  |NGX_HTTP_UPSTREAM_MAX_FAILS
                  |NGX_HTTP_UPSTREAM_FAIL_TIMEOUT
                  |NGX_HTTP_UPSTREAM_DOWN
                  |NGX_HTTP_UPSTREAM_BACKUP;

    return NGX_CONF_OK;
}


static char *
ngx_http_lb_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (lcf->zone_size != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    size = ngx_parse_size(&value[1]);

    if (size == NGX_ERROR || size < (ssize_t) (16 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" in \"%V\", "
                           "it must be at least %uzk",
                           &value[1], &cmd->name,
                           (size_t) (16 * ngx_pagesize / 1024));
        return NGX_CONF_ERROR;
    }

    lcf->zone_size = size;

    ngx_http_lb_needs_method(cf, cmd, lcf);

    return NGX_CONF_OK;
}


void
ngx_http_lb_needs_method(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_srv_conf_t *lcf)
{
    if (lcf->method == NULL && lcf->file == NULL) {
        lcf->orphan = &cmd->name;
        lcf->file = cf->conf_file->file.name.data;
        lcf->line = cf->conf_file->line;
    }
}


static char *
ngx_http_lb_keepalive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                     *p = conf;
    char                     *rv;
    ngx_int_t                 max;
    ngx_str_t                *value;
    ngx_uint_t                i;
    ngx_http_lb_keepalive_t  *keepalive;

    keepalive = (ngx_http_lb_keepalive_t *) (p + cmd->offset);

    ngx_http_lb_needs_method(cf, cmd, conf);

    if (keepalive->set) {
        return "is duplicate";
    }

    value = cf->args->elts;

    max = ngx_atoi(value[1].data, value[1].len);

    if (max == NGX_ERROR || max > NGX_HTTP_LB_KEEPALIVE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number \"%V\" in \"%V\", "
                           "it must be between 0 and %d",
                           &value[1], &cmd->name, NGX_HTTP_LB_KEEPALIVE_MAX);
        return NGX_CONF_ERROR;
    }

    keepalive->set = 1;
    keepalive->max = max;

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_lb_keepalive_param(cf, &value[i], keepalive);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_lb_keepalive_param(ngx_conf_t *cf, ngx_str_t *param,
    ngx_http_lb_keepalive_t *keepalive)
{
    ngx_int_t    requests;
    ngx_str_t    s;
    ngx_msec_t  *msec;

    if (ngx_strncmp(param->data, "requests=", 9) == 0) {
        requests = ngx_atoi(param->data + 9, param->len - 9);

        if (requests == NGX_ERROR || requests == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", "
                               "a number of 1 or more is expected", param);
            return NGX_CONF_ERROR;
        }

        if (keepalive->requests != NGX_CONF_UNSET_UINT) {
            return "has duplicate \"requests\" parameter";
        }

        keepalive->requests = requests;

        return NGX_CONF_OK;
    }

    if (ngx_strncmp(param->data, "timeout=", 8) == 0) {
        msec = &keepalive->timeout;
        s.data = param->data + 8;

    } else if (ngx_strncmp(param->data, "time=", 5) == 0) {
        msec = &keepalive->time;
        s.data = param->data + 5;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", param);
        return NGX_CONF_ERROR;
    }

    if (*msec != NGX_CONF_UNSET_MSEC) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate parameter \"%V\"", param);
        return NGX_CONF_ERROR;
    }

    s.len = param->data + param->len - s.data;

    *msec = ngx_parse_time(&s, 0);

    if (*msec == (ngx_msec_t) NGX_ERROR || *msec == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", "
                           "a time of 1ms or more is expected", param);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* all directives of the upstream{} have been read */

static ngx_int_t
ngx_http_lb_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ngx_http_conf_upstream_srv_conf(us, ngx_http_lb_upstream_module);

    lcf->keepalive.nginx = ngx_gw_keepalive_given(cf, us);

    /* what wraps us would need a name for each server, as "sticky" does */

    if (NGX_GW_KEEPALIVE_WRAPS_ALL
        && us->peer.init_upstream != ngx_http_lb_init_upstream)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"sticky\" cannot be used together with \"lb\" in "
                      "upstream \"%V\", use \"lb hash\" in %s:%ui",
                      &us->host, lcf->file, lcf->line);
        return NGX_ERROR;
    }

#if (NGX_HTTP_UPSTREAM_ZONE)

    if (us->shm_zone) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"zone\" cannot be used together with \"lb\" in "
                      "upstream \"%V\", use \"lb_zone\" in %s:%ui",
                      &us->host, lcf->file, lcf->line);
        return NGX_ERROR;
    }

#endif

    if (ngx_http_lb_init_lines(cf, lcf) != NGX_OK
        || ngx_http_lb_state_init(cf, lcf) != NGX_OK
        || ngx_http_lb_zone_add(cf, lcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    us->peer.init = ngx_http_lb_init_peer;
    us->peer.data = lcf;

    lcf->initialized = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_init_lines(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_uint_t                   i, n, backup;
    ngx_http_upstream_server_t  *server;

    server = lcf->upstream->servers->elts;
    n = 0;
    backup = 0;

    for (i = 0; i < lcf->upstream->servers->nelts; i++) {
        n += server[i].naddrs;
        backup += server[i].backup ? server[i].naddrs : 0;
    }

    if (n == backup || n > LB_SERVERS_MAX) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%ui servers, %ui of them backup, in upstream \"%V\", "
                      "there must be one that is not and at most %d "
                      "in %s:%ui",
                      n, backup, &lcf->upstream->host, LB_SERVERS_MAX,
                      lcf->file, lcf->line);
        return NGX_ERROR;
    }

    lcf->lines = ngx_pcalloc(cf->pool, n * sizeof(lb_line_t));
    if (lcf->lines == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < lcf->upstream->servers->nelts; i++) {

        if (ngx_http_lb_init_line(cf, lcf, &server[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* one line of ours for each address of the server */

static ngx_int_t
ngx_http_lb_init_line(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    ngx_http_upstream_server_t *server)
{
    ngx_uint_t   j;
    ngx_addr_t  *addr;
    lb_line_t   *line;

    if (ngx_gw_server_resolves(server)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"resolve\" of server \"%V\" is not supported with "
                      "\"lb\" in upstream \"%V\" in %s:%ui",
                      &server->name, &lcf->upstream->host,
                      lcf->file, lcf->line);
        return NGX_ERROR;
    }

    for (j = 0; j < server->naddrs; j++) {
        addr = &server->addrs[j];

        if (server->name.len > LB_HOST_MAX || addr->name.len > LB_NAME_MAX
            || addr->socklen > LB_ADDRESS_MAX)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "name of server \"%V\" in upstream \"%V\" is "
                          "longer than %d characters in %s:%ui",
                          &server->name, &lcf->upstream->host, LB_HOST_MAX,
                          lcf->file, lcf->line);
            return NGX_ERROR;
        }

        line = &lcf->lines[lcf->nlines++];

        line->host = (char *) server->name.data;
        line->host_length = server->name.len;
        line->name = (char *) addr->name.data;
        line->name_length = addr->name.len;
        line->address = addr->sockaddr;
        line->address_length = addr->socklen;
        line->weight = ngx_min(server->weight, UINT32_MAX);
        line->max_conns = ngx_min(server->max_conns, UINT32_MAX);
        line->max_fails = ngx_min(server->max_fails, INT32_MAX);
        line->fail_timeout = (uint64_t) server->fail_timeout * 1000;
        line->status = (server->backup ? LB_BACKUP : 0)
                       | (server->down ? LB_DISABLED : 0);
        line->pending = ngx_http_lb_check_is_mandatory(lcf);
    }

    return NGX_OK;
}


static void *
ngx_http_lb_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_lb_main_conf_t  *lmcf;

    lmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_lb_main_conf_t));
    if (lmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&lmcf->upstreams, cf->pool, 4,
                       sizeof(ngx_http_lb_srv_conf_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return lmcf;
}


static void *
ngx_http_lb_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_lb_srv_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    lcf->zone_size = NGX_CONF_UNSET;

    lcf->keepalive.requests = NGX_CONF_UNSET_UINT;
    lcf->keepalive.timeout = NGX_CONF_UNSET_MSEC;
    lcf->keepalive.time = NGX_CONF_UNSET_MSEC;

    return lcf;
}


static void *
ngx_http_lb_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_lb_loc_conf_t));
}


static char *
ngx_http_lb_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_lb_loc_conf_t  *prev = parent;
    ngx_http_lb_loc_conf_t  *conf = child;

    /* of use where the handler is inherited, in "if" and "limit_except" */

    if (conf->location.handler == NULL) {
        conf->write = prev->write;
    }

    return ngx_gw_location_merge(cf, &prev->location, &conf->location);
}


/* nginx's upstream module, which comes before, has set all upstreams up */

static char *
ngx_http_lb_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_lb_main_conf_t  *lmcf = conf;

    ngx_uint_t                i, wrapped;
    ngx_http_lb_srv_conf_t   *lcf, **lcfp;
    ngx_http_lb_keepalive_t  *keepalive;

    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {
        lcf = lcfp[i];
        keepalive = &lcf->keepalive;

        if (!keepalive->set) {
            keepalive->max = NGX_HTTP_LB_KEEPALIVE;
        }

        ngx_conf_init_uint_value(keepalive->requests, 1000);
        ngx_conf_init_msec_value(keepalive->timeout, 60000);
        ngx_conf_init_msec_value(keepalive->time, 3600000);

        wrapped = (lcf->upstream->peer.init != ngx_http_lb_init_peer);

        if (!wrapped || !lcf->initialized
            || (keepalive->max == 0 && keepalive->nginx))
        {
            continue;
        }

        if (NGX_GW_KEEPALIVE_WRAPS_ALL) {
            lcf->upstream->peer.init = ngx_http_lb_init_peer;
            continue;
        }

        if (keepalive->set) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"keepalive\" cannot be used together with "
                          "\"lb_keepalive\" in upstream \"%V\", remove it "
                          "or set \"lb_keepalive 0\" in %s:%ui",
                          &lcf->upstream->host, lcf->file, lcf->line);
            return NGX_CONF_ERROR;
        }

        keepalive->max = 0;
    }

    return NGX_CONF_OK;
}


/* what can be seen only when all upstreams have been set up */

static ngx_int_t
ngx_http_lb_postconfiguration(ngx_conf_t *cf)
{
    ngx_uint_t                       i;
    ngx_http_lb_srv_conf_t          *lcf;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_main_conf_t   *umcf;

    if (ngx_gw_cycle_check(cf, "lb") != NGX_OK) {
        return NGX_ERROR;
    }

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);

    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (uscfp[i]->srv_conf == NULL) {
            continue;
        }

        lcf = ngx_http_conf_upstream_srv_conf(uscfp[i],
                                              ngx_http_lb_upstream_module);

        if (lcf->method && !lcf->initialized) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "another balancing method follows \"lb\" in "
                          "upstream \"%V\" in %s:%ui",
                          &uscfp[i]->host, lcf->file, lcf->line);
            return NGX_ERROR;
        }

        if (lcf->method == NULL && lcf->file) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"%V\" without \"lb\" in upstream \"%V\" "
                          "in %s:%ui",
                          lcf->orphan, &uscfp[i]->host, lcf->file,
                          lcf->line);
            return NGX_ERROR;
        }
    }

    return ngx_http_lb_check_init(cf,
                    ngx_http_conf_get_module_main_conf(cf,
                                               ngx_http_lb_upstream_module));
}


static ngx_int_t
ngx_http_lb_init_module(ngx_cycle_t *cycle)
{
    ngx_http_lb_main_conf_t  *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_lb_upstream_module);

    if (lmcf == NULL) {
        return NGX_OK;
    }

    ngx_http_lb_check_init_module(lmcf);

    return ngx_http_lb_zone_init_module(cycle, lmcf);
}


static ngx_int_t
ngx_http_lb_init_process(ngx_cycle_t *cycle)
{
    ngx_http_lb_main_conf_t  *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_lb_upstream_module);

    if (lmcf == NULL) {
        return NGX_OK;
    }

    if (ngx_http_lb_zone_init_process(cycle, lmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_lb_check_init_process(cycle, lmcf);

    return NGX_OK;
}


static void
ngx_http_lb_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_lb_main_conf_t  *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_lb_upstream_module);

    if (lmcf) {
        ngx_http_lb_check_exit_process(lmcf);
        ngx_http_lb_zone_exit_process(lmcf);
    }
}
