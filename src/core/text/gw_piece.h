
/*
 * Pieces of a text that is taken apart in place.
 */


#ifndef GW_PIECE_H
#define GW_PIECE_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


/* [start, end); both may be NULL if it is empty. */

typedef struct {
    const char  *start;
    const char  *end;
} gw_piece_t;


typedef enum {
    GW_PIECE_OK = 0,
    GW_PIECE_LONG,
    GW_PIECE_PERCENT        /* "%" without two hexadecimal digits */
} gw_piece_status_t;


static inline size_t
gw_piece_len(gw_piece_t piece)
{
    return (size_t) (piece.end - piece.start);
}


/* Takes a prefix off a piece and returns 1, or 0 if it is not there. */

int gw_piece_begins(gw_piece_t *piece, const char *prefix);

/* Where c is first, or the end. */

const char *gw_piece_find(gw_piece_t piece, char c);

/* Digits only, 0 .. max; returns 0 and sets *value, or -1. */

int gw_piece_number(gw_piece_t piece, unsigned max, unsigned *value);

/*
 * Decodes "%XX" into dst of max bytes, which may be where the piece is, and
 * sets *len.
 */

gw_piece_status_t gw_piece_decode(gw_piece_t piece, char *dst, size_t max,
    size_t *len);

/* The value of a hexadecimal digit, or -1. */

int gw_hex(char c);

/* Reads a number of exactly 16 hexadecimal digits; false if it is not one. */

bool gw_hex64(const char *text, size_t len, uint64_t *number);


#endif /* GW_PIECE_H */
