
/*
 * What the parts of the Redis store share, which is what they all stand on:
 * a shard of a zone in this process, keys, scripts, commands and replies.
 *
 *     _store    the URL, life in nginx's processes, whose turn it is
 *     _write    writes of the API
 *     _shards   how many shards Redis has each zone in
 *     _sync     the stream of changes
 *     _plans    plans, read all at once
 *     _compare  full comparisons
 *     _seed     a Redis that is empty
 *     _apply    what was read, into shared memory
 *     _tokens   the states of buckets that are not full, saved
 *     _restore  and read again
 *     _trouble  what Redis refuses, and when it is asked again
 *     _info     clients that Redis has evicted
 *     _load     start and end, in the master
 *
 * Every worker has a connection for commands, in a cluster one to each node.
 * One of them is the leader of a zone: it has another one, on which it waits
 * for the stream; the streams of several shards are asked for on the first,
 * again and again.  What is read is as of an entry of the stream, and is put
 * into shared memory unless something later is known about the client
 * (tb_recent.h).
 *
 * A client is in the shard of its id: the id's slot, as if it were a key of
 * a cluster, modulo the number of shards.
 */


#ifndef NGX_HTTP_TBUCKET_REDIS_H
#define NGX_HTTP_TBUCKET_REDIS_H


#include "src/redis/ngx_gw_redis.h"
#include "src/core/limit/tb_client.h"
#include "src/core/limit/tb_emptiest.h"
#include "src/core/limit/tb_recent.h"
#include "src/tbucket/clients/ngx_http_tbucket_store.h"
#include "src/tbucket/redis/ngx_http_tbucket_mirror.h"


#define NGX_HTTP_TBUCKET_REDIS_SHARDS 256    /* of a zone, at most */

#define NGX_HTTP_TBUCKET_REDIS_PAGE   250    /* clients in a command */
#define NGX_HTTP_TBUCKET_REDIS_ARGS   (2 * NGX_HTTP_TBUCKET_WRITE_MAX + 24)

/* a name of a token state: an id, or "#" and a hash */
#define NGX_HTTP_TBUCKET_REDIS_NAME   256

/* token states that are saved */
#define NGX_HTTP_TBUCKET_REDIS_SAVED  10000

/* ms that a node's name is its own after the last sign of life */
#define NGX_HTTP_TBUCKET_REDIS_BEAT   500
#define NGX_HTTP_TBUCKET_REDIS_ALIVE  2000

/* entries that the stream is trimmed to, about */
#define NGX_HTTP_TBUCKET_REDIS_STREAM 100000

/*
 * Bytes that a reply with so many clients takes at most.  Redis may find some
 * more than it was asked for; what a person has put there is cut to some
 * hundred bytes by the scripts.
 */
#define NGX_HTTP_TBUCKET_REDIS_MOST(n)  (((size_t) (n) + 1024) * 4096)


typedef enum {
    NGX_HTTP_TBUCKET_SCRIPT_WRITE = 0,
    NGX_HTTP_TBUCKET_SCRIPT_BULK,
    NGX_HTTP_TBUCKET_SCRIPT_READ,
    NGX_HTTP_TBUCKET_SCRIPT_SEED,
    NGX_HTTP_TBUCKET_SCRIPT_SAVE,
    NGX_HTTP_TBUCKET_SCRIPT_LEASE,
    NGX_HTTP_TBUCKET_SCRIPTS
} ngx_http_tbucket_script_e;


/* A command that is being put together; what it points to has to stay. */

typedef struct {
    ngx_uint_t                    n;
    const char                   *value[NGX_HTTP_TBUCKET_REDIS_ARGS];
    size_t                        len[NGX_HTTP_TBUCKET_REDIS_ARGS];
} ngx_http_tbucket_args_t;


/* Room for one command at a time: formatted as soon as it is complete. */

