
/*
 * What the configuration says about a Redis store.
 */


#include "src/redis/ngx_gw_redis_conf.h"
#include "src/common/ngx_gw_job.h"
#include "src/core/text/gw_redis_reason.h"


/* more than any password may have, in its file */
#define NGX_GW_REDIS_LINE  (GW_REDIS_SECRET_MAX + 3)


static char *ngx_gw_redis_conf_url(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    gw_redis_url_t *url, ngx_gw_redis_params_t *params);
static char *ngx_gw_redis_conf_logins(ngx_conf_t *cf,
    ngx_gw_redis_conf_t *conf, gw_redis_url_t *url,
    ngx_gw_redis_params_t *params);
static char *ngx_gw_redis_conf_hosts(ngx_conf_t *cf,
    ngx_gw_redis_conf_t *conf, gw_redis_url_t *url);
static char *ngx_gw_redis_conf_threads(ngx_conf_t *cf,
    ngx_gw_redis_conf_t *conf);
static char *ngx_gw_redis_conf_tls(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    gw_redis_url_t *url, ngx_gw_redis_params_t *params);
static char *ngx_gw_redis_conf_file(ngx_conf_t *cf,
    ngx_gw_redis_login_t *login, ngx_str_t *file);
static char *ngx_gw_redis_conf_wrong(ngx_conf_t *cf, const char *reason);
static ngx_int_t ngx_gw_redis_read_line(ngx_str_t *file, u_char *buf,
    size_t *len, const char **reason);
static ngx_int_t ngx_gw_redis_conf_string(ngx_conf_t *cf, ngx_str_t *dst,
    const char *src);


static const struct {
    ngx_str_t   name;
    size_t      offset;
} ngx_gw_redis_params[] = {
    { ngx_string("password_file"),
      offsetof(ngx_gw_redis_params_t, password_file) },
    { ngx_string("sentinel_user"),
      offsetof(ngx_gw_redis_params_t, sentinel_user) },
    { ngx_string("sentinel_password_file"),
      offsetof(ngx_gw_redis_params_t, sentinel_password_file) },
    { ngx_string("tls_ca"), offsetof(ngx_gw_redis_params_t, tls_ca) },
    { ngx_string("tls_cert"), offsetof(ngx_gw_redis_params_t, tls_cert) },
    { ngx_string("tls_key"), offsetof(ngx_gw_redis_params_t, tls_key) },
    { ngx_string("tls_name"), offsetof(ngx_gw_redis_params_t, tls_name) },
    { ngx_string("tls_verify"), offsetof(ngx_gw_redis_params_t, tls_verify) },
    { ngx_null_string, 0 }
};


ngx_int_t
ngx_gw_redis_param(ngx_conf_t *cf, ngx_gw_redis_params_t *params,
    ngx_str_t *arg)
{
    size_t             len;
    ngx_str_t         *field;
    ngx_uint_t         i;
    const ngx_str_t   *name;

    for (i = 0; ngx_gw_redis_params[i].name.len; i++) {
        name = &ngx_gw_redis_params[i].name;
        len = name->len + 1;

        if (arg->len >= len && arg->data[name->len] == '='
            && ngx_strncmp(arg->data, name->data, name->len) == 0)
        {
            break;
        }
    }

    if (ngx_gw_redis_params[i].name.len == 0) {
        return NGX_DECLINED;
    }

    field = (ngx_str_t *) ((char *) params + ngx_gw_redis_params[i].offset);

    if (field->data != NULL || arg->len == len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           field->data ? "duplicate \"%V\" parameter"
                                       : "the value of \"%V\" is empty",
                           name);
        return NGX_ERROR;
    }

    field->data = arg->data + len;
    field->len = arg->len - len;

    return NGX_OK;
}


char *
ngx_gw_redis_configure(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    ngx_str_t *url, ngx_gw_redis_params_t *params)
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
        rv = NGX_CONF_ERROR;

    } else {
        rv = ngx_gw_redis_conf_url(cf, conf, u, params);
    }

    ngx_explicit_memzero(u, sizeof(gw_redis_url_t));

    return rv;
}


