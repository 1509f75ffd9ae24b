
/*
 * How many places of a bucket are leased.
 */


#include "src/core/limit/tb_table_lease.h"
#include "src/core/limit/tb_slot.h"


int32_t
tb_table_lease(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, int32_t n)
{
    int64_t       next;
    uint32_t      leased;
    uint64_t      stamp;
    tb_word_t     word;
    tb_limits_t   limits;

    while (tb_slot_read_at(t, slot, h, &now, dflt, &word, &limits)) {
        (void) tb_word_tokens_at(word, limits, now, &stamp);

        leased = tb_places_leased(word);
        next = (int64_t) leased + n;
        next = next < 0 ? 0 : next;
        next = next < TB_CAPACITY_MAX ? next : TB_CAPACITY_MAX;

        if (tb_slot_swap(slot, word, tb_places_word((uint32_t) next,
                                                    tb_places_used(word),
                                                    stamp)))
        {
            return (int32_t) (next - leased);
        }
    }

    return 0;
}


uint32_t
tb_table_unlease(tb_table_t *t, tb_slot_t *slot, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, uint32_t n)
{
    int32_t       spare;
    uint64_t      stamp;
    tb_word_t     word;
    tb_limits_t   limits;

    while (tb_slot_read_at(t, slot, h, &now, dflt, &word, &limits)) {
        (void) tb_word_tokens_at(word, limits, now, &stamp);

        spare = tb_places_free(word);
        spare = spare < 0 ? 0 : spare;
        spare = spare < (int32_t) n ? spare : (int32_t) n;

        if (tb_slot_swap(slot, word,
                         tb_places_word(tb_places_leased(word)
                                        - (uint32_t) spare,
                                        tb_places_used(word), stamp)))
        {
            return (uint32_t) spare;
        }
    }

    return 0;
}
