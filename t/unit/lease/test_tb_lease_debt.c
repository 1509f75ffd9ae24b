
/*
 * Debt in leased buckets: what a word owes is reported, paid once and refilled
 * before anything is granted, and what is given back goes along.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "t/unit/lease/tb_lease_redis.h"


#define NOW   UINT64_C(1000000)
#define TEN   tb_limits(100, 10 * TB_STEPS_A_SECOND, 0)

#define T(n)  ((n) * (int64_t) TB_TOKEN)


/* One of two nodes, with a bucket of each, on one Redis. */

typedef struct {
    redis_t            redis;
    double             wall;
    unsigned char      id[TB_NODE_ID];
    tb_lease_t         lease;
    uint64_t           seq;
    int64_t            tokens;
} node_t;


static redis_t  redis;
static double   wall = 1.7e15;


static void
begin(node_t *n, unsigned char name)
{
    memset(n, 0, sizeof(*n));
    n->id[0] = name;
}


/* A call about the bucket; lost: there is no answer, and it grants nothing. */

static void
call(node_t *n, uint64_t need, bool lost)
{
    bool               joins;
    size_t             len;
    unsigned           which = 0;
    unsigned char      head[TB_LEASE_HEAD], part[TB_LEASE_PART], buf[256];
    tb_lease_ask_t     ask;
    tb_lease_reply_t   reply;
    tb_lease_answer_t  answer;

    joins = n->seq == 0;
    n->lease.seq = ++n->seq;
    wall += 1000;

    tb_lease_put_head(head, n->id, (const unsigned char *) "node",
                      TB_LEASE_BEATS | (joins ? TB_LEASE_JOINS : 0), n->seq,
                      (uint64_t) 1e15, 400000);

    tb_lease_plan(&n->lease, TEN, n->tokens, need, TB_TOKEN, 100, NOW, &ask);
    n->tokens -= ask.op == TB_LEASE_TAKE ? ask.back : 0;
    ask.lent = n->lease.lent;
    ask.want = lost ? 0 : ask.want;
    tb_lease_sent(&n->lease, &ask, NOW);
    tb_lease_put(part, &ask);

    len = redis_call(&redis, head, part, 1, &which, wall, buf, sizeof(buf));

    if (!lost) {
        assert_true(tb_lease_read(buf, len, 1, &reply, &answer));
        assert_int_equal(answer.status, TB_LEASE_OK);
        n->tokens += tb_lease_answered(&n->lease, &ask, &answer, NOW);
    }

    n->lease.seq = 0;
}


/* Time in which both show that they live. */

static void
pass(node_t *a, node_t *b, unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 100) {
        wall += 98000;
        call(a, 0, false);
        call(b, 0, false);
    }
}


static int
start(void **state)
{
    (void) state;

    redis_open(&redis, (redis_edit_t) { NULL, NULL });

    return 0;
}


static int
stop(void **state)
{
    (void) state;

    redis_close(&redis);

    return 0;
}


/* Both nodes know each other, and the bucket lacks a token or two. */

static void
two(node_t *a, node_t *b)
{
    redis_flush(&redis);
    begin(a, 'a');
    begin(b, 'b');

    call(a, 0, false);
    call(b, 0, false);
    call(a, 0, false);
    call(b, 0, false);

    a->tokens = 0;
    b->tokens = 0;
}


static void
test_debt_is_everybodys(void **state)
{
    node_t  a, b;

    (void) state;

    two(&a, &b);
    call(&a, T(10), false);
    assert_true(a.tokens >= T(10));

    a.tokens -= T(150);
    call(&a, 0, false);
    assert_true(a.tokens >= 0);
    assert_true(a.lease.left < -T(40) && a.lease.left > -T(60));

    call(&b, T(1), false);
    assert_int_equal(b.tokens, 0);
    assert_true(b.lease.left < -T(40));
    assert_false(tb_lease_waits(&b.lease, TEN, 0, TB_TOKEN, 100, NOW));

    /* what is missing, and the token that the request costs */

    assert_true(tb_lease_wait(&b.lease, TEN, 0, TB_TOKEN, NOW) > 4000);
    assert_true(tb_lease_wait(&b.lease, TEN, 0, TB_TOKEN, NOW) < 6200);

    /* which is there by then, and not before */

    pass(&a, &b, 3000);
    assert_int_equal(b.tokens, 0);

    pass(&a, &b, 3500);
    assert_true(b.tokens >= T(1));
}


