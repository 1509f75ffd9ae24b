
/*
 * What the configuration says about a Redis store.  All that may block, which
 * is looking up names and reading files, happens here, before there are
 * workers.
 */


#include "src/redis/ngx_gw_redis.h"
#include "src/core/text/gw_redis_url.h"


static char *ngx_gw_redis_conf_addrs(ngx_conf_t *cf,
    ngx_gw_redis_conf_t *conf, gw_redis_url_t *url);
static char *ngx_gw_redis_conf_resolve(ngx_conf_t *cf, ngx_array_t *addrs,
    ngx_array_t *names, gw_redis_host_t *host);
static char *ngx_gw_redis_conf_unix(ngx_conf_t *cf,
    ngx_gw_redis_conf_t *conf, gw_redis_url_t *url);
static char *ngx_gw_redis_conf_password(ngx_conf_t *cf,
    ngx_gw_redis_conf_t *conf, ngx_str_t *file);
static ngx_int_t ngx_gw_redis_conf_read(ngx_conf_t *cf, ngx_str_t *file,
    u_char *buf, size_t *len);
static ngx_int_t ngx_gw_redis_conf_string(ngx_conf_t *cf, ngx_str_t *dst,
    const char *src);
static u_char *ngx_gw_redis_conf_host(u_char *p, u_char *last,
    gw_redis_host_t *host);


char *
ngx_gw_redis_configure(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    ngx_str_t *url, ngx_str_t *password_file)
{
    char            *rv;
    gw_redis_url_t  *u;

    u = ngx_palloc(cf->temp_pool, sizeof(gw_redis_url_t));

    if (u == NULL) {
        return NGX_CONF_ERROR;
    }

    if (gw_redis_url_parse(u, (char *) url->data, url->len) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid store URL: %s", u->error);
        return NGX_CONF_ERROR;
    }

    if (u->has_password && password_file->len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password of the store is both in its URL and in "
                           "\"password_file\"");
        return NGX_CONF_ERROR;
    }

    if (u->has_user && !u->has_password && password_file->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "store URL has a user, but there is neither a "
                           "password in it nor \"password_file\"");
        return NGX_CONF_ERROR;
    }

    conf->db = u->db;

    if (ngx_gw_redis_conf_string(cf, &conf->user, u->user) != NGX_OK
        || ngx_gw_redis_conf_string(cf, &conf->password, u->password)
           != NGX_OK
        || ngx_gw_redis_conf_string(cf, &conf->master, u->master) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    rv = (u->kind == GW_REDIS_UNIX) ? ngx_gw_redis_conf_unix(cf, conf, u)
                                    : ngx_gw_redis_conf_addrs(cf, conf, u);

    ngx_memzero(u, sizeof(gw_redis_url_t));

    if (rv != NGX_CONF_OK || password_file->len == 0) {
        return rv;
    }

    return ngx_gw_redis_conf_password(cf, conf, password_file);
}


