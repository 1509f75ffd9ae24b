
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

#include "src/core/limit/tb_client_own.h"


typedef struct {
    const char              *text;
    const char              *error;
} tb_refusal_t;


static gw_record_t         reader;
static tb_client_t         client;
static tb_client_forms_t   forms;

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

    assert_int_equal(read_text(&forms.create,
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

    assert_int_equal(read_text(&forms.change, "{\"tokens\":97.5}"), 0);
    assert_int_equal(client.members, TB_CLIENT_TOKENS);
    assert_int_equal(client.tokens, 97500000);

    assert_int_equal(read_text(&forms.change,
                               "{\"capacity\":7,\"tokens\":7}"), 0);
    assert_int_equal(client.capacity, 7);

    assert_int_equal(read_text(&forms.change, "{}"), -1);
    assert_int_equal(read_text(&forms.change,
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

        if (read_text(&forms.value, text) != 0) {
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
          "unknown member \"Capacity\", allowed: plan, "
          "capacity, rate_per_sec, blocked, unlimited" },
        { "{\"client_id\":\"a\"}",
          "unknown member \"client_id\", the client is named outside of the "
          "body, allowed: plan, "
          "capacity, rate_per_sec, blocked, unlimited" },
        { "{\"\":1}",
          "unknown member \"\", allowed: plan, "
          "capacity, rate_per_sec, blocked, unlimited" },
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

    check_refusals(&forms.value, refusals);
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

    check_refusals(&forms.bulk, refusals);

    gw_record_init(&reader, &forms.bulk, &client, refuse_second, NULL);
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
        gw_record_init(&reader, &forms.bulk, &client, remember, &nseen);
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
        assert_int_equal(gw_record_read(&reader, &forms.create, &client,
                                        text, i), -1);
        assert_true(reader.json.error[0] != '\0');
    }

    assert_int_equal(gw_record_read(&reader, &forms.create, &client, text,
                                    i), 0);
}


static void
an_array_of_a_million_clients_takes_no_more_memory(void **state)
{
    int   n;
    char  text[128];
    size_t  i;

    (void) state;

    gw_record_init(&reader, &forms.bulk, &client, remember, &nseen);
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

    assert_int_equal(read_text(&forms.state, "{\"tokens\":0.25,\"at\":"
                               "1700000000000}"), 0);
    assert_int_equal(client.tokens, 250000);
    assert_int_equal(client.at, INT64_C(1700000000000));

    assert_int_equal(read_text(&forms.state, "{\"tokens\":1}"), -1);
    assert_int_equal(read_text(&forms.state, "{\"at\":1}"), -1);
    assert_int_equal(read_text(&forms.state,
                               "{\"tokens\":1,\"at\":1.5}"), -1);
    assert_int_equal(read_text(&forms.state,
                               "{\"tokens\":-1.0000005,\"at\":1}"), 0);
    assert_int_equal(client.tokens, -1000001);
    assert_int_equal(read_text(&forms.state,
                               "{\"tokens\":-99511,\"at\":1}"), 0);
    assert_int_equal(read_text(&forms.state,
                               "{\"tokens\":-99512,\"at\":1}"), -1);
    assert_int_equal(read_text(&forms.state, "{\"tokens\":--1,\"at\":1}"),
                     -1);
    assert_int_equal(read_text(&forms.state,
                               "{\"tokens\":1000000.0000001,\"at\":1}"), -1);
    assert_int_equal(read_text(&forms.state,
                               "{\"tokens\":1,\"at\":99999999999999999}"),
                     -1);
}


static int
to_rates(void **state)
{
    (void) state;
    tb_client_forms_init(&forms, TB_KIND_RATE, 1);
    return 0;
}


static void
a_plan_or_a_flag_takes_the_place_of_limits(void **state)
{
    static const tb_refusal_t  refusals[] = {
        { "{\"plan\":\"gold\",\"capacity\":1,\"rate_per_sec\":1}",
          "capacity does not go with plan, which has it" },
        { "{\"plan\":\"gold\",\"rate_per_sec\":1}",
          "rate_per_sec does not go with plan, which has it" },
        { "{\"plan\":\"a b\"}",
          "plan is \"a b\", must be a string of 1 to 64 visible ASCII "
          "characters" },
        { "{\"plan\":\"\xc3\xa4\"}",
          "plan is \"\xc3\xa4\", must be a string of 1 to 64 visible ASCII "
          "characters" },
        { "{\"plan\":\"\"}",
          "plan is \"\", must be a string of 1 to 64 visible ASCII "
          "characters" },
        { "{\"plan\":\"0123456789012345678901234567890123456789012345678901234"
          "5678901234\"}",
          "plan is \"01234567890123456789012345678901...\", must be a string "
          "of 1 to 64 visible ASCII characters" },
        { "{\"plan\":null}",
          "plan is null, must be a string of 1 to 64 visible ASCII "
          "characters" },
        { "{\"plan\":\"a\",\"plan\":\"b\"}", "plan is there twice" },
        { "{\"blocked\":1}", "blocked is 1, must be true or false" },
        { "{\"unlimited\":\"true\"}",
          "unlimited is \"true\", must be true or false" },
        { "{\"blocked\":true,\"capacity\":1}",
          "rate_per_sec is missing, must be a number from 0.0000115741 (one "
          "a day) to 1000000" },
        { "{\"quota\":1}", "unknown member \"quota\", allowed: plan, "
          "capacity, rate_per_sec, blocked, unlimited" },
        { "{}", "capacity is missing, must be an integer from 1 to 1000000" },
        { NULL, NULL }
    };

    (void) state;

    check_refusals(&forms.value, refusals);

    assert_int_equal(read_text(&forms.value, "{\"plan\":\"gold\"}"), 0);
    assert_int_equal(client.members, TB_CLIENT_PLAN);
    assert_string_equal(client.plan, "gold");

    assert_int_equal(read_text(&forms.value, "{\"blocked\":true}"), 0);
    assert_true(client.blocked);
    assert_int_equal(read_text(&forms.value, "{\"unlimited\":true,\"plan\":"
                               "\"~\"}"), 0);
    assert_true(client.unlimited);
    assert_int_equal(read_text(&forms.create, "{\"client_id\":\"a\","
                               "\"blocked\":false}"), 0);
    assert_false(client.blocked);
}


static void
what_was_shown_is_taken_back(void **state)
{
    (void) state;

    assert_int_equal(read_text(&forms.replace, "{\"client_id\":\"a\",\"plan\":"
                               "\"gold\",\"capacity\":5,\"rate_per_sec\":7,"
                               "\"tokens\":-3.5,\"registered\":true}"), 0);
    assert_int_equal(client.members, TB_CLIENT_ID | TB_CLIENT_PLAN);

    tb_client_forms_init(&forms, TB_KIND_INFLIGHT, 1);

    assert_int_equal(read_text(&forms.replace, "{\"client_id\":\"a\","
                               "\"inflight\":5,\"used\":7,\"tokens\":0,"
                               "\"unlimited\":true,\"registered\":true}"), 0);
    assert_int_equal(client.members, TB_CLIENT_ID | TB_CLIENT_INFLIGHT
                                     | TB_CLIENT_UNLIMITED);
    assert_int_equal(client.inflight, 5);
}


static void
each_kind_has_limits_of_its_own(void **state)
{
    static const tb_refusal_t  quotas[] = {
        { "{\"quota\":0}", "quota is 0, must be an integer from 1 to 1000000" },
        { "{\"quota\":1000001}",
          "quota is 1000001, must be an integer from 1 to 1000000" },
        { "{\"quota\":1.5}",
          "quota is 1.5, must be an integer from 1 to 1000000" },
        { "{\"capacity\":1}", "unknown member \"capacity\", allowed: plan, "
          "quota, blocked, unlimited" },
        { "{}", "quota is missing, must be an integer from 1 to 1000000" },
        { NULL, NULL }
    };
    static const tb_refusal_t  places[] = {
        { "{\"inflight\":0}",
          "inflight is 0, must be an integer from 1 to 1000000" },
        { "{\"tokens\":1}", "unknown member \"tokens\", allowed: plan, "
          "inflight, blocked, unlimited" },
        { "{\"used\":1}", "unknown member \"used\", allowed: plan, "
          "inflight, blocked, unlimited" },
        { NULL, NULL }
    };

    (void) state;

    tb_client_forms_init(&forms, TB_KIND_QUOTA, 1);
    check_refusals(&forms.value, quotas);
    assert_int_equal(read_text(&forms.value, "{\"quota\":1000000}"), 0);
    assert_int_equal(client.quota, 1000000);
    assert_int_equal(read_text(&forms.change, "{\"quota\":7,\"tokens\":8}"),
                     -1);

    tb_client_forms_init(&forms, TB_KIND_INFLIGHT, 1);
    check_refusals(&forms.change, places);
    assert_int_equal(read_text(&forms.value, "{\"inflight\":4}"), 0);
    assert_int_equal(client.inflight, 4);
}


static void
numbers_are_in_single_units(void **state)
{
    static const tb_refusal_t  refusals[] = {
        { "{\"capacity\":1,\"rate_per_sec\":1}",
          "capacity is 1, must be a multiple of 1000 from 1000 to "
          "1000000000" },
        { "{\"capacity\":1001,\"rate_per_sec\":1}",
          "capacity is 1001, must be a multiple of 1000 from 1000 to "
          "1000000000" },
        { "{\"capacity\":1000001000,\"rate_per_sec\":1}",
          "capacity is 1000001000, must be a multiple of 1000 from 1000 to "
          "1000000000" },
        { "{\"capacity\":1000,\"rate_per_sec\":0.0005}",
          "rate_per_sec is 0.0005, must be a number from 0.001157 to "
          "1000000000" },
        { "{\"tokens\":1000000001}", "unknown member \"tokens\", allowed: "
          "plan, capacity, rate_per_sec, blocked, unlimited" },
        { NULL, NULL }
    };
    static const tb_refusal_t  changes[] = {
        { "{\"tokens\":1000000001}", "tokens is 1000000001, must be a number "
          "from 0 to the capacity, at most 1000000000" },
        { "{\"capacity\":2000,\"tokens\":2001}", "tokens is 2001, must be a "
          "number from 0 to the capacity, here 2000" },
        { NULL, NULL }
    };

    (void) state;

    tb_client_forms_init(&forms, TB_KIND_RATE, 1000);

    check_refusals(&forms.value, refusals);
    check_refusals(&forms.change, changes);

    assert_int_equal(read_text(&forms.value, "{\"capacity\":2000000,"
                               "\"rate_per_sec\":1000}"), 0);
    assert_int_equal(client.capacity, 2000);
    assert_int_equal(client.rate, TB_STEPS_A_SECOND);

    assert_int_equal(read_text(&forms.change, "{\"tokens\":1500.5}"), 0);
    assert_int_equal(client.tokens, 1500500);
}


static void
a_change_is_completed_by_what_was(void **state)
{
    tb_client_t  old;

    (void) state;

    assert_int_equal(read_text(&forms.value, "{\"capacity\":5,"
                               "\"rate_per_sec\":2,\"blocked\":true}"), 0);
    old = client;

    assert_int_equal(read_text(&forms.change, "{\"rate_per_sec\":3}"), 0);
    assert_int_equal(tb_client_merge(&client, &old, forms.limits), 0);
    assert_int_equal(client.capacity, 5);
    assert_int_equal(client.rate, 3 * TB_STEPS_A_SECOND);
    assert_true(client.blocked);

    assert_int_equal(read_text(&forms.change, "{\"blocked\":false}"), 0);
    assert_int_equal(tb_client_merge(&client, &old, forms.limits), 0);
    assert_int_equal(client.members, TB_CLIENT_CAPACITY | TB_CLIENT_RATE
                                     | TB_CLIENT_BLOCKED);
    assert_false(client.blocked);

    assert_int_equal(read_text(&forms.change, "{\"plan\":\"gold\"}"), 0);
    assert_int_equal(tb_client_merge(&client, &old, forms.limits), 0);
    assert_int_equal(client.members, TB_CLIENT_PLAN | TB_CLIENT_BLOCKED);
    assert_true(client.blocked);
    old = client;

    /* a plan is left for limits only if all of them are named */

    assert_int_equal(read_text(&forms.change, "{\"rate_per_sec\":3}"), 0);
    assert_int_equal(tb_client_merge(&client, &old, forms.limits),
                     TB_CLIENT_CAPACITY);

    assert_int_equal(read_text(&forms.change, "{\"capacity\":3,"
                               "\"rate_per_sec\":3}"), 0);
    assert_int_equal(tb_client_merge(&client, &old, forms.limits), 0);
    assert_int_equal(client.members, TB_CLIENT_CAPACITY | TB_CLIENT_RATE
                                     | TB_CLIENT_BLOCKED);

    assert_int_equal(read_text(&forms.change, "{\"unlimited\":true}"), 0);
    assert_int_equal(tb_client_merge(&client, &old, forms.limits), 0);
    assert_string_equal(client.plan, "gold");
    assert_true(client.unlimited);
}


static void
what_a_client_is_given_is_one_word(void **state)
{
    size_t                 i;
    uint32_t               plan;
    tb_client_t            back;
    tb_limits_t            own, slot;
    static const struct {
        tb_kind_e          kind;
        const char        *text;
        tb_limits_t        slot;
    } cases[] = {
        { TB_KIND_RATE, "{\"capacity\":5,\"rate_per_sec\":1}", 0 },
        { TB_KIND_RATE, "{\"plan\":\"gold\"}", 0 },
        { TB_KIND_RATE, "{\"blocked\":false}", 0 },
        { TB_KIND_RATE, "{\"plan\":\"gold\",\"blocked\":true}",
          TB_PLAN_BLOCKED << 4 | TB_LIMITS_PLAN | TB_LIMITS_REGISTERED },
        { TB_KIND_RATE, "{\"capacity\":5,\"rate_per_sec\":1,"
          "\"blocked\":true,\"unlimited\":true}",
          TB_PLAN_BLOCKED << 4 | TB_LIMITS_PLAN | TB_LIMITS_REGISTERED },
        { TB_KIND_RATE, "{\"capacity\":5,\"rate_per_sec\":1,"
          "\"unlimited\":true}",
          TB_PLAN_UNLIMITED << 4 | TB_LIMITS_PLAN | TB_LIMITS_REGISTERED },
        { TB_KIND_QUOTA, "{\"quota\":1000000}", 0 },
        { TB_KIND_INFLIGHT, "{\"inflight\":1000000,\"blocked\":true}",
          TB_PLAN_BLOCKED << 4 | TB_LIMITS_PLAN | TB_LIMITS_REGISTERED }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char  one[TB_CLIENT_VALUE_SIZE], other[TB_CLIENT_VALUE_SIZE];

        tb_client_forms_init(&forms, cases[i].kind, 1);

        assert_int_equal(read_text(&forms.value, cases[i].text), 0);

        own = tb_client_own(&client, 17);
        slot = tb_own_slot(own);

        if (cases[i].slot != 0) {
            assert_int_equal(slot, cases[i].slot);

        } else {
            assert_int_equal(slot & 6, 0);
            assert_true(slot & TB_LIMITS_REGISTERED);
        }

        memset(&back, 0, sizeof(tb_client_t));

        back.members = TB_CLIENT_TOKENS | TB_CLIENT_QUOTA;

        plan = tb_client_read_own(&back, own, cases[i].kind);

        assert_int_equal(back.members & TB_CLIENT_TOKENS, 0);

        assert_int_equal(plan, (client.members & TB_CLIENT_PLAN)
                               ? 17 : TB_PLAN_NONE);

        memcpy(back.plan, client.plan, sizeof(back.plan));
        back.plan_len = client.plan_len;

        (void) tb_client_print(one, &client, 1);
        (void) tb_client_print(other, &back, 1);

        assert_string_equal(one, cases[i].text);
        assert_string_equal(one, other);
    }

    assert_int_equal(tb_own_slot(0), 0);
    assert_false(tb_own_is_limited(TB_LIMITS_REGISTERED | TB_OWN_BLOCKED));
    assert_true(tb_own_is_limited(tb_plan_limits(0, 0)));
}


static void
a_plan_has_all_its_limits(void **state)
{
    static const tb_refusal_t  refusals[] = {
        { "{\"capacity\":1}", "rate_per_sec is missing, must be a number from "
          "0.0000115741 (one a day) to 1000000" },
        { "{\"capacity\":1,\"rate_per_sec\":1,\"blocked\":true}",
          "unknown member \"blocked\", allowed: plan, capacity, "
          "rate_per_sec" },
        { "{\"plan\":\" \",\"capacity\":1,\"rate_per_sec\":1}",
          "plan is \" \", must be a string of 1 to 64 visible ASCII "
          "characters" },
        { NULL, NULL }
    };

    (void) state;

    check_refusals(&forms.plan, refusals);

    assert_int_equal(read_text(&forms.plan, "{\"plan\":\"gold\",\"capacity\":"
                               "1,\"rate_per_sec\":1}"), 0);
    assert_int_equal(read_text(&forms.plan_change, "{\"capacity\":1}"), 0);
    assert_int_equal(read_text(&forms.plan_change, "{}"), -1);
    assert_int_equal(read_text(&forms.plan_value, "{\"plan\":\"gold\","
                               "\"capacity\":1,\"rate_per_sec\":1}"), -1);
}


#define WITH_RATES(test)  cmocka_unit_test_setup(test, to_rates)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        WITH_RATES(a_client_is_read),
        WITH_RATES(a_change_has_any_member_but_one_at_least),
        WITH_RATES(rates_are_rounded_to_the_nearest_step),
        WITH_RATES(a_refusal_says_what_is_wrong_and_what_is_allowed),
        WITH_RATES(a_refusal_in_an_array_has_the_index),
        WITH_RATES(pieces_of_any_size_read_the_same),
        WITH_RATES(every_truncation_is_refused),
        WITH_RATES(an_array_of_a_million_clients_takes_no_more_memory),
        WITH_RATES(a_state_has_tokens_and_their_time),
        WITH_RATES(a_plan_or_a_flag_takes_the_place_of_limits),
        WITH_RATES(what_was_shown_is_taken_back),
        WITH_RATES(each_kind_has_limits_of_its_own),
        WITH_RATES(numbers_are_in_single_units),
        WITH_RATES(a_change_is_completed_by_what_was),
        WITH_RATES(what_a_client_is_given_is_one_word),
        WITH_RATES(a_plan_has_all_its_limits)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
