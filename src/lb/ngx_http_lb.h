
/*
 * The configuration of the balancer, which all of its parts share.  The
 * decisions are in src/core; here are configuration, shared memory, requests
 * and the log.
 *
 *   ngx_http_lb_upstream_module.c   directives and hooks
 *   src/lb/request                  a request's way through an upstream
 *   src/lb/api                      what the operator sees and changes
 *   src/lb/upstream                 the servers: memory, checks, changes
 */


#ifndef NGX_HTTP_LB_H
#define NGX_HTTP_LB_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "src/common/ngx_gw_api.h"
#include "src/core/balance/lb_outlier.h"
#include "src/core/balance/lb_candidate.h"
#include "src/core/balance/lb_name.h"
#include "src/core/balance/lb_session.h"
#include "src/core/balance/lb_overload.h"


/* slots that are looked at with the mutex held once */
#define NGX_HTTP_LB_SLICE      32

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
typedef struct ngx_http_lb_sticky_s      ngx_http_lb_sticky_t;
typedef struct ngx_http_lb_conn_key_s    ngx_http_lb_conn_key_t;
typedef struct ngx_http_lb_name_s        ngx_http_lb_name_t;
typedef struct ngx_http_lb_answer_s      ngx_http_lb_answer_t;


/* a method that "lb" knows by name */

typedef struct {
    ngx_str_t                     name;
    lb_method_pt                  pick;

    /* reads what follows the name in the directive; NULL: nothing may */
    ngx_int_t                   (*params)(ngx_conf_t *cf,
                                          ngx_http_lb_srv_conf_t *lcf);
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


/* the queue in front of an upstream, of this process */

typedef struct {
    lb_waiters_t                  waiters;
    lb_overload_t                 overload;
    lb_left_t                    *left;       /* by row */
    ngx_queue_t                   refused;    /* that are to be told so */
    ngx_msec_t                    patience;   /* timeout of the oldest */
    ngx_event_t                   wake;       /* a place may be free */
    ngx_event_t                   look;       /* as may one of others */
    ngx_http_lb_srv_conf_t       *conf;
} ngx_http_lb_gate_t;


/* a line with lb_queue */

typedef struct {
    ngx_http_lb_srv_conf_t       *conf;       /* NULL: by the name */
    ngx_http_complex_value_t      name;
    ngx_uint_t                    size;
    ngx_msec_t                    timeout;
    ngx_http_complex_value_t     *priority;   /* NULL: 0 */
    ngx_uint_t                    automatic;  /* limit=auto */
    u_char                       *file;
    ngx_uint_t                    line;
} ngx_http_lb_queue_t;


typedef struct {
    ngx_array_t                   upstreams;  /* ngx_http_lb_srv_conf_t * */
    ngx_array_t                   queues;     /* ngx_http_lb_queue_t * */
    ngx_http_lb_checker_t        *checker;    /* NULL: no health checks */
    ngx_uint_t                    proxy_status;  /* a location has it on */
#if (NGX_HTTP_SSL)
    lb_sessions_t                *sessions;   /* NULL: there are no servers */
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
    uint32_t                      bound;      /* of hash, per cent; 0: none */
    unsigned                      ip_hash:1;
    unsigned                      hinted:1;   /* nginx's "sticky" is there */
    unsigned                      ketama:1;
    unsigned                      last_byte:1;   /* least_time: to the end */
    unsigned                      inflight:1;    /* least_time: see ages */
    unsigned                      queued:1;      /* lb_queue may name it */
    unsigned                      automatic:1;   /* with limit=auto */
    lb_rules_t                    rules;
    lb_outlier_t                  outlier;
    lb_budget_t                   budget;     /* of retries */
    ngx_uint_t                    given;      /* directives, a bit each */

    lb_line_t                    *lines;      /* the server lines, and */
    uint32_t                      nlines;     /* names of the state file */
    uint32_t                      configured; /* lines without those */
    uint32_t                      nservers;   /* slots that are needed */
    ngx_array_t                  *resolve;    /* ngx_http_lb_name_t */
    lb_name_t                    *names;      /* what the core has of them */
    uint32_t                      nnames;
    ngx_resolver_t               *resolver;   /* NULL: there are no names */
    ngx_msec_t                    resolver_timeout;
    ngx_http_lb_state_t          *state;      /* NULL: no lb_state */
    ngx_http_lb_sticky_t         *sticky;     /* NULL: no lb_sticky */

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
    lb_age_t                     *ages;       /* by slot; NULL: not counted */
    ngx_http_lb_gate_t           *gate;       /* NULL: no queue */
    lb_ketama_t                  *ring;       /* NULL: none yet */
    uint64_t                      ringed;     /* roster's generation then */
    ngx_queue_t                   queue;      /* that want a view, */
    ngx_uint_t                    waiting;    /* if it is one of them */
    ngx_msec_t                    pause_until;  /* of its next build */
    uint64_t                      random;     /* lb_random() */
    ngx_http_lb_target_t         *targets;    /* of checks, by slot */
    uint64_t                      surveyed;   /* roster's generation then */
};


/* lb_proxy_status */

#define NGX_HTTP_LB_PROXY_STATUS_OFF       0
#define NGX_HTTP_LB_PROXY_STATUS_ON        1
#define NGX_HTTP_LB_PROXY_STATUS_NEXT_HOP  2


/* what a location has: lb_api or lb_metrics, how errors are told, queues */

typedef struct {
    ngx_gw_location_t             location;   /* comes first */
    ngx_flag_t                    write;      /* the API may change things */
    ngx_uint_t                    proxy_status;
    ngx_array_t                  *queues;     /* ngx_http_lb_queue_t * */
    ngx_uint_t                    queue_off;  /* those around it do not count */
} ngx_http_lb_loc_conf_t;


extern ngx_module_t  ngx_http_lb_upstream_module;


/* Notes that a directive makes sense only in an upstream with "lb". */

static ngx_inline void
ngx_http_lb_needs_method(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_lb_srv_conf_t *lcf)
{
    if (lcf->method == NULL && lcf->file == NULL) {
        lcf->orphan = &cmd->name;
        lcf->file = cf->conf_file->file.name.data;
        lcf->line = cf->conf_file->line;
    }
}


#endif /* NGX_HTTP_LB_H */
