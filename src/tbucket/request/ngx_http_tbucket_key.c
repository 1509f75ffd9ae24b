
/*
 * Keys: the values that say whose bucket a request is charged to.  The usual
 * ones, a variable or a request header, are read without a script.
 */


#include "src/tbucket/request/ngx_http_tbucket_key.h"

#include "src/core/text/gw_addr.h"


static size_t ngx_http_tbucket_name_len(ngx_str_t *text, size_t begin);
static ngx_uint_t ngx_http_tbucket_is_late(ngx_str_t *name);
static ngx_uint_t ngx_http_tbucket_is_variable(ngx_str_t *name);
static void ngx_http_tbucket_binary_addr(ngx_connection_t *c,
    ngx_str_t *value);


/* variables that nobody can define anew */

static const struct {
    ngx_str_t               name;
    ngx_http_tbucket_key_e  kind;
} ngx_http_tbucket_addrs[] = {
    { ngx_string("tbucket_addr"), NGX_HTTP_TBUCKET_KEY_TBUCKET_ADDR },
    { ngx_string("remote_addr"), NGX_HTTP_TBUCKET_KEY_REMOTE_ADDR },
    { ngx_string("binary_remote_addr"), NGX_HTTP_TBUCKET_KEY_BINARY_ADDR },
    { ngx_null_string, NGX_HTTP_TBUCKET_KEY_ANY }
};


/*
 * Variables that have no value, or the same for all, when a request is
 * checked; those that end in "_" stand for all that begin so.
 */

static const char  *ngx_http_tbucket_late[] = {
    "body_bytes_sent", "bytes_sent", "jwt_claim_", "jwt_header_",
    "jwt_payload", "request_body", "request_body_file", "request_completion",
    "sent_http_", "sent_trailer_", "status", "tbucket_client",
    "tbucket_client_hash", "tbucket_limit", "tbucket_remaining",
    "tbucket_reset", "tbucket_retry_after", "tbucket_status", "tbucket_zone",
    "upstream_addr", "upstream_bytes_received", "upstream_bytes_sent",
    "upstream_cache_etag", "upstream_cache_last_modified",
    "upstream_cache_status", "upstream_connect_time", "upstream_cookie_",
    "upstream_header_time", "upstream_http_", "upstream_response_length",
    "upstream_response_time", "upstream_status", "upstream_trailer_", NULL
};


void
ngx_http_tbucket_warn_late(ngx_conf_t *cf, const char *what, ngx_str_t *text)
{
    size_t     i;
    ngx_str_t  name;

    for (i = 0; i < text->len; i++) {

        if (text->data[i] != '$') {
            continue;
        }

        if (i + 1 < text->len && text->data[i + 1] == '{') {
            i++;
        }

        name.data = text->data + i + 1;
        name.len = ngx_http_tbucket_name_len(text, i + 1);

        if (ngx_http_tbucket_is_late(&name)) {
            ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                               "variable \"$%V\" of the %s is not known yet "
                               "when a request is checked", &name, what);
        }
    }
}


/* How many letters, digits and "_" there are from begin on. */

static size_t
ngx_http_tbucket_name_len(ngx_str_t *text, size_t begin)
{
    size_t  i;
    u_char  c;

    for (i = begin; i < text->len; i++) {
        c = text->data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')
            && !(c >= '0' && c <= '9') && c != '_')
        {
            break;
        }
    }

    return i - begin;
}


