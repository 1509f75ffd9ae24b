
/*
 * What the parts of the balancer inside nginx share.  The decisions are in
 * src/core; here are configuration, shared memory, requests and the log.
 */


#ifndef NGX_HTTP_LB_H
#define NGX_HTTP_LB_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "src/common/ngx_gw_api.h"
#include "src/common/ngx_gw_compat.h"
#include "src/common/ngx_gw_leader.h"
#include "src/core/balance/lb_health.h"
#include "src/core/balance/lb_latency.h"
#include "src/core/balance/lb_outlier.h"
#include "src/core/balance/lb_passive.h"


#define NGX_HTTP_LB_TRIED          8

/* ngx_http_lb_srv_conf_t.given */
#define NGX_HTTP_LB_GIVEN_SLOW_START  0x01
#define NGX_HTTP_LB_GIVEN_OUTLIER     0x02
#define NGX_HTTP_LB_GIVEN_PANIC       0x04

/* idle connections per server and worker */
#define NGX_HTTP_LB_KEEPALIVE      32
#define NGX_HTTP_LB_KEEPALIVE_MAX  65535


typedef struct ngx_http_lb_srv_conf_s    ngx_http_lb_srv_conf_t;
typedef struct ngx_http_lb_check_conf_s  ngx_http_lb_check_conf_t;
typedef struct ngx_http_lb_checker_s     ngx_http_lb_checker_t;
typedef struct ngx_http_lb_target_s      ngx_http_lb_target_t;
typedef struct ngx_http_lb_state_s       ngx_http_lb_state_t;
typedef struct ngx_http_lb_conn_key_s    ngx_http_lb_conn_key_t;


/* a method that "lb" knows by name */

typedef struct {
    ngx_str_t                     name;
    lb_pick_pt                    pick;
} ngx_http_lb_method_t;


/* the idle connections to the server of a slot */

typedef struct {
    ngx_queue_t                   queue;      /* the last one kept first */
    ngx_uint_t                    number;
} ngx_http_lb_stack_t;


typedef struct {
    ngx_uint_t                    max;        /* per server; 0: off */
    ngx_uint_t                    requests;
    ngx_msec_t                    timeout;
    ngx_msec_t                    time;
    ngx_flag_t                    set;        /* lb_keepalive is there */
    ngx_uint_t                    nginx;      /* so is "keepalive" */

    /* of this process */
    ngx_http_lb_stack_t          *stacks;     /* by slot; NULL: off */
    uint64_t                      swept;      /* roster's generation then */
    ngx_queue_t                   free;       /* unused records */
    ngx_queue_t                   age;        /* the last one kept first */
    ngx_event_t                   timer;      /* at or before the last's end */
    ngx_connection_t              dummy;      /* for the timer */
    ngx_pool_t                   *pool;
} ngx_http_lb_keepalive_t;


typedef struct {
    ngx_array_t                   upstreams;  /* ngx_http_lb_srv_conf_t * */
    ngx_http_lb_checker_t        *checker;    /* NULL: no health checks */
#if (NGX_HTTP_SSL)
    struct ngx_http_lb_settings_s
                                 *settings;   /* of this process */
#endif
} ngx_http_lb_main_conf_t;


/*
 * An upstream with "lb".  The configuration does not change after the start;
 * what is of one process is written by that process only.
 */

struct ngx_http_lb_srv_conf_s {
    const ngx_http_lb_method_t   *method;     /* NULL: not our upstream */
    ngx_http_upstream_srv_conf_t *upstream;
    u_char                       *file;       /* where "lb" is, or, as */
    ngx_uint_t                    line;       /* long as there is none, */
    ngx_str_t                    *orphan;     /* this directive */
    ngx_uint_t                    initialized;

    ngx_http_complex_value_t     *key;        /* of hash; NULL: no hash */
    lb_rules_t                    rules;
    lb_outlier_t                  outlier;
    ngx_uint_t                    given;      /* directives, a bit each */

    lb_line_t                    *lines;      /* the server lines, and */
    uint32_t                      nlines;     /* names of the state file */
    uint32_t                      configured; /* lines without those */
    uint32_t                      nservers;   /* slots that are needed */
    ngx_http_lb_state_t          *state;      /* NULL: no lb_state */

