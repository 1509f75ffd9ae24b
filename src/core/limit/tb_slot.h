
/*
 * What the words of one slot say, by the states that tb_table.h lists.  Not
 * here: which slot is whose.
 */


#ifndef TB_SLOT_H
#define TB_SLOT_H


#include "src/core/limit/tb_places.h"
#include "src/core/limit/tb_table.h"


/*
 * What is left in a settled word, µtok: its tokens, or the places that are
 * free.
 */

static inline int64_t
tb_word_left(tb_word_t word, tb_limits_t limits)
{
    return tb_limits_are_places(limits)
           ? tb_places_free(word) * (int64_t) TB_TOKEN
           : tb_word_tokens(word);
}


/* The time of a stamp, of a word that is used at that epoch. */

static inline uint64_t
tb_epoch_stamp(uint64_t epoch, tb_word_t word)
{
    uint64_t  begin;

    begin = epoch - TB_EPOCH_SPAN;

    return begin + ((word - begin) & TB_STAMP_MASK);
}


/* The limits of a slot whose bucket is being displaced: its tokens. */

static inline tb_limits_t
tb_limits_hold(int64_t tokens)
{
    return tb_limits(0, (uint64_t) (tokens + TB_WORD_ZERO), TB_LIMITS_HELD);
}


static inline int64_t
tb_limits_held(tb_limits_t limits)
{
    return (int64_t) tb_limits_rate(limits) - TB_WORD_ZERO;
}


/* Whether there is neither an owner nor anything that a former one left. */

static inline bool
tb_slot_is_empty(uint64_t tag, tb_word_t word, tb_limits_t limits)
{
    return tag == 0 && tb_word_is_vacant(word)
           && !(limits & TB_LIMITS_HELD);
}


/* What the next owner of a slot without a live one starts with, in µtok. */

static inline int64_t
tb_slot_left_over(tb_word_t word, tb_limits_t limits, uint64_t now,
    tb_limits_t dflt)
{
    int64_t  full, tokens;

    full = (int64_t) tb_limits_room(dflt);

    if (!tb_word_is_vacant(word)) {
        return tb_word_tokens(tb_word_settle(word, dflt, now));
    }

    tokens = (limits & TB_LIMITS_HELD) ? tb_limits_held(limits)
             : (dflt & TB_LIMITS_LEASED) ? tb_limits_nothing(dflt) : full;

    return tokens < full ? tokens : full;
}


/*
 * Whether an unregistered bucket has been full for TB_IDLE_TIME, or, if it is
 * leased, has neither had nor got anything for TB_LEASED_TIME.
 */

static inline bool
tb_slot_idle(tb_word_t word, tb_limits_t dflt, uint64_t now)
{
    uint64_t  age;

    age = tb_word_age(word, now);

    if (dflt & TB_LIMITS_LEASED) {
        return age >= TB_LEASED_TIME && age < TB_AGE_MAX
               && tb_word_tokens(word) == tb_limits_nothing(dflt);
    }

    return age >= TB_IDLE_TIME && age < TB_AGE_MAX
           && tb_limits_is_full(dflt, tb_word_tokens(
                                          tb_word_settle(word, dflt, now)));
}


static inline bool
tb_slot_swap(tb_slot_t *slot, tb_word_t from, tb_word_t to)
{
    return atomic_compare_exchange_strong_explicit(&slot->word, &from, to,
                                                   memory_order_acq_rel,
                                                   memory_order_relaxed);
}


#endif /* TB_SLOT_H */
