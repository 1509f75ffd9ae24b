
/*
 * Health checks over gRPC: what is asked, and what passes.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/balance/lb_grpc.h"
#include "src/core/balance/lb_grpc_ask.h"


#define SETTINGS    "000000040000000000"
#define STATUS_200  "000001010400000001" "88"

/* grpc-status: 0, as a literal; 14 bytes */
#define TRAILER     "00" "0b677270632d737461747573" "01"
#define TRAILERS    "00000f010500000001" TRAILER "30"

#define SERVING     "000007000000000001" "0000000002" "0801"


static size_t
bytes(const char *hex, unsigned char *data)
{
    size_t  n;

    for (n = 0; hex[2 * n]; n++) {
        char  pair[3] = { hex[2 * n], hex[2 * n + 1], '\0' };

        data[n] = (unsigned char) strtoul(pair, NULL, 16);
    }

    return n;
}


/* the reason of a failure, or "pass" or "more"; whole and byte by byte */

static const char *
judge(const char *hex)
{
    size_t            i, n;
    lb_verdict_t      verdict;
    unsigned char     data[8192];
    static lb_grpc_t  whole, cut;

    n = bytes(hex, data);

    lb_grpc_start(&whole);
    lb_grpc_start(&cut);

    verdict = lb_grpc_feed(&whole, data, n);

    for (i = 0; i < n; i++) {
        (void) lb_grpc_feed(&cut, data + i, 1);
    }

    assert_int_equal(cut.verdict, verdict);
    assert_string_equal(cut.reason, whole.reason);

    return verdict == LB_PROBE_MORE ? "more"
           : verdict == LB_PROBE_PASS ? "pass" : whole.reason;
}


static void
a_server_that_serves_passes(void **state)
{
    (void) state;

    assert_string_equal(judge(SETTINGS STATUS_200 SERVING TRAILERS), "pass");

    /* padded, in two frames, with priority, and fields that are not known */

    assert_string_equal(judge(SETTINGS
                              "00000c012c00000001" "05" "0000000000" "88"
                              "0000000000"
                              "000006000800000001" "02" "000000" "0000"
                              "000004000000000001" "00060801"
                              "000004000000000001" "12027878"
                              TRAILERS), "pass");

    /* an interim answer, a CONTINUATION, frames of other kinds */

    assert_string_equal(judge(SETTINGS
                              "000005010400000001" "0803313033"
                              "000000010000000001"
                              "000001090400000001" "88"
                              "000004080000000000" "00001000"
                              "000000ee0000000000"
                              "0000080700000000000000000100000000" SERVING
                              TRAILERS),
                        "pass");
}


static void
others_fail_and_say_why(void **state)
{
    (void) state;

    assert_string_equal(judge("485454502f312e312034"),
                        "the server does not speak HTTP/2");
    assert_string_equal(judge(SETTINGS "000001010500000001" "8d"),
                        "status 404");
    assert_string_equal(judge(SETTINGS STATUS_200
                              "000007000000000001" "0000000002" "0802"
                              TRAILERS), "health status NOT_SERVING");
    assert_string_equal(judge(SETTINGS STATUS_200
                              "000007000000000001" "0000000002" "0803"
                              TRAILERS), "health status SERVICE_UNKNOWN");
    assert_string_equal(judge(SETTINGS STATUS_200
                              "000005000000000001" "0000000000"
                              TRAILERS), "health status UNKNOWN");
    assert_string_equal(judge(SETTINGS STATUS_200
                              "000007000000000001" "0000000002" "0809"
                              TRAILERS), "health status 9");
    assert_string_equal(judge(SETTINGS
                              "000010010500000001" "88" TRAILER "35"),
                        "grpc-status 5");
    assert_string_equal(judge(SETTINGS "000001010500000001" "88"),
                        "no grpc-status");
    assert_string_equal(judge(SETTINGS STATUS_200 TRAILERS),
                        "no message of the health service");
    assert_string_equal(judge(SETTINGS STATUS_200
                              "000007000000000001" "0100000002" "0801"
                              TRAILERS), "no message of the health service");
    assert_string_equal(judge(SETTINGS "000004030000000001" "00000008"),
                        "the server has reset the stream: error 8");
    assert_string_equal(judge(SETTINGS
                              "000008070000000000" "00000000" "00000002"),
                        "the server has sent GOAWAY: error 2");
    assert_string_equal(judge(SETTINGS "004001000000000001"),
                        "HTTP/2 frame of a size of 16385");
}


static void
what_is_malformed_fails(void **state)
{
    size_t  i;

    static const char *const  wrong[] = {
        SETTINGS "000001000000000001" "00",            /* DATA comes first */
        SETTINGS STATUS_200 "000001000000000003" "00", /* another stream */
        SETTINGS "000001010400000003" "88",
        SETTINGS "000001010400000001" "80",            /* no header block */
        SETTINGS "000002010c00000001" "0588",          /* padding */
        SETTINGS "000001010000000001" "88" SERVING,    /* no CONTINUATION */
        SETTINGS "000001090400000001" "88",            /* of nothing */
        SETTINGS "000000010400000001",                 /* no status */
        SETTINGS "000001030000000001" "00",
        SETTINGS "000001060000000000" "00",
        SETTINGS "000000050000000001"
    };

    (void) state;

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_string_equal(judge(wrong[i]), "malformed HTTP/2");
    }
}


static void
a_closed_connection_fails(void **state)
{
    lb_grpc_t  grpc;

    (void) state;

    lb_grpc_start(&grpc);

    assert_int_equal(lb_grpc_end(&grpc), LB_PROBE_FAIL);
    assert_string_equal(grpc.reason,
                        "connection closed before the end of the answer");
}


