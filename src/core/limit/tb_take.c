
/*
 * What is done with one key without the lock, out of line.
 */


#include "src/core/limit/tb_take.h"
#include "src/core/limit/tb_table_overflow.h"
#include "src/core/limit/tb_table_survey.h"
#include "src/core/limit/tb_window.h"


static tb_verdict_t tb_places_take(tb_word_t *word, tb_limits_t limits,
    uint64_t now, uint64_t cost, int64_t *left);
static tb_verdict_t tb_table_judge_new(tb_table_t *t, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, uint64_t cost, tb_result_t *result,
    bool take);


tb_verdict_t
tb_table_take(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result)
{
    tb_verdict_t  verdict;

    verdict = tb_table_take_known(t, h, now, dflt, cost, result);

    if (verdict != TB_ABSENT) {
        return verdict;
    }

    return tb_table_judge_new(t, h, now, dflt, cost, result, cost != 0);
}


tb_verdict_t
tb_table_take_known(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result)
{
    tb_slot_t     *slot;
    tb_word_t      next;
    tb_verdict_t   verdict;

    slot = tb_table_find(t, h);

    do {
        if (slot == NULL
            || !tb_slot_read_at(t, slot, h, &now, dflt, &result->word,
                                &result->limits))
        {
            return TB_ABSENT;
        }

        next = result->word;
        verdict = tb_limits_are_places(result->limits)
                  ? tb_places_take(&next, result->limits, now, cost,
                                   &result->left)
                  : tb_word_take(&next, result->limits, now, cost,
                                 &result->left);

    } while (verdict == TB_PASS && cost != 0
             && !tb_slot_swap(slot, result->word, next));

    result->slot = slot;
    result->evicted = false;

    return verdict;
}


/* tb_word_take() of leased places; cost is so many whole ones. */

static tb_verdict_t
tb_places_take(tb_word_t *word, tb_limits_t limits, uint64_t now,
    uint64_t cost, int64_t *left)
{
    uint64_t  stamp;

    (void) tb_word_tokens_at(*word, limits, now, &stamp);

    *left = tb_places_free(*word) * (int64_t) TB_TOKEN;

    if (*left < (int64_t) cost) {
        return TB_REFUSE;
    }

    *left -= (int64_t) cost;
    *word = tb_places_word(tb_places_leased(*word),
                           tb_places_used(*word)
                           + (uint32_t) (cost / TB_TOKEN), stamp);

    return TB_PASS;
}


tb_verdict_t
tb_table_peek(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result)
{
    tb_verdict_t  verdict;

    verdict = tb_table_peek_known(t, h, now, dflt, cost, result);

    return verdict != TB_ABSENT
           ? verdict
           : tb_table_judge_new(t, h, now, dflt, cost, result, false);
}


tb_verdict_t
tb_table_peek_known(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result)
{
    tb_verdict_t  verdict;

    verdict = tb_table_read(t, h, now, dflt, result);

    if (verdict != TB_PASS) {
        return verdict;
    }

    if (result->left - tb_limits_lowest(result->limits) < (int64_t) cost) {
        return TB_REFUSE;
    }

    result->left -= (int64_t) cost;

    return TB_PASS;
}


tb_verdict_t
tb_table_wait(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, uint64_t most, tb_result_t *result,
    uint64_t *hold)
{
    tb_slot_t    *slot;
    tb_word_t     next;
    tb_verdict_t  verdict;

    slot = tb_table_find(t, h);

    do {
        if (slot == NULL
            || !tb_slot_read_at(t, slot, h, &now, dflt, &result->word,
                                &result->limits))
        {
            return TB_ABSENT;
        }

        next = result->word;
        verdict = tb_word_take_to(&next, result->limits, now, cost,
                                  tb_limits_floor(result->limits, most),
                                  &result->left);

        if (cost > tb_limits_full(result->limits)) {
            verdict = TB_REFUSE;
        }

    } while (verdict == TB_PASS && !tb_slot_swap(slot, result->word, next));

    result->slot = slot;
    result->evicted = false;

    *hold = tb_word_wait(next, result->limits, now, 0);

    return verdict;
}


tb_verdict_t
tb_table_charge(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, int64_t floor, tb_result_t *result,
    uint64_t *charged)
{
    tb_slot_t  *slot;
    tb_word_t   next;

    slot = tb_table_find(t, h);

    do {
        if (slot == NULL
            || !tb_slot_read_at(t, slot, h, &now, dflt, &result->word,
                                &result->limits))
        {
            return TB_ABSENT;
        }

        next = tb_word_charge(result->word, result->limits, now, cost, floor,
                              charged);

    } while (!tb_slot_swap(slot, result->word, next));

    result->slot = slot;
    result->left = tb_word_tokens(tb_word_settle(next, result->limits, now));
    result->evicted = false;

    return TB_PASS;
}


bool
tb_table_give(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t tokens)
{
    tb_slot_t    *slot;
    tb_word_t     word;
    tb_limits_t   limits;

    slot = tb_table_find(t, h);

    while (slot != NULL
           && tb_slot_read_at(t, slot, h, &now, dflt, &word, &limits))
    {

        if (tb_slot_swap(slot, word, tb_word_give(word, limits, now, tokens)))
        {
            return true;
        }
    }

    return false;
}


