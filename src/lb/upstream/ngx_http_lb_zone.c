
/*
 * The shared memory of an upstream: its size, its start, what becomes of it
 * at a reload, and the tick by which each worker looks after it.
 *
 * A reload must not change a live zone before it has succeeded, and the
 * master must not wait for a mutex whose holder it alone could declare dead.
 * So the lines of a new configuration are applied by the first of the new
 * workers that gets to it.
 */


#include "src/lb/upstream/ngx_http_lb_edit.h"


#define NGX_HTTP_LB_TICK      1000

#define NGX_HTTP_LB_SERVERS   64      /* least number of slots by default */

/* what the slab allocator needs for itself: 24 bytes a page, and its head */
#define ngx_http_lb_overhead(size)                                           \
    ((size) / 128 + 8 * ngx_pagesize)


static void ngx_http_lb_zone_size(ngx_http_lb_srv_conf_t *lcf, size_t *size);
static ngx_int_t ngx_http_lb_zone_init(ngx_shm_zone_t *shm_zone, void *data);
static ngx_int_t ngx_http_lb_zone_create(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_srv_conf_t *old);
static ngx_http_lb_srv_conf_t *ngx_http_lb_zone_old(ngx_str_t *name);
static ngx_shm_zone_t *ngx_http_lb_zone_find(ngx_str_t *name);
static ngx_int_t ngx_http_lb_zone_join(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_zone_apply(ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_zone_settle(ngx_http_lb_srv_conf_t *lcf);
static ngx_uint_t ngx_http_lb_row_dead(lb_row_t *row);
static void ngx_http_lb_tick(ngx_event_t *ev);
static void ngx_http_lb_look_after(ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_leave(ngx_http_lb_srv_conf_t *lcf);


/* of the process, not of a configuration that may be freed under it */

static ngx_event_t       ngx_http_lb_tick_event;
static ngx_connection_t  ngx_http_lb_tick_dummy;


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

        lcfp[i]->config = atomic_fetch_add(&roster->config_next, 1) + 1;

        if (old != roster) {
            atomic_store(&roster->config, lcfp[i]->config);
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_lb_zone_init_process(ngx_cycle_t *cycle,
    ngx_http_lb_main_conf_t *lmcf)
{
    ngx_uint_t                i;
    ngx_event_t              *ev;
    ngx_http_lb_srv_conf_t  **lcfp;

    lcfp = lmcf->upstreams.elts;

    /* of the helpers, too: the owner of a state file ends with its master */

    for (i = 0; i < lmcf->upstreams.nelts; i++) {
        ngx_http_lb_state_disown(lcfp[i]);
    }

    if (!ngx_gw_is_worker() || lmcf->upstreams.nelts == 0) {
        return NGX_OK;
    }

    ngx_http_lb_build_init_process(cycle);

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (ngx_http_lb_zone_join(cycle, lcfp[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_lb_state_init_process(lcfp[i]);
    }

    ev = &ngx_http_lb_tick_event;

    ngx_http_lb_tick_dummy.fd = (ngx_socket_t) -1;

    ev->handler = ngx_http_lb_tick;
    ev->data = &ngx_http_lb_tick_dummy;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_HTTP_LB_TICK);

    return NGX_OK;
}


/* requests that end with the process would be missing from the counts */

void
ngx_http_lb_zone_exit_process(ngx_http_lb_main_conf_t *lmcf)
{
    ngx_uint_t                i;
    ngx_http_lb_srv_conf_t  **lcfp;

    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (lcfp[i]->row == NULL) {
            continue;
        }

        ngx_http_lb_leave(lcfp[i]);
        ngx_gw_leader_resign((ngx_gw_leader_t *) &lcfp[i]->roster->editor);

#if (NGX_HTTP_SSL)
        ngx_http_lb_session_free(lcfp[i]);
#endif
    }
}


ngx_int_t
ngx_http_lb_eject(ngx_http_lb_srv_conf_t *lcf, uint32_t index)
{
    ngx_uint_t  ejected;

    if (!ngx_shmtx_trylock(&lcf->shpool->mutex)) {
        return NGX_DECLINED;
    }

    ejected = lb_outlier_eject(lcf->roster, &lcf->outlier, index,
                               ngx_current_msec);

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    if (!ejected) {
        return NGX_DECLINED;
    }

    ngx_http_lb_publish(lcf);

    /* the end of an ejection may come before the next tick */

    if (lcf->outlier.ejection < NGX_HTTP_LB_TICK) {
        ngx_add_timer(&ngx_http_lb_tick_event, lcf->outlier.ejection);
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

    while (capacity < 2 * lcf->nservers) {
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


static ngx_shm_zone_t *
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
 * Makes this process one that sends requests to the upstream: applies the
 * configuration if nobody has, and claims a row.
 */

static ngx_int_t
ngx_http_lb_zone_join(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf)
{
    lb_row_t   *row;
    lb_load_t   load;

    load = lb_roster_load(lcf->roster);

    ngx_shmtx_lock(&lcf->shpool->mutex);

    ngx_http_lb_zone_settle(lcf);
    ngx_http_lb_zone_apply(lcf);

    row = lb_load_claim(&load, ngx_pid, ngx_process_slot);

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    ngx_http_lb_publish(lcf);

    if (row == NULL) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "lb: upstream \"%V\" is used by more than %uD processes",
                      &lcf->upstream->host, lcf->nrows);
        return NGX_ERROR;
    }

    lcf->row = row;
    lcf->random = (uint64_t) ngx_random() << 32 ^ (uint64_t) ngx_random()
                  ^ (uint64_t) ngx_pid << 16;

#if (NGX_HTTP_SSL)
    if (ngx_http_lb_session_init(cycle, lcf) != NGX_OK) {
        return NGX_ERROR;
    }
#endif

    return ngx_http_lb_keepalive_init(cycle, lcf);
}


/* if the mutex is not free, another worker finds that this one is dead */

static void
ngx_http_lb_leave(ngx_http_lb_srv_conf_t *lcf)
{
    lb_load_t  load;

    load = lb_roster_load(lcf->roster);

    if (ngx_shmtx_trylock(&lcf->shpool->mutex)) {
        (void) lb_load_settle(&load, lcf->row);
        ngx_shmtx_unlock(&lcf->shpool->mutex);
    }

    lcf->row = NULL;
}


/*
 * A worker that dies half way leaves the number of the configuration as it
 * was, and the next one does it again.
 */

static void
ngx_http_lb_zone_apply(ngx_http_lb_srv_conf_t *lcf)
{
    lb_roster_t  *roster;

    roster = lcf->roster;

    if (atomic_load(&roster->config) >= lcf->config) {
        return;
    }

    ngx_http_lb_state_apply(lcf);

    if (lcf->check == NULL) {
        lb_health_forget(roster);
    }

    lb_roster_rule(roster, &lcf->rules);
    lb_passive_schedule(roster);

    atomic_store(&roster->config, lcf->config);
}


/* gives back what dead processes held; the mutex is held */

static void
ngx_http_lb_zone_settle(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t   i, used;
    lb_load_t  load;

    load = lb_roster_load(lcf->roster);
    used = atomic_load(load.used);

    for (i = 0; i < used; i++) {

        if (ngx_http_lb_row_dead(&load.rows[i])) {
            (void) lb_load_settle(&load, &load.rows[i]);
        }
    }
}


/*
 * A process id may have been used again, but whoever has our process slot
 * has it after that process.
 */

static ngx_uint_t
ngx_http_lb_row_dead(lb_row_t *row)
{
    uint32_t  owner;

    owner = atomic_load(&row->owner);

    if (owner == 0 || owner == (uint32_t) ngx_pid) {
        return 0;
    }

    return atomic_load(&row->slot) == (uint32_t) ngx_process_slot
           || (kill((ngx_pid_t) owner, 0) == -1 && ngx_errno == NGX_ESRCH);
}


static void
ngx_http_lb_tick(ngx_event_t *ev)
{
    ngx_msec_t                next;
    ngx_uint_t                i;
    ngx_http_lb_main_conf_t  *lmcf;
    ngx_http_lb_srv_conf_t  **lcfp;

    lmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_lb_upstream_module);
    if (lmcf == NULL) {
        return;
    }

    lcfp = lmcf->upstreams.elts;
    next = NGX_HTTP_LB_TICK;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {
        next = ngx_http_lb_return(lcfp[i], next);

        ngx_http_lb_look_after(lcfp[i]);

        if (lcfp[i]->keepalive.stacks) {
            ngx_http_lb_keepalive_sweep(lcfp[i]);
        }

        ngx_http_lb_log_panic(lcfp[i]);
    }

    if (!ngx_gw_is_leaving()) {
        ngx_add_timer(ev, next);
    }
}


static void
ngx_http_lb_look_after(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t      i, used;
    lb_load_t     load;
    ngx_uint_t    dead;
    lb_roster_t  *roster;

    roster = lcf->roster;
    load = lb_roster_load(roster);
    dead = 0;

    lb_passive_schedule(roster);

    used = atomic_load(load.used);

    for (i = 0; i < used && !dead; i++) {
        dead = ngx_http_lb_row_dead(&load.rows[i]);
    }

    if ((dead || lb_roster_count(roster).leaving != 0)
        && ngx_shmtx_trylock(&lcf->shpool->mutex))
    {
        if (dead) {
            ngx_http_lb_zone_settle(lcf);
        }

        lb_roster_sweep(roster, ngx_http_lb_log_gone, lcf);

        ngx_shmtx_unlock(&lcf->shpool->mutex);
    }

    ngx_http_lb_publish(lcf);
}
