
/*
 * The folder of the file store: created, owned by one nginx at a time, and
 * the plain operations on files in it.
 */


#include "src/common/ngx_gw_child.h"
#include "src/common/ngx_gw_folder.h"
#include "src/tbucket/ngx_http_tbucket_store_file.h"

#include <dirent.h>
#include <sys/file.h>


/* how often a start asks for the folder, and how long it waits each time */
#define NGX_HTTP_TBUCKET_FILE_TRIES  25
#define NGX_HTTP_TBUCKET_FILE_DELAY  100       /* ms */

/* us between two questions for a lock: so many of the first kind at first */
#define NGX_HTTP_TBUCKET_FILE_BRISK        50
#define NGX_HTTP_TBUCKET_FILE_BRISK_DELAY  200
#define NGX_HTTP_TBUCKET_FILE_LOCK_DELAY   2000

/* a file that is read at most, beside NGX_HTTP_TBUCKET_FILE_RATIO x zone */
#define NGX_HTTP_TBUCKET_FILE_SMALL  (16 * 1024 * 1024)
#define NGX_HTTP_TBUCKET_FILE_RATIO  8

#define NGX_HTTP_TBUCKET_FILE_READ   (1024 * 1024)


static ngx_fd_t ngx_http_tbucket_file_inherited(ngx_fd_t fd);
static void ngx_http_tbucket_file_wait(ngx_http_tbucket_file_zone_t *fz,
    ngx_uint_t n);


ngx_int_t
ngx_http_tbucket_file_open_folder(ngx_http_tbucket_file_t *file,
    ngx_cycle_t *cycle)
{
    ngx_fd_t    fd;
    ngx_uint_t  i;

    fd = ngx_gw_folder_open(cycle, "tbucket_store", &file->path, &file->lock);

    if (fd == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    for (i = 0; /* void */ ; i++) {

        if (flock(fd, LOCK_EX|LOCK_NB) == 0) {
            file->fd = fd;
            return NGX_OK;
        }

        /* the lock may be this process', or that of the one it came from */

        file->fd = ngx_http_tbucket_file_inherited(fd);

        if (file->fd != NGX_INVALID_FILE || !ngx_is_init_cycle(ngx_cycle)
            || i == NGX_HTTP_TBUCKET_FILE_TRIES)
        {
            break;
        }

        /* or that of one that is just saving, on its way out */

        ngx_msleep(NGX_HTTP_TBUCKET_FILE_DELAY);
    }

    if (file->fd == NGX_INVALID_FILE) {
        ngx_log_error(ngx_gw_child_level(), cycle->log, 0,
                      "tbucket_store: folder \"%V\" is in use by another "
                      "nginx", &file->path);
    }

    (void) close(fd);

    return file->fd == NGX_INVALID_FILE ? NGX_ERROR : NGX_OK;
}


/*
 * A descriptor of the lock file that holds the lock already: of the last
 * configuration, or of the process that started this one to replace it
 * (nginx passes on all descriptors).  A lock belongs to what was opened, so
 * taking it again works with such a descriptor only.
 */

static ngx_fd_t
ngx_http_tbucket_file_inherited(ngx_fd_t fd)
{
    DIR            *dir;
    ngx_fd_t        have, found;
    struct stat     lock, st;
    struct dirent  *entry;

    dir = opendir("/proc/self/fd");

    if (dir == NULL) {
        return NGX_INVALID_FILE;
    }

    found = NGX_INVALID_FILE;

    if (fstat(fd, &lock) == 0) {

        while (found == NGX_INVALID_FILE && (entry = readdir(dir)) != NULL) {
            have = ngx_atoi((u_char *) entry->d_name,
                            ngx_strlen(entry->d_name));

            if (have > STDERR_FILENO && have != fd && have != dirfd(dir)
                && fstat(have, &st) == 0 && st.st_dev == lock.st_dev
                && st.st_ino == lock.st_ino
                && flock(have, LOCK_EX|LOCK_NB) == 0)
            {
                found = ngx_is_init_cycle(ngx_cycle) ? have : dup(have);
            }
        }
    }

    (void) closedir(dir);

    return found;
}


ngx_fd_t
ngx_http_tbucket_file_lock(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_lock_e which, ngx_msec_t wait,
    ngx_http_tbucket_file_error_t *error)
{
    char         *path;
    ngx_fd_t      fd;
    uint64_t      until;
    ngx_uint_t    n;
    struct stat   st;
    struct flock  range;

    path = (char *) fz->file->lock.data;
    fd = ngx_gw_folder_file(path, O_RDWR, &st);

    if (fd == NGX_INVALID_FILE) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "open()", path);
        return NGX_INVALID_FILE;
    }

    ngx_memzero(&range, sizeof(struct flock));

    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_start = (off_t) (fz->byte + which);
    range.l_len = 1;

    until = ngx_http_tbucket_usec() + (uint64_t) wait * 1000;

    /* asks again and again: to wait in the kernel has no end */

    for (n = 0; fcntl(fd, F_OFD_SETLK, &range) == -1; n++) {

        if (ngx_errno != NGX_EAGAIN && ngx_errno != NGX_EACCES
            && ngx_errno != NGX_EINTR)
        {
            ngx_http_tbucket_file_fail(error, ngx_errno, "fcntl(F_OFD_SETLK)",
                                       path);
            goto failed;
        }

        if (ngx_http_tbucket_usec() >= until) {
            ngx_http_tbucket_file_fail(error, 0, "taking a lock, which "
                                       "another process or a hanging disk "
                                       "keeps, on", path);
            goto failed;
        }

        ngx_http_tbucket_file_wait(fz, n);
    }

    return fd;

