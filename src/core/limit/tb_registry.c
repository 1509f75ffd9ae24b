
/*
 * Chains of cells, sorted by hash, in a fixed arena of cells: a list of freed
 * ones, and those never used; see tb_registry.h.
 */


#include <string.h>

#include "src/core/limit/tb_registry.h"


#define TB_CELL_FIRST  31      /* bytes of the id in the first cell */
#define TB_CELL_MORE   60      /* and in each further one */


typedef struct {
    _Atomic uint32_t  next;        /* in the chain */
    uint32_t          more;
    uint64_t          lo;
    uint64_t          hi;
    _Atomic uint64_t  limits;
    uint8_t           len;
    char              id[TB_CELL_FIRST];
} tb_cell_t;


typedef struct {
    uint32_t          more;
    char              id[TB_CELL_MORE];
} tb_cell_more_t;


_Static_assert(sizeof(tb_cell_t) == 64, "a cell is a cache line");
_Static_assert(sizeof(tb_cell_more_t) == 64, "a cell is a cache line");


/* Cell n, 1 .. ncells. */

static inline tb_cell_t *
tb_cell(const tb_registry_t *reg, uint32_t n)
{
    return (tb_cell_t *) ((char *) reg + reg->cells) + (n - 1);
}


/* What a link of a chain leads to, and where it is to lead: 0, nowhere. */

static inline uint32_t
tb_cell_linked(const _Atomic uint32_t *link)
{
    return atomic_load_explicit(link, memory_order_relaxed);
}


static inline void
tb_cell_link(_Atomic uint32_t *link, uint32_t n)
{
    atomic_store_explicit(link, n, memory_order_release);
}


static _Atomic uint32_t *tb_registry_head(const tb_registry_t *reg,
    uint32_t i);
static uint32_t tb_registry_chain(const tb_registry_t *reg, uint64_t lo);
static _Atomic uint32_t *tb_registry_place(const tb_registry_t *reg,
    const tb_hash_t *h, bool *found);
static uint32_t tb_cell_alloc(tb_registry_t *reg, size_t n);
static void tb_cell_free(tb_registry_t *reg, uint32_t n);
static void tb_cell_write_id(const tb_registry_t *reg, tb_cell_t *cell,
    const char *id, size_t len);
static void tb_cell_read(const tb_registry_t *reg, const tb_cell_t *cell,
    tb_registry_entry_t *entry);


tb_registry_t *
tb_registry_create(void *mem, size_t size)
{
    size_t          n;
    tb_registry_t  *reg;

    if (size < sizeof(tb_registry_t) + 64) {
        return NULL;
    }

    /* a chain for every cell: a client is 68 bytes */

    n = (size - sizeof(tb_registry_t) - 64)
        / (sizeof(tb_cell_t) + sizeof(uint32_t));

    if (n == 0) {
        return NULL;
    }

    if (n > UINT32_MAX - 1) {
        n = UINT32_MAX - 1;
    }

    reg = mem;

    reg->nheads = (uint32_t) n;
    reg->ncells = (uint32_t) n;
    reg->cells = (sizeof(tb_registry_t) + n * sizeof(uint32_t) + 63)
                 & ~(size_t) 63;

    return reg;
}


tb_registry_status_t
tb_registry_set(tb_registry_t *reg, const tb_hash_t *h, const void *id,
    size_t len, tb_limits_t limits)
{
    bool               found;
    uint32_t           n;
    tb_cell_t         *cell;
    _Atomic uint32_t  *place;

    place = tb_registry_place(reg, h, &found);

    if (found) {
        cell = tb_cell(reg, tb_cell_linked(place));
        atomic_store_explicit(&cell->limits, limits, memory_order_release);

        return TB_REGISTRY_CHANGED;
    }

    n = tb_cell_alloc(reg, tb_registry_cells(len));

    if (n == 0) {
        return TB_REGISTRY_FULL;
    }

    cell = tb_cell(reg, n);

    cell->lo = h->lo;
    cell->hi = h->hi;

    tb_cell_write_id(reg, cell, id, len);

    atomic_store_explicit(&cell->limits, limits, memory_order_release);
    tb_cell_link(&cell->next, tb_cell_linked(place));
    tb_cell_link(place, n);

    atomic_fetch_add_explicit(&reg->entries, 1, memory_order_release);

    return TB_REGISTRY_ADDED;
}


