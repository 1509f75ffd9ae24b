
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
#include "src/core/limit/tb_hash.h"
#include "src/core/limit/tb_registry.h"
#include "src/core/limit/tb_table_edit.h"
#include "src/core/limit/tb_table_sweep.h"


#define NGX_HTTP_TBUCKET_HEADERS_OFF     0
#define NGX_HTTP_TBUCKET_HEADERS_IETF    1
#define NGX_HTTP_TBUCKET_HEADERS_LEGACY  2

#define NGX_HTTP_TBUCKET_BODY_JSON       0
#define NGX_HTTP_TBUCKET_BODY_PROBLEM    1

/* the time until a request passes that costs more than the capacity */
#define NGX_HTTP_TBUCKET_NEVER           UINT64_MAX

/* workers add to a counter of their own while there are no more of them */
#define NGX_HTTP_TBUCKET_COUNTERS        16


typedef enum {
    NGX_HTTP_TBUCKET_NOT_LIMITED = 0,
    NGX_HTTP_TBUCKET_PASSED,
    NGX_HTTP_TBUCKET_REJECTED,
    NGX_HTTP_TBUCKET_REJECTED_DRY_RUN
} ngx_http_tbucket_status_e;


/* Requests by outcome; any worker, atomic adds; one cache line each. */

typedef struct {
    _Alignas(64) _Atomic uint64_t  passed;
    _Atomic uint64_t               rejected;
    _Atomic uint64_t               dry_run;
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
    tb_registry_t               *registry;

    /* who runs the refill ticker; the rest of the group is the holder's */
    _Alignas(64) ngx_gw_leader_t  refill;
    _Atomic uint32_t             cursor;    /* slot the next slice begins at */

    /* the client that is being changed; under the mutex; lo 0: none */
    _Alignas(64) _Atomic uint64_t  edited_lo;
    _Atomic uint64_t             edited_hi;

    /*
     * A zone of another size has taken over what this one held, so a change
     * that is made here is lost.  Set by the master, once; under the mutex.
     */
    _Atomic uint32_t             superseded;

    ngx_http_tbucket_store_status_t  store;

    /* what the stores share about the zone, in memory of their own */
    struct ngx_http_tbucket_rows_s    *rows;
    struct ngx_http_tbucket_mirror_s  *mirror;

    /* of scope=global; see ngx_http_tbucket_global.h; else NULL */
    struct ngx_http_tbucket_global_s  *global;
} ngx_http_tbucket_shared_t;


/* What a key is, where that can be read without evaluating a variable. */

typedef enum {
    NGX_HTTP_TBUCKET_KEY_ANY = 0,
    NGX_HTTP_TBUCKET_KEY_HEADER,            /* $http_... */
    NGX_HTTP_TBUCKET_KEY_TBUCKET_ADDR,
    NGX_HTTP_TBUCKET_KEY_REMOTE_ADDR,
    NGX_HTTP_TBUCKET_KEY_BINARY_ADDR        /* $binary_remote_addr */
} ngx_http_tbucket_key_e;


/* A value that is evaluated per request; see ngx_http_tbucket_key.c. */

typedef struct {
    ngx_http_complex_value_t     value;
    ngx_int_t                    index;     /* of the only variable, or -1 */
    ngx_http_tbucket_key_e       kind;
    ngx_str_t                    header;    /* its name, in small letters */
    ngx_uint_t                   hash;      /* of its name, as nginx has it */
} ngx_http_tbucket_key_t;


/* A zone as this cycle's configuration has it. */

typedef struct {
    ngx_str_t                    name;
    ngx_http_tbucket_key_t       key;
    ngx_http_tbucket_key_t       fallback;
    tb_limits_t                  limits;    /* of unregistered clients */
    ngx_str_t                    policy;    /* RateLimit-Policy for these */
    ngx_str_t                    remaining; /* RateLimit, up to the number */
    ngx_flag_t                   has_fallback;
    struct ngx_http_tbucket_source_s
                                *source;        /* NULL for scope=node */
    ngx_flag_t                   coarse_time;   /* "timer_resolution" is set */
    ngx_msec_t                   refill;        /* of the ticker */

    u_char                      *file;
    ngx_uint_t                   line;

    ngx_shm_zone_t              *shm_zone;
    ngx_slab_pool_t             *shpool;
    ngx_http_tbucket_shared_t   *shared;

    /* this worker's, of scope=global; else NULL */
    struct ngx_http_tbucket_asking_s  *asking;
} ngx_http_tbucket_zone_t;


/* One "tbucket zone=..." line. */