    ssize_t                       zone_size;  /* NGX_CONF_UNSET: computed */
    ngx_shm_zone_t               *shm_zone;
    ngx_slab_pool_t              *shpool;     /* its mutex guards roster */
    lb_roster_t                  *roster;
    lb_roster_t                  *superseded; /* old one, until it is copied */
    uint32_t                      capacity;
    uint32_t                      nrows;
    uint32_t                      order_max;
    uint64_t                      config;     /* number of this one */
    ngx_http_lb_keepalive_t       keepalive;
    ngx_http_lb_check_conf_t     *check;      /* NULL: no health checks */

    /* of this process */
    lb_row_t                     *row;        /* NULL: serves no requests */
    ngx_queue_t                   queue;      /* that want a view, */
    ngx_uint_t                    waiting;    /* if it is one of them */
    ngx_msec_t                    pause_until;  /* of its next build */
    uint64_t                      random;     /* lb_random() */
    ngx_http_lb_target_t         *targets;    /* of checks, by slot */
    uint64_t                      surveyed;   /* roster's generation then */
#if (NGX_HTTP_SSL)
    ngx_queue_t                  *sessions;   /* by slot */
#endif
};


/* a location with lb_api or lb_metrics */

typedef struct {
    ngx_gw_location_t             location;   /* comes first */
    ngx_flag_t                    write;      /* the API may change things */
} ngx_http_lb_loc_conf_t;


/*
 * A request on its way through an upstream, found again through the pool's
 * list of clean-ups.  Small: the less of the pool is used, the less often
 * that needs another block.
 */

typedef struct {
    ngx_pool_cleanup_t            cleanup;
    ngx_http_request_t           *request;
    ngx_http_lb_srv_conf_t       *conf;
    lb_ask_t                      ask;

    uint32_t                      index;      /* held now, or LB_NONE */
    uint32_t                      generation; /* of the slot */
    lb_how_t                      how;
    uint32_t                      attempts;
    unsigned                      stale:29;   /* attempts that do not count */
    unsigned                      keyless:1;  /* of a method that has a key */
    unsigned                      fresh:1;    /* takes no kept connection */
    unsigned                      broken:1;   /* the response has no end */
    uint32_t                      failed_index;
    ngx_str_t                     name;       /* last picked; in r->pool */

    /* the failure that the next attempt follows, failed.len 0: none */
    ngx_str_t                     failed;

    ngx_http_lb_conn_key_t       *key;        /* of a kept connection */

    ngx_str_t                     reason;     /* as nginx has logged it */
    u_char                       *text;       /* LB_REASON_MAX, or NULL */

    ngx_http_log_handler_pt       log_handler;
    void                        (*finalize)(ngx_http_request_t *r,
                                            ngx_int_t rc);
    uint16_t                      tried[NGX_HTTP_LB_TRIED];
} ngx_http_lb_ctx_t;


extern ngx_module_t  ngx_http_lb_upstream_module;


/* Notes that a directive makes sense only in an upstream with "lb". */
void ngx_http_lb_needs_method(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_srv_conf_t *lcf);


/* ngx_http_lb_method.c */

/* The method that "lb" names, into lcf.  Logs what is wrong. */
ngx_int_t ngx_http_lb_method(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_srv_conf_t *lcf);

