
/*
 * Ids of clients: what may be one, and percent-encoding.
 */


#include <string.h>

#include "src/core/text/gw_id.h"
#include "src/core/text/gw_piece.h"


static int gw_id_unreserved(unsigned char c);


gw_id_status_t
gw_id_check(const char *id, size_t len)
{
    int                   n;
    size_t                i;
    const unsigned char  *p;

    if (len == 0) {
        return GW_ID_EMPTY;
    }

    if (len > GW_ID_MAX) {
        return GW_ID_LONG;
    }

    p = (const unsigned char *) id;

    for (i = 0; i < len; i += (size_t) n) {

        if (p[i] == '\0') {
            return GW_ID_NUL;
        }

        n = gw_utf8_sequence(p + i, len - i);

        if (n <= 0) {
            return GW_ID_UTF8;
        }
    }

    return GW_ID_OK;
}


const char *
gw_id_error(gw_id_status_t status)
{
    switch (status) {

    case GW_ID_OK:
        return "is valid";

    case GW_ID_EMPTY:
        return "is empty, must be 1 to 255 bytes of UTF-8";

    case GW_ID_LONG:
        return "is too long, must be 1 to 255 bytes of UTF-8";

    case GW_ID_NUL:
        return "has a NUL byte, must be 1 to 255 bytes of UTF-8 without NUL";

    case GW_ID_UTF8:
        return "is not UTF-8, must be 1 to 255 bytes of UTF-8";

    case GW_ID_PERCENT:
        return "has a \"%\" that two hexadecimal digits do not follow";
    }

    return "is not valid";
}


gw_id_status_t
gw_id_decode(char *dst, size_t *dst_len, const char *text, size_t len)
{
    gw_piece_t  piece;

    piece.start = text;
    piece.end = text + len;

    switch (gw_piece_decode(piece, dst, GW_ID_MAX, dst_len)) {

    case GW_PIECE_OK:
        break;

    case GW_PIECE_LONG:
        return GW_ID_LONG;

    case GW_PIECE_PERCENT:
        return GW_ID_PERCENT;
    }

    return gw_id_check(dst, *dst_len);
}


size_t
gw_id_encode(char *dst, const char *id, size_t len)
{
    char               *d;
    size_t              i;
    unsigned char       c;
    static const char   hex[] = "0123456789ABCDEF";

    d = dst;

    for (i = 0; i < len; i++) {
        c = (unsigned char) id[i];

        if (gw_id_unreserved(c)) {
            *d++ = (char) c;
            continue;
        }

        *d++ = '%';
        *d++ = hex[c >> 4];
        *d++ = hex[c & 15];
    }

    return (size_t) (d - dst);
}


int
gw_id_fits_path(const char *id, size_t len)
{
    size_t       n;
    const char  *p, *last, *slash;

    last = id + len;

    for (p = id; p < last; p = slash + 1) {
        slash = memchr(p, '/', (size_t) (last - p));

        if (slash == NULL) {
            slash = last;
        }

        n = (size_t) (slash - p);

        if (n == 0
            || (n == 1 && p[0] == '.')
            || (n == 2 && p[0] == '.' && p[1] == '.'))
        {
            return 0;
        }
    }

    return 1;
}


int
gw_utf8_sequence(const unsigned char *p, size_t len)
{
    int            i, n;
    unsigned char  low, high;

    if (p[0] < 0x80) {
        return 1;
    }

    if (p[0] < 0xc2 || p[0] > 0xf4) {
        return 0;
    }

    n = (p[0] < 0xe0) ? 2 : (p[0] < 0xf0) ? 3 : 4;

    /* the second byte rules out longer forms, surrogates and > U+10FFFF */

    low = (p[0] == 0xe0) ? 0xa0 : (p[0] == 0xf0) ? 0x90 : 0x80;
    high = (p[0] == 0xed) ? 0x9f : (p[0] == 0xf4) ? 0x8f : 0xbf;

    for (i = 1; i < n; i++) {
        if ((size_t) i == len) {
            return -1;
        }

        if (p[i] < low || p[i] > high) {
            return 0;
        }

        low = 0x80;
        high = 0xbf;
    }

    return n;
}


static int
gw_id_unreserved(unsigned char c)
{
    unsigned char  lower;

    lower = c | 0x20;

    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9')
           || c == '-' || c == '.' || c == '_' || c == '~';
}