typedef struct {
    ngx_http_tbucket_args_t       args;
    gw_record_t                   reader;
    tb_client_t                   client;
    tb_client_t                   known;
    tb_registry_entry_t           entries[NGX_HTTP_TBUCKET_REDIS_PAGE];
    char                          names[NGX_HTTP_TBUCKET_REDIS_PAGE]
                                       [NGX_HTTP_TBUCKET_REDIS_NAME];
    char                          values[NGX_HTTP_TBUCKET_REDIS_PAGE]
                                        [TB_CLIENT_VALUE_SIZE];
    uint8_t                       shards[NGX_HTTP_TBUCKET_REDIS_PAGE];
    uint8_t                       some[NGX_HTTP_TBUCKET_REDIS_SHARDS];
    char                          secret[2 * TB_SECRET_SIZE];
    char                          numbers[3][NGX_INT64_LEN + 1];
} ngx_http_tbucket_scratch_t;


/* What came with every reply to the script READ. */

typedef struct {
    tb_stream_id_t                last;     /* what is read is as of it */
    tb_stream_id_t                first;    /* entry that there is */
    long long                     length;   /* entries */
    ngx_str_t                     epoch;    /* empty: none */
    uint64_t                      time;     /* Redis', ms since 1970 */
    ngx_str_t                     cursor;
    redisReply                   *items;    /* id, value or nil, ... */
    uint32_t                      clients;  /* that there are */
} ngx_http_tbucket_view_t;


/* Most clients that are known here are not in Redis: is that right? */

typedef enum {
    NGX_HTTP_TBUCKET_GONE_NOT = 0,
    NGX_HTTP_TBUCKET_GONE_ASKED,
    NGX_HTTP_TBUCKET_GONE_REMOVED       /* yes, somebody has removed them */
} ngx_http_tbucket_gone_e;


/* Going through all clients, in pages. */

typedef struct {
    char                          cursor[24];   /* of HSCAN */
    uint64_t                      after;        /* of the registry */
    ngx_msec_t                    begin;        /* of this round */
    unsigned                      busy:1;       /* a page was asked for */
    unsigned                      full:1;       /* pages follow each other */
    unsigned                      done:1;       /* until the next round */
    ngx_uint_t                    declined;     /* pages in a row */
    ngx_http_tbucket_trouble_e    kind;
} ngx_http_tbucket_pass_t;


/* When a kind of command is to be tried again, after it was refused. */

typedef struct {
    ngx_msec_t                    until;
    ngx_msec_t                    delay;    /* 0: at once */
} ngx_http_tbucket_pause_t;


/* Buckets that are to be saved, of all shards; the first one's. */

typedef struct {
    tb_emptiest_t                 buckets;
    uint16_t                     *next;     /* of the same shard, or NONE */
    uint32_t                      slot;     /* where to go on gathering */
    uint32_t                      dealt;    /* to the shards */
    ngx_msec_t                    begin;    /* of the last time */
    unsigned                      gathering:1;
} ngx_http_tbucket_gathered_t;

#define NGX_HTTP_TBUCKET_REDIS_NONE   0xffff


typedef struct {
    uint16_t                      next;     /* bucket to be sent, or NONE */
    uint32_t                      sent;     /* buckets */
    uint64_t                      since;    /* Redis' ms: states have what the
                                               API had set by then */
    ngx_msec_t                    beat;     /* of the last sign of life */
    ngx_msec_t                    taken;    /* since when the name is; 0 */
    unsigned                      due:1;    /* to be sent; or under way */
    unsigned                      busy:1;
    unsigned                      saved:1;  /* Redis may have some of ours */
    unsigned                      restoring:1;
    char                          cursor[24];
    uint64_t                      expiry;   /* ms until all of it is full */
} ngx_http_tbucket_save_t;


typedef struct ngx_http_tbucket_redis_s  ngx_http_tbucket_redis_t;


/* What commands about the stream are sent with: so these can be forgotten. */

typedef struct {
    ngx_http_tbucket_rzone_t     *rz;
} ngx_http_tbucket_reading_t;


/* A shard of a zone in this process. */

struct ngx_http_tbucket_rzone_s {
    ngx_http_tbucket_zone_t      *zone;
    ngx_http_tbucket_mirror_t    *mirror;
    ngx_http_tbucket_redis_t     *redis;
    ngx_http_tbucket_rzone_t     *first;    /* shard of the zone */
    ngx_uint_t                    shard;
    ngx_str_t                     name;     /* in keys: "Z", or "Z.0", ... */

