
/*
 * How many slots a piece of memory holds, and making a table of it.
 */


#include "src/core/limit/tb_table.h"


uint32_t
tb_table_room(size_t size)
{
    size_t  chunk, groups, rest;

    /* one chunk is begun, and the overflow bucket has an epoch; padding */

    rest = sizeof(tb_table_t) + 2 * sizeof(uint64_t) + 64;

    if (size < rest) {
        return 0;
    }

    /* a group costs its slots and its part of a chunk's epoch */

    chunk = TB_CHUNK_SLOTS * sizeof(tb_slot_t);

    size -= rest;
    size -= size / chunk * sizeof(uint64_t);

    groups = size / (TB_GROUP_SLOTS * sizeof(tb_slot_t));

    if (groups > UINT32_MAX / TB_GROUP_SLOTS) {
        groups = UINT32_MAX / TB_GROUP_SLOTS;
    }

    return (uint32_t) groups * TB_GROUP_SLOTS;
}


tb_table_t *
tb_table_create(void *mem, size_t size)
{
    uint32_t     slots;
    tb_table_t  *t;

    slots = tb_table_room(size);

    if (slots == 0) {
        return NULL;
    }

    t = mem;

    t->ngroups = slots / TB_GROUP_SLOTS;
    t->nchunks = (slots + TB_CHUNK_SLOTS - 1) / TB_CHUNK_SLOTS;
    t->slots = (sizeof(tb_table_t) + (t->nchunks + 1) * sizeof(uint64_t) + 63)
               & ~(size_t) 63;

    return t;
}


/* A key that is not there is found out by 32 comparisons and nothing else. */

tb_slot_t *
tb_table_search(const tb_table_t *t, const tb_hash_t *h)
{
    uint32_t    i, n;
    tb_slot_t  *slot;

    for (n = 0; n < 2; n++) {
        slot = tb_table_group_slots(t, h, n);

#pragma GCC unroll 16
        for (i = 0; i < TB_GROUP_SLOTS; i++, slot++) {

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
