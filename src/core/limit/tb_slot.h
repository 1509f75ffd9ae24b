
/*
 * What the files of the table share: placement, the search, and a survey
 * of the slots that a key can be in.  For tb_table*.c and tb_take.h alone.
 */


#ifndef TB_SLOT_H
#define TB_SLOT_H


#include "src/core/limit/tb_table.h"


/* a group with so many owners is crowded: the emptier one is taken */
#define TB_GROUP_CROWDED  12


/* What a new key finds in its two groups. */

typedef struct {
    tb_slot_t        *hole;        /* an empty slot; NULL: none */
    tb_slot_t        *fullest;     /* to displace, or a former owner's
                                      tokens; NULL: all are registered */
    tb_word_t         word;        /* of the fullest, as read */
    uint64_t          tokens;      /* of the fullest at now, µtok */
} tb_reach_t;


/* Lock-free; what it reports is of some instants during the call. */

void tb_table_survey(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_reach_t *reach);


/*
 * Brings all words of a chunk, or of the overflow bucket (chunk nchunks), to
 * *now if its epoch is most ms ago, TB_EPOCH_SPAN at most.  *now becomes the
 * epoch if that is later.  Returns false if the chunk is not in use.
 * Lock-free.
 */

bool tb_table_follow(tb_table_t *t, uint32_t chunk, uint64_t *now,
    uint64_t most, tb_limits_t dflt);

/* Sets the epoch of a chunk if that is not in use. */

void tb_table_begin(tb_table_t *t, uint32_t chunk, uint64_t now);


static inline uint32_t
tb_table_chunk(const tb_table_t *t, const tb_slot_t *slot)
{
    return (uint32_t) ((size_t) (slot - tb_table_slot(t, 0))
                       / TB_CHUNK_SLOTS);
}


/*
 * Whether a word of the chunk that was read before this call can be settled
 * to *now; else it is to be read again, and settled to what *now has become.
 */

static inline bool
tb_table_is_current(tb_table_t *t, uint32_t chunk, uint64_t *now,
    tb_limits_t dflt)
{
    uint64_t  epoch;

    epoch = atomic_load_explicit(&tb_table_epochs(t)[chunk],
                                 memory_order_relaxed);

    return *now - epoch < TB_EPOCH_SPAN
           || !tb_table_follow(t, chunk, now, TB_EPOCH_SPAN, dflt);
}


/* The word of a slot, to be settled to *now. */

static inline tb_word_t
tb_slot_word(tb_table_t *t, const tb_slot_t *slot, uint64_t *now,
    tb_limits_t dflt)
{
    uint32_t   chunk;
    tb_word_t  word;

    chunk = tb_table_chunk(t, slot);

    do {
        word = atomic_load_explicit(&slot->word, memory_order_acquire);

    } while (!tb_table_is_current(t, chunk, now, dflt));

    return word;
}


/* The time of a stamp, of a word that is used at that epoch. */

static inline uint64_t
tb_epoch_stamp(uint64_t epoch, tb_word_t word)
{
    uint64_t  begin;

    begin = epoch - TB_EPOCH_SPAN;

    return begin + ((word - begin) & TB_STAMP_MASK);
}


/*
 * The groups of a hash: two halves of it scaled to the number of groups
 * (D. Lemire, "Fast random integer generation in an interval", 2019).
 */

static inline uint32_t
tb_table_group(const tb_table_t *t, uint64_t half)
{
    return (uint32_t) ((half & UINT32_MAX) * t->ngroups >> 32);
}


static inline tb_slot_t *
tb_table_group_slots(const tb_table_t *t, const tb_hash_t *h, uint32_t n)
{
    uint32_t  group, other;

    group = tb_table_group(t, h->hi);

    if (n == 1) {
        other = tb_table_group(t, h->hi >> 32);

        if (other == group && ++other == t->ngroups) {
            other = 0;
        }

        group = other;
    }

    return tb_table_slot(t, group * TB_GROUP_SLOTS);
}


/* The i-th slot of a group that a search for h looks at. */

static inline tb_slot_t *
tb_group_slot(tb_slot_t *group, const tb_hash_t *h, uint32_t i)
{
    return &group[((uint32_t) h->lo + i) % TB_GROUP_SLOTS];
}


/*
 * The slot that h owns, live or half done, or NULL.  Without the lock that
 * is no more than a hint: whoever uses the word checks tag and check again.
 */

static inline tb_slot_t *
tb_table_find(const tb_table_t *t, const tb_hash_t *h)
{
    uint32_t    i, n;
    tb_slot_t  *group, *slot;

    for (n = 0; n < 2; n++) {
        group = tb_table_group_slots(t, h, n);

        for (i = 0; i < TB_GROUP_SLOTS; i++) {
            slot = tb_group_slot(group, h, i);

            if (atomic_load_explicit(&slot->tag, memory_order_acquire)
                == h->lo
                && atomic_load_explicit(&slot->check, memory_order_relaxed)
                   == h->hi)
            {
                return slot;
            }
        }
    }

    return NULL;
}


/* Whether there is neither an owner nor anything that a former one left. */

static inline bool
tb_slot_is_empty(uint64_t tag, tb_word_t word, tb_limits_t limits)
{
    return tag == 0 && tb_word_is_vacant(word)
           && !(limits & TB_LIMITS_HELD);
}


/* What the next owner of a slot without a live one starts with, in µtok. */

static inline uint64_t
tb_slot_left_over(tb_word_t word, tb_limits_t limits, uint64_t now,
    tb_limits_t dflt)
{
    uint64_t  full, tokens;

    if (!tb_word_is_vacant(word)) {
        return tb_word_tokens(tb_word_settle(word, dflt, now));
    }

    full = tb_limits_full(dflt);
    tokens = (limits & TB_LIMITS_HELD) ? tb_limits_rate(limits)
             : (dflt & TB_LIMITS_LEASED) ? 0 : full;

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
               && tb_word_tokens(word) == 0;
    }

    return age >= TB_IDLE_TIME && age < TB_AGE_MAX
           && tb_word_tokens(tb_word_settle(word, dflt, now))
              == tb_limits_full(dflt);
}


static inline bool
tb_slot_swap(tb_slot_t *slot, tb_word_t from, tb_word_t to)
{
    return atomic_compare_exchange_strong_explicit(&slot->word, &from, to,
                                                   memory_order_acq_rel,
                                                   memory_order_relaxed);
}


#endif /* TB_SLOT_H */
