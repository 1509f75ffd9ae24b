
/*
 * Pieces of a text that is taken apart in place.
 */


#ifndef TB_PIECE_H
#define TB_PIECE_H


#include <stddef.h>


/* [start, end); both may be NULL if it is empty. */

typedef struct {
    const char  *start;
    const char  *end;
} tb_piece_t;


typedef enum {
    TB_PIECE_OK = 0,
    TB_PIECE_LONG,
    TB_PIECE_PERCENT        /* "%" without two hexadecimal digits */
} tb_piece_status_t;


static inline size_t
tb_piece_len(tb_piece_t piece)
{
    return (size_t) (piece.end - piece.start);
}


/* Takes a prefix off a piece and returns 1, or 0 if it is not there. */

int tb_piece_begins(tb_piece_t *piece, const char *prefix);

/* Where c is first, or the end. */

const char *tb_piece_find(tb_piece_t piece, char c);

/* Digits only, 0 .. max; returns 0 and sets *value, or -1. */

int tb_piece_number(tb_piece_t piece, unsigned max, unsigned *value);

/*
 * Decodes "%XX" into dst of max bytes, which may be where the piece is, and
 * sets *len.
 */

tb_piece_status_t tb_piece_decode(tb_piece_t piece, char *dst, size_t max,
    size_t *len);

/* The value of a hexadecimal digit, or -1. */

int tb_hex(char c);


#endif /* TB_PIECE_H */
