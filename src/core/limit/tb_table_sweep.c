
/*
 * What goes through many slots of the table without the lock: the tick,
 * the survey that a new key needs, the check of the whole.
 */


#include "src/core/limit/tb_table.h"
#include "src/core/limit/tb_slot.h"


static tb_word_t tb_overflow_word(tb_table_t *t, uint64_t *now,
    tb_limits_t dflt);
static bool tb_slot_is_sound(const tb_table_t *t, uint32_t i, uint64_t now,
    tb_limits_t dflt);


void
tb_table_survey(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_reach_t *reach)
{
    uint32_t      i, n, owned, least;
    uint64_t      tag, tokens;
    tb_slot_t    *group, *hole, *slot;
    tb_word_t     word;
    tb_limits_t   limits;

    reach->hole = NULL;
    reach->fullest = NULL;
    reach->tokens = 0;
    reach->word = 0;

    least = TB_GROUP_SLOTS;

    for (n = 0; n < 2; n++) {
        group = tb_table_group_slots(t, h, n);
        hole = NULL;
        owned = 0;

        for (i = 0; i < TB_GROUP_SLOTS; i++) {
            slot = tb_group_slot(group, h, i);

            tag = atomic_load_explicit(&slot->tag, memory_order_acquire);
            word = tb_slot_word(t, slot, &now, dflt);
            limits = atomic_load_explicit(&slot->limits,
                                          memory_order_acquire);

            if (tb_slot_is_empty(tag, word, limits)) {
                hole = hole ? hole : slot;
                continue;
            }

            owned++;

            if (tag != 0 && (tb_word_is_vacant(word)
                             || (limits & TB_LIMITS_REGISTERED)))
            {
                continue;
            }

            tokens = tb_slot_left_over(word, limits, now, dflt);

            if (reach->fullest == NULL || tokens > reach->tokens) {
                reach->fullest = slot;
                reach->tokens = tokens;
                reach->word = tb_word_is_vacant(word) ? tb_word(tokens, now)
                                                      : word;
            }
        }

        if (hole != NULL && owned < least) {
            reach->hole = hole;
            least = owned;
        }

        if (n == 0 && owned < TB_GROUP_CROWDED && hole != NULL) {
            return;
        }
    }
}


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

        word = tb_word_is_vacant(old) ? tb_word(tb_limits_full(dflt), now)
                                      : old;
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

        if (!(limits & TB_LIMITS_REGISTERED)) {
            limits = dflt;

            if (tb_slot_idle(word, limits, now)) {
                sweep->unclean++;
                continue;
            }
        }

        if (tb_word_tokens(word) == tb_limits_full(limits)) {
            continue;
        }

        next = tb_word_tick(word, limits, now);

        if (next != word) {

            /* whoever changed it meanwhile has settled it as well */

            (void) tb_slot_swap(slot, word, next);
        }
    }
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


uint32_t
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


static bool
tb_slot_is_sound(const tb_table_t *t, uint32_t i, uint64_t now,
    tb_limits_t dflt)
{
    tb_hash_t         h;
    tb_word_t         word;
    tb_limits_t       limits;
    const tb_slot_t  *slot;

    slot = tb_table_slot(t, i);

    h.lo = atomic_load(&slot->tag);
    h.hi = atomic_load(&slot->check);
    word = atomic_load(&slot->word);
    limits = atomic_load(&slot->limits);

    i -= i % TB_GROUP_SLOTS;

    if (h.lo != 0
        && tb_table_group_slots(t, &h, 0) != tb_table_slot(t, i)
        && tb_table_group_slots(t, &h, 1) != tb_table_slot(t, i))
    {
        return false;
    }

    if (limits & TB_LIMITS_HELD) {
        return limits >> 24 <= TB_COST_MAX
               && (limits & ~TB_LIMITS_HELD & 0xffffff) == 0;
    }

    if (limits & TB_LIMITS_REGISTERED) {

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

    if (tb_word_tokens(word) > TB_COST_MAX) {
        return false;
    }

    word = tb_word_settle(word, limits ? limits : dflt, now);

    return tb_word_tokens(word) <= tb_limits_full(limits ? limits : dflt);
}
