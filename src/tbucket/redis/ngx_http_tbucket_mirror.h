
/*
 * What the processes of one nginx share about how a shard of a zone and its
 * keys in Redis compare.  In the zone's shared memory, so that a reload keeps
 * it and a new zone begins with none of it.
 */


#ifndef NGX_HTTP_TBUCKET_MIRROR_H
#define NGX_HTTP_TBUCKET_MIRROR_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/common/ngx_gw_leader.h"
#include "src/core/gw_atomic.h"
#include "src/core/limit/tb_recent.h"


#define NGX_HTTP_TBUCKET_EPOCH_SIZE  40
#define NGX_HTTP_TBUCKET_TOKEN_SIZE  16     /* characters, no NUL */
#define NGX_HTTP_TBUCKET_REASON_SIZE  160


/* Whether Redis has the zone in as many shards as we do. */

typedef enum {
    NGX_HTTP_TBUCKET_AGREED_UNKNOWN = 0,
    NGX_HTTP_TBUCKET_AGREED,
    NGX_HTTP_TBUCKET_AGREED_NOT
} ngx_http_tbucket_agreed_e;


/* Kinds of commands, each of which Redis may refuse while others work. */

typedef enum {
    NGX_HTTP_TBUCKET_TROUBLE_WRITE = 0,
    NGX_HTTP_TBUCKET_TROUBLE_SHARDS,
    NGX_HTTP_TBUCKET_TROUBLE_STREAM,
    NGX_HTTP_TBUCKET_TROUBLE_SCAN,
    NGX_HTTP_TBUCKET_TROUBLE_WALK,
    NGX_HTTP_TBUCKET_TROUBLE_SEED,
    NGX_HTTP_TBUCKET_TROUBLE_BEAT,
    NGX_HTTP_TBUCKET_TROUBLE_SAVE,
    NGX_HTTP_TBUCKET_TROUBLE_STATES,
    NGX_HTTP_TBUCKET_TROUBLE_LEASE,
    NGX_HTTP_TBUCKET_TROUBLES
} ngx_http_tbucket_trouble_e;


/* Reasons that are told while a kind of command fails; more are not. */

#define NGX_HTTP_TBUCKET_REASONS  4

/* One kind of trouble; any worker, atomic. */

typedef struct {
    _Atomic uint32_t             active;   /* the last one was refused */

    /* of the first shard, for all */
    _Atomic uint32_t             told[NGX_HTTP_TBUCKET_REASONS];  /* hashes */
    _Atomic uint64_t             at;       /* ms, of the last refusal */
} ngx_http_tbucket_trouble_t;


/* Zeroed at first.  Written under the zone's mutex; atomic ones without. */

typedef struct ngx_http_tbucket_mirror_s {
    /* who reads the stream, compares and saves; by compare-and-swap */
    _Alignas(64) ngx_gw_leader_t  leader;

    /* of the first shard, for all: an ngx_http_tbucket_agreed_e */
    _Atomic uint32_t             agreed;
    _Atomic uint32_t             found;    /* shards; 0: no number */

    /* hash of the Redis and prefix that the rest is about; 0: none yet.  The
       workers of an earlier configuration, with another one, lead no more. */
    _Atomic uint64_t             store;

    /* random: whose the key of the node is */
    char                         token[NGX_HTTP_TBUCKET_TOKEN_SIZE];

    /* of the keys that memory was last brought in line with; empty: none */
    char                         epoch[NGX_HTTP_TBUCKET_EPOCH_SIZE];

    /* the stream's last entry that was applied */
    tb_stream_id_t               position;
    tb_recent_t                  recent;

    _Atomic uint64_t             clock;    /* Redis' time less ours, ms */
    _Atomic uint32_t             stale;    /* a full comparison is due */
    _Atomic uint32_t             restored; /* token states were read */
    _Atomic uint32_t             lost;     /* the loss of Redis was logged */
    _Atomic uint32_t             away;     /* so was that of some shards */
    _Atomic uint32_t             taken;    /* so was that of the node's name */
    _Atomic uint32_t             policy;   /* hash: Redis' policy was, if that
                                              may remove what is ours */

    /* Redis said READONLY: how often, and whether it has not taken a write
       since */
    _Atomic uint32_t             demotions;
    _Atomic uint32_t             demoted;

    ngx_http_tbucket_trouble_t   trouble[NGX_HTTP_TBUCKET_TROUBLES];
    _Atomic uint32_t             troubled; /* a line was logged, and none that
                                              it is over */

    /* why clients could not be given to an empty Redis, the last time */
    char                         unseeded[NGX_HTTP_TBUCKET_REASON_SIZE];
} ngx_http_tbucket_mirror_t;


#endif /* NGX_HTTP_TBUCKET_MIRROR_H */
