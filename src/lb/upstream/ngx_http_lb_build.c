
/*
 * Views of this process: which upstreams want one, and building them one
 * after the other, in slices, so that no pass of the event loop takes long.
 *
 * A change that costs little to build is in force at once.  After a build
 * that has cost more, the next one of the upstream has to wait in proportion,
 * so that many changes share one.  Of several processes one builds, the leader;
 * what one that died has left is found by the others' tick.
 */


#include "src/lb/upstream/ngx_http_lb_build.h"

#include "src/common/ngx_gw_clock.h"
#include "src/common/ngx_gw_leader.h"
#include "src/core/balance/lb_build.h"
#include "src/lb/upstream/ngx_http_lb_log.h"


/* us of a pass of the event loop that building may take, and of the first */
#define NGX_HTTP_LB_BUILD_SLICE   1000
#define NGX_HTTP_LB_BUILD_FIRST   50000

/* work between two looks at the clock */
#define NGX_HTTP_LB_BUILD_WORK    4096

/* work after which an upstream pauses for 1 ms: it takes about 0.1 ms */
#define NGX_HTTP_LB_BUILD_PAUSE   16384

/* ms to the next slice, and to the next look at what another process does */
#define NGX_HTTP_LB_BUILD_NEXT    1
#define NGX_HTTP_LB_BUILD_LOOK    10

/* ms that a process may be stopped until another one builds */
#define NGX_HTTP_LB_BUILD_TERM    1000


typedef struct {
    ngx_queue_t               waiting;    /* ngx_http_lb_srv_conf_t */
    ngx_http_lb_srv_conf_t   *conf;       /* under way, or NULL */
    lb_build_t               *build;
    void                     *memory;
    size_t                    size;

    ngx_msec_t                pass;       /* ngx_current_msec of a pass */
    uint64_t                  allowed;    /* us in it */
    uint64_t                  spent;
    uint64_t                  before;     /* spent when building went on, */
    uint64_t                  began;      /* and the clock then */

    ngx_event_t               event;
    ngx_connection_t          dummy;
} ngx_http_lb_builder_t;


