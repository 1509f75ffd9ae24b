
/*
 * What is remembered of buckets that have no slot: when each will be full,
 * at the latest.  An array of times that hashes share, so that a bucket may
 * be thought to be emptier than it is, and never fuller (after Cormode and
 * Muthukrishnan, "An improved data stream summary: the count-min sketch",
 * 2005, with the maximum in place of the sum).  Not here: whose they are.
 *
 * A quota's bucket is full with the next window.  What is left in this one is
 * noted as a time, too: as one that is the later after the window's beginning
 * the less is left, and before the next window begins.
 *
 * Times are in ms of the machine's monotonic clock; cells are in steps of
 * TB_RECALL_STEP, rounded up.  All-zero memory remembers nothing.
 */


#ifndef TB_RECALL_H
#define TB_RECALL_H


#include <stdatomic.h>

#include "src/core/limit/tb_bucket.h"
#include "src/core/limit/tb_hash.h"


#define TB_RECALL_STEP  64
#define TB_RECALL_CELLS  4    /* for each slot of a table */


/*
 * The bucket will be full at that time.  Lock-free; n cells, at least 1, and
 * the same at each call.
 */

void tb_recall_note(_Atomic uint32_t *cells, uint32_t n, const tb_hash_t *h,
    uint64_t full);

/* When it will be full, at the latest; 0: nothing is known.  Lock-free. */

uint64_t tb_recall_full(const _Atomic uint32_t *cells, uint32_t n,
    const tb_hash_t *h);

/* The tokens (µtok; < 0: debt) of a bucket that will be full at that time. */

int64_t tb_recall_tokens(tb_limits_t limits, uint64_t full, uint64_t now);

/*
 * The time at which a window begins for these functions; minute: in which it
 * does, since 1970, or 0 for 0.  It does not depend on what clocks do.
 */

uint64_t tb_recall_window(uint64_t minute);

/*
 * The time that is noted for a quota of which so much (µtok) is left, in a
 * window that begins at since; 0: nothing is to be noted.  And what is left, at
 * most, by what was noted.
 */

uint64_t tb_recall_spent(tb_limits_t limits, uint64_t since, int64_t left);
int64_t tb_recall_left(tb_limits_t limits, uint64_t since, uint64_t full);


#endif /* TB_RECALL_H */
