
/*
 * What differs between the versions of nginx that we build with, and what
 * rests on how nginx does something inside.  Nowhere else is nginx_version
 * asked for.
 */


#ifndef NGX_GW_COMPAT_H
#define NGX_GW_COMPAT_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* A header that ngx_list_push() made; since 1.23.0 equal ones are linked. */

#if (nginx_version >= 1023000)
#define ngx_gw_header_init(h)  ((h)->hash = 1, (h)->next = NULL)
#else
#define ngx_gw_header_init(h)  ((h)->hash = 1)
#endif

/* What a server line with "resolve" has, since 1.27.3: a host. */

#if (nginx_version >= 1027003 && NGX_HTTP_UPSTREAM_ZONE)
#define ngx_gw_server_host(server)     (&(server)->host)
#define ngx_gw_server_service(server)  (&(server)->service)
#else
#define ngx_gw_server_host(server)     ((ngx_str_t *) NULL)
#define ngx_gw_server_service(server)  ((ngx_str_t *) NULL)
#endif

/* The "resolver" of an upstream itself, which came with that, or NULL. */

#if (nginx_version >= 1027003 && NGX_HTTP_UPSTREAM_ZONE)
#define ngx_gw_upstream_resolver(us)  ((us)->resolver)
#define ngx_gw_upstream_timeout(us)   ((us)->resolver_timeout)
#else
#define ngx_gw_upstream_resolver(us)  ((ngx_resolver_t *) NULL)
#define ngx_gw_upstream_timeout(us)   NGX_CONF_UNSET_MSEC
#endif

/* Whether a server line has "drain", which exists since 1.29.6. */

#if (nginx_version >= 1029006 && NGX_HTTP_UPSTREAM_STICKY)
#define ngx_gw_server_drains(server)                                         \
    ((server)->down == NGX_HTTP_UPSTREAM_DRAINING)
#else
#define ngx_gw_server_drains(server)  0
#endif

/* The "route" of a server line, which exists since 1.29.6, or NULL. */

#if (nginx_version >= 1029006 && NGX_HTTP_UPSTREAM_SID)
#define ngx_gw_server_route(server)  (&(server)->sid)
#else
#define ngx_gw_server_route(server)  NULL
#endif

/*
 * The id of a server that a request is to go to, which "sticky" gives, and of
 * the one that it went to, which it is told; both exist since 1.29.6.
 */

#if (nginx_version >= 1029006 && NGX_HTTP_UPSTREAM_SID)
#define NGX_GW_PEER_SIDS            1
#define ngx_gw_peer_hint(pc)        ((pc)->hint)
#define ngx_gw_peer_set_sid(pc, s)  ((pc)->sid = (s))
#else
#define NGX_GW_PEER_SIDS            0
#define ngx_gw_peer_hint(pc)        ((ngx_str_t *) NULL)
#define ngx_gw_peer_set_sid(pc, s)  ((void) (s))
#endif

/*
 * Since 1.29.7 nginx puts its own cache of idle connections around every
 * upstream, once all of them have been set up, asked for or not.
 */

#if (nginx_version >= 1029007)
#define NGX_GW_KEEPALIVE_WRAPS_ALL  1
#else
#define NGX_GW_KEEPALIVE_WRAPS_ALL  0
#endif


/*
 * The configuration that a module of nginx has of an upstream, or NULL: its
 * type is in no header, but what it begins with has stayed the same.  Macros,
 * for those that include ngx_http.h.
 */

#define ngx_gw_upstream_conf(cf, us, name)                                   \
    ngx_gw_upstream_conf_named((cf)->cycle->modules, (us)->srv_conf, name)

static ngx_inline void *
ngx_gw_upstream_conf_named(ngx_module_t **modules, void **srv_conf,
    const char *name)
{
    ngx_uint_t  i;

    for (i = 0; modules[i]; i++) {

        if (ngx_strcmp(modules[i]->name, name) == 0) {
            return srv_conf[modules[i]->ctx_index];
        }
    }

    return NULL;
}


/*
 * Whether an upstream has "keepalive" or one of its parameters, before nginx
 * gives them to all upstreams: the number, requests, time and timeout are
 * what the configuration begins with, unset so far.  Before 1.29.7 an upstream
 * that is wrapped has it.
 */

