
/*
 * What the ticker does with the buckets of a table, without the lock.
 */


#ifndef TB_TABLE_SWEEP_H
#define TB_TABLE_SWEEP_H


#include "src/core/limit/tb_table.h"


typedef struct {
    uint64_t          buckets;     /* slots with an owner seen */
    uint64_t          registered;
    uint32_t          unclean;     /* slots that tb_table_collect() is for */
} tb_sweep_t;


/*
 * Credits the refill of the owners in slots [from, from + n) exactly
 * (tb_word_tick) and adds what it saw to *sweep.  Lock-free; bounded by n.
 */

void tb_table_tick(tb_table_t *t, uint32_t from, uint32_t n, uint64_t now,
    tb_limits_t dflt, tb_sweep_t *sweep);


#endif /* TB_TABLE_SWEEP_H */
