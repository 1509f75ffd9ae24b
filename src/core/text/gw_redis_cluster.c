
/*
 * Slots, nodes and redirections; see gw_redis_cluster.h.
 *
 * CLUSTER SHARDS: [ ["slots", [first, last, ...],
 *                    "nodes", [ ["port", n, "endpoint", host, ...] ] ] ]
 * CLUSTER SLOTS:  [ [first, last, [host, port, ...], replicas ...] ]
 */


#include "src/core/text/gw_redis_cluster.h"
#include "src/core/text/gw_piece.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>


static bool gw_redis_is(const char *text, size_t len, const char *word);
static const redisReply *gw_redis_field(const redisReply *map,
    const char *name, int type);
static bool gw_redis_covers(const redisReply *ranges, unsigned slot);
static bool gw_redis_node(const redisReply *host, long long port,
    gw_redis_node_t *node);
static bool gw_redis_node_name(const char *text, size_t len,
    gw_redis_node_t *node);


/* CRC16 of XMODEM: polynomial 0x1021, from 0. */

unsigned
gw_redis_slot(const char *key, size_t len)
{
    size_t       i, bit;
    uint16_t     crc;
    const char  *open, *close;

    open = memchr(key, '{', len);

    if (open != NULL) {
        open++;
        close = memchr(open, '}', len - (size_t) (open - key));

        if (close != NULL && close != open) {
            key = open;
            len = (size_t) (close - open);
        }
    }

    crc = 0;

    for (i = 0; i < len; i++) {
        crc = (uint16_t) (crc ^ ((unsigned char) key[i] << 8));

        for (bit = 0; bit < 8; bit++) {
            crc = (uint16_t) ((crc & 0x8000) ? (crc << 1) ^ 0x1021
                                             : crc << 1);
        }
    }

    return crc % GW_REDIS_SLOTS;
}


int
gw_redis_command_slot(unsigned argc, const char *const *argv,
    const size_t *argvlen)
{
    unsigned            i, key;
    const char *const  *name;

    static const char *const  keyless[] = {
        "ACL", "AUTH", "CLIENT", "CLUSTER", "CONFIG", "INFO", "PING", "ROLE",
        "SCRIPT", "SELECT", "TIME", NULL
    };

    if (argc < 2) {
        return -1;
    }

    for (name = keyless; *name != NULL; name++) {
        if (gw_redis_is(argv[0], argvlen[0], *name)) {
            return -1;
        }
    }

    key = 1;

    if (gw_redis_is(argv[0], argvlen[0], "EVALSHA")
        || gw_redis_is(argv[0], argvlen[0], "EVAL"))
    {
        key = 3;

    } else if (gw_redis_is(argv[0], argvlen[0], "XREAD")) {

        for (i = 1; i < argc; i++) {
            if (gw_redis_is(argv[i], argvlen[i], "STREAMS")) {
                break;
            }
        }

        key = i + 1;
    }

    return key < argc ? (int) gw_redis_slot(argv[key], argvlen[key]) : -1;
}


gw_redis_redirect_t
gw_redis_redirect(const char *text, size_t len, unsigned *slot,
    gw_redis_node_t *node)
{
    const char           *p;
    gw_piece_t            piece, number;
    gw_redis_redirect_t   kind;

    piece.start = text;
    piece.end = text + len;

    kind = gw_piece_begins(&piece, "MOVED ") ? GW_REDIS_MOVED
           : gw_piece_begins(&piece, "ASK ") ? GW_REDIS_ASK
           : GW_REDIS_NOT_MOVED;

    if (kind == GW_REDIS_NOT_MOVED) {
        return GW_REDIS_NOT_MOVED;
    }

    number = piece;
    number.end = gw_piece_find(piece, ' ');

    if (number.end == piece.end
        || gw_piece_number(number, GW_REDIS_SLOTS - 1, slot) != 0)
    {
        return GW_REDIS_NOT_MOVED;
    }

    piece.start = number.end + 1;

    /* an IPv6 address has colons, too, and no brackets */

    for (p = piece.end; p > piece.start && p[-1] != ':'; p--) { /* void */ }

    if (p == piece.start) {
        return GW_REDIS_NOT_MOVED;
    }

    number.start = p;
    number.end = piece.end;

    if (gw_piece_number(number, 65535, &node->port) != 0 || node->port == 0
        || !gw_redis_node_name(piece.start, (size_t) (p - 1 - piece.start),
                               node))
    {
        return GW_REDIS_NOT_MOVED;
    }

    return kind;
}


