
/*
 * Slots, topology and redirections of a cluster, as real servers tell them.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "src/core/text/gw_redis_cluster.h"


static gw_redis_node_t  node;


/* A reply from a notation: ( ) arrays, 123 integers, $123 or words, _ nil. */

static redisReply *
reply(const char *text)
{
    char         out[8192], word[256];
    void        *object;
    size_t       n, count, depth;
    const char  *p, *q;
    redisReader *reader;

    n = 0;

    for (p = text; *p; /* void */) {

        if (*p == ' ' || *p == ')') {
            p++;
            continue;
        }

        if (*p == '(') {
            count = 0;
            depth = 0;

            for (q = p + 1; depth > 0 || *q != ')'; q++) {
                if (*q == '(') {
                    count += (depth++ == 0);
                } else if (*q == ')') {
                    depth--;
                } else if (depth == 0 && *q != ' '
                           && (q[-1] == ' ' || q[-1] == '('
                               || q[-1] == ')'))
                {
                    count++;
                }
            }

            n += (size_t) sprintf(out + n, "*%zu\r\n", count);
            p++;
            continue;
        }

        count = strcspn(p, " ()");
        memcpy(word, p, count);
        word[count] = '\0';
        p += count;

        if (strcmp(word, "_") == 0) {
            n += (size_t) sprintf(out + n, "$-1\r\n");

        } else if (strspn(word, "0123456789") == count) {
            n += (size_t) sprintf(out + n, ":%s\r\n", word);

        } else if (strcmp(word, "''") == 0) {
            n += (size_t) sprintf(out + n, "$0\r\n\r\n");

        } else {
            q = word + (word[0] == '$');
            n += (size_t) sprintf(out + n, "$%zu\r\n%s\r\n", strlen(q), q);
        }
    }

    reader = redisReaderCreate();
    assert_int_equal(redisReaderFeed(reader, out, n), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &object), REDIS_OK);
    assert_non_null(object);
    redisReaderFree(reader);

    return object;
}


static bool
shards(const char *text, unsigned slot, bool tls)
{
    bool         found;
    redisReply  *r;

    r = reply(text);
    found = gw_redis_shards_find(r, slot, tls, &node);
    freeReplyObject(r);

    return found;
}


static bool
slots(const char *text, unsigned slot)
{
    bool         found;
    redisReply  *r;

    r = reply(text);
    found = gw_redis_slots_find(r, slot, &node);
    freeReplyObject(r);

    return found;
}


static void
a_slot_is_that_of_the_hash_tag(void **state)
{
    (void) state;

    /* CLUSTER KEYSLOT of redis-server 7.0 */

    assert_int_equal(gw_redis_slot("123456789", 9), 12739);
    assert_int_equal(gw_redis_slot("foo", 3), 12182);
    assert_int_equal(gw_redis_slot("{user1000}.following", 20), 3443);
    assert_int_equal(gw_redis_slot("{user1000}.followers", 20), 3443);
    assert_int_equal(gw_redis_slot("foo{}{bar}", 10), 8363);
    assert_int_equal(gw_redis_slot("foo{{bar}}zap", 13), 4015);
    assert_int_equal(gw_redis_slot("foo{bar}{zap}", 13), 5061);
    assert_int_equal(gw_redis_slot("", 0), 0);
}


static int
command(unsigned n, ...)
{
    size_t        len[16];
    va_list       list;
    unsigned      i;
    const char   *argv[16];

    va_start(list, n);

    for (i = 0; i < n; i++) {
        argv[i] = va_arg(list, const char *);
        len[i] = strlen(argv[i]);
    }

    va_end(list);

    return gw_redis_command_slot(n, argv, len);
}


static void
a_command_goes_where_its_key_is(void **state)
{
    (void) state;

    assert_int_equal(command(3, "HGET", "foo", "{user1000}"), 12182);
    assert_int_equal(command(5, "EVALSHA", "abc", "1", "foo", "x"), 12182);
    assert_int_equal(command(4, "eval", "abc", "1", "foo"), 12182);
    assert_int_equal(command(6, "XREAD", "BLOCK", "5", "STREAMS", "foo",
                             "0-0"), 12182);
    assert_int_equal(command(1, "PING"), -1);
    assert_int_equal(command(2, "INFO", "memory"), -1);
    assert_int_equal(command(3, "SCRIPT", "LOAD", "return 1"), -1);
    assert_int_equal(command(3, "XREAD", "BLOCK", "5"), -1);
    assert_int_equal(command(3, "EVALSHA", "abc", "0"), -1);
}


