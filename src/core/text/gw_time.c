
/*
 * Times as nginx spells them.
 */


#include <string.h>

#include "src/core/text/gw_number.h"
#include "src/core/text/gw_time.h"


static uint64_t gw_time_unit(const char **p, const char *end);


int
gw_time_read(const char *text, size_t len, uint64_t max, uint64_t *ms)
{
    uint64_t     n, total, unit;
    const char  *p, *end;

    p = text;
    end = text + len;
    total = 0;

    if (len == 0) {
        return -1;
    }

    while (p < end) {

        if (*p < '0' || *p > '9') {
            return -1;
        }

        for (n = 0; p < end && *p >= '0' && *p <= '9'; p++) {
            n = n * 10 + (uint64_t) (*p - '0');

            if (n > max) {
                return -1;
            }
        }

        unit = gw_time_unit(&p, end);

        if (unit == 0 || n > max / unit || total + n * unit > max) {
            return -1;
        }

        total += n * unit;
    }

    *ms = total;

    return 0;
}


size_t
gw_time_print(char *buf, uint64_t ms)
{
    size_t       len;
    const char  *unit;

    unit = (ms % 1000 != 0) ? "ms" : "s";
    len = gw_number_print(buf, ms % 1000 != 0 ? ms : ms / 1000, 0);

    memcpy(buf + len, unit, strlen(unit) + 1);

    return len + strlen(unit);
}


/* the unit at *p, which is moved behind it, in ms; 0 if it is none */

static uint64_t
gw_time_unit(const char **p, const char *end)
{
    if (*p == end) {
        return 1000;
    }

    switch (*(*p)++) {

    case 'm':
        if (*p < end && **p == 's') {
            (*p)++;
            return 1;
        }

        return 60000;

    case 's':
        return 1000;

    case 'h':
        return 3600000;

    case 'd':
        return 86400000;

    default:
        return 0;
    }
}
