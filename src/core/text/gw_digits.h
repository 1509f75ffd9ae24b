
/*
 * Printing a number in decimal digits, for replies that every request gets:
 * no format to read and no call to make.
 */


#ifndef GW_DIGITS_H
#define GW_DIGITS_H


#include <stdint.h>


#define GW_DIGITS_MAX  20           /* of UINT64_MAX */


/*
 * Prints number at p, without a NUL; returns the end of it.  p has room for
 * its digits, GW_DIGITS_MAX at most, of which nothing beyond is touched.
 */

static inline unsigned char *
gw_digits(unsigned char *p, uint64_t number)
{
    uint64_t        rest;
    unsigned        pair;
    unsigned char  *end, *digit;

    static const char  pairs[] =
        "00010203040506070809101112131415161718192021222324"
        "25262728293031323334353637383940414243444546474849"
        "50515253545556575859606162636465666768697071727374"
        "75767778798081828384858687888990919293949596979899";

    end = p + 1;

    for (rest = number; rest >= 100; rest /= 100) {
        end += 2;
    }

    if (rest >= 10) {
        end++;
    }

    for (digit = end; number >= 100; number /= 100) {
        pair = 2 * (unsigned) (number % 100);
        *--digit = (unsigned char) pairs[pair + 1];
        *--digit = (unsigned char) pairs[pair];
    }

    if (number >= 10) {
        *--digit = (unsigned char) pairs[2 * number + 1];
        *--digit = (unsigned char) pairs[2 * number];

    } else {
        *--digit = (unsigned char) ('0' + number);
    }

    return end;
}


#endif /* GW_DIGITS_H */
