
/*
 * The state of a bucket as bytes, and what it is worth later.  Not here:
 * where states are kept.
 *
 *     lo 8 | hi 8 | tokens 8     the client's hash, µtok; little-endian, two's
 *                                complement: less than 0 is debt
 */


#ifndef TB_TOKENS_H
#define TB_TOKENS_H


#include "src/core/limit/tb_bucket.h"
#include "src/core/limit/tb_hash.h"


#define TB_TOKENS_ENTRY_SIZE  24


/* These write one state or read one, and return what follows it in p. */

unsigned char *tb_tokens_write(unsigned char *p, const tb_hash_t *h,
    int64_t tokens);
const unsigned char *tb_tokens_read(const unsigned char *p, tb_hash_t *h,
    int64_t *tokens);

/*
 * The tokens (µtok) at now of a bucket that held tokens at at, both in ms
 * since 1970.  A clock that was set back credits nothing, and there is no more
 * debt than a bucket has.
 */

int64_t tb_tokens_credit(int64_t tokens, uint64_t at, uint64_t now,
    tb_limits_t limits);


#endif /* TB_TOKENS_H */