failed:

    (void) close(fd);

    return NGX_INVALID_FILE;
}


/* Who has asked for long has those who have not asked yet let it pass. */

static void
ngx_http_tbucket_file_wait(ngx_http_tbucket_file_zone_t *fz, ngx_uint_t n)
{
    ngx_http_tbucket_file_alive(fz);

    if (n < NGX_HTTP_TBUCKET_FILE_BRISK) {
        (void) usleep(NGX_HTTP_TBUCKET_FILE_BRISK_DELAY);
        return;
    }

    atomic_store_explicit(&fz->zone->shared->kept.waited,
                          ngx_http_tbucket_file_now(), memory_order_relaxed);

    (void) usleep(NGX_HTTP_TBUCKET_FILE_LOCK_DELAY);
}


void
ngx_http_tbucket_file_yield(ngx_http_tbucket_file_zone_t *fz)
{
    uint64_t  waited;

    waited = atomic_load_explicit(&fz->zone->shared->kept.waited,
                                  memory_order_relaxed);

    if (ngx_http_tbucket_file_now() - waited
        <= NGX_HTTP_TBUCKET_FILE_LOCK_DELAY / 1000 * 2)
    {
        (void) usleep(NGX_HTTP_TBUCKET_FILE_LOCK_DELAY * 2);
    }
}


void
ngx_http_tbucket_file_fail(ngx_http_tbucket_file_error_t *error,
    ngx_err_t err, const char *what, const char *path)
{
    if (error->text[0] == '\0') {
        error->err = err;
        (void) snprintf(error->text, sizeof(error->text),
                        path ? "%s \"%s\" failed" : "%s", what, path);
    }
}


char *
ngx_http_tbucket_file_path(ngx_http_tbucket_file_zone_t *fz, char *buf,
    const char *suffix)
{
    (void) snprintf(buf, NGX_MAX_PATH, "%s%s", fz->stem.data, suffix);

    return buf;
}


char *
ngx_http_tbucket_file_journal(ngx_http_tbucket_file_zone_t *fz, char *buf,
    uint64_t number)
{
    (void) snprintf(buf, NGX_MAX_PATH, "%s.journal.%llu", fz->stem.data,
                    (unsigned long long) number);

    return buf;
}


