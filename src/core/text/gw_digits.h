
/*
 * Printing a number in decimal digits, for replies that every request gets:
 * no format to read and no call to make.
 */


#ifndef GW_DIGITS_H
#define GW_DIGITS_H


#include <stdint.h>
#include <string.h>


#define GW_DIGITS_MAX  20           /* of UINT64_MAX */


/*
 * Prints number, without a NUL, so that it ends before end; returns where it
 * begins.  That takes no count of its digits.
 */

static inline unsigned char *
gw_digits_before(unsigned char *end, uint64_t number)
{
    uint32_t  low;

    static const char  pairs[] =
        "00010203040506070809101112131415161718192021222324"
        "25262728293031323334353637383940414243444546474849"
        "50515253545556575859606162636465666768697071727374"
        "75767778798081828384858687888990919293949596979899";

    for (; number > UINT32_MAX; number /= 10) {
        *--end = (unsigned char) ('0' + number % 10);
    }

    /* most numbers are small, and their divisions cheaper */

    for (low = (uint32_t) number; low >= 100; low /= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (size_t) (low % 100), 2);
    }

    if (low >= 10) {
        end -= 2;
        memcpy(end, pairs + 2 * (size_t) low, 2);

    } else {
        *--end = (unsigned char) ('0' + low);
    }

    return end;
}


/*
 * Prints number at p, without a NUL; returns the end of it.  p has room for
 * its digits, GW_DIGITS_MAX at most, of which nothing beyond is touched.
 */

static inline unsigned char *
gw_digits(unsigned char *p, uint64_t number)
{
    uint64_t  rest;

    p++;

    for (rest = number; rest >= 100; rest /= 100) {
        p += 2;
    }

    if (rest >= 10) {
        p++;
    }

    (void) gw_digits_before(p, number);

    return p;
}


#endif /* GW_DIGITS_H */
