
/*
 * The folder of the file store: created, owned by one nginx at a time, and
 * the plain operations on files in it.
 */


#include "src/tbucket/ngx_http_tbucket_store_file.h"

#include <dirent.h>
#include <sys/file.h>


/* how often a start asks for the folder, and how long it waits each time */
#define NGX_HTTP_TBUCKET_FILE_TRIES  25
#define NGX_HTTP_TBUCKET_FILE_DELAY  100       /* ms */


static ngx_int_t ngx_http_tbucket_file_make_folder(
    ngx_http_tbucket_file_t *file, ngx_log_t *log);
static ngx_fd_t ngx_http_tbucket_file_inherited(ngx_fd_t fd);


ngx_int_t
ngx_http_tbucket_file_open_folder(ngx_http_tbucket_file_t *file,
    ngx_cycle_t *cycle)
{
    ngx_fd_t    fd;
    ngx_uint_t  i;

    if (ngx_http_tbucket_file_make_folder(file, cycle->log) != NGX_OK) {
        return NGX_ERROR;
    }

    fd = open((char *) file->lock.data, O_RDWR|O_CREAT, 0600);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "open() \"%V\" failed", &file->lock);
        return NGX_ERROR;
    }

    if (file->user != (ngx_uid_t) NGX_CONF_UNSET_UINT
        && fchown(fd, file->user, -1) == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "fchown() \"%V\" failed", &file->lock);
        (void) close(fd);
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
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "tbucket_store: folder \"%V\" is in use by another "
                      "nginx", &file->path);
    }

    (void) close(fd);

    return file->fd == NGX_INVALID_FILE ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_file_make_folder(ngx_http_tbucket_file_t *file,
    ngx_log_t *log)
{
    ngx_err_t        err;
    struct stat      st;

    err = ngx_create_full_path(file->path.data, 0755);

    if (err == 0 && mkdir((char *) file->path.data, 0700) == -1
        && ngx_errno != NGX_EEXIST)
    {
        err = ngx_errno;
    }

    if (err != 0) {
        ngx_log_error(NGX_LOG_EMERG, log, err, "mkdir() \"%V\" failed",
                      &file->path);
        return NGX_ERROR;
    }

    if (stat((char *) file->path.data, &st) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno, "stat() \"%V\" failed",
                      &file->path);
        return NGX_ERROR;
    }

    if (!S_ISDIR(st.st_mode)) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "tbucket_store: \"%V\" is not a folder", &file->path);
        return NGX_ERROR;
    }

    if (file->user != (ngx_uid_t) NGX_CONF_UNSET_UINT
        && st.st_uid != file->user
        && chown((char *) file->path.data, file->user, -1) == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno, "chown(\"%V\", %d) failed",
                      &file->path, file->user);
        return NGX_ERROR;
    }

    return NGX_OK;
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
    ngx_http_tbucket_file_lock_e which, ngx_http_tbucket_file_error_t *error)
{
    int           rc;
    ngx_fd_t      fd;
    struct flock  range;

    fd = open((char *) fz->file->lock.data, O_RDWR|O_CLOEXEC);

    if (fd == -1) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "open()",
                                   (char *) fz->file->lock.data);
        return NGX_INVALID_FILE;
    }

    ngx_memzero(&range, sizeof(struct flock));

    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_start = (off_t) (fz->byte + which);
    range.l_len = 1;

    do {
        rc = fcntl(fd, F_OFD_SETLKW, &range);
    } while (rc == -1 && ngx_errno == NGX_EINTR);

    if (rc == -1) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "fcntl(F_OFD_SETLKW)",
                                   (char *) fz->file->lock.data);
        (void) close(fd);
        return NGX_INVALID_FILE;
    }

    return fd;
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
ngx_http_tbucket_file_read(const char *path, ngx_str_t *text,
    struct stat *st, ngx_http_tbucket_file_error_t *error)
{
    ssize_t   n;
    size_t    len;
    ngx_fd_t  fd;

    ngx_str_null(text);

    fd = open(path, O_RDONLY|O_CLOEXEC|O_NONBLOCK);

    if (fd == -1 && ngx_errno == NGX_ENOENT) {
        return NGX_DECLINED;
    }

    if (fd == -1 || fstat(fd, st) == -1) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "open()", path);
        goto failed;
    }

    if (!S_ISREG(st->st_mode)) {
        ngx_http_tbucket_file_fail(error, 0, "reading a file that is none:",
                                   path);
        goto failed;
    }

    text->data = malloc((size_t) st->st_size + 1);

    if (text->data == NULL) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "malloc() for", path);
        goto failed;
    }

    for (len = 0; len < (size_t) st->st_size; len += (size_t) n) {
        n = read(fd, text->data + len, (size_t) st->st_size - len);

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

    if (fd != -1) {
        (void) close(fd);
    }

    return NGX_ERROR;
}


ngx_fd_t
ngx_http_tbucket_file_create(ngx_http_tbucket_file_zone_t *fz,
    const char *path, int flags, ngx_http_tbucket_file_error_t *error)
{
    ngx_fd_t  fd;

    fd = open(path, O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW|flags, 0600);

    if (fd == -1) {
        ngx_http_tbucket_file_fail(error, ngx_errno, "open()", path);
        return NGX_INVALID_FILE;
    }

    if (geteuid() == 0 && fz->file->user != (ngx_uid_t) NGX_CONF_UNSET_UINT
        && fchown(fd, fz->file->user, -1) == -1)
    {
        ngx_http_tbucket_file_fail(error, ngx_errno, "fchown()", path);
        (void) close(fd);
        return NGX_INVALID_FILE;
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
