
/*
 * Clients as JSON: what is printed reads back as it was.
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
#include "src/core/limit/tb_text.h"


static gw_record_t         reader;
static tb_client_t         client;
static tb_client_forms_t   forms;

static char                output[1024];
static size_t              noutput;


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
write_object(yajl_gen gen, const tb_client_t *c)
{
    assert_int_equal(yajl_gen_map_open(gen), yajl_gen_status_ok);
    gw_member_write(gen, forms.members, c);
    assert_int_equal(yajl_gen_map_close(gen), yajl_gen_status_ok);
}


static void
check_rate(uint64_t rate)
{
    char    buf[TB_CLIENT_VALUE_SIZE];
    size_t  len;

    memset(&client, 0, sizeof(tb_client_t));
    client.members = TB_CLIENT_CAPACITY | TB_CLIENT_RATE;
    client.capacity = 1;
    client.rate = rate;

    len = tb_client_print(buf, &client, forms.unit);

    assert_true(len < TB_CLIENT_VALUE_SIZE);

    if (gw_record_read(&reader, &forms.value, &client, buf, len) != 0
        || client.rate != rate)
    {
        fail_msg("%" PRIu64 " is printed as %s", rate, buf);
    }
}


static void
every_rate_reads_back_as_the_same_steps(void **state)
{
    unsigned  i;
    uint64_t  rate;

    (void) state;

    for (rate = TB_RATE_MIN; rate < 1000000; rate++) {
        check_rate(rate);
    }

    for (rate = TB_RATE_MAX; rate > TB_RATE_MAX - 100000; rate--) {
        check_rate(rate);
    }

    srandom(2);

    for (i = 0; i < 200000; i++) {
        rate = (uint64_t) random() * (uint64_t) random();
        rate = TB_RATE_MIN + rate % (TB_RATE_MAX - TB_RATE_MIN);
        check_rate(rate);
    }

    for (i = 0; i < 200000; i++) {
        tb_client_forms_init(&forms, TB_KIND_RATE,
                             2 + (uint32_t) random() % (TB_UNIT_MAX - 1));

        rate = (uint64_t) random() * (uint64_t) random();
        check_rate(1 + rate % TB_RATE_MAX);
    }
}


static void
rates_are_as_short_as_can_be(void **state)
{
    char                    buf[GW_NUMBER_SIZE];
    size_t                  i;
    static const struct {
        uint64_t            rate;
        const char         *text;
    } cases[] = {
        { 8640000, "10" },
        { 432000, "0.5" },
        { 1296000, "1.5" },         /* 90r/m */
        { 10, "0.000012" },         /* 1r/d */
        { 240000, "0.277778" },     /* 1000r/h */
        { 288000, "0.333333" },
        { TB_RATE_MAX, "1000000" }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(tb_client_print_rate(buf, cases[i].rate),
                         strlen(cases[i].text));
        assert_string_equal(buf, cases[i].text);
    }
}


static void
the_longest_values_fit(void **state)
{
    char    buf[TB_CLIENT_VALUE_SIZE];
    size_t  len;

    (void) state;

    memset(&client, 0, sizeof(tb_client_t));
    client.members = TB_CLIENT_CAPACITY | TB_CLIENT_RATE | TB_CLIENT_BLOCKED
                     | TB_CLIENT_UNLIMITED;
    client.capacity = TB_CAPACITY_MAX;
    client.rate = TB_RATE_MAX - 1;
    client.blocked = true;
    client.unlimited = true;

    len = tb_client_print(buf, &client, 1);
    assert_string_equal(buf, "{\"capacity\":1000000,"
                             "\"rate_per_sec\":999999.999999,"
                             "\"blocked\":true,\"unlimited\":true}");
    assert_int_equal(len, strlen(buf));

    client.members = TB_CLIENT_PLAN | TB_CLIENT_BLOCKED | TB_CLIENT_UNLIMITED;
    client.plan_len = TB_PLAN_NAME_MAX;
    memset(client.plan, '"', TB_PLAN_NAME_MAX);
    client.plan[TB_PLAN_NAME_MAX] = '\0';

    len = tb_client_print(buf, &client, 1);
    assert_true(len < TB_CLIENT_VALUE_SIZE);
    assert_int_equal(len, strlen(buf));
    assert_int_equal(gw_record_read(&reader, &forms.value, &client, buf,
                                    len), 0);
    assert_int_equal(client.plan_len, TB_PLAN_NAME_MAX);

    client.members = 0;
    client.tokens = -TB_DEBT_MAX;
    client.at = TB_CLIENT_AT_MAX;

    len = tb_client_print_state(buf, &client, 1000);
    assert_string_equal(buf, "{\"tokens\":-99511000,"
                             "\"at\":253402300799999}");
    assert_int_equal(len, strlen(buf));

    client.tokens = (int64_t) (TB_CAPACITY_MAX * TB_TOKEN - 1);

    len = tb_client_print_state(buf, &client, 1);
    assert_string_equal(buf, "{\"tokens\":999999.999999,"
                             "\"at\":253402300799999}");
    assert_int_equal(len, strlen(buf));

    assert_int_equal(gw_record_read(&reader, &forms.state, &client, buf,
                                    len), 0);
    assert_int_equal(client.tokens, TB_CAPACITY_MAX * TB_TOKEN - 1);
    assert_int_equal(client.at, TB_CLIENT_AT_MAX);
}


static void
a_client_is_written_as_the_api_has_it(void **state)
{
    yajl_gen               gen;
    tb_client_t            c;
    gw_json_arena_t        arena;
    static union {
        long double        align;
        unsigned char      data[GW_JSON_WRITE_ARENA];
    } memory;

    (void) state;

    memset(&c, 0, sizeof(c));
    c.members = TB_CLIENT_ID | TB_CLIENT_CAPACITY | TB_CLIENT_RATE
                | TB_CLIENT_TOKENS | TB_CLIENT_REGISTERED;
    c.registered = true;
    c.id_len = 7;
    memcpy(c.id, "a\"\n\xc3\xa4/b", 7);
    c.capacity = 100;
    c.rate = 8640000;
    c.tokens = 97500000;

    noutput = 0;
    gen = gw_json_writer(&arena, memory.data, collect, NULL);
    assert_non_null(gen);

    write_object(gen, &c);
    assert_string_equal(output,
                        "{\"client_id\":\"a\\\"\\n\xc3\xa4/b\","
                        "\"capacity\":100,\"rate_per_sec\":10,"
                        "\"tokens\":97.5,\"registered\":true}");

    noutput = 0;
    gen = gw_json_writer(&arena, memory.data, collect, NULL);
    c.members = TB_CLIENT_ID | TB_CLIENT_CAPACITY | TB_CLIENT_RATE;

    write_object(gen, &c);
    assert_int_equal(gw_record_read(&reader, &forms.create, &client,
                                    output, noutput), 0);
    assert_memory_equal(client.id, c.id, 7);
}


static int
to_rates(void **state)
{
    (void) state;
    tb_client_forms_init(&forms, TB_KIND_RATE, 1);
    return 0;
}


#define WITH_RATES(test)  cmocka_unit_test_setup(test, to_rates)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        WITH_RATES(every_rate_reads_back_as_the_same_steps),
        WITH_RATES(rates_are_as_short_as_can_be),
        WITH_RATES(the_longest_values_fit),
        WITH_RATES(a_client_is_written_as_the_api_has_it)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
