
/*
 * What language models say that they have used: answers as the three dialects
 * have them, cut at any byte, and what must not count.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/limit/tb_usage.h"
#include "t/unit/tb_random.h"


#define NONE  UINT64_MAX


typedef struct {
    const char  *name;
    bool         events;
    uint64_t     input, output, total;
    const char  *text;
} answer_t;


static const answer_t  answers[] = {

    { "OpenAI, chat", false, 9, 12, 21,
      "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\n"
      "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
      "\"content\":\"Say \\\"usage\\\": {\\\"total_tokens\\\": 7} \\\\\"}}],"
      " \"usage\": {\"prompt_tokens\": 9, \"completion_tokens\": 12,"
      " \"total_tokens\": 21, \"prompt_tokens_details\": {\"input_tokens\":"
      " 5}}, \"service_tier\": null}\n" },

    { "OpenAI, chat, streamed", true, 19, 10, 29,
      "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
      "\"Hi\"}}],\"usage\":null}\n\n"
      "data: {\"id\":\"1\",\"choices\":[],\"usage\":{\"prompt_tokens\":19,"
      "\"completion_tokens\":10,\"total_tokens\":29}}\n\n"
      "data: [DONE]\n\n" },

    { "OpenAI, responses", false, 36, 87, 123,
      "{\"id\":\"resp_1\",\"output\":[{\"type\":\"message\",\"usage\":"
      "{\"input_tokens\":1}}],\"usage\":{\"input_tokens\":36,"
      "\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":87,"
      "\"total_tokens\":123}}" },

    { "OpenAI, responses, streamed", true, 37, 11, 48,
      "event: response.created\n"
      "data: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n"
      "event: response.output_text.delta\n"
      "data: {\"delta\":\"a\",\"usage\":{\"input_tokens\":5}}\n\n"
      "event: response.completed\r\n"
      "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\","
      "\"usage\":{\"input_tokens\":37,\"output_tokens\":11,"
      "\"total_tokens\":48}}}\r\n\r\n" },

    { "Anthropic", false, 2095, 503, 2598,
      "{\"content\":[{\"text\":\"Hi\",\"type\":\"text\"},{\"type\":"
      "\"tool_use\",\"input\":{\"usage\":{\"output_tokens\":1}}}],"
      "\"usage\":{\"input_tokens\":2095,\"output_tokens\":503}}" },

    { "Anthropic, streamed", true, 25, 15, 40,
      "event: message_start\n"
      "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":"
      "{\"input_tokens\":25,\"output_tokens\":1}}}\n\n"
      "event: ping\ndata: {\"type\": \"ping\"}\n\n"
      ": a comment\n"
      "event: content_block_delta\n"
      "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"{\"}}\n\n"
      "event: message_delta\n"
      "data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":"
      "{\"output_tokens\": 15}}\n\n"
      "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n" },

    { "Gemini", false, 4, 50, 54,
      "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}],"
      "\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":50,"
      "\"totalTokenCount\":54,\"promptTokensDetails\":[{\"modality\":"
      "\"TEXT\",\"tokenCount\":4}]}}" },

    { "Gemini, streamed as an array", false, 4, 9, 13,
      "[{\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":4,"
      "\"totalTokenCount\":4}}\n,\r\n"
      "{\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":4,"
      "\"candidatesTokenCount\":9,\"totalTokenCount\":13}}]" },

    { "Gemini, streamed", true, 4, 9, 13,
      "data: {\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":4,"
      "\"totalTokenCount\":4}}\r\n\r\n"
      "data: {\"candidates\":[],\r\n"
      "data: \"usageMetadata\":{\"promptTokenCount\":4,"
      "\"candidatesTokenCount\":9,\"totalTokenCount\":13}}\r\n\r\n" },

    { "no usage", false, NONE, NONE, NONE,
      "{\"error\":{\"usage\":{\"total_tokens\":3}}}" },

    { "what is no number", false, NONE, 3, NONE,
      "{\"usage\":{\"input_tokens\":\"7\",\"prompt_tokens\":1.5,"
      "\"output_tokens\":3,\"total_tokens\":-2,\"total\\u005ftokens\":9}}" },

    { "no object at all", false, NONE, NONE, NONE,
      "}}]]\"usage\":{,,{{\"usage\":{\"total_tokens\":" },

    { "a number without end", false, UINT64_C(1000000000000000), NONE, NONE,
      "{\"usage\":{\"input_tokens\":99999999999999999999999999999}}" }
};


static void
check(const answer_t *a, const tb_usage_t *u, size_t cut)
{
    int       i;
    bool      known;
    uint64_t  n;

    const uint64_t  expected[] = { a->input, a->output, a->total };

    for (i = 0; i < TB_USAGE_NUMBERS; i++) {
        known = tb_usage_get(u, (tb_usage_number_t) i, &n);

        if (known != (expected[i] != NONE) || (known && n != expected[i])) {
            fail_msg("%s, cut at %d: number %d is %lld", a->name, (int) cut,
                     i, known ? (long long) n : -1);
        }
    }
}


static void
test_dialects_are_read_whatever_the_cut(void **state)
{
    size_t          cut, i, k, len;
    tb_usage_t      u;
    const answer_t *a;

    (void) state;

    for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        a = &answers[i];
        len = strlen(a->text);

        /* in two pieces, at each place; and in pieces of that size */

        for (cut = 0; cut <= len; cut++) {
            tb_usage_init(&u, a->events);
            tb_usage_feed(&u, a->text, cut);
            tb_usage_feed(&u, a->text + cut, len - cut);
            check(a, &u, cut);

            tb_usage_init(&u, a->events);

            for (k = 0; cut > 0 && k < len; k += cut) {
                tb_usage_feed(&u, a->text + k, cut < len - k ? cut : len - k);
            }

            if (cut > 0) {
                check(a, &u, cut);
            }
        }
    }
}


