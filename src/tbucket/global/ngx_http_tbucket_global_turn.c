
/*
 * How often a node calls Redis, whatever comes: all workers share the turns
 * that tb_node_rest() gives.  A worker whose turn it is not tells the one
 * that sees to all leases what its requests wait for, so that all of it
 * goes with that one's next call and no worker waits for many turns.
 */


#include "src/tbucket/global/ngx_http_tbucket_global.h"


/* us by which the worker that sees to all leases comes first */
#define NGX_HTTP_TBUCKET_GLOBAL_YIELD  2000


static void ngx_http_tbucket_global_tell(ngx_http_tbucket_asking_t *a);


ngx_uint_t
ngx_http_tbucket_global_rests(ngx_http_tbucket_asking_t *a)
{
    uint64_t                    now, rest;
    ngx_msec_t                  wait;
    ngx_http_tbucket_global_t  *g;

    g = a->global;
    now = ngx_http_tbucket_usec();

    if (!a->rz->leader) {
        now -= NGX_HTTP_TBUCKET_GLOBAL_YIELD;
    }

    rest = tb_node_rest(&g->turn, now);

    if (rest == 0) {
        return 0;
    }

    if (ngx_queue_empty(&a->queue)
        && (!a->rz->leader || (!a->round && atomic_load(&g->ntold) == 0)))
    {
        return 1;
    }

    if (!a->rz->leader) {
        ngx_http_tbucket_global_tell(a);
    }

    wait = (ngx_msec_t) (rest / 1000) + 1;

    if (a->timer.timer_set
        && (ngx_msec_int_t) (a->timer.timer.key - ngx_current_msec - wait) > 0)
    {
        /* or it would be left as it is */

        ngx_del_timer(&a->timer);
    }

    if (!a->timer.timer_set) {
        ngx_add_timer(&a->timer, wait);
    }

    return 1;
}


static void
ngx_http_tbucket_global_tell(ngx_http_tbucket_asking_t *a)
{
    ngx_uint_t                  budget;
    ngx_queue_t                *q;
    ngx_shmtx_t                *mutex;
    ngx_http_tbucket_asker_t   *asker;
    ngx_http_tbucket_global_t  *g;

    g = a->global;
    mutex = &a->rz->zone->shpool->mutex;
    budget = 2 * TB_LEASE_BATCH;

    ngx_shmtx_lock(mutex);

    for (q = ngx_queue_head(&a->queue);
         q != ngx_queue_sentinel(&a->queue) && g->ntold < TB_LEASE_BATCH
         && budget-- > 0;
         q = ngx_queue_next(q))
    {
        asker = ngx_queue_data(q, ngx_http_tbucket_asker_t, queue);

        if ((ngx_msec_t) (ngx_current_msec - asker->told)
            >= NGX_HTTP_TBUCKET_GLOBAL_TELL)
        {
            asker->told = ngx_current_msec;
            g->told[g->ntold++] = (uint32_t) asker->node.key;
        }
    }

    ngx_shmtx_unlock(mutex);
}
