
/*
 * Health checks: who makes them, when, and what becomes of their results.
 * Every worker ticks and claims the lead; the one that has it runs the
 * timers of all servers, and enters a result only while it still has it.
 * It asks for names, too.
 */


#include "src/lb/upstream/ngx_http_lb_check.h"

#include "src/common/ngx_gw_leader.h"
#include "src/core/balance/lb_health.h"
#include "src/core/balance/lb_pace.h"
#include "src/lb/upstream/ngx_http_lb_build.h"
#include "src/lb/upstream/ngx_http_lb_log.h"
#include "src/lb/upstream/ngx_http_lb_probe.h"
#include "src/lb/upstream/ngx_http_lb_resolve.h"
#include "src/lb/upstream/ngx_http_lb_state_lock.h"


/* ms; a term ends an interval after its last renewal, within these */
#define NGX_HTTP_LB_CHECK_TERM_MIN  200
#define NGX_HTTP_LB_CHECK_TERM_MAX  2000


/* in shared memory: who makes the checks */

typedef struct {
    ngx_gw_leader_t               leader;
    _Atomic uint64_t              next;       /* numbers configurations */
    _Atomic uint64_t              config;     /* of those who may lead */
} ngx_http_lb_lead_t;


/* of one process, but for the lead */

struct ngx_http_lb_checker_s {
    ngx_http_lb_main_conf_t      *conf;
    ngx_http_lb_lead_t           *lead;
    uint64_t                      config;     /* number of this one */
    ngx_msec_t                    period;     /* of the tick */
    ngx_msec_t                    term;       /* of the leader */
    ngx_event_t                   tick;
    ngx_uint_t                    leads;      /* whether we are the checker */
    ngx_http_lb_prober_t          prober;
    ngx_connection_t              dummy;
};


/* a server to check; made when the process becomes the checker */

struct ngx_http_lb_target_s {
    ngx_http_lb_probed_t          probed;     /* comes first */
    ngx_http_lb_srv_conf_t       *conf;
    ngx_http_lb_checker_t        *checker;
    ngx_event_t                   timer;
    lb_pace_t                     pace;
    uint32_t                      index;
    uint32_t                      generation; /* of the slot */
    unsigned                      running:1;
};


