
/*
 * The members of a client.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/limit/tb_client_member.h"


static int tb_client_read_rate(uint64_t *rate, const char *text, size_t len);


static const tb_client_member_t  tb_client_members[] = {
    { "client_id", TB_CLIENT_ID, "a string of 1 to 255 bytes" },
    { "capacity", TB_CLIENT_CAPACITY, "an integer from 1 to 1000000" },
    { "rate_per_sec", TB_CLIENT_RATE,
      "a number from 0.0000115741 (one a day) to 1000000" },
    { "tokens", TB_CLIENT_TOKENS,
      "a number from 0 to the capacity, at most 1000000" },
    { "at", TB_CLIENT_AT, "an integer from 0 to 253402300799999" },
    { NULL, 0, NULL }
};


const tb_client_member_t *
tb_client_member(unsigned bit)
{
    const tb_client_member_t  *m;

    for (m = tb_client_members; m->name != NULL; m++) {
        if (m->bit == bit) {
            break;
        }
    }

    return m;
}


const tb_client_member_t *
tb_client_member_named(const char *name, size_t len)
{
    const tb_client_member_t  *m;

    for (m = tb_client_members; m->name != NULL; m++) {
        if (strlen(m->name) == len && memcmp(m->name, name, len) == 0) {
            return m;
        }
    }

    return NULL;
}


void
tb_client_names(char buf[TB_CLIENT_NAMES_SIZE], unsigned members)
{
    size_t                     n;
    const tb_client_member_t  *m;

    n = 0;
    buf[0] = '\0';

    for (m = tb_client_members; m->name != NULL; m++) {
        if (members & m->bit) {
            n += (size_t) snprintf(buf + n, TB_CLIENT_NAMES_SIZE - n, "%s%s",
                                   n > 0 ? ", " : "", m->name);
        }
    }
}


int
tb_client_set_number(tb_client_t *client, unsigned member, const char *text,
    size_t len)
{
    int                 ok;
    uint64_t            value;
    gw_number_status_t  status;

    value = 0;

    switch (member) {

    case TB_CLIENT_CAPACITY:
        status = gw_number_read(text, len, 1, TB_CAPACITY_MAX, &value);
        ok = (status == GW_NUMBER_EXACT && value > 0);
        client->capacity = (uint32_t) value;
        break;

    case TB_CLIENT_RATE:
        ok = tb_client_read_rate(&client->rate, text, len);
        break;

    case TB_CLIENT_TOKENS:
        status = gw_number_read(text, len, TB_TOKEN,
                                TB_CAPACITY_MAX * TB_TOKEN, &client->tokens);
        ok = (status == GW_NUMBER_EXACT || status == GW_NUMBER_FLOOR);
        break;

    case TB_CLIENT_AT:
        status = gw_number_read(text, len, 1, TB_CLIENT_AT_MAX, &client->at);
        ok = (status == GW_NUMBER_EXACT);
        break;

    default:
        ok = 0;
        break;
    }

    if (ok) {
        client->members |= member;
    }

    return ok;
}


/* Half steps are read, so that the nearest step is known. */

static int
tb_client_read_rate(uint64_t *rate, const char *text, size_t len)
{
    uint64_t            half;
    gw_number_status_t  status;

    half = 0;
    status = gw_number_read(text, len, 2 * TB_STEPS_A_SECOND,
                            2 * TB_RATE_MAX, &half);

    *rate = (half + 1) / 2;

    return (status == GW_NUMBER_EXACT || status == GW_NUMBER_FLOOR)
           && *rate >= TB_RATE_MIN;
}
