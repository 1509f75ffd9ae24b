
/*
 * Clients, limits and token states as JSON.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/limit/tb_client.h"


static yajl_gen_status tb_client_write_name(yajl_gen gen, const char *name);


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


yajl_gen_status
tb_client_write(yajl_gen gen, const tb_client_t *client, int registered)
{
    char    number[GW_NUMBER_SIZE];
    size_t  len;

    (void) yajl_gen_map_open(gen);

    if (client->members & TB_CLIENT_ID) {
        (void) tb_client_write_name(gen, "client_id");
        (void) yajl_gen_string(gen, (const unsigned char *) client->id,
                               client->id_len);
    }

    if (client->members & TB_CLIENT_CAPACITY) {
        (void) tb_client_write_name(gen, "capacity");
        (void) yajl_gen_integer(gen, client->capacity);
    }

    if (client->members & TB_CLIENT_RATE) {
        len = tb_client_print_rate(number, client->rate);
        (void) tb_client_write_name(gen, "rate_per_sec");
        (void) yajl_gen_number(gen, number, len);
    }

    if (client->members & TB_CLIENT_TOKENS) {
        len = tb_client_print_tokens(number, client->tokens);
        (void) tb_client_write_name(gen, "tokens");
        (void) yajl_gen_number(gen, number, len);
    }

    if (client->members & TB_CLIENT_AT) {
        (void) tb_client_write_name(gen, "at");
        (void) yajl_gen_integer(gen, (long long) client->at);
    }

    if (registered >= 0) {
        (void) tb_client_write_name(gen, "registered");
        (void) yajl_gen_bool(gen, registered);
    }

    return yajl_gen_map_close(gen);
}


static yajl_gen_status
tb_client_write_name(yajl_gen gen, const char *name)
{
    return yajl_gen_string(gen, (const unsigned char *) name, strlen(name));
}
