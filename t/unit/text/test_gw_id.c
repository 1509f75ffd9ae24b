
/*
 * Ids of clients: what may be one, and that encoding loses nothing.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_id.h"


static void
ids_are_utf8_of_1_to_255_bytes(void **state)
{
    char  id[GW_ID_MAX + 1];

    (void) state;

    memset(id, 'a', sizeof(id));

    assert_int_equal(gw_id_check(id, 0), GW_ID_EMPTY);
    assert_int_equal(gw_id_check(id, 1), GW_ID_OK);
    assert_int_equal(gw_id_check(id, 255), GW_ID_OK);
    assert_int_equal(gw_id_check(id, 256), GW_ID_LONG);
    assert_int_equal(gw_id_check("a\0b", 3), GW_ID_NUL);
    assert_int_equal(gw_id_check("\n\x7f", 2), GW_ID_OK);
    assert_int_equal(gw_id_check("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9),
                     GW_ID_OK);
    assert_int_equal(gw_id_check("\xc3", 1), GW_ID_UTF8);
    assert_int_equal(gw_id_check("a\xff", 2), GW_ID_UTF8);
}


/* every sequence of up to three bytes, against the table of RFC 3629 */

static int
valid(const unsigned char *p, size_t len)
{
    unsigned  c;

    if (len == 1) {
        return p[0] < 0x80;
    }

    if ((p[1] & 0xc0) != 0x80 || (len == 3 && (p[2] & 0xc0) != 0x80)) {
        return 0;
    }

    if (len == 2) {
        c = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
        return (p[0] & 0xe0) == 0xc0 && c >= 0x80;
    }

    c = (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);

    return (p[0] & 0xf0) == 0xe0 && c >= 0x800 && (c < 0xd800 || c > 0xdfff);
}


static void
utf8_is_that_of_rfc_3629(void **state)
{
    unsigned       i;
    unsigned char  p[4];

    (void) state;

    for (i = 0; i < 1u << 24; i++) {
        p[0] = (unsigned char) (i >> 16);
        p[1] = (unsigned char) (i >> 8);
        p[2] = (unsigned char) i;

        if ((i & 0xffff) == 0) {
            assert_int_equal(gw_utf8_sequence(p, 1) == 1, valid(p, 1));
        }

        if ((i & 0xff) == 0 && p[0] >= 0x80) {
            assert_int_equal(gw_utf8_sequence(p, 2) == 2, valid(p, 2));
        }

        if (p[0] >= 0x80 && (gw_utf8_sequence(p, 3) == 3) != valid(p, 3)) {
            fail_msg("%02x %02x %02x", p[0], p[1], p[2]);
        }
    }

    assert_int_equal(gw_utf8_sequence((void *) "\xf0\x90\x80\x80", 4), 4);
    assert_int_equal(gw_utf8_sequence((void *) "\xf0\x8f\xbf\xbf", 4), 0);
    assert_int_equal(gw_utf8_sequence((void *) "\xf4\x8f\xbf\xbf", 4), 4);
    assert_int_equal(gw_utf8_sequence((void *) "\xf4\x90\x80\x80", 4), 0);
    assert_int_equal(gw_utf8_sequence((void *) "\xf5\x80\x80\x80", 4), 0);
    assert_int_equal(gw_utf8_sequence((void *) "\xf0\x90\x80", 3), -1);
    assert_int_equal(gw_utf8_sequence((void *) "\xf0\x8f", 2), 0);
}


static void
decoding_is_strict(void **state)
{
    char    id[GW_ID_MAX], text[3 * GW_ID_MAX + 3];
    size_t  i, len;

    (void) state;

    assert_int_equal(gw_id_decode(id, &len, "a%2Fb%2fc+%25", 13), GW_ID_OK);
    assert_int_equal(len, 7);
    assert_memory_equal(id, "a/b/c+%", 7);

    assert_int_equal(gw_id_decode(id, &len, "", 0), GW_ID_EMPTY);
    assert_int_equal(gw_id_decode(id, &len, "%", 1), GW_ID_PERCENT);
    assert_int_equal(gw_id_decode(id, &len, "%4", 2), GW_ID_PERCENT);
    assert_int_equal(gw_id_decode(id, &len, "%4g", 3), GW_ID_PERCENT);
    assert_int_equal(gw_id_decode(id, &len, "%-1", 3), GW_ID_PERCENT);
    assert_int_equal(gw_id_decode(id, &len, "a%00", 4), GW_ID_NUL);
    assert_int_equal(gw_id_decode(id, &len, "%C3%28", 6), GW_ID_UTF8);

    for (i = 0; i < GW_ID_MAX + 1; i++) {
        memcpy(text + 3 * i, "%41", 3);
    }

    assert_int_equal(gw_id_decode(id, &len, text, 3 * GW_ID_MAX), GW_ID_OK);
    assert_int_equal(len, GW_ID_MAX);
    assert_int_equal(gw_id_decode(id, &len, text, 3 * GW_ID_MAX + 3),
                     GW_ID_LONG);
}


static void
what_is_encoded_decodes_to_the_same(void **state)
{
    char      id[GW_ID_MAX], text[3 * GW_ID_MAX], back[GW_ID_MAX];
    size_t    len, text_len, back_len;
    unsigned  c;

    (void) state;

    len = 0;

    for (c = 1; c < 128; c++) {
        id[len++] = (char) c;
    }

    for (c = 0xa0; c < 0xc0; c++) {
        id[len++] = '\xc2';
        id[len++] = (char) c;
    }

    text_len = gw_id_encode(text, id, len);

    for (c = 0; c < text_len; c++) {
        assert_non_null(strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz-._~%", text[c]));
    }

    assert_int_equal(gw_id_decode(back, &back_len, text, text_len), GW_ID_OK);
    assert_int_equal(back_len, len);
    assert_memory_equal(back, id, len);
}


static void
ids_that_normalisation_would_change_do_not_fit_a_path(void **state)
{
    size_t              i;
    static const char  *fit[] = { "a", "a/b", "a/", "...", "a.", ".a", "a b",
                                  "a?b", "\xc3\xa4" };
    static const char  *unfit[] = { "/", "/a", "a//b", ".", "..", "a/.",
                                    "a/..", "../a", "a/./b", "a//" };

    (void) state;

    for (i = 0; i < sizeof(fit) / sizeof(fit[0]); i++) {
        assert_true(gw_id_fits_path(fit[i], strlen(fit[i])));
    }

    for (i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
        assert_false(gw_id_fits_path(unfit[i], strlen(unfit[i])));
    }
}


static void
every_refusal_has_a_text(void **state)
{
    int  i;

    (void) state;

    for (i = GW_ID_OK; i <= GW_ID_PERCENT; i++) {
        assert_true(strlen(gw_id_error((gw_id_status_t) i)) > 5);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(ids_are_utf8_of_1_to_255_bytes),
        cmocka_unit_test(utf8_is_that_of_rfc_3629),
        cmocka_unit_test(decoding_is_strict),
        cmocka_unit_test(what_is_encoded_decodes_to_the_same),
        cmocka_unit_test(
            ids_that_normalisation_would_change_do_not_fit_a_path),
        cmocka_unit_test(every_refusal_has_a_text)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
