
/*
 * lb_sticky: the directive, and what it does with a request.
 *
 * A server is named by its id, which tells no address.  What a client says is
 * never trusted: an id that no server has, or a session that is not known, is
 * that of a client that has come for the first time.
 */


#include "src/lb/request/ngx_http_lb_sticky.h"

#include "src/common/ngx_gw_compat.h"
#include "src/common/ngx_gw_param.h"
#include "src/core/balance/lb_learn.h"
#include "src/core/balance/lb_sid.h"
#include "src/lb/upstream/ngx_http_lb_zone.h"


#define NGX_HTTP_LB_STICKY_MAX_EXPIRES  2145916555

#define NGX_HTTP_LB_STICKY_SIZE         (1024 * 1024)
#define NGX_HTTP_LB_STICKY_TIMEOUT      600000       /* ms */

/* bits of given */
#define NGX_HTTP_LB_STICKY_EXPIRES      0x01
#define NGX_HTTP_LB_STICKY_DOMAIN       0x02
#define NGX_HTTP_LB_STICKY_PATH         0x04
#define NGX_HTTP_LB_STICKY_HTTPONLY     0x08
#define NGX_HTTP_LB_STICKY_SECURE       0x10
#define NGX_HTTP_LB_STICKY_SAMESITE     0x20
#define NGX_HTTP_LB_STICKY_SIZED        0x40
#define NGX_HTTP_LB_STICKY_TIMED        0x80


struct ngx_http_lb_sticky_s {
    ngx_uint_t                   given;

    /* cookie */
    ngx_str_t                    cookie;      /* its name; len 0: another */
    ngx_int_t                    variable;    /* what the client sends */
    time_t                       expires;     /* s; 0: with the session */
    ngx_str_t                    attributes;  /* "; path=/" and so on */

    /* route: the first value that is not empty */
    ngx_array_t                 *routes;      /* ngx_http_complex_value_t */

    /* learn */
    ngx_http_complex_value_t    *create;
    ngx_http_complex_value_t    *lookup;
    ssize_t                      size;
    ngx_msec_t                   timeout;
    lb_learn_t                  *learn;       /* in shared memory */
    lb_learn_t                  *superseded;  /* old one, until it is copied */
};


static char *ngx_http_lb_sticky_cookie(ngx_conf_t *cf,
    ngx_http_lb_sticky_t *sticky);
static const char *ngx_http_lb_sticky_attribute(ngx_conf_t *cf,
    ngx_http_lb_sticky_t *sticky, ngx_str_t *param);
static const char *ngx_http_lb_sticky_expires(ngx_http_lb_sticky_t *sticky,
    ngx_str_t *value);
static const char *ngx_http_lb_sticky_append(ngx_conf_t *cf,
    ngx_http_lb_sticky_t *sticky, const char *name, ngx_str_t *value);
static char *ngx_http_lb_sticky_route(ngx_conf_t *cf,
    ngx_http_lb_sticky_t *sticky);
static char *ngx_http_lb_sticky_learn(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf, ngx_http_lb_sticky_t *sticky);
static const char *ngx_http_lb_sticky_param(ngx_conf_t *cf,
    ngx_http_lb_sticky_t *sticky, ngx_str_t *param);
static char *ngx_http_lb_sticky_zone(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf, ngx_http_lb_sticky_t *sticky);
static ngx_int_t ngx_http_lb_sticky_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_uint_t ngx_http_lb_sticky_is(ngx_http_lb_sticky_t *sticky,
    ngx_str_t *param, const char *name, ngx_uint_t bit, ngx_str_t *value);
static char *ngx_http_lb_sticky_error(ngx_conf_t *cf, ngx_str_t *param,
    const char *allowed);
static ngx_http_lb_ctx_t *ngx_http_lb_sticky_earlier(ngx_http_lb_ctx_t *ctx);
static ngx_int_t ngx_http_lb_sticky_header(ngx_http_lb_ctx_t *ctx);
static ngx_int_t ngx_http_lb_sticky_filter(ngx_http_request_t *r);


static ngx_http_output_header_filter_pt  ngx_http_lb_sticky_next;


