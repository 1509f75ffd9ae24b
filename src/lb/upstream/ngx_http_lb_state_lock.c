
/*
 * Who may write a state file: one nginx at a time.
 *
 * Beside the file is another one with the suffix ".lock".  It holds the
 * number of its owner in decimal.  Byte 0 of it is locked while the state
 * file or the number is written; byte N is locked by the master of owner N
 * for as long as that lives, with a lock that ends with the open file and not
 * with a process.  So whoever finds another number can see whether that nginx
 * is still there.  The lock file is never replaced.
 */


#include "src/lb/upstream/ngx_http_lb_state_lock.h"

#include "src/common/ngx_gw_folder.h"

#include <dirent.h>


/* ms that a writer waits for another one, at most and each time */
#define NGX_HTTP_LB_LOCK_WAIT   2000
#define NGX_HTTP_LB_LOCK_DELAY  5

/* ms between two looks at who the owner is, without a change to be made */
#define NGX_HTTP_LB_LOCK_LOOK   1000

#define NGX_HTTP_LB_LOCK_TEXT   32


static void ngx_http_lb_lock_close(void *data);
static ngx_http_lb_owner_e ngx_http_lb_lock_owner(ngx_http_lb_state_t *state,
    ngx_fd_t fd);
static void ngx_http_lb_lock_look(void *data);
static void ngx_http_lb_lock_looked(void *data);
static ngx_int_t ngx_http_lb_lock_wait(ngx_fd_t fd, ngx_msec_t max);
static ngx_uint_t ngx_http_lb_lock_held(ngx_fd_t fd, uint64_t number);
static uint64_t ngx_http_lb_lock_read(ngx_fd_t fd);
static ngx_int_t ngx_http_lb_lock_write(ngx_fd_t fd, uint64_t number);
static ngx_int_t ngx_http_lb_lock_take(ngx_http_lb_state_t *state, ngx_fd_t fd,
    ngx_fd_t *inherited);
static ngx_fd_t ngx_http_lb_lock_inherited(ngx_fd_t fd, uint64_t number);


/*
 * Becomes the owner if there is none that lives, or if it is the nginx that
 * this one replaces.
 */

ngx_int_t
ngx_http_lb_state_own(ngx_cycle_t *cycle, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_fd_t              fd, inherited;
    ngx_int_t             rc;
    ngx_pool_cleanup_t   *cln;
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    ngx_http_lb_lock_close(state);
    state->owner = 0;

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    fd = ngx_gw_folder_open(cycle, "lb_state", &state->folder, &state->lock);

    inherited = NGX_INVALID_FILE;
    rc = NGX_ERROR;

    if (fd != NGX_INVALID_FILE) {
        rc = ngx_http_lb_lock_take(state, fd, &inherited);
    }

    if (rc == NGX_OK) {

        if (inherited != NGX_INVALID_FILE) {
            (void) ngx_close_file(inherited);
        }

        state->fd = fd;

        cln->handler = ngx_http_lb_lock_close;
        cln->data = state;

        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                  "lb: state file \"%V\" of upstream \"%V\" %s, changes at "
                  "runtime will be refused",
                  &state->path, &lcf->upstream->host,
                  rc == NGX_DECLINED ? "is in use by another nginx"
                                     : "cannot be locked");

    if (fd != NGX_INVALID_FILE) {
        (void) ngx_close_file(fd);
    }

    return NGX_DECLINED;
}


/* the same owner, for as long as either configuration has it */

ngx_int_t
ngx_http_lb_state_own_on(ngx_cycle_t *cycle, ngx_http_lb_state_t *state,
    ngx_http_lb_state_t *old)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    state->fd = fcntl(old->fd, F_DUPFD, STDERR_FILENO + 1);

    if (state->fd == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    state->owner = old->owner;

    cln->handler = ngx_http_lb_lock_close;
    cln->data = state;

    return NGX_OK;
}


