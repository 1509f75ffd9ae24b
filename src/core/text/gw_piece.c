
/*
 * Pieces of a text.
 */


#include <string.h>

#include "src/core/text/gw_piece.h"


int
gw_piece_begins(gw_piece_t *piece, const char *prefix)
{
    size_t  len;

    len = strlen(prefix);

    if (gw_piece_len(*piece) < len
        || memcmp(piece->start, prefix, len) != 0)
    {
        return 0;
    }

    piece->start += len;

    return 1;
}


const char *
gw_piece_find(gw_piece_t piece, char c)
{
    const char  *p;

    if (piece.start == piece.end) {
        return piece.end;
    }

    p = memchr(piece.start, c, gw_piece_len(piece));

    return p != NULL ? p : piece.end;
}


int
gw_piece_number(gw_piece_t piece, unsigned max, unsigned *value)
{
    unsigned     digit, n;
    const char  *p;

    n = 0;

    for (p = piece.start; p < piece.end; p++) {

        if (*p < '0' || *p > '9') {
            return -1;
        }

        digit = (unsigned) (*p - '0');

        if (digit > max || n > (max - digit) / 10) {
            return -1;
        }

        n = n * 10 + digit;
    }

    if (piece.start == piece.end) {
        return -1;
    }

    *value = n;

    return 0;
}


gw_piece_status_t
gw_piece_decode(gw_piece_t piece, char *dst, size_t max, size_t *len)
{
    int          high, low;
    char         c;
    size_t       n;
    const char  *p;

    n = 0;

    for (p = piece.start; p < piece.end; p++) {
        c = *p;

        if (c == '%') {
            if (piece.end - p < 3) {
                return GW_PIECE_PERCENT;
            }

            high = gw_hex(p[1]);
            low = gw_hex(p[2]);

            if (high < 0 || low < 0) {
                return GW_PIECE_PERCENT;
            }

            c = (char) (high << 4 | low);
            p += 2;
        }

        if (n == max) {
            return GW_PIECE_LONG;
        }

        dst[n++] = c;
    }

    *len = n;

    return GW_PIECE_OK;
}


int
gw_hex(char c)
{
    char  lower;

    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    lower = (char) (c | 0x20);

    return (lower >= 'a' && lower <= 'f') ? lower - 'a' + 10 : -1;
}


bool
gw_hex64(const char *text, size_t len, uint64_t *number)
{
    int     digit;
    size_t  i;

    if (len != 16) {
        return false;
    }

    *number = 0;

    for (i = 0; i < len; i++) {
        digit = gw_hex(text[i]);

        if (digit < 0) {
            return false;
        }

        *number = *number << 4 | (unsigned) digit;
    }

    return true;
}
