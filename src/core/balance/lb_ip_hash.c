
/*
 * Hashing of addresses.  Each byte makes hash = (hash * 113 + byte) % 6271, so
 * all of an address make hash * a + b, which is its key.
 */


#include "src/core/balance/lb_ip_hash.h"
#include "src/core/balance/lb_method.h"


#define LB_IP_HASH_START   89
#define LB_IP_HASH_FACTOR  113
#define LB_IP_HASH_PRIME   6271

/* servers that a request looks at, as with nginx, before it goes in turns */
#define LB_IP_HASH_TRIES   21


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


void
lb_ip_hash_build(lb_ketama_t *ring, lb_roster_t *roster, uint32_t max,
    lb_point_t *spare)
{
    uint32_t     i, n, used;
    uint64_t     sum;
    lb_point_t  *points;

    ring->members = lb_ketama_members(roster);

    points = ring->points;
    used = lb_roster_used(roster);

    for (i = 0, n = 0; i < used && n < max; i++) {

        if (lb_ketama_has(roster, i)) {
            points[n].hash = gw_load_relaxed(&lb_roster_server(roster, i)
                                              ->rank);
            points[n].index = i;
            n++;
        }
    }

    /* by rank, which the hash is at first */

    lb_ketama_sort(points, spare, n);

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
        index = ring->points[lb_ketama_find(ring, hash % total)].index;

        if (lb_candidate_fits(roster, view, ask, index)) {
            return index;
        }
    }

    return lb_method_round_robin(roster, view, ask);
}
