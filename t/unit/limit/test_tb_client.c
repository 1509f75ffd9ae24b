
/*
 * The reader of clients: takes what the contract has, refuses all else with
 * a message that says what and where, in pieces of any size.
 */


#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/limit/tb_client.h"


typedef struct {
    const char              *text;
    const char              *error;
} tb_refusal_t;


static gw_record_t         reader;
static tb_client_t         client;

static uint64_t            rates[4];
static size_t              nseen;


static int
read_text(const gw_record_form_t *form, const char *text)
{
    return gw_record_read(&reader, form, &client, text, strlen(text));
}


static int
remember(gw_record_t *r, void *data)
{
    assert_ptr_equal(data, &nseen);
    assert_int_equal(r->count, nseen);

    if (nseen < 4) {
        rates[nseen] = client.rate;
    }

    nseen++;

    return 0;
}


static int
refuse_second(gw_record_t *r, void *data)
{
    (void) data;

    if (r->count == 1) {
        gw_record_fail(r, "client_id \"%s\" is refused", client.id);
        return -1;
    }

    return 0;
}


static void
check_refusals(const gw_record_form_t *form, const tb_refusal_t *refusals)
{
    const tb_refusal_t  *r;

    for (r = refusals; r->text != NULL; r++) {

        if (read_text(form, r->text) == 0) {
            fail_msg("accepted: %s", r->text);
        }

        if (strcmp(reader.json.error, r->error) != 0) {
            fail_msg("%s: \"%s\", not \"%s\"", r->text, reader.json.error,
                     r->error);
        }
    }
}


static void
a_client_is_read(void **state)
{
    (void) state;

    assert_int_equal(read_text(&tb_client_create,
                               " {\"client_id\":\"us\\u0065r \\ud83d\\ude00\""
                               ",\n\"rate_per_sec\":0.5,\"capacity\":100} "),
                     0);

    assert_int_equal(reader.count, 1);
    assert_int_equal(client.members, TB_CLIENT_ID | TB_CLIENT_CAPACITY
                                            | TB_CLIENT_RATE);
    assert_string_equal(client.id, "user \xf0\x9f\x98\x80");
    assert_int_equal(client.id_len, 9);
    assert_int_equal(client.capacity, 100);
    assert_int_equal(client.rate, 432000);
}


static void
a_change_has_any_member_but_one_at_least(void **state)
{
    (void) state;

    assert_int_equal(read_text(&tb_client_change, "{\"tokens\":97.5}"), 0);
    assert_int_equal(client.members, TB_CLIENT_TOKENS);
    assert_int_equal(client.tokens, 97500000);

    assert_int_equal(read_text(&tb_client_change,
                               "{\"capacity\":7,\"tokens\":7}"), 0);
    assert_int_equal(client.capacity, 7);

    assert_int_equal(read_text(&tb_client_change, "{}"), -1);
    assert_int_equal(read_text(&tb_client_change,
                               "{\"tokens\":8,\"capacity\":7}"), -1);
    assert_string_equal(reader.json.error, "tokens is 8, must be a number "
                        "from 0 to the capacity, here 7");
}


static void
rates_are_rounded_to_the_nearest_step(void **state)
{
    char                   text[128];
    size_t                 i;
    static const struct {
        const char        *text;
        uint64_t           steps;       /* 0: refused */
    } cases[] = {
        { "1", 864000 },
        { "10", 8640000 },
        { "1e6", UINT64_C(864000000000) },
        { "1000000.0000001", 0 },
        { "0.0000115741", 10 },
        { "0.00001157", 10 },
        { "0.000012", 10 },
        { "1.1e-5", 10 },
        { "0.0000109", 0 },
        { "0", 0 },
        { "0.333333333333333333333", 288000 },
        { "0.0000121527", 10 },             /* 10.49993 */
        { "0.0000121528", 11 },             /* 10.50002 */
        { "0.1", 86400 },
        { "1e-999999", 0 },
        { "1e999999", 0 }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void) snprintf(text, sizeof(text), "{\"capacity\":1,"
                        "\"rate_per_sec\":%s}", cases[i].text);

        if (read_text(&tb_client_limits, text) != 0) {
            client.rate = 0;
        }

        if (client.rate != cases[i].steps) {
            fail_msg("%s: %" PRIu64 ", not %" PRIu64, cases[i].text,
                     client.rate, cases[i].steps);
        }
    }
}


