
/*
 * Time zones and the windows of quotas: against another calculation for all
 * zones of the tz database (windows.py), by properties over long times, and
 * what a bucket makes of a window.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/limit/tb_window.h"
#include "t/unit/limit/tb_fixture.h"


#define FOLDER   "/usr/share/zoneinfo/"
#define DAY      INT64_C(86400)
#define NOW      UINT64_C(10000000)
#define TOKEN    ((int64_t) TB_TOKEN)


static unsigned char  file[1 << 20];


static size_t
load(const char *name)
{
    char    path[256];
    FILE   *f;
    size_t  n;

    (void) snprintf(path, sizeof(path), FOLDER "%s", name);

    f = fopen(path, "rb");

    if (f == NULL) {
        return 0;
    }

    n = fread(file, 1, sizeof(file), f);
    (void) fclose(f);

    return n;
}


static void
zone(tb_tz_t *tz, const char *name)
{
    size_t  n;

    n = load(name);

    if (n == 0) {
        print_message("no tzdata here: NOT TESTED\n");
        skip();
    }

    assert_true(tb_tz_read(tz, file, n));
}


static void
test_windows_are_those_of_another_calculation(void **state)
{
    char         last[64], name[64], period[16];
    long         begin, end, t, lines;
    FILE        *f;
    tb_tz_t      tz;
    tb_window_t  w;
    tb_period_t  p;

    (void) state;

    f = popen("python3 t/unit/limit/windows.py 2>/dev/null", "r");
    assert_non_null(f);

    last[0] = '\0';
    lines = 0;

    while (fscanf(f, "%63s %15s %ld %ld %ld", name, period, &t, &begin, &end)
           == 5)
    {
        if (strcmp(name, last) != 0) {
            zone(&tz, name);
            strcpy(last, name);
        }

        p = period[0] == 'h' ? TB_HOUR : period[0] == 'd' ? TB_DAY
            : period[0] == 'w' ? TB_WEEK : TB_MONTH;

        tb_window(&tz, p, t, &w);

        if (w.begin != begin || w.end != end) {
            fail_msg("%s %s at %ld: %lld to %lld, but %ld to %ld", name,
                     period, t, (long long) w.begin, (long long) w.end,
                     begin, end);
        }

        lines++;
    }

    (void) pclose(f);

    if (lines == 0) {
        print_message("no zoneinfo of Python here: NOT TESTED\n");
        skip();
    }
}


/* One after the other, without gap or overlap, of the length they have. */

static void
test_windows_follow_each_other(void **state)
{
    int          p;
    size_t       i;
    int64_t      t;
    tb_tz_t      tz;
    tb_window_t  next, w;
    tb_random_t  rnd = { 31 };

    static const char  *zones[] = {
        "UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns",
        "America/Sao_Paulo", "America/Havana", "Africa/Casablanca",
        "Pacific/Apia", "Europe/Dublin", "Asia/Gaza", "America/Nuuk",
        "Antarctica/Troll", "Africa/Monrovia", "Asia/Kathmandu"
    };

    static const int64_t  longest[] = { 3600, 2 * DAY + 3600, 8 * DAY,
                                        32 * DAY };

    (void) state;

    for (i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        zone(&tz, zones[i]);

        for (p = TB_HOUR; p <= TB_MONTH; p++) {
            t = (int64_t) tb_random_in(&rnd, 0, 4000000000);
            tb_window(&tz, (tb_period_t) p, t, &w);

            /* more than 10,000 years, all in all */

            while (w.begin < t + longest[p] * (p == TB_HOUR ? 30000 : 7000)) {
                assert_true(w.begin < w.end);
                assert_true(w.end - w.begin <= longest[p]);

                tb_window(&tz, (tb_period_t) p, w.end, &next);
                assert_true(next.begin == w.end);

                tb_window(&tz, (tb_period_t) p,
                          (int64_t) tb_random_in(&rnd, (uint64_t) w.begin,
                                                 (uint64_t) w.end - 1),
                          &next);
                assert_true(next.begin == w.begin && next.end == w.end);

                tb_window(&tz, (tb_period_t) p, w.end, &w);
            }
        }
    }
}


