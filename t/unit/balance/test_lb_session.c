
/*
 * The cache of TLS sessions: what is found, what gives way, and what a writer
 * leaves that does not finish.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/balance/lb_session.h"


static lb_sessions_t
cache(uint32_t nslots)
{
    lb_sessions_t  sessions;

    sessions.nslots = nslots;
    sessions.slots = calloc(nslots, sizeof(lb_session_slot_t));
    assert_non_null(sessions.slots);

    return sessions;
}


static size_t
find(lb_sessions_t *sessions, uint64_t key, uint32_t now, char *data)
{
    size_t    n;
    uint64_t  words[LB_SESSION_KEY] = { key, 1, 2, 3 };

    n = lb_session_find(sessions, words, now, (unsigned char *) data);
    data[n] = '\0';

    return n;
}


static bool
put(lb_sessions_t *sessions, uint64_t key, uint32_t now, const char *data)
{
    uint64_t  words[LB_SESSION_KEY] = { key, 1, 2, 3 };

    return lb_session_set(sessions, words, now, (const unsigned char *) data,
                          strlen(data));
}


static void
a_session_is_found_by_its_key(void **state)
{
    char           data[LB_SESSION_MAX + 1];
    lb_sessions_t  sessions = cache(64);

    (void) state;

    assert_int_equal(find(&sessions, 1, 1, data), 0);

    assert_true(put(&sessions, 1, 1, "one"));
    assert_true(put(&sessions, 2, 1, "another"));
    assert_int_equal(find(&sessions, 1, 1, data), 3);
    assert_string_equal(data, "one");
    assert_int_equal(find(&sessions, 2, 1, data), 7);
    assert_string_equal(data, "another");

    assert_true(put(&sessions, 1, 1, "newer one"));
    assert_int_equal(find(&sessions, 1, 1, data), 9);
    assert_string_equal(data, "newer one");

    free(sessions.slots);
}


static void
the_one_used_least_lately_gives_way(void **state)
{
    char           data[LB_SESSION_MAX + 1];
    uint32_t       i;
    lb_sessions_t  sessions = cache(LB_SESSION_WAYS);

    (void) state;

    for (i = 0; i < LB_SESSION_WAYS; i++) {
        assert_true(put(&sessions, i, 1 + i, "x"));
    }

    assert_int_equal(find(&sessions, 0, 100, data), 1);
    assert_true(put(&sessions, 99, 101, "y"));

    assert_int_equal(find(&sessions, 0, 102, data), 1);
    assert_int_equal(find(&sessions, 1, 102, data), 0);
    assert_int_equal(find(&sessions, 99, 102, data), 1);

    free(sessions.slots);
}


static void
a_session_has_a_largest_size(void **state)
{
    char           data[LB_SESSION_MAX + 2];
    lb_sessions_t  sessions = cache(LB_SESSION_WAYS);

    (void) state;

    memset(data, 'x', LB_SESSION_MAX + 1);
    data[LB_SESSION_MAX + 1] = '\0';

    assert_false(put(&sessions, 1, 1, data));
    assert_false(put(&sessions, 1, 1, ""));
    data[LB_SESSION_MAX] = '\0';
    assert_true(put(&sessions, 1, 1, data));
    assert_int_equal(find(&sessions, 1, 1, data), LB_SESSION_MAX);

    free(sessions.slots);
}


static void
a_writer_that_dies_costs_a_slot_for_a_moment(void **state)
{
    char                data[LB_SESSION_MAX + 1];
    lb_sessions_t       sessions = cache(LB_SESSION_WAYS);
    lb_session_slot_t  *slot = sessions.slots;

    (void) state;

    assert_true(put(&sessions, 1, 1000, "one"));

    /* it has begun, and changed something */

    atomic_store(&slot->word, UINT64_C(2) << 32 | 1000);
    atomic_store(&slot->data[0], 7);

    assert_int_equal(find(&sessions, 1, 1000, data), 0);
    assert_false(put(&sessions, 1, 1001, "two"));
    assert_true(put(&sessions, 1, 1002, "two"));
    assert_int_equal(find(&sessions, 1, 1002, data), 3);
    assert_string_equal(data, "two");

    /* it was only stopped, and goes on: it is found out */

    atomic_store(&slot->data[0], 8);
    assert_int_equal(find(&sessions, 1, 1002, data), 0);
    assert_true(put(&sessions, 1, 1003, "three"));
    assert_int_equal(find(&sessions, 1, 1003, data), 5);

    free(sessions.slots);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_session_is_found_by_its_key),
        cmocka_unit_test(the_one_used_least_lately_gives_way),
        cmocka_unit_test(a_session_has_a_largest_size),
        cmocka_unit_test(a_writer_that_dies_costs_a_slot_for_a_moment)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