static void ngx_http_lb_check_stop(ngx_http_lb_checker_t *checker);
static void ngx_http_lb_check_rest(ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_check_identity(ngx_http_lb_target_t *target,
    lb_identity_t *identity);
static void ngx_http_lb_check_result(ngx_http_lb_probed_t *probed,
    ngx_uint_t passed, ngx_str_t *reason, ngx_msec_t began);
static ngx_int_t ngx_http_lb_check_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static void ngx_http_lb_check_tick(ngx_event_t *ev);
static ngx_uint_t ngx_http_lb_check_takes_part(ngx_http_lb_checker_t *checker);
static void ngx_http_lb_check_survey(ngx_http_lb_checker_t *checker,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_uint_t ngx_http_lb_check_wanted(lb_server_t *server);
static ngx_uint_t ngx_http_lb_check_current(ngx_http_lb_target_t *target);
static void ngx_http_lb_check_begin(ngx_http_lb_target_t *target,
    uint32_t place, uint32_t n);
static void ngx_http_lb_check_end(ngx_http_lb_target_t *target);
static void ngx_http_lb_check_due(ngx_event_t *ev);
static void ngx_http_lb_check_failed(ngx_http_lb_target_t *target,
    ngx_str_t *reason, lb_identity_t *identity);
static void ngx_http_lb_check_log(ngx_http_lb_target_t *target,
    lb_health_t change, ngx_str_t *reason, lb_identity_t *identity);


/* the leader is one for the machine, so it has a zone of its own */

ngx_int_t
ngx_http_lb_check_init(ngx_conf_t *cf, ngx_http_lb_main_conf_t *lmcf)
{
    ngx_str_t                 name;
    ngx_uint_t                i;
    ngx_msec_t                interval;
    ngx_shm_zone_t           *shm_zone;
    ngx_http_lb_checker_t    *checker;
    ngx_http_lb_srv_conf_t  **lcfp;

    lcfp = lmcf->upstreams.elts;
    interval = NGX_HTTP_LB_CHECK_TERM_MAX;

    checker = NULL;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (lcfp[i]->check) {
            interval = ngx_min(interval, lcfp[i]->check->interval);

        } else if (lcfp[i]->resolve == NULL) {
            continue;
        }

        if (checker == NULL) {
            checker = ngx_pcalloc(cf->pool, sizeof(ngx_http_lb_checker_t));
            if (checker == NULL) {
                return NGX_ERROR;
            }
        }
    }

    if (checker == NULL) {
        return NGX_OK;
    }

    /* another worker notices within an interval and a quarter */

    checker->term = ngx_max(interval, NGX_HTTP_LB_CHECK_TERM_MIN);
    checker->period = checker->term / 4;
    checker->conf = lmcf;

    ngx_str_set(&name, "lb_checks");

    shm_zone = ngx_shared_memory_add(cf, &name, 8 * ngx_pagesize,
                                     &ngx_http_lb_upstream_module);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    shm_zone->init = ngx_http_lb_check_zone_init;
    shm_zone->data = checker;

    lmcf->checker = checker;

    return NGX_OK;
}


void
ngx_http_lb_check_init_module(ngx_http_lb_main_conf_t *lmcf)
{
    ngx_http_lb_checker_t  *checker;

    checker = lmcf->checker;

    if (checker) {
        checker->config = atomic_fetch_add_explicit(&checker->lead->next, 1,
                                                    memory_order_acq_rel) + 1;
    }
}


void
ngx_http_lb_check_init_process(ngx_cycle_t *cycle,
    ngx_http_lb_main_conf_t *lmcf)
{
    ngx_http_lb_checker_t  *checker;

    checker = lmcf->checker;

    if (checker == NULL || !ngx_gw_is_worker()) {
        return;
    }

    ngx_http_lb_prober_init(&checker->prober, cycle);

    checker->dummy.fd = (ngx_socket_t) -1;

    checker->tick.handler = ngx_http_lb_check_tick;
    checker->tick.data = &checker->dummy;
    checker->tick.log = cycle->log;
    checker->tick.cancelable = 1;

    ngx_add_timer(&checker->tick, 1);
}


void
ngx_http_lb_check_exit_process(ngx_http_lb_main_conf_t *lmcf)
{
    if (lmcf->checker && lmcf->checker->tick.handler) {
        ngx_http_lb_check_stop(lmcf->checker);
    }
}


/* All probes end without a result. */

static void
ngx_http_lb_check_stop(ngx_http_lb_checker_t *checker)
{
    ngx_uint_t                i;
    ngx_http_lb_srv_conf_t  **lcfp;

    if (!checker->leads) {
        return;
    }

    checker->leads = 0;

    lcfp = checker->conf->upstreams.elts;

    for (i = 0; i < checker->conf->upstreams.nelts; i++) {
        ngx_http_lb_check_rest(lcfp[i]);
    }

    ngx_gw_leader_resign(&checker->lead->leader);
}


static void
ngx_http_lb_check_rest(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t  i;

    for (i = 0; lcf->targets && i < lcf->capacity; i++) {

        if (lcf->targets[i].running) {
            ngx_http_lb_check_end(&lcf->targets[i]);
        }
    }

    lcf->surveyed = 0;

    ngx_http_lb_resolve_rest(lcf);
}


/*
 * Copies the identity of a target's server.  NGX_DECLINED: the server is there
 * no more.  The slot may go to another one while it is being copied.
 */

static ngx_int_t
ngx_http_lb_check_identity(ngx_http_lb_target_t *target,
    lb_identity_t *identity)
{
    *identity = *lb_roster_identity(target->conf->roster, target->index);

    atomic_thread_fence(memory_order_acquire);

    return ngx_http_lb_check_current(target) ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_lb_check_result(ngx_http_lb_probed_t *probed, ngx_uint_t passed,
    ngx_str_t *reason, ngx_msec_t began)
{
    ngx_time_t                *tp;
    lb_health_t                change;
    lb_server_t               *server;
    lb_identity_t              identity;
    ngx_http_lb_target_t      *target;
    ngx_http_lb_checker_t     *checker;
    ngx_http_lb_check_conf_t  *check;

    target = (ngx_http_lb_target_t *) probed;
    checker = target->checker;
    check = target->conf->check;

    /* another process may have taken over, or another configuration */

    if (ngx_gw_is_leaving()
        || gw_load_acquire(&target->conf->roster->config) > target->conf->config
        || !ngx_gw_leader_claim(&checker->lead->leader, checker->term))
    {
        ngx_http_lb_check_stop(checker);
        return;
    }

    if (ngx_http_lb_check_identity(target, &identity) != NGX_OK) {
        return;
    }

    tp = ngx_timeofday();
    server = lb_roster_server(target->conf->roster, target->index);

    atomic_fetch_add_explicit(&server->checks[passed], 1,
                              memory_order_acq_rel);
    gw_store_release(&server->check_time, ngx_current_msec - began);
    gw_store_release(&server->checked_at,
                     (uint64_t) tp->sec * 1000 + tp->msec);

    /* an answer proves that the server is there: who waits since before? */

    if (passed) {
        ngx_http_lb_probe_supersede(probed, began);
    }

    change = lb_health_enter(server, passed, check->rise, check->fall, began);

    if (!passed) {
        ngx_http_lb_check_failed(target, reason, &identity);
    }

    if (change == LB_HEALTH_SAME) {
        return;
    }

    ngx_http_lb_build(target->conf);

    ngx_http_lb_check_log(target, change, reason, &identity);
}


static ngx_int_t
ngx_http_lb_check_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_slab_pool_t        *shpool;
    ngx_http_lb_checker_t  *checker;

    checker = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data == NULL && !shm_zone->shm.exists) {
        shpool->data = ngx_slab_calloc(shpool, sizeof(ngx_http_lb_lead_t));
        if (shpool->data == NULL) {
            return NGX_ERROR;
        }
    }

    checker->lead = shpool->data;

    return NGX_OK;
}


