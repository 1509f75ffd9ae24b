
/*
 * Files of clients: what is written is read, whatever a person makes of the
 * layout; a wrong entry is told with its line and does not hide the others;
 * what is no such file is refused.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/tb_snapshot.h"


typedef struct {
    const char    *text;
    const char    *error;          /* a part of it */
    size_t         line;
} tb_snapshot_case_t;


static tb_snapshot_t  snapshot;
static char           seen[4096];  /* "id capacity rate;" or "line: wrong;" */


static void
remember(tb_snapshot_t *s, void *data)
{
    size_t  len;

    assert_ptr_equal(data, seen);

    len = strlen(seen);

    if (s->wrong[0] != '\0') {
        (void) snprintf(seen + len, sizeof(seen) - len, "%zu: %s;", s->line,
                        s->wrong);
        return;
    }

    (void) snprintf(seen + len, sizeof(seen) - len, "%s %u %llu;",
                    s->client.id, (unsigned) s->client.capacity,
                    (unsigned long long) s->client.rate);
}


static int
read_text(const char *text, size_t piece)
{
    size_t  len, n;

    seen[0] = '\0';
    tb_snapshot_init(&snapshot, remember, seen);

    for (len = strlen(text); len > 0; len -= n) {
        n = len < piece ? len : piece;

        if (tb_snapshot_feed(&snapshot, text, n) != 0) {
            return -1;
        }

        text += n;
    }

    return tb_snapshot_finish(&snapshot);
}


static void
reads_what_was_written(void **state)
{
    char    text[8192];
    size_t  len, piece;

    (void) state;

    len = tb_snapshot_write_begin(text, "z\"1\n", 4, 77);
    len += tb_snapshot_write_client(text + len, "a\\\"\x01\xc3\xa9", 6, 100,
                                    TB_STEPS_A_SECOND / 2, true);
    len += tb_snapshot_write_client(text + len, "b", 1, TB_CAPACITY_MAX,
                                    TB_RATE_MAX, false);
    len += tb_snapshot_write_client(text + len, "c", 1, 1, TB_RATE_MIN,
                                    false);
    len += tb_snapshot_write_end(text + len);
    text[len] = '\0';

    for (piece = 1; piece <= len; piece++) {
        assert_int_equal(read_text(text, piece), 0);
        assert_int_equal(snapshot.journal, 77);
        assert_int_equal(snapshot.zone_len, 4);
        assert_memory_equal(snapshot.zone, "z\"1\n", 4);
        assert_string_equal(seen, "a\\\"\x01\xc3\xa9 100 432000;"
                            "b 1000000 864000000000;c 1 10;");
    }

    /* the longest id there is, all of it escaped */

    char  id[GW_ID_MAX];

    memset(id, 1, sizeof(id));
    len = tb_snapshot_write_client(text, id, sizeof(id), TB_CAPACITY_MAX,
                                   TB_RATE_MIN, false);
    assert_true(len <= TB_SNAPSHOT_LINE_SIZE);

    /* none at all, in a zone whose name is not text */

    len = tb_snapshot_write_begin(text, "", 0, 1);
    len += tb_snapshot_write_end(text + len);
    text[len] = '\0';
    assert_int_equal(read_text(text, len), 0);
    assert_int_equal(snapshot.zone_len, 0);
}


static void
any_layout_will_do(void **state)
{
    (void) state;

    assert_int_equal(read_text(" { \"clients\" : [ { \"rate_per_sec\" : 1e1 ,"
                               "\n\"capacity\": 5, \"client_id\":\"x\" }\n] ,"
                               "\n\t\"journal\" : 3 }\r\n", 1000), 0);
    assert_string_equal(seen, "x 5 8640000;");
    assert_int_equal(snapshot.journal, 3);

    assert_int_equal(read_text("{\"clients\":[]}", 1), 0);
    assert_int_equal(snapshot.journal, 0);
}


