
/*
 * Leased places (tb_places.h) of a bucket in the table: how many there are.
 * Taking and giving back what requests use is done as of all buckets.
 */


#ifndef TB_TABLE_LEASE_H
#define TB_TABLE_LEASE_H


#include "src/core/limit/tb_take.h"


/*
 * Adds n places to those that are leased, or takes as many away (n < 0),
 * whether they are in use or not.  Returns the change; 0 where the owner of the
 * slot is another.  Lock-free.
 */

int32_t tb_table_lease(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, int32_t n);

/* Takes away n places, or as many as are free; returns how many.  Lock-free. */

uint32_t tb_table_unlease(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, uint32_t n);


#endif /* TB_TABLE_LEASE_H */
