
/* Addresses as client ids. */


#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_addr.h"


static void
test_texts_that_are_addresses(void **state)
{
    size_t  i;

    static const char *const  texts[] = {
        "192.0.2.1", "0.0.0.0", "255.255.255.255", "192.0.2.0/24",
        "2001:db8::1", "2001:db8:1:2::/64", "::", "::1", "::ffff:192.0.2.1",
        "2001:DB8::A", "[2001:db8::1]", "[::1]:8080", "[192.0.2.1]",
        "fe80::1%eth0", "[fe80::1%eth0]",
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!gw_addr_is_spelled(texts[i], strlen(texts[i]))) {
            fail_msg("\"%s\" is an address", texts[i]);
        }
    }
}


static void
test_texts_that_are_none(void **state)
{
    size_t  i;

    static const char *const  texts[] = {
        "", "user1", "10", "192.0.2", "192.0.2.1.5", "192.0.2.256",
        "192.0.2.x", "a.b.c.d", "key:1", ":", ":::", "1::2::3", "12345::",
        "g::1", "[", "[]", "[user1]", ".", "/", "%", "v1.2.3", "/64",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "0000000000000000000000000000000000000000000000000000000.0.0.1"
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (gw_addr_is_spelled(texts[i], strlen(texts[i]))) {
            fail_msg("\"%s\" is no address", texts[i]);
        }
    }

    /* the length counts, not a NUL */

    assert_false(gw_addr_is_spelled("::1\0x", 5));
    assert_true(gw_addr_is_spelled("::1x", 3));
}


static void
test_address_is_printed_as_its_bucket_is_called(void **state)
{
    char      text[GW_ADDR_TEXT_MAX];
    size_t    i, len, size;
    uint8_t   addr[16];

    static const struct {
        const char  *addr;
        unsigned     prefix;
        const char  *text;
    } examples[] = {
        { "192.0.2.1", 64, "192.0.2.1" },
        { "255.255.255.255", 1, "255.255.255.255" },
        { "::ffff:192.0.2.1", 64, "192.0.2.1" },
        { "64:ff9b::192.0.2.1", 64, "192.0.2.1" },
        { "64:ff9b::192.0.2.1", 128, "192.0.2.1" },
        { "64:ff9b::255.255.255.255", 1, "255.255.255.255" },
        { "64:ff9b::", 64, "0.0.0.0" },
        { "64:ff9b:0:0:0:1:c000:201", 64, "64:ff9b::/64" },
        { "64:ff9b:1::c000:201", 64, "64:ff9b:1::/64" },
        { "64:ff9a::c000:201", 64, "64:ff9a::/64" },
        { "2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64" },
        { "2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6" },
        { "2001:db8:1:2:3:4:5:6", 127, "2001:db8:1:2:3:4:5:6/127" },
        { "2001:db8:1:2:3:4:5:7", 127, "2001:db8:1:2:3:4:5:6/127" },
        { "2001:db8:1:ff:3:4:5:6", 60, "2001:db8:1:f0::/60" },
        { "2001:db8:1:2:3:4:5:6", 48, "2001:db8:1::/48" },
        { "ffff::1", 1, "8000::/1" },
        { "::1", 64, "::/64" },
        { "::1", 128, "::1" },
        { "2001:DB8:0:0:1::1", 128, "2001:db8::1:0:0:1" },
        { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 127,
          "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127" }
    };

    (void) state;

    for (i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        size = 4;

        if (inet_pton(AF_INET, examples[i].addr, addr) != 1) {
            assert_int_equal(inet_pton(AF_INET6, examples[i].addr, addr), 1);
            size = 16;
        }

        memset(text, 'x', sizeof(text));
        len = gw_addr_print(addr, size, examples[i].prefix, text);

        assert_int_equal(len, strlen(examples[i].text));
        assert_memory_equal(text, examples[i].text, len);
        assert_true(len == sizeof(text) || text[len] == 'x');

        /* what we call a bucket of an address is no API key */

        assert_true(gw_addr_is_spelled(text, len));
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_texts_that_are_addresses),
        cmocka_unit_test(test_texts_that_are_none),
        cmocka_unit_test(test_address_is_printed_as_its_bucket_is_called)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
