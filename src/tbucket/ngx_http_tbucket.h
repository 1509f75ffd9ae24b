
/*
 * What the files of the limiter share: its configuration, the zone in
 * shared memory, and what is known of one request.
 */


#ifndef NGX_HTTP_TBUCKET_H
#define NGX_HTTP_TBUCKET_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "src/common/ngx_gw_api.h"
#include "src/common/ngx_gw_compat.h"
#include "src/common/ngx_gw_leader.h"
#include "src/core/limit/tb_bucket.h"
#include "src/core/limit/tb_client.h"
#include "src/core/limit/tb_hash.h"
#include "src/core/limit/tb_ledger.h"
#include "src/core/limit/tb_plan_names.h"
#include "src/core/limit/tb_registry.h"
#include "src/core/limit/tb_table_edit.h"
#include "src/core/limit/tb_table_sweep.h"
#include "src/core/limit/tb_window.h"


#define NGX_HTTP_TBUCKET_HEADERS_OFF     0
#define NGX_HTTP_TBUCKET_HEADERS_IETF    1
#define NGX_HTTP_TBUCKET_HEADERS_LEGACY  2

#define NGX_HTTP_TBUCKET_BODY_JSON       0
#define NGX_HTTP_TBUCKET_BODY_PROBLEM    1

/* the time until a request passes that costs more than the capacity */
#define NGX_HTTP_TBUCKET_NEVER           UINT64_MAX

/* a RateLimit value that a context has room for, and of that the text before
   the figures */
#define NGX_HTTP_TBUCKET_TEXT            80
#define NGX_HTTP_TBUCKET_PREFIX          32

/* ms that a client is told to wait for one of its requests to be over */
#define NGX_HTTP_TBUCKET_INFLIGHT_WAIT   1000

/* workers add to a counter of their own while there are no more of them */
#define NGX_HTTP_TBUCKET_COUNTERS        16


typedef enum {
    NGX_HTTP_TBUCKET_NOT_LIMITED = 0,
    NGX_HTTP_TBUCKET_PASSED,
    NGX_HTTP_TBUCKET_REJECTED,
    NGX_HTTP_TBUCKET_REJECTED_DRY_RUN
} ngx_http_tbucket_status_e;


/* Requests by what became of them; any worker, atomic adds; a cache line. */

typedef struct {
    _Alignas(64) _Atomic uint64_t  passed;
    _Atomic uint64_t               rejected;
    _Atomic uint64_t               dry_run;
    _Atomic uint64_t               delayed;
    _Atomic uint64_t               settled;
} ngx_http_tbucket_counters_t;


/* How a store fares with a zone; any worker, atomic; times in ms. */

typedef struct {
    _Atomic uint32_t               down;
    _Atomic uint64_t               synced;     /* ngx_current_msec when zone
                                                  and store last agreed; 0:
                                                  not yet */
    _Atomic uint32_t               crowded;    /* it was logged that clients
                                                  have no room */
} ngx_http_tbucket_store_status_t;


/*
 * A zone's shared memory, beside the slab pool that it lies in.  The table
 * says who may write what of it; inserts, and all use of the registry, take
 * the pool's mutex.
 */

typedef struct {
    ngx_http_tbucket_counters_t  counters[NGX_HTTP_TBUCKET_COUNTERS];

    /* written once, before the first worker of the first cycle starts */
    uint8_t                      secret[TB_SECRET_SIZE];
    tb_table_t                  *table;
    tb_plans_t                  *plans;     /* of the table */
    tb_plan_names_t             *names;     /* of these */
    tb_registry_t               *registry;

    /* which window of a quota is in force; any worker, see tb_window.h */
    _Atomic uint64_t             window;

    /* of requests in flight; else NULL */
    tb_ledger_t                 *ledger;

    /* who counts those of old workers, as guests; under the mutex; 0: nobody */
    _Atomic uint32_t             follower;

    /* who runs the refill ticker; the rest of the group is the holder's */
    _Alignas(64) ngx_gw_leader_t  refill;
    _Atomic uint32_t             cursor;    /* slot the next slice begins at */
    _Atomic uint32_t             counted;   /* buckets before the cursor */
    _Atomic uint32_t             buckets;   /* in the last whole table */

    /* the client that is being changed; under the mutex; lo 0: none */
    _Alignas(64) _Atomic uint64_t  edited_lo;
    _Atomic uint64_t             edited_hi;

    /* its plan before and after, and how many had each before; as well */
    uint32_t                     edited_plan[2];
    uint32_t                     edited_members[2];

    /*
     * A zone of another size has taken over what this one held, so a change
     * that is made here is lost.  Set by the master, once; under the mutex.
     */
    _Atomic uint32_t             superseded;

    ngx_http_tbucket_store_status_t  store;

    /* what the stores share about the zone, in memory of their own */
    struct ngx_http_tbucket_rows_s    *rows;
    struct ngx_http_tbucket_mirror_s  *mirror;  /* one for each shard */

    /* of scope=global, one for each shard; see ngx_http_tbucket_lease.h;
       else NULL */
    struct ngx_http_tbucket_global_s  *global;

    /* who is refused most; NULL: the zone is too small for that */
    struct ngx_http_tbucket_top_s     *top;
} ngx_http_tbucket_shared_t;


