
/*
 * What yajl does not refuse in JSON text and we do: UTF-8 that is not what
 * RFC 3629 has it to be, "\u" escapes of NUL and of half surrogate pairs,
 * deep nesting, endless strings and numbers.  The grammar is left to yajl.
 */


#ifndef GW_JSON_CHECK_H
#define GW_JSON_CHECK_H


#include <stddef.h>


#define GW_JSON_SCALAR_MAX  2048    /* bytes of one string or number, raw */


/* Zeroed, but for depth_max, at the beginning of a text. */

typedef struct {
    unsigned       state;           /* in a string, in an escape, ... */
    unsigned       depth;           /* of nesting, now */
    unsigned       depth_max;       /* of it, allowed */
    unsigned       unit;            /* of UTF-16, from a "\uXXXX" */
    unsigned       high;            /* a high surrogate has gone before */
    size_t         scalar;          /* bytes of this string or number */
    unsigned char  partial[4];      /* a UTF-8 sequence that was cut ... */
    size_t         npartial;        /* ... and how much of it */
    const char    *reason;
} gw_json_check_t;


/*
 * Returns how many of the len bytes, the next ones of the text, are fine.
 * If not all are, check->reason says what is wrong with the one that
 * follows, and the text is done with.
 */

size_t gw_json_check(gw_json_check_t *check, const unsigned char *data,
    size_t len);


#endif /* GW_JSON_CHECK_H */
