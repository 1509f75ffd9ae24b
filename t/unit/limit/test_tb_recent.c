
/*
 * Recent changes: what was read earlier never undoes a later change.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/limit/tb_recent.h"


static tb_stream_id_t
at(uint64_t ms, uint64_t seq)
{
    tb_stream_id_t  id;

    id.ms = ms;
    id.seq = seq;

    return id;
}


static void
ids_are_read_as_they_are_printed(void **state)
{
    char            text[TB_STREAM_ID_SIZE];
    size_t          i, len;
    tb_stream_id_t  id, back;

    static const uint64_t  n[] = { 0, 1, 10, 1700000000000, UINT64_MAX };

    (void) state;

    for (i = 0; i < 25; i++) {
        id = at(n[i / 5], n[i % 5]);
        len = tb_stream_id_print(text, &id);

        assert_true(len < sizeof(text));
        assert_true(tb_stream_id_parse(&back, text, len));
        assert_int_equal(tb_stream_id_compare(&id, &back), 0);
    }
}


static void
what_is_no_id_is_refused(void **state)
{
    size_t          i;
    tb_stream_id_t  id;

    static const char *const  texts[] = {
        "", "-", "1", "1-", "-1", "1-2-3", "1-2 ", " 1-2", "+1-2", "a-b",
        "18446744073709551616-0", "0-18446744073709551616"
    };

    (void) state;

    id = at(7, 7);

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(tb_stream_id_parse(&id, texts[i], strlen(texts[i])));
    }

    assert_true(id.ms == 7 && id.seq == 7);
    assert_true(tb_stream_id_parse(&id, "1-234", 3));
    assert_true(id.ms == 1 && id.seq == 2);
}


static void
ids_are_in_order_of_time_then_number(void **state)
{
    tb_stream_id_t  a, b;

    (void) state;

    a = at(5, 9);
    b = at(6, 0);
    assert_true(tb_stream_id_compare(&a, &b) < 0);
    assert_true(tb_stream_id_compare(&b, &a) > 0);

    b = at(5, 10);
    assert_true(tb_stream_id_compare(&a, &b) < 0);
}


static void
an_older_view_of_a_changed_client_is_not_allowed(void **state)
{
    tb_recent_t     recent;
    tb_stream_id_t  older, change, newer;

    (void) state;

    memset(&recent, 0, sizeof(recent));

    older = at(5, 0);
    change = at(5, 1);
    newer = at(5, 2);

    assert_true(tb_recent_allows(&recent, 1, &older));

    tb_recent_note(&recent, 1, &change);

    assert_false(tb_recent_allows(&recent, 1, &older));
    assert_true(tb_recent_allows(&recent, 1, &change));
    assert_true(tb_recent_allows(&recent, 1, &newer));
    assert_true(tb_recent_allows(&recent, 2, &older));

    /* late news change nothing */

    tb_recent_note(&recent, 1, &older);
    assert_false(tb_recent_allows(&recent, 1, &older));

    tb_recent_clear(&recent);
    assert_true(tb_recent_allows(&recent, 1, &older));
}


static void
what_is_forgotten_raises_the_floor(void **state)
{
    uint64_t        i;
    tb_recent_t     recent;
    tb_stream_id_t  id, view;

    (void) state;

    memset(&recent, 0, sizeof(recent));

    view = at(0, 0);

    for (i = 1; i <= 10 * TB_RECENT_SLOTS; i++) {
        id = at(i, 0);
        tb_recent_note(&recent, i, &id);

        /* each change is remembered, or views from before it are refused */

        view = at(i - 1, 0);
        assert_false(tb_recent_covers(&recent, &view)
                     && tb_recent_allows(&recent, i, &view));
        assert_true(tb_recent_covers(&recent, &id));
    }

    for (i = 1; i <= 10 * TB_RECENT_SLOTS; i++) {
        view = at(i - 1, 0);
        assert_false(tb_recent_covers(&recent, &view)
                     && tb_recent_allows(&recent, i, &view));
    }

    view = at(9 * TB_RECENT_SLOTS, 0);
    assert_true(tb_recent_covers(&recent, &view));

    view = at(9 * TB_RECENT_SLOTS - 1, 0);
    assert_false(tb_recent_covers(&recent, &view));
}


static void
a_raised_floor_stays(void **state)
{
    tb_recent_t     recent;
    tb_stream_id_t  low, high;

    (void) state;

    memset(&recent, 0, sizeof(recent));

    low = at(1, 0);
    high = at(2, 0);

    tb_recent_raise(&recent, &high);
    tb_recent_raise(&recent, &low);

    assert_false(tb_recent_covers(&recent, &low));
    assert_true(tb_recent_covers(&recent, &high));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(ids_are_read_as_they_are_printed),
        cmocka_unit_test(what_is_no_id_is_refused),
        cmocka_unit_test(ids_are_in_order_of_time_then_number),
        cmocka_unit_test(an_older_view_of_a_changed_client_is_not_allowed),
        cmocka_unit_test(what_is_forgotten_raises_the_floor),
        cmocka_unit_test(a_raised_floor_stays)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
