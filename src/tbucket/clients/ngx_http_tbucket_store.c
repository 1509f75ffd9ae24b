
/*
 * The life of a store in nginx's processes, whichever it is.
 */


#include "src/tbucket/clients/ngx_http_tbucket_store.h"


static const ngx_http_tbucket_store_ops_t  ngx_http_tbucket_store_memory = {
    "memory", 0, NULL, NULL, NULL, NULL, NULL, NULL
};


ngx_http_tbucket_store_t *
ngx_http_tbucket_store_create(ngx_conf_t *cf)
{
    ngx_http_tbucket_store_t  *store;

    store = ngx_pcalloc(cf->pool, sizeof(ngx_http_tbucket_store_t));
    if (store == NULL) {
        return NULL;
    }

    store->ops = &ngx_http_tbucket_store_memory;
    store->mcf = ngx_http_conf_get_module_main_conf(cf,
                                                    ngx_http_tbucket_module);
    store->interval = NGX_CONF_UNSET_MSEC;
    store->timeout = NGX_CONF_UNSET_MSEC;
    store->shards = 1;

    if (ngx_array_init(&store->params, cf->pool, 1, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NULL;
    }

    return store;
}


ngx_int_t
ngx_http_tbucket_store_load(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf)
{
    if (mcf->store->ops->load == NULL) {
        return NGX_OK;
    }

    return mcf->store->ops->load(mcf->store, cycle);
}


ngx_int_t
ngx_http_tbucket_store_start(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf)
{
    if (mcf->store->ops->start == NULL) {
        return NGX_OK;
    }

    return mcf->store->ops->start(mcf->store, cycle);
}


void
ngx_http_tbucket_store_stop(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf)
{
    if (mcf->store->ops->stop != NULL) {
        mcf->store->ops->stop(mcf->store, cycle);
    }
}


void
ngx_http_tbucket_store_finish(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf)
{
    if (mcf->store->ops->finish != NULL) {
        mcf->store->ops->finish(mcf->store, cycle);
    }
}


void
ngx_http_tbucket_store_synced(ngx_http_tbucket_zone_t *zone)
{
    atomic_store_explicit(&zone->shared->store.synced, ngx_current_msec,
                          memory_order_relaxed);
}


void
ngx_http_tbucket_store_down(ngx_http_tbucket_zone_t *zone, ngx_uint_t down)
{
    atomic_store_explicit(&zone->shared->store.down, down,
                          memory_order_relaxed);
}


void
ngx_http_tbucket_store_crowded(ngx_http_tbucket_zone_t *zone)
{
    if (atomic_exchange_explicit(&zone->shared->store.crowded, 1,
                                 memory_order_relaxed))
    {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "tbucket_store: zone \"%V\": clients are left out: the zone "
                  "has no room, enlarge it", &zone->name);
}
