
/*
 * Decisions on the overflow bucket, and its tick.
 */


#include "src/core/limit/tb_table_overflow.h"
#include "src/core/limit/tb_table_epoch.h"


static tb_word_t tb_overflow_word(tb_table_t *t, uint64_t *now,
    tb_limits_t dflt);


tb_verdict_t
tb_table_take_overflow(tb_table_t *t, uint64_t now, tb_limits_t dflt,
    uint64_t cost, tb_result_t *result, bool take)
{
    tb_word_t     next, old, word;
    tb_verdict_t  verdict;

    if (take) {
        tb_table_begin(t, t->nchunks, now);
    }

    do {
        old = tb_overflow_word(t, &now, dflt);

        word = tb_word_is_vacant(old)
               ? tb_word((int64_t) tb_limits_room(dflt), now) : old;
        next = word;
        verdict = tb_word_take(&next, dflt, now, cost, &result->left);

    } while (verdict == TB_PASS && take
             && !atomic_compare_exchange_strong_explicit(&t->overflow, &old,
                                                      next,
                                                      memory_order_acq_rel,
                                                      memory_order_relaxed));

    result->word = word;
    result->limits = dflt;
    result->evicted = false;

    return verdict;
}


void
tb_table_charge_overflow(tb_table_t *t, uint64_t now, tb_limits_t dflt,
    uint64_t cost, int64_t floor, tb_result_t *result, uint64_t *charged)
{
    tb_word_t  next, old;

    tb_table_begin(t, t->nchunks, now);

    do {
        old = tb_overflow_word(t, &now, dflt);

        result->word = tb_word_is_vacant(old)
                       ? tb_word((int64_t) tb_limits_room(dflt), now) : old;
        next = tb_word_charge(result->word, dflt, now, cost, floor, charged);

    } while (!atomic_compare_exchange_strong_explicit(&t->overflow, &old,
                                                      next,
                                                      memory_order_acq_rel,
                                                      memory_order_relaxed));

    result->slot = NULL;
    result->limits = dflt;
    result->left = tb_word_tokens(tb_word_settle(next, dflt, now));
    result->evicted = false;
}


void
tb_table_give_overflow(tb_table_t *t, uint64_t now, tb_limits_t dflt,
    uint64_t tokens)
{
    tb_word_t  word;

    while (tb_table_read_overflow(t, &now, dflt, &word)
           && !tb_table_swap_overflow(t, word, tb_word_give(word, dflt, now,
                                                            tokens)))
    {
        /* somebody else has changed it */
    }
}


bool
tb_table_read_overflow(tb_table_t *t, uint64_t *now, tb_limits_t dflt,
    tb_word_t *word)
{
    *word = tb_overflow_word(t, now, dflt);

    return !tb_word_is_vacant(*word);
}


bool
tb_table_swap_overflow(tb_table_t *t, tb_word_t from, tb_word_t to)
{
    return atomic_compare_exchange_strong_explicit(&t->overflow, &from, to,
                                                   memory_order_acq_rel,
                                                   memory_order_relaxed);
}


void
tb_table_tick_overflow(tb_table_t *t, uint64_t now, tb_limits_t dflt,
    bool begin)
{
    tb_word_t  next, word;

    if (begin) {
        tb_table_begin(t, t->nchunks, now);
    }

    (void) tb_table_follow(t, t->nchunks, &now, TB_EPOCH_SPAN / 2, dflt);

    do {
        word = tb_overflow_word(t, &now, dflt);

        if (!tb_word_is_vacant(word)) {
            next = tb_word_tick(word, dflt, now);

        } else if (begin) {
            next = tb_word(0, now);

        } else {
            return;
        }

    } while (next != word
             && !atomic_compare_exchange_strong_explicit(&t->overflow, &word,
                                                      next,
                                                      memory_order_acq_rel,
                                                      memory_order_relaxed));
}


/* The word of the overflow bucket, to be settled to *now. */

static tb_word_t
tb_overflow_word(tb_table_t *t, uint64_t *now, tb_limits_t dflt)
{
    tb_word_t  word;

    do {
        word = atomic_load_explicit(&t->overflow, memory_order_acquire);

    } while (!tb_table_is_current(t, t->nchunks, now, dflt));

    return word;
}
