
/*
 * Reading TZif files and POSIX TZ strings.
 */


#include <string.h>

#include "src/core/limit/tb_tz.h"


#define TB_TZ_HEAD   44
#define TB_TZ_DAY    86400

/* what no file of the tz database comes near */
#define TB_TZ_COUNT_MAX  100000


/* The counts of a header, in its order. */

typedef struct {
    uint32_t  isut;
    uint32_t  isstd;
    uint32_t  leap;
    uint32_t  times;
    uint32_t  types;
    uint32_t  chars;
} tb_tz_counts_t;


static bool tb_tz_head(const unsigned char *p, size_t len, tb_tz_counts_t *n);
static size_t tb_tz_size(const tb_tz_counts_t *n, size_t time);
static bool tb_tz_check(const tb_tz_t *tz);
static int64_t tb_tz_time(const tb_tz_t *tz, uint32_t i);
static int32_t tb_tz_type(const tb_tz_t *tz, uint32_t i);
static bool tb_tz_footer(tb_tz_t *tz, const char *p, const char *end);
static const char *tb_tz_name(const char *p, const char *end);
static const char *tb_tz_number(const char *p, const char *end, int32_t most,
    int32_t *n);
static const char *tb_tz_clock(const char *p, const char *end, int32_t most,
    int32_t *time);
static const char *tb_tz_rule(const char *p, const char *end,
    tb_tz_rule_t *rule);
static int32_t tb_tz_ruled(const tb_tz_t *tz, int64_t t, int64_t *from,
    int64_t *to);
static int64_t tb_tz_change(const tb_tz_rule_t *rule, int64_t year,
    int32_t offset);
static int32_t tb_tz_be32(const unsigned char *p);
static int64_t tb_tz_floor(int64_t a, int64_t b);


void
tb_tz_utc(tb_tz_t *tz)
{
    memset(tz, 0, sizeof(*tz));

    tz->ruled = true;
}


bool
tb_tz_read(tb_tz_t *tz, const unsigned char *file, size_t len)
{
    size_t                size;
    tb_tz_counts_t        n;
    const unsigned char  *end, *p;

    memset(tz, 0, sizeof(*tz));

    /* a first block with 32-bit times, for readers of version 1 */

    if (!tb_tz_head(file, len, &n) || file[4] < '2') {
        return false;
    }

    size = TB_TZ_HEAD + tb_tz_size(&n, 4);

    if (size > len || !tb_tz_head(file + size, len - size, &n)) {
        return false;
    }

    p = file + size + TB_TZ_HEAD;
    end = file + len;
    size = tb_tz_size(&n, 8);

    if (size > (size_t) (end - p) || n.types == 0) {
        return false;
    }

    tz->ntimes = n.times;
    tz->ntypes = n.types;
    tz->times = p;
    tz->indices = p + (size_t) n.times * 8;
    tz->types = tz->indices + n.times;

    p += size;

    if (end - p < 2 || *p != '\n' || !tb_tz_check(tz)) {
        return false;
    }

    p++;
    end = memchr(p, '\n', (size_t) (end - p));

    return end != NULL
           && (p == end || tb_tz_footer(tz, (const char *) p,
                                        (const char *) end));
}


int32_t
tb_tz_offset(const tb_tz_t *tz, int64_t t, int64_t *from, int64_t *to)
{
    int32_t   offset;
    uint32_t  high, low, middle;

    /* low: how many changes there have been by t */

    low = 0;
    high = tz->ntimes;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (tb_tz_time(tz, middle) <= t) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    *from = low > 0 ? tb_tz_time(tz, low - 1) : INT64_MIN;

    if (low < tz->ntimes || !tz->ruled) {
        *to = low < tz->ntimes ? tb_tz_time(tz, low) : INT64_MAX;

        return tb_tz_type(tz, low > 0 ? tz->indices[low - 1] : 0);
    }

    high = low;
    offset = tb_tz_ruled(tz, t, from, to);

    if (high > 0 && *from < tb_tz_time(tz, high - 1)) {
        *from = tb_tz_time(tz, high - 1);
    }

    return offset;
}


/* H. Hinnant, "chrono-compatible low-level date algorithms", 2013. */

