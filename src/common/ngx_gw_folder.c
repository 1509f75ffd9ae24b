
/*
 * The folder: looked at and, where its parent is theirs, made by a child with
 * the rights of the workers' user; else made by root, in parents that this
 * user has no say in.
 */


#include "src/common/ngx_gw_child.h"
#include "src/common/ngx_gw_folder.h"
#include "src/common/ngx_gw_path.h"


typedef struct {
    const char      *name;
    ngx_str_t       *path;
    ngx_str_t       *lock;
    ngx_core_conf_t *ccf;
    ngx_uint_t       is_root;      /* the master, and the workers are not */
} ngx_gw_folder_t;


static ngx_int_t ngx_gw_folder_child(ngx_gw_child_t *child);
static ngx_int_t ngx_gw_folder_exists(ngx_gw_folder_t *folder,
    ngx_log_t *log);
static ngx_int_t ngx_gw_folder_make(ngx_str_t *path);
static ngx_int_t ngx_gw_folder_give(ngx_gw_folder_t *folder, ngx_log_t *log);
static const char *ngx_gw_folder_user(ngx_gw_folder_t *folder, char *buf,
    size_t size);


ngx_fd_t
ngx_gw_folder_open(ngx_cycle_t *cycle, const char *name, ngx_str_t *path,
    ngx_str_t *lock)
{
    ngx_int_t        rc;
    ngx_gw_child_t   child;
    ngx_gw_folder_t  folder;

    folder.name = name;
    folder.path = path;
    folder.lock = lock;
    folder.ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx,
                                                  ngx_core_module);

    folder.is_root = ngx_gw_child_drops_rights(cycle);

    ngx_memzero(&child, sizeof(ngx_gw_child_t));

    child.name = name;
    child.run = ngx_gw_folder_child;
    child.data = &folder;
    child.cycle = cycle;

    rc = ngx_gw_child_run(&child);

    if (rc == NGX_DECLINED
        && ngx_gw_folder_give(&folder, cycle->log) == NGX_OK)
    {
        (void) ngx_gw_child_run(&child);
    }

    return child.fd;
}


/* NGX_DECLINED: it is missing, and to make it takes other rights. */

