
/*
 * Decimal numbers: exact whatever their length, refused beyond their range.
 */


#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_number.h"


#define MAX  UINT64_C(1000000000000)


typedef struct {
    const char          *text;
    uint64_t             scale;
    gw_number_status_t   status;
    uint64_t             value;
} gw_number_case_t;


static const gw_number_case_t  cases[] = {
    { "0", 1, GW_NUMBER_EXACT, 0 },
    { "100", 1, GW_NUMBER_EXACT, 100 },
    { "100.0", 1, GW_NUMBER_EXACT, 100 },
    { "1e2", 1, GW_NUMBER_EXACT, 100 },
    { "1E+2", 1, GW_NUMBER_EXACT, 100 },
    { "1000e-1", 1, GW_NUMBER_EXACT, 100 },
    { "0.001e5", 1, GW_NUMBER_EXACT, 100 },
    { "1.5", 1, GW_NUMBER_FLOOR, 1 },
    { "97.5", 1000000, GW_NUMBER_EXACT, 97500000 },
    { "0.0000001", 1000000, GW_NUMBER_FLOOR, 0 },
    { "0.999999999999999999999999999999999999999", 1000000,
      GW_NUMBER_FLOOR, 999999 },
    { "1e-999999999999999999", 1000000, GW_NUMBER_FLOOR, 0 },
    { "0e999999999999999999", 1000000, GW_NUMBER_EXACT, 0 },
    { "1000000000000", 1, GW_NUMBER_EXACT, MAX },
    { "1e12", 1, GW_NUMBER_EXACT, MAX },
    { "1000000000000.0001", 1, GW_NUMBER_LARGE, 0 },
    { "1000000000001", 1, GW_NUMBER_LARGE, 0 },
    { "1e13", 1, GW_NUMBER_LARGE, 0 },
    { "1e999999999999999999", 1, GW_NUMBER_LARGE, 0 },
    { "18446744073709551617", 1, GW_NUMBER_LARGE, 0 },
    { "-1", 1, GW_NUMBER_NEGATIVE, 0 },
    { "-0", 1, GW_NUMBER_NEGATIVE, 0 },
    { "", 1, GW_NUMBER_SYNTAX, 0 },
    { "-", 1, GW_NUMBER_SYNTAX, 0 },
    { "+1", 1, GW_NUMBER_SYNTAX, 0 },
    { "01", 1, GW_NUMBER_SYNTAX, 0 },
    { ".5", 1, GW_NUMBER_SYNTAX, 0 },
    { "5.", 1, GW_NUMBER_SYNTAX, 0 },
    { "5e", 1, GW_NUMBER_SYNTAX, 0 },
    { "5e+", 1, GW_NUMBER_SYNTAX, 0 },
    { "0x10", 1, GW_NUMBER_SYNTAX, 0 },
    { "NaN", 1, GW_NUMBER_SYNTAX, 0 },
    { "1 ", 1, GW_NUMBER_SYNTAX, 0 }
};


static void
a_number_is_read_exactly(void **state)
{
    size_t                   i;
    uint64_t                 value;
    gw_number_status_t       status;
    const gw_number_case_t  *c;

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        c = &cases[i];
        value = 0;

        status = gw_number_read(c->text, strlen(c->text), c->scale, MAX,
                                &value);

        if (status != c->status || value != c->value) {
            fail_msg("\"%s\" x %" PRIu64 ": status %d, value %" PRIu64,
                     c->text, c->scale, (int) status, value);
        }
    }
}


/* 2000 digits decide on which side of an integer the number is */

static void
the_last_of_many_digits_counts(void **state)
{
    char      text[2048];
    uint64_t  value;

    (void) state;

    text[0] = '0';
    text[1] = '.';
    memset(text + 2, '9', 2000);

    assert_int_equal(gw_number_read(text, 2002, 864000, MAX, &value),
                     GW_NUMBER_FLOOR);
    assert_int_equal(value, 863999);

    memset(text + 2, '0', 2000);
    text[2] = '5';

    assert_int_equal(gw_number_read(text, 2002, 864000, MAX, &value),
                     GW_NUMBER_EXACT);
    assert_int_equal(value, 432000);

    text[2001] = '1';

    assert_int_equal(gw_number_read(text, 2002, 864000, MAX, &value),
                     GW_NUMBER_FLOOR);
    assert_int_equal(value, 432000);
}


static void
what_is_printed_reads_back(void **state)
{
    char      buf[GW_NUMBER_SIZE];
    size_t    len;
    unsigned  i, decimals;
    uint64_t  value, back, power;

    (void) state;

    srandom(1);

    for (i = 0; i < 100000; i++) {
        decimals = (unsigned) (random() % 7);
        value = (uint64_t) random() * (uint64_t) random() % MAX;
        value >>= random() % 40;

        for (power = 1, len = 0; len < decimals; len++) {
            power *= 10;
        }

        len = gw_number_print(buf, value, decimals);

        assert_int_equal(len, strlen(buf));
        assert_int_equal(gw_number_read(buf, len, power, MAX, &back),
                         GW_NUMBER_EXACT);
        assert_int_equal(back, value);
    }
}


static void
zeros_at_the_end_are_not_printed(void **state)
{
    char  buf[GW_NUMBER_SIZE];

    (void) state;

    gw_number_print(buf, 97500000, 6);
    assert_string_equal(buf, "97.5");

    gw_number_print(buf, 100000000, 6);
    assert_string_equal(buf, "100");

    gw_number_print(buf, 1, 6);
    assert_string_equal(buf, "0.000001");

    gw_number_print(buf, 0, 6);
    assert_string_equal(buf, "0");

    gw_number_print(buf, UINT64_MAX, 18);
    assert_string_equal(buf, "18.446744073709551615");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_number_is_read_exactly),
        cmocka_unit_test(the_last_of_many_digits_counts),
        cmocka_unit_test(what_is_printed_reads_back),
        cmocka_unit_test(zeros_at_the_end_are_not_printed)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
