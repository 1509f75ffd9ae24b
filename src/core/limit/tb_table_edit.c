
/*
 * What changes owners in the table: inserts, displacement, registration.
 * Everything here is done by the holder of the lock, in an order that is
 * valid after each single store (the states are listed in tb_table.h).
 */


#include "src/core/limit/tb_table_edit.h"
#include "src/core/limit/tb_slot.h"
#include "src/core/limit/tb_table_overflow.h"
#include "src/core/limit/tb_table_survey.h"


static bool tb_table_displace(tb_table_t *t, tb_slot_t *slot, uint64_t now,
    tb_limits_t dflt, int64_t least, tb_result_t *result);
static void tb_table_settle_in(tb_table_t *t, tb_slot_t *slot,
    const tb_hash_t *h, uint64_t now, tb_limits_t dflt, tb_limits_t limits,
    int64_t tokens);
static bool tb_slot_collect(tb_table_t *t, tb_slot_t *slot, uint64_t now,
    tb_limits_t dflt);
static void tb_slot_revive(tb_table_t *t, tb_slot_t *slot, uint64_t now,
    tb_limits_t dflt);


tb_verdict_t
tb_table_insert(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result)
{
    int64_t        least;
    tb_slot_t     *slot;
    tb_reach_t     reach;
    tb_verdict_t   verdict;

    slot = tb_table_find(t, h);

    if (slot != NULL) {
        tb_slot_revive(t, slot, now, dflt);
    }

    verdict = tb_table_take(t, h, now, dflt, cost, result);

    if (verdict != TB_ABSENT) {
        return verdict;
    }

    tb_table_survey(t, h, now, dflt, &reach);

    result->limits = dflt;
    result->evicted = false;

    slot = reach.hole ? reach.hole : reach.fullest;
    result->slot = slot;

    if (slot == NULL) {
        return tb_table_take_overflow(t, now, dflt, cost, result, true);
    }

    least = (dflt & TB_LIMITS_PLACES)
            ? (int64_t) tb_limits_room(dflt)
            : (int64_t) cost + tb_limits_lowest(dflt);

    if (!tb_table_displace(t, slot, now, dflt, least, result)) {
        return TB_REFUSE;
    }

    result->left -= (int64_t) cost;

    tb_table_settle_in(t, slot, h, now, dflt, 0, result->left);

    return TB_PASS;
}


void
tb_table_insert_charge(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, int64_t floor, tb_result_t *result,
    uint64_t *charged)
{
    tb_slot_t   *slot;
    tb_word_t    word;
    tb_reach_t   reach;

    slot = tb_table_find(t, h);

    if (slot != NULL) {
        tb_slot_revive(t, slot, now, dflt);
    }

    if (tb_table_charge(t, h, now, dflt, cost, floor, result, charged)
        == TB_PASS)
    {
        return;
    }

    tb_table_survey(t, h, now, dflt, &reach);

    slot = reach.hole ? reach.hole : reach.fullest;

    if (slot == NULL) {
        tb_table_charge_overflow(t, now, dflt, cost, floor, result, charged);
        return;
    }

    (void) tb_table_displace(t, slot, now, dflt, -TB_DEBT_MAX, result);

    word = tb_word_charge(tb_word(result->left, now), dflt, now, cost, floor,
                          charged);

    result->slot = slot;
    result->limits = dflt;
    result->left = tb_word_tokens(word);

    tb_table_settle_in(t, slot, h, now, dflt, 0, result->left);
}


