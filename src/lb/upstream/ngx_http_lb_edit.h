
/*
 * Changes of servers at runtime: what the API, the state file and the
 * metrics share.
 *
 *   ngx_http_lb_api.c        where a request is, lists and single servers
 *   ngx_http_lb_api_write.c  bodies, and what became of a change
 *   ngx_http_lb_edit.c       changes, one after the other
 *   ngx_http_lb_state.c      lb_state: what becomes of it at a start
 *   ngx_http_lb_state_path.c   where it is
 *   ngx_http_lb_state_read.c   reading it
 *   ngx_http_lb_state_lines.c  server lines that differ from it
 *   ngx_http_lb_state_lock.c   which nginx may write it
 *   ngx_http_lb_state_save.c   writing it
 *
 * With a state file a change is written to it first and made in shared
 * memory then; the process that does so is the leader of that upstream's
 * changes, and the others wait.  What fails on the way has changed nothing.
 * roster->saving tells that a process may have died between the two: the
 * next one reads the file before it makes a change, or when it starts.
 */


#ifndef NGX_HTTP_LB_EDIT_H
#define NGX_HTTP_LB_EDIT_H


#include "src/common/ngx_gw_json.h"
#include "src/common/ngx_gw_task.h"
#include "src/core/balance/lb_adopt.h"
#include "src/core/balance/lb_edit.h"
#include "src/lb/ngx_http_lb.h"

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif


/* slots that are looked at with the mutex held once */
#define NGX_HTTP_LB_SLICE      32

/* bytes of a state file */
#define NGX_HTTP_LB_STATE_MAX  (64 * 1024 * 1024)


typedef enum {
    NGX_HTTP_LB_ADD = 0,
    NGX_HTTP_LB_CHANGE,
    NGX_HTTP_LB_REMOVE,
    NGX_HTTP_LB_RECOVER             /* no change, see roster->saving */
} ngx_http_lb_kind_e;


typedef enum {
    NGX_HTTP_LB_DONE = 0,
    NGX_HTTP_LB_EXISTS,             /* another server has the address */
    NGX_HTTP_LB_MISSING,            /* no server has the id */
    NGX_HTTP_LB_LEAVING,            /* it is being removed */
    NGX_HTTP_LB_NO_ROOM,            /* no slot is free */
    NGX_HTTP_LB_NOT_SAVED,          /* the file cannot be written */
    NGX_HTTP_LB_UNKNOWN,            /* nor is it known what is in it now */
    NGX_HTTP_LB_NOT_OURS,           /* another nginx writes the file */
    NGX_HTTP_LB_SUPERSEDED,         /* by a newer configuration */
    NGX_HTTP_LB_BUSY                /* another process is the leader */
} ngx_http_lb_outcome_e;


typedef struct ngx_http_lb_edit_s  ngx_http_lb_edit_t;

struct ngx_http_lb_edit_s {
    ngx_queue_t               queue;
    ngx_pool_t               *pool;     /* of this change */
    ngx_http_lb_srv_conf_t   *conf;
    ngx_http_lb_kind_e        kind;
    ngx_http_lb_outcome_e     outcome;
    ngx_msec_t                deadline; /* to have the lead until */
    uint64_t                  id;       /* of an added one: afterwards */
    lb_entry_t                entry;    /* what is to be set */
    lb_line_t                 line;     /* of a server to be added */

    /* told of the outcome; data is NULL if the request has gone */
    void                    (*finish)(ngx_http_lb_edit_t *edit);
    void                     *data;
};


/* a server as it is at one moment */

typedef struct {
    uint32_t                  status;
    uint32_t                  active;
    uint64_t                  requests;
    uint64_t                  failures;
    uint64_t                  latency;     /* us */
    uint32_t                  health;
    uint32_t                  check_time;  /* ms */
    uint64_t                  checked_at;  /* Unix ms; 0: never */
    uint64_t                  checks[2];   /* that failed, that passed */
    lb_entry_t                entry;
    size_t                    reason_length;
    char                      reason[LB_REASON_MAX];
} ngx_http_lb_shown_t;


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


/* a file that is being written or read, by a thread if there are any */

typedef struct {
    ngx_http_lb_srv_conf_t   *conf;
    ngx_http_lb_edit_t       *edit;     /* the change that is in it */
    uint32_t                  index;    /* of its server, or LB_NONE */
    ngx_uint_t                busy;
    ngx_uint_t                recover;  /* memory may not be what it says */
    ngx_http_lb_outcome_e     outcome;
    ngx_err_t                 err;
    const char               *failed;   /* the call that has failed */
    uint64_t                  stamp;    /* of the file as it is now */
    ngx_pool_t               *pool;     /* NULL: nothing was read */
    ngx_http_lb_file_t        list;
    void                    (*done)(ngx_http_lb_srv_conf_t *lcf);
#if (NGX_THREADS)
    ngx_thread_task_t         task;
#endif
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
    ngx_uint_t                started;
    ngx_event_t               event;
    ngx_http_lb_save_t        save;

    /* whether another nginx has taken over, see ngx_http_lb_state_lost() */
    ngx_uint_t                lost;
    ngx_uint_t                looking;
    ngx_msec_t                looked_at;
    ngx_http_lb_owner_e       seen;
#if (NGX_THREADS)
    ngx_thread_task_t         look;
#endif
};


