
/*
 * The table of buckets: fixed size, in memory that several processes
 * share, addressed by hash.  Not here: the lock that inserts need (the
 * caller's), ids (a table knows hashes only), and who sweeps it when.
 *
 * Memory
 *
 *     tb_table_t header, then the epochs of chunks and of the overflow
 *     bucket, padded to 64 bytes, then ngroups groups of 16 slots of 32 bytes:
 *
 *     +-------+-------+-------+--------+
 *     |  tag  | check | word  | limits |     four 64-bit atomics
 *     +-------+-------+-------+--------+
 *
 *     tag     low half of the hash, what readers look for; 0: no owner
 *     check   high half of the hash
 *     word    the bucket (tb_bucket.h); vacant: none
 *     limits  a registered client's own limits, or its plan (tb_plan.h); 0
 *             for the others, who are limited as the caller's configuration
 *             says, or the plan of one of these, for whoever does not know it
 *
 *     All-zero memory is an empty table, and an empty slot stands for a
 *     full bucket.
 *
 * Placement
 *
 *     Two groups a hash (Azar, Broder, Karlin, Upfal, "Balanced
 *     allocations", 1994), and in each of them a slot from which a
 *     search goes round.  A key goes to its first group while that is not
 *     crowded, so that most hits read one or two cache lines.
 *
 * Who may write what
 *
 *     word    anybody, by compare-and-swap from a value that was read
 *             before tag and check were found to be right
 *     tag, check, limits   the holder of the lock
 *
 * Why a compare-and-swap on word cannot hit the wrong bucket: a tag
 * changes only while the word is vacant or, on the way in, before the
 * word has been seen under that tag; and the words of one slot, across
 * all its owners, have stamps that never go back and that advance when the
 * owner changes (tb_word_next_stamp), so a word never returns to a value
 * that somebody still remembers.  A vacant word keeps the last stamp until
 * no clock in use can be behind it any more.
 *
 * Time
 *
 *     A stamp alone does not tell how many times 4.7 hours ago it was.  The
 *     epoch of a chunk does: ms, no later than now, up to which all words in
 *     the chunk have been brought; 0: nothing was ever put into it.  Whoever
 *     reads a word looks at the epoch after it, and if that is too long
 *     ago first brings the chunk to his time (tb_table_epoch.c).  This goes
 *     without saying for all functions below, and costs something only where
 *     no tick came for half an hour: after the machine, or nginx, stood still.
 *     A clock behind the epoch stands for the epoch.
 *
 * What a holder of the lock that dies leaves behind is valid at each
 * instruction:
 *
 *     tag     word     limits
 *     set     live     0, own   a bucket (or plan)
 *     set     live     HELD     a bucket that was to be displaced
 *     set     vacant   HELD     being displaced; its tokens are in limits
 *     set     vacant   0        full and being freed
 *     0       vacant   HELD     displaced; the next owner starts with those
 *     0       live     any      displaced or coming in; the next owner
 *                               starts with the word's tokens
 *     0       vacant   0        empty
 *
 * HELD is a flag of limits with tokens, as in a word, in place of the rate; it
 * says nothing while the word is live.  The sweep turns each of these back
 * into a bucket or an empty slot, and until then a new key that finds no
 * empty slot may get one without an owner, with the tokens that are in it.
 */


#ifndef TB_TABLE_H
#define TB_TABLE_H


#include <stdatomic.h>
#include <stddef.h>

#include "src/core/limit/tb_bucket.h"
#include "src/core/limit/tb_hash.h"
#include "src/core/limit/tb_plan.h"


#define TB_GROUP_SLOTS   16
#define TB_CHUNK_SLOTS   1024      /* what one epoch speaks for */
#define TB_CHUNK_GROUPS  (TB_CHUNK_SLOTS / TB_GROUP_SLOTS)

/* ms; the clock of who uses a word is less than that after its epoch */
#define TB_EPOCH_SPAN    (TB_AGE_MAX / 4)

/* a full bucket that nobody asked for in that time is freed, ms */
#define TB_IDLE_TIME     1000

/* an empty leased one that nobody saw to is freed, ms */
#define TB_LEASED_TIME   20000


typedef struct {
    _Atomic uint64_t  tag;
    _Atomic uint64_t  check;
    _Atomic uint64_t  word;
    _Atomic uint64_t  limits;
} tb_slot_t;


typedef struct {
    /* set once, then read only */
    uint32_t          ngroups;
    uint32_t          nchunks;
    size_t            slots;       /* bytes from the header to the slots */
    ptrdiff_t         plans;       /* bytes from the header to the plans, or
                                      0: there are none */

    /* written by holders of the lock, read by anybody */
    _Atomic uint64_t  evictions;   /* displaced before they were full */

    /* anybody, by compare-and-swap: new keys that find no room share it */
    _Alignas(64) _Atomic uint64_t  overflow;
} tb_table_t;


