
/*
 * A write of the clients API on its way: from the request's body to the
 * store, to shared memory, and to the answer.
 */


#ifndef NGX_HTTP_TBUCKET_WRITE_H
#define NGX_HTTP_TBUCKET_WRITE_H


#include "src/common/ngx_gw_task.h"
#include "src/tbucket/clients/ngx_http_tbucket_clients.h"


/* clients of an array at most: what is applied with the mutex held once */
#define NGX_HTTP_TBUCKET_WRITE_MAX  1000


typedef enum {
    NGX_HTTP_TBUCKET_WRITE_CREATE = 0,     /* must not exist */
    NGX_HTTP_TBUCKET_WRITE_REPLACE,        /* may exist */
    NGX_HTTP_TBUCKET_WRITE_CHANGE,         /* must exist; only "members" */
    NGX_HTTP_TBUCKET_WRITE_REMOVE,         /* must exist; a client that does
                                              not has its bucket filled */
    NGX_HTTP_TBUCKET_WRITE_BULK            /* REPLACE of all or of none */
} ngx_http_tbucket_write_e;


/* Where a write is, in the order of the way that it goes. */

typedef enum {
    NGX_HTTP_TBUCKET_WRITE_READ = 0,       /* of the request's body */
    NGX_HTTP_TBUCKET_WRITE_CHECK,
    NGX_HTTP_TBUCKET_WRITE_PERSIST,        /* the store has it */
    NGX_HTTP_TBUCKET_WRITE_BUCKET,         /* of who is not registered */
    NGX_HTTP_TBUCKET_WRITE_APPLY,
    NGX_HTTP_TBUCKET_WRITE_TOKENS,         /* where the zone's come from */
    NGX_HTTP_TBUCKET_WRITE_LATE,           /* answered, not yet at its end */
    NGX_HTTP_TBUCKET_WRITE_ANSWER
} ngx_http_tbucket_write_state_e;


/* One client, or plan, of a write. */

typedef struct {
    ngx_str_t                       id;       /* or the name of the plan */
    tb_client_t                     client;   /* all but the id */
} ngx_http_tbucket_change_t;


typedef struct ngx_http_tbucket_body_s  ngx_http_tbucket_body_t;

/*
 * It owns its pool, and lasts until it is done, whether or not its client is
 * still there.
 */

struct ngx_http_tbucket_write_s {
    ngx_pool_t                     *pool;
    ngx_log_t                      *log;
    ngx_http_tbucket_zone_t        *zone;
    ngx_http_tbucket_store_t       *store;
    ngx_http_tbucket_write_e        kind;
    ngx_uint_t                      plans;    /* it is about plans */

    ngx_http_tbucket_change_t      *changes;  /* no two with the same id; of
                                                 plans only one */
    ngx_uint_t                      n;

    /* what came of it; by the store, if there is one */
    ngx_http_tbucket_outcome_e      outcome;
    ngx_uint_t                      created;
    ngx_uint_t                      updated;

    /* the store's, while it has the write */
    ngx_queue_t                     queue;
    size_t                          cells;    /* of the registry, new ids' */
    void                           *data;

    /* private */
    ngx_http_tbucket_write_state_e  state;
    ngx_str_t                       reason;   /* why the store has not */
    unsigned                        lacking;  /* of PARTIAL: what is missing */
    ngx_gw_task_t                   task;
    ngx_http_tbucket_body_t        *body;
    unsigned                        awake:1;  /* the task's step() runs */
    unsigned                        gone:1;   /* the task, with its request */
    unsigned                        unregistered:1;  /* it was of a bucket */
};


/*
 * Handles POST (id is NULL), PUT, PATCH and DELETE; all but DELETE have a
 * body.  Returns what a content handler returns.  plans: id is the name of a
 * plan, and there is no POST.
 */

ngx_int_t ngx_http_tbucket_write(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id, ngx_uint_t plans);

/*
 * What the store comes to, once for a write that it was given:
 *
 *     NGX_OK        it is safe, and to be applied
 *     NGX_DONE      it is safe and in force
 *     NGX_DECLINED  it was refused; write->outcome says why
 *     NGX_ERROR     nothing was changed, for the reason given
 *     NGX_ABORT     nobody knows what has come of it, for the reason given
 *
 * Before that, if it takes too long:
 *
 *     NGX_AGAIN     the request is answered as for NGX_ABORT; only pool and
 *                   what is private is looked at, as long as it takes
 *
 * reason is copied; NULL: none.  The write may be gone afterwards.
 */

void ngx_http_tbucket_written(ngx_http_tbucket_write_t *write, ngx_int_t rc,
    const char *reason);

/*
 * For who knows what there is: whether a change of a write may be made of a
 * client, or plan, that exists and is given that (NULL: it does not exist).
 * Completes the members that a CHANGE does not name, counts, and sets
 * write->outcome; NGX_OK, or NGX_DECLINED: then it says what is against it.
 * The mutex is held.
 */

ngx_int_t ngx_http_tbucket_write_judge(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change, const tb_client_t *old);

/*
 * The part of it that is about a CHANGE: completes it by what there is.  For
 * who learns of that without the mutex.
 */

ngx_int_t ngx_http_tbucket_write_merge(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change, const tb_client_t *old);

/*
 * What the client, or plan, of a change is given as far as memory knows:
 * NGX_OK or NGX_DECLINED, there is none.  The mutex is held.
 */

ngx_int_t ngx_http_tbucket_write_known(ngx_http_tbucket_write_t *write,
    ngx_http_tbucket_change_t *change, tb_client_t *old);

/* Whether another zone has taken over, as above; the mutex is held. */

ngx_int_t ngx_http_tbucket_write_superseded(ngx_http_tbucket_write_t *write);


#endif /* NGX_HTTP_TBUCKET_WRITE_H */
