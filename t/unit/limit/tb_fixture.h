
/*
 * What the tests of the table share: a table in memory of its own, keys by
 * number, a request as nginx would make it, and a sweep over all of it.
 */


#ifndef TB_FIXTURE_H
#define TB_FIXTURE_H


#include <stdlib.h>
#include <string.h>

#include "src/core/limit/tb_table_edit.h"
#include "src/core/limit/tb_table_sweep.h"
#include "t/unit/limit/tb_table_check.h"
#include "t/unit/tb_random.h"


/* what a zone of 1 MB leaves for its table */
#define FIXTURE_ZONE  983040


static inline tb_table_t *
fixture_create(size_t size)
{
    void  *mem;

    mem = aligned_alloc(64, (size + 63) & ~(size_t) 63);

    if (mem == NULL) {
        abort();
    }

    memset(mem, 0, size);

    return tb_table_create(mem, size);
}


/* The least memory that holds so many groups. */

static inline size_t
fixture_size(uint32_t groups)
{
    size_t  size;

    for (size = 64; tb_table_room(size) < groups * TB_GROUP_SLOTS; size++) {
        /* void */
    }

    return size;
}


static inline tb_hash_t
fixture_key(uint64_t n)
{
    tb_hash_t    h;
    tb_random_t  rnd = { n * UINT64_C(0xd1342543de82ef95) + 1 };

    h.lo = tb_random(&rnd) | 1;
    h.hi = tb_random(&rnd);

    return h;
}


static inline tb_verdict_t
fixture_ask(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, uint64_t cost, tb_result_t *result)
{
    tb_verdict_t  verdict;

    verdict = tb_table_take(t, h, now, dflt, cost, result);

    if (verdict == TB_ABSENT) {
        verdict = tb_table_insert(t, h, now, dflt, cost, result);
    }

    return verdict;
}


static inline tb_sweep_t
fixture_sweep(tb_table_t *t, uint64_t now, tb_limits_t dflt)
{
    uint32_t    i;
    tb_sweep_t  all, seen;

    memset(&all, 0, sizeof(all));

    for (i = 0; i < tb_table_slots(t); i += TB_CHUNK_SLOTS) {

        if (!tb_table_chunk_used(t, i)) {
            continue;
        }

        memset(&seen, 0, sizeof(seen));
        tb_table_tick(t, i, TB_CHUNK_SLOTS, now, dflt, &seen);

        all.buckets += seen.buckets;
        all.registered += seen.registered;
        all.unclean += seen.unclean;

        if (seen.unclean || seen.buckets == 0) {
            tb_table_collect(t, i, TB_CHUNK_SLOTS, now, dflt);
        }
    }

    return all;
}


#endif /* TB_FIXTURE_H */
