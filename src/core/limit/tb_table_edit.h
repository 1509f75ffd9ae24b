
/*
 * What changes the owners of slots: inserts, displacement, registration, and
 * the repair of what a holder of the lock that died has left.  The caller of
 * all of these holds the lock.
 */


#ifndef TB_TABLE_EDIT_H
#define TB_TABLE_EDIT_H


#include "src/core/limit/tb_take.h"


/*
 * Brings a new key in and takes cost from it at once.  The caller holds the
 * lock.  The key starts full in an empty slot; where none is left it
 * displaces the fullest bucket in reach that is not registered and starts
 * with that one's tokens; where all are registered it uses the overflow
 * bucket.  Refusals take nothing.  Never returns TB_ABSENT.
 */

tb_verdict_t tb_table_insert(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result);

/*
 * tb_table_charge() for a bucket that is not in the table: brings it in, as
 * tb_table_insert() does, and charges it, or the overflow bucket.  *result is
 * set.
 */

void tb_table_insert_charge(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, int64_t floor, tb_result_t *result,
    uint64_t *charged);

/*
 * Puts a bucket in as it is, for a table that takes over from another one
 * or from a store: limits are the client's own (TB_LIMITS_REGISTERED set), the
 * plan of one that is not registered, or 0; tokens are its tokens at now.  An
 * owner that is there already gets these limits and these tokens.  The caller
 * holds the lock.  Returns false where there is no room: no empty slot and, for
 * an unregistered one, no bucket fuller than this one; for a registered one,
 * only registered ones in reach.
 */

bool tb_table_put(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_limits_t limits, int64_t tokens);

/*
 * The plan of a client that is not registered, or has no limits of its own:
 * limits of its slot, with TB_LIMITS_LENT.  A key that has no bucket gets one,
 * as by tb_table_insert(); one of leased tokens or of places only where that
 * displaces nobody.  The caller holds the lock.
 */

void tb_table_assign(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_limits_t limits);

/*
 * The slot of the bucket that tb_table_put() of a new client that is not
 * registered would displace, if no decision comes in between; NULL: there is
 * an empty one, or none.  The caller holds the lock.
 */

tb_slot_t *tb_table_victim(tb_table_t *t, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt);

/*
 * Gives a client own limits, or with limits 0 makes it one of the others;
 * its tokens stay, cut to the new capacity.  The caller holds the lock.
 * Returns false if the client has no bucket (tb_table_put() makes one).
 */

bool tb_table_set_limits(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_limits_t limits);

/*
 * Frees the slot of a client without own limits if its bucket holds tokens
 * (µtok) or more, or is full: when it asks again it is as new.  A leased one
 * is freed if it holds nothing, whatever tokens is.  The caller holds the
 * lock.
 */

void tb_table_forget(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t tokens);

/*
 * Frees the slots in the same range whose buckets have been full for
 * TB_IDLE_TIME, and mends what a holder of the lock that died left half
 * done.  The caller holds the lock.
 */

void tb_table_collect(tb_table_t *t, uint32_t from, uint32_t n, uint64_t now,
    tb_limits_t dflt);


#endif /* TB_TABLE_EDIT_H */