typedef struct {
    ngx_str_t                    name;
    ngx_http_tbucket_zone_t     *zone;      /* bound at the end of http {} */
    ngx_http_complex_value_t    *cost;      /* NULL: utok is the cost */
    uint64_t                     utok;

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
} ngx_http_tbucket_main_conf_t;


/* One "tbucket_api zone=..." line. */

typedef struct {
    ngx_str_t                    name;
    ngx_http_tbucket_zone_t     *zone;      /* bound at the end of http {} */
    ngx_flag_t                   write;     /* clients may be changed */

    u_char                      *file;
    ngx_uint_t                   line;
} ngx_http_tbucket_api_t;


typedef struct {
    ngx_gw_location_t            location;  /* comes first */
    ngx_array_t                 *limits;    /* ngx_http_tbucket_limit_t * */
    ngx_flag_t                   off;
    ngx_uint_t                   status;
    ngx_uint_t                   headers;
    ngx_uint_t                   body;
    ngx_uint_t                   log_level;
    ngx_flag_t                   dry_run;
    ngx_int_t                    ipv6_prefix;
    ngx_http_tbucket_api_t      *api;
} ngx_http_tbucket_loc_conf_t;


/* One limit of one request: whose bucket, what it costs, what came of it. */

typedef struct {
    ngx_http_tbucket_zone_t     *zone;
    ngx_str_t                    client;
    tb_hash_t                    hash;
    uint64_t                     cost;      /* µtok */
    tb_verdict_t                 verdict;
    tb_result_t                  result;
    uint64_t                     wait;      /* of a refusal; ms, or _NEVER */
} ngx_http_tbucket_charge_t;


/*
 * What the request's limits came to.  An internal redirect forgets module
 * contexts, so this hangs on the request's pool as a clean-up that does
 * nothing, where it is found again.
 */

typedef struct {
    ngx_pool_cleanup_t           cleanup;
    ngx_http_tbucket_status_e    status;
    ngx_uint_t                   headers;   /* of the place that limited it */
    ngx_uint_t                   due;       /* there are headers to add */
    ngx_uint_t                   added;     /* 2: again, for a filter's error */
    ngx_uint_t                   grpc;      /* refused in gRPC's terms */
    ngx_http_tbucket_charge_t    charge;    /* of the tightest bucket */
    ngx_http_tbucket_charge_t   *others;    /* of the other limits */
    ngx_uint_t                   nothers;
    struct ngx_http_tbucket_waiter_s  *waiter;  /* has waited for a lease */
} ngx_http_tbucket_ctx_t;


typedef struct ngx_http_tbucket_global_s  ngx_http_tbucket_global_t;
typedef struct ngx_http_tbucket_asking_s  ngx_http_tbucket_asking_t;
typedef struct ngx_http_tbucket_waiter_s  ngx_http_tbucket_waiter_t;
typedef struct ngx_http_tbucket_ask_s  ngx_http_tbucket_ask_t;
typedef struct ngx_http_tbucket_source_s  ngx_http_tbucket_source_t;
typedef struct ngx_http_tbucket_store_s  ngx_http_tbucket_store_t;
typedef struct ngx_http_tbucket_write_s  ngx_http_tbucket_write_t;
typedef struct ngx_http_tbucket_rzone_s  ngx_http_tbucket_rzone_t;


extern ngx_module_t  ngx_http_tbucket_module;


/* ngx_http_tbucket_conf.c: directives with a grammar of their own */

