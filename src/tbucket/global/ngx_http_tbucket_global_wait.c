
/*
 * Requests that wait for a lease: kept by bucket, in the worker that got
 * them; looked at again when the lease has been answered, and for the last
 * time when they have waited as long as the store may take.
 */


#include "src/tbucket/global/ngx_http_tbucket_global_wait.h"


static void ngx_http_tbucket_global_resume(ngx_event_t *ev);
static void ngx_http_tbucket_global_gone(void *data);
static void ngx_http_tbucket_global_leave(ngx_http_tbucket_waiter_t *w);
static ngx_http_tbucket_asker_t *ngx_http_tbucket_global_new_asker(
    ngx_http_tbucket_asking_t *a, uint32_t slot, const tb_hash_t *h,
    ngx_log_t *log);
static void ngx_http_tbucket_global_wake_asker(
    ngx_http_tbucket_asker_t *asker);


ngx_int_t
ngx_http_tbucket_global_wait(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx)
{
    uint32_t                    slot;
    ngx_msec_t                  waited;
    ngx_http_cleanup_t         *cln;
    ngx_http_tbucket_charge_t  *c;
    ngx_http_tbucket_asker_t   *asker;
    ngx_http_tbucket_asking_t  *a;
    ngx_http_tbucket_waiter_t  *w;

    c = &ctx->charge;
    w = ctx->waiter;

    slot = (uint32_t) (c->result.slot
                       - tb_table_slot(c->zone->shared->table, 0));
    a = &c->zone->asking[c->zone->shared->global->leases[slot].shard];

    if (w == NULL) {
        w = ngx_pcalloc(r->pool, sizeof(ngx_http_tbucket_waiter_t));
        cln = ngx_http_cleanup_add(r, 0);

        if (w == NULL || cln == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        cln->handler = ngx_http_tbucket_global_gone;
        cln->data = w;

        w->request = r;
        w->begin = ngx_current_msec;
        w->event.handler = ngx_http_tbucket_global_resume;
        w->event.data = w;
        w->event.log = r->connection->log;

        ctx->waiter = w;
    }

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    asker = ngx_http_tbucket_global_asker(a, slot);

    if (asker == NULL) {
        asker = ngx_http_tbucket_global_new_asker(a, slot, &c->hash,
                                                  r->connection->log);
        if (asker == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    w->asking = a;
    w->asker = asker;
    w->cost = c->cost;

    ngx_queue_insert_tail(&asker->waiters, &w->queue);

    if (!asker->queued) {
        asker->queued = 1;
        asker->answered = a->global->leases[slot].lease.answered;
        ngx_queue_insert_tail(&a->queue, &asker->queue);
    }

    /* not cancelable: a worker that shuts down waits for its requests */

    waited = ngx_current_msec - w->begin;

    ngx_add_timer(&w->event,
                  waited < a->rz->redis->store->timeout
                  ? a->rz->redis->store->timeout - waited : 1);

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_post_event(&a->post, &ngx_posted_events);

    if (!a->timer.timer_set) {
        ngx_add_timer(&a->timer, NGX_HTTP_TBUCKET_GLOBAL_POLL);
    }

    return NGX_AGAIN;
}


ngx_uint_t
ngx_http_tbucket_global_waited(ngx_http_tbucket_ctx_t *ctx)
{
    return ctx->waiter != NULL && ctx->waiter->last;
}


static void
ngx_http_tbucket_global_resume(ngx_event_t *ev)
{
    uint64_t                    contact;
    ngx_msec_t                  waited;
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_tbucket_waiter_t  *w;

    w = ev->data;
    r = w->request;
    c = r->connection;

    ngx_http_tbucket_global_leave(w);

    if (ev->timedout) {
        ev->timedout = 0;
    }

    /* not before it is known whether the node is on its own */

    contact = gw_load_seq_cst(&w->asking->global->node.contact);
    waited = ngx_current_msec - w->begin;

    if (waited >= w->asking->rz->redis->store->timeout
        && (waited > TB_LEASE_ALONE || contact >= w->begin))
    {
        w->last = 1;
    }

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


/* The request ends, with or without having been decided. */

static void
ngx_http_tbucket_global_gone(void *data)
{
    ngx_http_tbucket_global_leave(data);
}


static void
ngx_http_tbucket_global_leave(ngx_http_tbucket_waiter_t *w)
{
    ngx_http_tbucket_asker_t   *asker;
    ngx_http_tbucket_asking_t  *a;

    if (w->event.timer_set) {
        ngx_del_timer(&w->event);
    }

    if (w->event.posted) {
        ngx_delete_posted_event(&w->event);
    }

    asker = w->asker;

    if (asker == NULL) {
        return;
    }

    w->asker = NULL;
    a = w->asking;

    ngx_queue_remove(&w->queue);

    if (!ngx_queue_empty(&asker->waiters)) {
        return;
    }

    if (asker->queued) {
        ngx_queue_remove(&asker->queue);
    }

    ngx_rbtree_delete(&a->askers, &asker->node);
    ngx_free(asker);
}


ngx_http_tbucket_asker_t *
ngx_http_tbucket_global_asker(ngx_http_tbucket_asking_t *a, uint32_t slot)
{
    ngx_rbtree_node_t  *node;

    node = a->askers.root;

    while (node != a->askers.sentinel) {

        if (node->key == slot) {
            return (ngx_http_tbucket_asker_t *)
                   ((u_char *) node
                    - offsetof(ngx_http_tbucket_asker_t, node));
        }

        node = slot < node->key ? node->left : node->right;
    }

    return NULL;
}


static ngx_http_tbucket_asker_t *
ngx_http_tbucket_global_new_asker(ngx_http_tbucket_asking_t *a, uint32_t slot,
    const tb_hash_t *h, ngx_log_t *log)
{
    ngx_http_tbucket_asker_t  *asker;

    asker = ngx_alloc(sizeof(ngx_http_tbucket_asker_t), log);
    if (asker == NULL) {
        return NULL;
    }

    asker->node.key = slot;
    asker->hash = *h;
    asker->queued = 0;
    asker->told = ngx_current_msec - NGX_HTTP_TBUCKET_GLOBAL_TELL;
    ngx_queue_init(&asker->waiters);

    ngx_rbtree_insert(&a->askers, &asker->node);

    return asker;
}


uint64_t
ngx_http_tbucket_global_need(ngx_http_tbucket_asker_t *asker, uint64_t *unit)
{
    uint64_t                    need;
    ngx_queue_t                *q;
    ngx_http_tbucket_waiter_t  *w;

    need = 0;

    for (q = ngx_queue_head(&asker->waiters);
         q != ngx_queue_sentinel(&asker->waiters);
         q = ngx_queue_next(q))
    {
        w = ngx_queue_data(q, ngx_http_tbucket_waiter_t, queue);

        need += w->cost;
        *unit = ngx_max(*unit, w->cost);
    }

    return need;
}


void
ngx_http_tbucket_global_wake(ngx_http_tbucket_asking_t *a, uint32_t slot)
{
    ngx_rbtree_node_t         *node, *next;
    ngx_http_tbucket_asker_t  *asker;

    if (slot != UINT32_MAX) {
        asker = ngx_http_tbucket_global_asker(a, slot);

        if (asker != NULL) {
            ngx_http_tbucket_global_wake_asker(asker);
        }

        return;
    }

    if (a->askers.root == a->askers.sentinel) {
        return;
    }

    for (node = ngx_rbtree_min(a->askers.root, a->askers.sentinel);
         node != NULL; node = next)
    {
        next = ngx_rbtree_next(&a->askers, node);

        ngx_http_tbucket_global_wake_asker((ngx_http_tbucket_asker_t *)
                           ((u_char *) node
                            - offsetof(ngx_http_tbucket_asker_t, node)));
    }
}


/* In the order in which they came. */

static void
ngx_http_tbucket_global_wake_asker(ngx_http_tbucket_asker_t *asker)
{
    ngx_queue_t                *q;
    ngx_http_tbucket_waiter_t  *w;

    for (q = ngx_queue_head(&asker->waiters);
         q != ngx_queue_sentinel(&asker->waiters);
         q = ngx_queue_next(q))
    {
        w = ngx_queue_data(q, ngx_http_tbucket_waiter_t, queue);

        ngx_post_event(&w->event, &ngx_posted_events);
    }
}
