
/*
 * The shared memory of an upstream: its size, its start, what becomes of it
 * at a reload.
 *
 * A reload must not change a live zone before it has succeeded, and the
 * master must not wait for a mutex whose holder it alone could declare dead.
 * So the lines of a new configuration are applied by the first of the new
 * workers that gets to it.
 */


#include "src/lb/upstream/ngx_http_lb_zone.h"

#include "src/core/balance/lb_health.h"
#include "src/core/balance/lb_passive.h"
#include "src/lb/upstream/ngx_http_lb_build.h"
#include "src/lb/upstream/ngx_http_lb_resize.h"
#include "src/lb/upstream/ngx_http_lb_state.h"
#include "src/lb/upstream/ngx_http_lb_state_lines.h"


#define NGX_HTTP_LB_SERVERS   64      /* least number of slots by default */
#define NGX_HTTP_LB_NAMED     2       /* slots that a name comes to */

/* what the slab allocator needs for itself: 24 bytes a page, and its head */
#define ngx_http_lb_overhead(size)                                           \
    ((size) / 128 + 8 * ngx_pagesize)


static void ngx_http_lb_zone_size(ngx_http_lb_srv_conf_t *lcf, size_t *size);
static ngx_int_t ngx_http_lb_zone_init(ngx_shm_zone_t *shm_zone, void *data);
static ngx_int_t ngx_http_lb_zone_create(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_srv_conf_t *old);
static ngx_http_lb_srv_conf_t *ngx_http_lb_zone_old(ngx_str_t *name);


char *
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


ngx_int_t
ngx_http_lb_zone_add(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    size_t               size;
    uint64_t             rows;
    uint32_t             order_max;
    ngx_str_t            name;
    lb_roster_t         *old;
    ngx_shm_zone_t      *zone;

    name.len = sizeof("lb:") - 1 + lcf->upstream->host.len;
    name.data = ngx_pnalloc(cf->pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(name.data, "lb:%V", &lcf->upstream->host);

    zone = ngx_http_lb_zone_find(&name);
    old = zone ? ((ngx_http_lb_srv_conf_t *) zone->data)->roster : NULL;

    if (ngx_http_lb_resize_plan(cf, lcf, old) != NGX_OK) {
        return NGX_ERROR;
    }

    /* slots of removed servers may stay busy for long */

    if (old && lcf->zone_size == NGX_CONF_UNSET) {
        lcf->nservers = ngx_min(lcf->nservers + lb_roster_count(old).leaving,
                                LB_SERVERS_MAX);
    }

    /* one for each process that the master may have, so that all are counted */

    lcf->nrows = NGX_MAX_PROCESSES;

    ngx_http_lb_zone_size(lcf, &size);

    if (lcf->zone_size != NGX_CONF_UNSET) {

        lcf->capacity = lb_roster_fit(lcf->zone_size
                                      - ngx_http_lb_overhead(lcf->zone_size),
                                      0, &order_max);
        if (lcf->capacity < lcf->nservers) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"lb_zone\" of %uzk in upstream \"%V\" has room "
                          "for %uD servers, not for %uD; %uzk is enough "
                          "in %s:%ui",
                          lcf->zone_size / 1024, &lcf->upstream->host,
                          lcf->capacity, lcf->nservers, size / 1024,
                          lcf->file, lcf->line);
            return NGX_ERROR;
        }

        /* what counts the processes' requests comes on top of the size */

        lcf->order_max = order_max;

        rows = lb_roster_size(lcf->capacity, lcf->nrows, order_max)
               - lb_roster_size(lcf->capacity, 0, order_max);
        size = lcf->zone_size
               + ngx_align(rows + rows / 128 + ngx_pagesize, ngx_pagesize);

    } else if (old && old->capacity >= lcf->nservers
               && old->nrows >= lcf->nrows)
    {
        /* servers added at runtime are no reason for a new zone */

        size = zone->shm.size;
    }

    lcf->shm_zone = ngx_shared_memory_add(cf, &name, size,
                                          &ngx_http_lb_upstream_module);
    if (lcf->shm_zone == NULL) {
        return NGX_ERROR;
    }

    lcf->shm_zone->init = ngx_http_lb_zone_init;
    lcf->shm_zone->data = lcf;

    return NGX_OK;
}


ngx_int_t
ngx_http_lb_zone_init_module(ngx_cycle_t *cycle,
    ngx_http_lb_main_conf_t *lmcf)
{
    ngx_uint_t                i;
    lb_roster_t              *old, *roster;
    ngx_http_lb_srv_conf_t   *conf;
    ngx_http_lb_srv_conf_t  **lcfp;

    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {
        roster = lcfp[i]->roster;
        conf = ngx_http_lb_zone_old(&lcfp[i]->shm_zone->shm.name);
        old = conf ? conf->roster : NULL;

        if (old && old != roster) {
            ngx_http_lb_resize_end(lcfp[i], old);

            if (lcfp[i]->check == NULL) {
                lb_health_forget(roster);
            }

            lb_passive_schedule(roster);

            if (ngx_http_lb_build_whole(lcfp[i], cycle->log) != NGX_OK) {
                return NGX_ERROR;
            }

            ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                          "lb: zone of upstream \"%V\" has a new size; "
                          "health of its servers was kept",
                          &lcfp[i]->upstream->host);
        }

        if (ngx_http_lb_state_init_module(cycle, lcfp[i], old == NULL)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        lcfp[i]->config = atomic_fetch_add_explicit(&roster->config_next, 1,
                                                    memory_order_acq_rel) + 1;

        if (old != roster) {
            gw_store_release(&roster->config, lcfp[i]->config);
        }
    }

    return NGX_OK;
}