static void
ngx_http_lb_check_tick(ngx_event_t *ev)
{
    ngx_uint_t                i;
    ngx_http_lb_checker_t    *checker;
    ngx_http_lb_srv_conf_t  **lcfp;

    checker = ngx_queue_data(ev, ngx_http_lb_checker_t, tick);

    if (ngx_gw_is_leaving()) {
        ngx_http_lb_check_stop(checker);
        return;
    }

    if (!ngx_http_lb_check_takes_part(checker)) {
        ngx_http_lb_check_stop(checker);
        return;
    }

    ngx_add_timer(ev, checker->period);

    if (!ngx_gw_leader_claim(&checker->lead->leader, checker->term)) {
        ngx_http_lb_check_stop(checker);
        return;
    }

    lcfp = checker->conf->upstreams.elts;

    for (i = 0; i < checker->conf->upstreams.nelts; i++) {

        /* the nginx that has taken over makes the checks */

        if (ngx_http_lb_state_lost(lcfp[i])) {
            ngx_http_lb_check_rest(lcfp[i]);
            continue;
        }

        ngx_http_lb_resolve_run(lcfp[i], &checker->dummy);

        if (lcfp[i]->check == NULL) {
            continue;
        }

        if (!checker->leads
            || lcfp[i]->surveyed != lb_roster_generation(lcfp[i]->roster))
        {
            ngx_http_lb_check_survey(checker, lcfp[i]);
        }
    }

    checker->leads = 1;
}


/*
 * The first worker of a new configuration takes the lead over from the old
 * ones, which do not ask for it again.
 */

static ngx_uint_t
ngx_http_lb_check_takes_part(ngx_http_lb_checker_t *checker)
{
    uint64_t             config;
    ngx_http_lb_lead_t  *lead;

    lead = checker->lead;
    config = gw_load_acquire(&lead->config);

    while (config < checker->config) {

        if (atomic_compare_exchange_weak_explicit(&lead->config, &config,
                                                  checker->config,
                                                  memory_order_acq_rel,
                                                  memory_order_acquire))
        {
            ngx_gw_leader_seize(&lead->leader, checker->term);
            return 1;
        }
    }

    return config == checker->config;
}


/* makes the running targets those servers that are to be checked */

static void
ngx_http_lb_check_survey(ngx_http_lb_checker_t *checker,
    ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t               i, n, place, used;
    lb_server_t           *server;
    ngx_http_lb_target_t  *target;

    if (lcf->targets == NULL) {
        lcf->targets = ngx_pcalloc(ngx_cycle->pool,
                                   lcf->capacity
                                   * sizeof(ngx_http_lb_target_t));
        if (lcf->targets == NULL) {
            return;
        }
    }

    lcf->surveyed = lb_roster_generation(lcf->roster);
    used = lb_roster_used(lcf->roster);
    n = 0;

    for (i = 0; i < used; i++) {
        target = &lcf->targets[i];
        server = lb_roster_server(lcf->roster, i);

        if (target->running && (!ngx_http_lb_check_wanted(server)
                                || !ngx_http_lb_check_current(target)))
        {
            ngx_http_lb_check_end(target);
        }

        n += (!target->running && ngx_http_lb_check_wanted(server));
    }

    for (i = 0, place = 0; i < used && place < n; i++) {
        target = &lcf->targets[i];
        server = lb_roster_server(lcf->roster, i);

        if (!target->running && ngx_http_lb_check_wanted(server)) {
            target->conf = lcf;
            target->checker = checker;
            target->index = i;
            target->generation = gw_load_acquire(&server->generation);

            ngx_http_lb_check_begin(target, place++, n);
        }
    }
}


static ngx_uint_t
ngx_http_lb_check_wanted(lb_server_t *server)
{
    uint32_t  status;

    status = gw_load_acquire(&server->status);

    return (status & LB_USED) && !(status & (LB_DISABLED|LB_REMOVED));
}


static ngx_uint_t
ngx_http_lb_check_current(ngx_http_lb_target_t *target)
{
    lb_server_t  *server;

    server = lb_roster_server(target->conf->roster, target->index);

    return (gw_load_acquire(&server->status) & LB_USED)
           && gw_load_acquire(&server->generation) == target->generation;
}