static void
settings_and_ping_are_answered(void **state)
{
    size_t         i, n;
    lb_grpc_t      grpc;
    unsigned char  data[64], wanted[64];

    (void) state;

    lb_grpc_start(&grpc);

    n = bytes(SETTINGS "000008060000000000" "0102030405060708"
              "000000040100000000" "000008060100000000" "0102030405060708",
              data);
    assert_int_equal(lb_grpc_feed(&grpc, data, n), LB_PROBE_MORE);

    n = bytes("000000040100000000" "000008060100000000" "0102030405060708",
              wanted);
    assert_int_equal(grpc.output_length, n);
    assert_memory_equal(grpc.output, wanted, n);

    lb_grpc_sent(&grpc, 9);
    assert_int_equal(grpc.output_length, n - 9);
    assert_memory_equal(grpc.output, wanted + 9, n - 9);

    /* one that floods it gets no more than there is room for */

    n = bytes("000008060000000000" "0102030405060708", data);

    for (i = 0; i < 32; i++) {
        (void) lb_grpc_feed(&grpc, data, n);
    }

    assert_string_equal(grpc.reason, "too many PING and SETTINGS");
    assert_true(grpc.output_length <= LB_GRPC_OUTPUT);
}


static void
more_than_fits_fails(void **state)
{
    size_t         i, n;
    lb_grpc_t      grpc;
    unsigned char  data[16400];

    (void) state;

    /* a header block in 16 parts of 1024 bytes */

    lb_grpc_start(&grpc);
    n = bytes(SETTINGS "000400010000000001", data);
    memset(data + n, 0x88, 1024);
    (void) lb_grpc_feed(&grpc, data, n + 1024);

    n = bytes("000400090000000001", data);
    memset(data + n, 0x88, 1024);

    for (i = 0; i < 15; i++) {
        (void) lb_grpc_feed(&grpc, data, n + 1024);
    }

    assert_string_equal(grpc.reason, "headers of more bytes than 8192");

    lb_grpc_start(&grpc);
    n = bytes(SETTINGS STATUS_200 "000401000000000001", data);
    (void) lb_grpc_feed(&grpc, data, n + 1025);
    assert_string_equal(grpc.reason, "a message of more bytes than 1024");

    lb_grpc_start(&grpc);
    n = bytes(SETTINGS, data);
    (void) lb_grpc_feed(&grpc, data, n);
    n = bytes("0040000b0000000000", data);

    for (i = 0; i < 4; i++) {
        (void) lb_grpc_feed(&grpc, data, n + 16384);
    }

    assert_string_equal(grpc.reason, "an answer of more bytes than 65536");
}


static char  fields[4096];


static void
note(void *data, const unsigned char *name, size_t name_length,
    const unsigned char *value, size_t value_length)
{
    (void) data;

    strncat(fields, (const char *) name, name_length);
    strcat(fields, ": ");
    strncat(fields, (const char *) value, value_length);
    strcat(fields, "\n");
}


static void
the_request_is_what_the_health_service_is_asked(void **state)
{
    size_t             n, length;
    lb_hpack_t         hpack;
    unsigned char      buf[2048], *p;
    char               service[256], token[200];
    lb_grpc_header_t   header = { "authorization", token, 13, 199 };
    lb_grpc_request_t  request = {
        .tls = true, .authority = "a.test:80", .authority_length = 9,
        .service = service, .service_length = 200, .headers = &header,
        .nheaders = 1
    };

    (void) state;

    memset(service, 's', 255);
    memset(token, 't', 199);
    token[199] = '\0';

    n = lb_grpc_ask(buf, sizeof(buf), &request);
    assert_int_not_equal(n, 0);

    p = buf + 24 + 9 + 12;
    assert_memory_equal(buf, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    assert_memory_equal(p + 3, "\x01\x04\0\0\0\x01", 6);
    length = (size_t) p[1] << 8 | p[2];

    lb_hpack_init(&hpack);
    assert_true(lb_hpack_read(&hpack, p + 9, length, note, NULL));
    assert_non_null(strstr(fields, ":method: POST\n:scheme: https\n"
                                   ":path: /grpc.health.v1.Health/Check\n"
                                   ":authority: a.test:80\n"
                                   "content-type: application/grpc\n"
                                   "te: trailers\nauthorization: ttt"));
    assert_non_null(strstr(fields, "\nuser-agent: nginx (health check)\n"));

    /* one message, whose field 1 has 200 bytes */

    p += 9 + length;
    assert_int_equal(p + 9 + 5 + 203 - buf, n);
    assert_memory_equal(p, "\0\0\xd0\0\x01\0\0\0\x01" "\0\0\0\0\xcb"
                           "\x0a\xc8\x01" "ssss", 21);

    /* an empty one asks for the server */

    request.service_length = 0;
    n = lb_grpc_ask(buf, sizeof(buf), &request);
    assert_memory_equal(buf + n - 14, "\0\0\x05\0\x01\0\0\0\x01\0\0\0\0\0",
                        14);

    assert_int_equal(lb_grpc_ask(buf, n - 1, &request), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_server_that_serves_passes),
        cmocka_unit_test(others_fail_and_say_why),
        cmocka_unit_test(what_is_malformed_fails),
        cmocka_unit_test(a_closed_connection_fails),
        cmocka_unit_test(settings_and_ping_are_answered),
        cmocka_unit_test(more_than_fits_fails),
        cmocka_unit_test(the_request_is_what_the_health_service_is_asked)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
