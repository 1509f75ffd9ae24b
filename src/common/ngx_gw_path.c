
/*
 * Whose a path is: goes from one folder to the next, through links.
 */


#include "src/common/ngx_gw_path.h"


#define NGX_GW_PATH_LINKS  40


static int ngx_gw_path_next(int fd, char *rest, size_t size,
    ngx_uint_t *links);
static ngx_uint_t ngx_gw_path_folder(int fd, const struct stat *entry);


ngx_uint_t
ngx_gw_path_is_ours(const char *path)
{
    int         fd;
    char        rest[2 * NGX_MAX_PATH];
    ngx_uint_t  links, ours;

    if (path[0] != '/' || ngx_strlen(path) >= NGX_MAX_PATH) {
        return 0;
    }

    (void) ngx_cpystrn((u_char *) rest, (u_char *) path, sizeof(rest));

    links = 0;
    fd = open("/", O_PATH|O_DIRECTORY|O_CLOEXEC);

    while (fd != -1 && rest[0] != '\0') {
        fd = ngx_gw_path_next(fd, rest, sizeof(rest), &links);
    }

    if (fd == -1) {
        return 0;
    }

    ours = ngx_gw_path_folder(fd, NULL);

    (void) close(fd);

    return ours;
}


/*
 * Goes to the first component of rest, which is cut from it, or replaced if
 * it is a link; closes fd.  -1: somebody else may change where that leads to.
 */

static int
ngx_gw_path_next(int fd, char *rest, size_t size, ngx_uint_t *links)
{
    int          next;
    char         link[NGX_MAX_PATH], name[NGX_MAX_PATH], *p;
    size_t       len, left;
    ssize_t      n;
    struct stat  st;

    for (p = rest; *p == '/'; p++) { /* void */ }

    len = strcspn(p, "/");

    if (len >= sizeof(name)) {
        goto failed;
    }

    (void) ngx_cpystrn((u_char *) name, (u_char *) p, len + 1);

    left = ngx_strlen(p + len);
    ngx_memmove(rest, p + len, left + 1);

    if (len == 0) {
        return fd;
    }

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1
        || !ngx_gw_path_folder(fd, &st))
    {
        goto failed;
    }

    if (!S_ISLNK(st.st_mode)) {
        next = openat(fd, name, O_PATH|O_NOFOLLOW|O_CLOEXEC);
        (void) close(fd);
        return next;
    }

    n = readlinkat(fd, name, link, sizeof(link));

    if (n <= 0 || (size_t) n + 1 + left >= size
        || ++*links > NGX_GW_PATH_LINKS)
    {
        goto failed;
    }

    ngx_memmove(rest + n + 1, rest, left + 1);
    ngx_memcpy(rest, link, n);
    rest[n] = '/';

    if (link[0] != '/') {
        return fd;
    }

    (void) close(fd);

    return open("/", O_PATH|O_DIRECTORY|O_CLOEXEC);

failed:

    (void) close(fd);

    return -1;
}


/*
 * Whether others cannot change the folder, or, if it is one where everybody
 * may add what is his, cannot change this entry.
 */

static ngx_uint_t
ngx_gw_path_folder(int fd, const struct stat *entry)
{
    uid_t        uid;
    struct stat  st;

    uid = geteuid();

    if (fstat(fd, &st) == -1 || (st.st_uid != 0 && st.st_uid != uid)) {
        return 0;
    }

    if ((st.st_mode & (S_IWGRP|S_IWOTH)) == 0) {
        return 1;
    }

    return entry && (st.st_mode & S_ISVTX)
           && (entry->st_uid == 0 || entry->st_uid == uid);
}
