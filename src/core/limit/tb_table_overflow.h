
/*
 * The bucket that new keys share where only registered clients are in reach.
 */


#ifndef TB_TABLE_OVERFLOW_H
#define TB_TABLE_OVERFLOW_H


#include "src/core/limit/tb_take.h"


/*
 * The decision on the overflow bucket; only looks unless take.  Sets *result
 * but for its slot.  Lock-free.
 */

tb_verdict_t tb_table_take_overflow(tb_table_t *t, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result, bool take);

/* tb_table_charge() for the overflow bucket, which is never absent. */

void tb_table_charge_overflow(tb_table_t *t, uint64_t now, tb_limits_t dflt,
    uint64_t cost, int64_t floor, tb_result_t *result, uint64_t *charged);

/* Gives back to it what was taken from it, up to the capacity. */

void tb_table_give_overflow(tb_table_t *t, uint64_t now, tb_limits_t dflt,
    uint64_t tokens);

/*
 * Its word, to be settled to *now; false: nobody has used it.  Lock-free, as
 * the exchange of what was read for another word.
 */

bool tb_table_read_overflow(tb_table_t *t, uint64_t *now, tb_limits_t dflt,
    tb_word_t *word);
bool tb_table_swap_overflow(tb_table_t *t, tb_word_t from, tb_word_t to);

/*
 * Credits its refill exactly, so that limits can change after it, and keeps
 * its stamp from getting too old to be told from one ahead; tb_table_tick()
 * does it, unless buckets are leased.  begin: where nobody has used it yet
 * it becomes an empty bucket, instead of a full one later.  Lock-free.
 */

void tb_table_tick_overflow(tb_table_t *t, uint64_t now, tb_limits_t dflt,
    bool begin);


#endif /* TB_TABLE_OVERFLOW_H */
