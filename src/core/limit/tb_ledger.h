
/*
 * Which places (TB_LIMITS_PLACES) each process has taken for its requests in
 * flight, so that those of one that was killed at any instruction come back.
 * Not here: which process is dead, and the lock, which is the caller's.
 *
 *     rows      one a process.  Between the two stores of a take or a return,
 *               the bucket's word and the entry, change is odd and the row
 *               says whose bucket it is.
 *     blocks    of entries, which a process claims when it has no free one
 *     entries   one a request: the hash of the bucket, 0: free
 *
 * Requests that share the overflow bucket have no entries; their number is in
 * the row.  Where no entry is free a request becomes one of them.  That bucket
 * is never leased, whatever the others are.
 *
 * Rows, but for owner and dead, and the entries of a block are written by
 * their owner alone.  Who settles for a dead one gives back entry by entry, as
 * changes of its own row; only of the bucket that the dead one was just
 * changing it has to count the entries of all.  All of it may be done again.
 */


#ifndef TB_LEDGER_H
#define TB_LEDGER_H


#include "src/core/limit/tb_ledger_rows.h"
#include "src/core/limit/tb_table_edit.h"


#define TB_LEDGER_NONE   UINT32_MAX
#define TB_LEDGER_SHARED (UINT32_MAX - 1)


/* What a process has for itself, in memory of its own. */

typedef struct {
    tb_ledger_t       *ledger;
    uint32_t           row;
    uint32_t           free;       /* the first free entry */
    uint32_t          *next;       /* of each entry, the next free one */
} tb_ledger_own_t;


/* Bytes for so many processes and blocks. */

size_t tb_ledger_size(uint32_t nrows, uint32_t nblocks);

/* Makes a ledger of zeroed memory, aligned to 64 bytes. */

tb_ledger_t *tb_ledger_create(void *mem, uint32_t nrows, uint32_t nblocks);

/*
 * Claims a row for a process; slot is any number that no two living ones
 * share; next: memory for nblocks * TB_LEDGER_BLOCK numbers.  Returns false if
 * no row is free.  The lock.
 */

bool tb_ledger_claim(tb_ledger_t *l, tb_ledger_own_t *own, uint32_t owner,
    uint32_t slot, uint32_t *next);

/*
 * The decision for a request that is to be in flight: tb_table_take(), or if
 * locked tb_table_insert(), of one place.  TB_PASS: *entry is what
 * tb_ledger_return() gives back; else TB_LEDGER_NONE.
 */

tb_verdict_t tb_ledger_take(tb_ledger_own_t *own, tb_table_t *t,
    const tb_hash_t *h, uint64_t now, tb_limits_t dflt, bool locked,
    tb_result_t *result, uint32_t *entry);

/*
 * The same where tb_table_look() has found the place free, at the same now.
 * false: somebody else has changed the bucket since, or there is no entry.
 */

bool tb_ledger_take_seen(tb_ledger_own_t *own, const tb_hash_t *h,
    uint64_t now, const tb_result_t *seen, uint32_t *entry);

/*
 * The same as tb_ledger_take() where places are leased (tb_places.h), of a
 * bucket that is in the table, or else TB_ABSENT.  part: limits of the overflow
 * bucket, for a request that has no entry.  Lock-free.
 */

tb_verdict_t tb_ledger_take_leased(tb_ledger_own_t *own, tb_table_t *t,
    const tb_hash_t *h, uint64_t now, tb_limits_t dflt, tb_limits_t part,
    tb_result_t *result, uint32_t *entry);

/*
 * Takes a place of the overflow bucket, of those limits, which are not leased:
 * for want of an entry, or of a slot.
 */

tb_verdict_t tb_ledger_share(tb_ledger_own_t *own, tb_table_t *t,
    uint64_t now, tb_limits_t limits, tb_result_t *result, uint32_t *entry);

/*
 * The request is over.  slot: where the bucket was, or NULL where that is not
 * known, or places are leased.  Lock-free.
 */

void tb_ledger_return(tb_ledger_own_t *own, tb_table_t *t, uint32_t entry,
    tb_slot_t *slot, uint64_t now, tb_limits_t dflt);

/*
 * A process that goes gives its row up, when none of its requests is left.
 * The lock.
 */

void tb_ledger_leave(tb_ledger_own_t *own);

/*
 * Gives back what a dead process held, n blocks from *at on, which is 0 at
 * first and goes on, as changes of the caller's row.  Returns true when all
 * is done and the row is free.  false: call again; a bucket that is in heavy
 * use may have to be looked at again later.  The lock.
 */

bool tb_ledger_settle(tb_ledger_own_t *own, tb_table_t *t, uint32_t dead,
    uint32_t *at, uint32_t n, uint64_t now, tb_limits_t dflt);


#endif /* TB_LEDGER_H */