static void
test_is_charged_once(void **state)
{
    node_t    a, b;
    unsigned  i;

    (void) state;

    two(&a, &b);
    a.tokens -= T(30);

    for (i = 0; i < 5; i++) {
        call(&a, 0, true);
        assert_int_equal(a.tokens, -T(30));
    }

    call(&a, 0, false);
    assert_true(a.lease.left + a.tokens >= T(67));
    assert_true(a.lease.left + a.tokens <= T(71));
    assert_true(a.tokens >= 0);

    /* and more of it as well */

    a.tokens -= T(5);
    call(&a, 0, true);
    a.tokens -= T(3);
    call(&a, 0, false);
    assert_true(a.lease.left + a.tokens >= T(59));
    assert_true(a.lease.left + a.tokens <= T(63));
}


static void
test_refunds_count_once(void **state)
{
    int64_t   left;
    node_t    a, b;
    unsigned  i;

    (void) state;

    two(&a, &b);
    call(&a, T(60), false);
    a.tokens -= T(60);
    call(&a, 0, false);
    left = a.lease.left + a.tokens;
    assert_true(left <= T(41));

    a.lease.refund += T(20);

    for (i = 0; i < 5; i++) {
        call(&a, 0, true);
    }

    assert_true(tb_lease_remainder(&a.lease, TEN, a.tokens) >= left + T(19));

    call(&a, 0, false);
    assert_int_equal(a.lease.refund, 0);
    assert_true(a.lease.left + a.tokens >= left + T(19));
    assert_true(a.lease.left + a.tokens <= left + T(21));

    /* no more than the bucket has room for */

    a.lease.refund += T(500);
    call(&a, 0, false);
    call(&b, 0, false);
    assert_true(a.lease.left + a.tokens <= T(100));
    assert_true(b.lease.left + a.tokens <= T(100));
}


/* One that has no answer yet, as where a request ends long after it began. */

static void
test_new_lease_owes(void **state)
{
    node_t      a, b;
    tb_lease_t  none = { 0 };

    (void) state;

    two(&a, &b);

    none.heard = a.seq;
    a.lease = none;
    a.tokens = -T(120);

    assert_true(tb_lease_is_due(&a.lease, TEN, a.tokens, TB_TOKEN, 100, NOW));
    assert_false(tb_lease_is_over(&a.lease, a.tokens, NOW));

    call(&a, 0, false);
    assert_int_equal(a.tokens, 0);
    assert_true(a.lease.left <= -T(19) && a.lease.left >= -T(23));

    /* the same for what is given back */

    none.heard = a.seq;
    a.lease = none;
    a.lease.refund += T(10);

    assert_true(tb_lease_is_due(&a.lease, TEN, 0, TB_TOKEN, 100, NOW));
    assert_false(tb_lease_is_over(&a.lease, 0, NOW));

    call(&a, 0, false);
    assert_true(a.lease.left <= -T(9) && a.lease.left >= -T(13));
}


/* A floor, as the words have one. */

static void
test_no_more_debt_than_words_hold(void **state)
{
    node_t  a, b;

    (void) state;

    two(&a, &b);

    a.tokens = -TB_DEBT_MAX;
    call(&a, 0, false);
    b.tokens = -TB_DEBT_MAX;
    call(&b, 0, false);

    assert_int_equal(b.lease.left, -TB_DEBT_MAX);
    assert_int_equal(b.tokens, 0);
}


/* A value in debt lasts until it has refilled. */

static void
test_debt_outlasts_the_value_of_a_full_bucket(void **state)
{
    node_t  a, b;

    (void) state;

    two(&a, &b);

    a.tokens = -T(1100);
    call(&a, 0, false);

    /* full would be after 10 s; the debt is of 100 s */

    assert_true(redis.keys[1].expires - wall >= 2 * 100e6);
}


/* Alone, a word takes over its share of the debt that is in Redis. */

