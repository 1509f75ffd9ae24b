
/*
 * Verdicts on answers, the same ones however an answer is cut into pieces:
 * each is fed whole, byte by byte, and split in two at every byte.
 */


#include "t/unit/balance/lb_fixture.h"

#include "src/core/balance/lb_probe.h"

#include <cmocka.h>


#define OK     "HTTP/1.1 200 OK\r\n"
#define CHUNKS OK "Transfer-Encoding: chunked\r\n\r\n"


static lb_expect_t  usual;           /* 200-399 */
static lb_expect_t  texted;          /* and "ready" in the body */


static int
setup(void **state)
{
    (void) state;

    return !lb_expect_status(&usual, "200-399", 7)
           || !lb_expect_status(&texted, "200-399", 7)
           || !lb_expect_text(&texted, "ready", 5);
}


/* the pieces end where the connection does */

static lb_verdict_t
feed(lb_probe_t *probe, const lb_expect_t *expect, const char *answer,
    size_t n, size_t split, size_t step)
{
    size_t                i, length;
    const unsigned char  *data;

    data = (const unsigned char *) answer;
    lb_probe_start(probe, expect);

    for (i = 0; i < n; i += length) {
        length = (i < split) ? split - i : step;
        length = (length > n - i) ? n - i : length;

        /* a copy of its own, so that a sanitizer sees what is read past it */

        unsigned char  *piece = malloc(length);

        memcpy(piece, data + i, length);
        (void) lb_probe_feed(probe, piece, length);
        free(piece);
    }

    return lb_probe_end(probe);
}


static void
judged_n(const lb_expect_t *expect, const char *answer, size_t n,
    const char *reason)
{
    size_t        i;
    lb_probe_t    probe;
    lb_verdict_t  verdict;

    for (i = 0; i <= n; i++) {

        /* i == 0: byte by byte; i == n: whole */

        verdict = feed(&probe, expect, answer, n, i, i ? n : 1);

        assert_int_equal(verdict, reason ? LB_PROBE_FAIL : LB_PROBE_PASS);
        assert_string_equal(lb_probe_reason(&probe), reason ? reason : "");
    }
}


static void
judged(const lb_expect_t *expect, const char *answer, const char *reason)
{
    judged_n(expect, answer, strlen(answer), reason);
}


static void
a_header_with_an_expected_status_passes(void **state)
{
    (void) state;

    judged(&usual, OK "\r\n", NULL);
    judged(&usual, "HTTP/1.0 204 No Content\r\nServer: x\r\n\r\n", NULL);
    judged(&usual, "HTTP/1.1 302\r\nLocation: /a b:c\r\n\r\nbody", NULL);
    judged(&usual, "HTTP/1.1 399 \nA:\nB:c\n\n", NULL);
    judged(&usual, OK "X-A_b.c!: \x80\xff\r\nContent-Length: 5\r\n\r\n",
           NULL);
}


static void
the_verdict_does_not_wait_for_the_body(void **state)
{
    lb_probe_t   probe;
    const char  *answer = OK "Content-Length: 10\r\n\r\n";

    (void) state;

    lb_probe_start(&probe, &usual);

    assert_int_equal(lb_probe_feed(&probe, (const unsigned char *) answer,
                                   strlen(answer)),
                     LB_PROBE_PASS);
}


static void
another_status_fails_and_is_named(void **state)
{
    (void) state;

    judged(&usual, "HTTP/1.1 503 Unavailable\r\n\r\n", "status 503");
    judged(&usual, "HTTP/1.1 400\r\nA: b\r\n\r\n", "status 400");
    judged(&usual, "HTTP/1.1 101 Switching\r\n\r\n", "status 101");
    judged(&usual, "HTTP/1.1 000 x\r\n\r\n", "status 000");
    judged(&usual, "HTTP/1.1 999 x\r\n\r\n", "status 999");
    judged(&texted, "HTTP/1.1 500 x\r\n\r\nready", "status 500");
}


static void
interim_responses_are_passed_over(void **state)
{
    (void) state;

    judged(&usual, "HTTP/1.1 100 Continue\r\n\r\n" OK "\r\n", NULL);
    judged(&usual, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
                   "HTTP/1.1 102 x\r\n\r\nHTTP/1.1 503 x\r\n\r\n",
           "status 503");

    /* what they say of a body is not about the last one */

    judged(&texted, "HTTP/1.1 103 x\r\nContent-Length: 2\r\n\r\n" OK
                    "Content-Length: 5\r\n\r\nready", NULL);
}


