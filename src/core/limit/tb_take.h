
/*
 * What is done with one key without the lock: the decision, for its callers
 * to inline, and what else is done with tokens.  Inserts and everything else
 * that changes owners are in tb_table_edit.h.
 */


#ifndef TB_TAKE_H
#define TB_TAKE_H


#include "src/core/limit/tb_slot.h"
#include "src/core/limit/tb_table_epoch.h"


/* The decision is inlined however often it is, and whatever its size. */

#if defined(__GNUC__)
#define TB_INLINE    static inline __attribute__((always_inline))
#define TB_NOINLINE  __attribute__((noinline))
#else
#define TB_INLINE    static inline
#define TB_NOINLINE
#endif


typedef struct {
    tb_slot_t        *slot;        /* of a bucket that was found or brought
                                      in; may be another's by now; NULL: the
                                      overflow bucket, or none */
    tb_limits_t       limits;      /* in force for this bucket */
    tb_word_t         word;        /* as it was before the decision */
    int64_t           left;        /* µtok after it; < 0: debt; of leased
                                      places: those that are free */
    bool              evicted;     /* a live bucket made room */
} tb_result_t;


/*
 * The decision for a request.  Takes no lock; one compare-and-swap when
 * nobody interferes.  TB_PASS: cost has been taken.  TB_REFUSE: nothing has
 * been changed.  TB_ABSENT: the key is new and has to be brought in by
 * tb_table_insert() under the lock.  A new key that would have to displace
 * a bucket which does not hold cost is refused right here, and one that
 * asks for nothing (cost 0) is not brought in at all.  *result is set
 * unless TB_ABSENT is returned.
 */

tb_verdict_t tb_table_take(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result);

/*
 * The same for a bucket that is in the table; TB_ABSENT for all others.
 */

tb_verdict_t tb_table_take_known(tb_table_t *t, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, uint64_t cost, tb_result_t *result);

/* What tb_table_take_known() would decide; changes nothing. */

tb_verdict_t tb_table_peek_known(tb_table_t *t, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, uint64_t cost, tb_result_t *result);

/*
 * What tb_table_take() would decide; changes nothing.  A new key for which
 * there is room is judged as the full bucket that it would be.
 */

tb_verdict_t tb_table_peek(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result);

/*
 * A take that waits for its tokens, of a bucket that has not got them: goes
 * into debt, unless that takes more than most ms to refill, or cost is more
 * than the capacity.  TB_PASS: cost has been taken, and the request is to be
 * held for *hold ms; who leaves before gives it back.  TB_REFUSE: nothing
 * has been changed.  TB_ABSENT: the bucket is not in the table.  Lock-free.
 */

tb_verdict_t tb_table_wait(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, uint64_t most, tb_result_t *result,
    uint64_t *hold);

/*
 * Takes cost from a bucket, whatever that holds, down to floor
 * (-TB_DEBT_MAX .. 0): for what turned out to cost more, and for penalties.
 * *charged is set to what was taken.  TB_PASS, and *result; or TB_ABSENT
 * where the bucket is not in the table: tb_table_insert_charge() brings it
 * in.  Lock-free.
 */

tb_verdict_t tb_table_charge(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, int64_t floor, tb_result_t *result,
    uint64_t *charged);

/*
 * Gives back what was taken, up to the capacity, if the bucket is still
 * there; else returns false.  Lock-free.
 */

bool tb_table_give(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t tokens);

/*
 * Adds tokens to a leased bucket in that slot if it is that owner's, or takes
 * out (tokens < 0) what is there of them.  Returns the change, 0 where the
 * owner is another, or the window of dflt is over.  Lock-free.
 */

int64_t tb_table_add(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, int64_t tokens);

/*
 * Whether the client has own limits.  Lock-free.  The answer is of some
 * instant during the call.
 */

bool tb_table_is_registered(const tb_table_t *t, const tb_hash_t *h);

/*
 * The limits of the client's slot, as tb_table_set_limits() has set them; 0:
 * none, or no slot.  Lock-free, of some instant.
 */

tb_limits_t tb_table_own_limits(const tb_table_t *t, const tb_hash_t *h);

/*
 * The bucket in slot i, if there is one: whose it is, the limits in force,
 * and its tokens at *now, which becomes the epoch if that is later.
 * Lock-free.
 */

bool tb_table_bucket(tb_table_t *t, uint32_t i, uint64_t *now,
    tb_limits_t dflt, tb_hash_t *h, tb_limits_t *limits, int64_t *tokens);

/*
 * Whether tb_table_put() of a registered client would find room.  Lock-free;
 * with the lock held, or nobody registering meanwhile, the answer lasts.
 */

bool tb_table_has_room(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt);

