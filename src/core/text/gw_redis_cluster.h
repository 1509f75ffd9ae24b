
/*
 * What a client of a Redis cluster has to know: the slot of a key and of a
 * command, who serves a slot, and where a node sends the client instead.
 * Replies are hiredis' trees, of RESP2; nothing is called there.
 */


#ifndef GW_REDIS_CLUSTER_H
#define GW_REDIS_CLUSTER_H


#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

#include "src/core/text/gw_redis_url.h"


#define GW_REDIS_SLOTS  16384


/* A node; the name is "" where it is that of the node which was asked. */

typedef struct {
    char                 name[GW_REDIS_NAME_MAX + 1];
    unsigned             port;
} gw_redis_node_t;


typedef enum {
    GW_REDIS_NOT_MOVED = 0,
    GW_REDIS_MOVED,             /* for good */
    GW_REDIS_ASK                /* this once, after ASKING */
} gw_redis_redirect_t;


/* 0 .. GW_REDIS_SLOTS - 1, by the key's hash tag, if it has one. */

unsigned gw_redis_slot(const char *key, size_t len);

/*
 * The slot of the first key of a command, or -1: it has none.  Knows EVAL,
 * EVALSHA and XREAD; of all others but those without keys, the key comes
 * next to the name.
 */

int gw_redis_command_slot(unsigned argc, const char *const *argv,
    const size_t *argvlen);

/* Takes an error apart; if it is a redirection, slot and node are set. */

gw_redis_redirect_t gw_redis_redirect(const char *text, size_t len,
    unsigned *slot, gw_redis_node_t *node);

/*
 * Finds the master of a slot in the reply to CLUSTER SHARDS, or to CLUSTER
 * SLOTS.  Returns false if there is none, or the reply is no such one.  With
 * tls, the port for TLS is taken, where one is told.
 */

bool gw_redis_shards_find(const redisReply *reply, unsigned slot, bool tls,
    gw_redis_node_t *node);
bool gw_redis_slots_find(const redisReply *reply, unsigned slot,
    gw_redis_node_t *node);

/*
 * Where the reply to SENTINEL GET-MASTER-ADDR-BY-NAME says that the master
 * is; false if it does not.
 */

bool gw_redis_sentinel_find(const redisReply *reply, gw_redis_node_t *node);


#endif /* GW_REDIS_CLUSTER_H */