/* What a key is, where that can be read without evaluating a variable. */

typedef enum {
    NGX_HTTP_TBUCKET_KEY_ANY = 0,
    NGX_HTTP_TBUCKET_KEY_HEADER,            /* $http_... */
    NGX_HTTP_TBUCKET_KEY_ARGUMENT,          /* $arg_... */
    NGX_HTTP_TBUCKET_KEY_TBUCKET_ADDR,
    NGX_HTTP_TBUCKET_KEY_REMOTE_ADDR,
    NGX_HTTP_TBUCKET_KEY_BINARY_ADDR        /* $binary_remote_addr */
} ngx_http_tbucket_key_e;


/* A value that is evaluated per request; see ngx_http_tbucket_key.c. */

typedef struct {
    ngx_http_complex_value_t     value;
    ngx_int_t                    index;     /* of the only variable, or -1 */
    ngx_http_tbucket_key_e       kind;
    ngx_str_t                    name;      /* of the header, in small letters,
                                               or of the argument */
    ngx_uint_t                   hash;      /* of a header, as nginx has it */
    ngx_uint_t                   number;    /* of a zone; where it is the same
                                               the value is as well */
} ngx_http_tbucket_key_t;


/* What a zone limits. */

typedef enum {
    NGX_HTTP_TBUCKET_RATE = 0,
    NGX_HTTP_TBUCKET_QUOTA,
    NGX_HTTP_TBUCKET_INFLIGHT
} ngx_http_tbucket_kind_e;


/* Of a zone with a quota. */

typedef struct {
    tb_period_t                  period;
    tb_tz_t                      tz;

    /* this worker's: the window that its clock was in last, s since 1970 */
    _Atomic int64_t              begin;
    _Atomic int64_t              end;

    /* and the one in force, when it was last told, by an instant of it */
    int64_t                      instant;
    tb_window_t                  window;
} ngx_http_tbucket_quota_t;


/* A zone as this cycle's configuration has it. */

typedef struct {
    ngx_str_t                    name;
    ngx_http_tbucket_key_t       key;
    ngx_http_tbucket_key_t       fallback;
    ngx_http_tbucket_kind_e      kind;
    uint32_t                     unit;      /* single units in a token */
    tb_client_forms_t            forms;     /* of its clients and plans */
    ngx_flag_t                   known;     /* registered clients only */
    tb_limits_t                  limits;    /* of unregistered clients; those
                                               of a quota in any window: see
                                               ngx_http_tbucket_limits() */
    ngx_http_tbucket_quota_t     quota;
    ngx_str_t                    remaining; /* RateLimit, up to the number;
                                               there are _PREFIX bytes before
                                               its end */
    ngx_flag_t                   brief;     /* a rate of this node, and no
                                               more than _PREFIX of that */
    ngx_flag_t                   has_fallback;
    struct ngx_http_tbucket_source_s
                                *source;        /* NULL for scope=node */
    ngx_flag_t                   coarse_time;   /* "timer_resolution" is set */
    ngx_msec_t                   refill;        /* of the ticker */
    ngx_uint_t                   shards;        /* of the zone in the store */

    u_char                      *file;
    ngx_uint_t                   line;

    ngx_shm_zone_t              *shm_zone;
    ngx_slab_pool_t             *shpool;
    ngx_http_tbucket_shared_t   *shared;

    /* this worker's, of those that are shared */
    ngx_http_tbucket_counters_t  *counters;

    /* this worker's, of scope=global, one for each shard; else NULL */
    struct ngx_http_tbucket_asking_s  *asking;

    /* this worker's, of limits that it has met; by a hash */
    struct ngx_http_tbucket_policy_s  **policies;

    /* this worker's, of requests in flight; else NULL */
    struct ngx_http_tbucket_places_s  *places;

    /* and of those that old workers have in a zone of another size, which is
       this one's former memory; NULL: there are none */
    struct ngx_http_tbucket_former_s  *former;
} ngx_http_tbucket_zone_t;


