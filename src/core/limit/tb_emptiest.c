
/*
 * Gathering the emptiest buckets of a table.
 */


#include "src/core/limit/tb_emptiest.h"


static bool tb_emptiest_fuller(const tb_emptiest_entry_t *a,
    const tb_emptiest_entry_t *b);
static void tb_emptiest_up(tb_emptiest_t *e, uint32_t i);
static void tb_emptiest_down(tb_emptiest_t *e, uint32_t i);
static void tb_emptiest_swap(tb_emptiest_entry_t *a, tb_emptiest_entry_t *b);


void
tb_emptiest_add(tb_emptiest_t *e, const tb_emptiest_entry_t *entry)
{
    if (e->count < e->size) {
        e->entries[e->count] = *entry;
        tb_emptiest_up(e, e->count++);
        return;
    }

    if (e->size > 0 && tb_emptiest_fuller(&e->entries[0], entry)) {
        e->entries[0] = *entry;
        tb_emptiest_down(e, 0);
    }
}


void
tb_emptiest_gather(tb_emptiest_t *e, tb_table_t *t, uint32_t from,
    uint32_t n, uint64_t now, tb_limits_t dflt)
{
    uint32_t             i;
    tb_emptiest_entry_t  entry;

    for (i = from; i < from + n; i++) {
        entry.at = now;

        if (tb_table_bucket(t, i, &entry.at, dflt, &entry.hash, &entry.limits,
                            &entry.tokens)
            && !tb_limits_is_full(entry.limits, entry.tokens))
        {
            tb_emptiest_add(e, &entry);
        }
    }
}


/* By the share of the capacity: both products are within 2^60. */

static bool
tb_emptiest_fuller(const tb_emptiest_entry_t *a, const tb_emptiest_entry_t *b)
{
    return (a->tokens - tb_limits_lowest(a->limits))
           * tb_limits_capacity(b->limits)
           > (b->tokens - tb_limits_lowest(b->limits))
             * tb_limits_capacity(a->limits);
}


static void
tb_emptiest_up(tb_emptiest_t *e, uint32_t i)
{
    uint32_t  parent;

    while (i > 0) {
        parent = (i - 1) / 2;

        if (!tb_emptiest_fuller(&e->entries[i], &e->entries[parent])) {
            return;
        }

        tb_emptiest_swap(&e->entries[i], &e->entries[parent]);
        i = parent;
    }
}


static void
tb_emptiest_down(tb_emptiest_t *e, uint32_t i)
{
    uint32_t  child;

    for ( ;; ) {
        child = 2 * i + 1;

        if (child >= e->count) {
            return;
        }

        if (child + 1 < e->count
            && tb_emptiest_fuller(&e->entries[child + 1],
                                  &e->entries[child]))
        {
            child++;
        }

        if (!tb_emptiest_fuller(&e->entries[child], &e->entries[i])) {
            return;
        }

        tb_emptiest_swap(&e->entries[i], &e->entries[child]);
        i = child;
    }
}


static void
tb_emptiest_swap(tb_emptiest_entry_t *a, tb_emptiest_entry_t *b)
{
    tb_emptiest_entry_t  entry;

    entry = *a;
    *a = *b;
    *b = entry;
}
