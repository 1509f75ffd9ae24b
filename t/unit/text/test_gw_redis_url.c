
/*
 * URLs of Redis stores: every form of the contract, and nothing else.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_redis_url.h"


static gw_redis_url_t  url;


static int
parse(const char *text)
{
    return gw_redis_url_parse(&url, text, strlen(text));
}


static void
a_host_may_have_port_database_user_and_password(void **state)
{
    (void) state;

    assert_int_equal(parse("redis://localhost"), 0);
    assert_int_equal(url.kind, GW_REDIS_TCP);
    assert_int_equal(url.nhosts, 1);
    assert_string_equal(url.hosts[0].name, "localhost");
    assert_int_equal(url.hosts[0].port, 6379);
    assert_int_equal(url.db, 0);
    assert_false(url.has_user || url.has_password);

    assert_int_equal(parse("redis://ann:p%40ss%3a:@10.0.0.1:7000/15"), 0);
    assert_string_equal(url.user, "ann");
    assert_string_equal(url.password, "p@ss::");
    assert_string_equal(url.hosts[0].name, "10.0.0.1");
    assert_int_equal(url.hosts[0].port, 7000);
    assert_int_equal(url.db, 15);

    assert_int_equal(parse("redis://:secret@h/"), 0);
    assert_false(url.has_user);
    assert_true(url.has_password);

    assert_int_equal(parse("redis://ann@h"), 0);
    assert_true(url.has_user);
    assert_false(url.has_password);

    assert_int_equal(parse("redis://a:b@c@h"), 0);
    assert_string_equal(url.password, "b@c");

    assert_int_equal(parse("redis://[::1]:6380/2147483647"), 0);
    assert_string_equal(url.hosts[0].name, "::1");
    assert_true(url.hosts[0].ipv6);
    assert_int_equal(url.hosts[0].port, 6380);
    assert_int_equal(url.db, 2147483647);
}


static void
a_unix_socket_is_an_absolute_path(void **state)
{
    (void) state;

    assert_int_equal(parse("redis+unix:/run/redis.sock"), 0);
    assert_int_equal(url.kind, GW_REDIS_UNIX);
    assert_string_equal(url.path, "/run/redis.sock");

    assert_int_equal(parse("redis+unix:/run/a%3fb?db=3"), 0);
    assert_string_equal(url.path, "/run/a?b");
    assert_int_equal(url.db, 3);
}


static void
sentinels_are_a_list_with_a_master(void **state)
{
    (void) state;

    assert_int_equal(parse("redis+sentinel://h1:26380,h2,[fe80::1]:1/mymaster"
                           "/4"), 0);
    assert_int_equal(url.kind, GW_REDIS_SENTINEL);
    assert_int_equal(url.nhosts, 3);
    assert_int_equal(url.hosts[0].port, 26380);
    assert_string_equal(url.hosts[1].name, "h2");
    assert_int_equal(url.hosts[1].port, 26379);
    assert_string_equal(url.hosts[2].name, "fe80::1");
    assert_string_equal(url.master, "mymaster");
    assert_int_equal(url.db, 4);

    assert_int_equal(parse("redis+sentinel://:pw@h/m"), 0);
    assert_string_equal(url.password, "pw");
}


static void
a_cluster_is_a_list_without_databases(void **state)
{
    (void) state;

    assert_int_equal(parse("redis+cluster://ann:pw@h1:7000,h2,[::1]/"), 0);
    assert_int_equal(url.kind, GW_REDIS_CLUSTER);
    assert_int_equal(url.nhosts, 3);
    assert_int_equal(url.hosts[0].port, 7000);
    assert_int_equal(url.hosts[1].port, 6379);
    assert_string_equal(url.user, "ann");

    assert_int_equal(parse("redis+cluster://h/1"), -1);
    assert_non_null(strstr(url.error, "no databases"));
}


static void
tls_is_another_letter(void **state)
{
    (void) state;

    assert_int_equal(parse("redis://h"), 0);
    assert_false(url.tls);
    assert_int_equal(parse("rediss://h/3"), 0);
    assert_true(url.tls);
    assert_int_equal(url.kind, GW_REDIS_TCP);
    assert_int_equal(url.db, 3);
    assert_int_equal(parse("rediss+sentinel://h/m"), 0);
    assert_true(url.tls);
    assert_int_equal(url.kind, GW_REDIS_SENTINEL);
    assert_int_equal(parse("rediss+cluster://h"), 0);
    assert_true(url.tls);
    assert_int_equal(url.kind, GW_REDIS_CLUSTER);

    assert_int_equal(parse("rediss+unix:/s"), -1);
    assert_int_equal(parse("redisss://h"), -1);
}


static void
anything_else_is_refused_with_a_reason(void **state)
{
    size_t                   i;
    char                     text[1024];
    static const struct {
        const char          *text;
        const char          *error;     /* part of it */
    } cases[] = {
        { "", "must begin with" },
        { "http://h", "must begin with" },
        { "REDIS://h", "must begin with" },
        { "redis:/h", "must begin with" },
        { "redis://", "host must be" },
        { "redis:///1", "host must be" },
        { "redis://h o", "host must be" },
        { "redis://h?db=1", "host must be" },
        { "redis://:6379", "host must be" },
        { "redis://h:", "port must be an integer from 1 to 65535" },
        { "redis://h:0", "port must be" },
        { "redis://h:65536", "port must be" },
        { "redis://h:99999999999999999999", "port must be" },
        { "redis://h:6379x", "port must be" },
        { "redis://h/x", "database must be an integer from 0 to 2147483647" },
        { "redis://h/-1", "database must be" },
        { "redis://h/2147483648", "database must be" },
        { "redis://h/1/", "database must be" },
        { "redis://h/1?x=y", "database must be" },
        { "redis://a,b", "several hosts need" },
        { "redis://@h", "empty user" },
        { "redis://a:@h", "password must be" },
        { "redis://a:%0@h", "password must be" },
        { "redis://a:%00@h", "password must be" },
        { "redis://%zz:b@h", "user must be" },
        { "redis://[::1", "invalid IPv6" },
        { "redis://[]", "invalid IPv6" },
        { "redis://[::1]x", "invalid IPv6" },
        { "redis://[h]", "invalid IPv6" },
        { "redis+unix:", "must begin with \"/\"" },
        { "redis+unix:run/s", "must begin with \"/\"" },
        { "redis+unix:/s?", "unknown parameter" },
        { "redis+unix:/s?d=1", "unknown parameter" },
        { "redis+unix:/s?db=", "database must be" },
        { "redis+unix:/s?db=1&db=2", "database must be" },
        { "redis+unix:/s%", "path of the unix socket" },
        { "redis+sentinel://h", "master's name" },
        { "redis+sentinel://h/", "master's name" },
        { "redis+sentinel://h//1", "master's name" },
        { "redis+sentinel://h,/m", "host must be" },
        { "redis+sentinel://,h/m", "host must be" },
        { "redis+sentinel://h/m/1/2", "database must be" }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        if (parse(cases[i].text) == 0) {
            fail_msg("accepted: %s", cases[i].text);
        }

        if (strstr(url.error, cases[i].error) == NULL) {
            fail_msg("%s: \"%s\"", cases[i].text, url.error);
        }
    }

    strcpy(text, "redis+unix:/");
    memset(text + strlen(text), 'a', 107);
    text[12 + 107] = '\0';
    assert_int_equal(parse(text), -1);
    text[12 + 106] = '\0';
    assert_int_equal(parse(text), 0);

    strcpy(text, "redis+sentinel://h");

    for (i = 1; i < 16; i++) {
        strcat(text, ",h");
    }

    strcat(text, "/m");
    assert_int_equal(parse(text), 0);

    text[strlen(text) - 2] = '\0';
    strcat(text, ",h/m");
    assert_int_equal(parse(text), -1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_host_may_have_port_database_user_and_password),
        cmocka_unit_test(a_unix_socket_is_an_absolute_path),
        cmocka_unit_test(sentinels_are_a_list_with_a_master),
        cmocka_unit_test(a_cluster_is_a_list_without_databases),
        cmocka_unit_test(tls_is_another_letter),
        cmocka_unit_test(anything_else_is_refused_with_a_reason)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
