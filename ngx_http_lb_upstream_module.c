
/*
 * The balancer: directives, configuration, and the hooks by which nginx starts
 * it.  Requests are served in src/lb, decisions are made in src/core.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/common/ngx_gw_compat.h"
#include "src/common/ngx_gw_cycle.h"
#include "src/common/ngx_gw_param.h"
#include "src/lb/api/ngx_http_lb_api.h"
#include "src/lb/api/ngx_http_lb_metrics.h"
#include "src/lb/request/ngx_http_lb_keepalive.h"
#include "src/lb/request/ngx_http_lb_peer.h"
#include "src/lb/request/ngx_http_lb_process.h"
#include "src/lb/request/ngx_http_lb_session.h"
#include "src/lb/request/ngx_http_lb_proxy_status.h"
#include "src/lb/request/ngx_http_lb_queue_conf.h"
#include "src/lb/request/ngx_http_lb_sticky.h"
#include "src/lb/request/ngx_http_lb_variable.h"
#include "src/lb/upstream/ngx_http_lb_budget.h"
#include "src/lb/upstream/ngx_http_lb_check.h"
#include "src/lb/upstream/ngx_http_lb_check_conf.h"
#include "src/lb/upstream/ngx_http_lb_line.h"
#include "src/lb/upstream/ngx_http_lb_method.h"
#include "src/lb/upstream/ngx_http_lb_resolve_conf.h"
#include "src/lb/upstream/ngx_http_lb_state.h"
#include "src/lb/upstream/ngx_http_lb_zone.h"


static char *ngx_http_lb(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_lb_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static void *ngx_http_lb_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_lb_create_srv_conf(ngx_conf_t *cf);
static void *ngx_http_lb_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_lb_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_lb_init_main_conf(ngx_conf_t *cf, void *conf);
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

    { ngx_string("lb_retry_budget"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_lb_budget,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_sticky"),
      NGX_HTTP_UPS_CONF|NGX_CONF_2MORE,
      ngx_http_lb_sticky,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_resolve"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_lb_resolve,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_state"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_lb_state,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("lb_proxy_status"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_gw_param_word_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_lb_loc_conf_t, proxy_status),
      &ngx_http_lb_proxy_status_words },

    { ngx_string("lb_queue"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_lb_queue,
      NGX_HTTP_LOC_CONF_OFFSET,
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


/* all directives of the upstream{} have been read */

static ngx_int_t
ngx_http_lb_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = ngx_http_conf_upstream_srv_conf(us, ngx_http_lb_upstream_module);

    lcf->keepalive.nginx = ngx_gw_keepalive_given(cf, us);

    if (ngx_gw_sticky_given(cf, us)) {

        if (lcf->sticky) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"sticky\" cannot be used together with "
                          "\"lb_sticky\" in upstream \"%V\" in %s:%ui",
                          &us->host, lcf->file, lcf->line);
            return NGX_ERROR;
        }

        lcf->hinted = 1;
        lcf->rules.sticky = true;
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

    if (ngx_http_lb_line_init(cf, lcf) != NGX_OK
        || ngx_http_lb_resolve_init(cf, lcf) != NGX_OK
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
        != NGX_OK
        || ngx_array_init(&lmcf->queues, cf->pool, 4,
                          sizeof(ngx_http_lb_queue_t *))
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

    lcf->keepalive.requests = 1000;
    lcf->keepalive.timeout = 60000;
    lcf->keepalive.time = 3600000;

    return lcf;
}


static void *
ngx_http_lb_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_lb_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_lb_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->proxy_status = NGX_CONF_UNSET_UINT;

    return conf;
}


static char *
ngx_http_lb_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_lb_loc_conf_t  *prev = parent;
    ngx_http_lb_loc_conf_t  *conf = child;

    ngx_http_lb_main_conf_t *lmcf;

    ngx_conf_merge_uint_value(conf->proxy_status, prev->proxy_status,
                              NGX_HTTP_LB_PROXY_STATUS_OFF);

    lmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_lb_upstream_module);

    lmcf->proxy_status |= (conf->proxy_status
                           != NGX_HTTP_LB_PROXY_STATUS_OFF);

    /* of use where the handler is inherited, in "if" and "limit_except" */

    if (conf->location.handler == NULL) {
        conf->write = prev->write;
    }

    if (conf->queues == NULL && !conf->queue_off) {
        conf->queues = prev->queues;
    }

    return ngx_gw_location_merge(cf, &prev->location, &conf->location);
}


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

        /* nginx's "sticky" goes with nginx's "keepalive" around it */

        if (lcf->hinted && keepalive->set && keepalive->max) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"sticky\" cannot be used together with "
                          "\"lb_keepalive\" in upstream \"%V\", use "
                          "\"keepalive\" in %s:%ui",
                          &lcf->upstream->host, lcf->file, lcf->line);
            return NGX_CONF_ERROR;
        }

        if (lcf->hinted) {
            keepalive->max = 0;
            continue;
        }

        if (!lcf->initialized) {
            continue;
        }

        wrapped = (lcf->upstream->peer.init != ngx_http_lb_init_peer);

        if (!(NGX_GW_KEEPALIVE_WRAPS_ALL ? keepalive->nginx : wrapped)) {

            /* what wraps us is what nginx gives to all upstreams */

            lcf->upstream->peer.init = ngx_http_lb_init_peer;
            continue;
        }

        if (keepalive->set && keepalive->max) {
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


static ngx_int_t
ngx_http_lb_postconfiguration(ngx_conf_t *cf)
{
    ngx_uint_t                       i;
    ngx_http_lb_srv_conf_t          *lcf;
    ngx_http_lb_main_conf_t         *lmcf;
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

    lmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_lb_upstream_module);

    ngx_http_lb_sticky_init(lmcf);
    ngx_http_lb_proxy_status_init(lmcf);

    if (ngx_http_lb_queue_init(cf, lmcf) != NGX_OK) {
        return NGX_ERROR;
    }

#if (NGX_HTTP_SSL)
    if (ngx_http_lb_session_conf(cf, lmcf) != NGX_OK) {
        return NGX_ERROR;
    }
#endif

    return ngx_http_lb_check_init(cf, lmcf);
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
    ngx_http_lb_sticky_init_module(lmcf);

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

    if (ngx_http_lb_process_init(cycle, lmcf) != NGX_OK) {
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
        ngx_http_lb_process_exit(lmcf);
    }
}
