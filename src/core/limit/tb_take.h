
/*
 * The decision on a key that is in its slot, for its callers to inline.
 */


#ifndef TB_TAKE_H
#define TB_TAKE_H


#include "src/core/limit/tb_slot.h"


/*
 * A bucket's word and the limits in force, if the slot is h's.  The tag is
 * checked after the word has been read: see tb_table.h for what a later
 * compare-and-swap on that word may then rely on.  Own limits might be
 * those of a next owner already, unless the word is still the same.
 */

static inline bool
tb_slot_read(const tb_slot_t *slot, const tb_hash_t *h, tb_limits_t dflt,
    tb_word_t *word, tb_limits_t *limits)
{
    do {
        *word = atomic_load_explicit(&slot->word, memory_order_acquire);

        if (tb_word_is_vacant(*word)
            || atomic_load_explicit(&slot->tag, memory_order_acquire)
               != h->lo
            || atomic_load_explicit(&slot->check, memory_order_relaxed)
               != h->hi)
        {
            return false;
        }

        *limits = atomic_load_explicit(&slot->limits, memory_order_acquire);

        if (!(*limits & TB_LIMITS_REGISTERED)) {
            *limits = dflt;
            return true;
        }

        *limits |= dflt & TB_LIMITS_LEASED;

    } while (atomic_load_explicit(&slot->word, memory_order_relaxed)
             != *word);

    return true;
}


/* The same, for who settles the word: to *now, which may become later. */

static inline bool
tb_slot_read_at(tb_table_t *t, const tb_slot_t *slot, const tb_hash_t *h,
    uint64_t *now, tb_limits_t dflt, tb_word_t *word, tb_limits_t *limits)
{
    uint32_t  chunk;

    chunk = tb_table_chunk(t, slot);

    do {
        if (!tb_slot_read(slot, h, dflt, word, limits)) {
            return false;
        }

    } while (!tb_table_is_current(t, chunk, now, dflt));

    return true;
}


/*
 * The decision, if the slot is h's and the epoch is that of its chunk, not
 * too long ago for now; or TB_ABSENT.
 */

static inline tb_verdict_t
tb_slot_take(tb_slot_t *slot, const _Atomic uint64_t *epoch,
    const tb_hash_t *h, uint64_t now, tb_limits_t dflt, uint64_t cost,
    tb_result_t *result)
{
    tb_word_t     word, next;
    tb_limits_t   limits;
    tb_verdict_t  verdict;

    do {
        if (!tb_slot_read(slot, h, dflt, &word, &limits)
            || now - atomic_load_explicit(epoch, memory_order_relaxed)
               >= TB_EPOCH_SPAN)
        {
            return TB_ABSENT;
        }

        next = word;
        verdict = tb_word_take(&next, limits, now, cost, &result->left);

    } while (verdict == TB_PASS && cost != 0
             && !tb_slot_swap(slot, word, next));

    result->slot = slot;
    result->word = word;
    result->limits = limits;
    result->evicted = false;

    return verdict;
}


/*
 * Where most keys are, the first slot that a search would look at: the
 * decision if h is there, or else TB_ABSENT, and tb_table_take() has to
 * look for it.
 */

static inline tb_verdict_t
tb_table_take_home(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result)
{
    uint32_t    group;
    tb_slot_t  *slot;

    group = tb_table_group(t, h->hi);
    slot = tb_group_slot(tb_table_slot(t, group * TB_GROUP_SLOTS), h, 0);

    return tb_slot_take(slot,
                        &tb_table_epochs(t)[group / (TB_CHUNK_SLOTS
                                                     / TB_GROUP_SLOTS)],
                        h, now, dflt, cost, result);
}


#endif /* TB_TAKE_H */
