
/*
 * What a cluster and Sentinels tell: the first two bytes are a slot, the rest
 * is a reply as it comes from the network, or the text of a redirection.
 */


#include <stdint.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/text/gw_redis_cluster.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_node(const gw_redis_node_t *node)
{
    fuzz_check(node->port >= 1 && node->port <= 65535);
    fuzz_check(memchr(node->name, '\0', sizeof(node->name)) != NULL);
}


static void
fuzz_reply(const redisReply *reply, unsigned slot)
{
    gw_redis_node_t  node;

    if (gw_redis_shards_find(reply, slot, slot & 1, &node)) {
        fuzz_node(&node);
    }

    if (gw_redis_slots_find(reply, slot, &node)) {
        fuzz_node(&node);
    }

    if (gw_redis_sentinel_find(reply, &node)) {
        fuzz_node(&node);
        fuzz_check(node.name[0] != '\0');
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void             *reply;
    unsigned          slot, moved;
    redisReader      *reader;
    gw_redis_node_t   node;

    if (size < 2) {
        return 0;
    }

    slot = ((unsigned) data[0] << 8 | data[1]) % GW_REDIS_SLOTS;
    data += 2;
    size -= 2;

    if (gw_redis_redirect((const char *) data, size, &moved, &node)
        != GW_REDIS_NOT_MOVED)
    {
        fuzz_check(moved < GW_REDIS_SLOTS);
        fuzz_node(&node);
    }

    fuzz_check(gw_redis_slot((const char *) data, size) < GW_REDIS_SLOTS);

    /* arrays of millions are kept away from here by their bounds */

    if (size > 4096 || memchr(data, '*', size) == NULL) {
        return 0;
    }

    reader = redisReaderCreate();
    fuzz_check(reader != NULL);

    reply = NULL;

    if (redisReaderFeed(reader, (const char *) data, size) == REDIS_OK
        && redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL)
    {
        fuzz_reply(reply, slot);
        freeReplyObject(reply);
    }

    redisReaderFree(reader);

    return 0;
}
