
/*
 * Decimal numbers in integers.
 *
 * The fraction is scaled from its last digit to its first, carrying only
 * integer parts: floor((d * scale + x) / 10) is the same for x and for
 * floor(x), so a fraction of any length comes out exact.
 */


#include <string.h>

#include "src/core/text/gw_number.h"


/* far beyond what any scale brings back into range */
#define GW_NUMBER_EXPONENT_MAX  100000


/*
 * The digits of a number are whole[0 .. nwhole) and then part[0 .. npart);
 * the decimal point is after the first "point" of them, which may be outside
 * of what is there on either side.
 */

typedef struct {
    const char  *whole;
    const char  *part;
    long         nwhole;
    long         npart;
    long         point;
    int          negative;
} gw_digits_t;


static int gw_digits_split(gw_digits_t *d, const char *text, size_t len);
static const char *gw_digits_exponent(gw_digits_t *d, const char *p,
    const char *last);
static const char *gw_digits_skip(const char *p, const char *last);
static unsigned gw_digits_at(const gw_digits_t *d, long i);


gw_number_status_t
gw_number_read(const char *text, size_t len, uint64_t scale, uint64_t max,
    uint64_t *value)
{
    int          exact;
    long         i, n;
    uint64_t     whole, part;
    gw_digits_t  d;

    if (!gw_digits_split(&d, text, len)) {
        return GW_NUMBER_SYNTAX;
    }

    if (d.negative) {
        return GW_NUMBER_NEGATIVE;
    }

    n = d.nwhole + d.npart;
    whole = 0;

    for (i = 0; i < d.point && (i < n || whole != 0); i++) {
        whole = whole * 10 + (i < n ? gw_digits_at(&d, i) : 0);

        if (whole > max / scale) {
            return GW_NUMBER_LARGE;
        }
    }

    part = 0;
    exact = 1;

    for (i = n - 1; i >= 0 && i >= d.point; i--) {
        part += gw_digits_at(&d, i) * scale;
        exact &= (part % 10 == 0);
        part /= 10;
    }

    for (i = d.point; i < 0 && part != 0; i++) {
        exact &= (part % 10 == 0);
        part /= 10;
    }

    part += whole * scale;

    if (part > max || (part == max && !exact)) {
        return GW_NUMBER_LARGE;
    }

    *value = part;

    return exact ? GW_NUMBER_EXACT : GW_NUMBER_FLOOR;
}


size_t
gw_number_print(char *buf, uint64_t value, unsigned decimals)
{
    char    *p;
    size_t   len;

    while (decimals > 0 && value % 10 == 0) {
        value /= 10;
        decimals--;
    }

    /* from the last digit to the first, then moved to the front */

    p = &buf[GW_NUMBER_SIZE - 1];
    *p = '\0';

    if (decimals > 0) {
        while (decimals-- > 0) {
            *--p = (char) ('0' + value % 10);
            value /= 10;
        }

        *--p = '.';
    }

    do {
        *--p = (char) ('0' + value % 10);
        value /= 10;
    } while (value != 0);

    len = (size_t) (&buf[GW_NUMBER_SIZE - 1] - p);
    memmove(buf, p, len + 1);

    return len;
}


/* Takes a JSON number apart; 0 if it is none. */

static int
gw_digits_split(gw_digits_t *d, const char *text, size_t len)
{
    const char  *p, *last;

    p = text;
    last = text + len;

    d->negative = (p < last && *p == '-');
    p += d->negative;

    d->whole = p;
    p = gw_digits_skip(p, last);
    d->nwhole = (long) (p - d->whole);

    if (d->nwhole == 0 || (d->nwhole > 1 && *d->whole == '0')) {
        return 0;
    }

    d->part = p;
    d->npart = 0;

    if (p < last && *p == '.') {
        d->part = ++p;
        p = gw_digits_skip(p, last);
        d->npart = (long) (p - d->part);

        if (d->npart == 0) {
            return 0;
        }
    }

    d->point = d->nwhole;

    if (p < last && (*p == 'e' || *p == 'E')) {
        p = gw_digits_exponent(d, p + 1, last);
    }

    return p == last;
}


/* Moves the point by the exponent at p; NULL if there are no digits. */

static const char *
gw_digits_exponent(gw_digits_t *d, const char *p, const char *last)
{
    int          negative;
    long         exponent;
    const char  *digits;

    negative = (p < last && *p == '-');
    p += (p < last && (*p == '-' || *p == '+'));

    exponent = 0;

    for (digits = p; p < last && *p >= '0' && *p <= '9'; p++) {
        if (exponent < GW_NUMBER_EXPONENT_MAX) {
            exponent = exponent * 10 + (*p - '0');
        }
    }

    if (p == digits) {
        return NULL;
    }

    d->point += negative ? -exponent : exponent;

    return p;
}


static const char *
gw_digits_skip(const char *p, const char *last)
{
    while (p < last && *p >= '0' && *p <= '9') {
        p++;
    }

    return p;
}


static unsigned
gw_digits_at(const gw_digits_t *d, long i)
{
    return (unsigned) ((i < d->nwhole ? d->whole[i]
                                      : d->part[i - d->nwhole]) - '0');
}
