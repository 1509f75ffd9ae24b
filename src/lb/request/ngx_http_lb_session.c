
/*
 * TLS sessions to upstream servers, shared by all workers and kept over a
 * reload, as nginx's are in a zone.  A session stands for what was verified
 * when it was made, so it is resumed by a connection to the same address that
 * would verify the same; all of that is in a digest, which is its key.
 */


#include "src/lb/request/ngx_http_lb_session.h"

#include "src/core/balance/lb_session.h"
#include "src/lb/request/ngx_http_lb_tls.h"


#if (NGX_HTTP_SSL)


/* slots for each server line, and the least number of all */
#define NGX_HTTP_LB_SESSION_SLOTS  2
#define NGX_HTTP_LB_SESSION_LEAST  1024

/* bytes of an upstream's name that tell it from others */
#define NGX_HTTP_LB_SESSION_NAME   256


static ngx_int_t ngx_http_lb_session_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_lb_session_key(ngx_peer_connection_t *pc,
    ngx_http_lb_ctx_t *ctx, uint64_t key[LB_SESSION_KEY]);


/*
 * The size is a power of two, so that a server more or less seldom makes it
 * another zone, which would be empty.
 */

ngx_int_t
ngx_http_lb_session_conf(ngx_conf_t *cf, ngx_http_lb_main_conf_t *lmcf)
{
    size_t                    size;
    ngx_str_t                 name;
    ngx_uint_t                i, n;
    ngx_shm_zone_t           *shm_zone;
    ngx_http_lb_srv_conf_t  **lcfp;

    lcfp = lmcf->upstreams.elts;
    n = 0;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {
        n += lcfp[i]->nlines + lcfp[i]->nnames;
    }

    if (n == 0) {
        return NGX_OK;
    }

    lmcf->sessions = ngx_pcalloc(cf->pool, sizeof(lb_sessions_t));
    if (lmcf->sessions == NULL) {
        return NGX_ERROR;
    }

    lmcf->sessions->nslots = NGX_HTTP_LB_SESSION_LEAST;

    while (lmcf->sessions->nslots < NGX_HTTP_LB_SESSION_SLOTS * n) {
        lmcf->sessions->nslots *= 2;
    }

    /* the slab allocator has 24 bytes for each page, and its head */

    size = lmcf->sessions->nslots * sizeof(lb_session_slot_t);
    size = ngx_align(size + size / 128 + 8 * ngx_pagesize, ngx_pagesize);

    ngx_str_set(&name, "lb_sessions");

    shm_zone = ngx_shared_memory_add(cf, &name, size,
                                     &ngx_http_lb_upstream_module);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    shm_zone->init = ngx_http_lb_session_zone_init;
    shm_zone->data = lmcf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_session_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_slab_pool_t          *shpool;
    ngx_http_lb_main_conf_t  *lmcf;

    lmcf = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    /* memory of a new zone is zeros: to write them would be to have them */

    if (data == NULL && !shm_zone->shm.exists) {
        shpool->data = ngx_slab_alloc(shpool, lmcf->sessions->nslots
                                              * sizeof(lb_session_slot_t));
        if (shpool->data == NULL) {
            return NGX_ERROR;
        }
    }

    lmcf->sessions->slots = shpool->data;

    return NGX_OK;
}


ngx_int_t
ngx_http_lb_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_lb_ctx_t  *ctx = data;

    size_t                    len;
    uint64_t                  key[LB_SESSION_KEY];
    ngx_int_t                 rc;
    const u_char             *p;
    ngx_ssl_session_t        *session;
    ngx_http_lb_main_conf_t  *lmcf;

    static u_char  buf[LB_SESSION_MAX];

    if (ngx_http_lb_session_key(pc, ctx, key) != NGX_OK) {
        return NGX_OK;
    }

    lmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_lb_upstream_module);

    len = lb_session_find(lmcf->sessions, key, (uint32_t) ngx_time(), buf);

    p = buf;
    session = len ? d2i_SSL_SESSION(NULL, &p, len) : NULL;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb set session: %p, %uz", session, len);

    if (session == NULL) {
        ERR_clear_error();
        return NGX_OK;
    }

    rc = ngx_ssl_set_session(pc->connection, session);

    ngx_ssl_free_session(session);

    return rc;
}


void
ngx_http_lb_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_lb_ctx_t  *ctx = data;

    int                       len;
    u_char                   *p;
    uint64_t                  key[LB_SESSION_KEY];
    ngx_ssl_session_t        *session;
    ngx_http_lb_main_conf_t  *lmcf;

    static u_char  buf[LB_SESSION_MAX];

    /*
     * A ticket may come when the server has been given back already, or with
     * the answer to a later request, which need not have made the session:
     * nginx's own cache has connections for everybody.
     */

    if (ctx->index == LB_NONE || pc->cached
        || ngx_http_lb_session_key(pc, ctx, key) != NGX_OK)
    {
        return;
    }

    session = ngx_ssl_get0_session(pc->connection);

    if (session == NULL) {
        return;
    }

    len = i2d_SSL_SESSION(session, NULL);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "lb save session: %p, %d", session, len);

    if (len <= 0 || len > LB_SESSION_MAX) {
        return;
    }

    p = buf;
    (void) i2d_SSL_SESSION(session, &p);

    lmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_lb_upstream_module);

    (void) lb_session_set(lmcf->sessions, key, (uint32_t) ngx_time(), buf,
                          len);
}


/*
 * Each upstream has sessions of its own, as in nginx.  NGX_DECLINED: there is
 * none that another connection could have.
 */

static ngx_int_t
ngx_http_lb_session_key(ngx_peer_connection_t *pc, ngx_http_lb_ctx_t *ctx,
    uint64_t key[LB_SESSION_KEY])
{
    u_char            *p;
    ngx_str_t          server, *host;
    ngx_http_lb_tls_t  tls;

    static u_char  buf[sizeof(ngx_sockaddr_t) + NGX_HTTP_LB_SESSION_NAME];

    if (ngx_http_lb_tls(ctx->request, &tls) != NGX_OK) {
        return NGX_DECLINED;
    }

    host = &ctx->conf->upstream->host;

    p = ngx_cpymem(buf, pc->sockaddr, pc->socklen);
    p = ngx_cpymem(p, host->data,
                   ngx_min(host->len, NGX_HTTP_LB_SESSION_NAME));

    server.data = buf;
    server.len = p - buf;

    return ngx_http_lb_tls_digest(&tls, &server, (u_char *) key,
                                  LB_SESSION_KEY * sizeof(uint64_t));
}


#endif
