
/*
 * Records by a table: every kind of member, what a form ignores, requires and
 * refuses, and arrays by name.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/text/gw_id.h"
#include "src/core/text/gw_number.h"
#include "src/core/text/gw_record.h"


#define N        0x001u
#define BIG      0x002u
#define CUT      0x004u
#define NEAR     0x008u
#define PAUSE    0x010u
#define ON       0x020u
#define COLOUR   0x040u
#define ID       0x080u
#define TEXT     0x100u
#define ALL      0x1ffu


typedef struct {
    unsigned     members;
    unsigned     colour;
    bool         on;
    uint32_t     n;
    uint64_t     big;
    uint64_t     cut;
    uint64_t     near;
    uint64_t     pause;
    size_t       id_len;
    size_t       text_len;
    char         id[GW_ID_MAX + 1];
    char         text[8];
} record_t;


static size_t
print_milli(char *buf, uint64_t value)
{
    return gw_number_print(buf, value, 3);
}


static const gw_word_t  colours[] = {
    { "red", 1 }, { "blue", 2 }, { "azure", 2 }, { NULL, 0 }
};

static const gw_member_t  members[] = {
    { .name = "n", .bit = N, gw_member_field(record_t, n),
      .min = 1, .max = 9 },
    { .name = "big", .bit = BIG, gw_member_field(record_t, big),
      .max = UINT64_C(1) << 53 },
    { .name = "cut", .bit = CUT, .kind = GW_MEMBER_FLOOR,
      gw_member_field(record_t, cut), .scale = 1000, .max = 5000,
      .print = print_milli, .allowed = "a number from 0 to 5" },
    { .name = "near", .bit = NEAR, .kind = GW_MEMBER_NEAREST,
      gw_member_field(record_t, near), .scale = 10, .min = 1, .max = 50,
      .allowed = "a number from 0.1 to 5", .absent = "it is far" },
    { .name = "pause", .bit = PAUSE, .kind = GW_MEMBER_TIME,
      gw_member_field(record_t, pause), .scale = 1000, .min = 100,
      .max = 10000, .allowed = "a time from 100ms to 10s" },
    { .name = "on", .bit = ON, .kind = GW_MEMBER_FLAG,
      gw_member_field(record_t, on) },
    { .name = "colour", .bit = COLOUR, .kind = GW_MEMBER_WORD,
      gw_member_field(record_t, colour), .words = colours,
      .allowed = "\"red\" or \"blue\"" },
    { .name = "id", .bit = ID, .kind = GW_MEMBER_ID,
      gw_member_string(record_t, id, id_len) },
    { .name = "text", .bit = TEXT, .kind = GW_MEMBER_TEXT,
      gw_member_string(record_t, text, text_len),
      .allowed = "1 to 7 characters" },
    { .name = NULL }
};

static const char *const  arrays[] = { "first", "second", NULL };

static const gw_record_form_t  any = {
    .table = members, .size = sizeof(record_t), .accept = ALL
};

static const gw_record_form_t  strict = {
    .table = members, .size = sizeof(record_t), .accept = N | BIG,
    .require = N, .ignore = CUT | ON
};

static const gw_record_form_t  some = {
    .table = members, .size = sizeof(record_t), .accept = N | TEXT,
    .ignore = ON, .some = true, .array = true
};

static const gw_record_form_t  file = {
    .table = members, .size = sizeof(record_t), .accept = N,
    .require = N, .arrays = arrays
};


static gw_record_t  reader;
static record_t     record;

static char         output[512];
static size_t       noutput;


static int
read_text(const gw_record_form_t *form, const char *text)
{
    return gw_record_read(&reader, form, &record, text, strlen(text));
}


static void
refused(const gw_record_form_t *form, const char *text, const char *error)
{
    if (read_text(form, text) == 0) {
        fail_msg("accepted: %s", text);
    }

    if (strcmp(reader.json.error, error) != 0) {
        fail_msg("%s: \"%s\", not \"%s\"", text, reader.json.error, error);
    }
}


static void
collect(void *ctx, const char *text, size_t len)
{
    (void) ctx;

    assert_true(noutput + len < sizeof(output));

    memcpy(output + noutput, text, len);
    noutput += len;
    output[noutput] = '\0';
}


static void
a_member_of_every_kind_is_read_and_written(void **state)
{
    yajl_gen            gen;
    gw_json_arena_t     arena;
    static union {
        long double     align;
        unsigned char   data[GW_JSON_WRITE_ARENA];
    } memory;

    (void) state;

    assert_int_equal(read_text(&any,
                               "{\"text\":\"a-b\",\"id\":\"\xc3\xa4 b\","
                               "\"colour\":\"azure\",\"on\":true,"
                               "\"pause\":\"1s500ms\",\"near\":0.25,"
                               "\"cut\":1.2349,\"big\":9007199254740992,"
                               "\"n\":9e0}"), 0);

    assert_int_equal(record.members, ALL);
    assert_int_equal(record.n, 9);
    assert_int_equal(record.big, UINT64_C(1) << 53);
    assert_int_equal(record.cut, 1234);
    assert_int_equal(record.near, 3);
    assert_int_equal(record.pause, 1500);
    assert_true(record.on);
    assert_int_equal(record.colour, 2);
    assert_string_equal(record.id, "\xc3\xa4 b");
    assert_int_equal(record.id_len, 4);
    assert_string_equal(record.text, "a-b");
    assert_int_equal(record.text_len, 3);

    /* in the order of the table, the first word of a value */

    noutput = 0;
    gen = gw_json_writer(&arena, memory.data, collect, NULL);
    assert_non_null(gen);
    assert_int_equal(yajl_gen_map_open(gen), yajl_gen_status_ok);
    record.members &= ~NEAR;
    gw_member_write(gen, members, &record);
    assert_int_equal(yajl_gen_map_close(gen), yajl_gen_status_ok);

    assert_string_equal(output,
                        "{\"n\":9,\"big\":9007199254740992,\"cut\":1.234,"
                        "\"pause\":\"1500ms\",\"on\":true,"
                        "\"colour\":\"blue\",\"id\":\"\xc3\xa4 b\","
                        "\"text\":\"a-b\"}");
}


