
/*
 * Changes of servers at runtime, one after the other.
 *
 * With a state file a change is written to it first and made in shared
 * memory then; the process that does so is the leader of that upstream's
 * changes, and the others wait.  What fails on the way has changed nothing.
 * roster->saving tells that a process may have died between the two: the
 * next one reads the file before it makes a change, or when it starts.
 */


#ifndef NGX_HTTP_LB_EDIT_H
#define NGX_HTTP_LB_EDIT_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/balance/lb_edit.h"
#include "src/lb/ngx_http_lb.h"


typedef enum {
    NGX_HTTP_LB_ADD = 0,
    NGX_HTTP_LB_CHANGE,
    NGX_HTTP_LB_REMOVE,
    NGX_HTTP_LB_DRAINED,            /* likewise, if its drain is over */
    NGX_HTTP_LB_RESOLVE,            /* what a name's answer has changed */
    NGX_HTTP_LB_RECOVER             /* no change, see roster->saving */
} ngx_http_lb_kind_e;


typedef enum {
    NGX_HTTP_LB_DONE = 0,
    NGX_HTTP_LB_EXISTS,             /* another server has the address */
    NGX_HTTP_LB_MISSING,            /* no server has the id */
    NGX_HTTP_LB_LEAVING,            /* it is being removed */
    NGX_HTTP_LB_RESOLVED,           /* its name decides on that */
    NGX_HTTP_LB_NO_ROOM,            /* no slot is free */
    NGX_HTTP_LB_NOT_SAVED,          /* the file cannot be written */
    NGX_HTTP_LB_UNKNOWN,            /* nor is it known what is in it now */
    NGX_HTTP_LB_NOT_OURS,           /* another nginx writes the file */
    NGX_HTTP_LB_SUPERSEDED,         /* by a newer configuration */
    NGX_HTTP_LB_BUSY                /* another process is the leader */
} ngx_http_lb_outcome_e;


/* what is done next */

typedef enum {
    NGX_HTTP_LB_EDIT_CHECK = 0,     /* whether it can be made, and where */
    NGX_HTTP_LB_EDIT_PERSIST,       /* in the state file, by a thread */
    NGX_HTTP_LB_EDIT_APPLY,         /* to shared memory */
    NGX_HTTP_LB_EDIT_ANSWER
} ngx_http_lb_edit_e;


typedef struct ngx_http_lb_edit_s  ngx_http_lb_edit_t;

struct ngx_http_lb_edit_s {
    ngx_queue_t               queue;
    ngx_pool_t               *pool;     /* of this change */
    ngx_http_lb_srv_conf_t   *conf;
    ngx_http_lb_kind_e        kind;
    ngx_http_lb_edit_e        state;
    ngx_http_lb_outcome_e     outcome;
    ngx_str_t                *path;     /* of a file that is not written, */
    const char               *failed;   /* the call that has failed, */
    ngx_err_t                 err;      /* and with what, 0: not known */
    ngx_msec_t                deadline; /* to have the lead until */
    uint64_t                  id;       /* of an added one: afterwards */
    uint32_t                  index;    /* of its server, or LB_NONE */
    lb_entry_t                entry;    /* what is to be set */
    lb_line_t                 line;     /* of a server to be added */
    ngx_http_lb_answer_t     *answer;   /* of a name */

    /* told of the outcome; data is NULL if the request has gone */
    void                    (*finish)(ngx_http_lb_edit_t *edit);
    void                     *data;
};


/* An edit in a pool of its own, or NULL. */
ngx_http_lb_edit_t *ngx_http_lb_edit_create(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_kind_e kind);

/* Makes the change; finish() may be called at once. */
void ngx_http_lb_edit_submit(ngx_http_lb_edit_t *edit);

/* Removes the servers whose drain is over, each by an edit. */
void ngx_http_lb_edit_drained(ngx_http_lb_srv_conf_t *lcf);

/* Finds out what has become of a change whose process has died. */
void ngx_http_lb_edit_recover(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_EDIT_H */