bool
tb_table_put(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_limits_t limits, int64_t tokens)
{
    int64_t       full, least;
    tb_slot_t    *slot;
    tb_reach_t    reach;
    tb_limits_t   own;
    tb_result_t   result;

    own = tb_table_limits(t, limits, dflt);
    full = (int64_t) tb_limits_room(own);
    tokens = tokens < full ? tokens : full;

    if (tb_table_set_limits(t, h, now, dflt, limits)) {
        return (dflt & TB_LIMITS_LEASED)
               || tb_table_set_tokens(t, h, now, dflt, tokens);
    }

    tb_table_survey(t, h, now, dflt, &reach);

    slot = reach.hole;

    if (slot == NULL) {
        slot = reach.fullest;

        if (slot == NULL
            || (!(limits & TB_LIMITS_REGISTERED)
                && reach.tokens <= tb_limits_convert(own, dflt, tokens)
                && !(dflt & TB_LIMITS_LEASED)))
        {
            return false;
        }
    }

    (void) tb_table_displace(t, slot, now, dflt, -TB_DEBT_MAX, &result);

    if (dflt & TB_LIMITS_LEASED) {
        tb_table_settle_in(t, slot, h, now, dflt, limits,
                           tb_limits_nothing(dflt));
        return true;
    }

    /* never more than the slot held before it has its new owner */

    least = tb_limits_convert(dflt, own, result.left);
    least = tokens < least ? tokens : least;

    tb_table_settle_in(t, slot, h, now, dflt, limits, least);

    return least == tokens
           || tb_table_set_tokens(t, h, now, dflt, tokens);
}


void
tb_table_assign(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_limits_t limits)
{
    bool          empty;
    tb_slot_t    *slot;
    tb_reach_t    reach;
    tb_limits_t   own;
    tb_result_t   result;

    if (tb_table_set_limits(t, h, now, dflt, limits)) {
        return;
    }

    tb_table_survey(t, h, now, dflt, &reach);

    slot = reach.hole ? reach.hole
           : (dflt & (TB_LIMITS_LEASED | TB_LIMITS_PLACES)) ? NULL
           : reach.fullest;

    if (slot == NULL) {
        return;
    }

    own = atomic_load_explicit(&slot->limits, memory_order_relaxed);
    empty = tb_slot_is_empty(atomic_load_explicit(&slot->tag,
                                                  memory_order_relaxed),
                             tb_slot_word(t, slot, &now, dflt), own);

    (void) tb_table_displace(t, slot, now, dflt, -TB_DEBT_MAX, &result);

    own = tb_table_limits(t, limits, dflt);

    result.left = (empty && !(dflt & TB_LIMITS_LEASED))
                  ? (int64_t) tb_limits_room(own)
                  : tb_limits_convert(dflt, own, result.left);

    tb_table_settle_in(t, slot, h, now, dflt, limits, result.left);
}


tb_slot_t *
tb_table_victim(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt)
{
    tb_reach_t  reach;

    tb_table_survey(t, h, now, dflt, &reach);

    return reach.hole ? NULL : reach.fullest;
}


bool
tb_table_set_limits(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_limits_t limits)
{
    int64_t       full, tokens;
    tb_slot_t    *slot;
    tb_word_t     word, next;
    tb_limits_t   old;

    slot = tb_table_find(t, h);

    if (slot == NULL) {
        return false;
    }

    tb_slot_revive(t, slot, now, dflt);

    old = atomic_load_explicit(&slot->limits, memory_order_relaxed);
    old = tb_table_limits(t, old, dflt);
    full = (int64_t) tb_limits_room(tb_table_limits(t, limits, dflt));

    do {
        word = tb_slot_word(t, slot, &now, dflt);
        next = tb_word_settle(word, old, now);
        tokens = tb_word_tokens(next);
        next = tb_word(tokens < full ? tokens : full, next);

    } while (!tb_slot_swap(slot, word, next));

    atomic_store_explicit(&slot->limits, limits, memory_order_release);

    return true;
}