/*
 * The bucket as it is now: TB_PASS and result (left: its tokens at now) or
 * TB_ABSENT.  Lock-free.
 */

tb_verdict_t tb_table_read(tb_table_t *t, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, tb_result_t *result);

/* Sets the tokens (µtok, cut to the capacity; < 0: debt).  Lock-free. */

bool tb_table_set_tokens(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, int64_t tokens);

/*
 * The same, unless the bucket holds less by then; false: there is none.
 */

bool tb_table_lower_tokens(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, int64_t tokens);


/* Whether the slot is h's, with a word that was read before. */

static inline bool
tb_slot_is(const tb_slot_t *slot, tb_word_t word, const tb_hash_t *h)
{
    return !tb_word_is_vacant(word)
           && atomic_load_explicit(&slot->tag, memory_order_acquire) == h->lo
           && atomic_load_explicit(&slot->check, memory_order_relaxed)
              == h->hi;
}


/*
 * A bucket's word and the limits in force, if the slot is h's.  The tag is
 * checked after the word has been read: see tb_table.h for what a later
 * compare-and-swap on that word may then rely on.  Own limits might be
 * those of a next owner already, unless the word is still the same.
 */

TB_INLINE bool
tb_slot_read(const tb_table_t *t, const tb_slot_t *slot, const tb_hash_t *h,
    tb_limits_t dflt, tb_word_t *word, tb_limits_t *limits)
{
    do {
        *word = atomic_load_explicit(&slot->word, memory_order_acquire);

        if (!tb_slot_is(slot, *word, h)) {
            return false;
        }

        *limits = atomic_load_explicit(&slot->limits, memory_order_acquire);

        if (!(*limits & (TB_LIMITS_REGISTERED | TB_LIMITS_PLAN))) {
            *limits = dflt;
            return true;
        }

        /* a client may be registered without limits of its own */

        if ((*limits & TB_LIMITS_PLAN) || (dflt & TB_LIMITS_TIMELESS)
            || *limits >> 4 == 0)
        {
            *limits = tb_limits_in_force(*limits, tb_table_plans(t), dflt);
        }

    } while (atomic_load_explicit(&slot->word, memory_order_relaxed)
             != *word);

    return true;
}


/* The same, for who settles the word: to *now, which may become later. */

TB_INLINE bool
tb_slot_read_at(tb_table_t *t, const tb_slot_t *slot, const tb_hash_t *h,
    uint64_t *now, tb_limits_t dflt, tb_word_t *word, tb_limits_t *limits)
{
    uint32_t  chunk;

    chunk = tb_table_chunk(t, slot);

    do {
        if (!tb_slot_read(t, slot, h, dflt, word, limits)) {
            return false;
        }

    } while (!tb_table_is_current(t, chunk, now, dflt));

    return true;
}


/*
 * The slot that a search would look at first, if it is h's, and its word may be
 * settled at now without a look at the epoch of all words; else NULL.
 */

TB_INLINE tb_slot_t *
tb_table_first(const tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_word_t *word)
{
    uint32_t    group;
    uint64_t    epoch;
    tb_slot_t  *slot;

    group = tb_table_group(t, h->hi);
    slot = tb_group_slot(tb_table_slot(t, group * TB_GROUP_SLOTS), h, 0);

    *word = atomic_load_explicit(&slot->word, memory_order_acquire);

    if (!tb_slot_is(slot, *word, h)) {
        return NULL;
    }

    epoch = atomic_load_explicit(&tb_table_epochs(t)[group
                                                     / TB_CHUNK_GROUPS],
                                 memory_order_relaxed);

    return (now - epoch < TB_EPOCH_SPAN) ? slot : NULL;
}


/*
 * The decision as nearly all are made: of a cost that is not 0, where time
 * refills, in the first slot that a search would look at, by limits that the
 * slot has or those of all others.  TB_PASS: cost has been taken.  TB_ABSENT:
 * something is not like that, and it is for tb_table_take() to decide.
 */

TB_INLINE tb_verdict_t
tb_table_take_first(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result)
{
    int64_t      tokens;
    uint64_t     stamp;
    tb_slot_t   *slot;
    tb_word_t    word;
    tb_limits_t  own;

    slot = tb_table_first(t, h, now, &word);

    if (slot == NULL) {
        return TB_ABSENT;
    }

    own = atomic_load_explicit(&slot->limits, memory_order_acquire);

    if (own & (TB_LIMITS_REGISTERED | TB_LIMITS_PLAN)) {

        if ((own & TB_LIMITS_PLAN) || own >> 4 == 0) {
            return TB_ABSENT;
        }

        dflt = own;
    }

    tokens = tb_word_refilled(word, tb_limits_rate(dflt),
                              tb_limits_capacity(dflt) * TB_TOKEN, now,
                              &stamp);

    if (tokens < (int64_t) cost
        || !tb_slot_swap(slot, word, tb_word(tokens - (int64_t) cost, stamp)))
    {
        return TB_ABSENT;
    }

    result->slot = slot;
    result->word = word;
    result->limits = dflt;
    result->left = tokens - (int64_t) cost;
    result->evicted = false;

    return TB_PASS;
}


