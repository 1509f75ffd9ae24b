
/*
 * Strict JSON: what yajl alone would let pass is refused, wherever the text
 * is cut, and memory stays within its bounds.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_json.h"


static gw_json_t             json;
static const yajl_callbacks  no_callbacks;


/* The result of reading text in pieces of n bytes. */

static int
read_pieces(const char *text, size_t len, size_t n)
{
    size_t  i;

    gw_json_init(&json, &no_callbacks, NULL, 2);

    for (i = 0; i < len; i += n) {
        if (gw_json_feed(&json, (const unsigned char *) text + i,
                         n < len - i ? n : len - i) != 0)
        {
            return -1;
        }
    }

    return gw_json_finish(&json);
}


static int
read_text(const char *text)
{
    int     rc;
    size_t  len, n;

    len = strlen(text);
    rc = read_pieces(text, len, len + 1);

    for (n = 1; n < len; n++) {
        assert_int_equal(read_pieces(text, len, n), rc);
    }

    return rc;
}


static void
escapes_of_nul_and_half_pairs_are_refused(void **state)
{
    size_t              i;
    static const char  *good[] = {
        "\"\\u0001\"", "\"\\ud83d\\ude00\"", "\"\\uD83D\\uDE00x\"",
        "\"\\\\u0000\"", "\"\\\\\\\\ud800\"", "\"\\uffff\"", "\"\\u10000\"",
        "\"\\\"\\u0041\\n\""
    };
    static const char  *bad[] = {
        "\"\\u0000\"", "\"a\\u0000b\"", "\"\\\\\\u0000\"", "\"\\ud800\"",
        "\"\\ud800x\"", "\"\\ud800\\n\"", "\"\\ud800\\ud800\"",
        "\"\\udc00\"", "\"\\udc00\\ud800\"", "\"\\ud800\\u0041\"",
        "\"\\u00g0\"", "\"\\x41\""
    };

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (read_text(good[i]) != 0) {
            fail_msg("refused: %s", good[i]);
        }
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (read_text(bad[i]) == 0) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
}


static void
utf8_is_checked_across_pieces(void **state)
{
    (void) state;

    assert_int_equal(read_text("\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""),
                     0);
    assert_int_equal(read_text("\"\xed\xa0\x80\""), -1);
    assert_int_equal(read_text("\"\xc0\x80\""), -1);
    assert_int_equal(read_text("\"\xe2\x82\""), -1);
    assert_int_equal(read_text("\"\xf4\x90\x80\x80\""), -1);
    assert_int_equal(read_text("\xef\xbb\xbf{}"), -1);
    assert_int_equal(read_text("\"\xe2\x82"), -1);
}


static void
nesting_is_bounded(void **state)
{
    char  text[100000];

    (void) state;

    assert_int_equal(read_text("[{}]"), 0);
    assert_int_equal(read_text("[\"[[[[\",{}, [ ]]"), 0);
    assert_int_equal(read_text("[{\"a\":[]}]"), -1);
    assert_string_equal(json.error,
                        "not valid JSON at byte 7: nested too deeply");

    memset(text, '[', sizeof(text));
    assert_int_equal(read_pieces(text, sizeof(text), 4096), -1);
}


/* the worst that fits: long tokens, full of escapes, byte by byte */

static void
long_tokens_are_refused_and_memory_is_enough(void **state)
{
    char    text[10000];
    size_t  i;

    (void) state;

    memset(text, 'a', sizeof(text));
    text[0] = '"';
    text[GW_JSON_SCALAR_MAX + 1] = '"';
    assert_int_equal(read_pieces(text, GW_JSON_SCALAR_MAX + 2, 1), 0);

    text[GW_JSON_SCALAR_MAX + 1] = 'a';
    assert_int_equal(read_pieces(text, sizeof(text), 7), -1);
    assert_non_null(strstr(json.error, "a string is too long"));

    memset(text, '1', sizeof(text));
    assert_int_equal(read_pieces(text, GW_JSON_SCALAR_MAX, 1), 0);
    assert_int_equal(read_pieces(text, sizeof(text), 1), -1);
    assert_non_null(strstr(json.error, "a number is too long"));

    text[0] = '[';
    text[1] = '"';

    for (i = 2; i < GW_JSON_SCALAR_MAX; i += 2) {
        memcpy(text + i, "\\n", 2);
    }

    memcpy(text + i, "\",", 2);
    memcpy(text + i + 2, text + 1, i + 1);
    memcpy(text + 2 * i + 2, "]", 1);

    assert_int_equal(read_pieces(text, 2 * i + 3, 3), 0);
    assert_true(json.arena.used < GW_JSON_READ_ARENA - 256);
}


static void
a_quoted_value_is_short_and_printable(void **state)
{
    char  buf[GW_JSON_QUOTE_SIZE], control[64];

    (void) state;

    assert_string_equal(gw_json_quote(buf, "a\tb\x7f", 4),
                        "a\\u0009b\\u007f");
    assert_string_equal(gw_json_quote(buf, "", 0), "");
    assert_string_equal(gw_json_quote(buf,
                        "123456789012345678901234567890\xe2\x82\xac", 33),
                        "123456789012345678901234567890...");

    memset(control, 1, sizeof(control));
    assert_int_equal(strlen(gw_json_quote(buf, control, 64)), 32 * 6 + 3);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(escapes_of_nul_and_half_pairs_are_refused),
        cmocka_unit_test(utf8_is_checked_across_pieces),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(long_tokens_are_refused_and_memory_is_enough),
        cmocka_unit_test(a_quoted_value_is_short_and_printable)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