bool
gw_redis_shards_find(const redisReply *reply, unsigned slot, bool tls,
    gw_redis_node_t *node)
{
    size_t             i, n;
    const redisReply  *nodes, *one, *role, *port, *host, *health;
    gw_redis_node_t    candidate;
    bool               found;

    found = false;

    if (reply->type != REDIS_REPLY_ARRAY) {
        return false;
    }

    for (i = 0; i < reply->elements; i++) {
        nodes = gw_redis_field(reply->element[i], "nodes", REDIS_REPLY_ARRAY);

        if (nodes == NULL
            || !gw_redis_covers(gw_redis_field(reply->element[i], "slots",
                                               REDIS_REPLY_ARRAY), slot))
        {
            continue;
        }

        for (n = 0; n < nodes->elements; n++) {
            one = nodes->element[n];
            role = gw_redis_field(one, "role", REDIS_REPLY_STRING);

            if (role == NULL
                || !gw_redis_is(role->str, (size_t) role->len, "master"))
            {
                continue;
            }

            port = tls ? gw_redis_field(one, "tls-port", REDIS_REPLY_INTEGER)
                       : NULL;

            if (port == NULL) {
                port = gw_redis_field(one, "port", REDIS_REPLY_INTEGER);
            }

            host = gw_redis_field(one, "endpoint", 0);
            health = gw_redis_field(one, "health", REDIS_REPLY_STRING);

            if (port == NULL
                || !gw_redis_node(host, port->integer, &candidate))
            {
                continue;
            }

            /* one that has failed serves until another takes its place */

            if (!found || (health != NULL
                           && gw_redis_is(health->str, (size_t) health->len,
                                          "online")))
            {
                *node = candidate;
                found = true;
            }
        }
    }

    return found;
}


bool
gw_redis_slots_find(const redisReply *reply, unsigned slot,
    gw_redis_node_t *node)
{
    size_t             i;
    const redisReply  *one, *master;

    if (reply->type != REDIS_REPLY_ARRAY) {
        return false;
    }

    for (i = 0; i < reply->elements; i++) {
        one = reply->element[i];

        if (one->type != REDIS_REPLY_ARRAY || one->elements < 3
            || one->element[0]->type != REDIS_REPLY_INTEGER
            || one->element[1]->type != REDIS_REPLY_INTEGER
            || one->element[0]->integer > (long long) slot
            || one->element[1]->integer < (long long) slot)
        {
            continue;
        }

        master = one->element[2];

        if (master->type == REDIS_REPLY_ARRAY && master->elements >= 2
            && master->element[1]->type == REDIS_REPLY_INTEGER
            && gw_redis_node(master->element[0], master->element[1]->integer,
                             node))
        {
            return true;
        }
    }

    return false;
}


bool
gw_redis_sentinel_find(const redisReply *reply, gw_redis_node_t *node)
{
    unsigned           port;
    gw_piece_t         number;
    const redisReply  *host, *text;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        return false;
    }

    host = reply->element[0];
    text = reply->element[1];

    if (host->type != REDIS_REPLY_STRING || host->len == 0
        || text->type != REDIS_REPLY_STRING)
    {
        return false;
    }

    number.start = text->str;
    number.end = text->str + text->len;

    return gw_piece_number(number, 65535, &port) == 0
           && gw_redis_node(host, port, node) && node->name[0] != '\0';
}


static bool
gw_redis_is(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}


/* The value of a field of a map, if it has that type; 0: any. */

static const redisReply *
gw_redis_field(const redisReply *map, const char *name, int type)
{
    size_t             i;
    const redisReply  *key, *value;

    if (map->type != REDIS_REPLY_ARRAY) {
        return NULL;
    }

    for (i = 0; i + 1 < map->elements; i += 2) {
        key = map->element[i];
        value = map->element[i + 1];

        if (key->type == REDIS_REPLY_STRING
            && gw_redis_is(key->str, (size_t) key->len, name))
        {
            return (type == 0 || value->type == type) ? value : NULL;
        }
    }

    return NULL;
}


static bool
gw_redis_covers(const redisReply *ranges, unsigned slot)
{
    size_t  i;

    if (ranges == NULL) {
        return false;
    }

    for (i = 0; i + 1 < ranges->elements; i += 2) {

        if (ranges->element[i]->type == REDIS_REPLY_INTEGER
            && ranges->element[i + 1]->type == REDIS_REPLY_INTEGER
            && ranges->element[i]->integer <= (long long) slot
            && ranges->element[i + 1]->integer >= (long long) slot)
        {
            return true;
        }
    }

    return false;
}


/* A node may not know its own name, and say nothing, or "?". */

static bool
gw_redis_node(const redisReply *host, long long port, gw_redis_node_t *node)
{
    if (port < 1 || port > 65535) {
        return false;
    }

    node->port = (unsigned) port;

    if (host == NULL || host->type == REDIS_REPLY_NIL) {
        node->name[0] = '\0';
        return true;
    }

    return host->type == REDIS_REPLY_STRING
           && gw_redis_node_name(host->str, (size_t) host->len, node);
}


static bool
gw_redis_node_name(const char *text, size_t len, gw_redis_node_t *node)
{
    size_t  i;

    if (len == 1 && *text == '?') {
        len = 0;
    }

    if (len > GW_REDIS_NAME_MAX) {
        return false;
    }

    for (i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }

    memcpy(node->name, text, len);
    node->name[len] = '\0';

    return true;
}
