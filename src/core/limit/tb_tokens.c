
/*
 * States of buckets as bytes; see tb_tokens.h.
 */


#include "src/core/text/gw_bytes.h"
#include "src/core/limit/tb_tokens.h"


unsigned char *
tb_tokens_write(unsigned char *p, const tb_hash_t *h, int64_t tokens)
{
    p = gw_put64(p, h->lo);
    p = gw_put64(p, h->hi);

    return gw_put64(p, (uint64_t) tokens);
}


const unsigned char *
tb_tokens_read(const unsigned char *p, tb_hash_t *h, int64_t *tokens)
{
    h->lo = gw_get64(p);
    h->hi = gw_get64(p + 8);
    *tokens = (int64_t) gw_get64(p + 16);

    return p + TB_TOKENS_ENTRY_SIZE;
}


int64_t
tb_tokens_credit(int64_t tokens, uint64_t at, uint64_t now,
    tb_limits_t limits)
{
    int64_t  full;

    full = (int64_t) tb_limits_room(limits);

    if (tokens >= full) {
        return full;
    }

    if (tokens < -TB_DEBT_MAX) {
        tokens = -TB_DEBT_MAX;
    }

    if (now <= at) {
        return tokens;
    }

    if (limits & TB_LIMITS_TIMELESS) {
        return tb_limits_renewed(limits, now, now - at, tokens);
    }

    return tokens
           + (int64_t) tb_rate_earned(tb_limits_rate(limits), now - at,
                                      (uint64_t) (full - tokens));
}
