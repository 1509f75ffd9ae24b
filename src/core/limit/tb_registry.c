
/*
 * Chains of cells, sorted by hash; see tb_registry.h.  The cells themselves
 * are in tb_cell.c.
 */


#include "src/core/limit/tb_cell.h"


static _Atomic uint32_t *tb_registry_head(const tb_registry_t *reg,
    uint32_t i);
static uint32_t tb_registry_chain(const tb_registry_t *reg, uint64_t lo);
static _Atomic uint32_t *tb_registry_place(const tb_registry_t *reg,
    const tb_hash_t *h, bool *found);


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
        cell = tb_cell(reg, atomic_load(place));
        atomic_store(&cell->limits, limits);

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

    atomic_store(&cell->limits, limits);
    atomic_store(&cell->next, atomic_load(place));
    atomic_store(place, n);

    atomic_fetch_add(&reg->entries, 1);

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

    n = atomic_load(place);

    atomic_store(place, atomic_load(&tb_cell(reg, n)->next));

    atomic_fetch_sub(&reg->entries, 1);

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
        tb_cell_read(reg, tb_cell(reg, atomic_load(place)), entry);
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

        n = atomic_load_explicit(tb_registry_head(reg, i),
                                 memory_order_relaxed);

        while (n != 0) {
            cell = tb_cell(reg, n);

            if (cell->lo > after) {
                tb_cell_read(reg, cell, entry);
                return true;
            }

            n = atomic_load_explicit(&cell->next, memory_order_relaxed);
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

    return false;
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
        n = atomic_load_explicit(place, memory_order_relaxed);

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