static void
what_a_member_may_not_be_is_refused(void **state)
{
    (void) state;

    refused(&any, "{\"n\":0}", "n is 0, must be an integer from 1 to 9");
    refused(&any, "{\"n\":10}", "n is 10, must be an integer from 1 to 9");
    refused(&any, "{\"n\":1.5}", "n is 1.5, must be an integer from 1 to 9");
    refused(&any, "{\"n\":-1}", "n is -1, must be an integer from 1 to 9");
    refused(&any, "{\"n\":\"1\"}",
            "n is \"1\", must be an integer from 1 to 9");
    refused(&any, "{\"n\":true}",
            "n is true, must be an integer from 1 to 9");
    refused(&any, "{\"n\":null}",
            "n is null, must be an integer from 1 to 9");
    refused(&any, "{\"n\":{\"n\":1}}",
            "n is an object, must be an integer from 1 to 9");
    refused(&any, "{\"n\":[1]}",
            "n is an array, must be an integer from 1 to 9");
    refused(&any, "{\"big\":9007199254740993}",
            "big is 9007199254740993, must be an integer from 0 to "
            "9007199254740992");
    refused(&any, "{\"cut\":5.0001}",
            "cut is 5.0001, must be a number from 0 to 5");
    refused(&any, "{\"near\":0.04}",
            "near is 0.04, must be a number from 0.1 to 5");
    refused(&any, "{\"near\":5.01}",
            "near is 5.01, must be a number from 0.1 to 5");
    refused(&any, "{\"pause\":\"99ms\"}",
            "pause is \"99ms\", must be a time from 100ms to 10s");
    refused(&any, "{\"pause\":10.001}",
            "pause is 10.001, must be a time from 100ms to 10s");
    refused(&any, "{\"pause\":0.1234}",
            "pause is 0.1234, must be a time from 100ms to 10s");
    refused(&any, "{\"on\":1}", "on is 1, must be true or false");
    refused(&any, "{\"on\":\"on\"}", "on is \"on\", must be true or false");
    refused(&any, "{\"colour\":\"Red\"}",
            "colour is \"Red\", must be \"red\" or \"blue\"");
    refused(&any, "{\"colour\":1}",
            "colour is 1, must be \"red\" or \"blue\"");
    refused(&any, "{\"id\":\"\"}",
            "id \"\" is empty, must be 1 to 255 bytes of UTF-8");
    refused(&any, "{\"text\":\"\"}",
            "text is \"\", must be 1 to 7 characters");
    refused(&any, "{\"text\":\"12345678\"}",
            "text is \"12345678\", must be 1 to 7 characters");
    refused(&any, "{\"text\":\"a b\"}",
            "text is \"a b\", must be 1 to 7 characters");

    assert_int_equal(read_text(&any, "{\"text\":\"1234567\"}"), 0);
    assert_int_equal(read_text(&any, "{\"near\":0.05}"), 0);
    assert_int_equal(record.near, 1);
    assert_int_equal(read_text(&any, "{\"cut\":5,\"near\":5}"), 0);
}


