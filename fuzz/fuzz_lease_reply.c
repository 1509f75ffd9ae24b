
/*
 * Replies of the script that leases tokens.  The first byte is how many
 * buckets the call was about; what is accepted must be in range.
 */


#include <stdint.h>

#include "fuzz/fuzz.h"
#include "src/core/lease/tb_lease.h"


#define FUZZ_LEASES  8


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t           i, n;
    tb_lease_reply_t   reply;
    tb_lease_answer_t  answers[FUZZ_LEASES];

    if (size == 0) {
        return 0;
    }

    n = data[0] % (FUZZ_LEASES + 1);

    if (!tb_lease_read(data + 1, size - 1, n, &reply, answers)) {
        return 0;
    }

    fuzz_check(reply.share <= TB_LEASE_ALL);

    if (reply.status == TB_LEASE_UNKNOWN) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        fuzz_check(answers[i].status <= TB_LEASE_STALE);
        fuzz_check(answers[i].left <= (int64_t) TB_COST_MAX);
        fuzz_check(answers[i].left >= -TB_DEBT_MAX);
        fuzz_check(answers[i].delta <= (int64_t) TB_COST_MAX
                   && answers[i].delta >= -(int64_t) TB_COST_MAX);
    }

    return 0;
}