/* One "tbucket zone=..." line. */

typedef struct {
    ngx_str_t                    name;
    ngx_http_tbucket_zone_t     *zone;      /* bound at the end of http {} */
    ngx_http_complex_value_t    *cost;      /* NULL: utok is the cost */
    ngx_http_complex_value_t    *plan;      /* NULL: none */
    uint64_t                     utok;      /* that, or what 1 is; µtok */
    ngx_http_complex_value_t    *settle;    /* the true cost, or NULL */
    uint64_t                     settled;   /* that, if not a variable; µtok */
    ngx_int_t                    measure;   /* index of the only variable of
                                               the true cost, or -1 */
    ngx_msec_t                   wait;      /* at most; 0: not at all */
    ngx_http_complex_value_t    *fine;      /* the text of the penalty */
    uint64_t                     penalty;   /* of a refusal, µtok */
    ngx_flag_t                   after;     /* the access modules */
    ngx_flag_t                   dry_run;
    ngx_flag_t                   constant;  /* the cost, and the plan; tokens
                                               are this node's, and the time is
                                               now */
    ngx_flag_t                   plain;     /* and a rate for anybody: the key
                                               is read inline */

    u_char                      *file;
    ngx_uint_t                   line;
} ngx_http_tbucket_limit_t;


typedef struct {
    ngx_array_t                  zones;     /* ngx_http_tbucket_zone_t * */
    ngx_array_t                  limits;    /* ngx_http_tbucket_limit_t * */
    ngx_msec_t                   refill;
    ngx_event_t                  ticker;
    ngx_array_t                  apis;      /* ngx_http_tbucket_api_t * */
    struct ngx_http_tbucket_store_s  *store;
    struct ngx_http_tbucket_source_s  *shared;  /* of zones of scope=global */

    /* what there is somewhere, for which there have to be handlers */
    ngx_flag_t                   has_late;  /* limits after the access phase */
    ngx_flag_t                   has_settle;
    ngx_flag_t                   has_subrequests;
    ngx_flag_t                   has_usage;

    /* this worker's: a response that cannot be read has been warned of */
    ngx_flag_t                   usage_told;
} ngx_http_tbucket_main_conf_t;


/* One "tbucket_api zone=..." line. */

typedef struct {
    ngx_str_t                    name;
    ngx_http_tbucket_zone_t     *zone;      /* bound at the end of http {} */
    ngx_flag_t                   plans;     /* it is about these */
    ngx_flag_t                   write;     /* they may be changed */

    u_char                      *file;
    ngx_uint_t                   line;
} ngx_http_tbucket_api_t;


typedef struct {
    ngx_gw_location_t            location;  /* comes first */
    ngx_array_t                 *limits;    /* ngx_http_tbucket_limit_t * */
    ngx_http_tbucket_limit_t    *only;      /* of these, if there is one */
    ngx_array_t                 *late;      /* those of "after=access" */
    ngx_flag_t                   off;       /* unset: there is no line */
    ngx_flag_t                   subrequests;
    ngx_flag_t                   usage;
    ngx_uint_t                   status;
    ngx_uint_t                   headers;
    ngx_uint_t                   body;
    ngx_uint_t                   log_level;
    ngx_flag_t                   dry_run;
    ngx_int_t                    ipv6_prefix;
    ngx_http_tbucket_api_t      *api;
} ngx_http_tbucket_loc_conf_t;


/* What the table says of a client beside its tokens. */

