
/*
 * Files of the tz database: whatever one says, windows hold the time that they
 * are of, and are not empty.  The first eight bytes are that time.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/limit/tb_window.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t      t;
    tb_tz_t      tz;
    tb_period_t  period;
    tb_window_t  w;

    if (size < sizeof(t)) {
        return 0;
    }

    memcpy(&t, data, sizeof(t));
    t &= INT64_C(0xffffffffff);

    if (!tb_tz_read(&tz, data + sizeof(t), size - sizeof(t))) {
        return 0;
    }

    for (period = TB_HOUR; period <= TB_MONTH; period++) {
        tb_window(&tz, period, t, &w);
        fuzz_check(w.begin <= t && t < w.end);
    }

    return 0;
}
