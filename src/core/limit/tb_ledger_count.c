
/*
 * What the rows and entries of a ledger come to.
 */


#include "src/core/limit/tb_ledger_count.h"
#include "src/core/limit/tb_table_overflow.h"


/* how often a count is tried while others change places */
#define TB_LEDGER_LOOKS  100


static bool tb_ledger_changes(tb_ledger_t *l, uint32_t *sum);


uint64_t
tb_ledger_held(tb_ledger_t *l)
{
    uint32_t  i;
    uint64_t  held;

    held = 0;

    for (i = 0; i < l->nrows; i++) {
        held += atomic_load_explicit(&tb_ledger_row(l, i)->held,
                                     memory_order_relaxed);
    }

    return held;
}


uint32_t
tb_ledger_count(tb_ledger_t *l, const tb_hash_t *h)
{
    uint32_t            b, i, n;
    tb_ledger_entry_t  *e;

    n = 0;

    for (i = 0; i < l->nrows && tb_ledger_is_overflow(h); i++) {
        n += atomic_load_explicit(&tb_ledger_row(l, i)->shared,
                                  memory_order_acquire);
    }

    for (b = 0; b < l->nblocks; b++) {

        if (atomic_load_explicit(tb_ledger_block(l, b), memory_order_acquire)
            == 0)
        {
            continue;
        }

        for (i = 0; i < TB_LEDGER_BLOCK; i++) {
            e = tb_ledger_entry(l, b * TB_LEDGER_BLOCK + i);

            n += atomic_load_explicit(&e->lo, memory_order_acquire) == h->lo
                 && atomic_load_explicit(&e->hi, memory_order_relaxed)
                    == h->hi;
        }
    }

    return n;
}


bool
tb_ledger_recount(tb_ledger_t *l, tb_table_t *t, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt)
{
    bool         there;
    int          i;
    uint32_t     after, before, used;
    tb_slot_t   *slot;
    tb_word_t    next, word;
    tb_limits_t  limits;

    if (tb_ledger_is_overflow(h)) {
        dflt &= ~TB_LIMITS_LEASED;
    }

    for (i = 0; i < TB_LEDGER_LOOKS; i++) {

        if (!tb_ledger_changes(l, &before)) {
            continue;
        }

        used = tb_ledger_count(l, h);
        slot = tb_table_find(t, h);

        if (tb_ledger_is_overflow(h)) {
            there = tb_table_read_overflow(t, &now, dflt, &word);

        } else {
            there = slot != NULL
                    && tb_slot_read_at(t, slot, h, &now, dflt, &word,
                                       &limits);
        }

        if (!tb_ledger_changes(l, &after) || before != after) {
            continue;
        }

        if (!there) {
            return true;
        }

        next = tb_limits_are_places(dflt)
               ? tb_places_word(tb_places_leased(word), used, word)
               : tb_word((int64_t) (tb_limits_room(dflt) - used * TB_TOKEN),
                         word);

        if (next == word) {
            return true;
        }

        if (tb_ledger_is_overflow(h) ? tb_table_swap_overflow(t, word, next)
                                     : tb_slot_swap(slot, word, next))
        {
            return true;
        }
    }

    return false;
}


/* The changes of all living processes; false: one is being made. */

static bool
tb_ledger_changes(tb_ledger_t *l, uint32_t *sum)
{
    uint32_t          change, i;
    tb_ledger_row_t  *row;

    *sum = 0;

    for (i = 0; i < l->nrows; i++) {
        row = tb_ledger_row(l, i);

        if (atomic_load_explicit(&row->dead, memory_order_acquire)) {
            continue;
        }

        change = atomic_load_explicit(&row->change, memory_order_acquire);

        if (change & 1) {
            return false;
        }

        *sum += change;
    }

    return true;
}