static void
ngx_http_lb_lock_close(void *data)
{
    ngx_http_lb_state_t  *state = data;

    if (state->fd != NGX_INVALID_FILE) {
        (void) ngx_close_file(state->fd);
        state->fd = NGX_INVALID_FILE;
    }
}


void
ngx_http_lb_state_disown(ngx_http_lb_srv_conf_t *lcf)
{
    if (lcf->state && ngx_process != NGX_PROCESS_SINGLE) {
        ngx_http_lb_lock_close(lcf->state);
    }
}


ngx_http_lb_owner_e
ngx_http_lb_state_enter(ngx_http_lb_state_t *state, ngx_fd_t *fd)
{
    struct stat  st;

    *fd = NGX_INVALID_FILE;

    if (state->readonly) {
        ngx_set_errno(EEXIST);
        return NGX_HTTP_LB_OWNER_ERROR;
    }

    *fd = ngx_gw_folder_file((char *) state->lock.data, O_RDWR, &st);

    if (*fd == NGX_INVALID_FILE) {
        return NGX_HTTP_LB_OWNER_ERROR;
    }

    if (ngx_http_lb_lock_wait(*fd, NGX_HTTP_LB_LOCK_WAIT) != NGX_OK) {
        return NGX_HTTP_LB_OWNER_ERROR;
    }

    return ngx_http_lb_lock_owner(state, *fd);
}


static ngx_http_lb_owner_e
ngx_http_lb_lock_owner(ngx_http_lb_state_t *state, ngx_fd_t fd)
{
    uint64_t    number;
    ngx_uint_t  held;

    number = ngx_http_lb_lock_read(fd);

    if (state->owner != 0 && number == state->owner) {
        return NGX_HTTP_LB_OWNER_US;
    }

    held = (number != 0 && ngx_http_lb_lock_held(fd, number));

    return (held || state->owner == 0) ? NGX_HTTP_LB_OWNER_OTHER
                                       : NGX_HTTP_LB_OWNER_GONE;
}


ngx_int_t
ngx_http_lb_state_claim(ngx_http_lb_state_t *state, ngx_fd_t fd)
{
    return ngx_http_lb_lock_write(fd, state->owner);
}


ngx_uint_t
ngx_http_lb_state_lost(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_http_lb_state_t  *state;

    state = lcf->state;

    /* who never was the owner has not been replaced by it */

    if (state == NULL || state->owner == 0) {
        return 0;
    }

    if (!state->look.busy
        && (ngx_msec_int_t) (ngx_current_msec - state->looked_at)
           >= NGX_HTTP_LB_LOCK_LOOK)
    {
        state->looked_at = ngx_current_msec;

        state->look.run = ngx_http_lb_lock_look;
        state->look.done = ngx_http_lb_lock_looked;
        state->look.data = state;

        (void) ngx_gw_job_start(&state->look);
    }

    return state->lost;
}


/* in a thread */

static void
ngx_http_lb_lock_look(void *data)
{
    ngx_http_lb_state_t  *state = data;

    ngx_fd_t     fd;
    struct stat  st;

    state->seen = NGX_HTTP_LB_OWNER_ERROR;

    fd = ngx_gw_folder_file((char *) state->lock.data, O_RDWR, &st);

    if (fd != NGX_INVALID_FILE) {
        state->seen = ngx_http_lb_lock_owner(state, fd);
        (void) ngx_close_file(fd);
    }
}


static void
ngx_http_lb_lock_looked(void *data)
{
    ngx_http_lb_state_t  *state = data;

    state->lost = (state->seen == NGX_HTTP_LB_OWNER_OTHER);
}