static void
an_answer_without_a_status_line_is_a_body_of_status_200(void **state)
{
    uint32_t     i;
    lb_expect_t  other;

    static const char  *answers[] = {
        "ready\n", "I am ready", "<html>ready</html>", "\r\nready",
        "HTTPready", "HTTP/ready", "HTTP/1.x 200 ready", "HTTP/1.1200 ready",
        "HTTP/0.9 200 ready\r\n\r\n", "HTTP/100.1 200 ready\r\n\r\n",
        "HTTP/1.100 200 ready\r\n\r\n", "http/1.1 200 ready\r\n\r\n",
        "HTTP/1.1 20 ready\r\n\r\n", "HTTP/1.1 2000 ready\r\n\r\n",
        "HTTP/1.1 200 ready\rx", "HTTP/1.1 200:ready", "HTTP/1.1 -20 ready"
    };

    (void) state;

    memset(&other, 0, sizeof(lb_expect_t));
    assert_true(lb_expect_status(&other, "204", 3));

    for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        judged(&usual, answers[i], NULL);
        judged(&texted, answers[i], NULL);
        judged(&other, answers[i], "status 200");
    }

    judged(&texted, "HTTP/1.x 200 read", "text is not in the body");
    judged_n(&usual, "\0\0\0\022\004\0\0\0\0\0", 10, NULL);
}


static void
every_status_line_that_nginx_takes_is_taken(void **state)
{
    (void) state;

    judged(&usual, "HTTP/2.0 503 x\r\n\r\n", "status 503");
    judged(&usual, "HTTP/99.99 503\r\n\r\n", "status 503");
    judged(&usual, "HTTP/1.01 503\n\n", "status 503");
    judged(&usual, "HTTP/1.1   503 x\r\n\r\n", "status 503");
    judged(&usual, "HTTP/1.1 5 0 3 x\r\n\r\n", "status 503");
    judged(&usual, "HTTP/1.1 503.7 x\r\n\r\n", "status 503");
    judged(&usual, "HTTP/1.1 503\t\r\n\r\n", NULL);
}


static void
every_header_line_that_nginx_takes_is_taken(void **state)
{
    (void) state;

    judged(&usual, OK "nocolon\r\nA\n\r\n", NULL);
    judged(&usual, OK "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", NULL);
    judged(&usual, OK "A: b\r\r\nB\r\r\n\r\n", NULL);
    judged(&usual, OK "A_b(c)/\xc3\xb6: \x01\x7f\xff\r\n\r\n", NULL);
}


static void
invalid_header_lines_fail(void **state)
{
    (void) state;

    judged(&usual, OK "no colon\r\n\r\n", "invalid header line");
    judged(&usual, OK ": value\r\n\r\n", "invalid header line");
    judged(&usual, OK "A: b\r\n folded\r\n\r\n", "invalid header line");
    judged(&usual, OK "A : b\r\n\r\n", "invalid header line");
    judged(&usual, OK "A: b\r\n\rx\r\n", "invalid header line");
    judged(&usual, OK "A: b\rc\r\n\r\n", "invalid header line");
    judged(&usual, OK "http/1.1 200 OK\r\n\r\n", "invalid header line");
    judged_n(&usual, OK "A: \0\r\n\r\n", 17 + 4 + 4, "invalid header line");
}


static void
a_length_that_is_no_number_is_none(void **state)
{
    uint32_t  i;
    char      answer[128];

    static const char  *lengths[] = {
        "", "-1", "1 2", "1,1", "0x5", "99999999999999999999", "5\t"
    };

    (void) state;

    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        (void) snprintf(answer, sizeof(answer),
                        OK "Content-Length: %s\r\n\r\nI am ready",
                        lengths[i]);

        judged(&usual, answer, NULL);
        judged(&texted, answer, NULL);
    }

    judged(&texted, OK "Content-Length\r\n\r\nready", NULL);

    /* the last one counts */

    judged(&texted, OK "Content-Length: 4\r\ncontent-length: 5 \r\n\r\n"
                    "ready", NULL);
    judged(&texted, OK "Content-Length: 5\r\ncontent-length:4\r\n\r\n"
                    "ready", "text is not in the body");
}


/* how many bytes of an answer have been taken when it is over */

static size_t
over_after(const lb_expect_t *expect, const char *answer)
{
    size_t      i, n;
    lb_probe_t  probe;

    n = strlen(answer);
    lb_probe_start(&probe, expect);

    for (i = 0; i < n && !lb_probe_over(&probe); i++) {
        (void) lb_probe_feed(&probe, (const unsigned char *) answer + i, 1);
    }

    return lb_probe_over(&probe) ? i : SIZE_MAX;
}


