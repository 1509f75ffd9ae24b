
/*
 * Verdicts on answers, the same ones however an answer is cut into pieces:
 * each is fed whole, byte by byte, and split in two at every byte.
 */


#include "lb_fixture.h"

#include "src/core/lb_probe.h"

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
what_is_not_http_fails(void **state)
{
    (void) state;

    judged(&usual, "SSH-2.0-OpenSSH_9.2\r\n", "no HTTP status line");
    judged(&usual, "HTTP/2.0 200 OK\r\n\r\n", "no HTTP status line");
    judged(&usual, "HTTP/1.1200 OK\r\n\r\n", "no HTTP status line");
    judged(&usual, "HTTP/1.1 20 OK\r\n\r\n", "no HTTP status line");
    judged(&usual, "HTTP/1.1 2000 OK\r\n\r\n", "no HTTP status line");
    judged(&usual, "HTTP/1.x 200 OK\r\n\r\n", "no HTTP status line");
    judged(&usual, "http/1.1 200 OK\r\n\r\n", "no HTTP status line");
    judged(&usual, "\r\nHTTP/1.1 200 OK\r\n\r\n", "no HTTP status line");
    judged(&usual, "<html>200</html>", "no HTTP status line");
    judged_n(&usual, "\0\0\0\022\004\0\0\0\0\0", 10, "no HTTP status line");
}


static void
invalid_header_lines_fail(void **state)
{
    (void) state;

    judged(&usual, OK "no colon\r\n\r\n", "invalid header line");
    judged(&usual, OK "nocolon\r\n\r\n", "invalid header line");
    judged(&usual, OK ": value\r\n\r\n", "invalid header line");
    judged(&usual, OK "A: b\r\n folded\r\n\r\n", "invalid header line");
    judged(&usual, OK "A : b\r\n\r\n", "invalid header line");
    judged(&usual, OK "A: b\r\n\rx\r\n", "invalid header line");
    judged_n(&usual, OK "A: \0\r\n\r\n", 17 + 4 + 4, "invalid header line");
}


static void
invalid_lengths_fail(void **state)
{
    (void) state;

    judged(&usual, OK "Content-Length:\r\n\r\n", "invalid Content-Length");
    judged(&usual, OK "Content-Length: -1\r\n\r\n", "invalid Content-Length");
    judged(&usual, OK "Content-Length: 1 2\r\n\r\n",
           "invalid Content-Length");
    judged(&usual, OK "Content-Length: 1,1\r\n\r\n",
           "invalid Content-Length");
    judged(&usual, OK "Content-Length: 0x5\r\n\r\n",
           "invalid Content-Length");
    judged(&usual, OK "Content-Length: 99999999999999999999\r\n\r\n",
           "invalid Content-Length");
    judged(&usual, OK "Content-Length: 5\r\ncontent-length: 6\r\n\r\n",
           "invalid Content-Length");

    judged(&usual, OK "Content-Length: 5\r\ncontent-length:5 \r\n\r\n", NULL);
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

    judged(&texted, OK "Transfer-Encoding: xchunked\r\n\r\n1\r\nready", NULL);
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
                              OK "\r\n", CHUNKS "1;", CHUNKS "0000" };

    (void) state;

    for (n = 0; n < 6; n++) {
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
                            : "invalid chunk");
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
        cmocka_unit_test(what_is_not_http_fails),
        cmocka_unit_test(invalid_header_lines_fail),
        cmocka_unit_test(invalid_lengths_fail),
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
