
/*
 * What is entered in a ledger (tb_ledger.h), summed up.
 */


#ifndef TB_LEDGER_COUNT_H
#define TB_LEDGER_COUNT_H


#include "src/core/limit/tb_ledger_rows.h"
#include "src/core/limit/tb_table.h"


/* Requests in flight, of all processes; of some instants. */

uint64_t tb_ledger_held(tb_ledger_t *l);

/* Requests of that bucket that are entered, by anybody; of some instants. */

uint32_t tb_ledger_count(tb_ledger_t *l, const tb_hash_t *h);

/*
 * Makes the places in use of a bucket what the entries say, without the one
 * that a dead process was just changing.  If the word is the same at the
 * exchange, changes since the count have cancelled out in it; what a living
 * process has entered in the ledger only, it is about to change itself.
 * Returns false where others change it all the time: call again.  The lock.
 */

bool tb_ledger_recount(tb_ledger_t *l, tb_table_t *t, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt);


#endif /* TB_LEDGER_COUNT_H */