/* Any bytes: it ends, and numbers are the same whatever the cut. */

static void
test_noise_does_no_harm(void **state)
{
    int          i;
    size_t       cut, k, len;
    char         text[400];
    uint64_t     a, b;
    tb_usage_t   one, two;
    tb_random_t  rnd = { 41 };

    static const char  *pieces[] = {
        "{", "}", "[", "]", "\"", "\\", ",", ":", "\n", "\n\n", "data:",
        "event:", "\"usage\":{", "\"message\":{", "\"input_tokens\":", "12",
        "0", "-", ".5", " ", "ping", "x", "\r\n"
    };

    (void) state;

    for (i = 0; i < 100000; i++) {
        len = 0;

        while (len < 300) {
            const char  *s = pieces[tb_random(&rnd)
                                    % (sizeof(pieces) / sizeof(pieces[0]))];

            memcpy(text + len, s, strlen(s));
            len += strlen(s);
        }

        tb_usage_init(&one, i & 1);
        tb_usage_init(&two, i & 1);
        tb_usage_feed(&one, text, len);

        for (k = 0; k < len; k += cut) {
            cut = tb_random_in(&rnd, 1, len - k);
            tb_usage_feed(&two, text + k, cut);
        }

        for (k = 0; k < TB_USAGE_NUMBERS; k++) {
            assert_true(tb_usage_get(&one, (tb_usage_number_t) k, &a)
                        == tb_usage_get(&two, (tb_usage_number_t) k, &b));
            assert_true(a == b);
        }
    }
}


static void
test_huge_answers_need_no_memory(void **state)
{
    int         i;
    uint64_t    n;
    tb_usage_t  u;

    static const char  part[] = "{\"a\":[[[\"\\\"b\",1,{\"usage\":2}";

    (void) state;

    assert_true(sizeof(tb_usage_t) <= 128);

    tb_usage_init(&u, false);
    tb_usage_feed(&u, "{\"x\":[", 6);

    for (i = 0; i < 300000; i++) {
        tb_usage_feed(&u, part, sizeof(part) - 1);
    }

    for (i = 0; i < 300000; i++) {
        tb_usage_feed(&u, "]]]}", 4);
    }

    tb_usage_feed(&u, "],\"usage\":{\"input_tokens\":5}}", 30);

    assert_true(tb_usage_get(&u, TB_USAGE_INPUT, &n) && n == 5);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_dialects_are_read_whatever_the_cut),
        cmocka_unit_test(test_noise_does_no_harm),
        cmocka_unit_test(test_huge_answers_need_no_memory)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
