
/*
 * Servers as JSON: what is read, refused and written.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/balance/lb_entry.h"


static gw_record_t  reader;
static lb_entry_t   entry;


static int
read_text(const gw_record_form_t *form, const char *text)
{
    return gw_record_read(&reader, form, &entry, text, strlen(text));
}


static void
refused(const gw_record_form_t *form, const char *text, const char *error)
{
    assert_int_equal(read_text(form, text), -1);

    if (strstr(reader.json.error, error) == NULL) {
        fail_msg("%s: \"%s\" is not in \"%s\"", text, error,
                 reader.json.error);
    }
}


static void
all_members_are_read(void **state)
{
    (void) state;

    assert_int_equal(read_text(&lb_entry_new,
                               "{\"address\":\"10.0.0.7:80\",\"weight\":5,"
                               "\"max_conns\":4294967295,\"max_fails\":0,"
                               "\"fail_timeout\":\"1h2m3s4ms\","
                               "\"backup\":true,\"state\":\"disabled\"}"), 0);

    assert_int_equal(entry.members,
                     LB_ENTRY_ADDRESS | LB_ENTRY_SETTINGS);
    assert_int_equal(entry.address_length, 11);
    assert_int_equal(entry.weight, 5);
    assert_int_equal(entry.max_conns, UINT32_MAX);
    assert_int_equal(entry.fail_timeout, 3723004);
    assert_true(entry.backup);
    assert_int_equal(entry.state, LB_ENTRY_DISABLED);
}


static void
a_drain_is_asked_for_by_verb_or_state(void **state)
{
    static const char *const  texts[] = {
        "{\"state\":\"drain\"}", "{\"state\":\"draining\"}"
    };

    (void) state;

    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(read_text(&lb_entry_change, texts[i]), 0);
        assert_int_equal(entry.state, LB_ENTRY_DRAIN);
    }

    refused(&lb_entry_change, "{\"state\":\"drained\"}", "\"draining\"");
}


static void
times_are_those_of_nginx_or_seconds(void **state)
{
    (void) state;

    assert_int_equal(read_text(&lb_entry_change, "{\"fail_timeout\":0.25}"),
                     0);
    assert_int_equal(entry.fail_timeout, 250);

    assert_int_equal(read_text(&lb_entry_change, "{\"fail_timeout\":"
                                                 "\"2147483647\"}"), 0);
    refused(&lb_entry_change, "{\"fail_timeout\":\"2147483648\"}",
            "up to 2147483647");
}


static void
what_is_wrong_is_said(void **state)
{
    (void) state;

    refused(&lb_entry_new, "{\"weight\":1}", "address is missing");
    refused(&lb_entry_new, "{\"address\":\"a b\"}", "printable");
    refused(&lb_entry_change, "{}", "nothing to change");
    refused(&lb_entry_change, "{\"weight\":0}", "weight is 0");
    refused(&lb_entry_change, "{\"weight\":1,\"weight\":1}", "twice");
    refused(&lb_entry_change, "{\"address\":\"a\"}", "unknown member");
    refused(&lb_entry_change, "{\"state\":\"down\"}", "\"up\", \"draining\"");
    refused(&lb_entry_change, "[]", "must be a JSON object");
    refused(&lb_entry_change, "{\"fail_timeout\":0.0001}", "fail_timeout");
    refused(&lb_entry_change, "{\"weight\":1}{}", "not valid JSON");
}


static void
a_file_is_a_list_and_nothing_else(void **state)
{
    (void) state;

    assert_int_equal(read_text(&lb_entry_file, "{\"servers\":[]}\n"), 0);
    assert_int_equal(reader.count, 0);
    assert_int_equal(read_text(&lb_entry_file,
                               "{\"servers\":[{\"address\":\"a\"},"
                               "{\"id\":2,\"address\":\"b\",\"name\":\"c\"}"
                               "]}"), 0);
    assert_int_equal(reader.count, 2);

    assert_int_equal(read_text(&lb_entry_file,
                               "{\"servers\":[{\"address\":\"a\"}],"
                               "\"lines\":[],\"names\":[]}"), 0);
    assert_int_equal(reader.arrays, 7);

    refused(&lb_entry_file, "{\"lines\":[]}", "\"servers\"");
    refused(&lb_entry_file, "{\"servers\":[],\"lines\":[{}]}",
            "lines[0]: address is missing");
    refused(&lb_entry_file, "", "JSON");
    refused(&lb_entry_file, "{}", "\"servers\"");
    refused(&lb_entry_file, "[]", "\"servers\"");
    refused(&lb_entry_file, "{\"servers\":7}", "\"servers\"");
    refused(&lb_entry_file, "{\"servers\":{}}", "\"servers\"");
    refused(&lb_entry_file, "{\"server\":[]}", "unknown member");
    refused(&lb_entry_file, "{\"servers\":[],\"servers\":[]}", "twice");
    refused(&lb_entry_file, "{\"servers\":[7]}", "servers[0]: must be");
    refused(&lb_entry_file,
            "{\"servers\":[{\"address\":\"a\"},{\"weight\":1}]}",
            "servers[1]: address is missing");
    refused(&lb_entry_file, "{\"servers\":[{\"address\":\"a\"}", "JSON");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(all_members_are_read),
        cmocka_unit_test(a_drain_is_asked_for_by_verb_or_state),
        cmocka_unit_test(times_are_those_of_nginx_or_seconds),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(a_file_is_a_list_and_nothing_else)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
