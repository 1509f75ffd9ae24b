
/*
 * The memory of a ledger (tb_ledger.h): its rows, entries and blocks.
 */


#ifndef TB_LEDGER_ROWS_H
#define TB_LEDGER_ROWS_H


#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/core/limit/tb_hash.h"


#define TB_LEDGER_BLOCK  64        /* entries */


typedef struct {
    _Alignas(64)
    _Atomic uint32_t   owner;      /* process id, 0: free; the lock */
    _Atomic uint32_t   slot;       /* its number among processes; the lock */
    _Atomic uint32_t   dead;       /* settled for; the lock */
    _Atomic uint32_t   change;     /* one up before and after each change */
    _Atomic uint64_t   lo;         /* of the last change */
    _Atomic uint64_t   hi;
    _Atomic uint32_t   shared;     /* places of the overflow bucket */
    _Atomic uint32_t   held;       /* all places, to be shown */
} tb_ledger_row_t;


typedef struct {
    _Atomic uint64_t   lo;         /* of the bucket; 0: free */
    _Atomic uint64_t   hi;
} tb_ledger_entry_t;


typedef struct {
    uint32_t           nrows;      /* set once */
    uint32_t           nblocks;

    /* what follows: rows; entries; the blocks' owners, a row plus 1, 0: free,
       by compare-and-swap */
} tb_ledger_t;


static inline tb_ledger_row_t *
tb_ledger_row(tb_ledger_t *l, uint32_t i)
{
    return (tb_ledger_row_t *) ((char *) l + 64) + i;
}


static inline tb_ledger_entry_t *
tb_ledger_entry(tb_ledger_t *l, uint32_t i)
{
    return (tb_ledger_entry_t *) tb_ledger_row(l, l->nrows) + i;
}


static inline _Atomic uint32_t *
tb_ledger_block(tb_ledger_t *l, uint32_t i)
{
    return (_Atomic uint32_t *) tb_ledger_entry(l, l->nblocks
                                                   * TB_LEDGER_BLOCK) + i;
}


/* The overflow bucket in rows; no other hash is thought to be this one. */

#define TB_LEDGER_OVERFLOW  ((tb_hash_t) { 1, 0 })

static inline bool
tb_ledger_is_overflow(const tb_hash_t *h)
{
    return h->lo == 1 && h->hi == 0;
}


#endif /* TB_LEDGER_ROWS_H */