static void
test_dates_count_days_as_the_calendar_does(void **state)
{
    int      d, day, m, month;
    int64_t  days, y, year;

    (void) state;

    assert_true(tb_tz_days(1970, 1, 1) == 0);
    assert_true(tb_tz_days(2000, 3, 1) == 11017);
    assert_true(tb_tz_days(1969, 12, 31) == -1);

    year = 1600, month = 1, day = 1;

    for (days = tb_tz_days(1600, 1, 1); days < tb_tz_days(2500, 1, 1); days++)
    {
        tb_tz_date(days, &y, &m, &d);
        assert_true(y == year && m == month && d == day);
        assert_true(tb_tz_days(y, m, d) == days);

        static const int  length[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30,
                                       31, 30, 31 };

        if (++day > length[month - 1]
            + (month == 2 && year % 4 == 0
               && (year % 100 != 0 || year % 400 == 0)))
        {
            day = 1;
            month = month % 12 + 1;
            year += month == 1;
        }
    }
}


/* Whatever the bytes are, reading ends and stays inside. */

static void
test_broken_files_are_refused_or_read(void **state)
{
    int             i, k;
    size_t          n;
    int64_t         from, to;
    tb_tz_t         tz;
    tb_window_t     w;
    tb_random_t     rnd = { 32 };
    unsigned char  *copy;

    (void) state;

    zone(&tz, "Europe/Berlin");
    n = load("Europe/Berlin");

    for (i = 0; i < 20000; i++) {
        size_t  len = tb_random_in(&rnd, 0, n);

        copy = malloc(len ? len : 1);
        assert_non_null(copy);
        memcpy(copy, file + (i % 2 ? 0 : n - len), len);

        for (k = 0; k < i % 5 && len; k++) {
            copy[tb_random_in(&rnd, 0, len - 1)] = (unsigned char)
                                                   tb_random(&rnd);
        }

        if (tb_tz_read(&tz, copy, len)) {
            (void) tb_tz_offset(&tz, (int64_t) (tb_random(&rnd) >> 30), &from,
                                &to);
            tb_window(&tz, TB_DAY, (int64_t) (tb_random(&rnd) >> 32), &w);
        }

        free(copy);
    }

    /* cut off at each byte */

    for (i = 0; i < (int) n; i++) {
        copy = malloc((size_t) i + 1);
        assert_non_null(copy);
        memcpy(copy, file, (size_t) i);
        assert_false(tb_tz_read(&tz, copy, (size_t) i));
        free(copy);
    }
}


static void
test_bucket_is_full_once_a_window(void **state)
{
    uint64_t     current, now;
    tb_hash_t    h;
    tb_table_t  *t;
    tb_limits_t  dflt;
    tb_result_t  res;

    _Atomic uint64_t  shared;

    (void) state;

    atomic_init(&shared, 0);
    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    now = NOW;
    dflt = tb_window_limits(&shared, 60000, 10, 0, &now);
    assert_true(now == NOW);
    assert_true(fixture_ask(t, &h, now, dflt, 10 * TB_TOKEN, &res)
                == TB_PASS);

    /* neither time nor ticks fill it */

    now = NOW + 9 * TB_AGE_MAX;
    dflt = tb_window_limits(&shared, 60000, 10, 0, &now);
    (void) fixture_sweep(t, now, dflt);
    assert_true(tb_table_take(t, &h, now, dflt, TB_TOKEN, &res)
                == TB_REFUSE);
    assert_true(tb_word_wait(res.word, res.limits, now,
                             tb_limits_room(res.limits)) == UINT64_MAX);

    /* into debt, which the next window forgives */

    assert_true(tb_table_charge(t, &h, now, dflt, 5 * TB_TOKEN, -TB_DEBT_MAX,
                                &res, &current) == TB_PASS);
    assert_true(res.left - tb_limits_lowest(res.limits) == -5 * TOKEN);

    now += 50;
    dflt = tb_window_limits(&shared, 63600, 10, 0, &now);
    assert_true(tb_table_take(t, &h, now, dflt, 10 * TB_TOKEN, &res)
                == TB_PASS);

    /* one whose clock is behind is in the new window as well */

    now -= 1030;
    dflt = tb_window_limits(&shared, 60000, 10, 0, &now);
    assert_true(tb_table_take(t, &h, now, dflt, TB_TOKEN, &res)
                == TB_REFUSE);
    assert_true(tb_table_charge(t, &h, now, dflt, TB_TOKEN, -TB_DEBT_MAX,
                                &res, &current) == TB_PASS);

    /* set back by a day: no window comes twice */

    now += 5000;
    dflt = tb_window_limits(&shared, 100, 10, 0, &now);
    assert_true(tb_table_take(t, &h, now, dflt, TB_TOKEN, &res)
                == TB_REFUSE);

    /* given back: idle after a while, and freed */

    assert_true(tb_table_give(t, &h, now, dflt, 20 * TB_TOKEN));
    (void) fixture_sweep(t, now + 2 * TB_IDLE_TIME, dflt);
    assert_true(tb_table_read(t, &h, now, dflt, &res) == TB_ABSENT);

    free(t);
}