int64_t
tb_table_add(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, int64_t tokens)
{
    int64_t       before, least, sum;
    tb_word_t     word, next;
    tb_limits_t   limits;

    while (tb_slot_read_at(t, slot, h, &now, dflt, &word, &limits)) {
        next = tb_word_settle(word, limits, now);
        sum = tb_word_tokens(next) + tokens;
        before = tb_word_tokens(word);

        if (limits & TB_LIMITS_WINDOW) {
            before = tb_word_tokens(next);

            if (((word - now) & TB_STAMP_MASK) - TB_WINDOW_MARGIN / 2
                < TB_AGE_MAX - TB_WINDOW_MARGIN / 2)
            {
                /* the word is of the next window already */

                return 0;
            }
        }

        /* debt stays, and what is taken out adds nothing to it */

        least = tb_word_tokens(next) < 0 ? tb_word_tokens(next) : 0;

        if (tokens < 0 && sum < least) {
            sum = least;
        }

        if (sum > (int64_t) tb_limits_room(limits)) {
            sum = (int64_t) tb_limits_room(limits);
        }

        if (tb_slot_swap(slot, word, tb_word(sum, next))) {
            return sum - before;
        }
    }

    return 0;
}


bool
tb_table_bucket(tb_table_t *t, uint32_t i, uint64_t *now, tb_limits_t dflt,
    tb_hash_t *h, tb_limits_t *limits, int64_t *tokens)
{
    tb_slot_t  *slot;
    tb_word_t   word;

    slot = tb_table_slot(t, i);

    h->lo = atomic_load_explicit(&slot->tag, memory_order_acquire);
    h->hi = atomic_load_explicit(&slot->check, memory_order_acquire);

    if (h->lo == 0
        || !tb_slot_read_at(t, slot, h, now, dflt, &word, limits))
    {
        return false;
    }

    *tokens = tb_word_tokens(tb_word_settle(word, *limits, *now));

    return true;
}


bool
tb_table_set_tokens(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, int64_t tokens)
{
    int64_t       full;
    tb_slot_t    *slot;
    tb_word_t     word, next;
    tb_limits_t   limits;

    slot = tb_table_find(t, h);

    while (slot != NULL
           && tb_slot_read_at(t, slot, h, &now, dflt, &word, &limits))
    {
        full = (int64_t) tb_limits_room(limits);
        next = tb_word_settle(word, limits, now);
        next = tb_word(tokens < full ? tokens : full, next);

        if (tb_slot_swap(slot, word, next)) {
            return true;
        }
    }

    return false;
}


bool
tb_table_lower_tokens(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, int64_t tokens)
{
    tb_slot_t    *slot;
    tb_word_t     word, next;
    tb_limits_t   limits;

    slot = tb_table_find(t, h);

    while (slot != NULL
           && tb_slot_read_at(t, slot, h, &now, dflt, &word, &limits))
    {
        next = tb_word_settle(word, limits, now);

        if (tb_word_tokens(next) <= tokens
            || tb_slot_swap(slot, word, tb_word(tokens, next)))
        {
            return true;
        }
    }

    return false;
}


bool
tb_table_has_room(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt)
{
    tb_reach_t  reach;

    if (tb_table_find(t, h) != NULL) {
        return true;
    }

    tb_table_survey(t, h, now, dflt, &reach);

    return reach.hole != NULL || reach.fullest != NULL;
}


bool
tb_table_is_registered(const tb_table_t *t, const tb_hash_t *h)
{
    tb_slot_t    *slot;
    tb_word_t     word;
    tb_limits_t   own;

    slot = tb_table_find(t, h);

    if (slot == NULL) {
        return false;
    }

    do {
        word = atomic_load_explicit(&slot->word, memory_order_acquire);

        if (!tb_slot_is(slot, word, h)) {
            return false;
        }

        own = atomic_load_explicit(&slot->limits, memory_order_acquire);

    } while (atomic_load_explicit(&slot->word, memory_order_relaxed) != word);

    return own & TB_LIMITS_REGISTERED;
}


tb_limits_t
tb_table_own_limits(const tb_table_t *t, const tb_hash_t *h)
{
    tb_slot_t    *slot;
    tb_limits_t   own;

    slot = tb_table_find(t, h);
    own = slot ? atomic_load_explicit(&slot->limits, memory_order_acquire)
               : 0;

    return (own & (TB_LIMITS_REGISTERED | TB_LIMITS_PLAN)) ? own : 0;
}


tb_verdict_t
tb_table_read(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_result_t *result)
{
    tb_slot_t  *slot;

    slot = tb_table_find(t, h);

    if (slot == NULL
        || !tb_slot_read_at(t, slot, h, &now, dflt, &result->word,
                            &result->limits))
    {
        return TB_ABSENT;
    }

    result->slot = slot;
    result->left = tb_word_left(tb_word_settle(result->word, result->limits,
                                               now), result->limits);
    result->evicted = false;

    return TB_PASS;
}


/*
 * A key that is not in the table.  Looks, without a lock, whether bringing
 * it in can succeed at all, so that a flood of keys that would be refused
 * in any case neither queues for the lock nor displaces anybody.  Only
 * looks unless take; else TB_ABSENT where it should be brought in.
 */

static tb_verdict_t
tb_table_judge_new(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result, bool take)
{
    tb_reach_t  reach;

    tb_table_survey(t, h, now, dflt, &reach);

    result->slot = NULL;
    result->limits = dflt;
    result->evicted = false;

    if (reach.hole != NULL) {
        result->left = (int64_t) tb_limits_room(dflt);
        result->word = tb_word(result->left, now);

    } else if (reach.fullest != NULL) {
        result->word = reach.word;
        result->left = reach.tokens;

    } else {
        return tb_table_take_overflow(t, now, dflt, cost, result, take);
    }

    if (result->left - tb_limits_lowest(dflt) < (int64_t) cost) {
        return TB_REFUSE;
    }

    if (take) {
        return TB_ABSENT;
    }

    result->left -= (int64_t) cost;

    return TB_PASS;
}