static void
a_refusal_says_what_is_wrong_and_what_is_allowed(void **state)
{
    static const tb_refusal_t  refusals[] = {
        { "{\"capacity\":0,\"rate_per_sec\":1}",
          "capacity is 0, must be an integer from 1 to 1000000" },
        { "{\"capacity\":1000001,\"rate_per_sec\":1}",
          "capacity is 1000001, must be an integer from 1 to 1000000" },
        { "{\"capacity\":1.5,\"rate_per_sec\":1}",
          "capacity is 1.5, must be an integer from 1 to 1000000" },
        { "{\"capacity\":-1,\"rate_per_sec\":1}",
          "capacity is -1, must be an integer from 1 to 1000000" },
        { "{\"capacity\":\"1\\n\",\"rate_per_sec\":1}",
          "capacity is \"1\\u000a\", must be an integer from 1 to 1000000" },
        { "{\"capacity\":null,\"rate_per_sec\":1}",
          "capacity is null, must be an integer from 1 to 1000000" },
        { "{\"capacity\":true,\"rate_per_sec\":1}",
          "capacity is true, must be an integer from 1 to 1000000" },
        { "{\"capacity\":{\"a\":1},\"rate_per_sec\":1}",
          "capacity is an object, must be an integer from 1 to 1000000" },
        { "{\"capacity\":[1],\"rate_per_sec\":1}",
          "capacity is an array, must be an integer from 1 to 1000000" },
        { "{\"capacity\":1e400,\"rate_per_sec\":1}",
          "capacity is 1e400, must be an integer from 1 to 1000000" },
        { "{\"capacity\":11111111111111111111111111111111111,"
          "\"rate_per_sec\":1}",
          "capacity is 11111111111111111111111111111111..., must be an "
          "integer from 1 to 1000000" },
        { "{\"capacity\":1,\"rate_per_sec\":0}",
          "rate_per_sec is 0, must be a number from 0.0000115741 (one a day) "
          "to 1000000" },
        { "{\"capacity\":1}",
          "rate_per_sec is missing, must be a number from 0.0000115741 (one "
          "a day) to 1000000" },
        { "{\"capacity\":1,\"capacity\":1}",
          "capacity is there twice" },
        { "{\"capacity\":1,\"cap\\u0061city\":1}",
          "capacity is there twice" },
        { "{\"capacity\":1,\"Capacity\":1}",
          "unknown member \"Capacity\", allowed: capacity, rate_per_sec" },
        { "{\"client_id\":\"a\"}",
          "unknown member \"client_id\", the client is named outside of the "
          "body, allowed: capacity, rate_per_sec" },
        { "{\"\":1}",
          "unknown member \"\", allowed: capacity, rate_per_sec" },
        { "[]", "must be a JSON object" },
        { "1", "must be a JSON object" },
        { "\"a\"", "must be a JSON object" },
        { "null", "must be a JSON object" },
        { "", "not valid JSON at byte 0: premature EOF" },
        { "{\"capacity\":1,\"rate_per_sec\":1}x",
          "not valid JSON at byte 32: trailing garbage" },
        { "{\"capacity\":NaN,\"rate_per_sec\":1}",
          "not valid JSON at byte 13: invalid char in json text" },
        { "{\"\\u0000\":1}", "not valid JSON at byte 8: a NUL (\\u0000) in a "
          "string" },
        { "{\"\xff\":1}", "not valid JSON at byte 3: invalid UTF-8" },
        { NULL, NULL }
    };

    (void) state;

    check_refusals(&tb_client_limits, refusals);
}


static void
a_refusal_in_an_array_has_the_index(void **state)
{
    static const tb_refusal_t  refusals[] = {
        { "[{\"client_id\":\"a\",\"capacity\":1,\"rate_per_sec\":1},"
          "{\"client_id\":\"b\",\"capacity\":1,\"rate_per_sec\":-1}]",
          "[1]: rate_per_sec is -1, must be a number from 0.0000115741 (one "
          "a day) to 1000000" },
        { "[{\"client_id\":\"a\",\"capacity\":1,\"rate_per_sec\":1},7]",
          "[1]: must be a JSON object" },
        { "[{\"client_id\":\"\",\"capacity\":1,\"rate_per_sec\":1}]",
          "[0]: client_id \"\" is empty, must be 1 to 255 bytes of UTF-8" },
        { "[[]]", "[0]: must be a JSON object" },
        { "7", "must be a JSON object or an array of objects" },
        { NULL, NULL }
    };
    static const char  two[] =
        "[{\"client_id\":\"a\",\"capacity\":1,\"rate_per_sec\":1},"
        "{\"client_id\":\"b\",\"capacity\":1,\"rate_per_sec\":1}]";

    (void) state;

    check_refusals(&tb_client_bulk, refusals);

    gw_record_init(&reader, &tb_client_bulk, &client, refuse_second, NULL);
    assert_int_equal(gw_record_feed(&reader, two, strlen(two)), -1);
    assert_string_equal(reader.json.error,
                        "[1]: client_id \"b\" is refused");
}


