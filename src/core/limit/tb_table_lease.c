
/*
 * How many places of a bucket are leased.
 */


#include "src/core/limit/tb_table_lease.h"
#include "src/core/limit/tb_slot.h"


static int32_t tb_table_lease_by(tb_table_t *t, tb_slot_t *slot,
    const tb_hash_t *h, uint64_t now, tb_limits_t dflt, int64_t n, bool spare);


int32_t
tb_table_lease(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, int32_t n)
{
    return tb_table_lease_by(t, slot, h, now, dflt, n, false);
}


uint32_t
tb_table_unlease(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, uint32_t n)
{
    return (uint32_t) -tb_table_lease_by(t, slot, h, now, dflt, -(int64_t) n,
                                         true);
}


/* spare: those in use stay leased; what it came to */

static int32_t
tb_table_lease_by(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, int64_t n, bool spare)
{
    int64_t       least, next;
    uint32_t      leased, used;
    uint64_t      stamp;
    tb_word_t     word;
    tb_limits_t   limits;

    while (tb_slot_read_at(t, slot, h, &now, dflt, &word, &limits)) {
        (void) tb_word_tokens_at(word, limits, now, &stamp);

        leased = tb_places_leased(word);
        used = tb_places_used(word);

        least = !spare ? 0 : used < leased ? used : leased;
        next = leased + n;
        next = next > least ? next : least;
        next = next < TB_CAPACITY_MAX ? next : TB_CAPACITY_MAX;

        if (tb_slot_swap(slot, word,
                         tb_places_word((uint32_t) next, used, stamp)))
        {
            return (int32_t) (next - leased);
        }
    }

    return 0;
}
