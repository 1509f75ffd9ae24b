
/*
 * What a node decides about leases: bytes of calls and replies, when it is
 * alone and what it may then refill, when a call is due, how much it asks
 * for and gives back.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/lease/tb_lease.h"


#define NOW      UINT64_C(5000000000)     /* ms, above 2^32 */

#define TEN      tb_limits(100, 10 * TB_STEPS_A_SECOND, 0)
#define FAST     tb_limits(100, UINT64_C(5000) * TB_STEPS_A_SECOND, 0)
#define SMALL    tb_limits(1, 10 * TB_STEPS_A_SECOND, 0)


static void
join(tb_node_t *h, uint64_t share)
{
    unsigned char     head[TB_LEASE_HEAD];
    tb_lease_reply_t  reply = { .share = share, .time = 1000000 };

    tb_node_begin(h, TB_LEASE_ALL);
    tb_node_reset(h, (const unsigned char *) "node-1", NOW);
    tb_node_call(h, 1, true, false, head);
    assert_int_equal(head[10], TB_LEASE_BEATS | TB_LEASE_JOINS);
    tb_node_replied(h, 1, &reply, NOW);
}


/* Word and lease after an answer that granted so much and left so much. */

static void
leased(tb_lease_t *l, tb_limits_t limits, uint64_t tokens, int64_t left,
    uint64_t now)
{
    tb_lease_ask_t     ask;
    tb_lease_answer_t  answer = { .delta = (int64_t) tokens, .left = left };

    memset(l, 0, sizeof(*l));
    tb_lease_plan(l, limits, 0, TB_TOKEN, TB_TOKEN, 100, now, &ask);
    tb_lease_sent(l, &ask, now);

    assert_int_equal(tb_lease_answered(l, &ask, &answer, now), tokens);
    assert_int_equal(l->held, tokens);
}


static void
test_bytes_of_a_call(void **state)
{
    unsigned char   buf[TB_LEASE_PART];
    tb_lease_ask_t  ask = {
        .op = TB_LEASE_SET, .gen = 0x01020304, .hold = 1, .back = 2,
        .want = TB_COST_MAX, .unit = 1, .refund = 2, .heard = 1,
        .limits = tb_limits(5, 10, 0)
    };

    /* 1.0, 2.0, 1e12, 1.0, 2.0, 1.0, 5, 10.0 */

    static const unsigned char  expected[TB_LEASE_PART] = {
        1, 4, 3, 2, 1,
        0, 0, 0, 0, 0, 0, 0xf0, 0x3f,
        0, 0, 0, 0, 0, 0, 0, 0x40,
        0, 0, 0, 0xa2, 0x94, 0x1a, 0x6d, 0x42,
        0, 0, 0, 0, 0, 0, 0xf0, 0x3f,
        0, 0, 0, 0, 0, 0, 0, 0x40,
        0, 0, 0, 0, 0, 0, 0xf0, 0x3f,
        5, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0x24, 0x40
    };

    (void) state;

    tb_lease_put(buf, &ask);
    assert_memory_equal(buf, expected, sizeof(buf));

    /* -2.0 */

    ask.hold = -2;
    tb_lease_put(buf, &ask);
    assert_int_equal(buf[12], 0xc0);
}


