#!/usr/bin/env python3
"""The windows of quotas by another calculation, for test_tb_window.c.

Prints "ZONE PERIOD TIME BEGIN END" for all zones of the tz database, at
times of 1970 to 2100 and beside the changes of offsets in some years.  The
zones' offsets are those of Python's zoneinfo.
"""

import datetime
import random
import sys
import zoneinfo

DAY = 86400


def local(t, zone):
    """Local time at t, without a zone."""
    return datetime.datetime.fromtimestamp(t, zone).replace(tzinfo=None)


def first(date, zone):
    """The first instant at which local time has reached the date."""
    begin = datetime.datetime(date.year, date.month, date.day)
    t = int(begin.replace(tzinfo=zone, fold=0).timestamp())
    if local(t, zone).replace(fold=0) == begin:
        return t

    # the date begins in a gap: its end, within a day before
    low, high = t - DAY - 7200, t
    while high - low > 1:
        middle = (low + high) // 2
        if local(middle, zone) >= begin:
            high = middle
        else:
            low = middle
    return high


def start(date, period):
    """The first date of the period that the date is in."""
    if period == "week":
        return date - datetime.timedelta(days=date.weekday())
    if period == "month":
        return date.replace(day=1)
    return date


def following(date, period):
    """The first date of the next period."""
    days = {"day": 1, "week": 7, "month": 31}[period]
    return start(date + datetime.timedelta(days=days), period)


def window(t, period, zone):
    """Begin and end of the window that t is in."""
    date = start(local(t, zone).date(), period)
    begin = first(date, zone)
    while True:
        date = following(date, period)
        end = first(date, zone)
        if end > t:
            return begin, end
        begin = end


def offset(t, zone):
    """Seconds east of UTC."""
    delta = datetime.datetime.fromtimestamp(t, zone).utcoffset()
    return delta.days * DAY + delta.seconds


def change(low, high, zone):
    """The first instant after low at which minutes are those of high."""
    phase = offset(high, zone) % 3600
    while high - low > 1:
        middle = (low + high) // 2
        if offset(middle, zone) % 3600 == phase:
            high = middle
        else:
            low = middle
    return high


def hour(t, zone):
    """Begin and end of the hour that t is in."""
    phase = offset(t, zone)
    begin = t - (t + phase) % 3600
    end = begin + 3600
    if (offset(begin, zone) - phase) % 3600:
        begin = change(begin, t, zone)
    if (offset(end - 1, zone) - phase) % 3600:
        end = change(t, end - 1, zone)
    return begin, end


def times(zone, rnd):
    """Times that are worth a look."""
    year = rnd.randrange(1970, 2100)
    begin = int(datetime.datetime(year, 1, 1,
                                  tzinfo=datetime.timezone.utc).timestamp())
    last = offset(begin, zone)
    for t in range(begin, begin + 366 * DAY, 21600):
        now = offset(t, zone)
        if now != last:
            low, high = t - 21600, t
            while high - low > 1:
                middle = (low + high) // 2
                if offset(middle, zone) == now:
                    high = middle
                else:
                    low = middle
            yield from (high + d for d in (-3601, -1, 0, 1, 1799, 3600,
                                           -DAY, DAY))
        last = now
    for _ in range(10):
        yield rnd.randrange(DAY * 400, 4102444800)


def main():
    """Prints it all."""
    rnd = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for name in sorted(zoneinfo.available_timezones()):
        zone = zoneinfo.ZoneInfo(name)
        for t in times(zone, rnd):
            begin, end = hour(t, zone)
            print(name, "hour", t, begin, end)
            for period in ("day", "week", "month"):
                begin, end = window(t, period, zone)
                print(name, period, t, begin, end)
                for edge in (begin - 1, end) if period == "day" else (end,):
                    print(name, period, edge, *window(edge, period, zone))


main()
