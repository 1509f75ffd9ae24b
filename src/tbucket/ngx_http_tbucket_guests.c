
/*
 * Requests in flight of old workers, after a zone's size has changed.
 */


#include "src/tbucket/ngx_http_tbucket_guests.h"

#include <sys/mman.h>

#include "src/common/ngx_gw_clock.h"
#include "src/core/gw_atomic.h"
#include "src/core/limit/tb_guests.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"


/* guests between two looks at the clock */
#define NGX_HTTP_TBUCKET_GUESTS  256


/* The memory that a zone has had before, mapped where it has been. */

struct ngx_http_tbucket_former_s {
    void                       *addr;      /* NULL: another cycle has it now */
    size_t                      size;
    tb_ledger_t                *ledger;
    ngx_http_tbucket_former_t  *next;      /* the one before */

    /* this worker's, if it is the one who follows; else NULL */
    tb_guest_t                 *guests;
    uint32_t                    n;
    uint32_t                    at;        /* the next one to look at */
};


static void ngx_http_tbucket_former_add(ngx_cycle_t *cycle,
    ngx_http_tbucket_zone_t *zone, void *addr, size_t size,
    tb_ledger_t *ledger);
static void ngx_http_tbucket_former_cleanup(void *data);
static ngx_uint_t ngx_http_tbucket_former_is_used(tb_ledger_t *ledger);
static ngx_uint_t ngx_http_tbucket_guests_begin(ngx_http_tbucket_zone_t *zone);
static ngx_uint_t ngx_http_tbucket_guests_list(
    ngx_http_tbucket_former_t *former);
static void ngx_http_tbucket_guests_look(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_former_t *former, tb_ledger_own_t *own, uint64_t until);
static void ngx_http_tbucket_guests_end(tb_ledger_t *ledger);
static void ngx_http_tbucket_guests_forget(ngx_http_tbucket_zone_t *zone,
    tb_ledger_own_t *own);


void
ngx_http_tbucket_guests_inherit(ngx_cycle_t *cycle,
    ngx_http_tbucket_zone_t *zone, ngx_http_tbucket_zone_t *old)
{
    void                       *nothing;
    ngx_shm_t                  *shm;
    ngx_http_tbucket_former_t  *former;

    for (former = old->former; former != NULL; former = former->next) {

        if (former->addr != NULL
            && ngx_http_tbucket_former_is_used(former->ledger))
        {
            ngx_http_tbucket_former_add(cycle, zone, former->addr,
                                        former->size, former->ledger);
            former->addr = NULL;
        }
    }

    if (old->shared == zone->shared) {

        /* one of the new workers takes over, and the old one sees that */

        ngx_shmtx_lock(&zone->shpool->mutex);

        gw_store_relaxed(&zone->shared->follower, 0);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        return;
    }

    /* nginx is about to unmap the old zone: it is given a page to unmap */

    nothing = mmap(NULL, ngx_pagesize, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS,
                   -1, 0);

    if (nothing == MAP_FAILED) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "mmap() failed in tbucket zone \"%V\"", &zone->name);
        return;
    }

    shm = &old->shm_zone->shm;

    ngx_http_tbucket_former_add(cycle, zone, shm->addr, shm->size,
                                old->shared->ledger);
    shm->addr = nothing;
    shm->size = ngx_pagesize;
}


/* Without memory for it, its requests are forgotten. */

static void
ngx_http_tbucket_former_add(ngx_cycle_t *cycle, ngx_http_tbucket_zone_t *zone,
    void *addr, size_t size, tb_ledger_t *ledger)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_tbucket_former_t  *former;

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_http_tbucket_former_t));
    if (cln == NULL) {
        return;
    }

    former = cln->data;
    ngx_memzero(former, sizeof(ngx_http_tbucket_former_t));

    former->addr = addr;
    former->size = size;
    former->ledger = ledger;
    former->next = zone->former;

    cln->handler = ngx_http_tbucket_former_cleanup;

    zone->former = former;
}


static void
ngx_http_tbucket_former_cleanup(void *data)
{
    ngx_http_tbucket_former_t *former = data;

    if (former->addr != NULL) {
        (void) munmap(former->addr, former->size);
    }
}


