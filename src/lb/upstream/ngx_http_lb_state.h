
/*
 * lb_state: the file that the servers of an upstream are kept in.
 *
 *   ngx_http_lb_state.c         the directive, and a start or a reload
 *   ngx_http_lb_state_path.c    where it is
 *   ngx_http_lb_state_read.c    reading it
 *   ngx_http_lb_state_lines.c   server lines that differ from it
 *   ngx_http_lb_state_lock.c    which nginx may write it
 *   ngx_http_lb_state_save.c    writing it
 */


#ifndef NGX_HTTP_LB_STATE_H
#define NGX_HTTP_LB_STATE_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/common/ngx_gw_job.h"
#include "src/core/balance/lb_adopt.h"
#include "src/lb/upstream/ngx_http_lb_edit.h"


/* bytes of a state file */
#define NGX_HTTP_LB_STATE_MAX  (64 * 1024 * 1024)


/* who the owner of a state file is */

typedef enum {
    NGX_HTTP_LB_OWNER_US = 0,
    NGX_HTTP_LB_OWNER_GONE,         /* and it may be ours again */
    NGX_HTTP_LB_OWNER_OTHER,
    NGX_HTTP_LB_OWNER_ERROR         /* with ngx_errno */
} ngx_http_lb_owner_e;


/* numbers of owners are bytes of a file that are locked */
#define NGX_HTTP_LB_OWNER_MAX  0x7fffffff


/* what a state file says */

typedef struct {
    lb_list_t                 list;
    ngx_uint_t                compared; /* it has "lines" */
    lb_entry_t               *names;    /* further server lines */
    ngx_uint_t                nnames;
    uint64_t                  stamp;    /* which file it was */
    char                     *error;    /* what is wrong with it */
} ngx_http_lb_file_t;


/* a file that is being written or read by a thread */

typedef struct {
    ngx_http_lb_srv_conf_t   *conf;
    ngx_http_lb_edit_t       *edit;     /* the change that is in it */
    ngx_uint_t                recover;  /* memory may not be what it says */
    ngx_err_t                 err;
    const char               *failed;   /* the call that has failed */
    uint64_t                  stamp;    /* of the file as it is now */
    ngx_pool_t               *pool;     /* NULL: nothing was read */
    ngx_http_lb_file_t        list;
    ngx_gw_job_t              job;
} ngx_http_lb_save_t;


/* lb_state */

struct ngx_http_lb_state_s {
    ngx_str_t                 path;     /* each with a final zero */
    ngx_str_t                 temp;
    ngx_str_t                 lock;
    ngx_str_t                 folder;
    uint64_t                  key;      /* of the path, not 0 */

    /* as the configuration was read */
    ngx_uint_t                found;
    ngx_uint_t                bad;      /* it is no list of servers */
    ngx_http_lb_file_t        list;

    uint64_t                  owner;    /* our number as such, 0: none */
    ngx_fd_t                  fd;       /* of the lock; master */
    ngx_uint_t                readonly; /* a bad file is in the way */

    /* of this process */
    ngx_queue_t               waiting;  /* ngx_http_lb_edit_t */
    ngx_http_lb_edit_t       *edit;     /* that is being made, or NULL */
    ngx_uint_t                started;
    ngx_event_t               event;    /* while there are some waiting */
    ngx_http_lb_save_t        save;

    /* whether another nginx has taken over, see ngx_http_lb_state_lost() */
    ngx_uint_t                lost;
    ngx_msec_t                looked_at;
    ngx_http_lb_owner_e       seen;
    ngx_gw_job_t              look;
};


/* The directive "lb_state". */
char *ngx_http_lb_state(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Reads the file of an upstream whose lines are known, if it has one. */
ngx_int_t ngx_http_lb_state_init(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf);

/*
 * Sees to it that no other nginx writes the file; sets a bad one aside; of a
 * fresh zone, says which lines differ from it.
 */
ngx_int_t ngx_http_lb_state_init_module(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf, ngx_uint_t fresh);

void ngx_http_lb_state_init_process(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_STATE_H */
