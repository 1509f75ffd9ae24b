
/*
 * Reading header blocks of HTTP/2 (RFC 7541): all forms that a field can
 * have, Huffman codes and the dynamic table, in a fixed amount of memory.
 * A text of more than LB_HPACK_TEXT bytes is an error.
 */


#ifndef LB_HPACK_H
#define LB_HPACK_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


#define LB_HPACK_TABLE    4096       /* bytes, as peers take it to be */
#define LB_HPACK_ENTRIES  (LB_HPACK_TABLE / 32)
#define LB_HPACK_TEXT     4096
#define LB_HPACK_SYMBOLS  257
#define LB_HPACK_BITS     31         /* one more than a code may have */


typedef struct {
    uint16_t           name_length;
    uint16_t           value_length;
} lb_hpack_entry_t;


typedef struct {
    /* the dynamic table, the oldest entry first: names and values */
    unsigned char      table[LB_HPACK_TABLE];
    lb_hpack_entry_t   entries[LB_HPACK_ENTRIES];
    uint32_t           n;
    uint32_t           used;         /* bytes of texts */
    uint32_t           limit;        /* of texts and 32 for each entry */

    /* codes of a length follow each other, and so do their symbols */
    uint32_t           first[LB_HPACK_BITS];
    uint16_t           count[LB_HPACK_BITS];
    uint16_t           offset[LB_HPACK_BITS];
    uint16_t           symbols[LB_HPACK_SYMBOLS];

    unsigned char      name[LB_HPACK_TEXT];
    unsigned char      value[LB_HPACK_TEXT];
} lb_hpack_t;


/* told of each field of a block, in their order; texts have no NUL */
typedef void (*lb_hpack_pt)(void *data, const unsigned char *name,
    size_t name_length, const unsigned char *value, size_t value_length);


/* Starts on the blocks of a connection. */
void lb_hpack_init(lb_hpack_t *hpack);

/* Reads the next block, which is whole; false: it is none. */
bool lb_hpack_read(lb_hpack_t *hpack, const unsigned char *block,
    size_t length, lb_hpack_pt field, void *data);


#endif /* LB_HPACK_H */
