
/*
 * Values that anybody may have put into Redis: what a client is given
 * (first byte even), or the tokens of a bucket.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/limit/tb_client.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                        buf[TB_CLIENT_VALUE_SIZE];
    size_t                      len;
    unsigned                    limits;
    tb_client_t                 c, again;
    const gw_record_form_t     *form;
    static gw_record_t          reader;
    static tb_client_forms_t    forms;

    if (size == 0) {
        return 0;
    }

    tb_client_forms_init(&forms, (data[0] >> 1) % 3,
                         (data[0] >> 1) % 3 == TB_KIND_INFLIGHT
                         ? 1 : 1 + (data[0] >> 3) * 33u);

    limits = !(data[0] & 1);
    form = limits ? &forms.value : &forms.state;

    if (gw_record_read(&reader, form, &c, data + 1, size - 1) != 0) {
        fuzz_check(reader.json.error[0] != '\0');
        return 0;
    }

    len = limits ? tb_client_print(buf, &c, forms.unit)
                 : tb_client_print_state(buf, &c, forms.unit);

    fuzz_check(len < TB_CLIENT_VALUE_SIZE && len == strlen(buf));
    fuzz_check(gw_record_read(&reader, form, &again, buf, len) == 0);
    fuzz_check(again.capacity == c.capacity);
    fuzz_check(again.rate == c.rate);
    fuzz_check(again.quota == c.quota);
    fuzz_check(again.inflight == c.inflight);
    fuzz_check(again.blocked == c.blocked);
    fuzz_check(again.unlimited == c.unlimited);
    fuzz_check(strcmp(again.plan, c.plan) == 0);
    fuzz_check(again.tokens == c.tokens);
    fuzz_check(again.at == c.at);

    return 0;
}
