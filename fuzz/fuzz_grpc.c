
/*
 * Answers to a health check over gRPC.  The first byte says how the rest is
 * cut; the verdict must be the same as on the whole, and what is to be sent
 * has to fit.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/balance/lb_grpc.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t        i, n, step;
    lb_grpc_t    *whole, *cut;
    lb_verdict_t  verdict;

    if (size == 0) {
        return 0;
    }

    whole = malloc(sizeof(lb_grpc_t));
    cut = malloc(sizeof(lb_grpc_t));

    fuzz_check(whole != NULL && cut != NULL);

    step = 1 + (data[0] & 0x3f);
    data++;
    size--;

    lb_grpc_start(whole);
    (void) lb_grpc_feed(whole, data, size);
    verdict = lb_grpc_end(whole);

    lb_grpc_start(cut);

    for (i = 0; i < size; i += n) {
        n = (step < size - i) ? step : size - i;
        (void) lb_grpc_feed(cut, data + i, n);
        fuzz_check(cut->output_length <= LB_GRPC_OUTPUT);
    }

    fuzz_check(lb_grpc_end(cut) == verdict);
    fuzz_check(strcmp(cut->reason, whole->reason) == 0);
    fuzz_check((verdict == LB_PROBE_FAIL) == (strlen(whole->reason) > 0));
    fuzz_check(cut->hpack.n <= LB_HPACK_ENTRIES);

    lb_grpc_sent(cut, cut->output_length);

    free(whole);
    free(cut);

    return 0;
}