#define ngx_gw_keepalive_given(cf, us)                                       \
    (!NGX_GW_KEEPALIVE_WRAPS_ALL                                             \
     || ngx_gw_keepalive_is_set(ngx_gw_upstream_conf(cf, us,                 \
                                    "ngx_http_upstream_keepalive_module")))

static ngx_inline ngx_uint_t
ngx_gw_keepalive_is_set(ngx_uint_t *conf)
{
    ngx_uint_t  i;

    for (i = 0; conf && i < 4; i++) {

        if (conf[i] != NGX_CONF_UNSET_UINT) {
            return 1;
        }
    }

    return 0;
}


/* Whether an upstream has "sticky": what it was put around comes first. */

#define ngx_gw_sticky_given(cf, us)                                          \
    (NGX_GW_PEER_SIDS                                                        \
     && ngx_gw_sticky_is_set(ngx_gw_upstream_conf(cf, us,                    \
                                  "ngx_http_upstream_sticky_module")))

static ngx_inline ngx_uint_t
ngx_gw_sticky_is_set(void **conf)
{
    return conf && *conf != NULL;
}


/*
 * Whether nginx has found the variable of that index through a prefix of its
 * own, and then the rest of the name.  For init_module, once all variables are
 * known.
 *
 * Such a variable has its own name for data.  With another prefix that is
 * longer it would be something else.
 */

static ngx_inline ngx_uint_t
ngx_gw_variable_has_prefix(ngx_http_core_main_conf_t *cmcf, ngx_uint_t index,
    ngx_str_t *begin, ngx_str_t *name)
{
    ngx_uint_t            n;
    ngx_http_variable_t  *v, *prefix;

    v = cmcf->variables.elts;
    v += index;

    if (v->data != (uintptr_t) &v->name || v->name.len <= begin->len
        || ngx_strncmp(v->name.data, begin->data, begin->len) != 0)
    {
        return 0;
    }

    prefix = cmcf->prefix_variables.elts;

    for (n = 0; n < cmcf->prefix_variables.nelts; n++) {
        if (prefix[n].name.len > begin->len
            && ngx_strncmp(prefix[n].name.data, begin->data, begin->len) == 0)
        {
            return 0;
        }
    }

    name->len = v->name.len - begin->len;
    name->data = v->name.data + begin->len;

    return 1;
}


/* Whether it is an argument of requests and nothing else. */

static ngx_inline ngx_uint_t
ngx_gw_variable_is_argument(ngx_cycle_t *cycle, ngx_uint_t index,
    ngx_str_t *name)
{
    static ngx_str_t  arg = ngx_string("arg_");

    return ngx_gw_variable_has_prefix(ngx_http_cycle_get_module_main_conf(
                                          cycle, ngx_http_core_module),
                                      index, &arg, name);
}


/*
 * Whether it is a header of requests and nothing else; the name is as the
 * variable has it, with "_" for "-".  Where headers may have underscores it
 * could be either of two.
 */

static ngx_inline ngx_uint_t
ngx_gw_variable_is_header(ngx_cycle_t *cycle, ngx_uint_t index,
    ngx_str_t *name)
{
    ngx_uint_t                   n;
    ngx_http_core_srv_conf_t   **cscf;
    ngx_http_core_main_conf_t   *cmcf;

    static ngx_str_t  http = ngx_string("http_");

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);

    if (!ngx_gw_variable_has_prefix(cmcf, index, &http, name)) {
        return 0;
    }

    cscf = cmcf->servers.elts;

    for (n = 0; n < cmcf->servers.nelts; n++) {
        if (cscf[n]->underscores_in_headers) {
            return 0;
        }
    }

    return 1;
}


/*
 * Keeps a function out of the code, and the registers, of its callers; or
 * puts it there, however the compiler weighs its size.
 */

#if defined(__GNUC__)
#define ngx_gw_noinline  __attribute__((noinline))
#define ngx_gw_hot       __attribute__((hot))
#define ngx_gw_inline    inline __attribute__((always_inline))
#else
#define ngx_gw_noinline
#define ngx_gw_hot
#define ngx_gw_inline    ngx_inline
#endif


#endif /* NGX_GW_COMPAT_H */
