
/*
 * What is told of Redis' errors: the same for the same reason, one printable
 * line, and nothing of what was sent.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_redis_reason.h"


#define SHA  "0ba59f3e054a9fec3a292e30d1681e01b73bf1ff"

static char  buf[80];


static const char *
reason(const char *text)
{
    gw_redis_reason(buf, sizeof(buf), text, strlen(text));

    return buf;
}


static void
the_place_in_a_script_is_left_out(void **state)
{
    (void) state;

    assert_string_equal(reason("OOM no memory. script: " SHA
                               ", on @user_script:33."), "OOM no memory.");
    assert_string_equal(reason("WRONGTYPE Wrong kind of value script: " SHA
                               ", on user_script:5."),
                        "WRONGTYPE Wrong kind of value");
    assert_string_equal(reason("ERR Error running script (call to f_" SHA
                               "): @user_script:33: @user_script: 33: "
                               "-READONLY You can't write"),
                        "READONLY You can't write");
    assert_string_equal(reason("ERR Error running script (call to f_" SHA
                               "): @user_script:1: user_script:1: no x"),
                        "no x");
}


static void
what_only_looks_like_one_stays(void **state)
{
    size_t  i;

    static const char *const  texts[] = {
        "ERR no script: none",
        "ERR script: 0ba59f3e",
        "ERR Error running script (call to f_",
        "@user_script:",
        "@user_script:12",
        "ERR @user_script:12: a",
        ""
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_string_equal(reason(texts[i]), texts[i]);
    }
}


static void
arguments_that_are_repeated_are_left_out(void **state)
{
    (void) state;

    assert_string_equal(reason("ERR unknown command 'EVALSHA', with args "
                               "beginning with: '" SHA "' '5' 'key' "),
                        "ERR unknown command 'EVALSHA'");
    assert_string_equal(reason("ERR unknown command `SET`, with args "
                               "beginning with: script: " SHA ", on x"),
                        "ERR unknown command `SET`");
}


static void
a_reason_is_one_line_of_printable_characters(void **state)
{
    char  text[] = "ERR a\r\nb\0c\x1b[0m \xc3\xa4 ";

    (void) state;

    gw_redis_reason(buf, sizeof(buf), text, sizeof(text) - 1);
    assert_string_equal(buf, "ERR a??b?c?[0m ??");

    gw_redis_reason(buf, 6, "ERR abcdef", 10);
    assert_string_equal(buf, "ERR a");

    gw_redis_reason(buf, 1, "ERR abcdef", 10);
    assert_string_equal(buf, "");
}


static void
of_a_password_that_was_refused_only_the_kind_is_told(void **state)
{
    size_t  i;

    static const struct {
        const char  *text;
        const char  *told;
    } cases[] = {
        { "WRONGPASS invalid username-password pair s3cr3t", "WRONGPASS" },
        { "NOAUTH s3cr3t", "NOAUTH" },
        { "ERR unknown command 'AUTH', with args beginning with: 's3cr3t' ",
          "ERR unknown command" },
        { "ERR unknown command `AUTH`", "ERR unknown command" },
        { "ERR invalid password s3cr3t", "ERR invalid password" },
        { "ERR AUTH <password> called without any password configured for "
          "the default user. Are you sure?",
          "ERR AUTH <password> called without any password configured" },
        { "ERR Client sent AUTH, but no password is set",
          "ERR Client sent AUTH, but no password is set" },
        { "s3cr3t", "AUTH was refused" },
        { "ERR s3cr3t", "AUTH was refused" },
        { "", "AUTH was refused" }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(gw_redis_reason_auth(cases[i].text,
                                                 strlen(cases[i].text)),
                            cases[i].told);
    }
}


static void
a_text_ends_before_a_secret(void **state)
{
    char  text[80];

    (void) state;

    strcpy(text, "ERR what is abc?");
    gw_redis_reason_hide(text, "abc");
    assert_string_equal(text, "ERR what is ");

    /* a server may have cut it off, too */

    strcpy(text, "ERR what is 0123456789abcdefgh...");
    gw_redis_reason_hide(text, "0123456789abcdefghijk");
    assert_string_equal(text, "ERR what is ");

    strcpy(text, "ERR what is abc?");
    gw_redis_reason_hide(text, "abcd");
    gw_redis_reason_hide(text, "");
    gw_redis_reason_hide(text, NULL);
    assert_string_equal(text, "ERR what is abc?");
}


static void
the_code_is_the_first_word(void **state)
{
    (void) state;

    assert_true(gw_redis_reason_is("READONLY You can't", "READONLY"));
    assert_true(gw_redis_reason_is("READONLY", "READONLY"));
    assert_false(gw_redis_reason_is("READONLYX", "READONLY"));
    assert_false(gw_redis_reason_is("READ", "READONLY"));
    assert_false(gw_redis_reason_is("ERR READONLY", "READONLY"));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(the_place_in_a_script_is_left_out),
        cmocka_unit_test(what_only_looks_like_one_stays),
        cmocka_unit_test(arguments_that_are_repeated_are_left_out),
        cmocka_unit_test(a_reason_is_one_line_of_printable_characters),
        cmocka_unit_test(of_a_password_that_was_refused_only_the_kind_is_told),
        cmocka_unit_test(a_text_ends_before_a_secret),
        cmocka_unit_test(the_code_is_the_first_word)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