    ngx_str_t                     clients;
    ngx_str_t                     plans;    /* of the first one */
    ngx_str_t                     changes;
    ngx_str_t                     epoch;
    ngx_str_t                     guard;    /* of seeding */
    ngx_str_t                     tokens;
    ngx_str_t                     secret;
    ngx_str_t                     node;     /* who saves under that name */
    ngx_str_t                     staged;   /* token states on their way */
    ngx_str_t                     patched;  /* those that the API has set */
    ngx_str_t                     bucket;   /* of scope=global: one's, but */
    ngx_str_t                     nodes;    /*   for its hash; who leases; */
    ngx_str_t                     global_secret;    /* of these hashes */

    /* of the first one */
    ngx_str_t                     shards;   /* how many there are */
    ngx_msec_t                    agreed;   /* when that was asked last */
    unsigned                      agreeing:1;
    ngx_uint_t                    found;    /* shards that Redis has */
    ngx_uint_t                    awaited;  /* replies about these */
    uint64_t                      there;    /* clients in them */

    /* the rest is of the leader */
    unsigned                      leader:1;
    unsigned                      following:1;  /* the stream */
    unsigned                      seeding:1;
    unsigned                      seeded:1;     /* some clients were sent */
    unsigned                      ending:1;     /* and that was all */
    unsigned                      crowded:1;    /* too many ids at once */
    unsigned                      skip:1;       /* what the stream has */
    unsigned                      reseed:1;     /* whatever epoch there is */
    unsigned                      replan:1;     /* plans are to be read */
    ngx_gw_redis_t               *stream;       /* its own, or all shards' */
    ngx_http_tbucket_reading_t    reading;
    ngx_event_t                   retry;        /* or to look at the stream */
    ngx_msec_t                    asked;        /* for entries, since when */
    ngx_msec_t                    empty;        /* Redis is, since; 0 */
    ngx_msec_t                    begun;        /* anew in Redis; 0: never */
    ngx_uint_t                    declined;     /* changes, in a row */
    ngx_http_tbucket_gone_e       gone;
    uint32_t                      left;         /* clients, in Redis, then */
    ngx_msec_t                    evicted;      /* when it was told; or 0 */

    char                          seen[NGX_HTTP_TBUCKET_EPOCH_SIZE];
    uint64_t                      after;        /* of the registry, seeding */
    uint64_t                      next;         /* after the page under way */
    uint32_t                      plan;         /* likewise, of plans */
    uint32_t                      next_plan;
    tb_stream_id_t                upcoming;     /* position after a batch */

    ngx_http_tbucket_pass_t       scan;         /* what is in Redis */
    ngx_http_tbucket_pass_t       walk;         /* what is in memory: all
                                                   shards at the same time,
                                                   the first one leads */
    ngx_uint_t                    walking;      /* replies, of the first */
    ngx_uint_t                    walked;       /* clients, so far */
    ngx_uint_t                    known;        /* in the last round */
    ngx_http_tbucket_pass_t       pages;        /* plans, of the first one:
                                                   all in one page */
    unsigned                      missed:1;     /* not all of this round */
    unsigned                      again:1;      /* the page; of the first */
    ngx_http_tbucket_save_t       save;
    ngx_http_tbucket_gathered_t   gathered;     /* of the first one */
    uint32_t                      reported[64]; /* malformed values */
    ngx_uint_t                    nreported;

    /* of every worker */
    ngx_http_tbucket_pause_t      pause[NGX_HTTP_TBUCKET_TROUBLES];
};


struct ngx_http_tbucket_redis_s {
    ngx_gw_redis_conf_t           conf;
    ngx_http_tbucket_store_t     *store;
    ngx_log_t                    *log;
    uint64_t                      identity;     /* of this Redis and prefix */
    ngx_gw_redis_script_t         scripts[NGX_HTTP_TBUCKET_SCRIPTS];