static void
ngx_http_lb_check_begin(ngx_http_lb_target_t *target, uint32_t place,
    uint32_t n)
{
    lb_server_t  *server;

    server = lb_roster_server(target->conf->roster, target->index);

    lb_pace_start(&target->pace, ngx_current_msec,
                  gw_load_acquire(&server->check_began),
                  target->conf->check->interval, place, n);

    target->timer.handler = ngx_http_lb_check_due;
    target->timer.data = &target->checker->dummy;
    target->timer.log = ngx_cycle->log;
    target->timer.cancelable = 1;
    target->running = 1;

    target->probed.prober = &target->checker->prober;
    target->probed.check = target->conf->check;
    target->probed.upstream = &target->conf->upstream->host;
    target->probed.result = ngx_http_lb_check_result;

    ngx_queue_init(&target->probed.probes);

    ngx_add_timer(&target->timer,
                  (ngx_msec_t) target->pace.due - ngx_current_msec);
}


static void
ngx_http_lb_check_end(ngx_http_lb_target_t *target)
{
    target->running = 0;

    if (target->timer.timer_set) {
        ngx_del_timer(&target->timer);
    }

    ngx_http_lb_probe_cancel(&target->probed);
}


static void
ngx_http_lb_check_due(ngx_event_t *ev)
{
    lb_server_t               *server;
    lb_identity_t              identity;
    ngx_http_lb_target_t      *target;
    ngx_http_lb_check_conf_t  *check;

    target = ngx_queue_data(ev, ngx_http_lb_target_t, timer);
    check = target->conf->check;

    if (ngx_gw_is_leaving()) {
        ngx_http_lb_check_stop(target->checker);
        return;
    }

    lb_pace_step(&target->pace, ngx_current_msec, check->interval,
                 check->jitter, (uint32_t) ngx_random());

    ngx_add_timer(ev, (ngx_msec_t) target->pace.due - ngx_current_msec);

    server = lb_roster_server(target->conf->roster, target->index);

    if (target->probed.nprobes < check->probes_max
        && ngx_http_lb_check_wanted(server)
        && ngx_http_lb_check_identity(target, &identity) == NGX_OK)
    {
        gw_store_release(&server->check_began, ngx_current_msec);
        ngx_http_lb_probe_start(&target->probed, &identity);
    }
}


/*
 * The first failure in a row says which Host was sent, if it came after that:
 * it is often not the one that proxied requests have.
 */

static void
ngx_http_lb_check_failed(ngx_http_lb_target_t *target, ngx_str_t *reason,
    lb_identity_t *identity)
{
    lb_server_t             *server;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = target->conf;
    server = lb_roster_server(lcf->roster, target->index);

    if (target->probed.asked
        && lb_health_streak(gw_load_relaxed(&server->health)) == 1)
    {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "lb: check of server %*s in upstream \"%V\" failed: %V, "
                      "sent with Host \"%V\"",
                      (size_t) identity->name_length, identity->name,
                      &lcf->upstream->host, reason, &lcf->check->host);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                  "lb: check of server %*s in upstream \"%V\" failed: %V",
                  (size_t) identity->name_length, identity->name,
                  &lcf->upstream->host, reason);
}


static void
ngx_http_lb_check_log(ngx_http_lb_target_t *target, lb_health_t change,
    ngx_str_t *reason, lb_identity_t *identity)
{
    uint32_t                 max, streak;
    ngx_str_t                name;
    lb_count_t               left;
    lb_server_t             *server;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = target->conf;
    server = lb_roster_server(lcf->roster, target->index);

    name.len = identity->name_length;
    name.data = (u_char *) identity->name;

    /* those before were of no account */

    streak = lb_health_streak(gw_load_relaxed(&server->health));
    max = (change == LB_HEALTH_CAME_UP) ? lcf->check->rise : lcf->check->fall;
    streak = ngx_min(streak, max);
    left = lb_roster_count(lcf->roster);

    if (change == LB_HEALTH_CAME_UP) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "lb: server %V in upstream \"%V\" is up: "
                      "%uD check%s passed; %uD of %uD servers left",
                      &name, &lcf->upstream->host, streak,
                      (streak == 1) ? "" : "s", left.usable, left.total);

    } else if (change == LB_HEALTH_WENT_DOWN) {
        ngx_http_lb_log_reason(lcf, target->index, LB_UNHEALTHY, reason);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "lb: server %V in upstream \"%V\" is down: %V, "
                      "%uD failure%s; %uD of %uD servers left",
                      &name, &lcf->upstream->host, reason, streak,
                      (streak == 1) ? "" : "s", left.usable, left.total);

        if (left.usable == 0
            && lb_roster_against(lcf->roster) != LB_PANICKING)
        {
            ngx_http_lb_log_empty(lcf, ngx_cycle->log);
        }
    }
}