static void
the_end_of_an_answer_is_found_whatever_the_verdict(void **state)
{
    uint32_t     i;
    const char  *sized = OK "Content-Length: 7\r\n\r\nready..";
    const char  *chunks = CHUNKS "5\r\nready\r\n0\r\nA: b\r\n\r\n";
    const char  *bad = "HTTP/1.1 503 x\r\nContent-Length: 2\r\n\r\nno";
    const char  *none = "HTTP/1.1 204 x\r\nContent-Length: 2\r\n\r\n";

    const lb_expect_t  *expect[] = { &usual, &texted };

    (void) state;

    for (i = 0; i < 2; i++) {
        assert_int_equal(over_after(expect[i], sized), strlen(sized));
        assert_int_equal(over_after(expect[i], chunks), strlen(chunks));
        assert_int_equal(over_after(expect[i], bad), strlen(bad));
        assert_int_equal(over_after(expect[i], none), strlen(none));
        assert_int_equal(over_after(expect[i], OK "\r\nready"), SIZE_MAX);
        assert_int_equal(over_after(expect[i], "ready"), SIZE_MAX);
        assert_int_equal(over_after(expect[i], OK " x"),
                         strlen(OK) + 1);
    }
}


static void
a_connection_closed_too_early_fails(void **state)
{
    size_t        n;
    lb_probe_t    probe;
    const char   *answer = OK "Content-Length: 9\r\n\r\nnot read";

    (void) state;

    judged(&usual, "", "connection closed without a response");

    for (n = 1; n < strlen(answer) - 8; n++) {
        assert_int_equal(feed(&probe, &usual, answer, n, n, n),
                         LB_PROBE_FAIL);
        assert_string_equal(lb_probe_reason(&probe),
                            "connection closed within the header");
    }

    judged(&texted, answer, "connection closed within the body");
}


static void
a_text_is_found_in_every_kind_of_body(void **state)
{
    (void) state;

    judged(&texted, OK "\r\nI am ready now", NULL);
    judged(&texted, OK "Content-Length: 5\r\n\r\nready", NULL);
    judged(&texted, OK "CONTENT-LENGTH: 11\r\n\r\nI am ready.", NULL);
    judged(&texted, CHUNKS "5\r\nready\r\n0\r\n\r\n", NULL);
    judged(&texted, CHUNKS "3\r\nI a\r\n4;x=\"y\"\r\nm re\r\n03\r\nady\r\n"
                    "0\r\n\r\n", NULL);
    judged(&texted, CHUNKS "1\nr\n1\ne\n1\na\n1\nd\n1\ny\n0\n\n", NULL);
    judged(&texted, OK "Transfer-Encoding: gzip, Chunked \r\n"
                    "Content-Length: 1\r\n\r\nA\r\nrearreadyx\r\n", NULL);

    /* no chunks, so what looks like them is the body */

    judged(&texted, OK "Transfer-Encoding: chunk\r\n\r\n1\r\nready", NULL);
    judged(&texted, OK "Transfer-Encoding: cchunkechunkeD;q=1\r\n"
                    "Transfer-Encoding: identity\r\n\r\n5\r\nready", NULL);
}


static void
a_body_without_the_text_fails(void **state)
{
    static const char  missing[] = "text is not in the body";

    (void) state;

    judged(&texted, OK "\r\nread", missing);
    judged(&texted, OK "\r\n", missing);
    judged(&texted, OK "Content-Length: 0\r\n\r\nready", missing);
    judged(&texted, OK "Content-Length: 4\r\n\r\nready", missing);
    judged(&texted, CHUNKS "4\r\nread\r\n0\r\n\r\nready", missing);
    judged(&texted, CHUNKS "0\r\nX: ready\r\n\r\n", missing);
    judged(&texted, "HTTP/1.1 204 x\r\n\r\nready", missing);
    judged(&texted, "HTTP/1.1 304 x\r\n\r\nready", missing);
}


static void
invalid_chunks_fail(void **state)
{
    (void) state;

    judged(&texted, CHUNKS "\r\n", "invalid chunk");
    judged(&texted, CHUNKS "x\r\n", "invalid chunk");
    judged(&texted, CHUNKS "-5\r\nready", "invalid chunk");
    judged(&texted, CHUNKS "4\r\nreadready", "invalid chunk");
    judged(&texted, CHUNKS "4\r\nread\rx", "invalid chunk");
    judged(&texted, CHUNKS "4x\r\nread\r\n", "invalid chunk");
    judged(&texted, CHUNKS "1111111111111111\r\nread\r\n", "invalid chunk");
    judged(&texted, CHUNKS "00000000000000000000005\r\nready", NULL);
}


