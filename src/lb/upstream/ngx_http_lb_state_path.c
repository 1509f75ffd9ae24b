
/*
 * Where a state file is: the target of a link that only the operator can have
 * made, and of one upstream only.
 */


#include "src/lb/upstream/ngx_http_lb_state_path.h"

#include "src/common/ngx_gw_path.h"
#include "src/core/text/gw_id.h"


#define NGX_HTTP_LB_STATE_LINKS  8


static ngx_int_t ngx_http_lb_state_paths(ngx_pool_t *pool,
    ngx_http_lb_state_t *state);
static ngx_int_t ngx_http_lb_state_follow(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_state_target(ngx_conf_t *cf,
    ngx_http_lb_state_t *state);
static ngx_int_t ngx_http_lb_state_unique(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_int_t ngx_http_lb_state_hosts(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);
static ngx_uint_t ngx_http_lb_state_utf8(const char *text, size_t len);


ngx_int_t
ngx_http_lb_state_find(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    if (ngx_http_lb_state_follow(cf, lcf) != NGX_OK
        || ngx_http_lb_state_unique(cf, lcf) != NGX_OK
        || ngx_http_lb_state_hosts(cf, lcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_state_paths(ngx_pool_t *pool, ngx_http_lb_state_t *state)
{
    size_t      len;
    ngx_str_t  *path;

    path = &state->path;

    state->temp.len = path->len + sizeof(".tmp") - 1;
    state->temp.data = ngx_pnalloc(pool, state->temp.len + 1);

    state->lock.len = path->len + sizeof(".lock") - 1;
    state->lock.data = ngx_pnalloc(pool, state->lock.len + 1);

    state->folder.data = ngx_pnalloc(pool, path->len + 1);

    if (state->temp.data == NULL || state->lock.data == NULL
        || state->folder.data == NULL)
    {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(state->temp.data, "%V.tmp%Z", path);
    (void) ngx_sprintf(state->lock.data, "%V.lock%Z", path);

    for (len = path->len; path->data[len - 1] != '/'; len--) {
        /* the path is absolute */
    }

    state->folder.len = (len > 1) ? len - 1 : len;
    ngx_memcpy(state->folder.data, path->data, state->folder.len);
    state->folder.data[state->folder.len] = '\0';

    state->key = (uint64_t) ngx_crc32_long(path->data, path->len) << 32
                 | ngx_murmur_hash2(path->data, path->len) | 1;

    return NGX_OK;
}


/* a link is what it leads to, if only the operator can have made it */

static ngx_int_t
ngx_http_lb_state_follow(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_uint_t            i;
    struct stat           st;
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    for (i = 0; /* void */ ; i++) {

        if (ngx_http_lb_state_paths(cf->pool, state) != NGX_OK) {
            return NGX_ERROR;
        }

        if (lstat((char *) state->path.data, &st) == -1
            || !S_ISLNK(st.st_mode))
        {
            return NGX_OK;
        }

        if (i == NGX_HTTP_LB_STATE_LINKS
            || !ngx_gw_path_is_ours((char *) state->folder.data))
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"%V\", the state file of upstream \"%V\", is a "
                          "symbolic link that is not followed: others may "
                          "write to its folder, or there are too many links, "
                          "in %s:%ui", &state->path, &lcf->upstream->host,
                          lcf->file, lcf->line);
            return NGX_ERROR;
        }

        if (ngx_http_lb_state_target(cf, state) != NGX_OK) {
            return NGX_ERROR;
        }
    }
}


static ngx_int_t
ngx_http_lb_state_target(ngx_conf_t *cf, ngx_http_lb_state_t *state)
{
    char       link[NGX_MAX_PATH];
    u_char    *p;
    ssize_t    n;
    ngx_str_t  path;

    n = readlink((char *) state->path.data, link, sizeof(link) - 1);

    if (n <= 0 || link[n - 1] == '/') {
        ngx_log_error(NGX_LOG_EMERG, cf->log, n == -1 ? ngx_errno : 0,
                      "readlink() \"%V\" has not led to a file",
                      &state->path);
        return NGX_ERROR;
    }

    link[n] = '\0';

    path.data = ngx_pnalloc(cf->pool, state->folder.len + n + 2);
    if (path.data == NULL) {
        return NGX_ERROR;
    }

    p = (link[0] == '/') ? ngx_sprintf(path.data, "%s", link)
                         : ngx_sprintf(path.data, "%V/%s", &state->folder,
                                       link);
    *p = '\0';
    path.len = p - path.data;

    state->path = path;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_state_unique(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_uint_t                i;
    ngx_str_t                *path;
    ngx_http_lb_srv_conf_t  **lcfp;
    ngx_http_lb_main_conf_t  *lmcf;

    lmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_lb_upstream_module);
    lcfp = lmcf->upstreams.elts;
    path = &lcf->state->path;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (lcfp[i] != lcf && lcfp[i]->state
            && lcfp[i]->state->path.len == path->len
            && ngx_memcmp(lcfp[i]->state->path.data, path->data, path->len)
               == 0)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"lb_state\" \"%V\" of upstream \"%V\" is that of "
                          "upstream \"%V\", too, in %s:%ui",
                          path, &lcf->upstream->host,
                          &lcfp[i]->upstream->host, lcf->file, lcf->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_state_hosts(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_uint_t  i;

    for (i = 0; i < lcf->nlines; i++) {

        if (!ngx_http_lb_state_utf8(lcf->lines[i].host,
                                    lcf->lines[i].host_length))
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "name of a server in upstream \"%V\" is not UTF-8, "
                          "\"lb_state\" cannot hold it, in %s:%ui",
                          &lcf->upstream->host, lcf->file, lcf->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_lb_state_utf8(const char *text, size_t len)
{
    int     n;
    size_t  i;

    for (i = 0; i < len; i += n) {
        n = gw_utf8_sequence((const u_char *) text + i, len - i);

        if (n <= 0 || (u_char) text[i] <= ' ' || text[i] == 0x7f) {
            return 0;
        }
    }

    return 1;
}


/* nothing can be renamed over a file that is mounted by itself */

void
ngx_http_lb_state_mounted(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
#if defined(STATX_ATTR_MOUNT_ROOT)

    struct statx  stx;

    if (statx(AT_FDCWD, (char *) lcf->state->path.data, AT_SYMLINK_NOFOLLOW,
              STATX_BASIC_STATS, &stx)
        == 0
        && (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
    {
        ngx_log_error(NGX_LOG_ERR, cf->log, 0,
                      "lb: state file \"%V\" of upstream \"%V\" is mounted "
                      "by itself and cannot be replaced, changes at runtime "
                      "will be refused: mount its folder",
                      &lcf->state->path, &lcf->upstream->host);
    }

#else

    (void) cf;
    (void) lcf;

#endif
}
