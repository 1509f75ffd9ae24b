
/*
 * Leases in shared memory, one beside each slot of the table, the list of those
 * in use, and what words get while there are no leases.
 */


#ifndef NGX_HTTP_TBUCKET_LEASE_H
#define NGX_HTTP_TBUCKET_LEASE_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/lease/tb_lease.h"
#include "src/core/limit/tb_recall.h"
#include "src/core/limit/tb_take.h"
#include "src/tbucket/ngx_http_tbucket.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"


/* leases that were displaced and are to be reported, of a zone */
#define NGX_HTTP_TBUCKET_DROPPED  64


/* The lease of the bucket in the table's slot of the same index. */

typedef struct {
    tb_lease_t                    lease;     /* see tb_lease.h */

    /* whose it is; under the mutex; tag 0: nobody's */
    _Atomic uint64_t              tag;
    _Atomic uint64_t              check;

    /* the bucket's name in Redis; where it is in the list; mutex */
    tb_hash_t                     key;
    uint32_t                      place;
    uint32_t                      shard;     /* whose list it is; by "key" */

    /* ms, up to when it has refilled alone; under the mutex */
    uint64_t                      alone;

    /* µtok that the word owed when it was about to be displaced; mutex */
    uint64_t                      debt;

    /* any worker, atomic: µtok that one request wanted in vain, whether
       any did since the last call, and ms of the last try to call */
    _Atomic uint64_t              unit;
    _Atomic uint32_t              wanted;
    _Atomic uint32_t              claimed;
} ngx_http_tbucket_lease_t;


/*
 * A bucket that lost its slot: what it owed is to be reported, or that it holds
 * none.
 */

typedef struct {
    tb_hash_t                     key;
    tb_limits_t                   limits;
    uint64_t                      debt;      /* µtok */
    int64_t                       refund;    /* of a quota, as of the lease */
    uint64_t                      window;    /* as of the lease */
    uint64_t                      heard;     /* see tb_lease_ask_t */
    uint32_t                      gen;
    unsigned                      alone:1;   /* it has refilled alone, */
    unsigned                      whole:1;   /* with all of the limit */
} ngx_http_tbucket_dropped_t;


/* What the workers share of the leases of one shard of a zone. */

struct ngx_http_tbucket_global_s {
    tb_node_t                   node;    /* see tb_lease.h; the sender of
                                                its calls has the store's
                                                lease */
    _Atomic uint64_t              seq;       /* calls so far; atomic adds */

    /* by the worker with the store's lease; atomic, read by anybody */
    _Atomic uint32_t              ready;     /* secret is Redis'; the first
                                                shard's */
    _Atomic uint32_t              keyed;     /* there is one; likewise */
    _Atomic uint64_t              nodes;     /* nodes, as last told */
    _Atomic uint64_t              share;     /* ppm; the last that was told */
    _Atomic uint64_t              degraded;  /* ms on our own */
    uint8_t                       secret[TB_SECRET_SIZE];   /* likewise */

    /* by who holds the refill lease; ppm: the share at the last tick */
    _Atomic uint64_t              credited;

    /* by anybody: Redis does not know us; it refused the last call about
       buckets; and when to call: tb_lease.h */
    _Atomic uint32_t              unknown;
    _Atomic uint32_t              refused;
    _Atomic uint64_t              turn;

    /* of buckets without a lease, see tb_recall.h, of all shards; and, of the
       first one for all, the ms until when it knows more of some of them than
       Redis; by anybody */
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
    uint32_t                      max;       /* of these */
    ngx_http_tbucket_lease_t     *leases;    /* of all slots; of all shards */

    /* under the mutex: slots that workers ask for whose turn it is not */
    _Atomic uint32_t              ntold;
    uint32_t                      told[TB_LEASE_BATCH];

    /* under the mutex */
    uint32_t                      swept;     /* place, while alone */
    uint32_t                      ndropped;
    ngx_http_tbucket_dropped_t    dropped[NGX_HTTP_TBUCKET_DROPPED];
};


/*
 * For a new zone: what there is once, before the table; then leases for the
 * slots of the table, NGX_HTTP_TBUCKET_LEASE_SIZE bytes for each.
 */

#define NGX_HTTP_TBUCKET_LEASE_SIZE                                          \
    (sizeof(ngx_http_tbucket_lease_t) + sizeof(uint32_t)                     \
     + TB_RECALL_CELLS * sizeof(uint32_t))

ngx_int_t ngx_http_tbucket_lease_create_zone(ngx_http_tbucket_zone_t *zone);
ngx_int_t ngx_http_tbucket_lease_init_zone(ngx_http_tbucket_zone_t *zone);

/* What was leased is another Redis'; mutex held. */

void ngx_http_tbucket_lease_anew(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard);

