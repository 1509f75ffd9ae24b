
/*
 * Token states as bytes; see tb_tokens.h.
 */


#include <string.h>

#include "src/core/tb_bytes.h"
#include "src/core/tb_tokens.h"


static const unsigned char  tb_tokens_magic[8] = "tbtokn1\n";


size_t
tb_tokens_write_header(tb_tokens_writer_t *w, unsigned char *p, uint64_t at,
    const uint8_t *secret)
{
    w->at = at;
    w->count = 0;

    memcpy(p, tb_tokens_magic, 8);
    tb_put64(p + 8, at);
    memcpy(p + 16, secret, TB_SECRET_SIZE);

    (void) XXH3_64bits_reset(&w->sum);
    (void) XXH3_64bits_update(&w->sum, p, TB_TOKENS_HEADER_SIZE);

    return TB_TOKENS_HEADER_SIZE;
}


size_t
tb_tokens_write_entry(tb_tokens_writer_t *w, unsigned char *p,
    const tb_hash_t *h, uint64_t tokens, uint64_t at)
{
    uint64_t  age;

    age = at > w->at ? at - w->at : 0;

    if (age > TB_STAMP_MASK) {
        return 0;
    }

    tb_put64(p, h->lo);
    tb_put64(p + 8, h->hi);
    tb_put64(p + 16, tb_word(tokens, age));

    (void) XXH3_64bits_update(&w->sum, p, TB_TOKENS_ENTRY_SIZE);

    w->count++;

    return TB_TOKENS_ENTRY_SIZE;
}


size_t
tb_tokens_write_trailer(tb_tokens_writer_t *w, unsigned char *p)
{
    tb_put64(p, w->count);

    (void) XXH3_64bits_update(&w->sum, p, 8);

    tb_put64(p + 8, XXH3_64bits_digest(&w->sum));

    return TB_TOKENS_TRAILER_SIZE;
}


bool
tb_tokens_init(tb_tokens_t *t, const unsigned char *text, size_t len)
{
    size_t                size;
    const unsigned char  *trailer;

    if (len < TB_TOKENS_HEADER_SIZE + TB_TOKENS_TRAILER_SIZE
        || memcmp(text, tb_tokens_magic, 8) != 0)
    {
        return false;
    }

    size = len - TB_TOKENS_HEADER_SIZE - TB_TOKENS_TRAILER_SIZE;
    trailer = text + len - TB_TOKENS_TRAILER_SIZE;

    if (size % TB_TOKENS_ENTRY_SIZE != 0
        || tb_get64(trailer) != size / TB_TOKENS_ENTRY_SIZE
        || tb_get64(trailer + 8) != XXH3_64bits(text, len - 8))
    {
        return false;
    }

    t->next = text + TB_TOKENS_HEADER_SIZE;
    t->count = tb_get64(trailer);
    t->at = tb_get64(text + 8);
    t->secret = text + 16;

    return true;
}


bool
tb_tokens_next(tb_tokens_t *t, tb_hash_t *h, uint64_t *tokens, uint64_t *at)
{
    tb_word_t  word;

    while (t->count > 0) {
        t->count--;

        h->lo = tb_get64(t->next);
        h->hi = tb_get64(t->next + 8);
        word = tb_get64(t->next + 16);

        t->next += TB_TOKENS_ENTRY_SIZE;

        if (h->lo == 0 || tb_word_is_vacant(word)) {
            continue;
        }

        *tokens = tb_word_tokens(word);
        *at = t->at + (word & TB_STAMP_MASK);

        return true;
    }

    return false;
}


uint64_t
tb_tokens_credit(uint64_t tokens, uint64_t at, uint64_t now,
    tb_limits_t limits)
{
    uint64_t  full;

    full = tb_limits_full(limits);

    if (tokens >= full) {
        return full;
    }

    if (now <= at) {
        return tokens;
    }

    return tokens + tb_rate_earned(tb_limits_rate(limits), now - at,
                                   full - tokens);
}