char *ngx_http_tbucket_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_tbucket_conf_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_tbucket_check_status(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_tbucket_check_refill(ngx_conf_t *cf, void *post, void *data);

char *ngx_http_tbucket_conf_metrics(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Binds every "tbucket" and "tbucket_api" line to its zone; logs those that
 * name none, with their place, and returns NGX_ERROR.  Likewise for zones
 * that the store is not fit for.
 */

ngx_int_t ngx_http_tbucket_bind_limits(ngx_conf_t *cf,
    ngx_http_tbucket_main_conf_t *mcf);


/* ngx_http_tbucket_key.c */

ngx_int_t ngx_http_tbucket_key_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_tbucket_key_t *key);

/*
 * Warns of variables in the text, a key or a cost (what), that only the access
 * modules, the request's body or its response give a value to.
 */

void ngx_http_tbucket_warn_late(ngx_conf_t *cf, const char *what,
    ngx_str_t *text);

/* For init_module, once all variables are known. */

ngx_int_t ngx_http_tbucket_key_finish(ngx_cycle_t *cycle,
    ngx_http_tbucket_key_t *key);

/* As ngx_http_tbucket_key_value() in ngx_http_tbucket_key.h, any key. */

ngx_int_t ngx_http_tbucket_key_variable(ngx_http_request_t *r,
    ngx_http_tbucket_key_t *key, ngx_str_t *value);

/* The value of $tbucket_addr in bytes of r->pool or the connection. */

ngx_int_t ngx_http_tbucket_client_addr(ngx_http_request_t *r,
    ngx_str_t *addr);


/* ngx_http_tbucket_zone.c: the shared memory of a zone over its life */

ngx_int_t ngx_http_tbucket_init_zone(ngx_shm_zone_t *shm_zone, void *data);

/*
 * Carries over to a zone of this cycle what a zone of the same name but
 * another size held in the last one.  For init_module, when the new
 * configuration can no longer fail.
 */

void ngx_http_tbucket_inherit_zone(ngx_cycle_t *cycle,
    ngx_http_tbucket_zone_t *zone);


/* The zone of that name in the configuration that is in force; or NULL. */

ngx_http_tbucket_zone_t *ngx_http_tbucket_old_zone(
    ngx_http_tbucket_zone_t *zone);


/* ngx_http_tbucket_refill.c: the ticker */

ngx_int_t ngx_http_tbucket_start_ticker(ngx_cycle_t *cycle,
    ngx_http_tbucket_main_conf_t *mcf);
void ngx_http_tbucket_stop_ticker(ngx_http_tbucket_main_conf_t *mcf);


/* A clock for measuring how long something takes, us. */

uint64_t ngx_http_tbucket_usec(void);


/* ngx_http_tbucket_decide.c: from a request to a decision */

/*
 * Charges the request to the buckets of all limits, or to none of them, and
 * counts the outcome; dry_run says how refusals are counted.  Returns
 * NGX_OK if all admit, NGX_BUSY if one refuses, NGX_DECLINED if no limit
 * applies, NGX_ERROR; on NGX_OK and NGX_BUSY ctx->charge is that of the
 * tightest bucket, and ctx->others are those of the other limits.  NGX_AGAIN: nothing was charged or counted, and the
 * request is to wait for a lease of the bucket of ctx->charge.
 */

ngx_int_t ngx_http_tbucket_decide(ngx_http_request_t *r, ngx_array_t *limits,
    ngx_flag_t dry_run, ngx_http_tbucket_ctx_t *ctx);


/* ngx_http_tbucket_reply.c: what the client and the log get to see */

/* Adds the headers of limited requests to every response there is. */

void ngx_http_tbucket_init_header_filter(void);

/* Logs the refusal at the level, with the client as a hash. */

void ngx_http_tbucket_log_refusal(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t level);

/*
 * Ends the request with the status: through error_page if one is set for
 * it, else with a body of that form (_BODY_*), or with the status of gRPC if
 * that is what the client speaks.  The request must not be used afterwards.
 */

void ngx_http_tbucket_refuse(ngx_http_request_t *r,
    ngx_http_tbucket_ctx_t *ctx, ngx_uint_t status, ngx_uint_t form);

/* Whole seconds for a header, rounded up, at least 1; _NEVER as it is. */

uint64_t ngx_http_tbucket_seconds(uint64_t ms);

/*
 * Seconds until the next token, with that left (µtok), or until a refused
 * request would pass; it may be _NEVER, for which headers have no number.
 */

uint64_t ngx_http_tbucket_reset(ngx_http_tbucket_ctx_t *ctx,
    uint64_t left);

/* The RateLimit-Policy value of a zone; an empty string without memory. */

ngx_str_t ngx_http_tbucket_policy(ngx_pool_t *pool,
    ngx_http_tbucket_zone_t *zone);

/* The RateLimit value up to the number of tokens that remain; likewise. */

ngx_str_t ngx_http_tbucket_remaining(ngx_pool_t *pool, ngx_str_t *zone);


/* ngx_http_tbucket_vars.c */

ngx_int_t ngx_http_tbucket_add_variables(ngx_conf_t *cf);

/* The request's context after an internal redirect, or NULL. */

ngx_http_tbucket_ctx_t *ngx_http_tbucket_find_ctx(ngx_http_request_t *r);

/* Tells a context from other clean-ups, and does nothing. */

void ngx_http_tbucket_cleanup(void *data);

/* The request's context, or NULL. */

static ngx_inline ngx_http_tbucket_ctx_t *
ngx_http_tbucket_get_ctx(ngx_http_request_t *r)
{
    ngx_http_tbucket_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_tbucket_module);

    if (ctx == NULL && (r->internal || r->filter_finalize)) {
        return ngx_http_tbucket_find_ctx(r);
    }

    return ctx;
}


#endif /* NGX_HTTP_TBUCKET_H */
