
/*
 * The keys of connections: making, copying and comparing them.
 */


#include "src/lb/request/ngx_http_lb_conn_key.h"


ngx_int_t
ngx_http_lb_conn_key(ngx_http_request_t *r, ngx_peer_connection_t *pc,
    ngx_http_lb_conn_key_t *key)
{
    key->protocol = r->upstream->output.tag;
    key->local = NULL;
    key->local_len = 0;
    key->transparent = 0;
    key->secure = 0;

    if (pc->local) {
        key->local = pc->local->sockaddr;
        key->local_len = pc->local->socklen;
        key->transparent = pc->transparent;
    }

#if (NGX_HTTP_SSL)

    if (r->upstream->ssl) {
        key->secure = 1;

        return ngx_http_lb_tls(r, &key->tls);
    }

#endif

    return NGX_OK;
}


ngx_http_lb_conn_key_t *
ngx_http_lb_conn_key_copy(ngx_pool_t *pool, const ngx_http_lb_conn_key_t *key)
{
    u_char                  *p;
    size_t                   size;
    ngx_http_lb_conn_key_t  *copy;

    size = sizeof(ngx_http_lb_conn_key_t) + key->local_len;

#if (NGX_HTTP_SSL)

    if (key->secure) {
        size += ngx_http_lb_tls_size(&key->tls);
    }

#endif

    copy = ngx_palloc(pool, size);
    if (copy == NULL) {
        return NULL;
    }

    *copy = *key;

    p = (u_char *) (copy + 1);

    if (key->local) {
        copy->local = (struct sockaddr *) p;
        p = ngx_cpymem(p, key->local, key->local_len);
    }

#if (NGX_HTTP_SSL)

    if (key->secure) {
        ngx_http_lb_tls_move(&copy->tls, p);
    }

#endif

    return copy;
}


ngx_uint_t
ngx_http_lb_conn_key_equal(const ngx_http_lb_conn_key_t *one,
    const ngx_http_lb_conn_key_t *two)
{
    if (one->protocol != two->protocol
        || one->secure != two->secure
        || one->transparent != two->transparent
        || one->local_len != two->local_len)
    {
        return 0;
    }

    if (one->local
        && ngx_cmp_sockaddr(one->local, one->local_len,
                            two->local, two->local_len, 1)
           != NGX_OK)
    {
        return 0;
    }

#if (NGX_HTTP_SSL)

    if (one->secure) {
        return ngx_http_lb_tls_equal(&one->tls, &two->tls);
    }

#endif

    return 1;
}
