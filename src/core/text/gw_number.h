
/*
 * Decimal numbers as JSON spells them, read and written in integers only:
 * a number is its value times a scale, and no double ever comes near it.
 */


#ifndef GW_NUMBER_H
#define GW_NUMBER_H


#include <stddef.h>
#include <stdint.h>


#define GW_NUMBER_SIZE  32      /* enough for what gw_number_print() writes */


typedef enum {
    GW_NUMBER_EXACT = 0,   /* the value is the number times the scale */
    GW_NUMBER_FLOOR,       /* the value is the integer part of that */
    GW_NUMBER_NEGATIVE,    /* has a minus sign, be it before a zero */
    GW_NUMBER_LARGE,       /* more than the maximum */
    GW_NUMBER_SYNTAX       /* not a JSON number */
} gw_number_status_t;


/*
 * Reads len bytes of text as a JSON number (RFC 8259, exponent included)
 * and sets *value to the number times scale, cut to an integer; no digit is
 * ignored, however many there are.  scale is 1 .. 2^60, max (in units of
 * *value) up to 2^63; *value is set for EXACT and FLOOR only.
 */

gw_number_status_t gw_number_read(const char *text, size_t len,
    uint64_t scale, uint64_t max, uint64_t *value);

/*
 * Writes value / 10^decimals (decimals 0 .. 18) without trailing zeros and
 * a terminating NUL to buf of GW_NUMBER_SIZE bytes.  Returns the length.
 */

size_t gw_number_print(char *buf, uint64_t value, unsigned decimals);


#endif /* GW_NUMBER_H */
