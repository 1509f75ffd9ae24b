
/*
 * The tbucket_store directive, and which kinds of stores there are.
 */


#include "src/tbucket/ngx_http_tbucket_store_conf.h"
#include "src/tbucket/clients/ngx_http_tbucket_store.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_store.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_sqlite_store.h"


#define NGX_HTTP_TBUCKET_PREFIX_MAX  64
#define NGX_HTTP_TBUCKET_NODE_MAX    255


/* A time of the directive and its bounds, ms. */

typedef struct {
    ngx_str_t    name;
    size_t       offset;
    ngx_msec_t   min;
    ngx_msec_t   max;
    const char  *range;
} ngx_http_tbucket_store_time_t;


static char *ngx_http_tbucket_store_url(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *url);
static char *ngx_http_tbucket_store_arg(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, ngx_str_t *arg);
static char *ngx_http_tbucket_store_time(ngx_conf_t *cf,
    ngx_http_tbucket_store_t *store, const ngx_http_tbucket_store_time_t *t,
    ngx_str_t *value);
static char *ngx_http_tbucket_store_name(ngx_conf_t *cf, const char *what,
    ngx_str_t *name, size_t max, ngx_str_t *value);
static ngx_uint_t ngx_http_tbucket_store_take(ngx_str_t *arg,
    const ngx_str_t *name, ngx_str_t *value);


static const ngx_http_tbucket_store_time_t  ngx_http_tbucket_times[] = {
    { ngx_string("interval="), offsetof(ngx_http_tbucket_store_t, interval),
      100, 3600000, "100ms to 1h" },
    { ngx_string("timeout="), offsetof(ngx_http_tbucket_store_t, timeout),
      10, 60000, "10ms to 60s" },
    { ngx_null_string, 0, 0, 0, NULL }
};


/* What kinds of stores there are, by how their URLs begin. */

static const struct {
    ngx_str_t   scheme;
    char     *(*conf)(ngx_conf_t *cf, ngx_http_tbucket_store_t *store,
                      ngx_str_t *url);
} ngx_http_tbucket_stores[] = {
    { ngx_string("sqlite:"), ngx_http_tbucket_sqlite_conf },
    { ngx_string("redis:"), ngx_http_tbucket_redis_conf },
    { ngx_string("redis+unix:"), ngx_http_tbucket_redis_conf },
    { ngx_string("redis+sentinel:"), ngx_http_tbucket_redis_conf },
    { ngx_string("redis+cluster:"), ngx_http_tbucket_redis_conf },
    { ngx_string("rediss:"), ngx_http_tbucket_redis_conf },
    { ngx_string("rediss+sentinel:"), ngx_http_tbucket_redis_conf },
    { ngx_string("rediss+cluster:"), ngx_http_tbucket_redis_conf },
    { ngx_null_string, NULL }
};


char *
ngx_http_tbucket_conf_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tbucket_main_conf_t  *mcf = conf;

    char                      *rv;
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_tbucket_store_t  *store;

    if (mcf->store != NULL) {
        return "is duplicate";
    }

    store = ngx_http_tbucket_store_create(cf);
    if (store == NULL) {
        return NGX_CONF_ERROR;
    }

    mcf->store = store;
    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_tbucket_store_arg(cf, store, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    ngx_conf_init_msec_value(store->interval, 1000);
    ngx_conf_init_msec_value(store->timeout, 1000);

    if (store->prefix.len == 0) {
        ngx_str_set(&store->prefix, "tbucket");
    }

    if (store->node.len == 0) {
        store->node = cf->cycle->hostname;
    }

    return ngx_http_tbucket_store_url(cf, store, &value[1]);
}


/* A URL may hold a password, so messages have no more than its scheme. */

