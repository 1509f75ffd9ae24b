
/*
 * Checks all slots of a table against the states that tb_table.h lists.
 */


#ifndef TB_TABLE_CHECK_H
#define TB_TABLE_CHECK_H


#include "src/core/limit/tb_slot.h"


static inline bool
tb_slot_is_sound(const tb_table_t *t, uint32_t i, uint64_t now,
    tb_limits_t dflt)
{
    tb_hash_t         h;
    tb_word_t         word;
    tb_limits_t       limits;
    const tb_slot_t  *slot;

    slot = tb_table_slot(t, i);

    h.lo = atomic_load_explicit(&slot->tag, memory_order_relaxed);
    h.hi = atomic_load_explicit(&slot->check, memory_order_relaxed);
    word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    limits = atomic_load_explicit(&slot->limits, memory_order_relaxed);

    i -= i % TB_GROUP_SLOTS;

    if (h.lo != 0
        && tb_table_group_slots(t, &h, 0) != tb_table_slot(t, i)
        && tb_table_group_slots(t, &h, 1) != tb_table_slot(t, i))
    {
        return false;
    }

    if (limits & TB_LIMITS_HELD) {
        return tb_limits_held(limits) >= -TB_DEBT_MAX
               && tb_limits_held(limits) <= (int64_t) TB_COST_MAX
               && (limits & ~TB_LIMITS_HELD & 0xffffff) == 0;
    }

    if (limits & TB_LIMITS_PLAN) {

        if ((limits >> 4) >= TB_PLANS
            || ((limits & TB_LIMITS_REGISTERED) && tb_word_is_vacant(word)))
        {
            return false;
        }

    } else if (limits & TB_LIMITS_REGISTERED) {

        if (tb_word_is_vacant(word)
            || tb_limits_capacity(limits) == 0
            || tb_limits_capacity(limits) > TB_CAPACITY_MAX
            || tb_limits_rate(limits) > TB_RATE_MAX)
        {
            return false;
        }

    } else if (limits != 0) {
        return false;
    }

    if (tb_word_is_vacant(word)) {
        return true;
    }

    if (tb_word_tokens(word) > (int64_t) TB_COST_MAX
        || tb_word_tokens(word) < -TB_DEBT_MAX)
    {
        return false;
    }

    limits = tb_table_limits(t, limits, dflt);
    word = tb_word_settle(word, limits, now);

    return tb_word_tokens(word) <= (int64_t) tb_limits_room(limits);
}


/*
 * How many slots break the table of states, or dflt.  Nobody may hold the
 * lock meanwhile, or what it does counts as broken.
 */

static inline uint32_t
tb_table_check(const tb_table_t *t, uint64_t now, tb_limits_t dflt)
{
    uint32_t  broken, i;

    broken = 0;

    for (i = 0; i < tb_table_slots(t); i++) {

        if (!tb_slot_is_sound(t, i, now, dflt)) {
            broken++;

        } else if (!tb_table_chunk_used(t, i)
                   && (tb_table_slot(t, i)->word || tb_table_slot(t, i)->tag))
        {
            broken++;
        }
    }

    return broken;
}


#endif /* TB_TABLE_CHECK_H */
