
/*
 * The directive lb_queue, and which upstreams have a queue in front of them.
 */


#include "src/lb/request/ngx_http_lb_queue_conf.h"

#include "src/common/ngx_gw_param.h"
#include "src/core/balance/lb_gate.h"


#define NGX_HTTP_LB_QUEUE_TIMEOUT_MAX  86400000     /* ms */


static ngx_int_t ngx_http_lb_queue_name(ngx_conf_t *cf, ngx_array_t *queues,
    ngx_http_lb_queue_t *queue);
static ngx_int_t ngx_http_lb_queue_priority(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_lb_queue_named(ngx_conf_t *cf,
    ngx_http_lb_main_conf_t *lmcf, ngx_http_lb_queue_t *queue);
static void ngx_http_lb_queue_idle(ngx_conf_t *cf,
    ngx_http_lb_queue_t *queue);
static ngx_uint_t ngx_http_lb_queue_is(ngx_http_lb_srv_conf_t *lcf,
    ngx_str_t *name);


char *
ngx_http_lb_queue(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_loc_conf_t  *llcf = conf;

    ngx_str_t                 *value;
    ngx_http_lb_queue_t       *queue, **queuep;
    ngx_http_lb_main_conf_t   *lmcf;

    static const ngx_conf_enum_t  limits[] = {
        { ngx_string("auto"), 1 },
        { ngx_null_string, 0 }
    };

    static const ngx_gw_param_t  params[] = {

        { .name = ngx_string("size="), .kind = NGX_GW_PARAM_NUMBER,
          ngx_gw_param_field(ngx_http_lb_queue_t, size),
          .min = 1, .max = LB_GATE_MAX, .required = 1 },

        { .name = ngx_string("timeout="), .kind = NGX_GW_PARAM_TIME,
          ngx_gw_param_field(ngx_http_lb_queue_t, timeout),
          .min = 1, .max = NGX_HTTP_LB_QUEUE_TIMEOUT_MAX, .required = 1 },

        { .name = ngx_string("priority="), .kind = NGX_GW_PARAM_OWN,
          ngx_gw_param_field(ngx_http_lb_queue_t, priority),
          .set = ngx_http_lb_queue_priority,
          .allowed = "from 0 to 9, or a value with variables" },

        { .name = ngx_string("limit="), .kind = NGX_GW_PARAM_WORD,
          ngx_gw_param_field(ngx_http_lb_queue_t, automatic),
          .words = limits },

        { .name = ngx_null_string }
    };

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {

        if (llcf->queues || llcf->queue_off) {
            return "is duplicate";
        }

        llcf->queue_off = 1;
        return NGX_CONF_OK;
    }

    if (llcf->queue_off) {
        return "is duplicate";
    }

    queue = ngx_pcalloc(cf->pool, sizeof(ngx_http_lb_queue_t));
    if (queue == NULL) {
        return NGX_CONF_ERROR;
    }

    queue->file = cf->conf_file->file.name.data;
    queue->line = cf->conf_file->line;

    if (llcf->queues == NULL) {
        llcf->queues = ngx_array_create(cf->pool, 1,
                                        sizeof(ngx_http_lb_queue_t *));
        if (llcf->queues == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_http_lb_queue_name(cf, llcf->queues, queue) != NGX_OK
        || ngx_gw_params(cf, 2, params, queue, NULL) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    queuep = ngx_array_push(llcf->queues);
    if (queuep == NULL) {
        return NGX_CONF_ERROR;
    }

    *queuep = queue;

    lmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_lb_upstream_module);

    queuep = ngx_array_push(&lmcf->queues);
    if (queuep == NULL) {
        return NGX_CONF_ERROR;
    }

    *queuep = queue;

    return NGX_CONF_OK;
}


/* one place may have queues of several upstreams, each of which once */

static ngx_int_t
ngx_http_lb_queue_name(ngx_conf_t *cf, ngx_array_t *queues,
    ngx_http_lb_queue_t *queue)
{
    ngx_str_t             *value;
    ngx_uint_t             i;
    ngx_http_lb_queue_t  **others;

    value = cf->args->elts;

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must name an upstream", &value[0]);
        return NGX_ERROR;
    }

    others = queues->elts;

    for (i = 0; i < queues->nelts; i++) {

        if (others[i]->name.value.len == value[1].len
            && ngx_strncasecmp(others[i]->name.value.data, value[1].data,
                               value[1].len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" directive is duplicate for upstream "
                               "\"%V\"", &value[0], &value[1]);
            return NGX_ERROR;
        }
    }

    return ngx_gw_param_value(cf, &value[1], &queue->name);
}


static ngx_int_t
ngx_http_lb_queue_priority(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_lb_queue_t *queue = conf;

    if (ngx_http_script_variables_count(value) == 0
        && (value->len != 1 || value->data[0] < '0' || value->data[0] > '9'))
    {
        return NGX_DECLINED;
    }

    queue->priority = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (queue->priority == NULL) {
        return NGX_ERROR;
    }

    return ngx_gw_param_value(cf, value, queue->priority);
}


ngx_int_t
ngx_http_lb_queue_init(ngx_conf_t *cf, ngx_http_lb_main_conf_t *lmcf)
{
    ngx_uint_t                i, k;
    ngx_http_lb_queue_t      *queue, **queuep;
    ngx_http_lb_srv_conf_t  **lcfp;

    lcfp = lmcf->upstreams.elts;
    queuep = lmcf->queues.elts;

    for (i = 0; i < lmcf->queues.nelts; i++) {
        queue = queuep[i];

        if (queue->name.lengths == NULL
            && ngx_http_lb_queue_named(cf, lmcf, queue) != NGX_OK)
        {
            return NGX_ERROR;
        }

        for (k = 0; k < lmcf->upstreams.nelts; k++) {

            if (queue->conf == NULL || queue->conf == lcfp[k]) {
                lcfp[k]->queued = 1;
                lcfp[k]->automatic |= (queue->automatic != 0);
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_queue_named(ngx_conf_t *cf, ngx_http_lb_main_conf_t *lmcf,
    ngx_http_lb_queue_t *queue)
{
    ngx_str_t                *name;
    ngx_uint_t                i;
    ngx_http_lb_srv_conf_t  **lcfp;

    name = &queue->name.value;
    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (ngx_http_lb_queue_is(lcfp[i], name)) {
            queue->conf = lcfp[i];
            ngx_http_lb_queue_idle(cf, queue);
            return NGX_OK;
        }
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"lb_queue\" needs an upstream with \"lb\", \"%V\" is none "
                  "in %s:%ui", name, queue->file, queue->line);

    return NGX_ERROR;
}


/* servers may come to have max_conns at runtime */

static void
ngx_http_lb_queue_idle(ngx_conf_t *cf, ngx_http_lb_queue_t *queue)
{
    uint32_t                 i;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = queue->conf;

    if (queue->automatic || lcf->state) {
        return;
    }

    for (i = 0; i < lcf->nlines; i++) {

        if (lcf->lines[i].max_conns != 0) {
            return;
        }
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "\"lb_queue\" has no effect as long as no server of "
                  "upstream \"%V\" has \"max_conns\", without \"limit=auto\" "
                  "in %s:%ui", &queue->name.value, queue->file, queue->line);
}


static ngx_uint_t
ngx_http_lb_queue_is(ngx_http_lb_srv_conf_t *lcf, ngx_str_t *name)
{
    ngx_str_t  *host;

    host = &lcf->upstream->host;

    return host->len == name->len
           && ngx_strncasecmp(host->data, name->data, name->len) == 0;
}


ngx_int_t
ngx_http_lb_queue_find(ngx_http_request_t *r, ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_queue_t **queue)
{
    ngx_str_t                 name;
    ngx_uint_t                i;
    ngx_http_lb_queue_t     **queues;
    ngx_http_lb_loc_conf_t   *llcf;

    *queue = NULL;

    llcf = ngx_http_get_module_loc_conf(r, ngx_http_lb_upstream_module);

    if (!lcf->queued || llcf->queues == NULL) {
        return NGX_OK;
    }

    queues = llcf->queues->elts;

    for (i = 0; i < llcf->queues->nelts; i++) {

        if (queues[i]->conf == NULL) {

            if (ngx_http_complex_value(r, &queues[i]->name, &name)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            if (!ngx_http_lb_queue_is(lcf, &name)) {
                continue;
            }

        } else if (queues[i]->conf != lcf) {
            continue;
        }

        *queue = queues[i];
        return NGX_OK;
    }

    return NGX_OK;
}