static void
pieces_of_any_size_read_the_same(void **state)
{
    size_t             i, n, len;
    static const char  text[] =
        "[{\"client_id\":\"\xc3\xa4\\ud83d\\ude00\xf0\x9f\x98\x80\","
        "\"capacity\":12,\"rate_per_sec\":1},\n"
        "{\"capacity\":34,\"client_id\":\"b\",\"rate_per_sec\":2.5e0},"
        "{\"capacity\":1000000,\"client_id\":\"c\",\"rate_per_sec\":3}]";

    (void) state;

    len = strlen(text);

    for (n = 1; n <= len; n++) {
        gw_record_init(&reader, &tb_client_bulk, &client, remember, &nseen);
        nseen = 0;

        for (i = 0; i < len; i += n) {
            assert_int_equal(gw_record_feed(&reader, text + i,
                                            n < len - i ? n : len - i), 0);
        }

        assert_int_equal(gw_record_finish(&reader), 0);
        assert_true(reader.is_array);
        assert_int_equal(reader.count, 3);
        assert_int_equal(nseen, 3);
        assert_int_equal(rates[0], 864000);
        assert_int_equal(rates[1], 2160000);
        assert_int_equal(rates[2], 2592000);
    }
}


static void
every_truncation_is_refused(void **state)
{
    size_t             i;
    static const char  text[] =
        "{\"client_id\":\"\xc3\xa4\",\"capacity\":12,\"rate_per_sec\":1.5}";

    (void) state;

    for (i = 0; i < strlen(text); i++) {
        assert_int_equal(gw_record_read(&reader, &tb_client_create, &client,
                                        text, i), -1);
        assert_true(reader.json.error[0] != '\0');
    }

    assert_int_equal(gw_record_read(&reader, &tb_client_create, &client, text,
                                    i), 0);
}


static void
an_array_of_a_million_clients_takes_no_more_memory(void **state)
{
    int   n;
    char  text[128];
    size_t  i;

    (void) state;

    gw_record_init(&reader, &tb_client_bulk, &client, remember, &nseen);
    nseen = 0;

    for (i = 0; i < 1000000; i++) {
        n = snprintf(text, sizeof(text), "%c{\"client_id\":\"u%zu\","
                     "\"capacity\":100,\"rate_per_sec\":10}",
                     i == 0 ? '[' : ',', i);
        assert_int_equal(gw_record_feed(&reader, text, (size_t) n), 0);
    }

    assert_int_equal(gw_record_feed(&reader, "]", 1), 0);
    assert_int_equal(gw_record_finish(&reader), 0);
    assert_int_equal(reader.count, 1000000);
    assert_true(reader.json.arena.used < sizeof(reader.json.memory));
}


static void
a_state_has_tokens_and_their_time(void **state)
{
    (void) state;

    assert_int_equal(read_text(&tb_client_state, "{\"tokens\":0.25,\"at\":"
                               "1700000000000}"), 0);
    assert_int_equal(client.tokens, 250000);
    assert_int_equal(client.at, INT64_C(1700000000000));

    assert_int_equal(read_text(&tb_client_state, "{\"tokens\":1}"), -1);
    assert_int_equal(read_text(&tb_client_state, "{\"at\":1}"), -1);
    assert_int_equal(read_text(&tb_client_state,
                               "{\"tokens\":1,\"at\":1.5}"), -1);
    assert_int_equal(read_text(&tb_client_state,
                               "{\"tokens\":-1,\"at\":1}"), -1);
    assert_int_equal(read_text(&tb_client_state,
                               "{\"tokens\":1000000.0000001,\"at\":1}"), -1);
    assert_int_equal(read_text(&tb_client_state,
                               "{\"tokens\":1,\"at\":99999999999999999}"),
                     -1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_client_is_read),
        cmocka_unit_test(a_change_has_any_member_but_one_at_least),
        cmocka_unit_test(rates_are_rounded_to_the_nearest_step),
        cmocka_unit_test(a_refusal_says_what_is_wrong_and_what_is_allowed),
        cmocka_unit_test(a_refusal_in_an_array_has_the_index),
        cmocka_unit_test(pieces_of_any_size_read_the_same),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(an_array_of_a_million_clients_takes_no_more_memory),
        cmocka_unit_test(a_state_has_tokens_and_their_time)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