    ngx_uint_t                    nshards;      /* of each zone */
    ngx_uint_t                    nzones;       /* times their shards */
    ngx_http_tbucket_rzone_t     *zones;        /* by zone and shard */

    ngx_http_tbucket_scratch_t   *scratch;
    ngx_gw_redis_t               *command;
    ngx_queue_t                   pending;      /* writes */
    ngx_queue_t                   changing;     /* PATCHes that are sent */
    ngx_event_t                   next;         /* for those that wait for
                                                   them */
    ngx_event_t                   ticker;
    ngx_msec_t                    tick;         /* of a leader */
    uint32_t                      demotions;    /* that were seen to */
    unsigned                      sending:1;    /* pending writes, just now */

    /* of the first zone's leader, as of the last INFO */
    unsigned                      informed:1;   /* of this connection */
    unsigned                      evicts:1;     /* any key, it may */
    ngx_int_t                     evicted;      /* keys, so far */
    char                          page[NGX_INT_T_LEN + 1];
};


/* Names the keys of a zone; NGX_ERROR: no memory. */

ngx_int_t ngx_http_tbucket_redis_keys(ngx_http_tbucket_rzone_t *rz,
    ngx_pool_t *pool);
void ngx_http_tbucket_redis_scripts(ngx_http_tbucket_redis_t *redis);

/* The shard that a client is in. */

ngx_uint_t ngx_http_tbucket_redis_shard(ngx_http_tbucket_redis_t *redis,
    const void *id, size_t len);

/* Whether this one is polled on the connection for commands. */

#define ngx_http_tbucket_redis_polls(rz)  ((rz)->redis->nshards > 1)

/* Whose stream a command was about. */

#define ngx_http_tbucket_redis_reading(data)                                 \
    (((ngx_http_tbucket_reading_t *) (data))->rz)

/* Begins a call of a script, with that many keys to follow. */

void ngx_http_tbucket_redis_begin(ngx_http_tbucket_redis_t *redis,
    ngx_http_tbucket_args_t *args, ngx_http_tbucket_script_e script,
    const char *nkeys);

static ngx_inline void
ngx_http_tbucket_redis_put(ngx_http_tbucket_args_t *args, const void *value,
    size_t len)
{
    args->value[args->n] = value;
    args->len[args->n++] = len;
}


#define ngx_http_tbucket_redis_str(args, str)                                \
    ngx_http_tbucket_redis_put(args, (str)->data, (str)->len)
#define ngx_http_tbucket_redis_literal(args, text)                           \
    ngx_http_tbucket_redis_put(args, text, sizeof(text) - 1)

/* The first arguments of READ, from keys to ARGV[1]; key: of what is read. */

void ngx_http_tbucket_redis_read(ngx_http_tbucket_rzone_t *rz,
    ngx_http_tbucket_args_t *args, ngx_str_t *key, const char *what);

/* Whether a reply is that word. */

ngx_uint_t ngx_http_tbucket_redis_is(redisReply *reply, const char *word);

/* Takes a reply to READ apart; NGX_ERROR if it is none. */

ngx_int_t ngx_http_tbucket_redis_view(ngx_http_tbucket_view_t *view,
    redisReply *reply);

/* views in a row that may be too old to be judged */
#define NGX_HTTP_TBUCKET_REDIS_DECLINED  10

/* Whether memory has neither clients nor plans. */

ngx_uint_t ngx_http_tbucket_redis_has_none(ngx_http_tbucket_zone_t *zone);

/* A full comparison of shard and Redis is due. */

void ngx_http_tbucket_redis_resync(ngx_http_tbucket_rzone_t *rz);

/* Begins with the stream again, on a new connection. */

void ngx_http_tbucket_redis_restart(ngx_http_tbucket_rzone_t *rz);

/* Redis' time, ms since 1970; our own as long as that is not known. */

uint64_t ngx_http_tbucket_redis_time(ngx_http_tbucket_rzone_t *rz);
void ngx_http_tbucket_redis_set_time(ngx_http_tbucket_rzone_t *rz,
    uint64_t time);


#endif /* NGX_HTTP_TBUCKET_REDIS_H */
