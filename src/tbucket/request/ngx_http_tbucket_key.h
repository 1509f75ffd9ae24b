
/*
 * Keys: the values that say whose bucket a request is charged to.  One that
 * is a header is read inline.
 */


#ifndef NGX_HTTP_TBUCKET_KEY_H
#define NGX_HTTP_TBUCKET_KEY_H


#include "src/tbucket/ngx_http_tbucket.h"


ngx_int_t ngx_http_tbucket_key_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_tbucket_key_t *key);

/* Whether all of this, behind a dollar sign, is the name of a variable. */

ngx_uint_t ngx_http_tbucket_is_variable(ngx_str_t *name);

/*
 * Warns of variables in the text, a key or a cost (what), that have no value
 * yet when the limit is checked: that only the request's body or its response
 * give a value to, or the access modules, unless it is checked after these.
 */

void ngx_http_tbucket_warn_late(ngx_conf_t *cf,
    ngx_http_tbucket_limit_t *limit, const char *what, ngx_str_t *text);

/* For init_module, once all variables are known. */

ngx_int_t ngx_http_tbucket_key_finish(ngx_cycle_t *cycle,
    ngx_http_tbucket_key_t *key);

/* As ngx_http_tbucket_key_value(), any key. */

ngx_int_t ngx_http_tbucket_key_variable(ngx_http_request_t *r,
    ngx_http_tbucket_key_t *key, ngx_str_t *value);


/* The value of $tbucket_addr in bytes of r->pool or the connection. */

ngx_int_t ngx_http_tbucket_client_addr(ngx_http_request_t *r,
    ngx_str_t *addr);


/* Whether len bytes are the same, of which there are few. */

static ngx_gw_inline ngx_uint_t
ngx_http_tbucket_same(u_char *one, u_char *other, size_t len)
{
    uint64_t  a, b;

    for ( /* void */ ; len >= sizeof(uint64_t); len -= sizeof(uint64_t)) {
        ngx_memcpy(&a, one, sizeof(uint64_t));
        ngx_memcpy(&b, other, sizeof(uint64_t));

        if (a != b) {
            return 0;
        }

        one += sizeof(uint64_t);
        other += sizeof(uint64_t);
    }

    for ( /* void */ ; len > 0; len--) {
        if (*one++ != *other++) {
            return 0;
        }
    }

    return 1;
}


/*
 * The value of a key: NGX_OK, NGX_DECLINED if it is empty, or NGX_ERROR.
 *
 * A header that is there once is what the variable would say.  Where it is
 * not there, or several times, the variable is asked.
 */

static ngx_gw_inline ngx_int_t
ngx_http_tbucket_key_value(ngx_http_request_t *r,
    ngx_http_tbucket_key_t *key, ngx_str_t *value)
{
    ngx_uint_t           i;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *h, *found;
    struct sockaddr_in  *sin;

    if (key->kind == NGX_HTTP_TBUCKET_KEY_BINARY_ADDR
        && r->connection->sockaddr->sa_family == AF_INET)
    {
        sin = (struct sockaddr_in *) r->connection->sockaddr;
        value->data = (u_char *) &sin->sin_addr;
        value->len = sizeof(in_addr_t);

        return NGX_OK;
    }

    if (key->kind != NGX_HTTP_TBUCKET_KEY_HEADER) {
        return ngx_http_tbucket_key_variable(r, key, value);
    }

    found = NULL;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = part->nelts; i != 0; i--, h++) {

            if (h->hash != key->hash || h->key.len != key->name.len
                || !ngx_http_tbucket_same(h->lowcase_key, key->name.data,
                                          key->name.len))
            {
                continue;
            }

            if (found) {
                return ngx_http_tbucket_key_variable(r, key, value);
            }

            found = h;
        }
    }

    if (found == NULL) {
        return ngx_http_tbucket_key_variable(r, key, value);
    }

    *value = found->value;

    return value->len ? NGX_OK : NGX_DECLINED;
}


#endif /* NGX_HTTP_TBUCKET_KEY_H */
