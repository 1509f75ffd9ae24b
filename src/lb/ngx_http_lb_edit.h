
/*
 * Changes of servers at runtime: what the API, the state file and the
 * metrics share.
 *
 *   ngx_http_lb_api.c        where a request is, lists and single servers
 *   ngx_http_lb_api_write.c  bodies, and what became of a change
 *   ngx_http_lb_edit.c       changes, one after the other
 *   ngx_http_lb_state.c      lb_state: reading the file at the start
 *   ngx_http_lb_state_lines.c  server lines that differ from it
 *   ngx_http_lb_state_save.c   writing it
 *
 * With a state file a change is written to it first and made in shared
 * memory then; the process that does so holds a lease on the changes of that
 * upstream, and the others wait.  What fails on the way has changed nothing.
 */


#ifndef NGX_HTTP_LB_EDIT_H
#define NGX_HTTP_LB_EDIT_H


#include "src/common/ngx_gw_json.h"
#include "src/common/ngx_gw_task.h"
#include "src/core/lb_edit.h"
#include "src/lb/ngx_http_lb.h"

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif


/* slots that are looked at with the mutex held once */
#define NGX_HTTP_LB_SLICE  32


typedef enum {
    NGX_HTTP_LB_ADD = 0,
    NGX_HTTP_LB_CHANGE,
    NGX_HTTP_LB_REMOVE
} ngx_http_lb_kind_e;


typedef enum {
    NGX_HTTP_LB_DONE = 0,
    NGX_HTTP_LB_EXISTS,             /* another server has the address */
    NGX_HTTP_LB_MISSING,            /* no server has the id */
    NGX_HTTP_LB_LEAVING,            /* it is being removed */
    NGX_HTTP_LB_NO_ROOM,            /* no slot is free */
    NGX_HTTP_LB_NOT_SAVED,          /* the file cannot be written */
    NGX_HTTP_LB_BUSY                /* another process holds the lease */
} ngx_http_lb_outcome_e;


typedef struct ngx_http_lb_edit_s  ngx_http_lb_edit_t;

struct ngx_http_lb_edit_s {
    ngx_queue_t               queue;
    ngx_pool_t               *pool;     /* of this change */
    ngx_http_lb_srv_conf_t   *conf;
    ngx_http_lb_kind_e        kind;
    ngx_http_lb_outcome_e     outcome;
    ngx_msec_t                deadline; /* to have the lease until */
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


/* a file that is being written, by a thread if there are any */

typedef struct {
    ngx_http_lb_srv_conf_t   *conf;
    ngx_http_lb_edit_t       *edit;     /* the change that is in it */
    uint32_t                  index;    /* of its server, or LB_NONE */
    ngx_uint_t                busy;
    ngx_int_t                 rc;
    ngx_err_t                 err;
    const char               *failed;   /* the call that has failed */
    void                    (*done)(ngx_http_lb_srv_conf_t *lcf);
#if (NGX_THREADS)
    ngx_thread_task_t         task;
#endif
} ngx_http_lb_save_t;


/* lb_state */

struct ngx_http_lb_state_s {
    ngx_str_t                 path;     /* with a final zero */
    ngx_str_t                 temp;
    ngx_str_t                 folder;

    /* as the configuration was read */
    ngx_uint_t                found;
    ngx_uint_t                bad;      /* it is no list of servers */
    lb_line_t                *lines;
    uint32_t                  nlines;

    /* of this process */
    ngx_queue_t               waiting;  /* ngx_http_lb_edit_t */
    ngx_uint_t                started;
    ngx_event_t               event;
    ngx_http_lb_save_t        save;
};


/* ngx_http_lb_edit.c */

/* An edit in a pool of its own, or NULL. */
ngx_http_lb_edit_t *ngx_http_lb_edit_create(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_kind_e kind);

/* Makes the change; finish() may be called at once. */
void ngx_http_lb_edit_submit(ngx_http_lb_edit_t *edit);

/*
 * Sets name and address of a server line from text in memory of pool:
 * NGX_OK; NGX_DECLINED and why in *reason.  Names are not looked up.
 */
ngx_int_t ngx_http_lb_edit_address(ngx_pool_t *pool, ngx_str_t *text,
    lb_line_t *line, const char **reason);

/* What a line is to be when JSON has said so much of it. */
void ngx_http_lb_edit_line(const lb_entry_t *entry, lb_line_t *line);


/* ngx_http_lb_state_save.c */

/* Writes the file with the change in it; state->save.done() is called. */
void ngx_http_lb_state_save(ngx_http_lb_srv_conf_t *lcf);


/* ngx_http_lb_api.c */

/* Copies what there is to show of a slot; NGX_DECLINED if it is not used. */
ngx_int_t ngx_http_lb_shown(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    ngx_http_lb_shown_t *shown);

void ngx_http_lb_api_server(ngx_gw_json_t *json, ngx_http_lb_shown_t *shown);


/* ngx_http_lb_api_write.c: POST (id 0), PATCH and DELETE */

ngx_int_t ngx_http_lb_api_write(ngx_http_request_t *r,
    ngx_http_lb_srv_conf_t *lcf, uint64_t id);


#endif /* NGX_HTTP_LB_EDIT_H */