static char *
ngx_gw_redis_conf_addrs(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    gw_redis_url_t *url)
{
    u_char       *p, *last;
    unsigned      i;
    ngx_str_t     name;
    ngx_array_t   addrs, names;

    if (ngx_array_init(&addrs, cf->pool, url->nhosts, sizeof(ngx_addr_t))
        != NGX_OK
        || ngx_array_init(&names, cf->pool, url->nhosts, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    p = ngx_pnalloc(cf->temp_pool, sizeof(gw_redis_url_t));

    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    last = p + sizeof(gw_redis_url_t);
    name.data = p;

    if (url->kind == GW_REDIS_SENTINEL) {
        p = ngx_slprintf(p, last, "master \"%s\" of Sentinel ", url->master);
    }

    for (i = 0; i < url->nhosts; i++) {

        if (i > 0) {
            p = ngx_slprintf(p, last, ",");
        }

        p = ngx_gw_redis_conf_host(p, last, &url->hosts[i]);

        if (ngx_gw_redis_conf_resolve(cf, &addrs, &names, &url->hosts[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    name.len = p - name.data;

    conf->name.len = name.len;
    conf->name.data = ngx_pstrdup(cf->pool, &name);

    if (conf->name.data == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->addrs = addrs.elts;
    conf->names = names.elts;
    conf->naddrs = addrs.nelts;

    return NGX_CONF_OK;
}


static char *
ngx_gw_redis_conf_resolve(ngx_conf_t *cf, ngx_array_t *addrs,
    ngx_array_t *names, gw_redis_host_t *host)
{
    u_char       text[GW_REDIS_NAME_MAX + 16];
    ngx_url_t    u;
    ngx_str_t   *name;
    ngx_uint_t   i;
    ngx_addr_t  *addr;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url.data = text;
    u.url.len = ngx_gw_redis_conf_host(text, text + sizeof(text), host)
                - text;

    /* the name becomes part of the addresses */

    u.url.data = ngx_pstrdup(cf->pool, &u.url);

    if (u.url.data == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in store URL: host \"%V\"",
                           u.err ? u.err : "out of memory", &u.url);
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < u.naddrs; i++) {
        addr = ngx_array_push(addrs);
        name = ngx_array_push(names);

        if (addr == NULL || name == NULL) {
            return NGX_CONF_ERROR;
        }

        *addr = u.addrs[i];
        *name = u.host;

        if (host->ipv6 || ngx_inet_addr(u.host.data, u.host.len)
                          != INADDR_NONE)
        {
            name->len = 0;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_gw_redis_conf_unix(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    gw_redis_url_t *url)
{
#if (NGX_HAVE_UNIX_DOMAIN)

    size_t               len;
    ngx_addr_t          *addr;
    struct sockaddr_un  *sun;

    len = ngx_strlen(url->path);

    addr = ngx_pcalloc(cf->pool, sizeof(ngx_addr_t));
    sun = ngx_pcalloc(cf->pool, sizeof(struct sockaddr_un));
    conf->name.data = ngx_pnalloc(cf->pool, 5 + len);

    if (addr == NULL || sun == NULL || conf->name.data == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->name.len = ngx_sprintf(conf->name.data, "unix:%s", url->path)
                     - conf->name.data;

    sun->sun_family = AF_UNIX;
    ngx_memcpy(sun->sun_path, url->path, len + 1);

    addr->sockaddr = (struct sockaddr *) sun;
    addr->socklen = sizeof(struct sockaddr_un);
    addr->name = conf->name;

    conf->addrs = addr;
    conf->naddrs = 1;

    return NGX_CONF_OK;

#else

    (void) conf;
    (void) url;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unix domain sockets are not supported here");

    return NGX_CONF_ERROR;

#endif
}


/* The password is the file's first and only line. */

static char *
ngx_gw_redis_conf_password(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    ngx_str_t *file)
{
    char    *rv;
    u_char   buf[GW_REDIS_SECRET_MAX + 3];
    size_t   len;

    if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK
        || ngx_gw_redis_conf_read(cf, file, buf, &len) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (len > 0 && buf[len - 1] == LF) {
        len--;
    }

    if (len > 0 && buf[len - 1] == CR) {
        len--;
    }

    rv = NGX_CONF_ERROR;
    buf[len] = '\0';

    if (len == 0 || len > GW_REDIS_SECRET_MAX
        || ngx_strlen(buf) != len || ngx_strchr(buf, LF) != NULL)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password file \"%V\" must be one line of 1 to "
                           "511 bytes", file);

    } else if (ngx_gw_redis_conf_string(cf, &conf->password, (char *) buf)
               == NGX_OK)
    {
        rv = NGX_CONF_OK;
    }

    ngx_explicit_memzero(buf, sizeof(buf));

    return rv;
}


/* Up to all but one byte of buf, which has room for two more than allowed. */

static ngx_int_t
ngx_gw_redis_conf_read(ngx_conf_t *cf, ngx_str_t *file, u_char *buf,
    size_t *len)
{
    ssize_t   n;
    ngx_fd_t  fd;

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", file);
        return NGX_ERROR;
    }

    n = ngx_read_fd(fd, buf, GW_REDIS_SECRET_MAX + 2);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", file);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", file);
    }

    if (n == -1) {
        return NGX_ERROR;
    }

    *len = n;

    return NGX_OK;
}


static ngx_int_t
ngx_gw_redis_conf_string(ngx_conf_t *cf, ngx_str_t *dst, const char *src)
{
    dst->len = ngx_strlen(src);
    dst->data = ngx_pnalloc(cf->pool, dst->len + 1);

    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst->data, src, dst->len + 1);

    return NGX_OK;
}


static u_char *
ngx_gw_redis_conf_host(u_char *p, u_char *last, gw_redis_host_t *host)
{
    return ngx_slprintf(p, last, host->ipv6 ? "[%s]:%ui" : "%s:%ui",
                        host->name, (ngx_uint_t) host->port);
}
