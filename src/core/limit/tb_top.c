
/*
 * Space-Saving counters: a heap of counts and an index by hash.
 */


#include <stdlib.h>
#include <string.h>

#include "src/core/limit/tb_top.h"


static uint32_t tb_top_find(const tb_top_t *top, const tb_hash_t *h);
static void tb_top_replace(tb_top_t *top, uint32_t n, const tb_hash_t *h,
    const void *id, size_t len);
static void tb_top_index_add(tb_top_t *top, uint32_t n);
static void tb_top_index_remove(tb_top_t *top, uint32_t n);
static void tb_top_down(tb_top_t *top, uint32_t place);
static void tb_top_up(tb_top_t *top, uint32_t place);
static void tb_top_put(tb_top_t *top, uint32_t place, uint16_t n);
static uint64_t tb_top_value(const tb_top_t *top, uint32_t place);
static bool tb_top_read_one(const tb_top_counter_t *c, tb_top_row_t *row);
static int tb_top_by_hash(const void *a, const void *b);
static int tb_top_by_count(const void *a, const void *b);


static inline tb_top_counter_t *
tb_top_counters(const tb_top_t *top)
{
    return (tb_top_counter_t *) (top + 1);
}


static inline uint16_t *
tb_top_heap(const tb_top_t *top)
{
    return (uint16_t *) (tb_top_counters(top) + top->size);
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


static inline uint64_t
tb_top_load(const _Atomic uint64_t *place)
{
    return atomic_load_explicit(place, memory_order_relaxed);
}


static inline void
tb_top_store(_Atomic uint64_t *place, uint64_t value)
{
    atomic_store_explicit(place, value, memory_order_relaxed);
}


/* Where the index has a hash at first. */

static inline uint32_t
tb_top_begin(const tb_top_t *top, uint64_t hi)
{
    return (uint32_t) ((hi & UINT32_MAX) * (2 * top->size) >> 32);
}


size_t
tb_top_size(uint32_t size)
{
    return sizeof(tb_top_t) + size * (sizeof(tb_top_counter_t)
                                      + 4 * sizeof(uint16_t));
}


tb_top_t *
tb_top_init(void *mem, uint32_t size)
{
    tb_top_t  *top;

    top = memset(mem, 0, tb_top_size(size));
    top->size = size;

    return top;
}


void
tb_top_count(tb_top_t *top, const tb_hash_t *h, const void *id, size_t len,
    uint64_t weight)
{
    uint32_t           n;
    tb_top_counter_t  *c;

    n = tb_top_find(top, h);

    if (n == top->size) {

        if (top->used < top->size) {
            n = top->used++;
            tb_top_put(top, n, (uint16_t) n);

        } else {
            n = tb_top_heap(top)[0];
            tb_top_index_remove(top, n);
        }

        tb_top_replace(top, n, h, id, len);
        tb_top_index_add(top, n);
    }

    c = &tb_top_counters(top)[n];
    tb_top_store(&c->count, tb_top_load(&c->count) + weight);

    tb_top_up(top, tb_top_places(top)[n]);
    tb_top_down(top, tb_top_places(top)[n]);
}


void
tb_top_halve(tb_top_t *top)
{
    uint32_t           n;
    tb_top_counter_t  *c;

    for (n = 0; n < top->used; n++) {
        c = &tb_top_counters(top)[n];

        tb_top_store(&c->count, tb_top_load(&c->count) / 2);
        tb_top_store(&c->error, tb_top_load(&c->error) / 2);
    }
}


size_t
tb_top_read(const tb_top_t *top, tb_top_row_t *rows, size_t n)
{
    uint32_t  i;

    for (i = 0; i < top->size; i++) {
        n += tb_top_read_one(&tb_top_counters(top)[i], &rows[n]);
    }

    return n;
}


size_t
tb_top_merge(tb_top_row_t *rows, size_t n)
{
    size_t  i, k;

    qsort(rows, n, sizeof(rows[0]), tb_top_by_hash);

    for (i = 0, k = 0; i < n; i++) {

        if (k > 0 && rows[k - 1].hash.lo == rows[i].hash.lo
            && rows[k - 1].hash.hi == rows[i].hash.hi)
        {
            rows[k - 1].count += rows[i].count;
            rows[k - 1].error += rows[i].error;

        } else {
            rows[k++] = rows[i];
        }
    }

    qsort(rows, k, sizeof(rows[0]), tb_top_by_count);

    return k;
}


size_t
tb_top_id(const tb_top_row_t *row, char *id)
{
    uint32_t      i;
    uint64_t      words[TB_TOP_WORDS];
    tb_top_row_t  again;

    for (i = 0; i < TB_TOP_WORDS; i++) {
        words[i] = tb_top_load(&row->counter->id[i]);
    }

    atomic_thread_fence(memory_order_acquire);

    if (!tb_top_read_one(row->counter, &again)
        || again.hash.lo != row->hash.lo || again.hash.hi != row->hash.hi)
    {
        return SIZE_MAX;
    }

    memcpy(id, (unsigned char *) words + 1, TB_TOP_ID);

    return *(unsigned char *) words;
}


/* The number of the key's counter, or size. */

static uint32_t
tb_top_find(const tb_top_t *top, const tb_hash_t *h)
{
    uint32_t           i, n;
    tb_top_counter_t  *c;

    for (i = tb_top_begin(top, h->hi); (n = tb_top_index(top)[i]) != 0;
         i = i + 1 < 2 * top->size ? i + 1 : 0)
    {
        c = &tb_top_counters(top)[n - 1];

        if (tb_top_load(&c->lo) == h->lo && tb_top_load(&c->hi) == h->hi) {
            return n - 1;
        }
    }

    return top->size;
}


/* The counter becomes that key's, and its count what it may be too high. */

static void
tb_top_replace(tb_top_t *top, uint32_t n, const tb_hash_t *h,
    const void *id, size_t len)
{
    uint32_t           i, version;
    uint64_t           words[TB_TOP_WORDS];
    tb_top_counter_t  *c;

    len = len < TB_TOP_ID ? len : TB_TOP_ID;

    memset(words, 0, sizeof(words));
    *(unsigned char *) words = (unsigned char) len;
    memcpy((unsigned char *) words + 1, id, len);

    c = &tb_top_counters(top)[n];
    version = atomic_load_explicit(&c->version, memory_order_relaxed);

    atomic_store_explicit(&c->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);

    tb_top_store(&c->lo, h->lo);
    tb_top_store(&c->hi, h->hi);
    tb_top_store(&c->error, tb_top_load(&c->count));

    for (i = 0; i < TB_TOP_WORDS; i++) {
        tb_top_store(&c->id[i], words[i]);
    }

    atomic_store_explicit(&c->version, version + 2, memory_order_release);
}


static void
tb_top_index_add(tb_top_t *top, uint32_t n)
{
    uint32_t  i;

    i = tb_top_begin(top, tb_top_load(&tb_top_counters(top)[n].hi));

    while (tb_top_index(top)[i] != 0) {
        i = i + 1 < 2 * top->size ? i + 1 : 0;
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
    i = tb_top_begin(top, tb_top_load(&tb_top_counters(top)[n].hi));

    while (index[i] != n + 1) {
        i = i + 1 < 2 * top->size ? i + 1 : 0;
    }

    index[i] = 0;

    for ( ;; ) {
        i = i + 1 < 2 * top->size ? i + 1 : 0;
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


static uint64_t
tb_top_value(const tb_top_t *top, uint32_t place)
{
    return tb_top_load(&tb_top_counters(top)[tb_top_heap(top)[place]].count);
}


/* False: there is no key, or it is just being replaced. */

static bool
tb_top_read_one(const tb_top_counter_t *c, tb_top_row_t *row)
{
    uint32_t  version;

    version = atomic_load_explicit(&c->version, memory_order_acquire);

    row->hash.lo = tb_top_load(&c->lo);
    row->hash.hi = tb_top_load(&c->hi);
    row->error = tb_top_load(&c->error);
    row->count = tb_top_load(&c->count);
    row->counter = c;

    atomic_thread_fence(memory_order_acquire);

    return !(version & 1) && row->hash.lo != 0 && row->count != 0
           && atomic_load_explicit(&c->version, memory_order_relaxed)
              == version;
}


static int
tb_top_by_hash(const void *a, const void *b)
{
    const tb_top_row_t  *x, *y;

    x = a;
    y = b;

    if (x->hash.lo != y->hash.lo) {
        return x->hash.lo < y->hash.lo ? -1 : 1;
    }

    return (x->hash.hi > y->hash.hi) - (x->hash.hi < y->hash.hi);
}


static int
tb_top_by_count(const void *a, const void *b)
{
    const tb_top_row_t  *x, *y;

    x = a;
    y = b;

    return (x->count < y->count) - (x->count > y->count);
}
