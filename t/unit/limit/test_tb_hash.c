
/*
 * The keyed hash of a client's id.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/core/limit/tb_hash.h"


static void
test_hash_is_keyed_and_never_has_an_empty_tag(void **state)
{
    int        i;
    uint8_t    one[TB_SECRET_SIZE], two[TB_SECRET_SIZE];
    tb_hash_t  a, b;

    (void) state;

    for (i = 0; i < TB_SECRET_SIZE; i++) {
        one[i] = (uint8_t) (i * 7 + 1);
        two[i] = (uint8_t) (i * 11 + 3);
    }

    a = tb_hash("client", 6, one);
    b = tb_hash("client", 6, one);
    assert_true(a.lo == b.lo && a.hi == b.hi && a.lo != 0);

    b = tb_hash("client", 6, two);
    assert_true(a.lo != b.lo && a.hi != b.hi);

    b = tb_hash("clienu", 6, one);
    assert_true(a.lo != b.lo && a.hi != b.hi);

    assert_true(tb_hash("", 0, one).lo != 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_hash_is_keyed_and_never_has_an_empty_tag)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
