
/*
 * ngx_http_tbucket_module: a token bucket per client, in the access phase.
 * Here are the directives and the access handler; what they stand on is in
 * src/tbucket (inside nginx) and src/core (without it).
 */


#include "src/common/ngx_gw_cycle.h"
#include "src/common/ngx_gw_param.h"
#include "src/tbucket/clients/ngx_http_tbucket_api.h"
#include "src/tbucket/clients/ngx_http_tbucket_store.h"
#include "src/tbucket/global/ngx_http_tbucket_global.h"
#include "src/tbucket/ngx_http_tbucket_conf.h"
#include "src/tbucket/ngx_http_tbucket_inflight.h"
#include "src/tbucket/ngx_http_tbucket_limit_conf.h"
#include "src/tbucket/ngx_http_tbucket_metrics.h"
#include "src/tbucket/ngx_http_tbucket_refill.h"
#include "src/tbucket/ngx_http_tbucket_store_conf.h"
#include "src/tbucket/ngx_http_tbucket_zone.h"
#include "src/tbucket/request/ngx_http_tbucket_ctx.h"
#include "src/tbucket/request/ngx_http_tbucket_decide.h"
#include "src/tbucket/request/ngx_http_tbucket_fast.h"
#include "src/tbucket/request/ngx_http_tbucket_headers.h"
#include "src/tbucket/request/ngx_http_tbucket_key.h"
#include "src/tbucket/request/ngx_http_tbucket_reply.h"
#include "src/tbucket/request/ngx_http_tbucket_settle.h"
#include "src/tbucket/request/ngx_http_tbucket_usage.h"
#include "src/tbucket/request/ngx_http_tbucket_vars.h"
#include "src/tbucket/request/ngx_http_tbucket_wait.h"


static ngx_int_t ngx_http_tbucket_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_tbucket_late_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_tbucket_check(ngx_http_request_t *r,
    ngx_http_tbucket_loc_conf_t *lcf);
static ngx_gw_noinline ngx_int_t ngx_http_tbucket_decided(ngx_http_request_t *r,
    ngx_http_tbucket_loc_conf_t *lcf, ngx_http_tbucket_ctx_t *ctx,
    ngx_int_t rc);

static ngx_int_t ngx_http_tbucket_push_handler(ngx_conf_t *cf,
    ngx_uint_t phase, ngx_http_handler_pt handler);

static ngx_int_t ngx_http_tbucket_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_tbucket_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_tbucket_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_tbucket_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_tbucket_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_tbucket_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

static ngx_int_t ngx_http_tbucket_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_tbucket_init_process(ngx_cycle_t *cycle);
static void ngx_http_tbucket_exit_process(ngx_cycle_t *cycle);
static void ngx_http_tbucket_exit_master(ngx_cycle_t *cycle);


static ngx_conf_enum_t  ngx_http_tbucket_bodies[] = {
    { ngx_string("json"), NGX_HTTP_TBUCKET_BODY_JSON },
    { ngx_string("problem"), NGX_HTTP_TBUCKET_BODY_PROBLEM },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_tbucket_headers[] = {
    { ngx_string("off"), NGX_HTTP_TBUCKET_HEADERS_OFF },
    { ngx_string("ietf"), NGX_HTTP_TBUCKET_HEADERS_IETF },
    { ngx_string("legacy"), NGX_HTTP_TBUCKET_HEADERS_LEGACY },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_tbucket_log_levels[] = {
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("notice"), NGX_LOG_NOTICE },
    { ngx_string("warn"), NGX_LOG_WARN },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_null_string, 0 }
};


static ngx_conf_post_t  ngx_http_tbucket_status_post = {
    ngx_http_tbucket_check_status
};


static ngx_conf_post_t  ngx_http_tbucket_refill_post = {
    ngx_http_tbucket_check_refill
};


static ngx_conf_post_t  ngx_http_tbucket_subrequests_post = {
    ngx_http_tbucket_note_subrequests
};


