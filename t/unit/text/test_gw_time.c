
/*
 * Times as nginx spells them.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_number.h"
#include "src/core/text/gw_time.h"


#define MAX  (UINT64_C(2147483647) * 1000)


static void
times_are_read(void **state)
{
    size_t                 i;
    uint64_t               ms;
    static const struct {
        const char        *text;
        uint64_t           ms;
    } cases[] = {
        { "0", 0 },
        { "10", 10000 },
        { "10s", 10000 },
        { "500ms", 500 },
        { "1h2m3s4ms", 3723004 },
        { "1d", 86400000 },
        { "2147483647", MAX },
        { "2147483647000ms", MAX }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(gw_time_read(cases[i].text, strlen(cases[i].text),
                                      MAX, &ms), 0);
        assert_int_equal(ms, cases[i].ms);
    }
}


static void
what_is_no_time_is_refused(void **state)
{
    size_t                    i;
    uint64_t                  ms;
    static const char *const  texts[] = {
        "", "s", "10x", "-1s", "1.5s", " 1s", "1s ", "2147483648",
        "2147483647000ms1ms", "99999999999999999999d", "18446744073709551616"
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(gw_time_read(texts[i], strlen(texts[i]), MAX, &ms),
                         -1);
    }
}


static void
what_is_printed_reads_back(void **state)
{
    char  buf[GW_NUMBER_SIZE];

    (void) state;

    assert_int_equal(gw_time_print(buf, 10000), 3);
    assert_string_equal(buf, "10s");
    assert_int_equal(gw_time_print(buf, 1500), 6);
    assert_string_equal(buf, "1500ms");
    assert_int_equal(gw_time_print(buf, 0), 2);
    assert_string_equal(buf, "0s");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(what_is_printed_reads_back)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
