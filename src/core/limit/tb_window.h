
/*
 * The calendar windows of quotas: where they begin and end, and which one is
 * in force for a table.  Not here: what time it is.
 *
 * A window begins at the first instant at which local time has reached the
 * date (a Monday, the first of a month).  So windows never overlap, also
 * where clocks are put back over midnight.  A window of an hour begins with
 * each hour of local time, and where clocks change by another time than whole
 * hours; it never lasts longer than 3,600 s.
 *
 * A quota in a table is a bucket that time refills in one go, when a new
 * window has begun: its limits in force have TB_LIMITS_WINDOW and, in place
 * of the rate, the ms of the table's clock at which the window came into
 * force.  A word that is stamped before that is full.  All users of a table
 * share that instant, and none uses it with an earlier time, so each window
 * fills a bucket once, however their clocks differ or are stepped.
 */


#ifndef TB_WINDOW_H
#define TB_WINDOW_H


#include <stdatomic.h>

#include "src/core/limit/tb_bucket.h"
#include "src/core/limit/tb_tz.h"


/* of a word that says which window is in force: see tb_window_limits() */
#define TB_WINDOW_BITS    37
#define TB_WINDOW_MASK    ((UINT64_C(1) << TB_WINDOW_BITS) - 1)

/* ms after its announcement that a new window is in force */
#define TB_WINDOW_MARGIN  1000

/* of the word in shared memory that says which window is in force, below */
#define TB_WINDOW_BITS    37
#define TB_WINDOW_MASK    ((UINT64_C(1) << TB_WINDOW_BITS) - 1)


typedef enum {
    TB_HOUR = 0,
    TB_DAY,
    TB_WEEK,
    TB_MONTH
} tb_period_t;


typedef struct {
    int64_t    begin;              /* s since 1970 */
    int64_t    end;
} tb_window_t;


/* The window that t (s since 1970) is in. */

void tb_window(const tb_tz_t *tz, tb_period_t period, int64_t t,
    tb_window_t *w);

/*
 * The limits in force of a quota's zone, dflt for all functions of a table.
 * current: the zone's, in shared memory, zero at first; begin: of the window
 * by the caller's clock, which counts unless a later one is in force already.
 * *now: ms of the table's clock; becomes the time to use, which is later in
 * the first moments of a window.  Lock-free.
 *
 *      63              37 36                            0
 *     +------------------+------------------------------+
 *     | begin, min       | in force since, ms mod 2^37  |
 *     +------------------+------------------------------+
 */

tb_limits_t tb_window_limits(_Atomic uint64_t *current, int64_t begin,
    uint32_t quota, uint64_t flags, uint64_t *now);

/* Whether limits in force are those of the window of that word. */

static inline bool
tb_window_is(uint64_t window, tb_limits_t limits)
{
    return ((window ^ tb_limits_rate(limits)) & TB_WINDOW_MASK) == 0;
}


/* The minute (since 1970) in which the window of a word begins. */

static inline uint64_t
tb_window_minute(uint64_t window)
{
    return window >> TB_WINDOW_BITS;
}

/*
 * The same without time passing, where the window that begins there is in force
 * already; else 0.
 */

static inline tb_limits_t
tb_window_present(const _Atomic uint64_t *current, int64_t begin,
    uint32_t quota, uint64_t now)
{
    uint64_t  since, word;

    word = atomic_load_explicit(current, memory_order_acquire);
    since = (now - word) & TB_WINDOW_MASK;

    return (word >> TB_WINDOW_BITS >= (uint64_t) begin / 60
            && since <= TB_WINDOW_MASK / 2)
           ? tb_limits(quota, (now - since) & TB_RATE_MASK, TB_LIMITS_WINDOW)
           : 0;
}


/*
 * An instant (s since 1970) of the window in force, in its first minute; of a
 * table that has been used.
 */

int64_t tb_window_begin(const _Atomic uint64_t *current);


#endif /* TB_WINDOW_H */
