
/*
 * Token states: what was written is read, and the time that passed is
 * credited exactly.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/limit/tb_tokens.h"


#define AT  UINT64_C(1700000000000)


static void
reads_what_was_written(void **state)
{
    int64_t               tokens;
    unsigned              i;
    tb_hash_t             h;
    unsigned char         text[10 * TB_TOKENS_ENTRY_SIZE], *p;
    const unsigned char  *next;

    (void) state;

    p = text;

    for (i = 0; i < 10; i++) {
        h.lo = i + 1;
        h.hi = ~(uint64_t) i;
        p = tb_tokens_write(p, &h, i ? (int64_t) (i * TB_COST_MAX / 9)
                                     : -TB_DEBT_MAX);
    }

    assert_ptr_equal(p, text + sizeof(text));

    next = text;

    for (i = 0; i < 10; i++) {
        next = tb_tokens_read(next, &h, &tokens);

        assert_int_equal(h.lo, i + 1);
        assert_int_equal(h.hi, ~(uint64_t) i);
        assert_true(tokens == (i ? (int64_t) (i * TB_COST_MAX / 9)
                                 : -TB_DEBT_MAX));
    }

    assert_ptr_equal(next, text + sizeof(text));
}


static void
bytes_are_the_same_everywhere(void **state)
{
    tb_hash_t      h;
    unsigned char  text[TB_TOKENS_ENTRY_SIZE];

    static const unsigned char  expected[TB_TOKENS_ENTRY_SIZE] = {
        8, 7, 6, 5, 4, 3, 2, 1, 16, 15, 14, 13, 12, 11, 10, 9,
        0x40, 0x42, 0x0f, 0, 0, 0, 0, 0
    };

    (void) state;

    h.lo = UINT64_C(0x0102030405060708);
    h.hi = UINT64_C(0x090a0b0c0d0e0f10);

    (void) tb_tokens_write(text, &h, 1000000);

    assert_memory_equal(text, expected, sizeof(text));
}


static void
elapsed_time_is_credited(void **state)
{
    tb_limits_t  limits;

    (void) state;

    /* 10 a second, 100 at most */

    limits = tb_limits(100, 10 * TB_STEPS_A_SECOND, 0);

    assert_int_equal(tb_tokens_credit(0, AT, AT, limits), 0);
    assert_int_equal(tb_tokens_credit(0, AT, AT + 2000, limits),
                     20 * TB_TOKEN);
    assert_int_equal(tb_tokens_credit(5, AT, AT + 1, limits), 10005);
    assert_true(tb_tokens_credit(-20005, AT, AT + 1, limits) == -10005);
    assert_int_equal(tb_tokens_credit(-TB_DEBT_MAX, AT, UINT64_MAX, limits),
                     100 * TB_TOKEN);
    assert_int_equal(tb_tokens_credit(0, AT, AT + 9999, limits),
                     100 * TB_TOKEN - 10000);
    assert_int_equal(tb_tokens_credit(0, AT, AT + 10000, limits),
                     100 * TB_TOKEN);
    assert_int_equal(tb_tokens_credit(0, AT, AT + 10001, limits),
                     100 * TB_TOKEN);
    assert_int_equal(tb_tokens_credit(0, 0, UINT64_MAX, limits),
                     100 * TB_TOKEN);
    assert_int_equal(tb_tokens_credit(200 * TB_TOKEN, AT, AT, limits),
                     100 * TB_TOKEN);
}


static void
a_clock_set_back_credits_nothing(void **state)
{
    (void) state;

    assert_int_equal(tb_tokens_credit(7, AT, AT - 1,
                                      tb_limits(100, TB_RATE_MAX, 0)), 7);
    assert_int_equal(tb_tokens_credit(7, AT, 0,
                                      tb_limits(100, TB_RATE_MAX, 0)), 7);
}


/* Against the bucket's own arithmetic, where that reaches. */

static void
credits_what_a_bucket_earns(void **state)
{
    int64_t      tokens;
    uint64_t     age;
    tb_word_t    word;
    tb_limits_t  limits;

    static const uint64_t  rates[] = {
        TB_RATE_MIN, 7, 12345, TB_STEPS_A_SECOND, 987654321, TB_RATE_MAX
    };

    (void) state;

    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        limits = tb_limits(TB_CAPACITY_MAX, rates[i], 0);

        for (age = 1; age < TB_AGE_MAX; age = age * 3 + 1) {
            for (tokens = -TB_DEBT_MAX; !tb_limits_is_full(limits, tokens);
                 tokens = tokens < 0 ? tokens / 3 : tokens * 11 + 999999)
            {
                word = tb_word_settle(tb_word(tokens, 0), limits, age);
                assert_int_equal(tb_tokens_credit(tokens, AT, AT + age,
                                                  limits),
                                 tb_word_tokens(word));
            }
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(bytes_are_the_same_everywhere),
        cmocka_unit_test(elapsed_time_is_credited),
        cmocka_unit_test(a_clock_set_back_credits_nothing),
        cmocka_unit_test(credits_what_a_bucket_earns)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