static void
test_debt_alone(void **state)
{
    tb_lease_t  l = { 0 };

    (void) state;

    l.warm = true;
    l.left = -T(50);
    l.answered = (uint32_t) NOW;

    assert_int_equal(tb_lease_taken_over(&l, 500000), T(25));
    assert_int_equal(tb_lease_alone(-T(25), -T(25), TEN, 500000, NOW, 0,
                                    NOW + 1000), -T(20));

    /* what was charged meanwhile has not refilled before */

    assert_int_equal(tb_lease_alone(T(50), -T(25), TEN, 500000, NOW,
                                    NOW + 100000, NOW + 100000), -T(25));

    l.alone = 1;
    assert_int_equal(tb_lease_taken_over(&l, 500000), 0);
    l.alone = 0;
    l.left = 1;
    assert_int_equal(tb_lease_taken_over(&l, TB_LEASE_ALL), 0);

    /* all of it, if there is no other node */

    l.left = -T(50);
    assert_int_equal(tb_lease_whole(&l, TEN, 0, 0, 0, 0, NOW + 1000),
                     -T(40));
    assert_int_equal(tb_lease_wait_alone(TEN, 500000, -T(20), TB_TOKEN),
                     4200);
}


/* Requests that wait have turns of their own, on all nodes. */

static void
test_turns_are_one_queue(void **state)
{
    node_t         a, b;
    uint64_t       ms;
    tb_lease_t    *l;

    (void) state;

    two(&a, &b);
    a.tokens -= T(97);
    call(&a, 0, false);
    a.tokens = 0;

    /* three of them wait on one node, and two on the other */

    a.tokens -= T(30);
    a.lease.lent = T(30);
    b.tokens -= T(20);
    b.lease.lent = T(20);

    l = &a.lease;
    assert_false(tb_lease_turn(l, TEN, T(10), NOW, &ms));

    call(&a, 0, true);
    assert_false(tb_lease_turn(l, TEN, T(10), NOW, &ms));

    call(&a, 0, false);
    call(&b, 0, false);

    assert_true(tb_lease_turn(l, TEN, T(10), NOW, &ms));
    assert_in_range(ms, 800, 1100);
    assert_true(tb_lease_turn(l, TEN, T(20), NOW, &ms));
    assert_in_range(ms, 1800, 2100);
    assert_true(tb_lease_turn(l, TEN, T(30), NOW + 500, &ms));
    assert_in_range(ms, 2300, 2600);

    l = &b.lease;
    assert_true(tb_lease_turn(l, TEN, T(10), NOW, &ms));
    assert_in_range(ms, 3800, 4100);
    assert_true(tb_lease_turn(l, TEN, T(20), NOW, &ms));
    assert_in_range(ms, 4800, 5100);

    /* a lease that has begun anew */

    assert_true(tb_lease_turn(l, TEN, T(21), NOW, &ms));
    assert_int_equal(ms, 0);
}


/* Only the grant is void: the debt has been paid. */

static void
test_payment_stands_after_refill_alone(void **state)
{
    tb_lease_t         l = { 0 };
    tb_lease_ask_t     ask;
    tb_lease_answer_t  answer = { .delta = T(37), .left = -T(1) };

    (void) state;

    l.warm = true;
    tb_lease_plan(&l, TEN, -T(30), TB_TOKEN, TB_TOKEN, 100, NOW, &ask);
    assert_int_equal(ask.hold, -T(30));
    tb_lease_sent(&l, &ask, NOW);
    l.alone = (uint32_t) NOW + 1;

    assert_int_equal(tb_lease_answered(&l, &ask, &answer, NOW + 5), T(30));
    assert_int_equal(l.held, 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_debt_is_everybodys),
        cmocka_unit_test(test_is_charged_once),
        cmocka_unit_test(test_refunds_count_once),
        cmocka_unit_test(test_new_lease_owes),
        cmocka_unit_test(test_no_more_debt_than_words_hold),
        cmocka_unit_test(test_debt_outlasts_the_value_of_a_full_bucket),
        cmocka_unit_test(test_debt_alone),
        cmocka_unit_test(test_turns_are_one_queue),
        cmocka_unit_test(test_payment_stands_after_refill_alone)
    };

    return cmocka_run_group_tests(tests, start, stop);
}
