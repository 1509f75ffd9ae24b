
/*
 * Header blocks of HTTP/2, among them the examples of RFC 7541, appendix C.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/balance/lb_hpack.h"


static char  seen[65536];


static void
note(void *data, const unsigned char *name, size_t name_length,
    const unsigned char *value, size_t value_length)
{
    size_t  n;

    (void) data;

    n = strlen(seen);

    assert_true(n + name_length + value_length + 3 < sizeof(seen));

    memcpy(seen + n, name, name_length);
    n += name_length;
    seen[n++] = '=';
    memcpy(seen + n, value, value_length);
    n += value_length;
    seen[n++] = ';';
    seen[n] = '\0';
}


static bool
block(lb_hpack_t *hpack, const char *hex)
{
    size_t         n;
    unsigned       byte;
    unsigned char  data[8192];

    for (n = 0; hex[2 * n]; n++) {
        char  pair[3] = { hex[2 * n], hex[2 * n + 1], '\0' };

        byte = (unsigned) strtoul(pair, NULL, 16);
        data[n] = (unsigned char) byte;
    }

    seen[0] = '\0';

    return lb_hpack_read(hpack, data, n, note, NULL);
}


static void
blocks_of_a_connection_share_a_table(void **state)
{
    lb_hpack_t  hpack;

    (void) state;

    /* C.3: plain texts */

    lb_hpack_init(&hpack);

    assert_true(block(&hpack, "828684410f7777772e6578616d706c652e636f6d"));
    assert_string_equal(seen, ":method=GET;:scheme=http;:path=/;"
                              ":authority=www.example.com;");
    assert_true(block(&hpack, "828684be58086e6f2d6361636865"));
    assert_string_equal(seen, ":method=GET;:scheme=http;:path=/;"
                              ":authority=www.example.com;"
                              "cache-control=no-cache;");
    assert_true(block(&hpack, "828785bf400a637573746f6d2d6b65790c637573746f6d"
                              "2d76616c7565"));
    assert_string_equal(seen, ":method=GET;:scheme=https;:path=/index.html;"
                              ":authority=www.example.com;"
                              "custom-key=custom-value;");
}


static void
texts_may_be_coded(void **state)
{
    lb_hpack_t  hpack;

    (void) state;

    /* C.4 */

    lb_hpack_init(&hpack);

    assert_true(block(&hpack, "828684418cf1e3c2e5f23a6ba0ab90f4ff"));
    assert_string_equal(seen, ":method=GET;:scheme=http;:path=/;"
                              ":authority=www.example.com;");
    assert_true(block(&hpack, "828684be5886a8eb10649cbf"));
    assert_true(block(&hpack, "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4"
                              "bf"));
    assert_string_equal(seen, ":method=GET;:scheme=https;:path=/index.html;"
                              ":authority=www.example.com;"
                              "custom-key=custom-value;");
}


static void
old_entries_give_way(void **state)
{
    lb_hpack_t  hpack;

    (void) state;

    /* C.6, whose table has 256 bytes */

    lb_hpack_init(&hpack);

    assert_true(block(&hpack, "3fe101"));
    assert_true(block(&hpack, "488264025885aec3771a4b6196d07abe941054d444a8200"
                              "595040b8166e082a62d1bff6e919d29ad171863c78f0b97"
                              "c8e9ae82ae43d3"));
    assert_string_equal(seen, ":status=302;cache-control=private;"
                              "date=Mon, 21 Oct 2013 20:13:21 GMT;"
                              "location=https://www.example.com;");
    assert_int_equal(hpack.n, 4);

    assert_true(block(&hpack, "4883640effc1c0bf"));
    assert_string_equal(seen, ":status=307;cache-control=private;"
                              "date=Mon, 21 Oct 2013 20:13:21 GMT;"
                              "location=https://www.example.com;");
    assert_int_equal(hpack.n, 4);

    assert_true(block(&hpack, "88c16196d07abe941054d444a8200595040b8166e084a6"
                              "2d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdf"
                              "cd5b3960d5af27087f3672c1ab270fb5291f9587316065"
                              "c003ed4ee5b1063d5007"));
    assert_string_equal(seen, ":status=200;cache-control=private;"
                              "date=Mon, 21 Oct 2013 20:13:22 GMT;"
                              "location=https://www.example.com;"
                              "content-encoding=gzip;"
                              "set-cookie=foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; "
                              "max-age=3600; version=1;");
    assert_int_equal(hpack.n, 3);

    assert_true(block(&hpack, "20"));
    assert_int_equal(hpack.n, 0);
}


static void
a_table_of_many_entries_is_bounded(void **state)
{
    int          i;
    lb_hpack_t   hpack;

    (void) state;

    lb_hpack_init(&hpack);

    for (i = 0; i < 1000; i++) {
        assert_true(block(&hpack, "400161016240026363026464"));
        assert_true(hpack.n <= LB_HPACK_ENTRIES);
        assert_true(hpack.used + 32 * hpack.n <= LB_HPACK_TABLE);
    }

    /* the oldest is there, nothing behind it */

    assert_true(block(&hpack, "be"));
    assert_string_equal(seen, "cc=dd;");
    assert_false(block(&hpack, "ffff7f"));
}


static void
what_is_no_block_is_refused(void **state)
{
    size_t       i;
    lb_hpack_t   hpack;

    static const char *const  wrong[] = {
        "80",                        /* index 0 */
        "be",                        /* of an entry that is not there */
        "ff",                        /* a number without its end */
        "ffffffffffffff",
        "3fe21f",                    /* a table of 4097 bytes */
        "0001",                      /* a text without its end */
        "00016105",
        "40ff",
        "00818c00",                  /* filled up with zeros */
        "0081fe00",
        "0082ffff00",                /* more than a byte of ones */
        "0084ffffffff00",            /* the symbol that ends a text */
        "7e0161"                     /* a name that is not there */
    };

    (void) state;

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        lb_hpack_init(&hpack);
        assert_false(block(&hpack, wrong[i]));
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(blocks_of_a_connection_share_a_table),
        cmocka_unit_test(texts_may_be_coded),
        cmocka_unit_test(old_entries_give_way),
        cmocka_unit_test(a_table_of_many_entries_is_bounded),
        cmocka_unit_test(what_is_no_block_is_refused)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
