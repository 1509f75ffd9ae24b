
/*
 * The time up to which the words of a chunk have been brought, so that a
 * stamp of 24 bits is enough; see "Time" in tb_table.h.
 */


#ifndef TB_TABLE_EPOCH_H
#define TB_TABLE_EPOCH_H


#include "src/core/limit/tb_table.h"


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


#endif /* TB_TABLE_EPOCH_H */