static ngx_int_t
ngx_gw_folder_child(ngx_gw_child_t *child)
{
    ngx_int_t         rc;
    struct stat       st;
    ngx_gw_folder_t  *folder;

    folder = child->data;

    rc = ngx_gw_folder_exists(folder, child->cycle->log);

    if (rc == NGX_DECLINED) {

        if (ngx_gw_folder_make(folder->path) == NGX_OK) {
            rc = ngx_gw_folder_exists(folder, child->cycle->log);

        } else if (folder->is_root) {
            return NGX_DECLINED;
        }

        if (rc == NGX_DECLINED) {
            ngx_log_error(ngx_gw_child_level(), child->cycle->log, ngx_errno,
                          "%s: mkdir() \"%V\" failed", folder->name,
                          folder->path);
        }
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    child->fd = ngx_gw_folder_file((char *) folder->lock->data,
                                   O_RDWR|O_CREAT, &st);

    if (child->fd == NGX_INVALID_FILE) {
        ngx_log_error(ngx_gw_child_level(), child->cycle->log, ngx_errno,
                      "%s: open() \"%V\" failed", folder->name, folder->lock);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_gw_folder_exists(ngx_gw_folder_t *folder, ngx_log_t *log)
{
    char         user[NGX_INT_T_LEN + 1];
    const char  *path;
    struct stat  st;

    path = (char *) folder->path->data;

    if (stat(path, &st) == -1) {

        if (ngx_errno == NGX_ENOENT) {
            return NGX_DECLINED;
        }

        ngx_log_error(ngx_gw_child_level(), log, ngx_errno,
                      "%s: stat() \"%s\" failed for user \"%s\"", folder->name,
                      path, ngx_gw_folder_user(folder, user, sizeof(user)));
        return NGX_ERROR;
    }

    if (!S_ISDIR(st.st_mode)) {
        ngx_log_error(ngx_gw_child_level(), log, 0,
                      "%s: \"%s\" is not a folder", folder->name, path);
        return NGX_ERROR;
    }

    if (access(path, R_OK|W_OK|X_OK) == -1) {
        ngx_log_error(ngx_gw_child_level(), log, ngx_errno,
                      "%s: folder \"%s\" is not one that user \"%s\" may "
                      "write to", folder->name, path,
                      ngx_gw_folder_user(folder, user, sizeof(user)));
        return NGX_ERROR;
    }

    return NGX_OK;
}


static const char *
ngx_gw_folder_user(ngx_gw_folder_t *folder, char *buf, size_t size)
{
    if (folder->ccf->username && geteuid() == folder->ccf->user) {
        return folder->ccf->username;
    }

    (void) snprintf(buf, size, "%u", (unsigned) geteuid());

    return buf;
}


/* NGX_ERROR: errno is set. */

static ngx_int_t
ngx_gw_folder_make(ngx_str_t *path)
{
    ngx_err_t  err;

    err = ngx_create_full_path(path->data, 0755);

    if (err == 0 && mkdir((char *) path->data, 0700) == -1
        && ngx_errno != NGX_EEXIST)
    {
        err = ngx_errno;
    }

    ngx_set_errno(err);

    return err == 0 ? NGX_OK : NGX_ERROR;
}


/*
 * With root's rights, so only where nobody else can change what the path
 * leads to.
 */

static ngx_int_t
ngx_gw_folder_give(ngx_gw_folder_t *folder, ngx_log_t *log)
{
    char         *cut, parent[NGX_MAX_PATH];
    struct stat   st;

    if (folder->path->len >= NGX_MAX_PATH) {
        ngx_set_errno(NGX_ENAMETOOLONG);
        goto failed;
    }

    ngx_memcpy(parent, folder->path->data, folder->path->len + 1);

    do {
        cut = strrchr(parent, '/');
        cut[cut == parent] = '\0';

    } while (cut != parent && lstat(parent, &st) == -1);

    if (!ngx_gw_path_is_ours(parent)) {
        ngx_log_error(ngx_gw_child_level(), log, 0,
                      "%s: folder \"%V\" is missing, and root does not make it "
                      "in \"%s\", which others can change", folder->name,
                      folder->path, parent);
        return NGX_ERROR;
    }

    if (ngx_gw_folder_make(folder->path) == NGX_OK
        && chown((char *) folder->path->data, folder->ccf->user,
                 folder->ccf->group) == 0)
    {
        return NGX_OK;
    }

failed:

    ngx_log_error(ngx_gw_child_level(), log, ngx_errno,
                  "%s: folder \"%V\" could not be made", folder->name,
                  folder->path);

    return NGX_ERROR;
}


ngx_fd_t
ngx_gw_folder_file(const char *path, int flags, struct stat *st)
{
    ngx_fd_t   fd;
    ngx_err_t  err;

    fd = open(path, flags|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC, 0600);

    if (fd == -1) {
        return NGX_INVALID_FILE;
    }

    if (fstat(fd, st) == -1) {
        err = ngx_errno;

    } else if (!S_ISREG(st->st_mode)) {
        err = NGX_EINVAL;

    } else if (st->st_nlink != 1) {
        err = NGX_EMLINK;

    } else {
        return fd;
    }

    (void) close(fd);
    ngx_set_errno(err);

    return NGX_INVALID_FILE;
}


int
ngx_gw_folder_lock(ngx_fd_t fd, short type, uint64_t at)
{
    struct flock  range;

    ngx_memzero(&range, sizeof(struct flock));

    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = (off_t) at;
    range.l_len = 1;

    return fcntl(fd, F_OFD_SETLK, &range);
}
