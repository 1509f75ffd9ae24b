
/*
 * Ids as lists of chunks.
 */


#include <string.h>

#include "src/core/limit/tb_top_ids.h"


void
tb_top_ids_init(tb_top_ids_t *ids, tb_top_chunk_t *chunks, uint16_t n)
{
    uint16_t  i;

    for (i = 0; i < n; i++) {
        chunks[i].next = i + 1 < n ? (uint16_t) (i + 2) : 0;
    }

    ids->free = n != 0;
    ids->nfree = n;
}


tb_top_id_t
tb_top_ids_keep(tb_top_ids_t *ids, tb_top_chunk_t *chunks, const char *id,
    size_t len)
{
    size_t           n;
    tb_top_id_t      kept;
    tb_top_chunk_t  *chunk;

    kept.chunk = ids->free;
    kept.len = (uint8_t) len;

    for ( ;; ) {
        chunk = &chunks[ids->free - 1];
        n = len < TB_TOP_CHUNK ? len : TB_TOP_CHUNK;

        memcpy(chunk->text, id, n);
        id += n;
        len -= n;

        ids->free = chunk->next;
        ids->nfree--;

        if (len == 0) {
            chunk->next = 0;
            return kept;
        }
    }
}


void
tb_top_ids_drop(tb_top_ids_t *ids, tb_top_chunk_t *chunks, tb_top_id_t *id)
{
    uint16_t         n, next;
    tb_top_chunk_t  *chunk;

    for (n = id->chunk; n != 0; n = next) {
        chunk = &chunks[n - 1];
        next = chunk->next;

        chunk->next = ids->free;
        ids->free = n;
        ids->nfree++;
    }

    id->chunk = 0;
    id->len = 0;
}


size_t
tb_top_ids_read(const tb_top_chunk_t *chunks, const tb_top_id_t *id,
    char *text)
{
    size_t                 len, n;
    uint16_t               next;
    const tb_top_chunk_t  *chunk;

    for (next = id->chunk, len = id->len; next != 0; next = chunk->next) {
        chunk = &chunks[next - 1];
        n = len < TB_TOP_CHUNK ? len : TB_TOP_CHUNK;

        memcpy(text, chunk->text, n);
        text += n;
        len -= n;
    }

    return id->len;
}