/* room for as many servers again, so that a reload seldom needs a new zone */

static void
ngx_http_lb_zone_size(ngx_http_lb_srv_conf_t *lcf, size_t *size)
{
    uint64_t          block;
    uint32_t          capacity;

    capacity = NGX_HTTP_LB_SERVERS;

    while (capacity < 2 * (lcf->nservers + NGX_HTTP_LB_NAMED * lcf->nnames)) {
        capacity *= 2;
    }

    lcf->capacity = ngx_min(capacity, LB_SERVERS_MAX);
    lcf->order_max = LB_ORDER_MAX;

    block = lb_roster_size(lcf->capacity, lcf->nrows, lcf->order_max);

    *size = ngx_align(block + ngx_http_lb_overhead(block), ngx_pagesize);
}


static ngx_int_t
ngx_http_lb_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_lb_srv_conf_t  *lcf, *old;

    lcf = shm_zone->data;

    lcf->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data == NULL && !shm_zone->shm.exists) {
        old = ngx_http_lb_zone_old(&shm_zone->shm.name);

        if (old && ngx_http_lb_resize_begin(lcf, old) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_http_lb_zone_create(lcf, old);
    }

    lcf->roster = lcf->shpool->data;

    /* the number of rows may have been another when the zone was made */

    lcf->nrows = lcf->roster->nrows;
    lcf->capacity = lcf->roster->capacity;
    lcf->order_max = lcf->roster->order_max;

    if (lcf->capacity < lcf->nservers) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" has room for %uD servers, not for %uD",
                      &shm_zone->shm.name, lcf->capacity, lcf->nservers);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* nobody else has the zone yet; old: what it is to be a copy of, or NULL */

static ngx_int_t
ngx_http_lb_zone_create(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_srv_conf_t *old)
{
    void       *block;
    size_t      len;
    ngx_str_t  *name;

    name = &lcf->shm_zone->shm.name;
    len = sizeof(" in zone \"\"") + name->len;

    lcf->shpool->log_ctx = ngx_slab_alloc(lcf->shpool, len);
    if (lcf->shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(lcf->shpool->log_ctx, " in zone \"%V\"%Z", name);

    block = ngx_slab_alloc(lcf->shpool,
                           lb_roster_size(lcf->capacity, lcf->nrows,
                                          lcf->order_max));
    if (block == NULL) {
        return NGX_ERROR;
    }

    lcf->roster = lb_roster_init(block, lcf->capacity, lcf->nrows,
                                 lcf->order_max);

    if (old == NULL) {
        lb_roster_rule(lcf->roster, &lcf->rules);

        if (ngx_http_lb_state_seed(lcf) != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, lcf->shm_zone->shm.log, 0,
                          "zone \"%V\" has no room for all servers", name);
            return NGX_ERROR;
        }

        /* a test of the configuration has no requests */

        if (!ngx_test_config
            && ngx_http_lb_build_whole(lcf, lcf->shm_zone->shm.log) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    lcf->shpool->data = lcf->roster;

    return NGX_OK;
}


/* what the running configuration has for the upstream, or NULL */

static ngx_http_lb_srv_conf_t *
ngx_http_lb_zone_old(ngx_str_t *name)
{
    ngx_shm_zone_t  *zone;

    zone = ngx_http_lb_zone_find(name);

    return zone ? zone->data : NULL;
}


ngx_shm_zone_t *
ngx_http_lb_zone_find(ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *zone;
    ngx_list_part_t  *part;

    for (part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;
         part;
         part = part->next)
    {
        zone = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (zone[i].tag == &ngx_http_lb_upstream_module
                && zone[i].shm.name.len == name->len
                && ngx_memcmp(zone[i].shm.name.data, name->data, name->len)
                   == 0)
            {
                return &zone[i];
            }
        }
    }

    return NULL;
}


/*
 * A worker that dies half way leaves the number of the configuration as it
 * was, and the next one does it again.
 */

void
ngx_http_lb_zone_apply(ngx_http_lb_srv_conf_t *lcf)
{
    lb_roster_t  *roster;

    roster = lcf->roster;

    if (gw_load_acquire(&roster->config) >= lcf->config) {
        return;
    }

    ngx_http_lb_state_apply(lcf);

    if (lcf->check == NULL) {
        lb_health_forget(roster);
    }

    lb_roster_rule(roster, &lcf->rules);
    lb_passive_schedule(roster);

    gw_store_release(&roster->config, lcf->config);
}
