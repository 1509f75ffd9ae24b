
/*
 * Requests in flight of a table that another one has replaced.
 */


#include "src/core/limit/tb_guests.h"


static bool tb_guest_is_over(tb_ledger_t *former, const tb_guest_t *g);
static bool tb_guests_are_of_nobody(tb_ledger_t *former, uint32_t block);


uint32_t
tb_guests_list(tb_ledger_t *former, tb_guest_t *guests, uint32_t n)
{
    uint32_t            b, found, i;
    tb_hash_t           h;
    tb_ledger_entry_t  *e;

    found = 0;

    for (b = 0; b < former->nblocks; b++) {

        if (tb_guests_are_of_nobody(former, b)) {
            continue;
        }

        for (i = b * TB_LEDGER_BLOCK; i < (b + 1) * TB_LEDGER_BLOCK; i++) {
            e = tb_ledger_entry(former, i);

            h.lo = atomic_load_explicit(&e->lo, memory_order_acquire);
            h.hi = atomic_load_explicit(&e->hi, memory_order_relaxed);

            if (h.lo == 0) {
                continue;
            }

            if (found < n) {
                guests[found] = (tb_guest_t) { h, i, TB_LEDGER_NONE };
            }

            found++;
        }
    }

    return found;
}


uint32_t
tb_guests_follow(tb_guest_t *guests, uint32_t n, uint32_t i, uint32_t end,
    tb_ledger_t *former, tb_ledger_own_t *own, tb_table_t *t, uint64_t now,
    tb_limits_t dflt)
{
    tb_guest_t   *g;
    tb_result_t   result;

    while (i < end && i < n) {
        g = &guests[i];

        if (tb_guest_is_over(former, g)) {

            if (g->entry != TB_LEDGER_NONE) {
                tb_ledger_return(own, t, g->entry, NULL, now, dflt);
            }

            *g = guests[--n];
            continue;
        }

        if (g->entry == TB_LEDGER_NONE) {
            (void) tb_ledger_take(own, t, &g->hash, now, dflt, true, &result,
                                  &g->entry);
        }

        i++;
    }

    return n;
}


/* The entry may be that of another request of the same client by now. */

static bool
tb_guest_is_over(tb_ledger_t *former, const tb_guest_t *g)
{
    tb_ledger_entry_t  *e;

    e = tb_ledger_entry(former, g->former);

    return atomic_load_explicit(&e->lo, memory_order_acquire) != g->hash.lo
           || atomic_load_explicit(&e->hi, memory_order_relaxed) != g->hash.hi
           || tb_guests_are_of_nobody(former, g->former / TB_LEDGER_BLOCK);
}


static bool
tb_guests_are_of_nobody(tb_ledger_t *former, uint32_t block)
{
    uint32_t  row;

    row = atomic_load_explicit(tb_ledger_block(former, block),
                               memory_order_acquire);

    return row == 0
           || atomic_load_explicit(&tb_ledger_row(former, row - 1)->owner,
                                   memory_order_acquire)
              == 0;
}
