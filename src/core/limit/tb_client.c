
/*
 * The members of a client, which of them a text may have, and how they are
 * printed.
 */


#include <stdio.h>

#include "src/core/limit/tb_client.h"


static int tb_client_fits(gw_record_t *reader);


const gw_member_t  tb_client_members[] = {

    { .name = "client_id", .bit = TB_CLIENT_ID, .kind = GW_MEMBER_ID,
      gw_member_string(tb_client_t, id, id_len),
      .allowed = "a string of 1 to 255 bytes",
      .absent = "the client is named outside of the body" },

    { .name = "capacity", .bit = TB_CLIENT_CAPACITY,
      gw_member_field(tb_client_t, capacity),
      .min = 1, .max = TB_CAPACITY_MAX },

    { .name = "rate_per_sec", .bit = TB_CLIENT_RATE,
      .kind = GW_MEMBER_NEAREST, gw_member_field(tb_client_t, rate),
      .scale = TB_STEPS_A_SECOND, .min = TB_RATE_MIN, .max = TB_RATE_MAX,
      .print = tb_client_print_rate,
      .allowed = "a number from 0.0000115741 (one a day) to 1000000" },

    { .name = "tokens", .bit = TB_CLIENT_TOKENS, .kind = GW_MEMBER_FLOOR,
      gw_member_field(tb_client_t, tokens),
      .scale = TB_TOKEN, .max = TB_CAPACITY_MAX * TB_TOKEN,
      .print = tb_client_print_tokens,
      .allowed = "a number from 0 to the capacity, at most 1000000" },

    { .name = "at", .bit = TB_CLIENT_AT, gw_member_field(tb_client_t, at),
      .max = TB_CLIENT_AT_MAX },

    { .name = "registered", .bit = TB_CLIENT_REGISTERED,
      .kind = GW_MEMBER_FLAG, gw_member_field(tb_client_t, registered) },

    { .name = NULL }
};


#define TB_CLIENT_LIMITS  (TB_CLIENT_CAPACITY | TB_CLIENT_RATE)

#define TB_CLIENT_FORM                                                      \
    .table = tb_client_members, .size = sizeof(tb_client_t),                 \
    .check = tb_client_fits

const gw_record_form_t  tb_client_create = {
    TB_CLIENT_FORM,
    .accept = TB_CLIENT_ID | TB_CLIENT_LIMITS,
    .require = TB_CLIENT_ID | TB_CLIENT_LIMITS
};

const gw_record_form_t  tb_client_bulk = {
    TB_CLIENT_FORM,
    .accept = TB_CLIENT_ID | TB_CLIENT_LIMITS,
    .require = TB_CLIENT_ID | TB_CLIENT_LIMITS,
    .array = true
};

const gw_record_form_t  tb_client_replace = {
    TB_CLIENT_FORM,
    .accept = TB_CLIENT_ID | TB_CLIENT_LIMITS,
    .require = TB_CLIENT_LIMITS,
    .ignore = TB_CLIENT_TOKENS | TB_CLIENT_REGISTERED
};

const gw_record_form_t  tb_client_limits = {
    TB_CLIENT_FORM, .accept = TB_CLIENT_LIMITS, .require = TB_CLIENT_LIMITS
};

const gw_record_form_t  tb_client_change = {
    TB_CLIENT_FORM,
    .accept = TB_CLIENT_LIMITS | TB_CLIENT_TOKENS,
    .some = true
};

const gw_record_form_t  tb_client_state = {
    TB_CLIENT_FORM,
    .accept = TB_CLIENT_TOKENS | TB_CLIENT_AT,
    .require = TB_CLIENT_TOKENS | TB_CLIENT_AT
};


int
tb_client_check_tokens(uint64_t tokens, uint32_t capacity, char *buf,
    size_t size)
{
    char  number[GW_NUMBER_SIZE];

    if (tokens <= capacity * TB_TOKEN) {
        return 0;
    }

    (void) tb_client_print_tokens(number, tokens);
    (void) snprintf(buf, size, "tokens is %s, must be a number from 0 to the "
                    "capacity, here %u", number, (unsigned) capacity);

    return -1;
}


/* The tokens and the capacity of one text. */

static int
tb_client_fits(gw_record_t *reader)
{
    char                text[GW_JSON_ERROR_SIZE];
    const tb_client_t  *c;

    c = reader->record;

    if ((c->members & TB_CLIENT_TOKENS) && (c->members & TB_CLIENT_CAPACITY)
        && tb_client_check_tokens(c->tokens, c->capacity, text,
                                  sizeof(text)) != 0)
    {
        gw_record_fail(reader, "%s", text);
        return -1;
    }

    return 0;
}


size_t
tb_client_print_rate(char *buf, uint64_t rate)
{
    unsigned  decimals;
    uint64_t  power, near, back;

    /* a step is more than 1e-6 r/s, so six decimals always tell it */

    decimals = 0;
    power = 1;

    for ( ;; ) {
        near = (rate * power + TB_STEPS_A_SECOND / 2) / TB_STEPS_A_SECOND;
        back = (near * 2 * TB_STEPS_A_SECOND / power + 1) / 2;

        if (back == rate || decimals == 6) {
            return gw_number_print(buf, near, decimals);
        }

        decimals++;
        power *= 10;
    }
}


size_t
tb_client_print_tokens(char *buf, uint64_t tokens)
{
    if ((int64_t) tokens < 0) {
        buf[0] = '-';

        return 1 + gw_number_print(buf + 1, 0 - tokens, 6);
    }

    return gw_number_print(buf, tokens, 6);
}


size_t
tb_client_print_limits(char *buf, uint32_t capacity, uint64_t rate)
{
    char  number[GW_NUMBER_SIZE];

    (void) tb_client_print_rate(number, rate);

    return (size_t) snprintf(buf, TB_CLIENT_VALUE_SIZE,
                             "{\"capacity\":%u,\"rate_per_sec\":%s}",
                             (unsigned) capacity, number);
}


size_t
tb_client_print_state(char *buf, uint64_t tokens, uint64_t at)
{
    char  number[GW_NUMBER_SIZE];

    (void) tb_client_print_tokens(number, tokens);

    return (size_t) snprintf(buf, TB_CLIENT_VALUE_SIZE,
                             "{\"tokens\":%s,\"at\":%llu}", number,
                             (unsigned long long) at);
}