/* The most slots that size bytes hold; 0 if not even one group. */

uint32_t tb_table_room(size_t size);

/*
 * Makes a table of size bytes of zeroed memory, aligned to 64 bytes.
 * Returns NULL if not one group fits.
 */

tb_table_t *tb_table_create(void *mem, size_t size);


/*
 * All that is done with a table (tb_take.h, tb_table_edit.h, ...): h is the
 * client's hash; now is in ms of a clock that all users of the table share
 * (small differences are fine); dflt are the limits of clients without own
 * ones; cost and tokens are in µtok.
 *
 * TB_LIMITS_LEASED in dflt is for all buckets.  Leased buckets are brought in
 * by tb_table_put() and empty; they earn nothing, are never freed for being
 * full, and their tokens are changed by tb_table_add() and decisions only.
 * The overflow bucket is not leased: the caller sees to it.
 */


static inline uint32_t
tb_table_slots(const tb_table_t *t)
{
    return t->ngroups * TB_GROUP_SLOTS;
}


static inline tb_slot_t *
tb_table_slot(const tb_table_t *t, uint32_t i)
{
    return (tb_slot_t *) ((char *) t + t->slots) + i;
}


/* One a chunk, and one for the overflow bucket; who may write: see above. */

static inline _Atomic uint64_t *
tb_table_epochs(const tb_table_t *t)
{
    return (_Atomic uint64_t *) (t + 1);
}


/*
 * Whether anything was ever put into the chunk that holds slot i since it
 * was last found empty by tb_table_collect(): chunks without are passed
 * over, so that memory never used is never touched.
 */

static inline bool
tb_table_chunk_used(const tb_table_t *t, uint32_t i)
{
    return atomic_load_explicit(&tb_table_epochs(t)[i / TB_CHUNK_SLOTS],
                                memory_order_relaxed)
           != 0;
}


/*
 * The walk over all slots, by chunks: sets *from to the first slot of the
 * first chunk in use that begins there or later, and *n to how many slots it
 * has.  Returns false where there is none.
 *
 *     for (i = 0; tb_table_each(t, &i, &n); i += n)
 */

static inline bool
tb_table_each(const tb_table_t *t, uint32_t *from, uint32_t *n)
{
    uint32_t  i;

    for (i = *from; i < tb_table_slots(t); i += TB_CHUNK_SLOTS) {

        if (tb_table_chunk_used(t, i)) {
            *from = i;
            *n = tb_table_slots(t) - i < TB_CHUNK_SLOTS
                 ? tb_table_slots(t) - i : TB_CHUNK_SLOTS;

            return true;
        }
    }

    return false;
}


/* Plans in the same shared memory, for the life of the table. */

static inline void
tb_table_use_plans(tb_table_t *t, tb_plans_t *plans)
{
    t->plans = (char *) plans - (char *) t;
}


static inline const tb_plans_t *
tb_table_plans(const tb_table_t *t)
{
    return t->plans
           ? (const tb_plans_t *) (const void *) ((const char *) t + t->plans)
           : NULL;
}


/* The limits in force of a slot whose own are these. */

static inline tb_limits_t
tb_table_limits(const tb_table_t *t, tb_limits_t own, tb_limits_t dflt)
{
    return (own & (TB_LIMITS_REGISTERED | TB_LIMITS_PLAN))
           ? tb_limits_in_force(own, tb_table_plans(t), dflt) : dflt;
}


static inline uint32_t
tb_table_chunk(const tb_table_t *t, const tb_slot_t *slot)
{
    return (uint32_t) ((size_t) (slot - tb_table_slot(t, 0))
                       / TB_CHUNK_SLOTS);
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


/* tb_table_find() of a key that is not where most are. */

tb_slot_t *tb_table_search(const tb_table_t *t, const tb_hash_t *h);


/*
 * The slot that h owns, live or half done, or NULL.  Without the lock that
 * is no more than a hint: whoever uses the word checks tag and check again.
 */

static inline tb_slot_t *
tb_table_find(const tb_table_t *t, const tb_hash_t *h)
{
    tb_slot_t  *slot;

    slot = tb_group_slot(tb_table_group_slots(t, h, 0), h, 0);

    if (atomic_load_explicit(&slot->tag, memory_order_acquire) == h->lo
        && atomic_load_explicit(&slot->check, memory_order_relaxed) == h->hi)
    {
        return slot;
    }

    return tb_table_search(t, h);
}


#endif /* TB_TABLE_H */
