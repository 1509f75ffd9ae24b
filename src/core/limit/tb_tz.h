
/*
 * A time zone of the tz database: the offset from UTC at any time.  Reads
 * compiled files (TZif, RFC 8536, version 2 and up) where they lie, and the
 * POSIX TZ string at their end for times after their table.  Not here: where
 * files are, and what is done with local time (tb_window.h).
 */


#ifndef TB_TZ_H
#define TB_TZ_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


#define TB_TZ_OFFSET_MAX  93600    /* s: no offset is as far as 26 hours */


/* One of the two changes a year, of a POSIX TZ string. */

typedef struct {
    char                  kind;        /* 'M', 'J' (no leap day), '0' */
    uint8_t               month;       /* 1 .. 12 */
    uint8_t               week;        /* 1 .. 5, 5: the last one */
    uint16_t              day;         /* of the week, or of the year */
    int32_t               time;        /* s since midnight, local */
} tb_tz_rule_t;


typedef struct {
    const unsigned char  *times;       /* ntimes big-endian 64-bit times */
    const unsigned char  *indices;     /* ntimes */
    const unsigned char  *types;       /* ntypes of 6 bytes */
    uint32_t              ntimes;
    uint32_t              ntypes;

    bool                  ruled;       /* what follows is for later times */
    bool                  changes;     /* there is summer time */
    int32_t               standard;    /* s east of UTC */
    int32_t               summer;
    tb_tz_rule_t          begin;       /* of summer time */
    tb_tz_rule_t          end;
} tb_tz_t;


/* UTC. */

void tb_tz_utc(tb_tz_t *tz);

/*
 * The zone in the len bytes of a file, which have to stay where they are.
 * Returns false if they are no such file.
 */

bool tb_tz_read(tb_tz_t *tz, const unsigned char *file, size_t len);

/*
 * Seconds that local time is ahead of UTC at t (s since 1970), and the span
 * [*from, *to) around t in which that is so; INT64_MIN and INT64_MAX: for
 * ever.  Two spans in a row may have the same offset.
 */

int32_t tb_tz_offset(const tb_tz_t *tz, int64_t t, int64_t *from,
    int64_t *to);

/* Days since 1970 of a date of the proleptic Gregorian calendar. */

int64_t tb_tz_days(int64_t year, int month, int day);

/* The date of a day. */

void tb_tz_date(int64_t days, int64_t *year, int *month, int *day);


#endif /* TB_TZ_H */
