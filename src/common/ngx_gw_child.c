
/*
 * The child: forked, made one of the workers' user, watched through a page
 * that it shares with its parent and a socket that ends with it.
 */


#include "src/common/ngx_gw_child.h"

#include "src/common/ngx_gw_clock.h"
#include <ngx_channel.h>

#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>


#define NGX_GW_CHILD_POLL  100      /* ms between two looks at the signs */
#define NGX_GW_CHILD_REAP  100      /* ms that a child may take to exit */


/* Signs of life, in memory shared with the parent; NULL in others. */

static _Atomic uint32_t  *ngx_gw_child_signs;


static void ngx_gw_child_main(ngx_gw_child_t *child, ngx_pid_t parent,
    ngx_socket_t s);
static ngx_int_t ngx_gw_child_become_worker(ngx_cycle_t *cycle);
static void ngx_gw_child_close_listening(ngx_cycle_t *cycle);
static ngx_int_t ngx_gw_child_wait(ngx_gw_child_t *child, ngx_pid_t pid,
    ngx_socket_t s, _Atomic uint32_t *signs);
static ngx_int_t ngx_gw_child_answer(ngx_gw_child_t *child, ngx_socket_t s);
static void ngx_gw_child_reap(ngx_pid_t pid);
static void ngx_gw_child_unlock(ngx_cycle_t *cycle, ngx_pid_t pid);


ngx_int_t
ngx_gw_child_run(ngx_gw_child_t *child)
{
    void          *page;
    ngx_int_t      rc;
    ngx_log_t     *log;
    ngx_pid_t      pid, parent;
    ngx_socket_t   pair[2];

    rc = NGX_ABORT;
    log = child->cycle->log;
    child->fd = NGX_INVALID_FILE;

    page = mmap(NULL, ngx_pagesize, PROT_READ|PROT_WRITE,
                MAP_ANON|MAP_SHARED, -1, 0);

    if (page == MAP_FAILED) {
        ngx_log_error(ngx_gw_child_level(), log, ngx_errno,
                      "%s: mmap() failed", child->name);
        return NGX_ABORT;
    }

    if (socketpair(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0, pair) == -1) {
        ngx_log_error(ngx_gw_child_level(), log, ngx_errno,
                      "%s: socketpair() failed", child->name);
        goto done;
    }

    parent = ngx_pid;
    pid = fork();

    if (pid == 0) {
        ngx_gw_child_signs = page;
        (void) close(pair[0]);
        ngx_gw_child_main(child, parent, pair[1]);
    }

    (void) close(pair[1]);

    if (pid == -1) {
        ngx_log_error(ngx_gw_child_level(), log, ngx_errno,
                      "%s: fork() failed", child->name);
    } else {
        rc = ngx_gw_child_wait(child, pid, pair[0], page);
    }

    (void) close(pair[0]);

done:

    (void) munmap(page, ngx_pagesize);

    return rc;
}


static void
ngx_gw_child_main(ngx_gw_child_t *child, ngx_pid_t parent, ngx_socket_t s)
{
    ngx_int_t      rc;
    ngx_log_t     *log;
    ngx_channel_t  ch;

    log = child->cycle->log;
    ngx_pid = getpid();

    /* one that a disk holds on to must not keep addresses in use */

    ngx_gw_child_close_listening(child->cycle);
    ngx_gw_child_close_listening((ngx_cycle_t *) ngx_cycle);

    rc = ngx_gw_child_become_worker(child->cycle);

    /* nobody is to write when the parent is no more; set after the user */

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent) {
        _exit(1);
    }

    if (rc == NGX_OK) {
        rc = child->run(child);
    }

    ngx_memzero(&ch, sizeof(ngx_channel_t));

    ch.command = child->fd == NGX_INVALID_FILE ? NGX_CMD_CLOSE_CHANNEL
                                               : NGX_CMD_OPEN_CHANNEL;
    ch.pid = ngx_pid;
    ch.slot = rc;
    ch.fd = child->fd;

    (void) ngx_write_channel(s, &ch, sizeof(ngx_channel_t), log);

    _exit(0);
}


ngx_uint_t
ngx_gw_child_drops_rights(ngx_cycle_t *cycle)
{
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    return geteuid() == 0 && ccf->master && ccf->user != 0;
}


/* As nginx makes its workers. */

