
/*
 * The format of a file of token states, as bytes: the buckets of a table
 * that are not full, by hash, and the secret of that hash.  Not here: files.
 *
 *     magic 8 | at 8 | secret 192 | entries | count 8 | checksum 8
 *     entry   lo 8 | hi 8 | word 8
 *
 * Integers are little-endian.  at is when the first entry was taken, in ms
 * since 1970; a word is a bucket's (tb_bucket.h), its stamp the ms since
 * then.  The checksum is XXH3 of all before it.
 */


#ifndef TB_TOKENS_H
#define TB_TOKENS_H


#include <stddef.h>

#include "src/core/tb_bucket.h"
#include "src/core/tb_hash.h"


#define TB_TOKENS_HEADER_SIZE   (16 + TB_SECRET_SIZE)
#define TB_TOKENS_ENTRY_SIZE    24
#define TB_TOKENS_TRAILER_SIZE  16


/* What was written so far; aligned for XXH3, so never on a small stack. */

typedef struct {
    XXH3_state_t          sum;
    uint64_t              at;
    uint64_t              count;
} tb_tokens_writer_t;


typedef struct {
    const unsigned char  *next;
    uint64_t              count;        /* entries not yet given out */
    uint64_t              at;
    const uint8_t        *secret;
} tb_tokens_t;


/*
 * These write one part each and return its size; p has room for it.  An
 * entry later than a stamp can tell (4.6 hours) is not written: 0.
 */

size_t tb_tokens_write_header(tb_tokens_writer_t *w, unsigned char *p,
    uint64_t at, const uint8_t *secret);
size_t tb_tokens_write_entry(tb_tokens_writer_t *w, unsigned char *p,
    const tb_hash_t *h, uint64_t tokens, uint64_t at);
size_t tb_tokens_write_trailer(tb_tokens_writer_t *w, unsigned char *p);

/* Whether len bytes are such a file, whole; if so t is ready to be read. */

bool tb_tokens_init(tb_tokens_t *t, const unsigned char *text, size_t len);

/* The next entry: its tokens (µtok) at *at, ms since 1970; false: none. */

bool tb_tokens_next(tb_tokens_t *t, tb_hash_t *h, uint64_t *tokens,
    uint64_t *at);

/*
 * The tokens (µtok) at now of a bucket that held tokens at at, both in ms
 * since 1970.  A clock that was set back credits nothing.
 */

uint64_t tb_tokens_credit(uint64_t tokens, uint64_t at, uint64_t now,
    tb_limits_t limits);


#endif /* TB_TOKENS_H */
