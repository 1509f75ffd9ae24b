
/*
 * What a check expects: lists of status codes, and a text found across
 * pieces of any size, against a plain search.
 */


#include "t/unit/balance/lb_fixture.h"

#include "src/core/balance/lb_expect.h"

#include <cmocka.h>


static bool
status(lb_expect_t *expect, const char *list)
{
    return lb_expect_status(expect, list, strlen(list));
}


static void
ranges_and_codes_accept_what_is_in_them(void **state)
{
    uint32_t     i;
    lb_expect_t  expect;

    (void) state;

    assert_true(status(&expect, "200-399"));

    for (i = 0; i < 1000; i++) {
        assert_int_equal(lb_expect_accepts(&expect, i), i >= 200 && i < 400);
    }

    assert_true(status(&expect, "200,204,301-302,599"));

    for (i = 0; i < 1000; i++) {
        assert_int_equal(lb_expect_accepts(&expect, i),
                         i == 200 || i == 204 || i == 301 || i == 302
                         || i == 599);
    }
}


static void
a_list_that_is_none_is_refused(void **state)
{
    uint32_t     i;
    lb_expect_t  expect;

    static const char  *lists[] = {
        "", ",", "200,", ",200", "200-", "-200", "200-100", "20", "2000",
        "200-2000", "200,,201", "099", "600", "000", "200-600", "2xx",
        "200 ", " 200", "200, 201", "200-201-202", "abc", "200;201", "+20"
    };

    (void) state;

    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        assert_false(status(&expect, lists[i]));
    }
}


static void
a_list_has_sixteen_members_at_most(void **state)
{
    uint32_t     i;
    char         list[LB_EXPECT_RANGES * 4 + 8] = "";
    lb_expect_t  expect;

    (void) state;

    for (i = 0; i < LB_EXPECT_RANGES; i++) {
        strcat(list, i ? ",200" : "200");
    }

    assert_true(status(&expect, list));
    strcat(list, ",200");
    assert_false(status(&expect, list));
}


static void
a_text_of_no_or_too_many_bytes_is_refused(void **state)
{
    char         text[LB_EXPECT_TEXT + 1];
    lb_expect_t  expect;

    (void) state;

    memset(text, 'x', sizeof(text));

    assert_false(lb_expect_text(&expect, text, 0));
    assert_true(lb_expect_text(&expect, text, LB_EXPECT_TEXT));
    assert_false(lb_expect_text(&expect, text, LB_EXPECT_TEXT + 1));
}


/* a small alphabet makes texts that begin again within themselves */

static void
a_text_is_found_as_a_plain_search_finds_it(void **state)
{
    bool         found;
    char         text[8], body[64];
    uint32_t     i, at, piece, length, size, matched, round, hits;
    lb_expect_t  expect;

    (void) state;

    srand(7);
    hits = 0;

    for (round = 0; round < 100000; round++) {
        length = 1 + (uint32_t) rand() % 6;
        size = (uint32_t) rand() % 40;

        for (i = 0; i < length; i++) {
            text[i] = (char) ('a' + rand() % 2);
        }

        for (i = 0; i < size; i++) {
            body[i] = (char) ('a' + rand() % 2);
        }

        text[length] = '\0';
        body[size] = '\0';

        assert_true(lb_expect_text(&expect, text, length));

        found = false;
        matched = 0;

        for (at = 0; at < size && !found; at += piece) {
            piece = 1 + (uint32_t) rand() % 9;
            piece = (piece > size - at) ? size - at : piece;

            found = lb_expect_find(&expect, &matched,
                                   (unsigned char *) body + at, piece);
        }

        assert_int_equal(found, strstr(body, text) != NULL);
        hits += found;
    }

    assert_in_range(hits, 10000, 90000);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(ranges_and_codes_accept_what_is_in_them),
        cmocka_unit_test(a_list_that_is_none_is_refused),
        cmocka_unit_test(a_list_has_sixteen_members_at_most),
        cmocka_unit_test(a_text_of_no_or_too_many_bytes_is_refused),
        cmocka_unit_test(a_text_is_found_as_a_plain_search_finds_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
