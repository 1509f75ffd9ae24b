
/*
 * Cells of a fixed arena: a list of freed ones, and those never used.
 */


#include <string.h>

#include "src/core/limit/tb_cell.h"


size_t
tb_registry_room(const tb_registry_t *reg)
{
    return reg->ncells - atomic_load(&reg->used)
           + atomic_load(&reg->free_count);
}


size_t
tb_registry_cells(size_t len)
{
    if (len <= TB_CELL_FIRST) {
        return 1;
    }

    return 1 + (len - TB_CELL_FIRST + TB_CELL_MORE - 1) / TB_CELL_MORE;
}


/*
 * Takes n cells, linked through "more", which is the first word of a further
 * cell and the second of a first one; so lists run through "next" here and
 * are turned round when the id is written.
 */

uint32_t
tb_cell_alloc(tb_registry_t *reg, size_t n)
{
    uint32_t  first, got, used;

    if (n > tb_registry_room(reg)) {
        return 0;
    }

    first = 0;
    used = atomic_load(&reg->used);

    while (n-- > 0) {
        got = atomic_load(&reg->free);

        if (got != 0) {
            atomic_store(&reg->free,
                         atomic_load(&tb_cell(reg, got)->next));
            atomic_fetch_sub(&reg->free_count, 1);

        } else if (used < reg->ncells) {
            got = ++used;
            atomic_store(&reg->used, used);

        } else {

            /* the count was off: somebody died between list and count */

            atomic_store(&reg->free_count, 0);

            return 0;
        }

        atomic_store(&tb_cell(reg, got)->next, first);
        first = got;
    }

    return first;
}


void
tb_cell_free(tb_registry_t *reg, uint32_t n)
{
    uint32_t         more;
    tb_cell_t       *cell;
    tb_cell_more_t  *rest;

    cell = tb_cell(reg, n);
    more = cell->more;

    for ( ;; ) {
        atomic_store(&cell->next, atomic_load(&reg->free));
        atomic_store(&reg->free, n);
        atomic_fetch_add(&reg->free_count, 1);

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

void
tb_cell_write_id(const tb_registry_t *reg, tb_cell_t *cell, const char *id,
    size_t len)
{
    size_t           part;
    uint32_t         n, next;
    tb_cell_more_t  *rest;

    n = atomic_load(&cell->next);

    part = len < TB_CELL_FIRST ? len : TB_CELL_FIRST;

    cell->len = (uint8_t) len;
    cell->more = n;
    memcpy(cell->id, id, part);

    while (n != 0) {
        id += part;
        len -= part;
        part = len < TB_CELL_MORE ? len : TB_CELL_MORE;

        next = atomic_load(&tb_cell(reg, n)->next);

        rest = (tb_cell_more_t *) tb_cell(reg, n);
        rest->more = next;
        memcpy(rest->id, id, part);

        n = next;
    }
}


void
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