static void ngx_http_lb_build_event(ngx_event_t *ev);
static void ngx_http_lb_build_run(void);
static ngx_msec_t ngx_http_lb_build_begin(ngx_http_lb_srv_conf_t *lcf);
static ngx_msec_t ngx_http_lb_build_all(void);
static ngx_uint_t ngx_http_lb_build_spent(void);
static ngx_uint_t ngx_http_lb_build_go_on(void);
static void ngx_http_lb_build_over(ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_build_room(lb_roster_t *roster);

#define ngx_http_lb_build_leader(lcf)                                       \
    ((ngx_gw_leader_t *) &(lcf)->roster->builder)


static ngx_http_lb_builder_t  ngx_http_lb_builder;


void
ngx_http_lb_build_init_process(ngx_cycle_t *cycle)
{
    ngx_http_lb_builder_t  *builder;

    builder = &ngx_http_lb_builder;

    ngx_queue_init(&builder->waiting);

    builder->conf = NULL;
    builder->pass = ngx_current_msec;
    builder->spent = 0;
    builder->allowed = NGX_HTTP_LB_BUILD_FIRST;

    builder->dummy.fd = (ngx_socket_t) -1;

    builder->event.handler = ngx_http_lb_build_event;
    builder->event.data = &builder->dummy;
    builder->event.log = cycle->log;
    builder->event.cancelable = 1;
}


ngx_int_t
ngx_http_lb_build_whole(ngx_http_lb_srv_conf_t *lcf, ngx_log_t *log)
{
    void  *memory;

    memory = ngx_memalign(LB_LINE, lb_build_size(lcf->roster), log);
    if (memory == NULL) {
        return NGX_ERROR;
    }

    lb_build_whole(lcf->roster, memory);

    ngx_free(memory);

    return NGX_OK;
}


void
ngx_http_lb_build(ngx_http_lb_srv_conf_t *lcf)
{
    if (!lcf->waiting) {
        lcf->waiting = 1;
        ngx_queue_insert_tail(&ngx_http_lb_builder.waiting, &lcf->queue);
    }

    ngx_http_lb_build_run();
}


static void
ngx_http_lb_build_event(ngx_event_t *ev)
{
    ngx_http_lb_build_run();
}


/* as far as this pass allows */

static void
ngx_http_lb_build_run(void)
{
    ngx_msec_t              next;
    ngx_http_lb_builder_t  *builder;

    builder = &ngx_http_lb_builder;

    if (builder->pass != ngx_current_msec) {
        builder->pass = ngx_current_msec;
        builder->spent = 0;
        builder->allowed = NGX_HTTP_LB_BUILD_SLICE;
    }

    if (ngx_queue_empty(&builder->waiting)) {
        return;
    }

    if (builder->spent < builder->allowed) {
        builder->before = builder->spent;
        builder->began = ngx_gw_usec();
    }

    next = ngx_http_lb_build_all();

    if (next && !builder->event.timer_set) {
        ngx_add_timer(&builder->event, next);
    }
}


/* How many ms until there is more to do; 0: there is nothing. */

static ngx_msec_t
ngx_http_lb_build_all(void)
{
    ngx_msec_t               wait, next;
    ngx_queue_t             *q, *after;
    ngx_http_lb_builder_t   *builder;
    ngx_http_lb_srv_conf_t  *lcf;

    builder = &ngx_http_lb_builder;
    next = 0;

    if (builder->conf
        && (ngx_http_lb_build_spent() || !ngx_http_lb_build_go_on()))
    {
        return NGX_HTTP_LB_BUILD_NEXT;
    }

    for (q = ngx_queue_head(&builder->waiting);
         q != ngx_queue_sentinel(&builder->waiting);
         q = after)
    {
        after = ngx_queue_next(q);
        lcf = ngx_queue_data(q, ngx_http_lb_srv_conf_t, queue);

        if (ngx_http_lb_build_spent()) {
            return NGX_HTTP_LB_BUILD_NEXT;
        }

        wait = ngx_http_lb_build_begin(lcf);

        if (wait) {
            next = next ? ngx_min(next, wait) : wait;
            continue;
        }

        if (builder->conf && !ngx_http_lb_build_go_on()) {
            return NGX_HTTP_LB_BUILD_NEXT;
        }
    }

    return next;
}


/* whether this pass allows no more */

static ngx_uint_t
ngx_http_lb_build_spent(void)
{
    ngx_http_lb_builder_t  *builder;

    builder = &ngx_http_lb_builder;

    if (builder->spent < builder->allowed) {
        builder->spent = builder->before + ngx_gw_usec()
                         - builder->began;
    }

    return builder->spent >= builder->allowed;
}


/* How many ms to wait with it; 0: it has begun, or there is no need. */

static ngx_msec_t
ngx_http_lb_build_begin(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_msec_int_t          pause;
    ngx_http_lb_builder_t  *builder;

    builder = &ngx_http_lb_builder;

    pause = (ngx_msec_int_t) (lcf->pause_until - ngx_current_msec);

    if (pause > 0 && pause <= NGX_HTTP_LB_BUILD_TERM) {
        return pause;
    }

    if (!lb_roster_stale(lcf->roster)) {
        ngx_http_lb_build_over(lcf);
        return 0;
    }

    if (ngx_http_lb_build_room(lcf->roster) != NGX_OK
        || !ngx_gw_leader_claim(ngx_http_lb_build_leader(lcf),
                              NGX_HTTP_LB_BUILD_TERM))
    {
        return NGX_HTTP_LB_BUILD_LOOK;
    }

    if (!ngx_shmtx_trylock(&lcf->shpool->mutex)) {
        return NGX_HTTP_LB_BUILD_NEXT;
    }

    builder->build = lb_build_start(lcf->roster, builder->memory);
    builder->conf = lcf;

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    return 0;
}


/* Builds the view that is under way; 0: there is more to do later. */

static ngx_uint_t
ngx_http_lb_build_go_on(void)
{
    uint64_t                 work;
    ngx_http_lb_builder_t   *builder;
    ngx_http_lb_srv_conf_t  *lcf;

    builder = &ngx_http_lb_builder;
    lcf = builder->conf;

    while (!lb_build_step(builder->build, NGX_HTTP_LB_BUILD_WORK)) {

        if (ngx_http_lb_build_spent()) {
            (void) ngx_gw_leader_claim(ngx_http_lb_build_leader(lcf),
                                     NGX_HTTP_LB_BUILD_TERM);
            return 0;
        }
    }

    if (!ngx_shmtx_trylock(&lcf->shpool->mutex)) {
        return 0;
    }

    (void) lb_build_publish(builder->build);

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    builder->conf = NULL;

    work = builder->build->work / NGX_HTTP_LB_BUILD_PAUSE;
    lcf->pause_until = ngx_current_msec + work;

    ngx_gw_leader_resign(ngx_http_lb_build_leader(lcf));

    ngx_http_lb_log_panic(lcf);

    if (lb_roster_stale(lcf->roster)) {
        return 0;
    }

    ngx_http_lb_build_over(lcf);

    return 1;
}


static void
ngx_http_lb_build_over(ngx_http_lb_srv_conf_t *lcf)
{
    lcf->waiting = 0;
    ngx_queue_remove(&lcf->queue);
}


/* one memory for all, as large as the largest has needed so far */

static ngx_int_t
ngx_http_lb_build_room(lb_roster_t *roster)
{
    void                   *memory;
    size_t                  size;
    ngx_http_lb_builder_t  *builder;

    builder = &ngx_http_lb_builder;
    size = lb_build_size(roster);

    if (size <= builder->size) {
        return NGX_OK;
    }

    memory = ngx_memalign(LB_LINE, size, ngx_cycle->log);
    if (memory == NULL) {
        return NGX_ERROR;
    }

    if (builder->memory) {
        ngx_free(builder->memory);
    }

    builder->memory = memory;
    builder->size = size;

    return NGX_OK;
}