static void
test_replies_that_are_none(void **state)
{
    size_t             len;
    tb_lease_reply_t   reply;
    tb_lease_answer_t  answer;
    unsigned char      buf[TB_LEASE_REPLY_HEAD + TB_LEASE_REPLY_PART] = { 0 };

    (void) state;

    assert_true(tb_lease_read(buf, sizeof(buf), 1, &reply, &answer));

    for (len = 0; len < sizeof(buf); len++) {
        assert_false(tb_lease_read(buf, len, 1, &reply, &answer));
    }

    assert_false(tb_lease_read(buf, sizeof(buf), 0, &reply, &answer));

    buf[0] = TB_LEASE_UNKNOWN + 1;
    assert_false(tb_lease_read(buf, sizeof(buf), 1, &reply, &answer));

    /* an unknown node is told no more */

    buf[0] = TB_LEASE_UNKNOWN;
    assert_true(tb_lease_read(buf, TB_LEASE_REPLY_HEAD, 1, &reply, &answer));

    /* a share above one; a delta that is not a number, or too large */

    buf[0] = TB_LEASE_OK;
    buf[3] = 0xff;
    assert_false(tb_lease_read(buf, sizeof(buf), 1, &reply, &answer));

    buf[3] = 0;
    memset(buf + TB_LEASE_REPLY_HEAD + 5, 0xff, 8);
    assert_false(tb_lease_read(buf, sizeof(buf), 1, &reply, &answer));

    memcpy(buf + TB_LEASE_REPLY_HEAD + 5, "\0\0\0\0\0\0\x80\x43", 8);
    assert_false(tb_lease_read(buf, sizeof(buf), 1, &reply, &answer));
}


static void
test_alone_after_silence(void **state)
{
    uint64_t     since;
    tb_node_t  h;

    (void) state;

    join(&h, 500000);
    assert_false(tb_node_is_alone(&h, NOW + TB_LEASE_ALONE, &since));
    assert_true(tb_node_is_alone(&h, NOW + TB_LEASE_ALONE + 1, &since));
    assert_int_equal(since, NOW + TB_LEASE_ALONE);
}


/* Redis may have refused, or never answered: nobody has told of others. */

static void
test_alone_from_the_start(void **state)
{
    uint64_t     since;
    tb_node_t  h;

    (void) state;

    tb_node_begin(&h, TB_LEASE_ALL);
    assert_false(tb_node_is_alone(&h, NOW, &since));

    tb_node_seek(&h, NOW);
    tb_node_seek(&h, NOW + 100);

    /* it may have come as far as to have an id */

    tb_node_reset(&h, (const unsigned char *) "node-1", NOW + 200);
    assert_false(tb_node_is_alone(&h, NOW + TB_LEASE_ALONE, &since));
    assert_true(tb_node_is_alone(&h, NOW + TB_LEASE_ALONE + 1, &since));
    assert_int_equal(since, NOW + TB_LEASE_ALONE);
    assert_int_equal(atomic_load(&h.share), TB_LEASE_ALL);
}


/* A Redis that has forgotten the node may not take it back. */

static void
test_alone_after_being_forgotten(void **state)
{
    uint64_t     since;
    tb_node_t  h;

    (void) state;

    join(&h, 500000);
    tb_node_reset(&h, (const unsigned char *) "second", NOW + 5000);
    tb_node_reset(&h, (const unsigned char *) "third", NOW + 5100);

    assert_false(tb_node_is_alone(&h, NOW + 5000 + TB_LEASE_ALONE, &since));
    assert_true(tb_node_is_alone(&h, NOW + 5001 + TB_LEASE_ALONE, &since));
    assert_int_equal(since, NOW + 5000 + TB_LEASE_ALONE);
    assert_int_equal(atomic_load(&h.share), 500000);
}


/* The script goes on to reserve the share until all has been reported. */

static void
test_back_from_alone(void **state)
{
    tb_node_t       h;
    unsigned char     head[TB_LEASE_HEAD];
    tb_lease_reply_t  reply = { .share = 250000, .time = 9000000 };

    (void) state;

    join(&h, 500000);
    assert_int_equal(h.ack, 1000000);

    /* a reply to a call that another one has followed says nothing */

    tb_node_call(&h, 7, true, false, head);
    tb_node_call(&h, 8, true, false, head);
    tb_node_replied(&h, 7, &reply, NOW + 1000);
    assert_int_equal(atomic_load(&h.share), 500000);

    tb_node_replied(&h, 8, &reply, NOW + 1000);
    assert_true(h.unreported);
    assert_int_equal(atomic_load(&h.share), 250000);
    assert_int_equal(h.ack, 1000000);

    tb_node_settled(&h);
    tb_node_call(&h, 9, true, false, head);
    tb_node_replied(&h, 9, &reply, NOW + 1050);
    assert_int_equal(h.ack, 9000000);

    /* unknown: it joins anew and says what share it had */

    tb_node_reset(&h, (const unsigned char *) "second", NOW + 1100);
    tb_node_call(&h, 10, true, false, head);
    assert_int_equal(head[10],
                     TB_LEASE_BEATS | TB_LEASE_JOINS | TB_LEASE_RETURNS);
    assert_int_equal(atomic_load(&h.share), 250000);
}


