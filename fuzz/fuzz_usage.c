
/*
 * Answers of language models.  The first byte says whether they are events
 * and how the rest is cut; the numbers must be the same as on the whole.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/limit/tb_usage.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t             i, n, step;
    uint64_t           a, b;
    tb_usage_t         cut, whole;
    tb_usage_number_t  which;

    if (size == 0) {
        return 0;
    }

    tb_usage_init(&whole, data[0] & 0x80);
    tb_usage_init(&cut, data[0] & 0x80);

    step = 1 + (data[0] & 0x3f);
    data++;
    size--;

    tb_usage_feed(&whole, (const char *) data, size);

    for (i = 0; i < size; i += n) {
        n = (step < size - i) ? step : size - i;
        tb_usage_feed(&cut, (const char *) data + i, n);
    }

    for (which = TB_USAGE_INPUT; which < TB_USAGE_NUMBERS; which++) {
        fuzz_check(tb_usage_get(&whole, which, &a)
                   == tb_usage_get(&cut, which, &b));
        fuzz_check(a == b);
    }

    return 0;
}
