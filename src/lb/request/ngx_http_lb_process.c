
/*
 * What each process does for the upstreams: it joins them, looks after them by
 * a tick, and leaves.
 */


#include "src/lb/request/ngx_http_lb_process.h"

#include "src/common/ngx_gw_leader.h"
#include "src/core/balance/lb_passive.h"
#include "src/lb/request/ngx_http_lb_dead.h"
#include "src/lb/request/ngx_http_lb_queue.h"
#include "src/lb/upstream/ngx_http_lb_build.h"
#include "src/lb/upstream/ngx_http_lb_check.h"
#include "src/lb/upstream/ngx_http_lb_edit.h"
#include "src/lb/upstream/ngx_http_lb_idle.h"
#include "src/lb/upstream/ngx_http_lb_log.h"
#include "src/lb/upstream/ngx_http_lb_outlier.h"
#include "src/lb/upstream/ngx_http_lb_state.h"
#include "src/lb/upstream/ngx_http_lb_state_lock.h"
#include "src/lb/upstream/ngx_http_lb_zone.h"


/* ms */
#define NGX_HTTP_LB_TICK  1000


/* of the process, not of a configuration that may be freed under it */

static ngx_event_t       ngx_http_lb_tick_event;
static ngx_connection_t  ngx_http_lb_tick_dummy;


static ngx_int_t ngx_http_lb_process_join(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_process_leave(ngx_http_lb_srv_conf_t *lcf);
static void ngx_http_lb_process_tick(ngx_event_t *ev);
static void ngx_http_lb_process_look(ngx_http_lb_srv_conf_t *lcf);


ngx_int_t
ngx_http_lb_process_init(ngx_cycle_t *cycle,
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
    ngx_http_lb_outlier_init(cycle, lmcf);

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (ngx_http_lb_process_join(cycle, lcfp[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_lb_state_init_process(lcfp[i]);
    }

    ev = &ngx_http_lb_tick_event;

    ngx_http_lb_tick_dummy.fd = (ngx_socket_t) -1;

    ev->handler = ngx_http_lb_process_tick;
    ev->data = &ngx_http_lb_tick_dummy;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_HTTP_LB_TICK);

    return NGX_OK;
}


/* requests that end with the process would be missing from the counts */

void
ngx_http_lb_process_exit(ngx_http_lb_main_conf_t *lmcf)
{
    ngx_uint_t                i;
    ngx_http_lb_srv_conf_t  **lcfp;

    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (lcfp[i]->row == NULL) {
            continue;
        }

        ngx_http_lb_process_leave(lcfp[i]);
        ngx_gw_leader_resign((ngx_gw_leader_t *) &lcfp[i]->roster->editor);
    }
}


/*
 * Makes this process one that sends requests to the upstream: applies the
 * configuration if nobody has, and claims a row.
 */

static ngx_int_t
ngx_http_lb_process_join(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf)
{
    lb_row_t   *row;
    lb_load_t   load;

    load = lb_roster_load(lcf->roster);

    ngx_shmtx_lock(&lcf->shpool->mutex);

    ngx_http_lb_dead_settle(lcf);
    ngx_http_lb_zone_apply(lcf);

    row = lb_load_claim(&load, ngx_pid, ngx_process_slot);

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    ngx_http_lb_build(lcf);

    if (row == NULL) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "lb: upstream \"%V\" is used by more than %uD processes",
                      &lcf->upstream->host, lcf->nrows);
        return NGX_ERROR;
    }

    lcf->row = row;
    lcf->random = (uint64_t) ngx_random() << 32 ^ (uint64_t) ngx_random()
                  ^ (uint64_t) ngx_pid << 16;

    if (lcf->inflight) {
        lcf->ages = ngx_pcalloc(cycle->pool,
                                lcf->capacity * sizeof(lb_age_t));
        if (lcf->ages == NULL) {
            return NGX_ERROR;
        }
    }

    if (lcf->queued && ngx_http_lb_queue_join(cycle, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_lb_idle_init(cycle, lcf);
}


/* if the mutex is not free, another worker finds that this one is dead */

static void
ngx_http_lb_process_leave(ngx_http_lb_srv_conf_t *lcf)
{
    lb_load_t  load;

    load = lb_roster_load(lcf->roster);

    if (ngx_shmtx_trylock(&lcf->shpool->mutex)) {
        (void) lb_load_settle(&load, lcf->row);
        ngx_shmtx_unlock(&lcf->shpool->mutex);
    }

    lcf->row = NULL;
}


static void
ngx_http_lb_process_tick(ngx_event_t *ev)
{
    ngx_uint_t                i;
    ngx_http_lb_main_conf_t  *lmcf;
    ngx_http_lb_srv_conf_t  **lcfp;

    lmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_lb_upstream_module);
    if (lmcf == NULL) {
        return;
    }

    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {
        ngx_http_lb_process_look(lcfp[i]);
        ngx_http_lb_edit_drained(lcfp[i]);

        if (lcfp[i]->keepalive.stacks) {
            ngx_http_lb_idle_sweep(lcfp[i]);
        }

        ngx_http_lb_log_panic(lcfp[i]);
    }

    if (!ngx_gw_is_leaving()) {
        ngx_add_timer(ev, NGX_HTTP_LB_TICK);
    }
}


static void
ngx_http_lb_process_look(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t      i, used;
    lb_roster_t  *roster;

    roster = lcf->roster;

    lb_passive_schedule(roster);

    if (lcf->bound) {
        lb_roster_recount(roster);
    }

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        (void) lb_roster_since(roster, i, ngx_time());
    }

    ngx_http_lb_dead_look(lcf);

    if (lb_roster_count(roster).leaving != 0
        && ngx_shmtx_trylock(&lcf->shpool->mutex))
    {
        lb_roster_sweep(roster, ngx_http_lb_log_gone, lcf);

        ngx_shmtx_unlock(&lcf->shpool->mutex);
    }

    ngx_http_lb_build(lcf);
}