static void
headers_and_bodies_without_end_fail(void **state)
{
    size_t        n;
    lb_probe_t    probe;
    const char   *heads[] = { OK "A: ", OK "A", "HTTP/1.1 200 ",
                              OK "\r\n", CHUNKS "1;", CHUNKS "0000",
                              CHUNKS "0\r\n" };

    (void) state;

    for (n = 0; n < 7; n++) {
        char    *answer = malloc(2 * LB_PROBE_BODY_MAX);
        size_t   length = strlen(heads[n]);

        memcpy(answer, heads[n], length);
        memset(answer + length, '0', 2 * LB_PROBE_BODY_MAX - length);

        (void) feed(&probe, &texted, answer, 2 * LB_PROBE_BODY_MAX, 0, 4096);

        assert_int_equal(probe.verdict, LB_PROBE_FAIL);
        assert_string_equal(lb_probe_reason(&probe),
                            (n < 3) ? "header is too long"
                            : (n == 3) ? "text is not in the first 1M of the "
                                         "body"
                            : (n == 6) ? "text is not in the body"
                            : "invalid chunk");
        assert_true(lb_probe_over(&probe));
        free(answer);
    }
}


static void
a_verdict_stands(void **state)
{
    lb_probe_t   probe;
    const char  *bad = "HTTP/1.1 500 x\r\n\r\n";

    (void) state;

    lb_probe_start(&probe, &usual);
    (void) lb_probe_feed(&probe, (const unsigned char *) bad, strlen(bad));

    assert_int_equal(lb_probe_feed(&probe, (const unsigned char *) OK "\r\n",
                                   strlen(OK "\r\n")),
                     LB_PROBE_FAIL);
    assert_int_equal(lb_probe_end(&probe), LB_PROBE_FAIL);
}


/* random bytes and random pieces of answers; a sanitizer looks on */

static void
any_bytes_get_a_verdict(void **state)
{
    char         answer[256];
    size_t       i, n, length;
    uint32_t     round, passed;
    lb_probe_t   whole, bytes;

    static const char  *parts[] = {
        OK, "\r\n", "\n", "HTTP/1.1 ", "200", "100 x\r\n\r\n", ":", " ",
        "Content-Length: ", "Transfer-Encoding: chunked\r\n", "5", "ready",
        "rea", "dy", "0\r\n\r\n", "\r", "f", ";", "A: b\r\n"
    };

    (void) state;

    srand(3);
    passed = 0;

    for (round = 0; round < 200000; round++) {
        n = 0;

        while (n < sizeof(answer) - 40 && rand() % 12) {

            if (n == 0 && rand() % 8) {
                i = 0;

            } else {
                i = (size_t) rand() % (sizeof(parts) / sizeof(parts[0]));
            }

            length = strlen(parts[i]);
            memcpy(answer + n, parts[i], length);
            n += length;

            if (rand() % 16 == 0) {
                answer[n++] = (char) rand();
            }
        }

        (void) feed(&whole, &texted, answer, n, n, n);
        (void) feed(&bytes, &texted, answer, n, 0, 1);

        assert_int_not_equal(whole.verdict, LB_PROBE_MORE);
        assert_int_equal(whole.verdict, bytes.verdict);
        assert_string_equal(whole.reason, bytes.reason);

        passed += (whole.verdict == LB_PROBE_PASS);
    }

    assert_in_range(passed, 1000, 199000);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_header_with_an_expected_status_passes),
        cmocka_unit_test(the_verdict_does_not_wait_for_the_body),
        cmocka_unit_test(another_status_fails_and_is_named),
        cmocka_unit_test(interim_responses_are_passed_over),
        cmocka_unit_test(
            an_answer_without_a_status_line_is_a_body_of_status_200),
        cmocka_unit_test(every_status_line_that_nginx_takes_is_taken),
        cmocka_unit_test(every_header_line_that_nginx_takes_is_taken),
        cmocka_unit_test(invalid_header_lines_fail),
        cmocka_unit_test(a_length_that_is_no_number_is_none),
        cmocka_unit_test(the_end_of_an_answer_is_found_whatever_the_verdict),
        cmocka_unit_test(a_connection_closed_too_early_fails),
        cmocka_unit_test(a_text_is_found_in_every_kind_of_body),
        cmocka_unit_test(a_body_without_the_text_fails),
        cmocka_unit_test(invalid_chunks_fail),
        cmocka_unit_test(headers_and_bodies_without_end_fail),
        cmocka_unit_test(a_verdict_stands),
        cmocka_unit_test(any_bytes_get_a_verdict),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