bool
tb_registry_remove(tb_registry_t *reg, const tb_hash_t *h)
{
    bool               found;
    uint32_t           n;
    _Atomic uint32_t  *place;

    place = tb_registry_place(reg, h, &found);

    if (!found) {
        return false;
    }

    n = tb_cell_linked(place);

    tb_cell_link(place, tb_cell_linked(&tb_cell(reg, n)->next));

    atomic_fetch_sub_explicit(&reg->entries, 1, memory_order_release);

    tb_cell_free(reg, n);

    return true;
}


bool
tb_registry_find(const tb_registry_t *reg, const tb_hash_t *h,
    tb_registry_entry_t *entry)
{
    bool               found;
    _Atomic uint32_t  *place;

    place = tb_registry_place(reg, h, &found);

    if (found && entry != NULL) {
        tb_cell_read(reg, tb_cell(reg, tb_cell_linked(place)), entry);
    }

    return found;
}


bool
tb_registry_next(const tb_registry_t *reg, uint64_t after, uint32_t *budget,
    tb_registry_entry_t *entry)
{
    uint32_t    i, n;
    tb_cell_t  *cell;

    for (i = tb_registry_chain(reg, after); i < reg->nheads; i++) {

        n = tb_cell_linked(tb_registry_head(reg, i));

        while (n != 0) {
            cell = tb_cell(reg, n);

            if (cell->lo > after) {
                tb_cell_read(reg, cell, entry);
                return true;
            }

            n = tb_cell_linked(&cell->next);
        }

        if (*budget == 0) {

            /* the last hash of this chain: all of it has been seen */

            entry->hash.lo = ((((uint64_t) i + 1) << 32) + reg->nheads - 1)
                             / reg->nheads << 32;
            entry->hash.lo--;

            return false;
        }

        (*budget)--;
    }

    /* the budget may have lasted just as far as here */

    *budget += (*budget == 0);

    return false;
}


size_t
tb_registry_list(const tb_registry_t *reg, uint64_t *after, uint32_t budget,
    tb_registry_entry_t *entries, size_t stride, size_t max, bool *end)
{
    bool                  found;
    size_t                n;
    tb_registry_entry_t  *entry;

    *end = false;

    for (n = 0; n < max; n++) {
        entry = (tb_registry_entry_t *) ((char *) entries + n * stride);

        found = tb_registry_next(reg, *after, &budget, entry);

        if (!found && budget != 0) {
            *end = true;
            break;
        }

        *after = entry->hash.lo;

        if (!found) {
            break;
        }
    }

    return n;
}


size_t
tb_registry_room(const tb_registry_t *reg)
{
    return reg->ncells - atomic_load_explicit(&reg->used, memory_order_relaxed)
           + atomic_load_explicit(&reg->free_count, memory_order_relaxed);
}


size_t
tb_registry_cells(size_t len)
{
    if (len <= TB_CELL_FIRST) {
        return 1;
    }

    return 1 + (len - TB_CELL_FIRST + TB_CELL_MORE - 1) / TB_CELL_MORE;
}


static _Atomic uint32_t *
tb_registry_head(const tb_registry_t *reg, uint32_t i)
{
    return (_Atomic uint32_t *) (reg + 1) + i;
}


/* Monotone in lo, which makes the order of chains the order of hashes. */

static uint32_t
tb_registry_chain(const tb_registry_t *reg, uint64_t lo)
{
    return (uint32_t) ((lo >> 32) * reg->nheads >> 32);
}


/* The link that leads to h's entry, or that would once it is put in. */