static void
test_share_of_the_rate(void **state)
{
    (void) state;

    /* 10 a second, one of two nodes, for a second */

    assert_int_equal(tb_lease_alone(0, 0, TEN, 500000, NOW, 0, NOW + 1000),
                     5 * TB_TOKEN);

    /* half of the capacity, or what is there anyway */

    assert_int_equal(tb_lease_alone(0, 0, TEN, 500000, 0, 0, NOW),
                     50 * TB_TOKEN);
    assert_int_equal(tb_lease_alone(70 * TB_TOKEN, 70 * TB_TOKEN, TEN, 500000,
                                    0, 0, NOW), 70 * TB_TOKEN);

    /* of a day, in which ten tokens come in */

    assert_int_equal(tb_lease_alone(0, 0, tb_limits(100, 100, 0),
                                    TB_LEASE_ALL, NOW, 0, NOW + 86400000),
                     10 * TB_TOKEN);

    /* it was full for 10 s, and then 30 were taken at once, 1 s ago */

    assert_int_equal(tb_lease_alone(50 * TB_TOKEN, 20 * TB_TOKEN, TEN, 500000,
                                    NOW - 11000, NOW - 1000, NOW),
                     25 * TB_TOKEN);

    /* half full for 2 s, which are 10 more, and then the same */

    assert_int_equal(tb_lease_alone(30 * TB_TOKEN, 0, TEN, 500000,
                                    NOW - 3000, NOW - 1000, NOW),
                     15 * TB_TOKEN);

    assert_int_equal(tb_lease_alone(7, 7, TEN, 0, 0, 0, NOW), 7);
    assert_int_equal(tb_lease_alone(7, 7, TEN, 500000, NOW, 0, NOW - 1), 7);
}


static void
test_period(void **state)
{
    (void) state;

    assert_int_equal(tb_lease_period(TEN, 100, 0), 100);
    assert_int_equal(tb_lease_period(FAST, 100, 0), 5);
    assert_int_equal(tb_lease_period(SMALL, 100, 0), 25);
    assert_int_equal(tb_lease_period(FAST, 100, 700), 700);
    assert_int_equal(tb_lease_period(tb_limits(1, TB_RATE_MAX, 0), 10, 0), 5);
}


static void
test_asks_ahead_of_use(void **state)
{
    tb_lease_t      l;
    tb_lease_ask_t  ask;

    (void) state;

    /* the first call: what waits, and a twelfth of the capacity */

    memset(&l, 0, sizeof(l));
    tb_lease_plan(&l, TEN, 0, 3 * TB_TOKEN, TB_TOKEN, 100, NOW, &ask);
    assert_int_equal(ask.want, 11 * TB_TOKEN);
    assert_int_equal(ask.hold, 0);

    /* 10 used in 100 ms: as much again and a half */

    leased(&l, FAST, 20 * TB_TOKEN, TB_TOKEN, NOW);
    tb_lease_plan(&l, FAST, 10 * TB_TOKEN, 0, TB_TOKEN, 100, NOW + 99, &ask);
    assert_int_equal(ask.want, 5 * TB_TOKEN);

    /* empty: twice of what was used, never above a quarter */

    tb_lease_plan(&l, TEN, 0, 0, TB_TOKEN, 100, NOW + 999, &ask);
    assert_int_equal(ask.want, 25 * TB_TOKEN);

    /* nothing ahead of requests where there is so little */

    leased(&l, SMALL, TB_TOKEN, 0, NOW);
    tb_lease_plan(&l, SMALL, 0, 0, TB_TOKEN, 25, NOW + 5, &ask);
    assert_int_equal(ask.want, 0);
}


