
/*
 * Space-Saving counters: a heap of counts and an index by hash.
 */


#include <stdlib.h>
#include <string.h>

#include "src/core/limit/tb_top.h"


/* counters that are asked for their id by one that has none */
#define TB_TOP_ASKED  16


static uint32_t tb_top_find(const tb_top_t *top, uint64_t lo);
static uint32_t tb_top_replace(tb_top_t *top, uint64_t lo);
static void tb_top_keep_id(tb_top_t *top, tb_top_counter_t *c,
    const char *id, size_t len);
static void tb_top_index_add(tb_top_t *top, uint32_t n);
static void tb_top_index_remove(tb_top_t *top, uint32_t n);
static void tb_top_down(tb_top_t *top, uint32_t place);
static void tb_top_up(tb_top_t *top, uint32_t place);
static void tb_top_put(tb_top_t *top, uint32_t place, uint16_t n);
static uint32_t tb_top_value(const tb_top_t *top, uint32_t place);
static int tb_top_by_count(const void *a, const void *b);


static inline tb_top_counter_t *
tb_top_counters(const tb_top_t *top)
{
    return (tb_top_counter_t *) (top + 1);
}


static inline tb_top_chunk_t *
tb_top_chunks(const tb_top_t *top)
{
    return (tb_top_chunk_t *) (tb_top_counters(top) + top->size);
}


static inline uint16_t *
tb_top_heap(const tb_top_t *top)
{
    return (uint16_t *) (tb_top_chunks(top) + top->nchunks);
}


static inline uint16_t *
tb_top_places(const tb_top_t *top)
{
    return tb_top_heap(top) + top->size;
}


static inline uint16_t *
tb_top_index(const tb_top_t *top)
{
    return tb_top_places(top) + top->size;
}


/* Where the index has a hash at first, and what comes after a place. */

static inline uint32_t
tb_top_begin(const tb_top_t *top, uint64_t lo)
{
    return (uint32_t) ((lo & UINT32_MAX) * (2 * top->size) >> 32);
}


static inline uint32_t
tb_top_next(const tb_top_t *top, uint32_t i)
{
    return i + 1 < 2 * top->size ? i + 1 : 0;
}


static inline uint32_t
tb_top_sum(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}


size_t
tb_top_size(uint32_t size, uint32_t nchunks)
{
    return sizeof(tb_top_t) + size * (sizeof(tb_top_counter_t)
                                      + 4 * sizeof(uint16_t))
           + nchunks * sizeof(tb_top_chunk_t);
}


tb_top_t *
tb_top_init(void *mem, uint32_t size, uint32_t nchunks)
{
    tb_top_t  *top;

    top = memset(mem, 0, tb_top_size(size, nchunks));

    top->size = size;
    top->nchunks = nchunks;

    tb_top_ids_init(&top->ids, tb_top_chunks(top), (uint16_t) nchunks);

    return top;
}


void
tb_top_count(tb_top_t *top, uint64_t lo, const char *id, size_t len,
    uint32_t weight)
{
    uint32_t           n;
    tb_top_counter_t  *c;

    n = tb_top_find(top, lo);

    if (n == top->size) {
        n = tb_top_replace(top, lo);
    }

    c = &tb_top_counters(top)[n];
    c->count = tb_top_sum(c->count, weight);

    if (c->id.chunk == 0) {
        tb_top_keep_id(top, c, id, len < TB_TOP_ID ? len : TB_TOP_ID);
    }

    tb_top_up(top, tb_top_places(top)[n]);
    tb_top_down(top, tb_top_places(top)[n]);
}


void
tb_top_beside(tb_top_t *top, uint64_t lo, uint32_t weight)
{
    uint32_t           n;
    tb_top_counter_t  *c;

    n = tb_top_find(top, lo);

    if (n < top->size) {
        c = &tb_top_counters(top)[n];
        c->beside = tb_top_sum(c->beside, weight);
    }
}


void
tb_top_halve(tb_top_t *top)
{
    uint32_t           n;
    tb_top_counter_t  *c;

    for (n = 0; n < top->used; n++) {
        c = &tb_top_counters(top)[n];

        c->count /= 2;
        c->error /= 2;
        c->beside /= 2;
    }
}


size_t
tb_top_read(const tb_top_t *top, tb_top_row_t *rows, size_t n)
{
    uint32_t           i;
    tb_top_counter_t  *c;

    for (i = 0; i < top->used; i++) {
        c = &tb_top_counters(top)[i];

        if (c->count != 0) {
            rows[n].lo = c->lo;
            rows[n].count = c->count;
            rows[n].error = c->error;
            rows[n].beside = c->beside;
            n++;
        }
    }

    return n;
}


void
tb_top_sort(tb_top_row_t *rows, size_t n)
{
    qsort(rows, n, sizeof(rows[0]), tb_top_by_count);
}


