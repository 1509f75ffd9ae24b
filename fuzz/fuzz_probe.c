
/*
 * Answers to a health check.  The first byte says what is expected and how
 * the rest is cut; the verdict must be the same as on the whole.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/balance/lb_probe.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t        i, n, step;
    lb_probe_t    whole, cut;
    lb_expect_t   expect;
    lb_verdict_t  verdict;

    if (size == 0) {
        return 0;
    }

    memset(&expect, 0, sizeof(lb_expect_t));
    fuzz_check(lb_expect_status(&expect, "200-399", 7));

    expect.head = !!(data[0] & 0x80);

    if (data[0] & 0x40) {
        fuzz_check(lb_expect_text(&expect, "aab", 3));
    }

    step = 1 + (data[0] & 0x3f);
    data++;
    size--;

    lb_probe_start(&whole, &expect);
    (void) lb_probe_feed(&whole, data, size);
    verdict = lb_probe_end(&whole);

    lb_probe_start(&cut, &expect);

    for (i = 0; i < size; i += n) {
        n = (step < size - i) ? step : size - i;
        (void) lb_probe_feed(&cut, data + i, n);
    }

    fuzz_check(lb_probe_end(&cut) == verdict);
    fuzz_check(verdict == LB_PROBE_PASS || verdict == LB_PROBE_FAIL);

    fuzz_check(strcmp(lb_probe_reason(&cut), lb_probe_reason(&whole)) == 0);
    fuzz_check((verdict == LB_PROBE_FAIL)
               == (strlen(lb_probe_reason(&whole)) > 0));

    return 0;
}
