
/*
 * Guests: requests in flight of a table that another one has replaced.  Their
 * processes give their places back to that one, of which the new one knows
 * nothing.  So a process of the new one takes a place for each guest in its own
 * name, and gives it back when it sees that the entry in the former ledger has
 * been freed.
 */


#ifndef TB_GUESTS_H
#define TB_GUESTS_H


#include "src/core/limit/tb_ledger.h"


typedef struct {
    tb_hash_t   hash;          /* of the bucket */
    uint32_t    former;        /* its entry in the former ledger */
    uint32_t    entry;         /* and in ours; TB_LEDGER_NONE: no place yet */
} tb_guest_t;


/*
 * Lists requests of a former ledger that are entered, without those of rows
 * whose owner is 0: at most n, and returns how many there are.  Lock-free;
 * what is entered meanwhile may or may not be among them.
 */

uint32_t tb_guests_list(tb_ledger_t *former, tb_guest_t *guests, uint32_t n);

/*
 * Looks at the guests from i on to before end: one that is over gives its place
 * back and is replaced by the last of all n, one without a place takes it if
 * there is one now.  Returns how many of all n are left.  The lock.
 */

uint32_t tb_guests_follow(tb_guest_t *guests, uint32_t n, uint32_t i,
    uint32_t end, tb_ledger_t *former, tb_ledger_own_t *own, tb_table_t *t,
    uint64_t now, tb_limits_t dflt);


#endif /* TB_GUESTS_H */