static char *
ngx_http_tbucket_store_url(ngx_conf_t *cf, ngx_http_tbucket_store_t *store,
    ngx_str_t *url)
{
    u_char      *p;
    ngx_str_t    scheme, rest;
    ngx_uint_t   i;

    for (i = 0; ngx_http_tbucket_stores[i].conf; i++) {

        if (ngx_http_tbucket_store_take(url,
                                        &ngx_http_tbucket_stores[i].scheme,
                                        &rest))
        {
            return ngx_http_tbucket_stores[i].conf(cf, store, url);
        }
    }

    p = ngx_strlchr(url->data, url->data + url->len, ':');

    if (p == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the store's URL has no scheme");
        return NGX_CONF_ERROR;
    }

    scheme.data = url->data;
    scheme.len = p - url->data;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown scheme \"%V\" of the store's URL", &scheme);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_tbucket_store_arg(ngx_conf_t *cf, ngx_http_tbucket_store_t *store,
    ngx_str_t *arg)
{
    ngx_str_t                             value, *param;
    const ngx_http_tbucket_store_time_t  *t;

    static const ngx_str_t  prefix = ngx_string("prefix=");
    static const ngx_str_t  node = ngx_string("node=");

    for (t = ngx_http_tbucket_times; t->range; t++) {
        if (ngx_http_tbucket_store_take(arg, &t->name, &value)) {
            return ngx_http_tbucket_store_time(cf, store, t, &value);
        }
    }

    if (ngx_http_tbucket_store_take(arg, &prefix, &value)) {
        return ngx_http_tbucket_store_name(cf, "prefix", &store->prefix,
                                           NGX_HTTP_TBUCKET_PREFIX_MAX,
                                           &value);
    }

    if (ngx_http_tbucket_store_take(arg, &node, &value)) {
        return ngx_http_tbucket_store_name(cf, "node", &store->node,
                                           NGX_HTTP_TBUCKET_NODE_MAX, &value);
    }

    param = ngx_array_push(&store->params);
    if (param == NULL) {
        return NGX_CONF_ERROR;
    }

    *param = *arg;

    return NGX_CONF_OK;
}


static char *
ngx_http_tbucket_store_time(ngx_conf_t *cf, ngx_http_tbucket_store_t *store,
    const ngx_http_tbucket_store_time_t *t, ngx_str_t *value)
{
    ngx_int_t    ms;
    ngx_str_t    name;
    ngx_msec_t  *field;

    field = (ngx_msec_t *) ((char *) store + t->offset);

    name.data = t->name.data;
    name.len = t->name.len - 1;

    if (*field != NGX_CONF_UNSET_MSEC) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"%V\" parameter", &name);
        return NGX_CONF_ERROR;
    }

    ms = ngx_parse_time(value, 0);

    if (ms == NGX_ERROR || (ngx_msec_t) ms < t->min
        || (ngx_msec_t) ms > t->max)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid %V \"%V\", a time from %s is expected",
                           &name, value, t->range);
        return NGX_CONF_ERROR;
    }

    *field = ms;

    return NGX_CONF_OK;
}


/* What stands in keys: no braces, which Redis would take for its own. */

static char *
ngx_http_tbucket_store_name(ngx_conf_t *cf, const char *what,
    ngx_str_t *name, size_t max, ngx_str_t *value)
{
    u_char  c;
    size_t  i;

    if (name->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"%s\" parameter", what);
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')
            && !(c >= '0' && c <= '9')
            && ngx_strlchr((u_char *) "._:-", (u_char *) "._:-" + 4, c)
               == NULL)
        {
            break;
        }
    }

    if (i < value->len || value->len == 0 || value->len > max) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid %s \"%V\": 1 to %uz letters, digits and "
                           "\"._:-\" are allowed", what, value, max);
        return NGX_CONF_ERROR;
    }

    *name = *value;

    return NGX_CONF_OK;
}


/* Whether arg begins with name; value is then what follows. */

static ngx_uint_t
ngx_http_tbucket_store_take(ngx_str_t *arg, const ngx_str_t *name,
    ngx_str_t *value)
{
    if (arg->len < name->len
        || ngx_strncmp(arg->data, name->data, name->len) != 0)
    {
        return 0;
    }

    value->data = arg->data + name->len;
    value->len = arg->len - name->len;

    return 1;
}


ngx_int_t
ngx_http_tbucket_store_create_zone(ngx_http_tbucket_zone_t *zone)
{
    if (ngx_http_tbucket_sqlite_create_zone(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_tbucket_redis_create_zone(zone);
}