void
tb_table_forget(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t tokens)
{
    bool        as_new;
    int64_t     left;
    uint64_t    full;
    tb_slot_t  *slot;
    tb_word_t   word;

    slot = tb_table_find(t, h);

    if (slot == NULL
        || (atomic_load_explicit(&slot->limits, memory_order_relaxed)
            & TB_LIMITS_REGISTERED))
    {
        return;
    }

    dflt = tb_table_limits(t, atomic_load_explicit(&slot->limits,
                                                   memory_order_relaxed),
                           dflt);
    full = tb_limits_room(dflt);
    word = tb_slot_word(t, slot, &now, dflt);
    left = tb_word_tokens(tb_word_settle(word, dflt, now));

    as_new = (dflt & TB_LIMITS_LEASED)
             ? left == tb_limits_nothing(dflt)
             : left >= (int64_t) (tokens < full ? tokens : full);

    if (!tb_word_is_vacant(word) && as_new
        && tb_slot_swap(slot, word, tb_word_vacant(word)))
    {
        atomic_store_explicit(&slot->tag, 0, memory_order_release);
    }
}


void
tb_table_collect(tb_table_t *t, uint32_t from, uint32_t n, uint64_t now,
    tb_limits_t dflt)
{
    bool          used;
    uint32_t      i;
    tb_slot_t    *slot;

    used = false;

    for (i = from; i < from + n && i < tb_table_slots(t); i++) {
        slot = tb_table_slot(t, i);

        if (atomic_load_explicit(&slot->limits, memory_order_relaxed)
            & TB_LIMITS_HELD)
        {
            tb_slot_revive(t, slot, now, dflt);
        }

        used |= !tb_slot_collect(t, slot, now, dflt);
    }

    if (!used && from % TB_CHUNK_SLOTS == 0 && n >= TB_CHUNK_SLOTS) {
        atomic_store_explicit(&tb_table_epochs(t)[from / TB_CHUNK_SLOTS], 0,
                              memory_order_release);
    }
}


/*
 * Frees what is over, one state of tb_table.h a call.  Returns true for a
 * slot that is as it was in the beginning.
 */

static bool
tb_slot_collect(tb_table_t *t, tb_slot_t *slot, uint64_t now,
    tb_limits_t dflt)
{
    uint64_t     age, tag;
    tb_word_t    next, word;
    tb_limits_t  own;

    word = tb_slot_word(t, slot, &now, dflt);
    tag = atomic_load_explicit(&slot->tag, memory_order_relaxed);
    own = atomic_load_explicit(&slot->limits, memory_order_relaxed);
    age = tb_word_age(word, now);

    if (tb_word_is_vacant(word)) {

        if (tag != 0) {
            atomic_store_explicit(&slot->tag, 0, memory_order_release);
            return false;
        }

        if (own != 0) {
            atomic_store_explicit(&slot->limits, 0, memory_order_release);
            return false;
        }

        /* later than any clock was when the last owner went */

        return word == 0
               || (age >= TB_IDLE_TIME && age < TB_AGE_MAX
                   && tb_slot_swap(slot, word, 0));
    }

    if (tag == 0) {

        /* its owner was displaced, or never came in */

        atomic_store_explicit(&slot->limits, 0, memory_order_release);

        next = tb_word_tick(word, dflt, now);

        if (tb_limits_is_full(dflt, tb_word_tokens(next))
            || (dflt & TB_LIMITS_LEASED))
        {
            next = tb_word_vacant(next);
        }

        (void) tb_slot_swap(slot, word, next);

    } else if (!(own & TB_LIMITS_REGISTERED)
               && tb_slot_idle(word, tb_table_limits(t, own, dflt), now))
    {
        if (tb_plan_goes_back(own)) {

            /* it has been full of less than what it is to be full of */

            next = tb_word_settle(word, tb_table_limits(t, own, dflt), now);

            if (tb_slot_swap(slot, word, next)) {
                atomic_store_explicit(&slot->limits, tb_plan_before(own),
                                      memory_order_release);
            }

        } else if (tb_slot_swap(slot, word, tb_word_vacant(word))) {
            atomic_store_explicit(&slot->tag, 0, memory_order_release);
        }
    }

    return false;
}


