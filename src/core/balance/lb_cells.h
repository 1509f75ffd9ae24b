
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


#include "src/core/balance/lb_roster.h"


/* cells for each slot of a roster, if there is room */
#define LB_CELLS_EACH  256


/* The seed of a server, the same on every machine and after a restart. */
uint64_t lb_cells_seed(const void *name, size_t name_length,
    const void *host, size_t host_length);

/* The hash of a key. */
uint64_t lb_cells_key(const void *key, size_t length);

/* a race under way; all memory is the caller's */

typedef struct {
    uint16_t          *cells;        /* ncells; index of the owner */
    const uint16_t    *set;          /* number; indices of the runners */
    const uint32_t    *weights;      /* number */
    const uint64_t    *seeds;        /* number */
    uint32_t          *steps;        /* number; how far each one is */
    float             *times;        /* ncells; of the owner */
    uint32_t           number;
    uint32_t           ncells;       /* lb_cells_number() */
    uint32_t           shift;        /* of a random number, to a cell */
    uint32_t           turn;         /* whose it is in this round */
    double             round;        /* a round takes so long, */
    double             end;          /* and this one until then */
} lb_cells_t;


/* Cells of a roster, a power of two that depends on its size only. */
uint32_t lb_cells_number(const lb_roster_t *roster);

/*
 * Servers with equal seeds, as of an address listed twice, get others.  The
 * table is room for lb_cells_number() numbers.  Mutex.
 */
void lb_cells_part(lb_roster_t *roster, const uint16_t *set, uint64_t *seeds,
    uint32_t n, uint32_t *table);

/* Starts the race of the first number servers. */
void lb_cells_start(lb_cells_t *cells);

/*
 * Goes on with it, adding to *work what it does, until that reaches limit or
 * all cells have an owner; true: they have.
 */
bool lb_cells_step(lb_cells_t *cells, uint64_t *work, uint64_t limit);


#endif /* LB_CELLS_H */
