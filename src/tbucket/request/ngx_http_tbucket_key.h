
/*
 * The key of a request that is one header, for its caller to inline.
 */


#ifndef NGX_HTTP_TBUCKET_KEY_H
#define NGX_HTTP_TBUCKET_KEY_H


#include "src/tbucket/ngx_http_tbucket.h"


/*
 * The value of a key: NGX_OK, NGX_DECLINED if it is empty, or NGX_ERROR.
 *
 * A header that is there once is what the variable would say.  Where it is
 * not there, or several times, the variable is asked.
 */

static ngx_inline ngx_int_t
ngx_http_tbucket_key_value(ngx_http_request_t *r,
    ngx_http_tbucket_key_t *key, ngx_str_t *value)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *found;

    if (key->kind != NGX_HTTP_TBUCKET_KEY_HEADER) {
        return ngx_http_tbucket_key_variable(r, key, value);
    }

    found = NULL;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = part->nelts; i != 0; i--, h++) {

            if (h->hash != key->hash || h->key.len != key->header.len
                || ngx_memcmp(h->lowcase_key, key->header.data,
                              key->header.len)
                   != 0)
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