static ngx_uint_t
ngx_http_tbucket_is_late(ngx_str_t *name)
{
    size_t       len;
    const char **late;

    for (late = ngx_http_tbucket_late; *late; late++) {
        len = ngx_strlen(*late);

        if (name->len >= len
            && (name->len == len || (*late)[len - 1] == '_')
            && ngx_strncasecmp(name->data, (u_char *) *late, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_tbucket_key_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_tbucket_key_t *key)
{
    ngx_str_t                          name;
    ngx_uint_t                         i;
    ngx_http_compile_complex_value_t   ccv;

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = text;
    ccv.complex_value = &key->value;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_tbucket_warn_late(cf, "key", text);

    key->index = -1;
    key->kind = NGX_HTTP_TBUCKET_KEY_ANY;

    if (text->data[0] != '$') {
        return NGX_OK;
    }

    name.data = text->data + 1;
    name.len = text->len - 1;

    if (!ngx_http_tbucket_is_variable(&name)) {
        return NGX_OK;
    }

    for (i = 0; ngx_http_tbucket_addrs[i].name.len; i++) {

        if (ngx_http_tbucket_addrs[i].name.len == name.len
            && ngx_strncasecmp(ngx_http_tbucket_addrs[i].name.data,
                               name.data, name.len)
               == 0)
        {
            key->kind = ngx_http_tbucket_addrs[i].kind;
            break;
        }
    }

    key->index = ngx_http_get_variable_index(cf, &name);

    return key->index == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


/* A digit in front makes it a capture. */

static ngx_uint_t
ngx_http_tbucket_is_variable(ngx_str_t *name)
{
    return name->len != 0 && !(name->data[0] >= '0' && name->data[0] <= '9')
           && ngx_http_tbucket_name_len(name, 0) == name->len;
}


ngx_int_t
ngx_http_tbucket_key_finish(ngx_cycle_t *cycle, ngx_http_tbucket_key_t *key)
{
    size_t     i;
    ngx_str_t  name;

    if (key->index < 0
        || !ngx_gw_variable_is_header(cycle, (ngx_uint_t) key->index, &name))
    {
        return NGX_OK;
    }

    key->header.data = ngx_pnalloc(cycle->pool, name.len);
    if (key->header.data == NULL) {
        return NGX_ERROR;
    }

    key->header.len = name.len;

    for (i = 0; i < name.len; i++) {
        key->header.data[i] = name.data[i] == '_' ? '-' : name.data[i];
    }

    key->hash = ngx_hash_key(key->header.data, key->header.len);
    key->kind = NGX_HTTP_TBUCKET_KEY_HEADER;

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_key_variable(ngx_http_request_t *r,
    ngx_http_tbucket_key_t *key, ngx_str_t *value)
{
    ngx_http_variable_value_t  *v;

    switch (key->kind) {

    case NGX_HTTP_TBUCKET_KEY_TBUCKET_ADDR:
        return ngx_http_tbucket_client_addr(r, value);

    case NGX_HTTP_TBUCKET_KEY_REMOTE_ADDR:
        *value = r->connection->addr_text;
        return NGX_OK;

    case NGX_HTTP_TBUCKET_KEY_BINARY_ADDR:
        ngx_http_tbucket_binary_addr(r->connection, value);
        return NGX_OK;

    default:
        break;
    }

    if (key->index >= 0) {
        v = ngx_http_get_flushed_variable(r, key->index);

        if (v == NULL || v->not_found) {
            return NGX_DECLINED;
        }

        value->data = v->data;
        value->len = v->len;

    } else if (ngx_http_complex_value(r, &key->value, value) != NGX_OK) {
        return NGX_ERROR;
    }

    return value->len ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_tbucket_binary_addr(ngx_connection_t *c, ngx_str_t *value)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (c->sockaddr->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) c->sockaddr;
        value->data = (u_char *) &sin->sin_addr;
        value->len = sizeof(in_addr_t);
        break;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) c->sockaddr;
        value->data = sin6->sin6_addr.s6_addr;
        value->len = sizeof(struct in6_addr);
        break;
#endif

    default: /* AF_UNIX */
        *value = c->addr_text;
        break;
    }
}


ngx_int_t
ngx_http_tbucket_client_addr(ngx_http_request_t *r, ngx_str_t *addr)
{
#if (NGX_HAVE_INET6)

    u_char                       *p;
    struct sockaddr_in6          *sin6;
    ngx_http_tbucket_loc_conf_t  *lcf;

    if (r->connection->sockaddr->sa_family == AF_INET6) {
        lcf = ngx_http_get_module_loc_conf(r, ngx_http_tbucket_module);
        sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;

        p = ngx_pnalloc(r->pool, GW_ADDR_TEXT_MAX);
        if (p == NULL) {
            return NGX_ERROR;
        }

        addr->data = p;
        addr->len = gw_addr_print(sin6->sin6_addr.s6_addr, 16,
                                  (unsigned) lcf->ipv6_prefix, (char *) p);
        return NGX_OK;
    }

#endif

    *addr = r->connection->addr_text;

    return NGX_OK;
}
