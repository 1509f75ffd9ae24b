
/*
 * Replies are read as long as they keep their bounds, and cost no more memory
 * than these.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_redis_bound.h"


static void check(const char *bytes, bool awaited, const char *error);


static void
what_keeps_its_bounds_is_read(void **state)
{
    char  nested[64];

    (void) state;

    check("+OK\r\n", true, NULL);
    check("*2\r\n:1\r\n$-1\r\n", true, NULL);
    check("$3\r\nab", true, NULL);

    /* seven arrays in each other */

    strcpy(nested, "");
    for (int i = 0; i < 7; i++) {
        strcat(nested, "*1\r\n");
    }
    strcat(nested, ":1\r\n");
    check(nested, true, NULL);

    /* why the server is about to close */

    check("-ERR max number of clients reached\r\n", false, NULL);
}


static void
what_does_not_is_told_and_costs_nothing(void **state)
{
    char  deep[128] = "";
    char  longer[GW_REDIS_REPLY + 16];

    (void) state;

    check("+OK\r\n", false, "reply to no command");
    check("$3\r\nab", false, "reply to no command");
    check("*2147483647\r\n", true, "reply is too long");
    check("*1\r\n*9000\r\n", true, "reply is too long");

    for (int i = 0; i < 8; i++) {
        strcat(deep, "*1\r\n");
    }
    check(strcat(deep, ":1\r\n"), true, "reply is nested too deep");

    /* not at its end yet */

    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    longer[0] = '+';
    check(longer, true, "reply is too long");
}


static void
a_long_one_does_not_count_for_the_next(void **state)
{
    char               longer[GW_REDIS_REPLY / 2];
    redisReply        *reply;
    redisReader       *reader;
    gw_redis_bound_t   bound;

    (void) state;

    memset(&bound, 0, sizeof(bound));
    reader = redisReaderCreate();
    gw_redis_bound(&bound, reader);
    bound.awaited = true;

    memset(longer, 'x', sizeof(longer));
    longer[0] = '+';
    longer[sizeof(longer) - 2] = '\r';
    longer[sizeof(longer) - 1] = '\n';

    assert_int_equal(redisReaderFeed(reader, longer, sizeof(longer)),
                     REDIS_OK);
    assert_true(gw_redis_bound_reply(&bound, reader, &reply));
    assert_non_null(reply);
    freeReplyObject(reply);

    /* nothing of the next one is there, which may be shorter only */

    bound.most = 1024;
    assert_true(gw_redis_bound_reply(&bound, reader, &reply));
    assert_null(reply);

    redisReaderFree(reader);
}


/* What is read of these bytes, and what there is to say against it. */

static void
check(const char *bytes, bool awaited, const char *error)
{
    redisReply        *reply;
    redisReader       *reader;
    gw_redis_bound_t   bound;

    memset(&bound, 0, sizeof(bound));
    reader = redisReaderCreate();
    assert_non_null(reader);

    gw_redis_bound(&bound, reader);
    bound.awaited = awaited;

    assert_int_equal(redisReaderFeed(reader, bytes, strlen(bytes)),
                     REDIS_OK);

    assert_int_equal(gw_redis_bound_reply(&bound, reader, &reply),
                     error == NULL);

    if (error == NULL) {
        assert_null(bound.error);

    } else {
        assert_string_equal(bound.error, error);
        assert_null(reply);
    }

    assert_true(bound.size <= bound.most);

    if (reply != NULL) {
        freeReplyObject(reply);
    }

    redisReaderFree(reader);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(what_keeps_its_bounds_is_read),
        cmocka_unit_test(what_does_not_is_told_and_costs_nothing),
        cmocka_unit_test(a_long_one_does_not_count_for_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