/* What is shared about a lease's shard. */

#define ngx_http_tbucket_lease_global(zone, l)                               \
    (&(zone)->shared->global[(l)->shard])

/* The number of the next call of a shard. */

static ngx_inline uint64_t
ngx_http_tbucket_lease_next(struct ngx_http_tbucket_global_s *g)
{
    return atomic_fetch_add_explicit(&g->seq, 1, memory_order_seq_cst) + 1;
}

/* Whether the lease is of that client's bucket. */

static ngx_inline ngx_uint_t
ngx_http_tbucket_lease_owns(ngx_http_tbucket_lease_t *l, const tb_hash_t *h)
{
    return atomic_load_explicit(&l->tag, memory_order_acquire) == h->lo
           && atomic_load_explicit(&l->check, memory_order_relaxed) == h->hi;
}

/* Whether the lease has ended with its window; dflt: in force. */

static ngx_inline ngx_uint_t
ngx_http_tbucket_lease_ended(ngx_http_tbucket_lease_t *l, tb_limits_t dflt)
{
    return (dflt & TB_LIMITS_WINDOW) && !tb_window_is(l->lease.window, dflt);
}

/* The lease of a bucket, if it has one. */

ngx_http_tbucket_lease_t *ngx_http_tbucket_lease_find(
    ngx_http_tbucket_zone_t *zone, tb_slot_t *slot, const tb_hash_t *h);

/*
 * Gives the client a bucket and a lease, if it has none; NULL: no room.  For a
 * bucket of places nobody gives way here.
 */

ngx_http_tbucket_lease_t *ngx_http_tbucket_lease_enter(
    ngx_http_tbucket_zone_t *zone, const tb_hash_t *h, ngx_str_t *client);

/*
 * With the mutex held: takes the lease at that place out of the shard's list.
 * keep: it may hold tokens that were not given back.
 */

void ngx_http_tbucket_lease_drop(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard, uint32_t place, ngx_uint_t keep);

/*
 * The bucket of a lease, and the limits in force, which have a rate of 0 where
 * they are a quota; 0: it has another owner, or the lease has ended.
 */

ngx_uint_t ngx_http_tbucket_lease_read(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, tb_hash_t *h, tb_word_t *word,
    tb_limits_t *limits);

/* The slot of a lease. */

#define ngx_http_tbucket_lease_slot(zone, l)                                \
    tb_table_slot((zone)->shared->table,                                     \
                  (uint32_t) ((l) - (zone)->shared->global->leases))

/*
 * Whether a shard's words refill by our share now, which it is (ppm;
 * TB_LEASE_ALL: no other node is known of), and since when.
 */

ngx_uint_t ngx_http_tbucket_lease_alone(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard, uint64_t *share, uint64_t *since);

/*
 * The share now, in ppm, for what refills by the clock: as the first shard
 * has told it, on each node.
 */

uint64_t ngx_http_tbucket_lease_share(ngx_http_tbucket_zone_t *zone);

/*
 * With the mutex held: adds to the bucket what it has got by the clock, if we
 * are alone; if it is new there (most is not UINT64_MAX), that many at most.
 */

void ngx_http_tbucket_lease_credit(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, uint64_t most);

/*
 * With the mutex held: remembers when the bucket will be full, before it
 * loses its lease.  careful: Redis does not know what it has used.
 */

void ngx_http_tbucket_lease_note(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, ngx_uint_t careful);

/*
 * With the mutex held: whether a new key may have that slot; and the tokens
 * that go with it.  0: there is no way to tell Redis what its bucket has
 * used alone, or owes.
 */

ngx_uint_t ngx_http_tbucket_lease_yield(ngx_http_tbucket_zone_t *zone,
    tb_slot_t *victim, uint64_t *tokens);

/* Frees buckets that have refilled alone, a number at a time. */

void ngx_http_tbucket_lease_sweep(ngx_http_tbucket_zone_t *zone);

/*
 * Frees up to n leases of a shard, and remembers what their buckets had;
 * whether none is left.
 */

ngx_uint_t ngx_http_tbucket_lease_clear(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard, ngx_uint_t n);

/*
 * Gives a lease that has none the name that it has in Redis, if there is a
 * secret by now.
 */

void ngx_http_tbucket_lease_name(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, ngx_str_t *client);

/* leases that are cleared in one pass of the event loop */
#define NGX_HTTP_TBUCKET_LEASE_CLEAR  512

/* With the mutex held: ends what a bucket has or owes, and frees it. */

void ngx_http_tbucket_lease_empty(ngx_http_tbucket_zone_t *zone,
    tb_slot_t *slot, const tb_hash_t *h);


#endif /* NGX_HTTP_TBUCKET_LEASE_H */
