
/*
 * The ring of points: making it, and looking for a key's.
 */


#include <string.h>

#include "src/core/balance/lb_hash.h"
#include "src/core/balance/lb_ketama.h"
#include "src/core/balance/lb_method.h"


/* points that a request looks at, as with nginx, before it goes in turns */
#define LB_KETAMA_TRIES  20


static uint64_t lb_ketama_weights(lb_roster_t *roster);
static uint32_t lb_ketama_add(lb_point_t *points, uint32_t n,
    const lb_identity_t *identity, uint32_t index);
static uint32_t lb_ketama_base(const lb_identity_t *identity);
static uint32_t lb_ketama_crc(uint32_t crc, const void *data, size_t length);


uint64_t
lb_ketama_key(const void *key, size_t length)
{
    return lb_ketama_crc(UINT32_MAX, key, length) ^ UINT32_MAX;
}


uint64_t
lb_ketama_members(lb_roster_t *roster)
{
    uint32_t      i, used;
    uint64_t      hash;
    lb_server_t  *server;

    hash = 0xcbf29ce484222325;
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {

        if (!lb_ketama_has(roster, i)) {
            continue;
        }

        server = lb_roster_server(roster, i);

        hash = (hash ^ i) * 0x100000001b3;
        hash = (hash ^ gw_load_relaxed(&server->weight)) * 0x100000001b3;
        hash = (hash ^ gw_load_relaxed(&server->seed)) * 0x100000001b3;
        hash = (hash ^ gw_load_relaxed(&server->rank)) * 0x100000001b3;
    }

    return hash;
}


uint32_t
lb_ketama_points(lb_roster_t *roster)
{
    uint64_t  weights;

    weights = lb_ketama_weights(roster);

    return (weights < LB_KETAMA_MAX / LB_KETAMA_POINTS)
           ? (uint32_t) weights * LB_KETAMA_POINTS : LB_KETAMA_MAX;
}


void
lb_ketama_build(lb_ketama_t *ring, lb_roster_t *roster, uint32_t max,
    lb_point_t *spare)
{
    uint32_t  i, k, n, used;
    uint64_t  weights, points;

    ring->members = lb_ketama_members(roster);
    ring->number = 0;

    weights = lb_ketama_weights(roster);
    used = lb_roster_used(roster);

    n = 0;

    for (i = 0; i < used; i++) {

        if (!lb_ketama_has(roster, i)) {
            continue;
        }

        points = gw_load_relaxed(&lb_roster_server(roster, i)->weight);
        points *= LB_KETAMA_POINTS;

        if (weights * LB_KETAMA_POINTS > max) {
            points = points * max / (weights * LB_KETAMA_POINTS);
        }

        points = (points < max - n) ? points : max - n;

        n += lb_ketama_add(ring->points + n, (uint32_t) points,
                           lb_roster_identity(roster, i), i);
    }

    lb_ketama_sort(ring->points, spare, n);

    for (i = 0, k = 0; i < n; i++) {

        if (k == 0 || ring->points[k - 1].hash != ring->points[i].hash) {
            ring->points[k++] = ring->points[i];
        }
    }

    ring->number = k;
}


uint32_t
lb_ketama(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask)
{
    uint32_t            i, at, index;
    const lb_ketama_t  *ring;

    ring = ask->ring;

    if (ring == NULL || ring->number == 0
        || view->tier == &roster->view[0][1]
        || view->tier == &roster->view[1][1])
    {
        return lb_method_round_robin(roster, view, ask);
    }

    at = lb_ketama_find(ring, (uint32_t) ask->key);

    for (i = 0; i < LB_KETAMA_TRIES; i++) {
        index = ring->points[(at + i) % ring->number].index;

        if (lb_candidate_fits(roster, view, ask, index)
            && lb_hash_has_room(roster, view, ask, index))
        {
            return index;
        }
    }

    return lb_method_round_robin(roster, view, ask);
}


static uint64_t
lb_ketama_weights(lb_roster_t *roster)
{
    uint32_t  i, used;
    uint64_t  weights;

    weights = 0;
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {

        if (lb_ketama_has(roster, i)) {
            weights += gw_load_relaxed(&lb_roster_server(roster, i)->weight);
        }
    }

    return weights;
}


static uint32_t
lb_ketama_add(lb_point_t *points, uint32_t n, const lb_identity_t *identity,
    uint32_t index)
{
    uint32_t       i, hash, base;
    unsigned char  byte[4];

    base = lb_ketama_base(identity);
    hash = 0;

    for (i = 0; i < n; i++) {
        byte[0] = (unsigned char) hash;
        byte[1] = (unsigned char) (hash >> 8);
        byte[2] = (unsigned char) (hash >> 16);
        byte[3] = (unsigned char) (hash >> 24);

        hash = lb_ketama_crc(base, byte, 4) ^ UINT32_MAX;

        points[i].hash = hash;
        points[i].index = index;
    }

    return n;
}


/* The name in the server line, taken apart: HOST \0 PORT, or a path. */

static uint32_t
lb_ketama_base(const lb_identity_t *identity)
{
    size_t       length, host, port;
    uint32_t     crc;
    const char  *text;

    text = identity->host;
    length = identity->host_length;

    if (length >= 5 && memcmp(text, "unix:", 5) == 0) {
        text += 5;
        length -= 5;
        port = length;

    } else {
        for (port = length;
             port > 0 && text[port - 1] >= '0' && text[port - 1] <= '9';
             port--)
        {
            /* void */
        }

        if (port == 0 || text[port - 1] != ':') {
            port = length;
        }
    }

    host = (port < length || (port > 0 && text[port - 1] == ':'))
           ? port - 1 : length;

    crc = lb_ketama_crc(UINT32_MAX, text, host);
    crc = lb_ketama_crc(crc, "", 1);

    return lb_ketama_crc(crc, text + port, length - port);
}


/* by digits of the hash; four passes: it ends in points */

void
lb_ketama_sort(lb_point_t *points, lb_point_t *spare, uint32_t n)
{
    uint32_t     i, shift;
    uint32_t     at[257];
    lb_point_t  *from, *to, *swap;

    from = points;
    to = spare;

    for (shift = 0; shift < 32; shift += 8) {
        memset(at, 0, sizeof(at));

        for (i = 0; i < n; i++) {
            at[(from[i].hash >> shift & 0xff) + 1]++;
        }

        for (i = 1; i < 257; i++) {
            at[i] += at[i - 1];
        }

        for (i = 0; i < n; i++) {
            to[at[from[i].hash >> shift & 0xff]++] = from[i];
        }

        swap = from;
        from = to;
        to = swap;
    }

    /* four passes end where they began */
}


uint32_t
lb_ketama_find(const lb_ketama_t *ring, uint32_t hash)
{
    uint32_t  low, high, middle;

    low = 0;
    high = ring->number;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (ring->points[middle].hash < hash) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return low;
}


/* without the inversions at the begin and the end */

static uint32_t
lb_ketama_crc(uint32_t crc, const void *data, size_t length)
{
    const unsigned char    *p = data;
    static const uint32_t  table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
        0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c
    };

    while (length--) {
        crc ^= *p++;
        crc = table[crc & 0xf] ^ (crc >> 4);
        crc = table[crc & 0xf] ^ (crc >> 4);
    }

    return crc;
}
