
/*
 * Quotas: the windows of a zone, by the wall clock and a time zone.  All
 * workers share which one is in force.
 */


#include "src/tbucket/ngx_http_tbucket_quota.h"

#include "src/core/limit/tb_text.h"


#define NGX_HTTP_TBUCKET_ZONEINFO  "/usr/share/zoneinfo/"

/* no file of the tz database is nearly as large */
#define NGX_HTTP_TBUCKET_TZ_MAX    (1024 * 1024)


static ngx_uint_t ngx_http_tbucket_quota_is_tz(ngx_str_t *name);
static ngx_int_t ngx_http_tbucket_quota_tz_read(ngx_conf_t *cf,
    ngx_str_t *path, ngx_str_t *content);
static int64_t ngx_http_tbucket_quota_begin(ngx_http_tbucket_zone_t *zone);


static const ngx_str_t  ngx_http_tbucket_periods[] = {
    ngx_string("/hour"),        /* in the order of tb_period_t */
    ngx_string("/day"),
    ngx_string("/week"),
    ngx_string("/month")
};


ngx_int_t
ngx_http_tbucket_quota_parse(ngx_http_tbucket_zone_t *zone, ngx_str_t *value)
{
    size_t      len;
    u_char     *slash;
    uint32_t    quota;
    ngx_uint_t  i;

    slash = ngx_strlchr(value->data, value->data + value->len, '/');

    if (slash == NULL
        || tb_text_capacity((char *) value->data, slash - value->data,
                            zone->unit, &quota)
           != TB_TEXT_OK)
    {
        return NGX_DECLINED;
    }

    len = value->data + value->len - slash;

    for (i = TB_HOUR; i <= TB_MONTH; i++) {

        if (ngx_http_tbucket_periods[i].len == len
            && ngx_strncmp(ngx_http_tbucket_periods[i].data, slash, len) == 0)
        {
            zone->limits = tb_limits(quota, 0, TB_LIMITS_WINDOW);
            zone->quota.period = (tb_period_t) i;

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_tbucket_quota_tz(ngx_conf_t *cf, ngx_http_tbucket_zone_t *zone,
    ngx_str_t *name)
{
    ngx_str_t  content, path;

    if (name->len == 0) {
        tb_tz_utc(&zone->quota.tz);
        return NGX_OK;
    }

    if (!ngx_http_tbucket_quota_is_tz(name)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"tz\" in "
                           "\"tbucket_zone\", it must be a time zone such as "
                           "\"Europe/Berlin\"", name);
        return NGX_ERROR;
    }

    path.len = sizeof(NGX_HTTP_TBUCKET_ZONEINFO) - 1 + name->len;
    path.data = ngx_pnalloc(cf->pool, path.len + 1);
    if (path.data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(path.data, NGX_HTTP_TBUCKET_ZONEINFO "%V%Z", name);

    if (ngx_http_tbucket_quota_tz_read(cf, &path, &content) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!tb_tz_read(&zone->quota.tz, content.data, content.len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"tz\" in "
                           "\"tbucket_zone\": \"%V\" is no file of the tz "
                           "database", name, &path);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Letters, digits and "_+-" between single slashes: nothing leads out. */

static ngx_uint_t
ngx_http_tbucket_quota_is_tz(ngx_str_t *name)
{
    size_t  i;
    u_char  c, last;

    last = '/';

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')
            && !(c >= '0' && c <= '9') && c != '_' && c != '+' && c != '-'
            && (c != '/' || last == '/'))
        {
            return 0;
        }

        last = c;
    }

    return last != '/';
}


static ngx_int_t
ngx_http_tbucket_quota_tz_read(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *content)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_int_t        rc;
    ngx_file_info_t  fi;

    rc = NGX_ERROR;

    fd = ngx_open_file(path->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "invalid \"tz\" in \"tbucket_zone\": "
                           ngx_open_file_n " \"%V\" failed", path);
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)
        || ngx_file_size(&fi) > NGX_HTTP_TBUCKET_TZ_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid \"tz\" in \"tbucket_zone\": \"%V\" is no "
                           "file of the tz database", path);
        goto done;
    }

    content->len = ngx_file_size(&fi);
    content->data = ngx_pnalloc(cf->pool, content->len + 1);
    if (content->data == NULL) {
        goto done;
    }

    n = ngx_read_fd(fd, content->data, content->len);

    if (n != (ssize_t) content->len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, n == -1 ? ngx_errno : 0,
                           ngx_read_fd_n " \"%V\" failed", path);
        goto done;
    }

    rc = NGX_OK;

done:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", path);
    }

    return rc;
}


tb_limits_t
ngx_http_tbucket_quota_limits(ngx_http_tbucket_zone_t *zone, uint64_t *now)
{
    return tb_window_limits(&zone->shared->window,
                            ngx_http_tbucket_quota_begin(zone),
                            tb_limits_capacity(zone->limits),
                            zone->limits & TB_LIMITS_LEASED, now);
}


uint64_t
ngx_http_tbucket_quota_word(ngx_http_tbucket_zone_t *zone)
{
    uint64_t  now;

    if (zone->kind != NGX_HTTP_TBUCKET_QUOTA) {
        return 0;
    }

    (void) ngx_http_tbucket_limits(zone, &now);

    return atomic_load_explicit(&zone->shared->window, memory_order_acquire);
}


/*
 * When the window of this moment begins, which is looked up once a window.
 * Threads of the store may be here as well; what they see of two windows is
 * an earlier begin, which changes nothing, or no window at all.
 */

static int64_t
ngx_http_tbucket_quota_begin(ngx_http_tbucket_zone_t *zone)
{
    time_t       t;
    int64_t      begin;
    tb_window_t  w;

    t = ngx_time();
    begin = atomic_load_explicit(&zone->quota.begin, memory_order_relaxed);

    if (t >= begin
        && t < atomic_load_explicit(&zone->quota.end, memory_order_relaxed))
    {
        return begin;
    }

    tb_window(&zone->quota.tz, zone->quota.period, t, &w);

    atomic_store_explicit(&zone->quota.end, 0, memory_order_relaxed);
    atomic_store_explicit(&zone->quota.begin, w.begin, memory_order_relaxed);
    atomic_store_explicit(&zone->quota.end, w.end, memory_order_relaxed);

    return w.begin;
}


void
ngx_http_tbucket_quota_window(ngx_http_tbucket_zone_t *zone,
    tb_window_t *window)
{
    int64_t   begin;
    uint64_t  now;

    now = ngx_current_msec;
    (void) ngx_http_tbucket_quota_limits(zone, &now);

    begin = tb_window_begin(&zone->shared->window);

    if (begin != zone->quota.instant) {
        zone->quota.instant = begin;

        tb_window(&zone->quota.tz, zone->quota.period, begin,
                  &zone->quota.window);
    }

    *window = zone->quota.window;
}


tb_limits_t
ngx_http_tbucket_saved_limits(ngx_http_tbucket_zone_t *zone,
    tb_limits_t limits)
{
    uint64_t  begin;

    if (zone->kind != NGX_HTTP_TBUCKET_QUOTA) {
        return limits;
    }

    begin = (uint64_t) ngx_http_tbucket_quota_begin(zone) * 1000;

    return tb_limits(tb_limits_capacity(limits), begin & TB_RATE_MASK,
                     (limits & TB_LIMITS_FLAGS) | TB_LIMITS_WINDOW);
}


uint64_t
ngx_http_tbucket_quota_left(ngx_http_tbucket_zone_t *zone)
{
    int64_t       ms;
    ngx_time_t   *tp;
    tb_window_t   window;

    tp = ngx_timeofday();

    ngx_http_tbucket_quota_window(zone, &window);

    ms = (window.end - tp->sec) * 1000 - tp->msec;

    return ms > 1 ? (uint64_t) ms : 1;
}