char *
ngx_http_lb_sticky(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_srv_conf_t  *lcf = conf;

    ngx_str_t             *value;
    ngx_http_lb_sticky_t  *sticky;

    if (lcf->sticky) {
        return "is duplicate";
    }

    ngx_http_lb_needs_method(cf, cmd, lcf);

    sticky = ngx_pcalloc(cf->pool, sizeof(ngx_http_lb_sticky_t));
    if (sticky == NULL) {
        return NGX_CONF_ERROR;
    }

    lcf->sticky = sticky;
    lcf->rules.sticky = 1;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "cookie") == 0) {
        return ngx_http_lb_sticky_cookie(cf, sticky);
    }

    if (ngx_strcmp(value[1].data, "route") == 0) {
        return ngx_http_lb_sticky_route(cf, sticky);
    }

    if (ngx_strcmp(value[1].data, "learn") == 0) {
        return ngx_http_lb_sticky_learn(cf, lcf, sticky);
    }

    return ngx_http_lb_sticky_error(cf, &value[1],
                                    "\"cookie\", \"route\" or \"learn\"");
}


static char *
ngx_http_lb_sticky_cookie(ngx_conf_t *cf, ngx_http_lb_sticky_t *sticky)
{
    u_char       ch;
    size_t       i;
    ngx_str_t   *value, name;
    ngx_uint_t   n;
    const char  *allowed;

    value = cf->args->elts;

    sticky->cookie = value[2];

    for (i = 0; i < value[2].len; i++) {
        ch = value[2].data[i];

        if (!(ch == '_' || (ch >= '0' && ch <= '9')
              || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z')))
        {
            return ngx_http_lb_sticky_error(cf, &value[2],
                                        "a name of letters, digits and \"_\"");
        }
    }

    if (value[2].len == 0) {
        return ngx_http_lb_sticky_error(cf, &value[2], "a name");
    }

    name.len = sizeof("cookie_") - 1 + value[2].len;
    name.data = ngx_pnalloc(cf->pool, name.len);
    if (name.data == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_sprintf(name.data, "cookie_%V", &value[2]);

    sticky->variable = ngx_http_get_variable_index(cf, &name);

    if (sticky->variable == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    for (n = 3; n < cf->args->nelts; n++) {
        allowed = ngx_http_lb_sticky_attribute(cf, sticky, &value[n]);

        if (allowed) {
            return ngx_http_lb_sticky_error(cf, &value[n], allowed);
        }
    }

    return NGX_CONF_OK;
}


/* NULL, or what it must be */

static const char *
ngx_http_lb_sticky_attribute(ngx_conf_t *cf, ngx_http_lb_sticky_t *sticky,
    ngx_str_t *param)
{
    ngx_str_t  value;

    ngx_str_null(&value);

    if (ngx_http_lb_sticky_is(sticky, param, "expires=",
                              NGX_HTTP_LB_STICKY_EXPIRES, &value))
    {
        return ngx_http_lb_sticky_expires(sticky, &value);
    }

    if (ngx_http_lb_sticky_is(sticky, param, "domain=",
                              NGX_HTTP_LB_STICKY_DOMAIN, &value))
    {
        return ngx_http_lb_sticky_append(cf, sticky, "; domain=", &value);
    }

    if (ngx_http_lb_sticky_is(sticky, param, "path=",
                              NGX_HTTP_LB_STICKY_PATH, &value))
    {
        return ngx_http_lb_sticky_append(cf, sticky, "; path=", &value);
    }

    if (ngx_http_lb_sticky_is(sticky, param, "httponly",
                              NGX_HTTP_LB_STICKY_HTTPONLY, NULL))
    {
        return ngx_http_lb_sticky_append(cf, sticky, "; httponly", NULL);
    }

    if (ngx_http_lb_sticky_is(sticky, param, "secure",
                              NGX_HTTP_LB_STICKY_SECURE, NULL))
    {
        return ngx_http_lb_sticky_append(cf, sticky, "; secure", NULL);
    }

    if (ngx_http_lb_sticky_is(sticky, param, "samesite=",
                              NGX_HTTP_LB_STICKY_SAMESITE, &value))
    {
        if (ngx_strcmp(value.data, "strict") != 0
            && ngx_strcmp(value.data, "lax") != 0
            && ngx_strcmp(value.data, "none") != 0)
        {
            return "\"samesite=\" strict, lax or none";
        }

        return ngx_http_lb_sticky_append(cf, sticky, "; samesite=", &value);
    }

    return "\"expires=\", \"domain=\", \"path=\", \"httponly\", \"secure\" or "
           "\"samesite=\", each once";
}


static const char *
ngx_http_lb_sticky_expires(ngx_http_lb_sticky_t *sticky, ngx_str_t *value)
{
    if (ngx_strcmp(value->data, "max") == 0) {
        sticky->expires = NGX_HTTP_LB_STICKY_MAX_EXPIRES;
        return NULL;
    }

    sticky->expires = ngx_parse_time(value, 1);

    if (sticky->expires == (time_t) NGX_ERROR || sticky->expires == 0) {
        return "\"expires=\" a time of 1s or more, or max";
    }

    return NULL;
}


/* The value of an attribute must not begin another one, or end the header. */

static const char *
ngx_http_lb_sticky_append(ngx_conf_t *cf, ngx_http_lb_sticky_t *sticky,
    const char *name, ngx_str_t *value)
{
    u_char     *p;
    size_t      i;
    ngx_str_t   none;

    ngx_str_null(&none);

    if (value == NULL) {
        value = &none;

    } else if (value->len == 0) {
        return "with a value";
    }

    for (i = 0; i < value->len; i++) {

        if (value->data[i] <= 0x20 || value->data[i] >= 0x7f
            || value->data[i] == ';')
        {
            return "without spaces, \";\" and control characters";
        }
    }

    p = ngx_pnalloc(cf->pool, sticky->attributes.len + ngx_strlen(name)
                              + value->len);
    if (p == NULL) {
        return "in memory";
    }

    sticky->attributes.len = ngx_sprintf(p, "%V%s%V", &sticky->attributes,
                                         name, value)
                             - p;
    sticky->attributes.data = p;

    return NULL;
}


static char *
ngx_http_lb_sticky_route(ngx_conf_t *cf, ngx_http_lb_sticky_t *sticky)
{
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_complex_value_t  *route;

    value = cf->args->elts;

    sticky->routes = ngx_array_create(cf->pool, cf->args->nelts - 2,
                                      sizeof(ngx_http_complex_value_t));
    if (sticky->routes == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        route = ngx_array_push(sticky->routes);

        if (route == NULL
            || ngx_gw_param_value(cf, &value[i], route) != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_lb_sticky_learn(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_sticky_t *sticky)
{
    ngx_str_t   *value;
    ngx_uint_t   i;
    const char  *allowed;

    value = cf->args->elts;

    sticky->size = NGX_HTTP_LB_STICKY_SIZE;
    sticky->timeout = NGX_HTTP_LB_STICKY_TIMEOUT;

    for (i = 2; i < cf->args->nelts; i++) {
        allowed = ngx_http_lb_sticky_param(cf, sticky, &value[i]);

        if (allowed) {
            return ngx_http_lb_sticky_error(cf, &value[i], allowed);
        }
    }

    if (sticky->create == NULL || sticky->lookup == NULL) {
        return "must have \"create=\" and \"lookup=\"";
    }

    return ngx_http_lb_sticky_zone(cf, lcf, sticky);
}


static const char *
ngx_http_lb_sticky_param(ngx_conf_t *cf, ngx_http_lb_sticky_t *sticky,
    ngx_str_t *param)
{
    ngx_str_t                   value;
    ngx_http_complex_value_t  **field;

    if (ngx_http_lb_sticky_is(sticky, param, "size=",
                              NGX_HTTP_LB_STICKY_SIZED, &value))
    {
        sticky->size = ngx_parse_size(&value);

        return (sticky->size == NGX_ERROR
                || sticky->size < (ssize_t) (16 * ngx_pagesize))
               ? "\"size=\" 64k or more" : NULL;
    }

    if (ngx_http_lb_sticky_is(sticky, param, "timeout=",
                              NGX_HTTP_LB_STICKY_TIMED, &value))
    {
        sticky->timeout = ngx_parse_time(&value, 0);

        return (sticky->timeout == (ngx_msec_t) NGX_ERROR
                || sticky->timeout == 0)
               ? "\"timeout=\" a time of 1ms or more" : NULL;
    }

    field = NULL;

    if (ngx_http_lb_sticky_is(sticky, param, "create=", 0, &value)) {
        field = &sticky->create;

    } else if (ngx_http_lb_sticky_is(sticky, param, "lookup=", 0, &value)) {
        field = &sticky->lookup;
    }

    if (field == NULL || *field != NULL || value.len == 0) {
        return "\"create=\", \"lookup=\", \"size=\" or \"timeout=\", each once";
    }

    *field = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));

    if (*field == NULL
        || ngx_gw_param_value(cf, &value, *field) != NGX_OK)
    {
        return "a value that can be made";
    }

    return NULL;
}


/* Sessions have a zone of their own, which a reload keeps. */

static char *
ngx_http_lb_sticky_zone(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_sticky_t *sticky)
{
    ngx_str_t                      name;
    ngx_shm_zone_t                *shm_zone;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    name.len = sizeof("lb_learn:") - 1 + uscf->host.len;
    name.data = ngx_pnalloc(cf->pool, name.len);
    if (name.data == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_sprintf(name.data, "lb_learn:%V", &uscf->host);

    shm_zone = ngx_shared_memory_add(cf, &name, sticky->size,
                                     &ngx_http_lb_upstream_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    shm_zone->init = ngx_http_lb_sticky_zone_init;
    shm_zone->data = sticky;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_lb_sticky_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    size_t                 size;
    ngx_shm_zone_t        *zone;
    ngx_slab_pool_t       *shpool;
    ngx_http_lb_sticky_t  *sticky, *old;

    sticky = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data == NULL && !shm_zone->shm.exists) {

        /* what the slab allocator needs for itself: 24 bytes a page, a head */

        size = shm_zone->shm.size - shm_zone->shm.size / 128
               - 8 * ngx_pagesize;

        shpool->data = ngx_slab_calloc(shpool, size);
        if (shpool->data == NULL) {
            return NGX_ERROR;
        }

        lb_learn_init(shpool->data, size);

        zone = ngx_http_lb_zone_find(&shm_zone->shm.name);

        if (zone) {
            old = zone->data;
            sticky->superseded = old->learn;
        }
    }

    sticky->learn = shpool->data;

    return NGX_OK;
}


/* A reload that fails leaves the old zones as they are. */

void
ngx_http_lb_sticky_init_module(ngx_http_lb_main_conf_t *lmcf)
{
    ngx_uint_t                i;
    ngx_http_lb_sticky_t     *sticky;
    ngx_http_lb_srv_conf_t  **lcfp;

    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {
        sticky = lcfp[i]->sticky;

        if (sticky && sticky->superseded) {
            lb_learn_copy(sticky->learn, sticky->superseded);
            sticky->superseded = NULL;
        }
    }
}


/*
 * Whether a parameter has that name, which may end with "=", and was not there
 * yet; value is what follows.
 */

static ngx_uint_t
ngx_http_lb_sticky_is(ngx_http_lb_sticky_t *sticky, ngx_str_t *param,
    const char *name, ngx_uint_t bit, ngx_str_t *value)
{
    size_t  len;

    len = ngx_strlen(name);

    if (param->len < len || ngx_strncmp(param->data, name, len) != 0
        || (value == NULL && param->len != len) || (sticky->given & bit))
    {
        return 0;
    }

    sticky->given |= bit;

    if (value) {
        value->len = param->len - len;
        value->data = param->data + len;
    }

    return 1;
}


static char *
ngx_http_lb_sticky_error(ngx_conf_t *cf, ngx_str_t *param,
    const char *allowed)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"lb_sticky\", it must "
                       "be %s", param, allowed);

    return NGX_CONF_ERROR;
}


void
ngx_http_lb_sticky_init(ngx_http_lb_main_conf_t *lmcf)
{
    ngx_uint_t                i;
    ngx_http_lb_srv_conf_t  **lcfp;

    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (lcfp[i]->sticky && lcfp[i]->sticky->create) {
            ngx_http_lb_sticky_next = ngx_http_top_header_filter;
            ngx_http_top_header_filter = ngx_http_lb_sticky_filter;
            return;
        }
    }
}


ngx_int_t
ngx_http_lb_sticky_find(ngx_http_lb_ctx_t *ctx)
{
    ngx_str_t                   value;
    ngx_uint_t                  i;
    ngx_http_lb_ctx_t          *earlier;
    ngx_http_request_t         *r;
    ngx_http_lb_sticky_t       *sticky;
    ngx_http_complex_value_t   *routes;
    ngx_http_variable_value_t  *vv;

    r = ctx->request;
    sticky = ctx->conf->sticky;

    if (sticky->cookie.len) {

        /* what an internal redirect has left is what the client will say */

        earlier = ngx_http_lb_sticky_earlier(ctx);

        if (earlier) {
            ctx->cookie = earlier->cookie;

            if (ctx->cookie->hash) {
                ctx->sid = earlier->picked;
                return NGX_OK;
            }
        }

        vv = ngx_http_get_indexed_variable(r, sticky->variable);

        if (vv && !vv->not_found && vv->len && vv->len <= LB_SID_MAX) {
            ctx->sid = lb_sid_hash(vv->data, vv->len);
        }

        return NGX_OK;
    }

    if (sticky->lookup) {

        if (ngx_http_complex_value(r, sticky->lookup, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len) {
            ctx->session = lb_learn_key(value.data, value.len);
            ctx->sid = lb_learn_find(sticky->learn, ctx->session,
                                     ngx_current_msec, sticky->timeout);
        }

        return NGX_OK;
    }

    routes = sticky->routes->elts;

    for (i = 0; i < sticky->routes->nelts; i++) {

        if (ngx_http_complex_value(r, &routes[i], &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len) {
            ctx->sid = lb_sid_hash(value.data, value.len);
            break;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_lb_sticky_picked(ngx_http_lb_ctx_t *ctx)
{
    ngx_http_lb_sticky_t  *sticky;

    sticky = ctx->conf->sticky;

    ctx->picked = atomic_load_explicit(
        &lb_roster_server(ctx->conf->roster, ctx->index)->sid,
        memory_order_relaxed);

    if (ctx->picked == ctx->sid) {
        return NGX_OK;
    }

    if (sticky->cookie.len) {
        return ngx_http_lb_sticky_header(ctx);
    }

    /* a session whose server cannot have it goes to another one */

    if (sticky->lookup && ctx->sid != 0) {
        lb_learn_set(sticky->learn, ctx->session, ctx->picked,
                     ngx_current_msec);
    }

    return NGX_OK;
}


void
ngx_http_lb_sticky_failed(ngx_http_lb_ctx_t *ctx)
{
    ctx->cookie->hash = 0;
}


/* What the request has been through here before, with a cookie; or NULL. */

static ngx_http_lb_ctx_t *
ngx_http_lb_sticky_earlier(ngx_http_lb_ctx_t *ctx)
{
    ngx_http_lb_ctx_t   *earlier;
    ngx_pool_cleanup_t  *cln;

    cln = ctx->cleanup.next;

    while ((earlier = ngx_http_lb_ctx_next(&cln)) != NULL) {

        if (earlier->request == ctx->request && earlier->conf == ctx->conf
            && earlier->cookie)
        {
            return earlier;
        }
    }

    return NULL;
}


/* The cookie that names the server; that of a subrequest goes nowhere. */

static ngx_int_t
ngx_http_lb_sticky_header(ngx_http_lb_ctx_t *ctx)
{
    u_char                *p;
    size_t                 len;
    time_t                 expires;
    ngx_str_t              sid;
    lb_identity_t         *identity;
    ngx_table_elt_t       *h;
    ngx_http_request_t    *r;
    ngx_http_lb_sticky_t  *sticky;

    r = ctx->request;
    sticky = ctx->conf->sticky;
    h = ctx->cookie;

    if (r != r->main) {
        return NGX_OK;
    }

    if (h == NULL) {
        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        ngx_str_set(&h->key, "Set-Cookie");
        ctx->cookie = h;
    }

    ngx_gw_header_init(h);

    identity = lb_roster_identity(ctx->conf->roster, ctx->index);

    sid.len = identity->sid_length;
    sid.data = (u_char *) identity->sid;

    len = sticky->cookie.len + 1 + sid.len + sticky->attributes.len
          + sizeof("; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=")
          + NGX_TIME_T_LEN;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        h->hash = 0;
        ngx_str_null(&h->value);
        return NGX_ERROR;
    }

    h->value.data = p;

    p = ngx_sprintf(p, "%V=%V", &sticky->cookie, &sid);

    if (sticky->expires == NGX_HTTP_LB_STICKY_MAX_EXPIRES) {
        p = ngx_sprintf(p, "; expires=Thu, 31-Dec-37 23:55:55 GMT; "
                        "max-age=315360000");

    } else if (sticky->expires) {
        expires = ngx_time() + sticky->expires;

        p = ngx_sprintf(p, "; expires=");
        p = ngx_http_cookie_time(p, expires);
        p = ngx_sprintf(p, "; max-age=%T", sticky->expires);
    }

    p = ngx_sprintf(p, "%V", &sticky->attributes);

    h->value.len = p - h->value.data;

    return NGX_OK;
}


/* A response that begins a session: its server is learned. */

static ngx_int_t
ngx_http_lb_sticky_filter(ngx_http_request_t *r)
{
    ngx_str_t              value;
    ngx_http_lb_ctx_t     *ctx;
    ngx_http_lb_sticky_t  *sticky;

    if (r->upstream == NULL) {
        return ngx_http_lb_sticky_next(r);
    }

    ctx = ngx_http_lb_ctx_get(r);
    sticky = ctx ? ctx->conf->sticky : NULL;

    if (sticky == NULL || sticky->create == NULL || ctx->picked == 0
        || ctx->index == LB_NONE)
    {
        return ngx_http_lb_sticky_next(r);
    }

    if (ngx_http_complex_value(r, sticky->create, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len) {
        lb_learn_set(sticky->learn, lb_learn_key(value.data, value.len),
                     ctx->picked, ngx_current_msec);
    }

    return ngx_http_lb_sticky_next(r);
}
