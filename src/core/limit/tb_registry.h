
/*
 * The ids and limits of registered clients, in memory that several
 * processes share.  Only who manages clients looks here; requests find a
 * registered client's bucket, with the same limits, in the table.
 *
 * Memory
 *
 *     tb_registry_t header, then nheads chain heads (32 bits each), padded
 *     to 64 bytes, then ncells cells of 64 bytes.  An entry is one cell, and
 *     for ids above 31 bytes up to four more for the rest of the id.
 *
 *     first   next 4 | more 4 | lo 8 | hi 8 | limits 8 | len 1 | id 31
 *     more    more 4 | id 60
 *
 *     Cells are named by their number + 1, 0 being none.  All-zero memory is
 *     an empty registry; cells never used are never touched.
 *
 * Order
 *
 *     A chain is chosen by the upper bits of the hash and sorted by the
 *     hash, so that all chains one after the other are in order of the hash:
 *     a walk resumes from the last hash it has seen, whatever came and went.
 *
 * All functions: the caller holds the lock of the zone, so that loads need no
 * order; stores are in the order of the program (release), as a caller may be
 * killed between any two.  An entry is put in and taken out by one store.  A
 * caller that dies may leave up to five cells in no chain and on no list, and
 * the counts off by as much; nothing else is affected.
 */


#ifndef TB_REGISTRY_H
#define TB_REGISTRY_H


#include <stdatomic.h>
#include <stddef.h>

#include "src/core/limit/tb_bucket.h"
#include "src/core/limit/tb_hash.h"
#include "src/core/text/gw_id.h"


typedef struct {
    uint32_t          nheads;
    uint32_t          ncells;
    size_t            cells;       /* bytes from the header to the cells */

    _Atomic uint32_t  used;        /* cells that were ever in use */
    _Atomic uint32_t  free;        /* the first of a list of freed ones */
    _Atomic uint32_t  free_count;
    _Atomic uint32_t  entries;
} tb_registry_t;


/* An entry as the functions give it out. */

typedef struct {
    tb_hash_t         hash;
    tb_limits_t       limits;      /* with TB_LIMITS_REGISTERED */
    size_t            len;
    char              id[GW_ID_MAX];
} tb_registry_entry_t;


typedef enum {
    TB_REGISTRY_ADDED = 0,
    TB_REGISTRY_CHANGED,
    TB_REGISTRY_FULL
} tb_registry_status_t;


/* size bytes of zeroed memory aligned to 64 bytes; NULL: too small. */

tb_registry_t *tb_registry_create(void *mem, size_t size);

/* id: 1 .. GW_ID_MAX bytes, h its hash, limits its own limits. */

tb_registry_status_t tb_registry_set(tb_registry_t *reg, const tb_hash_t *h,
    const void *id, size_t len, tb_limits_t limits);

/* Returns whether there was such an entry. */

bool tb_registry_remove(tb_registry_t *reg, const tb_hash_t *h);

/* entry may be NULL.  Returns whether there is such an entry. */

bool tb_registry_find(const tb_registry_t *reg, const tb_hash_t *h,
    tb_registry_entry_t *entry);

/*
 * Finds the first entry whose hash.lo is above after; the very first one
 * for after = 0.  Looks at no more than *budget empty chains and takes what
 * it used from it.  Returns false at the end of the registry (*budget is not
 * 0 then), or when the budget is used up (*budget is 0 and entry->hash.lo is
 * where to go on after).
 */

bool tb_registry_next(const tb_registry_t *reg, uint64_t after,
    uint32_t *budget, tb_registry_entry_t *entry);

/*
 * Fills in up to max entries, one every stride bytes from entries on, whose
 * hash.lo is above *after; returns how many.  *after is where to go on.  *end
 * says that there are no more; if not, and there are fewer than max, the
 * budget was used up, as with tb_registry_next().
 */

size_t tb_registry_list(const tb_registry_t *reg, uint64_t *after,
    uint32_t budget, tb_registry_entry_t *entries, size_t stride, size_t max,
    bool *end);

/* Cells that are not in use, and cells that an id of len bytes takes. */

size_t tb_registry_room(const tb_registry_t *reg);
size_t tb_registry_cells(size_t len);


#endif /* TB_REGISTRY_H */