typedef enum {
    NGX_HTTP_TBUCKET_LIMITED = 0,
    NGX_HTTP_TBUCKET_UNLIMITED,
    NGX_HTTP_TBUCKET_BLOCKED,
    NGX_HTTP_TBUCKET_UNKNOWN,           /* and charged to the fallback */
    NGX_HTTP_TBUCKET_NOBODY             /* the same, and there is none */
} ngx_http_tbucket_standing_e;


/* One limit of one request: whose bucket, what it costs, what came of it. */

typedef struct {
    ngx_http_tbucket_limit_t    *limit;
    ngx_http_tbucket_zone_t     *zone;
    ngx_str_t                    client;
    tb_hash_t                    hash;
    uint64_t                     cost;      /* µtok; once decided, that which
                                               has been charged */
    tb_verdict_t                 verdict;
    tb_result_t                  result;
    uint64_t                     wait;      /* of a refusal; ms, or _NEVER */
    uint64_t                     ticket;    /* of a loan from a source, which
                                               has debt in the result */
    ngx_http_tbucket_standing_e  standing;
    uint32_t                     entry;     /* of a zone of requests in flight,
                                               in the ledger, or
                                               TB_LEDGER_NONE */
} ngx_http_tbucket_charge_t;


/*
 * What the request's limits came to.  An internal redirect forgets module
 * contexts, and subrequests share a pool, so this hangs on the request's pool
 * as a clean-up, where it is found again.
 */

typedef struct ngx_http_tbucket_ctx_s  ngx_http_tbucket_ctx_t;

struct ngx_http_tbucket_ctx_s {
    ngx_pool_cleanup_t           cleanup;
    ngx_http_tbucket_ctx_t      *idle;      /* the next one, without request */
    ngx_http_request_t          *request;

    /* all of this is 0 at first, up to the next comment */
    ngx_http_tbucket_status_e    status;
    u_char                       due;       /* there are headers to add */
    u_char                       added;     /* 2: again, for a filter's error */
    u_char                       grpc;      /* refused in gRPC's terms */
    u_char                       checked;   /* by late limits, too */
    u_char                       places;    /* charges may have some, of
                                               requests in flight */
    u_char                       overdue;   /* waits in vain: for the charge,
                                               or the other of that number */
    ngx_uint_t                   untaken;   /* what admitted took nothing, or
                                               has given it back */
    ngx_uint_t                   nothers;
    ngx_msec_t                   hold;      /* for how long it is to wait ... */
    ngx_msec_t                   held;      /* ... and has waited */
    struct ngx_http_tbucket_waiter_s  *waiter;  /* has waited for a lease */

    /* set with the decision */
    ngx_uint_t                   headers;   /* of the place that limited it */
    ngx_array_t                 *late;      /* that go with these limits */
    ngx_http_tbucket_charge_t    charge;    /* of the tightest bucket */
    ngx_http_tbucket_charge_t   *others;    /* of the other limits */
    u_char                       text[NGX_HTTP_TBUCKET_TEXT];   /* RateLimit */
};


typedef struct ngx_http_tbucket_former_s  ngx_http_tbucket_former_t;
typedef struct ngx_http_tbucket_global_s  ngx_http_tbucket_global_t;
typedef struct ngx_http_tbucket_asking_s  ngx_http_tbucket_asking_t;
typedef struct ngx_http_tbucket_waiter_s  ngx_http_tbucket_waiter_t;
typedef struct ngx_http_tbucket_ask_s  ngx_http_tbucket_ask_t;
typedef struct ngx_http_tbucket_places_s  ngx_http_tbucket_places_t;
typedef struct ngx_http_tbucket_policy_s  ngx_http_tbucket_policy_t;
typedef struct ngx_http_tbucket_source_s  ngx_http_tbucket_source_t;
typedef struct ngx_http_tbucket_store_s  ngx_http_tbucket_store_t;
typedef struct ngx_http_tbucket_top_s  ngx_http_tbucket_top_t;
typedef struct ngx_http_tbucket_write_s  ngx_http_tbucket_write_t;
typedef struct ngx_http_tbucket_rzone_s  ngx_http_tbucket_rzone_t;


extern ngx_module_t  ngx_http_tbucket_module;


#endif /* NGX_HTTP_TBUCKET_H */