static void
redirections_are_taken_apart(void **state)
{
    unsigned  i, slot;

    static const struct {
        const char           *text;
        gw_redis_redirect_t   kind;
        unsigned              slot;
        const char           *name;
        unsigned              port;
    } cases[] = {
        { "MOVED 3999 127.0.0.1:6381", GW_REDIS_MOVED, 3999, "127.0.0.1",
          6381 },
        { "ASK 0 redis-1.example:1", GW_REDIS_ASK, 0, "redis-1.example", 1 },
        { "MOVED 16383 ::1:65535", GW_REDIS_MOVED, 16383, "::1", 65535 },
        { "MOVED 1 :6380", GW_REDIS_MOVED, 1, "", 6380 },
        { "MOVED 1 ?:6380", GW_REDIS_MOVED, 1, "", 6380 },
        { "MOVED 16384 h:1", GW_REDIS_NOT_MOVED, 0, NULL, 0 },
        { "MOVED 1 h", GW_REDIS_NOT_MOVED, 0, NULL, 0 },
        { "MOVED 1 h:0", GW_REDIS_NOT_MOVED, 0, NULL, 0 },
        { "MOVED 1 h:65536", GW_REDIS_NOT_MOVED, 0, NULL, 0 },
        { "MOVED 1", GW_REDIS_NOT_MOVED, 0, NULL, 0 },
        { "MOVED  h:1", GW_REDIS_NOT_MOVED, 0, NULL, 0 },
        { "MOVED 1 a\rb:1", GW_REDIS_NOT_MOVED, 0, NULL, 0 },
        { "ERR MOVED 1 h:1", GW_REDIS_NOT_MOVED, 0, NULL, 0 },
        { "TRYAGAIN", GW_REDIS_NOT_MOVED, 0, NULL, 0 },
        { "", GW_REDIS_NOT_MOVED, 0, NULL, 0 }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(gw_redis_redirect(cases[i].text,
                                           strlen(cases[i].text), &slot,
                                           &node), cases[i].kind);

        if (cases[i].name != NULL) {
            assert_int_equal(slot, cases[i].slot);
            assert_string_equal(node.name, cases[i].name);
            assert_int_equal(node.port, cases[i].port);
        }
    }
}


#define NODE(host, port, role, health)                                       \
    "(id abc port " port " ip 10.9.9.9 endpoint " host " role " role         \
    " replication-offset 72156 health " health ")"


static void
the_master_of_a_slot_is_found_in_shards(void **state)
{
    static const char  text[] =
        "((slots (0 5460 10000 10000) nodes ("
            NODE("a-replica", "7000", "replica", "online")
            NODE("a", "7001", "master", "online") "))"
        "(slots () nodes (" NODE("none", "1", "master", "online") "))"
        "(slots (5461 9999) nodes ("
            NODE("old", "7002", "master", "fail")
            NODE("new", "7003", "master", "online") "))"
        "(slots (10001 10001) nodes ("
            "(id x tls-port 7443 port 7444 endpoint _ role master)))"
        "(slots (10002 10002) nodes ("
            "(id x tls-port 7445 endpoint ? role master)))"
        "(slots (10003 10003) nodes ("
            NODE("dead", "7009", "master", "fail") ")))";

    (void) state;

    assert_true(shards(text, 0, false));
    assert_string_equal(node.name, "a");
    assert_int_equal(node.port, 7001);
    assert_true(shards(text, 10000, false));
    assert_string_equal(node.name, "a");

    assert_true(shards(text, 5461, true));
    assert_string_equal(node.name, "new");
    assert_int_equal(node.port, 7003);

    assert_true(shards(text, 10001, true));
    assert_string_equal(node.name, "");
    assert_int_equal(node.port, 7443);
    assert_true(shards(text, 10001, false));
    assert_int_equal(node.port, 7444);

    assert_true(shards(text, 10002, true));
    assert_string_equal(node.name, "");
    assert_false(shards(text, 10002, false));

    assert_true(shards(text, 10003, false));
    assert_string_equal(node.name, "dead");

    assert_false(shards(text, 10004, false));
    assert_false(shards("()", 0, false));
    assert_false(shards("abc", 0, false));
    assert_false(shards("(1 2 (a) (slots (0 1) nodes 5))", 0, false));
    assert_false(shards("((slots (0) nodes ()))", 0, false));
}


static void
the_master_of_a_slot_is_found_in_slots(void **state)
{
    static const char  text[] =
        "((0 5460 (10.0.0.1 7001 id ()) (10.0.0.2 7000 id))"
        "(5461 10922 (_ 7002 id))"
        "(10923 16383 ('' 7003)))";

    (void) state;

    assert_true(slots(text, 5460));
    assert_string_equal(node.name, "10.0.0.1");
    assert_int_equal(node.port, 7001);
    assert_true(slots(text, 5461));
    assert_string_equal(node.name, "");
    assert_true(slots(text, 16383));
    assert_int_equal(node.port, 7003);

    assert_false(slots("()", 1));
    assert_false(slots("((0 100))", 1));
    assert_false(slots("((0 100 (a)))", 1));
    assert_false(slots("((0 100 (a 0)))", 1));
    assert_false(slots("((a b (a 1)))", 1));
    assert_false(slots("7", 1));
}


static bool
sentinel(const char *text)
{
    bool         found;
    redisReply  *r;

    r = reply(text);
    found = gw_redis_sentinel_find(r, &node);
    freeReplyObject(r);

    return found;
}


static void
sentinels_tell_names_and_addresses(void **state)
{
    (void) state;

    assert_true(sentinel("(redis-0.example $6379)"));
    assert_string_equal(node.name, "redis-0.example");
    assert_int_equal(node.port, 6379);
    assert_true(sentinel("(2001:db8::1 $1)"));
    assert_string_equal(node.name, "2001:db8::1");

    assert_false(sentinel("(redis-0.example 6379)"));
    assert_false(sentinel("(redis-0.example six)"));
    assert_false(sentinel("(redis-0.example $0)"));
    assert_false(sentinel("(? $6379)"));
    assert_false(sentinel("('' $6379)"));
    assert_false(sentinel("(_ $6379)"));
    assert_false(sentinel("(a)"));
    assert_false(sentinel("_"));
}


int
main(void)
{
    static const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_slot_is_that_of_the_hash_tag),
        cmocka_unit_test(a_command_goes_where_its_key_is),
        cmocka_unit_test(redirections_are_taken_apart),
        cmocka_unit_test(the_master_of_a_slot_is_found_in_shards),
        cmocka_unit_test(the_master_of_a_slot_is_found_in_slots),
        cmocka_unit_test(sentinels_tell_names_and_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