static void
wrong_entries_are_told_and_the_others_read(void **state)
{
    const tb_snapshot_case_t  *c;

    static const tb_snapshot_case_t  cases[] = {
        { "{\"client_id\":\"x\",\"capacity\":0,\"rate_per_sec\":1}",
          "3: capacity is 0, must be an integer from 1 to 1000000;", 0 },
        { "{\"client_id\":\"x\",\"capacity\":1.5,\"rate_per_sec\":1}",
          "3: capacity is 1.5, must", 0 },
        { "{\"client_id\":\"x\",\"capacity\":\"1\",\"rate_per_sec\":1}",
          "3: capacity is \"1\", must", 0 },
        { "{\"client_id\":\"x\",\"capacity\":{\"a\":[1,{}]},"
          "\"rate_per_sec\":1}", "3: capacity is an object, must", 0 },
        { "{\"client_id\":\"x\",\"capacity\":[[1]],\"rate_per_sec\":1}",
          "3: capacity is an array, must", 0 },
        { "{\"client_id\":\"x\",\"capacity\":1,\"rate_per_sec\":-1}",
          "3: rate_per_sec is -1, must", 0 },
        { "{\"client_id\":\"x\",\"capacity\":1}",
          "3: rate_per_sec is missing, must", 0 },
        { "{\"client_id\":\"\",\"capacity\":1,\"rate_per_sec\":1}",
          "3: client_id \"\" is empty", 0 },
        { "{\"client_id\":7,\"capacity\":1,\"rate_per_sec\":1}",
          "3: client_id is 7, must", 0 },
        { "{\"client_id\":\"x\",\"capacity\":1,\"capacity\":2,"
          "\"rate_per_sec\":1}", "3: capacity is there twice;", 0 },
        { "{\"client_id\":\"x\",\"capcity\":1,\"rate_per_sec\":1}",
          "3: unknown member \"capcity\", allowed: client_id, capacity, "
          "rate_per_sec;", 0 },
        { "{}", "3: client_id is missing, must", 0 },
        { "null", "3: a client is null, must be an object;", 0 },
        { "[{}]", "3: a client is an array, must be an object;", 0 },
        { NULL, NULL, 0 }
    };

    (void) state;

    for (c = cases; c->text != NULL; c++) {
        char  text[1024];

        (void) snprintf(text, sizeof(text), "{\"clients\":[\n"
                    "{\"client_id\":\"a\",\"capacity\":1,\"rate_per_sec\":1}"
                    ",\n%s,\n"
                    "{\"client_id\":\"b\",\"capacity\":2,\"rate_per_sec\":1}"
                    "]}", c->text);

        if (read_text(text, 7) != 0) {
            fail_msg("%s: %s", c->text, snapshot.json.error);
        }

        if (strncmp(seen, "a 1 864000;", 11) != 0
            || strstr(seen, c->error) != seen + 11
            || strcmp(seen + strlen(seen) - 11, "b 2 864000;") != 0)
        {
            fail_msg("%s: %s", c->text, seen);
        }

        assert_int_equal(snapshot.count, 3);
    }
}


static void
other_files_are_refused(void **state)
{
    const tb_snapshot_case_t  *c;

    static const tb_snapshot_case_t  cases[] = {
        { "", "not valid JSON", 1 },
        { "\x7f" "ELF", "not valid JSON", 1 },
        { "{}", "\"clients\" is missing", 1 },
        { "[]", "it is an array, must be an object", 1 },
        { "7", "it is 7, must be an object", 1 },
        { "{\n\"clients\":{}}", "\"clients\" is an object, must be an array",
          2 },
        { "{\"clients\":[],\n\n\"clients\":[]}", "\"clients\" is there twice",
          3 },
        { "{\"clients\":[],\"journal\":0}", "\"journal\" is 0, must be", 1 },
        { "{\"clients\":[],\"journal\":1.5}", "\"journal\" is 1.5, must", 1 },
        { "{\"clients\":[],\"journal\":\"1\"}", "\"journal\" is \"1\"", 1 },
        { "{\"clients\":[],\"zone\":\"\"}", "\"zone\" is \"\", must", 1 },
        { "{\"clients\":[],\"zone\":1}", "\"zone\" is 1, must", 1 },
        { "{\"clients\":[],\"servers\":[]}", "unknown member \"servers\"",
          1 },
        { "{\"clients\":[]}\n{}", "not valid JSON", 2 },
        { "{\"clients\":[\n{\"client_id\":\"a\",\"capacity\":1,"
          "\"rate_per_sec\":1}\n{\"client_id\":\"b\"}]}", "not valid JSON",
          3 },
        { "{\"clients\":[\n{\"client_id\":\"a\"", "not valid JSON", 2 },
        { "{\"clients\":[[[[[[[[[[]]]]]]]]]]}", "not valid JSON", 1 },
        { "{\"clients\":[{\"client_id\":\"\xff\"}]}", "not valid JSON", 1 },
        { NULL, NULL, 0 }
    };

    (void) state;

    for (c = cases; c->text != NULL; c++) {

        if (read_text(c->text, 1000) == 0) {
            fail_msg("accepted: %s", c->text);
        }

        if (strstr(snapshot.json.error, c->error) == NULL
            || snapshot.line != c->line)
        {
            fail_msg("%s: line %zu: %s", c->text, snapshot.line,
                     snapshot.json.error);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(any_layout_will_do),
        cmocka_unit_test(wrong_entries_are_told_and_the_others_read),
        cmocka_unit_test(other_files_are_refused)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