static char *
ngx_gw_redis_conf_url(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    gw_redis_url_t *url, ngx_gw_redis_params_t *params)
{
    char  *rv;

    conf->kind = url->kind;
    conf->db = url->db;

    if (ngx_gw_redis_conf_string(cf, &conf->master, url->master) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_gw_redis_conf_logins(cf, conf, url, params);

    if (rv == NGX_CONF_OK) {
        rv = ngx_gw_redis_conf_hosts(cf, conf, url);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_gw_redis_conf_threads(cf, conf);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_gw_redis_conf_tls(cf, conf, url, params);
    }

    return rv;
}


static char *
ngx_gw_redis_conf_logins(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    gw_redis_url_t *url, ngx_gw_redis_params_t *params)
{
    char  *rv;

    if (url->has_password && params->password_file.len) {
        return ngx_gw_redis_conf_wrong(cf, "password of the store is both in "
                                       "its URL and in \"password_file\"");
    }

    if (url->has_user && !url->has_password
        && params->password_file.len == 0)
    {
        return ngx_gw_redis_conf_wrong(cf, "store URL has a user, but there "
                                       "is neither a password in it nor "
                                       "\"password_file\"");
    }

    if (params->sentinel_user.len && params->sentinel_password_file.len == 0)
    {
        return ngx_gw_redis_conf_wrong(cf, "\"sentinel_user\" needs "
                                       "\"sentinel_password_file\"");
    }

    if (params->sentinel_password_file.len
        && url->kind != GW_REDIS_SENTINEL)
    {
        return ngx_gw_redis_conf_wrong(cf, "\"sentinel_password_file\" needs "
                                       "\"redis+sentinel://\"");
    }

    if (ngx_gw_redis_conf_string(cf, &conf->login.user, url->user) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    (void) ngx_cpystrn((u_char *) conf->login.password,
                       (u_char *) url->password, GW_REDIS_SECRET_MAX + 1);

    conf->sentinel.user = params->sentinel_user;

    rv = ngx_gw_redis_conf_file(cf, &conf->login, &params->password_file);

    return rv != NGX_CONF_OK
           ? rv : ngx_gw_redis_conf_file(cf, &conf->sentinel,
                                         &params->sentinel_password_file);
}


/* Names are looked up when they are needed. */

static char *
ngx_gw_redis_conf_hosts(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    gw_redis_url_t *url)
{
    size_t                size;
    u_char               *p, *last;
    ngx_uint_t            i;
    gw_redis_host_t      *from;
    ngx_gw_redis_host_t  *host;

    conf->nhosts = (url->kind == GW_REDIS_UNIX) ? 1 : url->nhosts;
    conf->hosts = ngx_pcalloc(cf->pool,
                              conf->nhosts * sizeof(ngx_gw_redis_host_t));

    size = (conf->nhosts + 1) * (GW_REDIS_NAME_MAX + 32);
    p = ngx_pnalloc(cf->pool, size);

    if (conf->hosts == NULL || p == NULL) {
        return NGX_CONF_ERROR;
    }

    last = p + size;
    conf->name.data = p;

    if (url->kind == GW_REDIS_UNIX) {
        (void) ngx_cpystrn((u_char *) conf->hosts[0].name,
                           (u_char *) url->path, GW_REDIS_NAME_MAX);

        conf->name.len = ngx_slprintf(p, last, "unix:%s", url->path) - p;
        return NGX_CONF_OK;
    }

    if (url->kind == GW_REDIS_SENTINEL) {
        p = ngx_slprintf(p, last, "master \"%s\" of Sentinel ", url->master);

    } else if (url->kind == GW_REDIS_CLUSTER) {
        p = ngx_slprintf(p, last, "cluster ");
    }

    for (i = 0; i < conf->nhosts; i++) {
        from = &url->hosts[i];
        host = &conf->hosts[i];

        ngx_memcpy(host->name, from->name, GW_REDIS_NAME_MAX + 1);
        host->port = from->port;

        p = ngx_slprintf(p, last, from->ipv6 ? "%s[%s]:%ui" : "%s%s:%ui",
                         i ? "," : "", host->name, host->port);
    }

    conf->name.len = p - conf->name.data;

    return NGX_CONF_OK;
}


/* Sentinels and clusters may announce names. */

static char *
ngx_gw_redis_conf_threads(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf)
{
    ngx_uint_t  i, named;

#if (NGX_THREADS)
    named = (conf->kind == GW_REDIS_SENTINEL
             || conf->kind == GW_REDIS_CLUSTER);
#else
    named = 0;
#endif

    for (i = 0; i < conf->nhosts; i++) {
        named |= !ngx_gw_redis_is_literal(&conf->hosts[i]);
    }

    if (named && ngx_gw_job_conf(cf, "a Redis store with a host name")
                 != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_gw_redis_is_literal(ngx_gw_redis_host_t *host)
{
    size_t  len;
    u_char  ipv6[16];

    len = ngx_strlen(host->name);

    return host->port == 0
           || ngx_inet_addr((u_char *) host->name, len) != INADDR_NONE
           || ngx_inet6_addr((u_char *) host->name, len, ipv6) == NGX_OK;
}


static char *
ngx_gw_redis_conf_tls(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    gw_redis_url_t *url, ngx_gw_redis_params_t *params)
{
    ngx_gw_redis_tls_t  *tls;

    if (!url->tls) {

        if (params->tls_ca.len || params->tls_cert.len || params->tls_key.len
            || params->tls_name.len || params->tls_verify.len)
        {
            return ngx_gw_redis_conf_wrong(cf, "parameters \"tls_...\" need "
                                           "\"rediss\" in the store's URL");
        }

        return NGX_CONF_OK;
    }

    if ((params->tls_cert.len == 0) != (params->tls_key.len == 0)) {
        return ngx_gw_redis_conf_wrong(cf, "\"tls_cert\" and \"tls_key\" "
                                       "need each other");
    }

    tls = ngx_pcalloc(cf->pool, sizeof(ngx_gw_redis_tls_t));

    if (tls == NULL) {
        return NGX_CONF_ERROR;
    }

    tls->verify = 1;

    if (params->tls_verify.len) {
        tls->verify = ngx_strcmp(params->tls_verify.data, "on") == 0;

        if (!tls->verify && ngx_strcmp(params->tls_verify.data, "off") != 0) {
            return ngx_gw_redis_conf_wrong(cf, "\"tls_verify\" must be "
                                           "\"on\" or \"off\"");
        }
    }

    tls->ca = params->tls_ca;
    tls->cert = params->tls_cert;
    tls->key = params->tls_key;
    tls->name = params->tls_name;
    conf->tls = tls;

    if (ngx_gw_redis_tls_configure(cf, tls) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (!tls->verify) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"tls_verify=off\": nobody makes sure that the "
                           "store is the server that it says it is");
    }

    return NGX_CONF_OK;
}


/* The password is the file's first and only line. */

static char *
ngx_gw_redis_conf_file(ngx_conf_t *cf, ngx_gw_redis_login_t *login,
    ngx_str_t *file)
{
    u_char       buf[NGX_GW_REDIS_LINE];
    size_t       len;
    ngx_int_t    rc;
    const char  *reason;

    if (file->len == 0) {
        return NGX_CONF_OK;
    }

    login->file = *file;

    if (ngx_conf_full_name(cf->cycle, &login->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    rc = ngx_gw_redis_read_line(&login->file, buf, &len, &reason);

    if (rc == NGX_OK) {
        ngx_memcpy(login->password, buf, len + 1);

    } else if (rc == NGX_DECLINED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "password file \"%V\" %s",
                           &login->file, reason);
    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "%s \"%V\" failed", reason, &login->file);
    }

    ngx_explicit_memzero(buf, sizeof(buf));

    return rc == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}


void
ngx_gw_redis_login_read(ngx_gw_redis_login_t *login, ngx_log_t *log)
{
    u_char       buf[NGX_GW_REDIS_LINE];
    size_t       len;
    ngx_int_t    rc;
    const char  *reason;

    if (login->file.len == 0) {
        return;
    }

    rc = ngx_gw_redis_read_line(&login->file, buf, &len, &reason);

    if (rc == NGX_OK) {
        ngx_memcpy(login->password, buf, len + 1);

    } else {
        ngx_log_error(NGX_LOG_INFO, log, rc == NGX_ERROR ? ngx_errno : 0,
                      "redis: password file \"%V\" was not read again: %s",
                      &login->file, reason);
    }

    ngx_explicit_memzero(buf, sizeof(buf));
}


/*
 * NGX_ERROR: errno is of what the reason names; NGX_DECLINED: the reason says
 * what the file is not.  Neither a pipe nor a device holds a worker up.
 */

static ngx_int_t
ngx_gw_redis_read_line(ngx_str_t *file, u_char *buf, size_t *len,
    const char **reason)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_err_t        err;
    ngx_file_info_t  fi;

    fd = open((const char *) file->data,
              O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {
        *reason = ngx_open_file_n;
        return NGX_ERROR;
    }

    n = 0;
    *reason = ngx_fd_info_n;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        n = -1;

    } else if (ngx_is_file(&fi)) {
        *reason = ngx_read_fd_n;
        n = ngx_read_fd(fd, buf, NGX_GW_REDIS_LINE - 1);
    }

    err = ngx_errno;
    (void) ngx_close_file(fd);
    ngx_set_errno(err);

    if (n == -1) {
        return NGX_ERROR;
    }

    if (n > 0 && buf[n - 1] == LF) {
        n--;
    }

    if (n > 0 && buf[n - 1] == CR) {
        n--;
    }

    buf[n] = '\0';
    *len = n;

    if (n == 0 || n > GW_REDIS_SECRET_MAX || ngx_strlen(buf) != (size_t) n
        || ngx_strchr(buf, LF) != NULL)
    {
        *reason = "must be one line of 1 to 511 bytes";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_gw_redis_told(ngx_gw_redis_conf_t *conf, redisReply *reply, char *reason)
{
    if (reply->type != REDIS_REPLY_ERROR) {
        ngx_gw_redis_reason(reason, "the reply makes no sense");
        return;
    }

    gw_redis_reason(reason, NGX_GW_REDIS_REASON, reply->str, reply->len);

    if (conf != NULL) {
        gw_redis_reason_hide(reason, conf->login.password);
        gw_redis_reason_hide(reason, conf->sentinel.password);
    }
}


static char *
ngx_gw_redis_conf_wrong(ngx_conf_t *cf, const char *reason)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", reason);

    return NGX_CONF_ERROR;
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