/*
 * Makes a slot that is not registered ready for its next owner, unless it
 * holds fewer than least tokens by then.  result->left is set to the tokens
 * it holds.  Those of a bucket are noted in limits before the word goes
 * vacant, so that a death in between does not turn a drained bucket into a
 * fresh one.  Each round that fails has seen somebody else take tokens from
 * the bucket, of which there is a limited number.
 */

static bool
tb_table_displace(tb_table_t *t, tb_slot_t *slot, uint64_t now,
    tb_limits_t dflt, int64_t least, tb_result_t *result)
{
    uint64_t     evictions;
    tb_word_t    word;
    tb_limits_t  limits, own;

    if (atomic_load_explicit(&slot->tag, memory_order_relaxed) == 0) {
        word = tb_slot_word(t, slot, &now, dflt);
        limits = atomic_load_explicit(&slot->limits, memory_order_relaxed);

        result->left = tb_slot_left_over(word, limits, now, dflt);
        result->word = tb_word(result->left, now);

        return result->left >= least;
    }

    own = atomic_load_explicit(&slot->limits, memory_order_relaxed);
    limits = tb_table_limits(t, own, dflt);

    do {
        word = tb_slot_word(t, slot, &now, dflt);

        result->word = word;
        result->left = tb_limits_convert(limits, dflt, tb_word_tokens(
                                         tb_word_settle(word, limits, now)));

        if (result->left < least) {
            atomic_store_explicit(&slot->limits, own & TB_LIMITS_HELD ? 0
                                                                      : own,
                                  memory_order_release);
            return false;
        }

        atomic_store_explicit(&slot->limits, tb_limits_hold(result->left),
                              memory_order_release);

    } while (!tb_slot_swap(slot, word, tb_word_vacant(word)));

    atomic_store_explicit(&slot->tag, 0, memory_order_release);

    result->evicted = !tb_limits_is_full(dflt, result->left);

    if (result->evicted) {

        /* written under the lock only, so no read-modify-write */

        evictions = atomic_load_explicit(&t->evictions,
                                         memory_order_relaxed);
        atomic_store_explicit(&t->evictions, evictions + 1,
                              memory_order_relaxed);
    }

    return true;
}


/* Makes h the owner of a slot that has none. */

static void
tb_table_settle_in(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, tb_limits_t limits, int64_t tokens)
{
    tb_word_t  next, word;

    tb_table_begin(t, tb_table_chunk(t, slot), now);

    /* release: not before the tag of the last owner is gone */

    atomic_store_explicit(&slot->check, h->hi, memory_order_release);

    do {
        word = tb_slot_word(t, slot, &now, dflt);
        next = tb_word(tokens, tb_word_next_stamp(word, now));

    } while (!tb_slot_swap(slot, word, next));

    atomic_store_explicit(&slot->limits, limits, memory_order_release);
    atomic_store_explicit(&slot->tag, h->lo, memory_order_release);
}


/*
 * Undoes a displacement, or a release, that its doer did not live to
 * finish: the bucket is there again, with or without an owner.
 */

static void
tb_slot_revive(tb_table_t *t, tb_slot_t *slot, uint64_t now, tb_limits_t dflt)
{
    int64_t      tokens;
    tb_word_t    next, word;
    tb_limits_t  limits;

    limits = atomic_load_explicit(&slot->limits, memory_order_relaxed);

    do {
        word = tb_slot_word(t, slot, &now, dflt);

        if (!tb_word_is_vacant(word)) {
            break;
        }

        tokens = tb_slot_left_over(word, limits, now, dflt);
        next = tb_word(tokens, tb_word_next_stamp(word, now));

    } while (!tb_slot_swap(slot, word, next));

    if (limits & TB_LIMITS_HELD) {
        atomic_store_explicit(&slot->limits, 0, memory_order_release);
    }
}