static void
test_gives_back_what_is_idle(void **state)
{
    tb_lease_t         l;
    tb_lease_ask_t     ask;
    tb_lease_answer_t  answer = { .left = 100 * TB_TOKEN };

    (void) state;

    leased(&l, TEN, 8 * TB_TOKEN, 0, NOW);

    assert_false(tb_lease_is_due(&l, TEN, 8 * TB_TOKEN, TB_TOKEN, 100,
                                 NOW + TB_LEASE_IDLE - 1));
    assert_true(tb_lease_is_due(&l, TEN, 8 * TB_TOKEN, TB_TOKEN, 100,
                                NOW + TB_LEASE_IDLE));

    tb_lease_plan(&l, TEN, 8 * TB_TOKEN, 0, TB_TOKEN, 100,
                  NOW + TB_LEASE_IDLE, &ask);
    assert_int_equal(ask.back, 8 * TB_TOKEN);
    assert_int_equal(ask.hold, 0);
    assert_int_equal(ask.want, 0);

    tb_lease_sent(&l, &ask, NOW + TB_LEASE_IDLE);
    assert_int_equal(tb_lease_answered(&l, &ask, &answer,
                                       NOW + TB_LEASE_IDLE + 1), 0);
    assert_true(tb_lease_is_over(&l, 0, NOW + TB_LEASE_IDLE + 5));
    assert_false(tb_lease_is_over(&l, 1, NOW + TB_LEASE_IDLE + 5));
}


static void
test_when_a_call_is_due(void **state)
{
    tb_lease_t  l;

    (void) state;

    memset(&l, 0, sizeof(l));
    assert_false(tb_lease_is_due(&l, TEN, 0, TB_TOKEN, 100, NOW));

    /* some was used: after the period */

    leased(&l, TEN, 8 * TB_TOKEN, 0, NOW);
    assert_false(tb_lease_is_due(&l, TEN, TB_TOKEN, TB_TOKEN, 100, NOW + 99));
    assert_true(tb_lease_is_due(&l, TEN, TB_TOKEN, TB_TOKEN, 100, NOW + 100));

    /* a small bucket that is empty: at once, to make room for refill */

    leased(&l, SMALL, TB_TOKEN, 0, NOW);
    assert_false(tb_lease_is_due(&l, SMALL, 0, TB_TOKEN, 25, NOW + 4));
    assert_true(tb_lease_is_due(&l, SMALL, 0, TB_TOKEN, 25, NOW + 5));
}


static void
test_who_waits(void **state)
{
    tb_lease_t  l;

    (void) state;

    memset(&l, 0, sizeof(l));
    assert_true(tb_lease_waits(&l, TEN, 0, TB_TOKEN, 100, NOW));

    /* Redis had some left */

    leased(&l, FAST, 9 * TB_TOKEN, TB_TOKEN, NOW);
    assert_true(tb_lease_waits(&l, FAST, 0, TB_TOKEN, 5, NOW + 1));

    /* but gave us less than we wanted: until the next call that is all */

    leased(&l, FAST, 8 * TB_TOKEN, TB_TOKEN, NOW);
    assert_false(tb_lease_waits(&l, FAST, 0, TB_TOKEN, 5, NOW + 4));
    assert_true(tb_lease_waits(&l, FAST, 0, TB_TOKEN, 5, NOW + 5));

    /* or none, and the next call is not due */

    leased(&l, FAST, TB_TOKEN, 0, NOW);
    assert_false(tb_lease_waits(&l, FAST, 0, TB_TOKEN, 5, NOW + 4));
    assert_true(tb_lease_waits(&l, FAST, 0, TB_TOKEN, 5, NOW + 5));

    /* where a token takes longer than that, until it may be there */

    leased(&l, SMALL, TB_TOKEN, 0, NOW);
    assert_false(tb_lease_waits(&l, SMALL, 0, TB_TOKEN, 25, NOW + 99));
    assert_true(tb_lease_waits(&l, SMALL, 0, TB_TOKEN, 25, NOW + 100));
    assert_int_equal(tb_lease_wait(&l, SMALL, 0, TB_TOKEN, NOW + 40), 60);
    assert_int_equal(tb_lease_wait(&l, SMALL, 0, TB_TOKEN, NOW + 400), 1);
    assert_true(tb_lease_wait(&l, SMALL, 0, tb_limits_full(SMALL) + 1, NOW)
                == UINT64_MAX);
}