ngx_int_t
ngx_http_tbucket_file_read(ngx_http_tbucket_file_zone_t *fz,
    const char *path, ngx_str_t *text, struct stat *st,
    ngx_http_tbucket_file_error_t *error)
{
    ssize_t   n;
    size_t    len;
    ngx_fd_t  fd;

    ngx_str_null(text);

    fd = ngx_gw_folder_file(path, O_RDONLY, st);

    if (fd == NGX_INVALID_FILE && ngx_errno == NGX_ENOENT) {
        return NGX_DECLINED;
    }

    if (fd == NGX_INVALID_FILE) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "open()", path);
        return NGX_ERROR;
    }

    if ((uint64_t) st->st_size > ngx_http_tbucket_file_limit(fz)) {
        ngx_http_tbucket_file_fail(error, 0, "reading a file that is larger "
                                   "than one of this zone can be,", path);
        goto failed;
    }

    text->data = malloc((size_t) st->st_size + 1);

    if (text->data == NULL) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "malloc() for", path);
        goto failed;
    }

    for (len = 0; len < (size_t) st->st_size; len += (size_t) n) {
        ngx_gw_child_alive();

        n = read(fd, text->data + len,
                 ngx_min((size_t) st->st_size - len,
                         NGX_HTTP_TBUCKET_FILE_READ));

        if (n == -1 && ngx_errno == NGX_EINTR) {
            n = 0;
            continue;
        }

        if (n == -1) {
            ngx_http_tbucket_file_fail(error, ngx_errno, "read()", path);
            goto failed;
        }

        if (n == 0) {
            break;
        }
    }

    text->len = len;
    (void) close(fd);

    return NGX_OK;

failed:

    free(text->data);
    ngx_str_null(text);

    (void) close(fd);

    return NGX_ERROR;
}


/*
 * What a zone's clients take in a file: an id's bytes six times as many, and
 * a line around it, for at least 60 bytes in the zone.
 */

uint64_t
ngx_http_tbucket_file_limit(ngx_http_tbucket_file_zone_t *fz)
{
    return NGX_HTTP_TBUCKET_FILE_SMALL
           + NGX_HTTP_TBUCKET_FILE_RATIO
             * (uint64_t) fz->zone->shm_zone->shm.size;
}


ngx_fd_t
ngx_http_tbucket_file_open(const char *path, int flags,
    ngx_http_tbucket_file_error_t *error)
{
    ngx_fd_t     fd;
    struct stat  st;

    fd = ngx_gw_folder_file(path, O_RDWR|flags, &st);

    if (fd == NGX_INVALID_FILE) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "open()", path);
    }

    return fd;
}


ngx_int_t
ngx_http_tbucket_file_put(ngx_fd_t fd, const void *data, size_t len,
    off_t offset)
{
    ssize_t        n;
    const u_char  *p;

    p = data;

    while (len > 0) {
        n = pwrite(fd, p, len, offset);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            continue;
        }

        if (n <= 0) {
            return NGX_ERROR;
        }

        p += n;
        len -= (size_t) n;
        offset += n;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_file_sync_folder(ngx_http_tbucket_file_zone_t *fz,
    ngx_http_tbucket_file_error_t *error)
{
    int        rc;
    char      *path;
    ngx_fd_t   fd;

    path = (char *) fz->file->path.data;
    fd = open(path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "open()", path);
        return NGX_ERROR;
    }

    rc = fsync(fd);

    if (rc == -1) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "fsync()", path);
    }

    (void) close(fd);

    return rc == -1 ? NGX_ERROR : NGX_OK;
}


void
ngx_http_tbucket_file_print(ngx_http_tbucket_print_t *print,
    const struct stat *st)
{
    print->inode = st->st_ino;
    print->size = (uint64_t) st->st_size;
    print->sec = (uint64_t) st->st_mtim.tv_sec;
    print->nsec = (uint64_t) st->st_mtim.tv_nsec;
}


ngx_int_t
ngx_http_tbucket_file_set_aside(const char *path, char *buf)
{
    ngx_uint_t  i;

    for (i = 1; i < 100; i++) {

        if (i == 1) {
            (void) snprintf(buf, NGX_MAX_PATH, "%s.bad", path);
        } else {
            (void) snprintf(buf, NGX_MAX_PATH, "%s.%u.bad", path,
                            (unsigned) i);
        }

        if (access(buf, F_OK) == -1) {
            break;
        }
    }

    return rename(path, buf) == -1 ? NGX_ERROR : NGX_OK;
}


uint64_t
ngx_http_tbucket_file_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}