char *ngx_http_lb_slow_start(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_lb_outlier(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_lb_panic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * The hash of the request's key; 0 if the method has none.  NGX_DECLINED: the
 * key is empty.
 */
ngx_int_t ngx_http_lb_key(ngx_http_request_t *r, ngx_http_lb_srv_conf_t *lcf,
    uint64_t *key);


/* ngx_http_lb_zone.c */

/*
 * Adds the zone of an upstream whose lines are known; checks or computes its
 * size.  Logs what is wrong.
 */
ngx_int_t ngx_http_lb_zone_add(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf);

/* module hooks, for all upstreams */
ngx_int_t ngx_http_lb_zone_init_module(ngx_cycle_t *cycle,
    ngx_http_lb_main_conf_t *lmcf);
ngx_int_t ngx_http_lb_zone_init_process(ngx_cycle_t *cycle,
    ngx_http_lb_main_conf_t *lmcf);
void ngx_http_lb_zone_exit_process(ngx_http_lb_main_conf_t *lmcf);

/*
 * Ejects the server with the given index and publishes that.  NGX_DECLINED:
 * there is a reason against it, or the mutex is taken.
 */
ngx_int_t ngx_http_lb_eject(ngx_http_lb_srv_conf_t *lcf, uint32_t index);


/* ngx_http_lb_resize.c */

/*
 * Sets lcf->nservers, the slots that a zone must have for the lines, the
 * state file and, at a reload, the servers that there are: old or NULL.
 */
ngx_int_t ngx_http_lb_resize_plan(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    lb_roster_t *old);

/* The old zone is to be replaced: NGX_OK, or NGX_ERROR for want of room. */
ngx_int_t ngx_http_lb_resize_begin(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_srv_conf_t *old);

/* It is, by the new one, which nobody else has yet. */
void ngx_http_lb_resize_end(ngx_http_lb_srv_conf_t *lcf, lb_roster_t *old);


/* ngx_http_lb_build.c */

void ngx_http_lb_build_init_process(ngx_cycle_t *cycle);

/* Builds the view at once, of a zone that nobody else has yet. */
ngx_int_t ngx_http_lb_build_whole(ngx_http_lb_srv_conf_t *lcf,
    ngx_log_t *log);

/*
 * Asks for a view after a change of some server: at once, if that takes
 * little time.  Never waits.  Not with the mutex held.
 */
void ngx_http_lb_publish(ngx_http_lb_srv_conf_t *lcf);


/* ngx_http_lb_check_conf.c */

char *ngx_http_lb_health_check(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* whether servers that come are down until a check has passed */
ngx_uint_t ngx_http_lb_check_is_mandatory(ngx_http_lb_srv_conf_t *lcf);


/* ngx_http_lb_check.c: module hooks, for all upstreams */

ngx_int_t ngx_http_lb_check_init(ngx_conf_t *cf,
    ngx_http_lb_main_conf_t *lmcf);
void ngx_http_lb_check_init_module(ngx_http_lb_main_conf_t *lmcf);
void ngx_http_lb_check_init_process(ngx_cycle_t *cycle,
    ngx_http_lb_main_conf_t *lmcf);
void ngx_http_lb_check_exit_process(ngx_http_lb_main_conf_t *lmcf);


/* ngx_http_lb_event.c */

/*
 * An attempt on the server that ctx holds has failed, or has brought a header
 * after so many ms.
 */
void ngx_http_lb_failed(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc);
void ngx_http_lb_passed(ngx_http_lb_ctx_t *ctx, ngx_msec_t header_time);

/*
 * The response of the server that ctx holds has ended before its end, or
 * stalled: an error, but as with nginx none in the sense of max_fails.
 */
void ngx_http_lb_broken(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc);

/* An attempt on the server that ctx holds has failed by no fault of it. */
void ngx_http_lb_excused(ngx_http_lb_ctx_t *ctx, ngx_peer_connection_t *pc);

/* Ends ejections that are over; returns the ms to the next end, at most max. */
ngx_msec_t ngx_http_lb_return(ngx_http_lb_srv_conf_t *lcf, ngx_msec_t max);

/* Logs that a panic has begun or is over, once. */
void ngx_http_lb_log_panic(ngx_http_lb_srv_conf_t *lcf);

/* The log lines about a retry, and about having no server left. */
void ngx_http_lb_log_retry(ngx_http_lb_ctx_t *ctx, ngx_log_t *log);
void ngx_http_lb_log_empty(ngx_http_lb_srv_conf_t *lcf, ngx_log_t *log);

/* Logs that a server was added or removed; lb_note_pt, data is the upstream. */
void ngx_http_lb_log_member(void *data, const lb_identity_t *identity,
    bool added);

/* The same, because of what is in the state file. */
void ngx_http_lb_log_read(void *data, const lb_identity_t *identity,
    bool added);

/* The same of one that was removed at runtime and has no requests left. */
void ngx_http_lb_log_gone(void *data, const lb_identity_t *identity,
    bool added);

/* Logs that a server is ADDED or DRAINING through the API.  Mutex. */
void ngx_http_lb_log_edit(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    const char *what);

/* Logs what the API has changed, given the status before.  Mutex. */
void ngx_http_lb_log_change(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    uint32_t before);

/*
 * Keeps the reason for one or more bits of a server's status, to be shown.
 * Never waits: if the mutex is taken, there is none.
 */
void ngx_http_lb_explain(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    uint32_t bits, ngx_str_t *reason);


/* ngx_http_lb_api.c, ngx_http_lb_metrics.c */

char *ngx_http_lb_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_lb_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Counts an answer of the server that ctx holds. */
void ngx_http_lb_count(ngx_http_lb_ctx_t *ctx,
    ngx_http_upstream_state_t *state);


/* ngx_http_lb_state.c */

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

/*
 * Whether another nginx has taken the state file over, as far as is known: a
 * call has that looked at if it was not for a second.  Never waits.
 */
ngx_uint_t ngx_http_lb_state_lost(ngx_http_lb_srv_conf_t *lcf);


/* ngx_http_lb_state_lines.c */

/* How many slots a new roster needs for the lines and the state file. */
uint32_t ngx_http_lb_state_need(ngx_http_lb_srv_conf_t *lcf);

/*
 * Puts into a new roster what it begins with: the list of the file, if there
 * is one, and the lines.  NGX_ERROR: there is not enough room.
 */
ngx_int_t ngx_http_lb_state_seed(ngx_http_lb_srv_conf_t *lcf);

/*
 * Brings servers in line with a new configuration, and logs which lines
 * differ from what a state file keeps.  Mutex; then a build.
 */
void ngx_http_lb_state_apply(ngx_http_lb_srv_conf_t *lcf);

/* Logs which server lines differ from the list in force. */
void ngx_http_lb_state_compare(ngx_http_lb_srv_conf_t *lcf, ngx_log_t *log);

/* roster->kept of an upstream with this configuration */
uint64_t ngx_http_lb_state_key(ngx_http_lb_srv_conf_t *lcf);


/* ngx_http_lb_reason.c */

/* Makes a request's log lines tell why an attempt failed. */
void ngx_http_lb_reason_watch(ngx_http_lb_ctx_t *ctx);

/* Why the attempt that has just failed did so; valid for the request. */
ngx_str_t *ngx_http_lb_reason(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);

/*
 * Whether that was for want of something here, such as a local port, or since
 * the server had announced that it would close the connection.  To be asked
 * first, as the number of an error that nobody logs is in errno only.
 */
ngx_uint_t ngx_http_lb_reason_excuses(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);

/* Whether an error of a connection is for want of something here. */
ngx_uint_t ngx_http_lb_error_is_local(ngx_err_t err);


/* ngx_http_lb_variable.c */

ngx_int_t ngx_http_lb_add_variables(ngx_conf_t *cf);

/* The latest context of a request, or NULL. */
ngx_http_lb_ctx_t *ngx_http_lb_get_ctx(ngx_http_request_t *r);


/* ngx_http_lb_peer.c */

ngx_int_t ngx_http_lb_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
void ngx_http_lb_cleanup(void *data);


/* ngx_http_lb_keepalive.c */

ngx_int_t ngx_http_lb_keepalive_init(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf);

/*
 * If connections are kept: closes the idle ones to servers that have left the
 * view since the last call.
 */
void ngx_http_lb_keepalive_sweep(ngx_http_lb_srv_conf_t *lcf);

/*
 * If connections are kept: takes an idle one to the server that ctx holds:
 * NGX_OK, and it is in pc; NGX_DECLINED if there is none.
 */
ngx_int_t ngx_http_lb_keepalive_get(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);

/*
 * If connections are kept: keeps that of a request that has succeeded, if it
 * can be.
 */
void ngx_http_lb_keepalive_put(ngx_http_lb_ctx_t *ctx,
    ngx_peer_connection_t *pc);


#if (NGX_HTTP_SSL)

/* ngx_http_lb_session.c: TLS sessions are kept per worker, server and key */

ngx_int_t ngx_http_lb_session_init(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf);
void ngx_http_lb_session_free(ngx_http_lb_srv_conf_t *lcf);
ngx_int_t ngx_http_lb_set_session(ngx_peer_connection_t *pc, void *data);
void ngx_http_lb_save_session(ngx_peer_connection_t *pc, void *data);

#endif


#endif /* NGX_HTTP_LB_H */
