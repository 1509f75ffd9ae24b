
/*
 * The cells of a registry: their layout, their allocation, and ids spread
 * over several of them.  Private to tb_registry.c and tb_cell.c.
 */


#ifndef TB_CELL_H
#define TB_CELL_H


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


/*
 * Takes n cells and links them through "next"; returns the first, or 0 if
 * there are not as many.  tb_cell_free() gives back an entry's cells, linked
 * through "more".
 */

uint32_t tb_cell_alloc(tb_registry_t *reg, size_t n);
void tb_cell_free(tb_registry_t *reg, uint32_t n);

/* Writes an id into cells as tb_cell_alloc() left them. */

void tb_cell_write_id(const tb_registry_t *reg, tb_cell_t *cell,
    const char *id, size_t len);

void tb_cell_read(const tb_registry_t *reg, const tb_cell_t *cell,
    tb_registry_entry_t *entry);


#endif /* TB_CELL_H */
