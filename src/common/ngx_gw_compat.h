
/*
 * What differs between the versions of nginx that we build with.  Nowhere
 * else is nginx_version asked for.
 */


#ifndef NGX_GW_COMPAT_H
#define NGX_GW_COMPAT_H


#include <ngx_config.h>
#include <ngx_core.h>


/* A header that ngx_list_push() made; since 1.23.0 equal ones are linked. */

#if (nginx_version >= 1023000)
#define ngx_gw_header_init(h)  ((h)->hash = 1, (h)->next = NULL)
#else
#define ngx_gw_header_init(h)  ((h)->hash = 1)
#endif

/* Whether a server line has "resolve", which exists since 1.27.3. */

#if (nginx_version >= 1027003 && NGX_HTTP_UPSTREAM_ZONE)
#define ngx_gw_server_resolves(server)  ((server)->host.len != 0)
#else
#define ngx_gw_server_resolves(server)  0
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
 * Keeps a function out of the code, and the registers, of its callers; or
 * puts it there, however the compiler weighs its size.
 */

#if defined(__GNUC__)
#define ngx_gw_noinline  __attribute__((noinline))
#define ngx_gw_inline    inline __attribute__((always_inline))
#else
#define ngx_gw_noinline
#define ngx_gw_inline    ngx_inline
#endif


#endif /* NGX_GW_COMPAT_H */