/* ngx_http_lb_edit.c */

/* An edit in a pool of its own, or NULL. */
ngx_http_lb_edit_t *ngx_http_lb_edit_create(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_kind_e kind);

/* Makes the change; finish() may be called at once. */
void ngx_http_lb_edit_submit(ngx_http_lb_edit_t *edit);

/* Finds out what has become of a change whose process has died. */
void ngx_http_lb_edit_recover(ngx_http_lb_srv_conf_t *lcf);

/*
 * Sets name and address of a server line from text in memory of pool:
 * NGX_OK; NGX_DECLINED and why in *reason.  Names are not looked up.
 */
ngx_int_t ngx_http_lb_edit_address(ngx_pool_t *pool, ngx_str_t *text,
    lb_line_t *line, const char **reason);

/* What a line is to be when JSON has said so much of it. */
void ngx_http_lb_edit_line(const lb_entry_t *entry, lb_line_t *line);


/* ngx_http_lb_state_path.c */

/* Sets all paths; logs what is wrong with them, or with names of servers. */
ngx_int_t ngx_http_lb_state_find(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf);

/* Logs that the file cannot be replaced because it is a mount of its own. */
void ngx_http_lb_state_mounted(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf);


/* ngx_http_lb_state_read.c */

/*
 * Reads a state file into memory of pool; nothing is logged, no name is
 * looked up.  pending: of servers that are not there yet.  NGX_DECLINED: it
 * is no list of servers, list->error says why; NGX_ERROR: ngx_errno.
 */
ngx_int_t ngx_http_lb_state_read(ngx_http_lb_file_t *list, ngx_pool_t *pool,
    ngx_fd_t fd, ngx_uint_t pending);

/* What tells one file from the one that replaces it; not 0. */
uint64_t ngx_http_lb_state_stamp(const struct stat *st);


/* ngx_http_lb_state_lock.c */

/*
 * The master makes this nginx the owner: NGX_OK, NGX_DECLINED after having
 * logged why it is not, or NGX_ERROR.  state->owner is set.
 */
ngx_int_t ngx_http_lb_state_own(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf);

/* Takes that over from the last configuration. */
ngx_int_t ngx_http_lb_state_own_on(ngx_cycle_t *cycle,
    ngx_http_lb_state_t *state, ngx_http_lb_state_t *old);

/* For other processes: the lock is to end with the master. */
void ngx_http_lb_state_disown(ngx_http_lb_srv_conf_t *lcf);

/*
 * Keeps others from writing until *fd is closed, unless that is -1, and says
 * whose the file is.  Waits up to 2 s for others; for threads.
 */
ngx_http_lb_owner_e ngx_http_lb_state_enter(ngx_http_lb_state_t *state,
    ngx_fd_t *fd);

/* Becomes the owner again after NGX_HTTP_LB_OWNER_GONE. */
ngx_int_t ngx_http_lb_state_claim(ngx_http_lb_state_t *state, ngx_fd_t fd);


/* ngx_http_lb_state_save.c */

/*
 * Writes the file with the change in it, or reads it if memory may not be
 * what it says; state->save.done() is called.
 */
void ngx_http_lb_state_save(ngx_http_lb_srv_conf_t *lcf);


/* ngx_http_lb_state_lines.c */

/* Adds what the file has as names to the lines; looks names up. */
ngx_int_t ngx_http_lb_state_names(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);

/*
 * Makes servers those of a file that was read, and then brings them in line
 * with the lines.  Mutex; then a build.
 */
void ngx_http_lb_state_adopt(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_file_t *list);


/* ngx_http_lb_api.c */

/* Copies what there is to show of a slot; NGX_DECLINED if it is not used. */
ngx_int_t ngx_http_lb_shown(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    ngx_http_lb_shown_t *shown);

void ngx_http_lb_api_server(ngx_gw_json_t *json, ngx_http_lb_shown_t *shown);


/* ngx_http_lb_api_write.c: POST (id 0), PATCH and DELETE */

ngx_int_t ngx_http_lb_api_write(ngx_http_request_t *r,
    ngx_http_lb_srv_conf_t *lcf, uint64_t id);


#endif /* NGX_HTTP_LB_EDIT_H */
