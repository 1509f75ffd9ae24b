
/*
 * Zones of scope=global: buckets whose tokens are leased from Redis.
 *
 *     _global.c           leases in shared memory, beside the table
 *     _global_decide.c    requests that find too few tokens
 *     _global_alone.c     what words get while there are no leases
 *     _global_wait.c      those that wait for a lease
 *     _global_overflow.c  those for whose bucket there is no room
 *     _global_call.c      calls to Redis and their replies
 *     _global_turn.c      how often a node calls, and which of its workers
 *     _global_round.c     what goes into a call
 *     _global_join.c      becoming a node, and the end
 *     _global_client.c    one bucket's tokens, for the clients API
 *
 * A decision that finds enough tokens in its bucket needs none of this.
 */


#ifndef NGX_HTTP_TBUCKET_GLOBAL_H
#define NGX_HTTP_TBUCKET_GLOBAL_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/redis/ngx_gw_redis_sync.h"
#include "src/core/lease/tb_lease.h"
#include "src/core/limit/tb_recall.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis.h"
#include "src/tbucket/redis/ngx_http_tbucket_redis_trouble.h"


/* ms until requests look whether another worker's call has been answered */
#define NGX_HTTP_TBUCKET_GLOBAL_POLL  3

/* ms until a worker tells again what its requests wait for */
#define NGX_HTTP_TBUCKET_GLOBAL_TELL  20

/* leases that were displaced and are to be reported, of a zone */
#define NGX_HTTP_TBUCKET_DROPPED  64


/* The lease of the bucket in the table's slot of the same index. */

typedef struct {
    tb_lease_t                    lease;     /* see tb_lease.h */

    /* whose it is; under the mutex; tag 0: nobody's */
    _Atomic uint64_t              tag;
    _Atomic uint64_t              check;

    /* the bucket's name in Redis; and where it is in the list; mutex */
    tb_hash_t                     key;
    uint32_t                      place;

    /* ms, up to when it has refilled alone; under the mutex */
    uint64_t                      alone;

    /* any worker, atomic: µtok that one request wanted in vain, whether
       any did since the last call, and ms of the last try to call */
    _Atomic uint64_t              unit;
    _Atomic uint32_t              wanted;
    _Atomic uint32_t              claimed;
} ngx_http_tbucket_lease_t;


/* A bucket that lost its slot: its hold is to be reported as none. */

typedef struct {
    tb_hash_t                     key;
    tb_limits_t                   limits;
    uint32_t                      gen;
    unsigned                      alone:1;   /* it has refilled alone, */
    unsigned                      whole:1;   /* with all of the limit */
} ngx_http_tbucket_dropped_t;


/* What the workers share of a zone's leases. */

struct ngx_http_tbucket_global_s {
    tb_node_t                   node;    /* see tb_lease.h; the sender of
                                                its calls has the store's
                                                lease */
    _Atomic uint64_t              seq;       /* calls so far; atomic adds */

    /* by the worker with the store's lease; atomic, read by anybody */
    _Atomic uint32_t              ready;     /* secret is Redis' */
    _Atomic uint64_t              nodes;     /* nodes, as last told */
    _Atomic uint64_t              share;     /* ppm; the last that was told */
    _Atomic uint64_t              degraded;  /* ms on our own */
    uint8_t                       secret[TB_SECRET_SIZE];

    /* by who holds the refill lease; ppm: the share at the last tick */
    _Atomic uint64_t              credited;

    /* by anybody: Redis does not know us; it refused the last call about
       buckets; and when to call: tb_lease.h */
    _Atomic uint32_t              unknown;
    _Atomic uint32_t              refused;
    _Atomic uint64_t              turn;

    /* of buckets without a lease, see tb_recall.h; and the ms until when it
       knows more of some of them than Redis; by anybody */
    _Atomic uint32_t             *recall;
    uint32_t                      nrecall;
    _Atomic uint64_t              caution;

    /* counters, µtok; atomic adds */
    _Alignas(64) _Atomic uint64_t  asked;
    _Atomic uint64_t              granted;
    _Atomic uint64_t              returned;
    _Atomic uint64_t              calls;

    /* leases in use, dense; under the mutex */
    _Atomic uint32_t              n;
    uint32_t                     *list;      /* indices of slots */
    ngx_http_tbucket_lease_t     *leases;    /* of all slots */

    /* under the mutex: slots that workers ask for whose turn it is not */
    _Atomic uint32_t              ntold;
    uint32_t                      told[TB_LEASE_BATCH];

    /* under the mutex */
    uint32_t                      swept;     /* place, while alone */
    uint32_t                      ndropped;
    ngx_http_tbucket_dropped_t    dropped[NGX_HTTP_TBUCKET_DROPPED];
};


