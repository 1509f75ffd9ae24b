
/*
 * A zone that has another size after a reload, and so is another zone: how
 * much room it needs, and how it takes over from the one before.
 *
 * That one is not changed any more from when the new one is made, so that
 * nothing is missing from the copy, which is made when the reload has
 * succeeded.  If it fails, the old zone is as it was.
 */


#include "src/lb/upstream/ngx_http_lb_resize.h"

#include "src/core/balance/lb_inherit.h"
#include "src/core/balance/lb_sync.h"
#include "src/lb/upstream/ngx_http_lb_state_lines.h"

#include <sys/wait.h>


/* ms that a reload waits for the mutex of a zone that it replaces */
#define NGX_HTTP_LB_RESIZE_WAIT  5000

/* ms that it waits for a change that is being saved */
#define NGX_HTTP_LB_RESIZE_SAVE  1000


static void ngx_http_lb_resize_cancel(void *data);
static ngx_int_t ngx_http_lb_resize_lock(ngx_slab_pool_t *shpool);
static void ngx_http_lb_resize_saved(lb_roster_t *old);


ngx_int_t
ngx_http_lb_resize_plan(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    lb_roster_t *old)
{
    uint32_t            *seen;
    ngx_pool_cleanup_t  *cln;

    lcf->nservers = ngx_http_lb_state_need(lcf);

    if (old) {
        cln = ngx_pool_cleanup_add(cf->pool, 0);
        if (cln == NULL) {
            return NGX_ERROR;
        }

        cln->handler = ngx_http_lb_resize_cancel;
        cln->data = lcf;

        seen = ngx_alloc(old->capacity * sizeof(uint32_t), cf->log);
        if (seen == NULL) {
            return NGX_ERROR;
        }

        lcf->nservers = ngx_max(lcf->nservers,
                                lb_sync_need(old, lcf->lines, lcf->nlines,
                                               seen));
        ngx_free(seen);
    }

    if (lcf->nservers > LB_SERVERS_MAX) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%uD servers in upstream \"%V\", with those of its "
                      "state file and of runtime, at most %d are allowed "
                      "in %s:%ui", lcf->nservers, &lcf->upstream->host,
                      LB_SERVERS_MAX, lcf->file, lcf->line);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_lb_resize_begin(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_srv_conf_t *old)
{
    uint32_t    need;
    uint32_t   *seen;
    ngx_log_t  *log;

    log = lcf->shm_zone->shm.log;

    seen = ngx_alloc(old->roster->capacity * sizeof(uint32_t), log);
    if (seen == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_lb_resize_lock(old->shpool) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "zone \"%V\" is locked by another process, it cannot "
                      "be replaced", &lcf->shm_zone->shm.name);
        ngx_free(seen);
        return NGX_ERROR;
    }

    need = lb_sync_need(old->roster, lcf->lines, lcf->nlines, seen);

    if (need <= lcf->capacity) {
        lcf->superseded = old->roster;
        gw_store_release(&old->roster->superseded, 1);
    }

    ngx_shmtx_unlock(&old->shpool->mutex);
    ngx_free(seen);

    if (need <= lcf->capacity) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, log, 0,
                  "zone \"%V\" has room for %uD servers, not for %uD",
                  &lcf->shm_zone->shm.name, lcf->capacity, need);

    return NGX_ERROR;
}


/* the reload has failed: the old zone stays in force */

static void
ngx_http_lb_resize_cancel(void *data)
{
    ngx_http_lb_srv_conf_t  *lcf = data;

    if (lcf->superseded) {
        gw_store_release(&lcf->superseded->superseded, 0);
        lcf->superseded = NULL;
    }
}


/*
 * The master does not get to know that a holder of the mutex has died while
 * it waits, so it looks itself.
 */

static ngx_int_t
ngx_http_lb_resize_lock(ngx_slab_pool_t *shpool)
{
    siginfo_t   info;
    ngx_pid_t   pid;
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_LB_RESIZE_WAIT; i++) {

        if (ngx_shmtx_trylock(&shpool->mutex)) {
            return NGX_OK;
        }

        pid = (ngx_pid_t) *shpool->mutex.lock;
        info.si_pid = 0;

        if (pid != 0 && pid != ngx_pid
            && ((waitid(P_PID, pid, &info, WEXITED|WNOHANG|WNOWAIT) == 0
                 && info.si_pid == pid)
                || (kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH)))
        {
            (void) ngx_shmtx_force_unlock(&shpool->mutex, pid);
            continue;
        }

        ngx_msleep(1);
    }

    return NGX_ERROR;
}


void
ngx_http_lb_resize_end(ngx_http_lb_srv_conf_t *lcf, lb_roster_t *old)
{
    lb_roster_t  *roster;

    ngx_http_lb_resize_saved(old);

    roster = lb_roster_init(lcf->roster, lcf->capacity, lcf->nrows,
                            lcf->order_max);

    lb_roster_rule(roster, &lcf->rules);

    if (!lb_inherit_servers(roster, old)) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "lb: zone of upstream \"%V\" has become too small for "
                      "all of its servers", &lcf->upstream->host);
    }

    ngx_http_lb_state_apply(lcf);

    lcf->superseded = NULL;
}


/*
 * A change that was begun before is answered once it is made in the old zone,
 * so that it has to be in the copy.  If its process has died, the new workers
 * find it in the file.
 */

static void
ngx_http_lb_resize_saved(lb_roster_t *old)
{
    ngx_uint_t  i;

    for (i = 0;
         i < NGX_HTTP_LB_RESIZE_SAVE && gw_load_acquire(&old->saving);
         i++)
    {
        ngx_msleep(1);
    }
}
