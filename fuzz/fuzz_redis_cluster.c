
/*
 * What a cluster and Sentinels tell: the first two bytes are a slot, the rest
 * are replies as they come from the network, or the text of a redirection.
 */


#include <stdint.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/text/gw_redis_bound.h"
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


/* As from a connection that gives two halves, until there is an error. */

static void
fuzz_read(const uint8_t *data, size_t size, unsigned slot)
{
    int                rc;
    size_t             part, end;
    redisReply        *reply;
    redisReader       *reader;
    gw_redis_bound_t   bound = { .awaited = true };

    reader = redisReaderCreate();
    fuzz_check(reader != NULL);

    gw_redis_bound(&bound, reader);

    rc = REDIS_OK;

    for (part = 0; part < 2 && rc == REDIS_OK; part++) {
        end = (part == 0) ? size / 2 : size - size / 2;

        rc = redisReaderFeed(reader, (const char *) data, end);
        data += end;

        while (rc == REDIS_OK) {
            if (!gw_redis_bound_reply(&bound, reader, &reply)) {
                fuzz_check(bound.error != NULL && bound.error[0] != '\0');
                rc = REDIS_ERR;
            }

            fuzz_check(bound.size <= bound.most);

            if (reply == NULL) {
                break;
            }

            fuzz_reply(reply, slot);
            freeReplyObject(reply);
        }
    }

    redisReaderFree(reader);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned          slot, moved;
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

    if (size <= 4096) {
        fuzz_read(data, size, slot);
    }

    return 0;
}