static void
test_grants_are_void_after_refill_alone(void **state)
{
    tb_lease_t         l;
    tb_lease_ask_t     ask;
    tb_lease_answer_t  answer = { .delta = TB_TOKEN };

    (void) state;

    leased(&l, TEN, 8 * TB_TOKEN, 0, NOW);
    tb_lease_plan(&l, TEN, 0, TB_TOKEN, TB_TOKEN, 100, NOW + 100, &ask);
    tb_lease_sent(&l, &ask, NOW + 100);
    l.alone = (uint32_t) (NOW + 500);
    assert_int_equal(tb_lease_answered(&l, &ask, &answer, NOW + 600), 0);
    assert_int_not_equal(l.alone, 0);

    /* it is to be reported, although nothing is there */

    assert_false(tb_lease_is_over(&l, 0, NOW + 1000));
    assert_true(tb_lease_is_due(&l, TEN, 0, TB_TOKEN, 100, NOW + 550));

    tb_lease_sent(&l, &ask, NOW + 550);
    assert_int_equal(tb_lease_answered(&l, &ask, &answer, NOW + 600),
                     TB_TOKEN);
    assert_int_equal(l.alone, 0);
}


/* Calls that go in a second in which somebody looks each "step" us. */

static unsigned
calls_in_a_second(uint32_t buckets, uint64_t step)
{
    uint64_t          us;
    unsigned          n;
    _Atomic uint64_t  turn;

    n = 0;
    turn = 0;

    for (us = 0; us < 1000000; us += step) {
        if (tb_node_rest(&turn, NOW + us) == 0) {
            tb_node_called(&turn, buckets, NOW + us);
            n++;
        }
    }

    return n;
}


static void
test_calls_take_turns(void **state)
{
    unsigned          i;
    _Atomic uint64_t  turn;

    (void) state;

    /* one a tick and 500 buckets, and no less, where looks are rare */

    assert_int_equal(calls_in_a_second(1, 10), 200);
    assert_int_equal(calls_in_a_second(499, 10), 200);
    assert_in_range(calls_in_a_second(500, 10), 400, 402);
    assert_in_range(calls_in_a_second(1250, 10), 600, 603);
    assert_in_range(calls_in_a_second(1250, 1000), 600, 603);
    assert_int_equal(calls_in_a_second(1, 20000), 50);

    /* a long rest does not make up for what did not go */

    turn = 0;
    tb_node_called(&turn, 1, NOW);
    assert_int_equal(tb_node_rest(&turn, NOW + 1000), 4000);
    assert_int_equal(tb_node_rest(&turn, NOW + 5000), 0);
    tb_node_called(&turn, 1, NOW + 900000);
    assert_int_equal(tb_node_rest(&turn, NOW + 900000), 5000);

    /* who does not wait makes the others wait */

    for (i = 0; i < 3; i++) {
        tb_node_called(&turn, 1, NOW + 900000);
    }

    assert_int_equal(tb_node_rest(&turn, NOW + 900000), 20000);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_bytes_of_a_call),
        cmocka_unit_test(test_replies_that_are_none),
        cmocka_unit_test(test_alone_after_silence),
        cmocka_unit_test(test_alone_from_the_start),
        cmocka_unit_test(test_alone_after_being_forgotten),
        cmocka_unit_test(test_back_from_alone),
        cmocka_unit_test(test_share_of_the_rate),
        cmocka_unit_test(test_period),
        cmocka_unit_test(test_asks_ahead_of_use),
        cmocka_unit_test(test_gives_back_what_is_idle),
        cmocka_unit_test(test_when_a_call_is_due),
        cmocka_unit_test(test_who_waits),
        cmocka_unit_test(test_grants_are_void_after_refill_alone),
        cmocka_unit_test(test_calls_take_turns)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
