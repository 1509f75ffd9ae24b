
/*
 * Ids of clients: 1 to 255 bytes of UTF-8 without NUL, and how they are
 * spelled in the paths and arguments of URIs.
 */


#ifndef GW_ID_H
#define GW_ID_H


#include <stddef.h>


#define GW_ID_MAX  255          /* bytes */


typedef enum {
    GW_ID_OK = 0,
    GW_ID_EMPTY,
    GW_ID_LONG,
    GW_ID_NUL,
    GW_ID_UTF8,             /* not UTF-8 (RFC 3629: no surrogates, ...) */
    GW_ID_PERCENT           /* "%" without two hexadecimal digits */
} gw_id_status_t;


/* Whether len bytes may be the id of a client. */

gw_id_status_t gw_id_check(const char *id, size_t len);

/* What is wrong, to be said after "client_id ": "is empty", ... */

const char *gw_id_error(gw_id_status_t status);

/*
 * Decodes "%XX" in the len bytes at text ("+" stands for itself) into dst of
 * GW_ID_MAX bytes, sets *dst_len and checks the result as gw_id_check()
 * does.  dst may be text itself.
 */

gw_id_status_t gw_id_decode(char *dst, size_t *dst_len, const char *text,
    size_t len);

/*
 * Spells an id so that it can stand in a path or an argument: all but the
 * unreserved characters of RFC 3986 become "%XX".  dst has room for
 * 3 * len bytes; returns the length.
 */

size_t gw_id_encode(char *dst, const char *id, size_t len);

/*
 * Whether an id, encoded and put after the "/" of a path, comes out of the
 * normalisation of URIs as it went in.  Ids with empty, "." or ".." segments
 * do not, and have to be given as an argument.
 */

int gw_id_fits_path(const char *id, size_t len);

/*
 * The length of the UTF-8 sequence at p, of which len bytes (at least 1) are
 * there: 1 .. 4, 0 if no well-formed sequence begins so, -1 if it may be
 * one but is cut short.
 */

int gw_utf8_sequence(const unsigned char *p, size_t len);


#endif /* GW_ID_H */