static ngx_uint_t
ngx_http_tbucket_former_is_used(tb_ledger_t *ledger)
{
    uint32_t  i;

    for (i = 0; i < ledger->nrows; i++) {
        if (gw_load_acquire(&tb_ledger_row(ledger, i)->owner) != 0) {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_tbucket_guests_follow(ngx_http_tbucket_zone_t *zone,
    tb_ledger_own_t *own, uint64_t until)
{
    ngx_uint_t                  left;
    ngx_http_tbucket_former_t  *former;

    if (zone->former == NULL) {
        return;
    }

    left = 1;

    /* whoever begins next to us waits until all guests have their places */

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (ngx_http_tbucket_guests_begin(zone)) {
        left = 0;

        for (former = zone->former; former != NULL; former = former->next) {
            ngx_http_tbucket_guests_look(zone, former, own, until);
            left += former->n;
        }
    }

    if (left == 0) {
        ngx_http_tbucket_guests_forget(zone, own);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


void
ngx_http_tbucket_guests_leave(ngx_http_tbucket_zone_t *zone,
    tb_ledger_own_t *own)
{
    if (zone->former == NULL) {
        return;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    ngx_http_tbucket_guests_forget(zone, own);

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


/* Whether this worker is the one who follows, which it may become. */

static ngx_uint_t
ngx_http_tbucket_guests_begin(ngx_http_tbucket_zone_t *zone)
{
    uint32_t                    follower;
    ngx_http_tbucket_former_t  *former;

    follower = gw_load_relaxed(&zone->shared->follower);

    if (follower == (uint32_t) ngx_pid) {
        return 1;
    }

    if (zone->former->guests != NULL) {

        /* a reload has come, after which one of the new workers follows */

        return 0;
    }

    if (follower != 0
        && (kill((ngx_pid_t) follower, 0) == 0 || ngx_errno != NGX_ESRCH))
    {
        return 0;
    }

    for (former = zone->former->next; former != NULL; former = former->next) {
        if (former->guests == NULL && !ngx_http_tbucket_guests_list(former)) {
            return 0;
        }
    }

    /* the first one is the last, so that it tells of all */

    if (!ngx_http_tbucket_guests_list(zone->former)) {
        return 0;
    }

    gw_store_relaxed(&zone->shared->follower, (uint32_t) ngx_pid);

    return 1;
}


static ngx_uint_t
ngx_http_tbucket_guests_list(ngx_http_tbucket_former_t *former)
{
    uint32_t  n;

    ngx_http_tbucket_guests_end(former->ledger);

    n = tb_guests_list(former->ledger, NULL, 0);

    former->guests = ngx_alloc((n + 1) * sizeof(tb_guest_t), ngx_cycle->log);
    if (former->guests == NULL) {
        return 0;
    }

    former->n = ngx_min(n, tb_guests_list(former->ledger, former->guests, n));
    former->at = 0;

    return 1;
}


/* Goes on with the guests, with the mutex held. */

static void
ngx_http_tbucket_guests_look(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_former_t *former, tb_ledger_own_t *own, uint64_t until)
{
    uint64_t     now;
    tb_limits_t  dflt;

    dflt = ngx_http_tbucket_limits(zone, &now);

    do {
        former->n = tb_guests_follow(former->guests, former->n, former->at,
                                     former->at + NGX_HTTP_TBUCKET_GUESTS,
                                     former->ledger, own, zone->shared->table,
                                     now, dflt);

        former->at += NGX_HTTP_TBUCKET_GUESTS;

    } while (former->at < former->n
             && (until == 0 || ngx_gw_usec() < until));

    if (former->at >= former->n) {
        former->at = 0;
        ngx_http_tbucket_guests_end(former->ledger);
    }
}


/* Requests of a process that has been killed are over. */

static void
ngx_http_tbucket_guests_end(tb_ledger_t *ledger)
{
    uint32_t          i, owner;
    tb_ledger_row_t  *row;

    for (i = 0; i < ledger->nrows; i++) {
        row = tb_ledger_row(ledger, i);
        owner = gw_load_acquire(&row->owner);

        if (owner != 0
            && kill((ngx_pid_t) owner, 0) == -1 && ngx_errno == NGX_ESRCH)
        {
            gw_store_release(&row->owner, 0);
        }
    }
}


/*
 * Gives the places of guests back, and has no former zone any more, with the
 * mutex held.  If there are no guests, each worker comes here in its turn.
 */

static void
ngx_http_tbucket_guests_forget(ngx_http_tbucket_zone_t *zone,
    tb_ledger_own_t *own)
{
    uint32_t                    i;
    uint64_t                    now;
    tb_limits_t                 dflt;
    ngx_http_tbucket_former_t  *former;

    dflt = ngx_http_tbucket_limits(zone, &now);

    for (former = zone->former; former != NULL; former = former->next) {

        for (i = 0; former->guests != NULL && i < former->n; i++) {
            if (former->guests[i].entry != TB_LEDGER_NONE) {
                tb_ledger_return(own, zone->shared->table,
                                 former->guests[i].entry, NULL, now, dflt);
            }
        }

        ngx_free(former->guests);
    }

    zone->former = NULL;

    if (gw_load_relaxed(&zone->shared->follower) == (uint32_t) ngx_pid) {
        gw_store_relaxed(&zone->shared->follower, 0);
    }
}