static ngx_int_t
ngx_gw_child_become_worker(ngx_cycle_t *cycle)
{
    uid_t             uid;
    gid_t             gid;
    const char       *name;
    struct group     *grp;
    struct passwd    *pwd;
    ngx_core_conf_t  *ccf;

    if (!ngx_gw_child_drops_rights(cycle)) {
        return NGX_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    name = ccf->username;
    uid = ccf->user;
    gid = ccf->group;

    if (ccf->user == (ngx_uid_t) NGX_CONF_UNSET_UINT) {

        /* what it will be if the rest of the configuration has no "user" */

        name = NGX_USER;
        pwd = getpwnam(name);
        grp = getgrnam(NGX_GROUP);

        if (pwd == NULL || grp == NULL) {
            ngx_log_error(ngx_gw_child_level(), cycle->log, ngx_errno,
                          "user \"" NGX_USER "\" or group \"" NGX_GROUP
                          "\" is not found");
            return NGX_ERROR;
        }

        uid = pwd->pw_uid;
        gid = grp->gr_gid;
    }

    if (setgid(gid) == -1) {
        ngx_log_error(ngx_gw_child_level(), cycle->log, ngx_errno,
                      "setgid(%d) failed", gid);
        return NGX_ERROR;
    }

    if (initgroups(name, gid) == -1) {
        ngx_log_error(ngx_gw_child_level(), cycle->log, ngx_errno,
                      "initgroups(%s, %d) failed", name, gid);
        return NGX_ERROR;
    }

    if (setuid(uid) == -1) {
        ngx_log_error(ngx_gw_child_level(), cycle->log, ngx_errno,
                      "setuid(%d) failed", uid);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_gw_child_close_listening(ngx_cycle_t *cycle)
{
    ngx_uint_t        i;
    ngx_listening_t  *ls;

    if (cycle == NULL) {
        return;
    }

    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {
        if (ls[i].fd > STDERR_FILENO) {
            (void) close(ls[i].fd);
        }
    }
}


static ngx_int_t
ngx_gw_child_wait(ngx_gw_child_t *child, ngx_pid_t pid, ngx_socket_t s,
    _Atomic uint32_t *signs)
{
    int            n;
    uint32_t       last, seen;
    ngx_int_t      rc;
    ngx_msec_t     since;
    struct pollfd  pfd;

    pfd.fd = s;
    pfd.events = POLLIN;

    rc = NGX_ABORT;
    last = 0;
    since = ngx_gw_usec() / 1000;

    for ( ;; ) {
        n = poll(&pfd, 1, NGX_GW_CHILD_POLL);

        if (n > 0) {
            rc = ngx_gw_child_answer(child, s);
            break;
        }

        seen = atomic_load_explicit(signs, memory_order_relaxed);

        if (seen != last) {
            last = seen;
            since = ngx_gw_usec() / 1000;
            continue;
        }

        if (ngx_gw_usec() / 1000 - since >= NGX_GW_CHILD_SILENCE) {
            ngx_log_error(ngx_gw_child_level(), child->cycle->log, 0,
                          "%s: the disk has not answered for %d seconds",
                          child->name, NGX_GW_CHILD_SILENCE / 1000);
            break;
        }
    }

    if (rc == NGX_ABORT) {
        (void) kill(pid, SIGKILL);
        ngx_gw_child_unlock(child->cycle, pid);
    }

    ngx_gw_child_reap(pid);

    return rc;
}


static ngx_int_t
ngx_gw_child_answer(ngx_gw_child_t *child, ngx_socket_t s)
{
    ngx_channel_t  ch;

    ngx_memzero(&ch, sizeof(ngx_channel_t));

    if (ngx_read_channel(s, &ch, sizeof(ngx_channel_t), child->cycle->log)
        != (ngx_int_t) sizeof(ngx_channel_t))
    {
        ngx_log_error(ngx_gw_child_level(), child->cycle->log, 0,
                      "%s: the process that was at its files has died",
                      child->name);
        return NGX_ABORT;
    }

    if (ch.command == NGX_CMD_OPEN_CHANNEL) {
        child->fd = ch.fd;
    }

    return ch.slot;
}


/* One that a disk holds on to is left to nginx, or to init. */

static void
ngx_gw_child_reap(ngx_pid_t pid)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_GW_CHILD_REAP; i++) {

        if (waitpid(pid, NULL, WNOHANG) != 0) {
            return;
        }

        ngx_msleep(1);
    }
}


/* It will not run again, whatever it is at. */

static void
ngx_gw_child_unlock(ngx_cycle_t *cycle, ngx_pid_t pid)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *shm_zone;
    ngx_list_part_t  *part;
    ngx_slab_pool_t  *shpool;

    part = &cycle->shared_memory.part;
    shm_zone = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return;
            }

            part = part->next;
            shm_zone = part->elts;
            i = 0;
        }

        shpool = (ngx_slab_pool_t *) shm_zone[i].shm.addr;

        if (shpool != NULL
            && ngx_shmtx_force_unlock(&shpool->mutex, pid))
        {
            ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                          "shared memory zone \"%V\" was locked by %P",
                          &shm_zone[i].shm.name, pid);
        }
    }
}


void
ngx_gw_child_alive(void)
{
    if (ngx_gw_child_signs != NULL) {
        (void) atomic_fetch_add_explicit(ngx_gw_child_signs, 1,
                                         memory_order_relaxed);
    }
}
