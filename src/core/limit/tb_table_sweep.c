
/*
 * The tick: refills, in passes over some slots.
 */


#include "src/core/limit/tb_table_sweep.h"
#include "src/core/limit/tb_slot.h"
#include "src/core/limit/tb_table_epoch.h"
#include "src/core/limit/tb_table_overflow.h"


void
tb_table_tick(tb_table_t *t, uint32_t from, uint32_t n, uint64_t now,
    tb_limits_t dflt, tb_sweep_t *sweep)
{
    uint32_t      i;
    uint64_t      tag;
    tb_slot_t    *slot;
    tb_word_t     next, word;
    tb_limits_t   limits;

    if (from == 0 && !(dflt & TB_LIMITS_LEASED)) {
        tb_table_tick_overflow(t, now, dflt, false);
    }

    for (i = from; i < from + n && i < tb_table_slots(t); i++) {

        if (i == from || i % TB_CHUNK_SLOTS == 0) {
            (void) tb_table_follow(t, i / TB_CHUNK_SLOTS, &now,
                                   TB_EPOCH_SPAN / 2, dflt);
        }

        slot = tb_table_slot(t, i);
        word = tb_slot_word(t, slot, &now, dflt);
        tag = atomic_load_explicit(&slot->tag, memory_order_acquire);
        limits = atomic_load_explicit(&slot->limits, memory_order_acquire);

        if (tag == 0 || tb_word_is_vacant(word)
            || (limits & TB_LIMITS_HELD))
        {
            sweep->unclean += (tag | word | limits) != 0;
            continue;
        }

        sweep->buckets++;
        sweep->registered += (limits & TB_LIMITS_REGISTERED) != 0;

        if (dflt & TB_LIMITS_LEASED) {
            sweep->unclean += !(limits & TB_LIMITS_REGISTERED)
                              && tb_slot_idle(word, dflt, now);
            continue;
        }

        limits = tb_table_limits(t, limits, dflt);

        if (!(limits & TB_LIMITS_REGISTERED)
            && tb_slot_idle(word, limits, now))
        {
            sweep->unclean++;
            continue;
        }

        if (tb_word_tokens(word) == (int64_t) tb_limits_room(limits)) {
            continue;
        }

        next = tb_word_tick(word, limits, now);

        if (next != word) {

            /* whoever changed it meanwhile has settled it as well */

            (void) tb_slot_swap(slot, word, next);
        }
    }
}