static void
present_is(const _Atomic uint64_t *shared, int64_t begin, uint64_t now)
{
    uint64_t     same;
    tb_limits_t  limits;

    _Atomic uint64_t  other;

    atomic_init(&other, atomic_load(shared));
    same = now;
    limits = tb_window_limits(&other, begin, 10, 0, &same);

    assert_true(same == now);
    assert_true(atomic_load(&other) == atomic_load(shared));
    assert_true(tb_window_present(shared, begin, 10, now) == limits);
}


static void
test_present_window_is_the_one_in_force(void **state)
{
    uint64_t  now;

    _Atomic uint64_t  shared;

    (void) state;

    atomic_init(&shared, 0);
    assert_true(tb_window_present(&shared, 60000, 10, NOW) == 0);

    now = NOW;
    (void) tb_window_limits(&shared, 60000, 10, 0, &now);
    present_is(&shared, 60000, NOW);
    present_is(&shared, 60000, NOW + 9 * TB_AGE_MAX);

    /* a new one is announced, and not in force at once */

    now = NOW + 5000;
    assert_true(tb_window_present(&shared, 63600, 10, now) == 0);
    (void) tb_window_limits(&shared, 63600, 10, 0, &now);
    assert_true(now == NOW + 5000 + TB_WINDOW_MARGIN);
    assert_true(tb_window_present(&shared, 63600, 10, now - 1) == 0);
    assert_true(tb_window_present(&shared, 60000, 10, now - 1) == 0);
    present_is(&shared, 63600, now);

    /* for one whose clock is behind it is the new one */

    present_is(&shared, 60000, now + 1);
}


/* What has been used of a quota stays when that changes, to more or less. */

static void
test_a_quota_that_changes_keeps_its_use(void **state)
{
    uint64_t      charged, now;
    tb_hash_t     h;
    tb_plans_t   *plans;
    tb_table_t   *t;
    tb_limits_t   dflt;
    tb_result_t   res;

    _Atomic uint64_t  shared;

    (void) state;

    atomic_init(&shared, 0);
    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    plans = calloc(1, tb_plan_size(4));
    assert_non_null(plans);
    tb_plan_init(plans, 4);
    tb_plan_set(plans, 2, tb_limits(10, 0, 0));
    tb_table_use_plans(t, plans);

    now = NOW;
    dflt = tb_window_limits(&shared, 60000, 5, 0, &now);

    assert_true(fixture_ask(t, &h, now, dflt, 5 * TB_TOKEN, &res) == TB_PASS);
    assert_true(tb_table_take(t, &h, now, dflt, TB_TOKEN, &res)
                == TB_REFUSE);

    tb_table_assign(t, &h, now, dflt, tb_plan_limits(2, TB_LIMITS_LENT));
    assert_true(tb_table_take(t, &h, now, dflt, 6 * TB_TOKEN, &res)
                == TB_REFUSE);
    assert_true(tb_table_take(t, &h, now, dflt, 5 * TB_TOKEN, &res)
                == TB_PASS);

    /* by one store, for whoever has the plan */

    tb_plan_set(plans, 2, tb_limits(1000000, 0, 0));
    assert_true(tb_table_take(t, &h, now, dflt, 999990 * TB_TOKEN, &res)
                == TB_PASS);
    assert_true(tb_table_take(t, &h, now, dflt, 1, &res) == TB_REFUSE);

    /* without it and with it again: nothing is there anew */

    tb_table_assign(t, &h, now, dflt, 0);
    (void) fixture_sweep(t, now + 2 * TB_IDLE_TIME, dflt);
    assert_true(tb_table_take(t, &h, now, dflt, 1, &res) == TB_REFUSE);
    tb_table_assign(t, &h, now, dflt, tb_plan_limits(2, TB_LIMITS_LENT));
    assert_true(tb_table_take(t, &h, now, dflt, 1, &res) == TB_REFUSE);

    /* debt comes on top of what may be used, however little that is */

    tb_plan_set(plans, 2, tb_limits(1, 0, 0));
    assert_true(tb_table_charge(t, &h, now, dflt, TB_COST_MAX, -TB_DEBT_MAX,
                                &res, &charged) == TB_PASS);
    assert_true(charged == 0);

    now += 10 * TB_IDLE_TIME;
    dflt = tb_window_limits(&shared, 63600, 5, 0, &now);
    assert_true(tb_table_take(t, &h, now, dflt, TB_TOKEN, &res) == TB_PASS);
    assert_true(tb_table_charge(t, &h, now, dflt, TB_COST_MAX, -TB_DEBT_MAX,
                                &res, &charged) == TB_PASS);
    assert_true(charged == (uint64_t) TB_DEBT_MAX);

    free(plans);
    free(t);
}


