
/*
 * Keys: the values that say whose bucket a request is charged to.  The usual
 * ones, a variable or a request header, are read without a script.
 */


#include "src/tbucket/request/ngx_http_tbucket_key.h"

#include "src/common/ngx_gw_param.h"
#include "src/core/text/gw_addr.h"


static size_t ngx_http_tbucket_name_len(ngx_str_t *text, size_t begin);
static ngx_uint_t ngx_http_tbucket_is_of(const char **names, ngx_str_t *name);
static ngx_uint_t ngx_http_tbucket_is_of_auth(ngx_conf_t *cf,
    ngx_str_t *name);
static ngx_http_variable_t *ngx_http_tbucket_find_variable(ngx_conf_t *cf,
    ngx_str_t *name);
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
    "body_bytes_sent", "bytes_sent", "request_body", "request_body_file",
    "request_completion", "sent_http_", "sent_trailer_", "status",
    "tbucket_client", "tbucket_client_hash", "tbucket_cost", "tbucket_limit",
    "tbucket_remaining", "tbucket_reset", "tbucket_retry_after",
    "tbucket_status", "tbucket_usage_", "tbucket_wait", "tbucket_zone",
    "upstream_addr", "upstream_bytes_received", "upstream_bytes_sent",
    "upstream_cache_etag", "upstream_cache_last_modified",
    "upstream_cache_status", "upstream_connect_time", "upstream_cookie_",
    "upstream_header_time", "upstream_http_", "upstream_response_length",
    "upstream_response_time", "upstream_status", "upstream_trailer_", NULL
};


/* Those that modules of the access phase give a value to. */

static const char  *ngx_http_tbucket_of_access[] = {
    "jwt_claim_", "jwt_header_", "jwt_payload", NULL
};


void
ngx_http_tbucket_warn_late(ngx_conf_t *cf, ngx_http_tbucket_limit_t *limit,
    const char *what, ngx_str_t *text)
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

        if (ngx_http_tbucket_is_of(ngx_http_tbucket_late, &name)) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "variable \"$%V\" of the %s is not known yet when a "
                          "request is checked in %s:%ui", &name, what,
                          limit->file, limit->line);

        } else if (!limit->after
                   && (ngx_http_tbucket_is_of(ngx_http_tbucket_of_access,
                                              &name)
                       || ngx_http_tbucket_is_of_auth(cf, &name)))
        {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "variable \"$%V\" of the %s is not known yet when a "
                          "request is checked, unless \"tbucket zone=%V\" has "
                          "\"after=access\" in %s:%ui", &name, what,
                          &limit->name, limit->file, limit->line);
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
ngx_http_tbucket_is_of(const char **names, ngx_str_t *name)
{
    size_t  len;

    for ( /* void */ ; *names; names++) {
        len = ngx_strlen(*names);

        if (name->len >= len
            && (name->len == len || (*names)[len - 1] == '_')
            && ngx_strncasecmp(name->data, (u_char *) *names, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * Whether it is "auth_request_set" that gives it a value.  The function which
 * reads such a variable has no name outside of its module, so it is that of a
 * variable which is set in the same way here.
 */

static ngx_uint_t
ngx_http_tbucket_is_of_auth(ngx_conf_t *cf, ngx_str_t *name)
{
    void                  *conf;
    ngx_conf_t             probe;
    ngx_uint_t             i;
    ngx_array_t            args;
    ngx_module_t         **modules;
    ngx_command_t         *cmd;
    ngx_http_module_t     *module;
    ngx_http_variable_t   *var, *set;

    static ngx_str_t  probed = ngx_string("tbucket_auth_request");

    ngx_str_t  text[] = {
        ngx_string("auth_request_set"),
        ngx_string("$tbucket_auth_request"),
        ngx_string("-")
    };

    var = ngx_http_tbucket_find_variable(cf, name);

    if (var == NULL || var->get_handler == NULL
        || !(var->flags & NGX_HTTP_VAR_CHANGEABLE))
    {
        return 0;
    }

    modules = cf->cycle->modules;

    for (i = 0; modules[i] != NULL; i++) {
        if (ngx_strcmp(modules[i]->name, "ngx_http_auth_request_module") == 0)
        {
            break;
        }
    }

    if (modules[i] == NULL) {
        return 0;
    }

    module = modules[i]->ctx;

    for (cmd = modules[i]->commands; cmd->name.len; cmd++) {

        if (cmd->name.len == text[0].len
            && ngx_strncmp(cmd->name.data, text[0].data, text[0].len) == 0)
        {
            break;
        }
    }

    conf = module->create_loc_conf(cf);

    if (cmd->name.len == 0 || conf == NULL) {
        return 0;
    }

    ngx_memzero(&args, sizeof(ngx_array_t));
    args.elts = text;
    args.nelts = 3;

    probe = *cf;
    probe.args = &args;

    if (cmd->set(&probe, cmd, conf) != NGX_CONF_OK) {
        return 0;
    }

    set = ngx_http_tbucket_find_variable(cf, &probed);

    return set != NULL && set->get_handler == var->get_handler;
}


static ngx_http_variable_t *
ngx_http_tbucket_find_variable(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t                  i;
    ngx_hash_key_t             *key;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    key = cmcf->variables_keys->keys.elts;

    for (i = 0; i < cmcf->variables_keys->keys.nelts; i++) {

        if (key[i].key.len == name->len
            && ngx_strncasecmp(key[i].key.data, name->data, name->len) == 0)
        {
            return key[i].value;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_tbucket_key_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_tbucket_key_t *key)
{
    ngx_str_t   name;
    ngx_uint_t  i;

    if (ngx_gw_param_value(cf, text, &key->value) != NGX_OK) {
        return NGX_ERROR;
    }

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

ngx_uint_t
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

    if (key->index < 0) {
        return NGX_OK;
    }

    if (ngx_gw_variable_is_argument(cycle, (ngx_uint_t) key->index, &name)) {
        key->name = name;
        key->kind = NGX_HTTP_TBUCKET_KEY_ARGUMENT;
        return NGX_OK;
    }

    if (!ngx_gw_variable_is_header(cycle, (ngx_uint_t) key->index, &name)) {
        return NGX_OK;
    }

    key->name.data = ngx_pnalloc(cycle->pool, name.len);
    if (key->name.data == NULL) {
        return NGX_ERROR;
    }

    key->name.len = name.len;

    for (i = 0; i < name.len; i++) {
        key->name.data[i] = name.data[i] == '_' ? '-' : name.data[i];
    }

    key->hash = ngx_hash_key(key->name.data, key->name.len);
    key->kind = NGX_HTTP_TBUCKET_KEY_HEADER;

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_key_variable(ngx_http_request_t *r,
    ngx_http_tbucket_key_t *key, ngx_str_t *value)
{
    ngx_http_variable_value_t  *v;

    switch (key->kind) {

    case NGX_HTTP_TBUCKET_KEY_ARGUMENT:
        return (ngx_http_arg(r, key->name.data, key->name.len, value)
                == NGX_OK && value->len)
               ? NGX_OK : NGX_DECLINED;

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
