
/*
 * Hashing of addresses.  Each byte makes hash = (hash * 113 + byte) % 6271, so
 * all of an address make hash * a + b, which is its key.
 */


#include <stdlib.h>

#include "src/core/balance/lb_ip_hash.h"
#include "src/core/balance/lb_method.h"


#define LB_IP_HASH_START   89
#define LB_IP_HASH_FACTOR  113
#define LB_IP_HASH_PRIME   6271

/* servers that a request looks at, as with nginx, before it goes in turns */
#define LB_IP_HASH_TRIES   21


static bool lb_ip_hash_has(lb_roster_t *roster, uint32_t index);
static int lb_ip_hash_compare(const void *one, const void *two);
static uint32_t lb_ip_hash_find(const lb_ketama_t *ring, uint32_t place);


uint64_t
lb_ip_hash_key(const void *address, size_t length)
{
    size_t                i;
    uint32_t              a, b;
    const unsigned char  *byte;

    byte = address;
    a = 1;
    b = 0;

    for (i = 0; i < length; i++) {
        a = a * LB_IP_HASH_FACTOR % LB_IP_HASH_PRIME;
        b = (b * LB_IP_HASH_FACTOR + byte[i]) % LB_IP_HASH_PRIME;
    }

    return (uint64_t) a << 32 | b;
}


uint64_t
lb_ip_hash_members(lb_roster_t *roster)
{
    uint32_t      i, used;
    uint64_t      hash;
    lb_server_t  *server;

    hash = 0xcbf29ce484222325;
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {

        if (!lb_ip_hash_has(roster, i)) {
            continue;
        }

        server = lb_roster_server(roster, i);

        hash = (hash ^ i) * 0x100000001b3;
        hash = (hash ^ gw_load_relaxed(&server->weight)) * 0x100000001b3;
        hash = (hash ^ gw_load_relaxed(&server->rank)) * 0x100000001b3;
    }

    return hash;
}


void
lb_ip_hash_build(lb_ketama_t *ring, lb_roster_t *roster, uint32_t max)
{
    uint32_t     i, n, used;
    uint64_t     sum;
    lb_point_t  *points;

    ring->members = lb_ip_hash_members(roster);

    points = ring->points;
    used = lb_roster_used(roster);

    for (i = 0, n = 0; i < used && n < max; i++) {

        if (lb_ip_hash_has(roster, i)) {
            points[n].hash = gw_load_relaxed(&lb_roster_server(roster, i)
                                              ->rank);
            points[n].index = i;
            n++;
        }
    }

    qsort(points, n, sizeof(lb_point_t), lb_ip_hash_compare);

    /* what is beyond the prime is not met in any case */

    for (i = 0, sum = 0; i < n; i++) {
        sum += gw_load_relaxed(&lb_roster_server(roster, points[i].index)
                                ->weight);
        sum = (sum < UINT32_MAX) ? sum : UINT32_MAX;

        points[i].hash = (uint32_t) sum - 1;
    }

    ring->number = n;
}


uint32_t
lb_ip_hash(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask)
{
    uint32_t            i, a, b, hash, total, index;
    const lb_ketama_t  *ring;

    ring = ask->ring;

    if (ring == NULL || ring->number == 0
        || view->tier == &roster->view[0][1]
        || view->tier == &roster->view[1][1])
    {
        return lb_method_round_robin(roster, view, ask);
    }

    a = (uint32_t) (ask->key >> 32);
    b = (uint32_t) ask->key;
    total = ring->points[ring->number - 1].hash;
    total += (total < UINT32_MAX);
    hash = LB_IP_HASH_START;

    for (i = 0; i < LB_IP_HASH_TRIES; i++) {
        hash = (hash * a + b) % LB_IP_HASH_PRIME;
        index = ring->points[lb_ip_hash_find(ring, hash % total)].index;

        if (lb_candidate_fits(roster, view, ask, index)) {
            return index;
        }
    }

    return lb_method_round_robin(roster, view, ask);
}


static bool
lb_ip_hash_has(lb_roster_t *roster, uint32_t index)
{
    return (lb_roster_status(roster, index)
            & (LB_USED | LB_REMOVED | LB_BACKUP))
           == LB_USED;
}


/* by rank, which the hash is at first */

static int
lb_ip_hash_compare(const void *one, const void *two)
{
    const lb_point_t  *a, *b;

    a = one;
    b = two;

    if (a->hash != b->hash) {
        return (a->hash < b->hash) ? -1 : 1;
    }

    return (a->index < b->index) ? -1 : 1;
}


/* the first point at the place or behind it; there is one */

static uint32_t
lb_ip_hash_find(const lb_ketama_t *ring, uint32_t place)
{
    uint32_t  low, high, middle;

    low = 0;
    high = ring->number - 1;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (ring->points[middle].hash < place) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return low;
}
