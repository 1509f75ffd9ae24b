
/*
 * Building the view of what is usable at one moment, in steps of bounded work
 * and in memory that nobody else uses: of a builder that dies nothing is left,
 * and of one that is late nothing is put in force.
 *
 *   lb_build_start()     mutex: notes servers, weights and what to build
 *   lb_build_step()      no lock: computes orders or cells, again and again
 *   lb_build_publish()   mutex: copies them and puts them in force
 */


#ifndef LB_BUILD_H
#define LB_BUILD_H


#include "src/core/balance/lb_cells.h"


/* of a tier */

typedef struct {
    uint16_t          *set;
    uint16_t          *order;
    uint32_t          *units;
    uint32_t          *weights;      /* of the set; scaled on the way */
    uint64_t          *seeds;
    uint32_t           number;       /* of the set */
    uint32_t           length;       /* of the order */
    uint64_t           sum;          /* of the weights, as they are */
} lb_build_tier_t;


typedef enum {
    LB_BUILD_TIER = 0,               /* a tier is begun, or all are done */
    LB_BUILD_ORDER,
    LB_BUILD_CELLS,
    LB_BUILD_DONE
} lb_build_state_t;


typedef struct {
    lb_roster_t       *roster;
    uint64_t           generation;   /* of the view that is in force */
    uint64_t           fingerprint;  /* of what is being built */
    uint32_t           against;
    bool               hashed;
    lb_build_state_t   state;
    uint32_t           tier;         /* under way */
    uint32_t           at;           /* in its order */
    uint64_t           work;         /* so far, each some ns */
    lb_build_tier_t    tiers[2];

    /* working space of one owner at a time */

    union {
        uint32_t      *members;      /* of the order */
        uint32_t      *steps;        /* of the race for cells */
    };

    union {
        void          *space;
        float         *times;        /* of the race for cells */
        uint32_t      *table;        /* of lb_cells_part() */
        struct lb_build_key_s
                      *keys;         /* by which servers are sorted */
    };

    uint16_t          *sids;         /* the index of ids */
    bool               sticky;       /* whether there is to be one */
    lb_order_t         order;
    lb_cells_t         cells;
} lb_build_t;


/* Bytes of memory for a build of the roster, aligned to LB_LINE. */
uint64_t lb_build_size(const lb_roster_t *roster);

/*
 * Begins a build in lb_build_size() bytes.  Servers that have become usable
 * begin their slow start.  Mutex.
 */
lb_build_t *lb_build_start(lb_roster_t *roster, void *memory);

/* Does about so much work; true: all has been done. */
bool lb_build_step(lb_build_t *build, uint32_t work);

/*
 * Puts the view in force when all has been done.  false: another one has been
 * published meanwhile, and stays.  Mutex.
 */
bool lb_build_publish(lb_build_t *build);

/* All three at once.  Mutex. */
void lb_build_whole(lb_roster_t *roster, void *memory);


#endif /* LB_BUILD_H */