static _Atomic uint32_t *
tb_registry_place(const tb_registry_t *reg, const tb_hash_t *h, bool *found)
{
    uint32_t           n;
    tb_cell_t         *cell;
    _Atomic uint32_t  *place;

    *found = false;
    place = tb_registry_head(reg, tb_registry_chain(reg, h->lo));

    for ( ;; ) {
        n = tb_cell_linked(place);

        if (n == 0) {
            return place;
        }

        cell = tb_cell(reg, n);

        if (cell->lo > h->lo || (cell->lo == h->lo && cell->hi >= h->hi)) {
            *found = (cell->lo == h->lo && cell->hi == h->hi);
            return place;
        }

        place = &cell->next;
    }
}


/*
 * Takes n cells and returns the first, or 0 if there are not as many.  They
 * are linked through "next" and not yet through "more", which is the first
 * word of a further cell and the second of a first one: the list is turned
 * round when the id is written.
 */

static uint32_t
tb_cell_alloc(tb_registry_t *reg, size_t n)
{
    uint32_t  first, got, used;

    if (n > tb_registry_room(reg)) {
        return 0;
    }

    first = 0;
    used = atomic_load_explicit(&reg->used, memory_order_relaxed);

    while (n-- > 0) {
        got = atomic_load_explicit(&reg->free, memory_order_relaxed);

        if (got != 0) {
            tb_cell_link(&reg->free, tb_cell_linked(&tb_cell(reg, got)->next));
            atomic_fetch_sub_explicit(&reg->free_count, 1,
                                      memory_order_release);

        } else if (used < reg->ncells) {
            got = ++used;
            atomic_store_explicit(&reg->used, used, memory_order_release);

        } else {

            /* the count was off: somebody died between list and count */

            atomic_store_explicit(&reg->free_count, 0, memory_order_release);

            return 0;
        }

        tb_cell_link(&tb_cell(reg, got)->next, first);
        first = got;
    }

    return first;
}


/* Gives back the cells of an entry, linked through "more". */

static void
tb_cell_free(tb_registry_t *reg, uint32_t n)
{
    uint32_t         more;
    tb_cell_t       *cell;
    tb_cell_more_t  *rest;

    cell = tb_cell(reg, n);
    more = cell->more;

    for ( ;; ) {
        tb_cell_link(&cell->next, tb_cell_linked(&reg->free));
        tb_cell_link(&reg->free, n);
        atomic_fetch_add_explicit(&reg->free_count, 1, memory_order_release);

        if (more == 0) {
            return;
        }

        n = more;
        cell = tb_cell(reg, n);
        rest = (tb_cell_more_t *) cell;
        more = rest->more;
    }
}


/* The cells are linked through "next" as tb_cell_alloc() left them. */

static void
tb_cell_write_id(const tb_registry_t *reg, tb_cell_t *cell, const char *id,
    size_t len)
{
    size_t           part;
    uint32_t         n, next;
    tb_cell_more_t  *rest;

    n = tb_cell_linked(&cell->next);

    part = len < TB_CELL_FIRST ? len : TB_CELL_FIRST;

    cell->len = (uint8_t) len;
    cell->more = n;
    memcpy(cell->id, id, part);

    while (n != 0) {
        id += part;
        len -= part;
        part = len < TB_CELL_MORE ? len : TB_CELL_MORE;

        next = tb_cell_linked(&tb_cell(reg, n)->next);

        rest = (tb_cell_more_t *) tb_cell(reg, n);
        rest->more = next;
        memcpy(rest->id, id, part);

        n = next;
    }
}


static void
tb_cell_read(const tb_registry_t *reg, const tb_cell_t *cell,
    tb_registry_entry_t *entry)
{
    char            *p;
    size_t           len, part;
    uint32_t         n;
    tb_cell_more_t  *rest;

    entry->hash.lo = cell->lo;
    entry->hash.hi = cell->hi;
    entry->limits = atomic_load_explicit(&cell->limits,
                                         memory_order_relaxed);
    entry->len = cell->len;

    p = entry->id;
    len = cell->len;
    part = len < TB_CELL_FIRST ? len : TB_CELL_FIRST;

    memcpy(p, cell->id, part);

    for (n = cell->more; n != 0; n = rest->more) {
        p += part;
        len -= part;
        part = len < TB_CELL_MORE ? len : TB_CELL_MORE;

        rest = (tb_cell_more_t *) tb_cell(reg, n);
        memcpy(p, rest->id, part);
    }
}
