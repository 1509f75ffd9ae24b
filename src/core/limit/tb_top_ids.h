
/*
 * Ids in a fixed piece of memory: chunks, as many for each as it is long.
 * Plain memory: the caller sees to it that nobody else is at it.
 */


#ifndef TB_TOP_IDS_H
#define TB_TOP_IDS_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


#define TB_TOP_ID      255         /* bytes of an id that are kept */
#define TB_TOP_CHUNK   30          /* bytes of an id in a chunk */
#define TB_TOP_CHUNKS  60000       /* at most */


typedef struct {
    uint16_t          next;        /* number of the next chunk, plus 1; 0 */
    char              text[TB_TOP_CHUNK];
} tb_top_chunk_t;


typedef struct {
    uint16_t          free;        /* the first free one, plus 1 */
    uint16_t          nfree;
} tb_top_ids_t;


/* An id that is kept; all zero: none. */

typedef struct {
    uint16_t          chunk;       /* the first, plus 1 */
    uint8_t           len;
} tb_top_id_t;


/* All n chunks are free. */

void tb_top_ids_init(tb_top_ids_t *ids, tb_top_chunk_t *chunks, uint16_t n);

/* Whether there is room for an id of that length. */

static inline bool
tb_top_ids_fits(const tb_top_ids_t *ids, size_t len)
{
    return (len + TB_TOP_CHUNK - 1) / TB_TOP_CHUNK <= ids->nfree;
}


/* Keeps an id of 1 .. TB_TOP_ID bytes, for which there is room. */

tb_top_id_t tb_top_ids_keep(tb_top_ids_t *ids, tb_top_chunk_t *chunks,
    const char *id, size_t len);

void tb_top_ids_drop(tb_top_ids_t *ids, tb_top_chunk_t *chunks,
    tb_top_id_t *id);

/* Copies it to text, of TB_TOP_ID bytes, and returns its length. */

size_t tb_top_ids_read(const tb_top_chunk_t *chunks, const tb_top_id_t *id,
    char *text);


#endif /* TB_TOP_IDS_H */