static void
a_form_says_what_may_and_must_be_there(void **state)
{
    (void) state;

    assert_int_equal(read_text(&strict, "{\"n\":1}"), 0);
    refused(&strict, "{\"big\":1}",
            "n is missing, must be an integer from 1 to 9");
    refused(&strict, "{\"n\":1,\"text\":\"a\"}",
            "unknown member \"text\", allowed: n, big");
    refused(&strict, "{\"n\":1,\"near\":1}",
            "unknown member \"near\", it is far, allowed: n, big");
    refused(&strict, "{\"n\":1,\"n\":1}", "n is there twice");

    refused(&some, "{}", "nothing to change, must have one of n, text");
    refused(&some, "{\"on\":true}",
            "nothing to change, must have one of n, text");
    refused(&some, "7", "must be a JSON object or an array of objects");
    refused(&some, "[{\"n\":1},{\"n\":0}]",
            "[1]: n is 0, must be an integer from 1 to 9");
    refused(&some, "[[]]", "[0]: must be a JSON object");
    assert_int_equal(read_text(&some, "[{\"n\":1},{\"text\":\"b\"}]"), 0);
    assert_true(reader.is_array);
    assert_int_equal(reader.count, 2);
    assert_int_equal(record.members, TEXT);
}


static void
what_is_ignored_is_neither_set_nor_checked(void **state)
{
    (void) state;

    assert_int_equal(read_text(&strict, "{\"cut\":7,\"n\":1,\"on\":false}"),
                     0);
    assert_int_equal(record.members, N);
    assert_int_equal(record.cut, 0);

    assert_int_equal(read_text(&strict, "{\"n\":1,\"cut\":\"x\",\"on\":null}"),
                     0);

    refused(&strict, "{\"on\":true,\"n\":1,\"on\":true}", "on is there twice");
    refused(&strict, "{\"n\":1,\"cut\":{}}",
            "cut is an object, must be a number from 0 to 5");
    refused(&strict, "{\"cut\":1}",
            "n is missing, must be an integer from 1 to 9");
}


static void
arrays_have_names(void **state)
{
    (void) state;

    assert_int_equal(read_text(&file, "{\"first\":[]}"), 0);
    assert_int_equal(reader.arrays, 1);
    assert_int_equal(read_text(&file, "{\"second\":[{\"n\":1},{\"n\":2}],"
                                      "\"first\":[{\"n\":3}]}"), 0);
    assert_int_equal(reader.arrays, 3);
    assert_int_equal(record.n, 3);

    refused(&file, "{\"second\":[]}",
            "must be an object with \"first\", an array of objects");
    refused(&file, "[]",
            "must be an object with \"first\", an array of objects");
    refused(&file, "{\"first\":{}}",
            "must be an object with \"first\", an array of objects");
    refused(&file, "{\"third\":[]}",
            "unknown member \"third\", allowed: first, second");
    refused(&file, "{\"first\":[],\"first\":[]}", "first is there twice");
    refused(&file, "{\"first\":[{\"n\":1}],\"second\":[{\"n\":1},{}]}",
            "second[1]: n is missing, must be an integer from 1 to 9");
    refused(&file, "{\"first\":[[]]}", "first[0]: must be a JSON object");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_member_of_every_kind_is_read_and_written),
        cmocka_unit_test(what_a_member_may_not_be_is_refused),
        cmocka_unit_test(a_form_says_what_may_and_must_be_there),
        cmocka_unit_test(what_is_ignored_is_neither_set_nor_checked),
        cmocka_unit_test(arrays_have_names)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
