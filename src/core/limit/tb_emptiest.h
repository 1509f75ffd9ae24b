
/*
 * The emptiest of many buckets: gathers at most so many of those that are
 * not full and, when there are more, keeps those with the least of their
 * capacity left.  A binary heap with the fullest on top (J. Williams,
 * "Algorithm 232: Heapsort", Communications of the ACM 7(6), 1964).
 */


#ifndef TB_EMPTIEST_H
#define TB_EMPTIEST_H


#include "src/core/limit/tb_take.h"


typedef struct {
    tb_hash_t             hash;
    tb_limits_t           limits;      /* in force for the bucket */
    int64_t               tokens;      /* µtok at "at" */
    uint64_t              at;          /* of the caller's clock, ms */
} tb_emptiest_entry_t;


typedef struct {
    tb_emptiest_entry_t  *entries;     /* the caller's memory */
    uint32_t              size;
    uint32_t              count;
} tb_emptiest_t;


static inline void
tb_emptiest_init(tb_emptiest_t *e, tb_emptiest_entry_t *entries,
    uint32_t size)
{
    e->entries = entries;
    e->size = size;
    e->count = 0;
}


/* Adds one, unless there are size of them that are emptier. */

void tb_emptiest_add(tb_emptiest_t *e, const tb_emptiest_entry_t *entry);

/*
 * Adds the buckets of slots [from, from + n) of a table that are not full at
 * now.  Lock-free: each is as it was at some instant during the call.
 */

void tb_emptiest_gather(tb_emptiest_t *e, tb_table_t *t, uint32_t from,
    uint32_t n, uint64_t now, tb_limits_t dflt);


#endif /* TB_EMPTIEST_H */
