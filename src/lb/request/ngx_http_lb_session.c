
/*
 * TLS sessions to upstream servers, kept in the worker that made them: for
 * each slot those used last, one for each key.  A session stands for what was
 * verified when it was made, so it is resumed by a connection that would
 * verify the same.
 */


#include "src/lb/request/ngx_http_lb_session.h"

#include "src/lb/request/ngx_http_lb_tls.h"


#if (NGX_HTTP_SSL)


/* sessions of a server */
#define NGX_HTTP_LB_SESSIONS  16


typedef struct {
    ngx_queue_t            queue;        /* of its slot, used last first */
    ngx_ssl_session_t     *session;
    uint32_t               generation;   /* of the slot */
    ngx_http_lb_tls_t      key;          /* its texts follow */
} ngx_http_lb_session_t;


static ngx_http_lb_session_t *ngx_http_lb_session_find(
    ngx_http_lb_ctx_t *ctx, ngx_http_lb_tls_t *key);
static ngx_http_lb_session_t *ngx_http_lb_session_add(ngx_http_lb_ctx_t *ctx,
    ngx_http_lb_tls_t *key, ngx_log_t *log);
static void ngx_http_lb_session_remove(ngx_http_lb_session_t *session);


ngx_int_t
ngx_http_lb_session_init(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf)
{
    /* a queue of which nothing but zeros has been seen is an empty one */

    lcf->sessions = ngx_pcalloc(cycle->pool,
                                lcf->capacity * sizeof(ngx_queue_t));

    return (lcf->sessions == NULL) ? NGX_ERROR : NGX_OK;
}


void
ngx_http_lb_session_free(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t      i;
    ngx_queue_t  *queue;

    if (lcf->sessions == NULL) {
        return;
    }

    for (i = 0; i < lcf->capacity; i++) {
        queue = &lcf->sessions[i];

        while (queue->next && !ngx_queue_empty(queue)) {
            ngx_http_lb_session_remove(ngx_queue_data(ngx_queue_head(queue),
                                                      ngx_http_lb_session_t,
                                                      queue));
        }
    }
}


ngx_int_t
ngx_http_lb_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_lb_ctx_t  *ctx = data;

    ngx_http_lb_tls_t       key;
    ngx_http_lb_session_t  *found;

    if (ngx_http_lb_tls(ctx->request, &key) != NGX_OK) {
        return NGX_OK;
    }

    found = ngx_http_lb_session_find(ctx, &key);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb set session: %p", found ? found->session : NULL);

    return found ? ngx_ssl_set_session(pc->connection, found->session)
                 : NGX_OK;
}


void
ngx_http_lb_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_lb_ctx_t  *ctx = data;

    ngx_http_lb_tls_t       key;
    ngx_ssl_session_t      *session;
    ngx_http_lb_session_t  *found;

    /*
     * A ticket may come when the server has been given back already, or with
     * the answer to a later request, which need not have made the session:
     * nginx's own cache has connections for everybody.
     */

    if (ctx->index == LB_NONE || pc->cached
        || ngx_http_lb_tls(ctx->request, &key) != NGX_OK)
    {
        return;
    }

    found = ngx_http_lb_session_find(ctx, &key);

    if (found == NULL) {
        found = ngx_http_lb_session_add(ctx, &key, pc->log);

        if (found == NULL) {
            return;
        }
    }

    session = ngx_ssl_get_session(pc->connection);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb save session: %p, old: %p", session, found->session);

    if (session == NULL) {
        return;
    }

    if (found->session) {
        ngx_ssl_free_session(found->session);
    }

    found->session = session;
}


/* The session with the key, if any; removes those of former servers. */

static ngx_http_lb_session_t *
ngx_http_lb_session_find(ngx_http_lb_ctx_t *ctx, ngx_http_lb_tls_t *key)
{
    ngx_queue_t            *q, *next, *queue;
    ngx_http_lb_session_t  *found;

    queue = &ctx->conf->sessions[ctx->index];

    if (queue->next == NULL) {
        ngx_queue_init(queue);
    }

    for (q = ngx_queue_head(queue);
         q != ngx_queue_sentinel(queue);
         q = next)
    {
        next = ngx_queue_next(q);
        found = ngx_queue_data(q, ngx_http_lb_session_t, queue);

        if (found->generation != ctx->generation) {
            ngx_http_lb_session_remove(found);
            continue;
        }

        if (ngx_http_lb_tls_equal(&found->key, key)) {
            ngx_queue_remove(q);
            ngx_queue_insert_head(queue, q);
            return found;
        }
    }

    return NULL;
}


static ngx_http_lb_session_t *
ngx_http_lb_session_add(ngx_http_lb_ctx_t *ctx, ngx_http_lb_tls_t *key,
    ngx_log_t *log)
{
    ngx_uint_t              n;
    ngx_queue_t            *q, *queue;
    ngx_http_lb_session_t  *added;

    queue = &ctx->conf->sessions[ctx->index];
    n = 0;

    for (q = ngx_queue_head(queue);
         q != ngx_queue_sentinel(queue);
         q = ngx_queue_next(q))
    {
        n++;
    }

    if (n == NGX_HTTP_LB_SESSIONS) {
        ngx_http_lb_session_remove(ngx_queue_data(ngx_queue_last(queue),
                                                  ngx_http_lb_session_t,
                                                  queue));
    }

    added = ngx_alloc(sizeof(ngx_http_lb_session_t)
                      + ngx_http_lb_tls_size(key), log);
    if (added == NULL) {
        return NULL;
    }

    added->session = NULL;
    added->generation = ctx->generation;
    added->key = *key;

    ngx_http_lb_tls_move(&added->key, (u_char *) (added + 1));

    ngx_queue_insert_head(queue, &added->queue);

    return added;
}


static void
ngx_http_lb_session_remove(ngx_http_lb_session_t *session)
{
    ngx_queue_remove(&session->queue);

    if (session->session) {
        ngx_ssl_free_session(session->session);
    }

    ngx_free(session);
}


#endif