int64_t
tb_tz_days(int64_t year, int month, int day)
{
    int64_t  era, of_era, of_year;

    year -= month <= 2;
    era = tb_tz_floor(year, 400);
    of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    of_era = (year - era * 400) * 365 + (year - era * 400) / 4
             - (year - era * 400) / 100 + of_year;

    return era * 146097 + of_era - 719468;
}


void
tb_tz_date(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t  era, of_era, of_year, m, y;

    days += 719468;
    era = tb_tz_floor(days, 146097);
    of_era = days - era * 146097;
    y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    of_year = of_era - (365 * y + y / 4 - y / 100);
    m = (5 * of_year + 2) / 153;

    *day = (int) (of_year - (153 * m + 2) / 5 + 1);
    *month = (int) (m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}


static bool
tb_tz_head(const unsigned char *p, size_t len, tb_tz_counts_t *n)
{
    int       i;
    uint32_t  counts[6];

    if (len < TB_TZ_HEAD || memcmp(p, "TZif", 4) != 0) {
        return false;
    }

    for (i = 0; i < 6; i++) {
        counts[i] = (uint32_t) tb_tz_be32(p + 20 + 4 * i);

        if (counts[i] > TB_TZ_COUNT_MAX) {
            return false;
        }
    }

    *n = (tb_tz_counts_t) { counts[0], counts[1], counts[2], counts[3],
                           counts[4], counts[5] };

    return true;
}


/* Bytes of what follows a header, with times of so many bytes. */

static size_t
tb_tz_size(const tb_tz_counts_t *n, size_t time)
{
    return n->times * (time + 1) + n->types * (size_t) 6 + n->chars
           + n->leap * (time + 4) + n->isstd + n->isut;
}


static bool
tb_tz_check(const tb_tz_t *tz)
{
    uint32_t  i;

    for (i = 0; i < tz->ntimes; i++) {
        if (tz->indices[i] >= tz->ntypes
            || (i > 0 && tb_tz_time(tz, i) <= tb_tz_time(tz, i - 1)))
        {
            return false;
        }
    }

    for (i = 0; i < tz->ntypes; i++) {
        if (tb_tz_type(tz, i) <= -TB_TZ_OFFSET_MAX
            || tb_tz_type(tz, i) >= TB_TZ_OFFSET_MAX)
        {
            return false;
        }
    }

    return true;
}


static int64_t
tb_tz_time(const tb_tz_t *tz, uint32_t i)
{
    const unsigned char  *p;

    p = tz->times + (size_t) i * 8;

    return (int64_t) ((uint64_t) (uint32_t) tb_tz_be32(p) << 32
                      | (uint32_t) tb_tz_be32(p + 4));
}


static int32_t
tb_tz_type(const tb_tz_t *tz, uint32_t i)
{
    return tb_tz_be32(tz->types + (size_t) i * 6);
}


/* std offset [dst [offset] , rule , rule] */

static bool
tb_tz_footer(tb_tz_t *tz, const char *p, const char *end)
{
    p = tb_tz_name(p, end);
    p = tb_tz_clock(p, end, 24, &tz->standard);

    if (p == NULL) {
        return false;
    }

    tz->ruled = true;
    tz->standard = -tz->standard;

    if (p == end) {
        return true;
    }

    tz->changes = true;
    tz->summer = tz->standard + 3600;

    p = tb_tz_name(p, end);

    if (p != NULL && p < end && *p != ',') {
        p = tb_tz_clock(p, end, 24, &tz->summer);
        tz->summer = -tz->summer;
    }

    p = tb_tz_rule(p, end, &tz->begin);
    p = tb_tz_rule(p, end, &tz->end);

    return p == end;
}


/* Three letters and more, or anything but ">" between "<" and ">". */

static const char *
tb_tz_name(const char *p, const char *end)
{
    const char  *begin;

    begin = p;

    if (p < end && *p == '<') {
        p = memchr(p, '>', (size_t) (end - p));

        return p ? p + 1 : NULL;
    }

    while (p < end && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')))
    {
        p++;
    }

    return p - begin >= 3 ? p : NULL;
}


static const char *
tb_tz_number(const char *p, const char *end, int32_t most, int32_t *n)
{
    const char  *begin;

    *n = 0;

    if (p == NULL) {
        return NULL;
    }

    for (begin = p; p < end && *p >= '0' && *p <= '9'; p++) {
        *n = *n * 10 + (*p - '0');

        if (*n > most) {
            return NULL;
        }
    }

    return p > begin ? p : NULL;
}


/* [+-]hh[:mm[:ss]], in s */

static const char *
tb_tz_clock(const char *p, const char *end, int32_t most, int32_t *time)
{
    int      i;
    bool     minus;
    int32_t  n, unit;

    if (p == NULL) {
        return NULL;
    }

    minus = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');

    p = tb_tz_number(p, end, most, &n);
    *time = n * 3600;

    for (i = 0, unit = 60; i < 2 && p != NULL && p < end && *p == ':'; i++) {
        p = tb_tz_number(p + 1, end, 59, &n);
        *time += n * unit;
        unit = 1;
    }

    *time = minus ? -*time : *time;

    return p;
}


/* ,Mm.w.d or ,Jn or ,n; and /time, which may be a week away (RFC 8536) */

static const char *
tb_tz_rule(const char *p, const char *end, tb_tz_rule_t *rule)
{
    int32_t  day, month, week;

    if (p == NULL || end - p < 2 || *p++ != ',') {
        return NULL;
    }

    month = 1;
    week = 1;
    rule->kind = *p == 'M' || *p == 'J' ? *p++ : '0';

    if (rule->kind == 'M') {
        p = tb_tz_number(p, end, 12, &month);

        if (p == NULL || p == end || *p++ != '.') {
            return NULL;
        }

        p = tb_tz_number(p, end, 5, &week);

        if (p == NULL || p == end || *p++ != '.') {
            return NULL;
        }

        p = tb_tz_number(p, end, 6, &day);

    } else {
        p = tb_tz_number(p, end, 365, &day);
    }

    if (p == NULL || month == 0 || week == 0
        || (rule->kind == 'J' && day == 0))
    {
        return NULL;
    }

    rule->month = (uint8_t) month;
    rule->week = (uint8_t) week;
    rule->day = (uint16_t) day;
    rule->time = 2 * 3600;

    return p < end && *p == '/' ? tb_tz_clock(p + 1, end, 167, &rule->time)
                                : p;
}


/* By the rules: the last change up to t, and the next one. */

static int32_t
tb_tz_ruled(const tb_tz_t *tz, int64_t t, int64_t *from, int64_t *to)
{
    int      day, i, month;
    int32_t  offset;
    int64_t  at, year;

    offset = tz->standard;
    *from = INT64_MIN;
    *to = INT64_MAX;

    if (!tz->changes) {
        return offset;
    }

    tb_tz_date(tb_tz_floor(t, TB_TZ_DAY), &year, &month, &day);

    for (i = -2; i < 4; i++) {
        at = i & 1 ? tb_tz_change(&tz->end, year + (i - 1) / 2, tz->summer)
                   : tb_tz_change(&tz->begin, year + i / 2, tz->standard);

        if (at <= t && at >= *from) {
            *from = at;
            offset = i & 1 ? tz->standard : tz->summer;
        }

        if (at > t && at < *to) {
            *to = at;
        }
    }

    return offset;
}


/* When a change takes place in that year; offset: before it. */

static int64_t
tb_tz_change(const tb_tz_rule_t *rule, int64_t year, int32_t offset)
{
    bool     leap;
    int64_t  day, first, next;

    leap = tb_tz_days(year, 3, 1) - tb_tz_days(year, 2, 28) == 2;

    if (rule->kind == 'M') {
        first = tb_tz_days(year, rule->month, 1);
        next = rule->month < 12 ? tb_tz_days(year, rule->month + 1, 1)
                                : tb_tz_days(year + 1, 1, 1);

        /* 1970 began on a Thursday */

        day = first + (rule->day + 7 - (first + 4) % 7) % 7;

        if (first < -4) {
            day = first + (rule->day + 7 - ((first + 4) % 7 + 7) % 7) % 7;
        }

        day += 7 * (rule->week - 1);

        while (day >= next) {
            day -= 7;
        }

    } else {
        day = tb_tz_days(year, 1, 1) + rule->day;

        if (rule->kind == 'J') {
            day -= !(leap && rule->day >= 60);
        }
    }

    return day * TB_TZ_DAY + rule->time - offset;
}


static int32_t
tb_tz_be32(const unsigned char *p)
{
    return (int32_t) ((uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
                      | (uint32_t) p[2] << 8 | p[3]);
}


static int64_t
tb_tz_floor(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}
