
/*
 * Journals and files of token states.  The first byte says which; if its
 * second bit is set, checksums are made right, so that what they keep out is
 * tried as well.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/tb_bytes.h"
#include "src/core/gw_id.h"
#include "src/core/tb_journal.h"
#include "src/core/tb_tokens.h"


#define FUZZ_OWNER  42


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_journal_fix(unsigned char *text, size_t size)
{
    size_t  at, len;

    if (size >= TB_JOURNAL_HEADER_SIZE) {
        tb_journal_write_header(text, 7, FUZZ_OWNER);
    }

    for (at = TB_JOURNAL_HEADER_SIZE; at + TB_JOURNAL_RECORD_SIZE <= size;
         at += len)
    {
        len = TB_JOURNAL_RECORD_SIZE + (size_t) tb_get32(text + at + 8);

        if (len > size - at) {
            return;
        }

        tb_journal_write_record(text + at, len, tb_get32(text + at + 12),
                                tb_get64(text + at + 16), FUZZ_OWNER, at);
    }
}


static void
fuzz_journal_text(const unsigned char *text, size_t size)
{
    uint64_t      number, owner;
    tb_change_t   c;
    tb_journal_t  j;

    if (!tb_journal_read_header(text, size, &number, &owner)) {
        return;
    }

    tb_journal_init(&j, text, size, owner);

    while (tb_journal_next(&j) == TB_JOURNAL_OK) {
        fuzz_check(j.offset <= size);

        while (tb_journal_change(&j, &c)) {
            fuzz_check(gw_id_check((const char *) c.id, c.len) == GW_ID_OK);

            if (c.kind & TB_JOURNAL_SET) {
                fuzz_check(c.capacity >= 1 && c.capacity <= TB_CAPACITY_MAX);
                fuzz_check(c.rate >= TB_RATE_MIN && c.rate <= TB_RATE_MAX);
                fuzz_check(c.tokens <= c.capacity * TB_TOKEN);
            }
        }
    }
}


static void
fuzz_journal_tokens(unsigned char *text, size_t size, int fix)
{
    size_t       body;
    uint64_t     n, tokens, at;
    tb_hash_t    h;
    tb_tokens_t  t;

    body = TB_TOKENS_HEADER_SIZE + TB_TOKENS_TRAILER_SIZE;

    if (fix && size >= body) {
        memcpy(text, "tbtokn1\n", 8);
        size -= (size - body) % TB_TOKENS_ENTRY_SIZE;
        tb_put64(text + size - 16, (size - body) / TB_TOKENS_ENTRY_SIZE);
        tb_put64(text + size - 8, XXH3_64bits(text, size - 8));
    }

    if (!tb_tokens_init(&t, text, size)) {
        fuzz_check(!fix || size < body);
        return;
    }

    for (n = 0; tb_tokens_next(&t, &h, &tokens, &at); n++) {
        fuzz_check(h.lo != 0);
        fuzz_check(tb_tokens_credit(tokens, at, t.at, tb_limits(100, 7, 0))
                   <= 100 * TB_TOKEN);
    }

    fuzz_check(n <= size / TB_TOKENS_ENTRY_SIZE);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char  *text;

    if (size == 0) {
        return 0;
    }

    text = malloc(size);

    if (text == NULL) {
        return 0;
    }

    memcpy(text, data + 1, size - 1);

    if (data[0] & 1) {
        fuzz_journal_tokens(text, size - 1, data[0] & 2);

    } else {
        if (data[0] & 2) {
            fuzz_journal_fix(text, size - 1);
        }

        fuzz_journal_text(text, size - 1);
    }

    free(text);

    return 0;
}
