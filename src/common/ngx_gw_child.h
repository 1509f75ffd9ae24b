
/*
 * Work on files that a process leaves to a child.  The child has the rights
 * of the workers' user, so that nothing which that user has put into a folder
 * of its own is reached with root's.  It has little time, so that a disk
 * which does not answer holds nobody up.  For the start, reload and exit of
 * nginx; workers have threads.
 */


#ifndef NGX_GW_CHILD_H
#define NGX_GW_CHILD_H


#include <ngx_config.h>
#include <ngx_core.h>


/* ms without a sign of life after which a child is given up */
#define NGX_GW_CHILD_SILENCE  5000


typedef struct ngx_gw_child_s  ngx_gw_child_t;

struct ngx_gw_child_s {
    const char    *name;      /* of the directive, for the log */

    /*
     * In the child: may block, and log; what it changes is lost but for
     * shared memory and fd.  NGX_OK, NGX_ERROR, NGX_DECLINED, ...; NGX_ABORT
     * is kept for what follows.
     */
    ngx_int_t    (*run)(ngx_gw_child_t *child);
    void          *data;
    ngx_cycle_t   *cycle;

    ngx_fd_t       fd;        /* what run() opened for the caller, or
                                 NGX_INVALID_FILE */
};


/*
 * Calls run() in a child and returns what that returns; NGX_ABORT, logged:
 * there was no child, or it died, or it was killed after it had shown no sign
 * of life for NGX_GW_CHILD_SILENCE.  Mutexes of the cycle's zones that it
 * held then are free.  While the configuration of the cycle is still being
 * read, a "user" that is yet to come is not known.
 */

ngx_int_t ngx_gw_child_run(ngx_gw_child_t *child);

/* A sign of life of the child; elsewhere nothing.  Costs next to nothing. */

void ngx_gw_child_alive(void);

/* Of log lines: what fails at a start is an end, at a reload it is not. */

#define ngx_gw_child_level()                                                 \
    (ngx_is_init_cycle(ngx_cycle) ? NGX_LOG_EMERG : NGX_LOG_ERR)

/* Whether the workers of a cycle will be of another user than this process. */

ngx_uint_t ngx_gw_child_drops_rights(ngx_cycle_t *cycle);


#endif /* NGX_GW_CHILD_H */