static ngx_conf_post_t  ngx_http_tbucket_usage_post = {
    ngx_http_tbucket_note_usage
};


static ngx_conf_num_bounds_t  ngx_http_tbucket_ipv6_prefix_bounds = {
    ngx_conf_check_num_bounds, 1, 128
};


static ngx_command_t  ngx_http_tbucket_commands[] = {

    { ngx_string("tbucket_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_tbucket_conf_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tbucket"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_tbucket_conf_limit,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tbucket_status"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tbucket_loc_conf_t, status),
      &ngx_http_tbucket_status_post },

    { ngx_string("tbucket_body"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_gw_param_word_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tbucket_loc_conf_t, body),
      &ngx_http_tbucket_bodies },

    { ngx_string("tbucket_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_gw_param_word_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tbucket_loc_conf_t, headers),
      &ngx_http_tbucket_headers },

    { ngx_string("tbucket_log_level"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_gw_param_word_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tbucket_loc_conf_t, log_level),
      &ngx_http_tbucket_log_levels },

    { ngx_string("tbucket_dry_run"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tbucket_loc_conf_t, dry_run),
      NULL },

    { ngx_string("tbucket_subrequests"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tbucket_loc_conf_t, subrequests),
      &ngx_http_tbucket_subrequests_post },

    { ngx_string("tbucket_usage"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tbucket_loc_conf_t, usage),
      &ngx_http_tbucket_usage_post },

    { ngx_string("tbucket_refill"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tbucket_main_conf_t, refill),
      &ngx_http_tbucket_refill_post },

    { ngx_string("tbucket_ipv6_prefix"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tbucket_loc_conf_t, ipv6_prefix),
      &ngx_http_tbucket_ipv6_prefix_bounds },

    { ngx_string("tbucket_store"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_tbucket_conf_store,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tbucket_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_tbucket_conf_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tbucket_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_tbucket_conf_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_tbucket_module_ctx = {
    ngx_http_tbucket_preconfiguration,     /* preconfiguration */
    ngx_http_tbucket_postconfiguration,    /* postconfiguration */

    ngx_http_tbucket_create_main_conf,     /* create main configuration */
    ngx_http_tbucket_init_main_conf,       /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_tbucket_create_loc_conf,      /* create location configuration */
    ngx_http_tbucket_merge_loc_conf        /* merge location configuration */
};


ngx_module_t  ngx_http_tbucket_module = {
    NGX_MODULE_V1,
    &ngx_http_tbucket_module_ctx,          /* module context */
    ngx_http_tbucket_commands,             /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_tbucket_init_module,          /* init module */
    ngx_http_tbucket_init_process,         /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_tbucket_exit_process,         /* exit process */
    ngx_http_tbucket_exit_master,          /* exit master */
    NGX_GW_MODULE_PADDING
};


/* nginx calls handlers of the access phase for main requests only. */

static ngx_int_t
ngx_http_tbucket_handler(ngx_http_request_t *r)
{
    ngx_http_tbucket_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_tbucket_module);

    if (lcf->limits == NULL) {
        return NGX_DECLINED;
    }

    return ngx_http_tbucket_check(r, lcf);
}


/*
 * In the precontent phase, which comes after that of access: limits that are
 * checked late, and all limits of a subrequest.
 */

static ngx_int_t
ngx_http_tbucket_late_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_tbucket_ctx_t       *ctx;
    ngx_http_tbucket_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_tbucket_module);

    if (r != r->main) {

        if (!lcf->subrequests) {
            return NGX_DECLINED;
        }

        if (lcf->limits != NULL) {
            rc = ngx_http_tbucket_check(r, lcf);

            if (rc != NGX_DECLINED) {
                return rc;
            }
        }
    }

    if (lcf->late == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_tbucket_get_ctx(r);

    if (ctx == NULL) {
        ctx = ngx_http_tbucket_create_ctx(r);

        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ctx->overdue) {
        ngx_http_tbucket_decide_overdue(ctx);
        return ngx_http_tbucket_decided(r, lcf, ctx, NGX_BUSY);
    }

    if (ctx->status != NGX_HTTP_TBUCKET_NOT_LIMITED
        && (ctx->checked || ctx->untaken || ctx->late != lcf->late))
    {
        /* checked already, here or before an internal redirect */

        return NGX_DECLINED;
    }

    rc = ngx_http_tbucket_decide_late(r, lcf->late, lcf->dry_run, ctx);

    if (rc == NGX_AGAIN && ctx->status != NGX_HTTP_TBUCKET_NOT_LIMITED) {
        return NGX_AGAIN;
    }

    ctx->checked = (rc != NGX_AGAIN);

    return ngx_http_tbucket_decided(r, lcf, ctx, rc);
}


static ngx_int_t
ngx_http_tbucket_check(ngx_http_request_t *r,
    ngx_http_tbucket_loc_conf_t *lcf)
{
    ngx_int_t                rc;
    ngx_http_tbucket_ctx_t  *ctx;

    ctx = ngx_http_tbucket_get_ctx(r);

    if (ctx == NULL) {
        ctx = ngx_http_tbucket_create_ctx(r);

        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

    } else if (ctx->overdue) {
        ngx_http_tbucket_decide_overdue(ctx);
        return ngx_http_tbucket_decided(r, lcf, ctx, NGX_BUSY);

    } else if (ctx->status != NGX_HTTP_TBUCKET_NOT_LIMITED) {

        /* an internal redirect of a request that was checked already */

        return NGX_DECLINED;
    }

    if (lcf->only != NULL && lcf->only->plain) {
        rc = ngx_http_tbucket_decide_plain(r, lcf, ctx);

    } else {
        rc = ngx_http_tbucket_decide_fast(r, lcf->limits, ctx);

        if (rc == NGX_DECLINED) {
            rc = ngx_http_tbucket_decide(r, lcf->limits, lcf->dry_run, ctx);
        }
    }

    if (rc != NGX_OK || ctx->hold) {
        return ngx_http_tbucket_decided(r, lcf, ctx, rc);
    }

    ctx->status = NGX_HTTP_TBUCKET_PASSED;
    ctx->late = lcf->late;
    ctx->headers = lcf->headers;
    ctx->due = (lcf->headers != NGX_HTTP_TBUCKET_HEADERS_OFF);

    return NGX_DECLINED;
}


/*
 * Under "satisfy any" nginx takes NGX_OK for a grant, and 401 or 403 for
 * something that others may overrule.  So an admission declines, and a
 * refusal ends the request here.
 */

static ngx_int_t
ngx_http_tbucket_decided(ngx_http_request_t *r,
    ngx_http_tbucket_loc_conf_t *lcf, ngx_http_tbucket_ctx_t *ctx,
    ngx_int_t rc)
{
    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    if (rc == NGX_AGAIN) {
        return ctx->charge.zone->source->wait(r, ctx);
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_OK) {

        /* what another limit would have refused stays so */

        if (ctx->status == NGX_HTTP_TBUCKET_NOT_LIMITED) {
            ctx->status = NGX_HTTP_TBUCKET_PASSED;
        }

    } else {
        ctx->status = rc == NGX_ABORT ? NGX_HTTP_TBUCKET_REJECTED_DRY_RUN
                                      : NGX_HTTP_TBUCKET_REJECTED;

        ngx_http_tbucket_log_refusal(r, ctx, lcf->log_level);
    }

    ctx->late = lcf->late;
    ctx->headers = lcf->headers;
    ctx->due = (lcf->headers != NGX_HTTP_TBUCKET_HEADERS_OFF);

    if (ctx->status != NGX_HTTP_TBUCKET_REJECTED) {
        return ctx->hold ? ngx_http_tbucket_hold(r, ctx) : NGX_DECLINED;
    }

    ctx->due = 1;

    ngx_http_tbucket_refuse(r, ctx, lcf->status, lcf->body);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_tbucket_preconfiguration(ngx_conf_t *cf)
{
    return ngx_http_tbucket_add_variables(cf);
}


static ngx_int_t
ngx_http_tbucket_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_tbucket_main_conf_t  *mcf;

    if (ngx_gw_cycle_check(cf, "tbucket") != NGX_OK) {
        return NGX_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tbucket_module);

    if (mcf->limits.nelts == 0) {
        return NGX_OK;
    }

    if (ngx_http_tbucket_push_handler(cf, NGX_HTTP_ACCESS_PHASE,
                                      ngx_http_tbucket_handler)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if ((mcf->has_late || mcf->has_subrequests)
        && ngx_http_tbucket_push_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                         ngx_http_tbucket_late_handler)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (mcf->has_settle
        && ngx_http_tbucket_push_handler(cf, NGX_HTTP_LOG_PHASE,
                                         ngx_http_tbucket_settle)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_tbucket_init_header_filter();

    return NGX_OK;
}


/*
 * Handlers of the log phase run in the order that they are in, and what has
 * been charged is to be known to the access log, so ours comes first there.
 */

static ngx_int_t
ngx_http_tbucket_push_handler(ngx_conf_t *cf, ngx_uint_t phase,
    ngx_http_handler_pt handler)
{
    ngx_array_t                *handlers;
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    handlers = &cmcf->phases[phase].handlers;

    h = ngx_array_push(handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    if (phase == NGX_HTTP_LOG_PHASE) {
        h = handlers->elts;
        ngx_memmove(h + 1, h,
                    (handlers->nelts - 1) * sizeof(ngx_http_handler_pt));
    }

    *h = handler;

    return NGX_OK;
}


static void *
ngx_http_tbucket_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_tbucket_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_tbucket_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mcf->zones, cf->pool, 4,
                       sizeof(ngx_http_tbucket_zone_t *))
        != NGX_OK
        || ngx_array_init(&mcf->limits, cf->pool, 8,
                          sizeof(ngx_http_tbucket_limit_t *))
           != NGX_OK
        || ngx_array_init(&mcf->apis, cf->pool, 2,
                          sizeof(ngx_http_tbucket_api_t *))
           != NGX_OK)
    {
        return NULL;
    }

    mcf->refill = NGX_CONF_UNSET_MSEC;
    mcf->shared = &ngx_http_tbucket_global;

    return mcf;
}


static char *
ngx_http_tbucket_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_tbucket_main_conf_t  *mcf = conf;

    ngx_conf_init_msec_value(mcf->refill, 100);

    if (mcf->store == NULL) {
        mcf->store = ngx_http_tbucket_store_create(cf);
        if (mcf->store == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_http_tbucket_bind_limits(cf, mcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_tbucket_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_tbucket_loc_conf_t  *lcf;

    lcf = ngx_palloc(cf->pool, sizeof(ngx_http_tbucket_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    lcf->limits = NULL;
    lcf->only = NULL;
    lcf->late = NULL;
    lcf->off = NGX_CONF_UNSET;
    lcf->subrequests = NGX_CONF_UNSET;
    lcf->usage = NGX_CONF_UNSET;
    lcf->status = NGX_CONF_UNSET_UINT;
    lcf->headers = NGX_CONF_UNSET_UINT;
    lcf->body = NGX_CONF_UNSET_UINT;
    lcf->log_level = NGX_CONF_UNSET_UINT;
    lcf->dry_run = NGX_CONF_UNSET;
    lcf->ipv6_prefix = NGX_CONF_UNSET;
    lcf->api = NULL;

    ngx_memzero(&lcf->location, sizeof(ngx_gw_location_t));

    return lcf;
}


static char *
ngx_http_tbucket_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_tbucket_loc_conf_t  *prev = parent;
    ngx_http_tbucket_loc_conf_t  *conf = child;

    ngx_http_tbucket_limit_t  **limit;

    if (conf->off == NGX_CONF_UNSET) {
        conf->limits = prev->limits;
        conf->late = prev->late;
    }

    if (conf->limits != NULL && conf->limits->nelts == 1) {
        limit = conf->limits->elts;
        conf->only = limit[0];
    }

    ngx_conf_merge_value(conf->subrequests, prev->subrequests, 0);
    ngx_conf_merge_value(conf->usage, prev->usage, 0);
    ngx_conf_merge_uint_value(conf->status, prev->status,
                              NGX_HTTP_TOO_MANY_REQUESTS);
    ngx_conf_merge_uint_value(conf->headers, prev->headers,
                              NGX_HTTP_TBUCKET_HEADERS_IETF);
    ngx_conf_merge_uint_value(conf->body, prev->body,
                              NGX_HTTP_TBUCKET_BODY_JSON);
    ngx_conf_merge_uint_value(conf->log_level, prev->log_level,
                              NGX_LOG_WARN);
    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 0);
    ngx_conf_merge_value(conf->ipv6_prefix, prev->ipv6_prefix, 64);

    /* of use where the handler is inherited, in "if" and "limit_except" */

    if (conf->api == NULL) {
        conf->api = prev->api;
    }

    return ngx_gw_location_merge(cf, &prev->location, &conf->location);
}


static ngx_int_t
ngx_http_tbucket_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                      i;
    ngx_core_conf_t                *ccf;
    ngx_http_tbucket_zone_t       **zones;
    ngx_http_tbucket_limit_t      **limits;
    ngx_http_tbucket_main_conf_t   *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_tbucket_module);

    if (mcf == NULL || ngx_test_config) {
        return NGX_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    zones = mcf->zones.elts;

    for (i = 0; i < mcf->zones.nelts; i++) {

        zones[i]->coarse_time = (ccf->timer_resolution != 0);

        if (ngx_http_tbucket_key_finish(cycle, &zones[i]->key) != NGX_OK
            || (zones[i]->has_fallback
                && ngx_http_tbucket_key_finish(cycle, &zones[i]->fallback)
                   != NGX_OK))
        {
            return NGX_ERROR;
        }
    }

    limits = mcf->limits.elts;

    for (i = 0; i < mcf->limits.nelts; i++) {
        limits[i]->constant &= !limits[i]->zone->coarse_time;
        limits[i]->plain &= limits[i]->constant;
    }

    for (i = 0; i < mcf->zones.nelts; i++) {
        ngx_http_tbucket_inherit_zone(cycle, zones[i]);
    }

    return ngx_http_tbucket_store_load(cycle, mcf);
}


static ngx_int_t
ngx_http_tbucket_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                      i;
    ngx_http_tbucket_zone_t       **zones;
    ngx_http_tbucket_main_conf_t   *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_tbucket_module);

    if (mcf == NULL || !ngx_gw_is_worker()) {
        return NGX_OK;
    }

    zones = mcf->zones.elts;

    for (i = 0; i < mcf->zones.nelts; i++) {
        zones[i]->counters = zones[i]->shared->counters
                             + ngx_worker % NGX_HTTP_TBUCKET_COUNTERS;
    }

    if (ngx_http_tbucket_inflight_join(cycle, mcf) != NGX_OK
        || ngx_http_tbucket_start_ticker(cycle, mcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_tbucket_store_start(cycle, mcf);
}


static void
ngx_http_tbucket_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_tbucket_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_tbucket_module);

    if (mcf && ngx_gw_is_worker()) {
        ngx_http_tbucket_store_stop(cycle, mcf);
        ngx_http_tbucket_stop_ticker(mcf);
        ngx_http_tbucket_inflight_hand_over(mcf);
        ngx_http_tbucket_inflight_leave(mcf);
    }
}


static void
ngx_http_tbucket_exit_master(ngx_cycle_t *cycle)
{
    ngx_http_tbucket_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_tbucket_module);

    if (mcf) {
        ngx_http_tbucket_store_finish(cycle, mcf);
    }
}