/*
 * A bucket's word and the limits in force, if the slot is h's, and the word may
 * be settled at now without a look at the epoch of all words.  For who goes on
 * to a compare-and-swap on the word: while that has not changed, the limits are
 * those of its owner.  kind: the flags of dflt that are TB_LIMITS_TIMELESS, a
 * constant, so that nothing is left of what is for others; not leased.
 */

TB_INLINE bool
tb_slot_see(const tb_table_t *t, const tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, uint64_t kind, tb_word_t *word,
    tb_limits_t *limits)
{
    tb_limits_t  own;

    *word = atomic_load_explicit(&slot->word, memory_order_acquire);

    if (!tb_slot_is(slot, *word, h)
        || now - atomic_load_explicit(&tb_table_epochs(t)
                                          [tb_table_chunk(t, slot)],
                                      memory_order_relaxed)
           >= TB_EPOCH_SPAN)
    {
        return false;
    }

    own = atomic_load_explicit(&slot->limits, memory_order_acquire);

    if (own & (TB_LIMITS_REGISTERED | TB_LIMITS_PLAN)) {

        /* a client may be registered without limits of its own */

        dflt = (kind == 0 && !(own & TB_LIMITS_PLAN) && own >> 4 != 0)
               ? own : tb_limits_in_force(own, tb_table_plans(t), dflt);
    }

    *limits = (dflt & ~TB_LIMITS_TIMELESS) | kind;

    return true;
}


/*
 * The first half of a decision, which changes nothing: if the bucket is in the
 * first slot that a search would look at, and holds cost, *result is what
 * tb_result_take() leaves, and the tokens that remain (µtok) are returned.
 * -1: something is not like that, and it is for tb_table_take() to decide.
 * kind: as above.
 */

TB_INLINE int64_t
tb_table_look(const tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t kind, uint64_t cost, tb_result_t *result)
{
    int64_t      left;
    uint64_t     stamp;
    tb_slot_t   *slot;
    tb_word_t    word;
    tb_limits_t  limits;

    slot = tb_group_slot(tb_table_group_slots(t, h, 0), h, 0);

    if (!tb_slot_see(t, slot, h, now, dflt, kind, &word, &limits)) {
        return -1;
    }

    left = tb_word_tokens_at(word, limits, now, &stamp) - (int64_t) cost;

    result->slot = slot;
    result->limits = limits;
    result->word = word;
    result->left = left;
    result->evicted = false;

    left -= tb_limits_lowest(limits);

    return (stamp == now && left >= 0) ? left : -1;
}


/* The second half, at the same now: one compare-and-swap, which may fail. */

static inline bool
tb_result_take(const tb_result_t *seen, uint64_t now)
{
    return tb_slot_swap(seen->slot, seen->word, tb_word(seen->left, now));
}


/*
 * Changes the tokens (µtok) of a bucket that was in that slot when something
 * was taken from it: gives them back, up to the capacity, or takes more (< 0),
 * into debt; loses nothing to rounding.  false: the bucket is not there, or
 * something else is not as it mostly is; nothing has been changed, and it is
 * for tb_table_give() or tb_table_charge().  kind: as above.  Lock-free.
 */

TB_INLINE bool
tb_slot_adjust(const tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, uint64_t kind, int64_t tokens)
{
    int64_t      full, settled, sum;
    uint64_t     stamp;
    tb_word_t    word;
    tb_limits_t  limits;

    if (!tb_slot_see(t, slot, h, now, dflt, kind, &word, &limits)) {
        return false;
    }

    full = (int64_t) tb_limits_room(limits);
    settled = tb_word_tokens_at(word, limits, now, &stamp);
    sum = settled + tokens;

    if (tokens < 0 && sum < tb_limits_lowest(limits) - TB_DEBT_MAX) {
        return false;
    }

    if (kind == 0 && settled < full && sum < full
        && tb_word_tokens(word) + tokens >= -TB_DEBT_MAX)
    {
        /* the refill is left to come */

        return tb_slot_swap(slot, word,
                            word + ((uint64_t) tokens << TB_STAMP_BITS));
    }

    return tb_slot_swap(slot, word, tb_word(sum < full ? sum : full, stamp));
}


#endif /* TB_TAKE_H */
