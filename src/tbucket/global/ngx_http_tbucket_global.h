
/*
 * Zones of scope=global, whose tokens are leased from Redis: each shard of a
 * zone by itself, as if it were a zone.  The keyed hash by which Redis knows a
 * bucket says which shard it is in.
 *
 *     _lease          leases in shared memory, beside the table
 *     _lease_places   those of places for requests in flight
 *     _lease_quota    those of quotas, while there are none
 *     _global_places  and what is said of them in calls
 *     _global_take    requests that find too few tokens
 *     _global_wait    those that wait for a lease
 *     _global_round   what goes into a call to Redis
 *     _global_join    becoming known to Redis, and the end
 *     _global_call    calls, their replies, and how often a node calls
 *     _global_client  one bucket's tokens, for the clients API
 *     _global         all of it as a source
 *
 * A decision that finds enough tokens in its bucket needs none of this.
 */


#ifndef NGX_HTTP_TBUCKET_GLOBAL_H
#define NGX_HTTP_TBUCKET_GLOBAL_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/tbucket/global/ngx_http_tbucket_lease.h"
#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


/* ms until requests look whether another worker's call has been answered */
#define NGX_HTTP_TBUCKET_GLOBAL_POLL  3

/* ms until a worker tells again what its requests wait for */
#define NGX_HTTP_TBUCKET_GLOBAL_TELL  20


/* One bucket of a call that is under way. */

typedef struct {
    ngx_http_tbucket_lease_t     *lease;     /* NULL: a dropped one */
    tb_hash_t                     hash;      /* a dropped one's: its key */
    uint64_t                      window;    /* of a quota, as of the lease */
    tb_lease_ask_t                ask;
    unsigned                      alone:1;   /* of a dropped one */
} ngx_http_tbucket_entry_t;


/* Requests of this worker that wait for one bucket. */

typedef struct {
    ngx_rbtree_node_t             node;      /* key: index of the slot */
    ngx_queue_t                   queue;     /* among those to ask for */
    ngx_queue_t                   waiters;
    tb_hash_t                     hash;
    uint32_t                      answered;  /* as of the lease, then */
    ngx_msec_t                    told;      /* when */
    unsigned                      queued:1;
} ngx_http_tbucket_asker_t;


/* One request that waits. */

struct ngx_http_tbucket_waiter_s {
    ngx_queue_t                   queue;
    ngx_http_request_t           *request;
    ngx_http_tbucket_asking_t    *asking;    /* of the last time */
    ngx_http_tbucket_asker_t     *asker;     /* NULL: does not wait */
    uint64_t                      cost;
    ngx_msec_t                    begin;
    ngx_event_t                   event;
    unsigned                      last:1;    /* has waited long enough */
};


/* What a worker knows of the leases of one shard of a zone. */

struct ngx_http_tbucket_asking_s {
    ngx_http_tbucket_rzone_t     *rz;
    ngx_http_tbucket_global_t    *global;

    ngx_rbtree_t                  askers;
    ngx_rbtree_node_t             sentinel;
    ngx_queue_t                   queue;     /* askers */
    ngx_event_t                   post;      /* sends what there is */
    ngx_event_t                   timer;     /* the next look at it all */

    /* the call under way, one at a time */
    unsigned                      busy:1;
    unsigned                      beat:1;
    unsigned                      joining:1; /* the secret is asked for */
    uint64_t                      seq;
    uint64_t                      sent;      /* us */
    ngx_uint_t                    n;
    ngx_http_tbucket_entry_t     *entries;

    /* of the worker that sees to all leases */
    unsigned                      round:1;
    unsigned                      wide:1;    /* the round is a tick */
    unsigned                      settled:1; /* as far as this round is */
    uint32_t                      cursor;    /* of the list, downwards */
    uint32_t                      period;    /* ms, the least of the round */
    uint32_t                      spacing;   /* ms, that calls take */
    ngx_uint_t                    calls;     /* of the round */
    ngx_msec_t                    next;      /* round */
    ngx_msec_t                    tick;      /* the next one */
    ngx_msec_t                    beaten;    /* when the last beat was sent */
    uint64_t                      rtt;       /* us, average */
    ngx_msec_t                    looked;    /* for degraded seconds */

    /* scratch; all but the head is shared by all shards */
    unsigned char                 head[TB_LEASE_HEAD];
    char                          nkeys[NGX_INT_T_LEN];
    unsigned char                *parts;
    u_char                       *keys;
    size_t                        key_len;
    tb_lease_answer_t            *answers;
};


/* What a zone of scope=global has as its source. */

extern ngx_http_tbucket_source_t  ngx_http_tbucket_global;


#endif /* NGX_HTTP_TBUCKET_GLOBAL_H */