/* One bucket of a call that is under way. */

typedef struct {
    ngx_http_tbucket_lease_t     *lease;     /* NULL: a dropped one */
    tb_hash_t                     hash;      /* a dropped one's: its key */
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
    ngx_msec_t                    told;      /* when; see _turn.c */
    unsigned                      queued:1;
} ngx_http_tbucket_asker_t;


/* One request that waits. */

struct ngx_http_tbucket_waiter_s {
    ngx_queue_t                   queue;
    ngx_http_request_t           *request;
    ngx_http_tbucket_zone_t      *zone;
    ngx_http_tbucket_asker_t     *asker;     /* NULL: does not wait */
    uint64_t                      cost;
    ngx_msec_t                    begin;
    ngx_event_t                   event;
    unsigned                      last:1;    /* has waited long enough */
};


/* What a worker knows of a zone's leases. */

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
    unsigned                      text:1;    /* the script is to be sent */
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

    /* scratch */
    unsigned char                 head[TB_LEASE_HEAD];
    char                          nkeys[NGX_INT_T_LEN];
    unsigned char                *parts;
    u_char                       *keys;
    size_t                        key_len;
    tb_lease_answer_t            *answers;
};


/* ngx_http_tbucket_global.c */

/*
 * For a new zone, one after the other: what there is once; of the memory for
 * the table and leases the table's part; leases for the slots of the table.
 */

ngx_int_t ngx_http_tbucket_global_create_zone(ngx_http_tbucket_zone_t *zone);
size_t ngx_http_tbucket_global_table(size_t size);
ngx_int_t ngx_http_tbucket_global_init(ngx_http_tbucket_zone_t *zone);

/* What was leased is another Redis'; mutex held. */

void ngx_http_tbucket_global_anew(ngx_http_tbucket_zone_t *zone);

/* Whether the lease is of that client's bucket. */

static ngx_inline ngx_uint_t
ngx_http_tbucket_global_owns(ngx_http_tbucket_lease_t *l, const tb_hash_t *h)
{
    return atomic_load_explicit(&l->tag, memory_order_acquire) == h->lo
           && atomic_load_explicit(&l->check, memory_order_relaxed) == h->hi;
}

/* The lease of a bucket, if it has one. */

ngx_http_tbucket_lease_t *ngx_http_tbucket_global_find(
    ngx_http_tbucket_zone_t *zone, tb_slot_t *slot, const tb_hash_t *h);

/* Gives the client a bucket and a lease, if it has none; NULL: no room. */

ngx_http_tbucket_lease_t *ngx_http_tbucket_global_enter(
    ngx_http_tbucket_zone_t *zone, const tb_hash_t *h, ngx_str_t *client);

/*
 * With the mutex held: takes the lease at that place out of the list.  keep:
 * it may hold tokens that were not given back.
 */

void ngx_http_tbucket_global_drop(ngx_http_tbucket_zone_t *zone,
    uint32_t place, ngx_uint_t keep);

/* The bucket of a lease, and the limits in force; 0: it has another owner. */

ngx_uint_t ngx_http_tbucket_global_read(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, tb_hash_t *h, tb_word_t *word,
    tb_limits_t *limits);

/* The slot of a lease. */

#define ngx_http_tbucket_global_slot(zone, l)                                \
    tb_table_slot((zone)->shared->table,                                     \
                  (uint32_t) ((l) - (zone)->shared->global->leases))


/* ngx_http_tbucket_global_wait.c */

/* Has all requests that wait for the bucket (any: UINT32_MAX) looked at. */

void ngx_http_tbucket_global_wake(ngx_http_tbucket_asking_t *a,
    uint32_t slot);

/* What requests of this worker want of it, all together, µtok. */

uint64_t ngx_http_tbucket_global_need(ngx_http_tbucket_asker_t *asker,
    uint64_t *unit);

ngx_http_tbucket_asker_t *ngx_http_tbucket_global_asker(
    ngx_http_tbucket_asking_t *a, uint32_t slot);


/* ngx_http_tbucket_global_alone.c */

/*
 * Whether words refill by our share now, which it is (ppm; TB_LEASE_ALL: no
 * other node is known of), and since when.
 */

ngx_uint_t ngx_http_tbucket_global_alone(ngx_http_tbucket_zone_t *zone,
    uint64_t *share, uint64_t *since);

/* Its share now, in ppm, for what refills by the clock. */

uint64_t ngx_http_tbucket_global_share(ngx_http_tbucket_zone_t *zone);

/*
 * With the mutex held: adds to the bucket what it has got by the clock, if we
 * are alone; if it is new there (most is not UINT64_MAX), that many at most.
 */