/* Who displaces another starts with as much as that had left. */

static void
test_a_displaced_quota_is_what_was_left(void **state)
{
    tb_limits_t  large, small;

    (void) state;

    large = tb_limits(1000, 7, TB_LIMITS_WINDOW);
    small = tb_limits(10, 7, TB_LIMITS_WINDOW);

    assert_true(tb_limits_convert(large, small, tb_limits_lowest(large)
                                                + 4 * TOKEN)
                == tb_limits_lowest(small) + 4 * TOKEN);
    assert_true(tb_limits_convert(large, small, TB_COST_MAX) == TB_COST_MAX);
    assert_true(tb_limits_convert(small, large, TB_COST_MAX)
                == tb_limits_lowest(large) + 10 * TOKEN);
    assert_true(tb_limits_convert(tb_limits(9, 1, 0), tb_limits(5, 1, 0),
                                  7 * TOKEN) == 5 * TOKEN);
}


/*
 * Processes whose clocks differ, in any order, over many windows and clocks
 * that are stepped: each window is spent at most once.
 */

static void
test_no_window_is_spent_twice(void **state)
{
    int          n;
    int64_t      wall;
    uint64_t     at, now, time;
    tb_hash_t    h;
    tb_table_t  *t;
    tb_limits_t  dflt;
    tb_result_t  res;
    tb_random_t  rnd = { 33 };

    uint64_t           spent, windows;
    _Atomic uint64_t   shared;

    (void) state;

    atomic_init(&shared, 0);
    t = fixture_create(fixture_size(1));
    h = fixture_key(1);

    spent = 0;
    time = NOW;
    wall = 1000000;
    windows = 0;
    at = 0;

    for (n = 0; n < 300000; n++) {
        time += tb_random_in(&rnd, 0, 20);
        wall = n % 5000 == 4999 ? wall + (int64_t) tb_random_in(&rnd, 0, 200)
                                  - 100
                                : wall;

        now = time - tb_random_in(&rnd, 0, 5);
        dflt = tb_window_limits(&shared,
                                (wall + (int64_t) now / 1000) / 60 * 60, 7,
                                0, &now);

        if (tb_limits_rate(dflt) != at) {
            at = tb_limits_rate(dflt);
            windows++;
        }

        if (fixture_ask(t, &h, now, dflt, TB_TOKEN, &res) == TB_PASS) {
            spent++;
        }

        assert_true(spent <= windows * 7);

        if (n % 50 == 0) {
            (void) fixture_sweep(t, now, dflt);
        }
    }

    assert_true(windows > 20);
    assert_true(spent > (windows - 5) * 7);

    free(t);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_present_window_is_the_one_in_force),
        cmocka_unit_test(test_windows_are_those_of_another_calculation),
        cmocka_unit_test(test_windows_follow_each_other),
        cmocka_unit_test(test_dates_count_days_as_the_calendar_does),
        cmocka_unit_test(test_broken_files_are_refused_or_read),
        cmocka_unit_test(test_bucket_is_full_once_a_window),
        cmocka_unit_test(test_a_quota_that_changes_keeps_its_use),
        cmocka_unit_test(test_a_displaced_quota_is_what_was_left),
        cmocka_unit_test(test_no_window_is_spent_twice)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