static ngx_int_t
ngx_http_lb_lock_wait(ngx_fd_t fd, ngx_msec_t max)
{
    ngx_msec_t  waited;

    for (waited = 0; /* void */ ; waited += NGX_HTTP_LB_LOCK_DELAY) {

        if (ngx_gw_folder_lock(fd, F_WRLCK, 0) == 0) {
            return NGX_OK;
        }

        if ((ngx_errno != EAGAIN && ngx_errno != EACCES) || waited >= max) {
            return NGX_ERROR;
        }

        ngx_msleep(NGX_HTTP_LB_LOCK_DELAY);
    }
}


/* whether somebody else's open file has that byte locked */

static ngx_uint_t
ngx_http_lb_lock_held(ngx_fd_t fd, uint64_t number)
{
    struct flock  range;

    ngx_memzero(&range, sizeof(struct flock));

    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_start = (off_t) number;
    range.l_len = 1;

    return fcntl(fd, F_OFD_GETLK, &range) == -1 || range.l_type != F_UNLCK;
}


/* 0 if there is none */

static uint64_t
ngx_http_lb_lock_read(ngx_fd_t fd)
{
    off_t    number;
    u_char   text[NGX_HTTP_LB_LOCK_TEXT];
    ssize_t  n;

    n = pread(fd, text, sizeof(text), 0);

    if (n < 2 || text[n - 1] != '\n') {
        return 0;
    }

    number = ngx_atoof(text, n - 1);

    return number > 0 ? (uint64_t) number : 0;
}


static ngx_int_t
ngx_http_lb_lock_write(ngx_fd_t fd, uint64_t number)
{
    size_t   len;
    u_char   text[NGX_HTTP_LB_LOCK_TEXT];

    len = ngx_sprintf(text, "%uL\n", number) - text;

    if (pwrite(fd, text, len, 0) != (ssize_t) len
        || ftruncate(fd, (off_t) len) == -1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_lock_take(ngx_http_lb_state_t *state, ngx_fd_t fd,
    ngx_fd_t *inherited)
{
    uint64_t  number;

    if (ngx_http_lb_lock_wait(fd, NGX_HTTP_LB_LOCK_WAIT) != NGX_OK) {
        return NGX_ERROR;
    }

    number = ngx_http_lb_lock_read(fd);

    if (number != 0 && ngx_http_lb_lock_held(fd, number)) {
        *inherited = ngx_http_lb_lock_inherited(fd, number);

        if (*inherited == NGX_INVALID_FILE) {
            return NGX_DECLINED;
        }
    }

    number = number % NGX_HTTP_LB_OWNER_MAX + 1;

    if (ngx_gw_folder_lock(fd, F_WRLCK, number) == -1
        || ngx_http_lb_lock_write(fd, number) != NGX_OK
        || ngx_gw_folder_lock(fd, F_UNLCK, 0) == -1)
    {
        return NGX_ERROR;
    }

    state->owner = number;

    return NGX_OK;
}


/*
 * The descriptor by which the process that this one replaces holds the lock:
 * nginx passes on all that are open.
 */

static ngx_fd_t
ngx_http_lb_lock_inherited(ngx_fd_t fd, uint64_t number)
{
    DIR            *dir;
    ngx_fd_t        have, found;
    struct stat     lock, st;
    struct dirent  *entry;

    if (fstat(fd, &lock) == -1) {
        return NGX_INVALID_FILE;
    }

    dir = opendir("/proc/self/fd");

    if (dir == NULL) {
        return NGX_INVALID_FILE;
    }

    found = NGX_INVALID_FILE;

    while (found == NGX_INVALID_FILE && (entry = readdir(dir)) != NULL) {
        have = ngx_atoi((u_char *) entry->d_name, ngx_strlen(entry->d_name));

        if (have > STDERR_FILENO && have != fd && have != dirfd(dir)
            && fstat(have, &st) == 0 && st.st_dev == lock.st_dev
            && st.st_ino == lock.st_ino
            && !ngx_http_lb_lock_held(have, number))
        {
            found = have;
        }
    }

    (void) closedir(dir);

    return found;
}