void ngx_http_tbucket_global_credit(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, uint64_t most);

/*
 * With the mutex held: remembers when the bucket will be full, before it
 * loses its lease.  careful: Redis does not know what it has used.
 */

void ngx_http_tbucket_global_note(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, ngx_uint_t careful);

/*
 * With the mutex held: whether a new key may have that slot; and the tokens
 * that go with it.  0: there is no way to tell Redis what its bucket has
 * used alone.
 */

ngx_uint_t ngx_http_tbucket_global_yield(ngx_http_tbucket_zone_t *zone,
    tb_slot_t *victim, uint64_t *tokens);

/* Frees buckets that have refilled alone, a number at a time. */

void ngx_http_tbucket_global_sweep(ngx_http_tbucket_zone_t *zone);


/* ngx_http_tbucket_global_overflow.c */

/* The decision where there is no room for a bucket; only looks unless take. */

void ngx_http_tbucket_global_overflow(ngx_http_tbucket_charge_t *c,
    ngx_uint_t take);


/* ngx_http_tbucket_global_call.c */

void ngx_http_tbucket_global_start(ngx_http_tbucket_rzone_t *rz,
    ngx_cycle_t *cycle);
void ngx_http_tbucket_global_stop(ngx_http_tbucket_rzone_t *rz);

/* The worker has got, or lost, the store's lease; or the connection. */

void ngx_http_tbucket_global_changed(ngx_http_tbucket_rzone_t *rz);

/*
 * Prints the bucket's key in Redis; h is the client's keyed hash.  Its length
 * is that for each.
 */

#define ngx_http_tbucket_global_key_len(rz)  ((rz)->bucket.len + 1 + 32)

void ngx_http_tbucket_global_key(ngx_http_tbucket_rzone_t *rz, u_char *key,
    const tb_hash_t *h);

/* Sends what is to be sent, as soon as it can be. */

void ngx_http_tbucket_global_pump(ngx_http_tbucket_asking_t *a);

/* The arguments of a call about entries [0, n); leave: and the last one. */

void ngx_http_tbucket_global_args(ngx_http_tbucket_asking_t *a,
    ngx_uint_t leave);

ngx_int_t ngx_http_tbucket_global_create(ngx_http_tbucket_rzone_t *rz,
    ngx_cycle_t *cycle);


/* ngx_http_tbucket_global_turn.c */

/*
 * Whether the worker is to wait with its calls.  It will be called again if
 * there is something to send, and the one that sees to all leases is told
 * what requests wait for.
 */

ngx_uint_t ngx_http_tbucket_global_rests(ngx_http_tbucket_asking_t *a);


/* ngx_http_tbucket_global_round.c */

/* Begins a round when one is due: as often as the smallest bucket needs. */

void ngx_http_tbucket_global_look(ngx_http_tbucket_asking_t *a);

/*
 * These add to the call: what requests wait for, here and in other workers;
 * what displaced buckets held, which is nobody's; what is due, as far as the
 * round gets in one pass.
 */

void ngx_http_tbucket_global_askers(ngx_http_tbucket_asking_t *a);
void ngx_http_tbucket_global_told(ngx_http_tbucket_asking_t *a);
void ngx_http_tbucket_global_dropped(ngx_http_tbucket_asking_t *a);
void ngx_http_tbucket_global_round(ngx_http_tbucket_asking_t *a);

/*
 * Whether a beat may go: where calls about buckets are refused, one without
 * any would say nothing about leases, so that it gets one; 0: none is free.
 */

ngx_uint_t ngx_http_tbucket_global_proves(ngx_http_tbucket_asking_t *a);


/* ngx_http_tbucket_global_join.c */

/*
 * Frees up to n leases, and remembers what their buckets had; whether none
 * is left.
 */

ngx_uint_t ngx_http_tbucket_global_clear(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t n);

/* leases that are cleared in one pass of the event loop */
#define NGX_HTTP_TBUCKET_GLOBAL_CLEAR  512

/* Goes on with becoming a node; the worker has lease and connection. */

void ngx_http_tbucket_global_join(ngx_http_tbucket_asking_t *a);

/* Gives everything back, in a process that exits; blocks. */

ngx_int_t ngx_http_tbucket_global_finish(ngx_gw_redis_sync_t *sync,
    ngx_http_tbucket_rzone_t *rz);

/* With the mutex held: takes all tokens out of a bucket, and frees it. */

void ngx_http_tbucket_global_empty(ngx_http_tbucket_zone_t *zone,
    tb_slot_t *slot, const tb_hash_t *h);


#endif /* NGX_HTTP_TBUCKET_GLOBAL_H */
