
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
 *     limits  a registered client's own limits; 0 for the others, who are
 *             limited as the caller's configuration says
 *
 *     All-zero memory is an empty table, and an empty slot stands for a
 *     full bucket.
 *
 * Placement
 *
 *     Two groups a hash (Azar, Broder, Karlin, Upfal, "Balanced
 *     allocations", 1994), and in each of them a home slot from which a
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
 *     set     live     0, own   a bucket
 *     set     live     HELD     a bucket that was to be displaced
 *     set     vacant   HELD     being displaced; its tokens are in limits
 *     set     vacant   0        full and being freed
 *     0       vacant   HELD     displaced; the next owner starts with those
 *     0       live     any      displaced or coming in; the next owner
 *                               starts with the word's tokens
 *     0       vacant   0        empty
 *
 * HELD is a flag of limits with tokens (µtok) in place of the rate; it
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


#define TB_GROUP_SLOTS   16
#define TB_CHUNK_SLOTS   1024      /* what one epoch speaks for */

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

    /* written by holders of the lock, read by anybody */
    _Atomic uint64_t  evictions;   /* displaced before they were full */

    /* anybody, by compare-and-swap: new keys that find no room share it */
    _Alignas(64) _Atomic uint64_t  overflow;
} tb_table_t;


typedef struct {
    tb_slot_t        *slot;        /* of a bucket found by tb_table_take_*();
                                      may be another's by now */
    tb_limits_t       limits;      /* in force for this bucket */
    tb_word_t         word;        /* as it was before the decision */
    uint64_t          left;        /* µtok after it */
    bool              evicted;     /* a live bucket made room */
} tb_result_t;


typedef struct {
    uint64_t          buckets;     /* slots with an owner seen */
    uint64_t          registered;
    uint32_t          unclean;     /* slots that tb_table_collect() is for */
} tb_sweep_t;


/* The most slots that size bytes hold; 0 if not even one group. */

uint32_t tb_table_room(size_t size);

/*
 * Makes a table of size bytes of zeroed memory, aligned to 64 bytes.
 * Returns NULL if not one group fits.
 */

tb_table_t *tb_table_create(void *mem, size_t size);

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


/*
 * All of the following: h is the client's hash; now is in ms of a clock
 * that all users of the table share (small differences are fine); dflt are
 * the limits of clients without own ones; cost and tokens are in µtok.
 *
 * TB_LIMITS_LEASED in dflt is for all buckets.  Leased buckets are brought in
 * by tb_table_put() and empty; they earn nothing, are never freed for being
 * full, and their tokens are changed by tb_table_add() and decisions only.
 * The overflow bucket is not leased: the caller sees to it.
 */

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
 * Brings a new key in and takes cost from it at once.  The caller holds the
 * lock.  The key starts full in an empty slot; where none is left it
 * displaces the fullest bucket in reach that is not registered and starts
 * with that one's tokens; where all are registered it uses the overflow
 * bucket.  Refusals take nothing.  Never returns TB_ABSENT.
 */

tb_verdict_t tb_table_insert(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result);

/*
 * The decision on the overflow bucket; only looks unless take.  Sets *result
 * but for its slot.  Lock-free.
 */

tb_verdict_t tb_table_take_overflow(tb_table_t *t, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result, bool take);

/*
 * Credits its refill exactly, so that limits can change after it, and keeps
 * its stamp from getting too old to be told from one ahead; tb_table_tick()
 * does it, unless buckets are leased.  begin: where nobody has used it yet
 * it becomes an empty bucket, instead of a full one later.  Lock-free.
 */

void tb_table_tick_overflow(tb_table_t *t, uint64_t now, tb_limits_t dflt,
    bool begin);

/*
 * Gives back what was taken, up to the capacity, if the bucket is still
 * there.  Lock-free.
 */

void tb_table_give(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t tokens);

/*
 * Adds tokens to a leased bucket in that slot if it is that owner's, or takes
 * out (tokens < 0) what is there of them.  Returns the change, 0 where the
 * owner is another.  Lock-free.
 */

int64_t tb_table_add(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, int64_t tokens);

/* The slot that h owns, or NULL; a hint without the lock. */

tb_slot_t *tb_table_lookup(const tb_table_t *t, const tb_hash_t *h);

/*
 * Whether the client has own limits.  Lock-free.  The answer is of some
 * instant during the call.
 */

bool tb_table_is_registered(const tb_table_t *t, const tb_hash_t *h);

/*
 * Credits the refill of the owners in slots [from, from + n) exactly
 * (tb_word_tick) and adds what it saw to *sweep.  Lock-free; bounded by n.
 */

void tb_table_tick(tb_table_t *t, uint32_t from, uint32_t n, uint64_t now,
    tb_limits_t dflt, tb_sweep_t *sweep);

/*
 * Frees the slots in the same range whose buckets have been full for
 * TB_IDLE_TIME, and mends what a holder of the lock that died left half
 * done.  The caller holds the lock.
 */

void tb_table_collect(tb_table_t *t, uint32_t from, uint32_t n, uint64_t now,
    tb_limits_t dflt);

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
 * The bucket in slot i, if there is one: whose it is, the limits in force,
 * and its tokens at *now, which becomes the epoch if that is later.
 * Lock-free.
 */

bool tb_table_bucket(tb_table_t *t, uint32_t i, uint64_t *now,
    tb_limits_t dflt, tb_hash_t *h, tb_limits_t *limits, uint64_t *tokens);


/*
 * Puts a bucket in as it is, for a table that takes over from another one
 * or from a store: limits are the client's own (TB_LIMITS_REGISTERED set)
 * or 0, tokens its tokens at now.  An owner that is there already gets
 * these limits and these tokens.  The caller holds the lock.  Returns false
 * where there is no room: no empty slot and, for an unregistered one, no
 * bucket fuller than this one; for a registered one, only registered ones
 * in reach.
 */

bool tb_table_put(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_limits_t limits, uint64_t tokens);

/*
 * The slot of the bucket that tb_table_put() of a new client that is not
 * registered would displace, if no decision comes in between; NULL: there is
 * an empty one, or none.  The caller holds the lock.
 */

tb_slot_t *tb_table_victim(tb_table_t *t, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt);

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

/*
 * Gives a client own limits, or with limits 0 makes it one of the others;
 * its tokens stay, cut to the new capacity.  The caller holds the lock.
 * Returns false if the client has no bucket (tb_table_put() makes one).
 */

bool tb_table_set_limits(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_limits_t limits);

/*
 * Frees the slot of a client without own limits if its bucket holds tokens
 * (µtok) or more, or is full: when it asks again it is as new.  A leased one
 * is freed if it holds nothing, whatever tokens is.  The caller holds the
 * lock.
 */

void tb_table_forget(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t tokens);

/* Sets the tokens (µtok, cut to the capacity).  Lock-free. */

bool tb_table_set_tokens(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t tokens);

/*
 * The same, unless the bucket holds less by then; false: there is none.
 */

bool tb_table_lower_tokens(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t tokens);

/*
 * Checks all slots against the table of states above and against dflt:
 * returns how many break it, for tests and checkers.  Nobody may hold the
 * lock meanwhile, or what it does counts as broken.
 */

uint32_t tb_table_check(const tb_table_t *t, uint64_t now, tb_limits_t dflt);


#endif /* TB_TABLE_H */