size_t
tb_top_id(const tb_top_t *top, uint64_t lo, char *id)
{
    uint32_t  n;

    n = tb_top_find(top, lo);

    return n < top->size ? tb_top_ids_read(tb_top_chunks(top),
                                           &tb_top_counters(top)[n].id, id)
                         : 0;
}


/* The number of the key's counter, or size. */

static uint32_t
tb_top_find(const tb_top_t *top, uint64_t lo)
{
    uint32_t  i, n;

    for (i = tb_top_begin(top, lo); (n = tb_top_index(top)[i]) != 0;
         i = tb_top_next(top, i))
    {
        if (tb_top_counters(top)[n - 1].lo == lo) {
            return n - 1;
        }
    }

    return top->size;
}


/*
 * A counter for a key that has none: a new one, or the least one, whose count
 * is what the key's may be too high by.
 */

static uint32_t
tb_top_replace(tb_top_t *top, uint64_t lo)
{
    uint32_t           n;
    tb_top_counter_t  *c;

    if (top->used < top->size) {
        n = top->used++;
        tb_top_put(top, n, (uint16_t) n);

    } else {
        n = tb_top_heap(top)[0];
        tb_top_index_remove(top, n);
    }

    c = &tb_top_counters(top)[n];

    c->lo = lo;
    c->error = c->count;
    c->beside = 0;
    tb_top_ids_drop(&top->ids, tb_top_chunks(top), &c->id);

    tb_top_index_add(top, n);

    return n;
}


/* If there is no room, some of those that were seen less give theirs up. */

static void
tb_top_keep_id(tb_top_t *top, tb_top_counter_t *c, const char *id, size_t len)
{
    uint32_t           i;
    tb_top_chunk_t    *chunks;
    tb_top_counter_t  *other;

    chunks = tb_top_chunks(top);

    for (i = 0; i < TB_TOP_ASKED && !tb_top_ids_fits(&top->ids, len); i++) {
        top->hand = top->hand + 1 < top->used ? top->hand + 1 : 0;
        other = &tb_top_counters(top)[top->hand];

        if (other->count - other->error < c->count - c->error) {
            tb_top_ids_drop(&top->ids, chunks, &other->id);
        }
    }

    if (len != 0 && tb_top_ids_fits(&top->ids, len)) {
        c->id = tb_top_ids_keep(&top->ids, chunks, id, len);
    }
}


static void
tb_top_index_add(tb_top_t *top, uint32_t n)
{
    uint32_t  i;

    i = tb_top_begin(top, tb_top_counters(top)[n].lo);

    while (tb_top_index(top)[i] != 0) {
        i = tb_top_next(top, i);
    }

    tb_top_index(top)[i] = (uint16_t) (n + 1);
}


/*
 * What comes after the removed one is added again, up to the next free place
 * (D. Knuth, "The Art of Computer Programming" 3, 6.4).
 */

static void
tb_top_index_remove(tb_top_t *top, uint32_t n)
{
    uint32_t   i, moved;
    uint16_t  *index;

    index = tb_top_index(top);
    i = tb_top_begin(top, tb_top_counters(top)[n].lo);

    while (index[i] != n + 1) {
        i = tb_top_next(top, i);
    }

    index[i] = 0;

    for ( ;; ) {
        i = tb_top_next(top, i);
        moved = index[i];

        if (moved == 0) {
            return;
        }

        index[i] = 0;
        tb_top_index_add(top, moved - 1);
    }
}


static void
tb_top_down(tb_top_t *top, uint32_t place)
{
    uint16_t  n;
    uint32_t  child;

    for ( ;; ) {
        child = 2 * place + 1;

        if (child >= top->used) {
            return;
        }

        if (child + 1 < top->used
            && tb_top_value(top, child + 1) < tb_top_value(top, child))
        {
            child++;
        }

        if (tb_top_value(top, place) <= tb_top_value(top, child)) {
            return;
        }

        n = tb_top_heap(top)[place];
        tb_top_put(top, place, tb_top_heap(top)[child]);
        tb_top_put(top, child, n);
        place = child;
    }
}


static void
tb_top_up(tb_top_t *top, uint32_t place)
{
    uint16_t  n;
    uint32_t  parent;

    while (place > 0) {
        parent = (place - 1) / 2;

        if (tb_top_value(top, parent) <= tb_top_value(top, place)) {
            return;
        }

        n = tb_top_heap(top)[place];
        tb_top_put(top, place, tb_top_heap(top)[parent]);
        tb_top_put(top, parent, n);
        place = parent;
    }
}


static void
tb_top_put(tb_top_t *top, uint32_t place, uint16_t n)
{
    tb_top_heap(top)[place] = n;
    tb_top_places(top)[n] = (uint16_t) place;
}


static uint32_t
tb_top_value(const tb_top_t *top, uint32_t place)
{
    return tb_top_counters(top)[tb_top_heap(top)[place]].count;
}


static int
tb_top_by_count(const void *a, const void *b)
{
    const tb_top_row_t  *x, *y;

    x = a;
    y = b;

    return (x->count < y->count) - (x->count > y->count);
}
