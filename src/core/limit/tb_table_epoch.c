
/*
 * Stamps of 24 bits, however long nobody looks at them.  A chunk's words
 * are brought up to a time in few steps, none of which is longer than what
 * stamps can tell; all of it by compare-and-swap on single words, so several
 * processes may do it at once, and none has to finish.
 *
 * Let E be the epoch of a chunk and S the time of a word's stamp.
 *
 *     Nobody uses a word before he has seen, after the word, an epoch that
 *     is less than TB_EPOCH_SPAN behind his time.  So E > S - TB_EPOCH_SPAN
 *     when a word is written, and whoever reads that word finds no earlier
 *     epoch.
 *
 *     E becomes T only after each word in the chunk has been brought to T.
 *     So S > E - TB_EPOCH_SPAN for all words at all times, with much to
 *     spare.  Who is late with a word from before fails to swap it, since
 *     each word has changed, the vacant ones included.
 *
 *     Thus S is known to whoever has seen E, and T - E is at most half the
 *     range of stamps, or that and whole ranges.  In between two epochs a
 *     word at T reads as ahead of the clocks that E is good for.
 */


#include "src/core/limit/tb_table_epoch.h"
#include "src/core/limit/tb_slot.h"


static uint64_t tb_epoch_next(uint64_t epoch, uint64_t now);
static bool tb_table_step(tb_table_t *t, uint32_t chunk, uint64_t epoch,
    uint64_t to, tb_limits_t dflt);
static bool tb_slot_step(const tb_table_t *t, _Atomic uint64_t *place,
    const _Atomic uint64_t *own, const _Atomic uint64_t *current,
    uint64_t epoch, uint64_t to, tb_limits_t dflt);


bool
tb_table_follow(tb_table_t *t, uint32_t chunk, uint64_t *now, uint64_t most,
    tb_limits_t dflt)
{
    uint64_t           epoch, to;
    _Atomic uint64_t  *place;

    place = &tb_table_epochs(t)[chunk];

    for ( ;; ) {
        epoch = atomic_load_explicit(place, memory_order_acquire);

        if (epoch == 0) {
            return false;
        }

        if (*now < epoch) {
            *now = epoch;
            return true;
        }

        if (*now - epoch < most) {
            return true;
        }

        to = tb_epoch_next(epoch, *now);

        if (tb_table_step(t, chunk, epoch, to, dflt)) {
            (void) atomic_compare_exchange_strong_explicit(place, &epoch, to,
                                                       memory_order_acq_rel,
                                                       memory_order_relaxed);
        }
    }
}


void
tb_table_begin(tb_table_t *t, uint32_t chunk, uint64_t now)
{
    uint64_t           none;
    _Atomic uint64_t  *place;

    place = &tb_table_epochs(t)[chunk];
    none = atomic_load_explicit(place, memory_order_relaxed);

    if (none == 0) {
        (void) atomic_compare_exchange_strong_explicit(place, &none,
                                                       now ? now : 1,
                                                       memory_order_acq_rel,
                                                       memory_order_relaxed);
    }
}


/* At most three steps lead to any time. */

static uint64_t
tb_epoch_next(uint64_t epoch, uint64_t now)
{
    uint64_t  gap;

    gap = now - epoch;

    if (gap <= TB_AGE_MAX) {
        return now;
    }

    return epoch + TB_AGE_MAX + ((gap - TB_AGE_MAX) & ~TB_STAMP_MASK);
}


/* Returns false if the epoch has passed meanwhile. */

static bool
tb_table_step(tb_table_t *t, uint32_t chunk, uint64_t epoch, uint64_t to,
    tb_limits_t dflt)
{
    uint32_t           end, i;
    tb_slot_t         *slot;
    _Atomic uint64_t  *current;

    current = &tb_table_epochs(t)[chunk];

    if (chunk == t->nchunks) {
        return tb_slot_step(t, &t->overflow, NULL, current, epoch, to, dflt);
    }

    i = chunk * TB_CHUNK_SLOTS;
    end = tb_table_slots(t) - i < TB_CHUNK_SLOTS ? tb_table_slots(t)
                                                 : i + TB_CHUNK_SLOTS;

    for ( /* void */ ; i < end; i++) {
        slot = tb_table_slot(t, i);

        if (!tb_slot_step(t, &slot->word, &slot->limits, current, epoch, to,
                          dflt))
        {
            return false;
        }
    }

    return true;
}


static bool
tb_slot_step(const tb_table_t *t, _Atomic uint64_t *place,
    const _Atomic uint64_t *own,
    const _Atomic uint64_t *current, uint64_t epoch, uint64_t to,
    tb_limits_t dflt)
{
    uint64_t     stamp;
    tb_word_t    next, word;
    tb_limits_t  limits;

    word = atomic_load_explicit(place, memory_order_acquire);

    do {
        limits = own ? atomic_load_explicit(own, memory_order_acquire) : 0;

        if (atomic_load_explicit(current, memory_order_relaxed) != epoch) {
            return false;
        }

        /* in steps of more than half the range, those at its end are done */

        stamp = tb_epoch_stamp(epoch, word);

        if (word != 0
            && (stamp >= to
                || (to - epoch > TB_AGE_MAX
                    && stamp + TB_STEPS_A_UTOK > epoch + TB_AGE_MAX)))
        {
            return true;
        }

        if (tb_word_is_vacant(word)) {
            next = tb_word_vacant(to);

        } else {
            next = tb_word_tick_age(word, tb_table_limits(t, limits, dflt),
                                    to, to - stamp);
        }

    } while (next != word
             && !atomic_compare_exchange_strong_explicit(place, &word, next,
                                                      memory_order_acq_rel,
                                                      memory_order_acquire));

    return true;
}
