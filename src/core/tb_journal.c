
/*
 * Journals as bytes; see tb_journal.h.
 */


#include <string.h>

#include "src/core/tb_bytes.h"
#include "src/core/tb_hash.h"
#include "src/core/gw_id.h"
#include "src/core/tb_journal.h"


static const unsigned char  tb_journal_magic[8] = "tbjrnl1\n";


static uint64_t tb_journal_checksum(const unsigned char *p, size_t size,
    uint64_t owner, uint64_t offset);
static const unsigned char *tb_journal_parse(const unsigned char *p,
    const unsigned char *end, tb_change_t *change);


void
tb_journal_write_header(unsigned char *p, uint64_t number, uint64_t owner)
{
    memcpy(p, tb_journal_magic, 8);
    tb_put64(p + 8, number);
    tb_put64(p + 16, owner);
    tb_put64(p + 24, XXH3_64bits(p, 24));
}


bool
tb_journal_read_header(const unsigned char *p, size_t len, uint64_t *number,
    uint64_t *owner)
{
    if (len < TB_JOURNAL_HEADER_SIZE
        || memcmp(p, tb_journal_magic, 8) != 0
        || tb_get64(p + 24) != XXH3_64bits(p, 24))
    {
        return false;
    }

    *number = tb_get64(p + 8);
    *owner = tb_get64(p + 16);

    return true;
}


size_t
tb_journal_write_change(unsigned char *p, const tb_change_t *change)
{
    unsigned char  *start;

    start = p;

    *p++ = (unsigned char) change->kind;
    *p++ = (unsigned char) change->len;

    if (change->kind & TB_JOURNAL_SET) {
        p = tb_put32(p, change->capacity);
        p = tb_put64(p, change->rate);
    }

    if (change->kind & TB_JOURNAL_TOKENS) {
        p = tb_put64(p, change->tokens);
    }

    memcpy(p, change->id, change->len);

    return (size_t) (p - start) + change->len;
}


void
tb_journal_write_record(unsigned char *p, size_t size, uint32_t count,
    uint64_t at, uint64_t owner, uint64_t offset)
{
    tb_put32(p + 8, (uint32_t) (size - TB_JOURNAL_RECORD_SIZE));
    tb_put32(p + 12, count);
    tb_put64(p + 16, at);
    tb_put64(p, tb_journal_checksum(p, size, owner, offset));
}


void
tb_journal_init(tb_journal_t *j, const unsigned char *text, size_t len,
    uint64_t owner)
{
    memset(j, 0, sizeof(tb_journal_t));

    j->text = text;
    j->len = len;
    j->owner = owner;
    j->offset = TB_JOURNAL_HEADER_SIZE;
}


tb_journal_status_t
tb_journal_next(tb_journal_t *j)
{
    size_t                left, size;
    uint32_t              i, count;
    tb_change_t           change;
    const unsigned char  *p, *q;

    if (j->offset >= j->len) {
        return TB_JOURNAL_END;
    }

    p = j->text + j->offset;
    left = j->len - j->offset;

    if (left < TB_JOURNAL_RECORD_SIZE
        || tb_get32(p + 8) > left - TB_JOURNAL_RECORD_SIZE)
    {
        return TB_JOURNAL_TORN;
    }

    size = TB_JOURNAL_RECORD_SIZE + (size_t) tb_get32(p + 8);

    if (tb_get64(p) != tb_journal_checksum(p, size, j->owner, j->offset)) {
        return TB_JOURNAL_TORN;
    }

    count = tb_get32(p + 12);
    q = p + TB_JOURNAL_RECORD_SIZE;

    for (i = 0; i < count; i++) {
        q = tb_journal_parse(q, p + size, &change);

        if (q == NULL) {
            return TB_JOURNAL_TORN;
        }
    }

    if (q != p + size) {
        return TB_JOURNAL_TORN;
    }

    j->at = tb_get64(p + 16);
    j->count = count;
    j->next = p + TB_JOURNAL_RECORD_SIZE;
    j->offset += size;

    return TB_JOURNAL_OK;
}


bool
tb_journal_change(tb_journal_t *j, tb_change_t *change)
{
    if (j->count == 0) {
        return false;
    }

    j->count--;
    j->next = tb_journal_parse(j->next, j->text + j->offset, change);

    return j->next != NULL;
}


static uint64_t
tb_journal_checksum(const unsigned char *p, size_t size, uint64_t owner,
    uint64_t offset)
{
    return XXH3_64bits_withSeed(p + 8, size - 8, owner + offset);
}


/* Returns where the change ends, or NULL if it is none. */

static const unsigned char *
tb_journal_parse(const unsigned char *p, const unsigned char *end,
    tb_change_t *change)
{
    size_t  size;

    if (end - p < 2) {
        return NULL;
    }

    memset(change, 0, sizeof(tb_change_t));

    change->kind = *p++;
    change->len = *p++;

    switch (change->kind) {

    case TB_JOURNAL_REMOVE:
        size = 0;
        break;

    case TB_JOURNAL_SET:
        size = 12;
        break;

    case TB_JOURNAL_SET|TB_JOURNAL_TOKENS:
        size = 20;
        break;

    default:
        return NULL;
    }

    if ((size_t) (end - p) < size + change->len) {
        return NULL;
    }

    if (size >= 12) {
        change->capacity = tb_get32(p);
        change->rate = tb_get64(p + 4);

        if (change->capacity < 1 || change->capacity > TB_CAPACITY_MAX
            || change->rate < TB_RATE_MIN || change->rate > TB_RATE_MAX)
        {
            return NULL;
        }
    }

    if (size == 20) {
        change->tokens = tb_get64(p + 12);

        if (change->tokens > change->capacity * TB_TOKEN) {
            return NULL;
        }
    }

    change->id = p + size;

    if (gw_id_check((const char *) change->id, change->len) != GW_ID_OK) {
        return NULL;
    }

    return change->id + change->len;
}
