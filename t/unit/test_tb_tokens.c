
/*
 * Token states: what was written is read, a torn file is not, and the time
 * that passed is credited exactly.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/tb_tokens.h"


#define ENTRIES  10
#define AT       UINT64_C(1700000000000)


static unsigned char       text[1024];
static uint8_t             secret[TB_SECRET_SIZE];
static tb_tokens_writer_t  writer;


static size_t
write_tokens(unsigned entries)
{
    size_t     size;
    unsigned   i;
    tb_hash_t  h;

    memset(secret, 0xa5, sizeof(secret));
    size = tb_tokens_write_header(&writer, text, AT, secret);

    for (i = 0; i < entries; i++) {
        h.lo = i + 1;
        h.hi = ~(uint64_t) i;
        size += tb_tokens_write_entry(&writer, text + size, &h,
                                      i * TB_TOKEN / 2, AT + i * 10);
    }

    return size + tb_tokens_write_trailer(&writer, text + size);
}


static void
reads_what_was_written(void **state)
{
    size_t       size;
    uint64_t     tokens, at;
    unsigned     i, n;
    tb_hash_t    h;
    tb_tokens_t  t;

    (void) state;

    for (n = 0; n <= ENTRIES; n++) {
        size = write_tokens(n);

        assert_true(tb_tokens_init(&t, text, size));
        assert_int_equal(t.at, AT);
        assert_memory_equal(t.secret, secret, TB_SECRET_SIZE);

        for (i = 0; tb_tokens_next(&t, &h, &tokens, &at); i++) {
            assert_int_equal(h.lo, i + 1);
            assert_int_equal(h.hi, ~(uint64_t) i);
            assert_int_equal(tokens, i * TB_TOKEN / 2);
            assert_int_equal(at, AT + i * 10);
        }

        assert_int_equal(i, n);
    }
}


static void
cut_or_changed_is_no_such_file(void **state)
{
    size_t          i, size;
    tb_tokens_t     t;
    unsigned char  *copy;

    (void) state;

    size = write_tokens(ENTRIES);

    for (i = 0; i < size; i++) {
        copy = malloc(i + 1);
        assert_non_null(copy);
        memcpy(copy, text, i);
        assert_false(tb_tokens_init(&t, copy, i));
        free(copy);

        text[i] ^= 0x10;
        assert_false(tb_tokens_init(&t, text, size));
        text[i] ^= 0x10;
    }

    assert_false(tb_tokens_init(&t, text, size + 1));
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
    uint64_t     age, tokens;
    tb_word_t    word;
    tb_limits_t  limits;

    static const uint64_t  rates[] = {
        TB_RATE_MIN, 7, 12345, TB_STEPS_A_SECOND, 987654321, TB_RATE_MAX
    };

    (void) state;

    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        limits = tb_limits(TB_CAPACITY_MAX, rates[i], 0);

        for (age = 1; age < TB_AGE_MAX; age = age * 3 + 1) {
            for (tokens = 0; tokens <= tb_limits_full(limits);
                 tokens = tokens * 11 + 999999)
            {
                word = tb_word_settle(tb_word(tokens, 0), limits, age);
                assert_int_equal(tb_tokens_credit(tokens, AT, AT + age,
                                                  limits),
                                 tb_word_tokens(word));
            }
        }
    }
}


/* Else time that the entry's tokens hold already would be credited. */

static void
test_entry_later_than_a_stamp_tells_is_not_written(void **state)
{
    tb_hash_t  h = { 1, 2 };

    (void) state;

    memset(secret, 0xa5, sizeof(secret));

    (void) tb_tokens_write_header(&writer, text, AT, secret);

    assert_int_equal(tb_tokens_write_entry(&writer, text, &h, 0,
                                           AT + TB_STAMP_MASK),
                     TB_TOKENS_ENTRY_SIZE);
    assert_int_equal(tb_tokens_write_entry(&writer, text, &h, 0,
                                           AT + TB_STAMP_MASK + 1), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(cut_or_changed_is_no_such_file),
        cmocka_unit_test(elapsed_time_is_credited),
        cmocka_unit_test(a_clock_set_back_credits_nothing),
        cmocka_unit_test(credits_what_a_bucket_earns),
        cmocka_unit_test(test_entry_later_than_a_stamp_tells_is_not_written)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
