
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
    unsigned char  *end;

    end = p + 1;

    for (rest = number; rest >= 10; rest /= 10) {
        end++;
    }

    p = end;

    do {
        *--p = (unsigned char) ('0' + number % 10);
        number /= 10;
    } while (number != 0);

    return end;
}


#endif /* GW_DIGITS_H */
