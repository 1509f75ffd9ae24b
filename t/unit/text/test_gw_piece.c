
/*
 * Pieces of a text: bounds are kept, nothing is read beyond the end.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_piece.h"


static gw_piece_t
piece(const char *text)
{
    gw_piece_t  p;

    p.start = text;
    p.end = text + strlen(text);

    return p;
}


static void
a_prefix_is_taken_off_if_it_is_there(void **state)
{
    gw_piece_t  p;

    (void) state;

    p = piece("db=1");

    assert_false(gw_piece_begins(&p, "db=12"));
    assert_false(gw_piece_begins(&p, "DB"));
    assert_true(gw_piece_begins(&p, "db="));
    assert_int_equal(gw_piece_len(p), 1);
}


static void
what_is_not_found_is_at_the_end(void **state)
{
    gw_piece_t  p, none;

    (void) state;

    p = piece("a,b");
    none.start = none.end = NULL;

    assert_ptr_equal(gw_piece_find(p, ','), p.start + 1);
    assert_ptr_equal(gw_piece_find(p, ';'), p.end);
    assert_null(gw_piece_find(none, ','));
}


static void
numbers_are_digits_within_a_maximum(void **state)
{
    unsigned  n;

    (void) state;

    assert_int_equal(gw_piece_number(piece("0"), 3, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(gw_piece_number(piece("4294967295"), 4294967295u, &n),
                     0);
    assert_int_equal(n, 4294967295u);
    assert_int_equal(gw_piece_number(piece("4294967296"), 4294967295u, &n),
                     -1);
    assert_int_equal(gw_piece_number(piece("4"), 3, &n), -1);
    assert_int_equal(gw_piece_number(piece("11"), 10, &n), -1);
    assert_int_equal(gw_piece_number(piece(""), 3, &n), -1);
    assert_int_equal(gw_piece_number(piece("+1"), 3, &n), -1);
    assert_int_equal(gw_piece_number(piece("1 "), 3, &n), -1);
}


static void
decoding_stays_within_its_room(void **state)
{
    char    dst[4] = "???";
    size_t  len;

    (void) state;

    assert_int_equal(gw_piece_decode(piece("%41b%7a"), dst, 3, &len),
                     GW_PIECE_OK);
    assert_int_equal(len, 3);
    assert_string_equal(dst, "Abz");

    assert_int_equal(gw_piece_decode(piece("%41b%7a"), dst, 2, &len),
                     GW_PIECE_LONG);
    assert_int_equal(gw_piece_decode(piece("%4"), dst, 3, &len),
                     GW_PIECE_PERCENT);
    assert_int_equal(gw_piece_decode(piece(""), dst, 0, &len), GW_PIECE_OK);
    assert_int_equal(len, 0);
}


static void
a_number_of_sixteen_hexadecimal_digits(void **state)
{
    uint64_t  n;

    (void) state;

    assert_true(gw_hex64("0123456789abCDEF", 16, &n));
    assert_true(n == UINT64_C(0x0123456789abcdef));
    assert_true(gw_hex64("ffffffffffffffff", 16, &n));
    assert_true(n == UINT64_MAX);

    assert_false(gw_hex64("0123456789abcdef", 15, &n));
    assert_false(gw_hex64("0123456789abcdef0", 17, &n));
    assert_false(gw_hex64("0123456789abcdeg", 16, &n));
    assert_false(gw_hex64("-123456789abcdef", 16, &n));
    assert_false(gw_hex64("", 0, &n));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_prefix_is_taken_off_if_it_is_there),
        cmocka_unit_test(what_is_not_found_is_at_the_end),
        cmocka_unit_test(numbers_are_digits_within_a_maximum),
        cmocka_unit_test(decoding_stays_within_its_room),
        cmocka_unit_test(a_number_of_sixteen_hexadecimal_digits)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
