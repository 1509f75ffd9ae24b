
/*
 * Printed numbers: as printf has them, and not a byte beyond.
 */


#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_digits.h"


static void
check(uint64_t number)
{
    int            n;
    char           expected[GW_DIGITS_MAX + 1];
    unsigned char  text[GW_DIGITS_MAX + 1], *begin;

    memset(text, '#', sizeof(text));

    n = snprintf(expected, sizeof(expected), "%" PRIu64, number);

    assert_ptr_equal(gw_digits(text, number), text + n);
    assert_memory_equal(text, expected, (size_t) n);
    assert_int_equal(text[n], '#');

    memset(text, '#', sizeof(text));

    begin = gw_digits_before(text + sizeof(text), number);

    assert_ptr_equal(begin, text + sizeof(text) - n);
    assert_memory_equal(begin, expected, (size_t) n);
    assert_true(begin == text || begin[-1] == '#');
}


static void
test_all_lengths(void **state)
{
    int       i;
    uint64_t  power;

    (void) state;

    check(0);

    for (i = 0, power = 1; i < GW_DIGITS_MAX; i++, power *= 10) {
        check(power - 1);
        check(power);
        check(power + 1);
    }

    check(UINT64_MAX - 1);
    check(UINT64_MAX);
}


static void
test_small_numbers(void **state)
{
    uint64_t  number;

    (void) state;

    for (number = 0; number < 20000; number++) {
        check(number);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_all_lengths),
        cmocka_unit_test(test_small_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
