
/*
 * Consistent hashing: a table of cells, each of which belongs to one server.
 * The hash of a key chooses a cell, and with it the server.
 *
 * Who owns a cell is decided by a race.  Each server runs through cells in a
 * random sequence of its own, a server of weight w taking w cells in a unit
 * of time, and a cell belongs to whoever gets there first.  So a server
 * wins a share in proportion to its weight; one that leaves gives its cells
 * to those who came second, and one that comes takes its own, and nothing
 * else changes.  (This is weighted rendezvous hashing, Thaler and
 * Ravishankar 1998, computed for all cells at once.)
 */


#ifndef LB_CELLS_H
#define LB_CELLS_H


#include "lb_roster.h"


/* cells for each slot of a roster, if there is room */
#define LB_CELLS_EACH  256


/* The seed of a server, the same on every machine and after a restart. */
uint64_t lb_cells_seed(const void *name, size_t name_length,
    const void *host, size_t host_length);

/* The hash of a key. */
uint64_t lb_cells_key(const void *key, size_t length);

/*
 * Fills the order of a tier with cells: the servers are the first n of its
 * set.  Returns the number of cells, a power of two that depends on the
 * roster's size only; 0 if n is 0.  Mutex.
 */
uint32_t lb_cells_build(lb_roster_t *roster, const lb_tier_t *tier,
    uint32_t n);


#endif /* LB_CELLS_H */
