
/*
 * Calendar windows.
 */


#include "src/core/limit/tb_window.h"


#define TB_WINDOW_DAY   86400
#define TB_WINDOW_HOUR  3600


static void tb_window_hour(const tb_tz_t *tz, int64_t t, tb_window_t *w);
static int64_t tb_window_day(tb_period_t period, int64_t day);
static int64_t tb_window_next(tb_period_t period, int64_t day);
static int64_t tb_window_first(const tb_tz_t *tz, int64_t day);
static int64_t tb_window_rest(int64_t a, int64_t b);


void
tb_window(const tb_tz_t *tz, tb_period_t period, int64_t t, tb_window_t *w)
{
    int64_t  day, from, local, to;

    if (period == TB_HOUR) {
        tb_window_hour(tz, t, w);
        return;
    }

    local = t + tb_tz_offset(tz, t, &from, &to);
    local -= tb_window_rest(local, TB_WINDOW_DAY);

    day = tb_window_day(period, local / TB_WINDOW_DAY);

    w->begin = tb_window_first(tz, day);

    for ( ;; ) {
        day = tb_window_next(period, day);
        w->end = tb_window_first(tz, day);

        if (w->end > t) {
            return;
        }

        /* clocks were put back to the day before */

        w->begin = w->end;
    }
}


tb_limits_t
tb_window_limits(_Atomic uint64_t *current, int64_t begin, uint32_t quota,
    uint64_t flags, uint64_t *now)
{
    uint64_t  minute, next, old, since;

    minute = (uint64_t) begin / 60;
    old = atomic_load_explicit(current, memory_order_acquire);

    while (old >> TB_WINDOW_BITS < minute) {

        /* later than any stamp that the window before has seen */

        since = old ? *now + TB_WINDOW_MARGIN : *now;
        next = minute << TB_WINDOW_BITS | (since & TB_WINDOW_MASK);

        if (atomic_compare_exchange_strong_explicit(current, &old, next,
                                                    memory_order_acq_rel,
                                                    memory_order_acquire))
        {
            old = next;
        }
    }

    since = (*now - old) & TB_WINDOW_MASK;

    if (since > TB_WINDOW_MASK / 2) {
        *now += TB_WINDOW_MASK + 1 - since;
        since = 0;
    }

    return tb_limits(quota, (*now - since) & TB_RATE_MASK,
                     flags | TB_LIMITS_WINDOW);
}


/* A window begins in that minute, perhaps not with it. */

int64_t
tb_window_begin(const _Atomic uint64_t *current)
{
    uint64_t  minute;

    minute = atomic_load_explicit(current, memory_order_acquire)
             >> TB_WINDOW_BITS;

    return (int64_t) (minute * 60 + 59);
}


/* Where clocks change by whole hours, the hours go on as before. */

static void
tb_window_hour(const tb_tz_t *tz, int64_t t, tb_window_t *w)
{
    int64_t  begin, end, from, offset, phase, to;

    phase = tb_tz_offset(tz, t, &from, &to);

    w->begin = t - tb_window_rest(t + phase, TB_WINDOW_HOUR);
    w->end = w->begin + TB_WINDOW_HOUR;

    while (from > w->begin) {
        offset = tb_tz_offset(tz, from - 1, &begin, &end);

        if ((offset - phase) % TB_WINDOW_HOUR != 0) {
            w->begin = from;
            break;
        }

        from = begin;
    }

    while (to < w->end) {
        offset = tb_tz_offset(tz, to, &begin, &end);

        if ((offset - phase) % TB_WINDOW_HOUR != 0) {
            w->end = to;
            break;
        }

        to = end;
    }
}


/* The day on which the period begins that a day is in; days since 1970. */

static int64_t
tb_window_day(tb_period_t period, int64_t day)
{
    int      d, month;
    int64_t  year;

    switch (period) {

    case TB_WEEK:

        /* 1970 began on a Thursday */

        return day - tb_window_rest(day + 3, 7);

    case TB_MONTH:
        tb_tz_date(day, &year, &month, &d);

        return day - (d - 1);

    default:
        return day;
    }
}


static int64_t
tb_window_next(tb_period_t period, int64_t day)
{
    switch (period) {

    case TB_WEEK:
        return day + 7;

    case TB_MONTH:
        return tb_window_day(TB_MONTH, day + 31);

    default:
        return day + 1;
    }
}


/* The first instant at which local time has reached that day. */

static int64_t
tb_window_first(const tb_tz_t *tz, int64_t day)
{
    int32_t  offset;
    int64_t  at, from, t, to;

    t = day * TB_WINDOW_DAY - TB_TZ_OFFSET_MAX;

    for ( ;; ) {
        offset = tb_tz_offset(tz, t, &from, &to);
        at = day * TB_WINDOW_DAY - offset;

        if (at < to) {
            return at > t ? at : t;
        }

        t = to;
    }
}


static int64_t
tb_window_rest(int64_t a, int64_t b)
{
    return (a % b + b) % b;
}
