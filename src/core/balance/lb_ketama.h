
/*
 * Consistent hashing by points on a ring, the same that nginx's "hash ...
 * consistent" and Cache::Memcached::Fast compute: 160 for each unit of weight,
 * chained CRC-32s of the host, a zero and the port.  A key belongs to the
 * server of the first point at or after its own CRC-32.
 *
 * A ring has all servers but backups, usable or not; it is of one process.
 */


#ifndef LB_KETAMA_H
#define LB_KETAMA_H


#include "src/core/balance/lb_candidate.h"


/* points of a server of weight 1, and of a ring; above it servers have fewer */
#define LB_KETAMA_POINTS  160
#define LB_KETAMA_MAX     1048576


typedef struct {
    uint32_t           hash;
    uint32_t           index;        /* of the slot */
} lb_point_t;


struct lb_ketama_s {
    uint64_t           members;      /* lb_ketama_members() it is made of */
    uint32_t           number;
    lb_point_t         points[];     /* by their hashes, each one once */
};


/* CRC-32 of a key, for lb_ask_t.key. */
uint64_t lb_ketama_key(const void *key, size_t length);

/* Whether a ring has the server, here and in lb_ip_hash.h. */

static inline bool
lb_ketama_has(lb_roster_t *roster, uint32_t index)
{
    return (lb_roster_status(roster, index)
            & (LB_USED | LB_REMOVED | LB_BACKUP))
           == LB_USED;
}


/* What such a ring is made of, as one number. */
uint64_t lb_ketama_members(lb_roster_t *roster);

/* The points of a ring, at most. */
uint32_t lb_ketama_points(lb_roster_t *roster);

/*
 * Makes a ring with room for max points; spare is room for as many.  Some
 * 20 ns a point.
 */
void lb_ketama_build(lb_ketama_t *ring, lb_roster_t *roster, uint32_t max,
    lb_point_t *spare);

/* By their hashes; of equal ones the order stays.  spare: room for n. */
void lb_ketama_sort(lb_point_t *points, lb_point_t *spare, uint32_t n);

/* The first point at that hash or behind it; ring->number: there is none. */
uint32_t lb_ketama_find(const lb_ketama_t *ring, uint32_t hash);

/*
 * The server of the key's point in ask->ring, or of one of the next ones; in
 * turns if there is no ring, and of backups.
 */
uint32_t lb_ketama(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask);


#endif /* LB_KETAMA_H */
