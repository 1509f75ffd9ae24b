
/*
 * The ring of recent changes, and ids of stream entries as text.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/limit/tb_recent.h"


static const char *tb_stream_id_number(uint64_t *number, const char *p,
    const char *end);


bool
tb_stream_id_parse(tb_stream_id_t *id, const char *text, size_t len)
{
    const char      *p, *end;
    tb_stream_id_t   parsed;

    end = text + len;

    p = tb_stream_id_number(&parsed.ms, text, end);

    if (p == NULL || p == end || *p != '-') {
        return false;
    }

    p = tb_stream_id_number(&parsed.seq, p + 1, end);

    if (p != end) {
        return false;
    }

    *id = parsed;

    return true;
}


/* Returns where the number ends, or NULL if there is none that fits. */

static const char *
tb_stream_id_number(uint64_t *number, const char *p, const char *end)
{
    uint64_t     n;
    unsigned     digit;
    const char  *start;

    n = 0;

    for (start = p; p < end && *p >= '0' && *p <= '9'; p++) {
        digit = (unsigned) (*p - '0');

        if (n > (UINT64_MAX - digit) / 10) {
            return NULL;
        }

        n = n * 10 + digit;
    }

    *number = n;

    return p > start ? p : NULL;
}


size_t
tb_stream_id_print(char *buf, const tb_stream_id_t *id)
{
    return (size_t) snprintf(buf, TB_STREAM_ID_SIZE, "%llu-%llu",
                             (unsigned long long) id->ms,
                             (unsigned long long) id->seq);
}


void
tb_recent_note(tb_recent_t *recent, uint64_t key, const tb_stream_id_t *id)
{
    uint32_t           i;
    tb_recent_slot_t  *slot;

    for (i = 0; i < TB_RECENT_SLOTS; i++) {
        slot = &recent->slots[i];

        if (slot->key == key) {

            if (tb_stream_id_compare(&slot->id, id) < 0) {
                slot->id = *id;
            }

            return;
        }
    }

    /* memory is shared, and whoever wrote to it may have died */

    slot = &recent->slots[recent->next % TB_RECENT_SLOTS];
    recent->next = (recent->next + 1) % TB_RECENT_SLOTS;

    if (slot->key != 0) {
        tb_recent_raise(recent, &slot->id);
    }

    slot->key = key;
    slot->id = *id;
}


void
tb_recent_raise(tb_recent_t *recent, const tb_stream_id_t *id)
{
    if (tb_stream_id_compare(&recent->floor, id) < 0) {
        recent->floor = *id;
    }
}


bool
tb_recent_covers(const tb_recent_t *recent, const tb_stream_id_t *id)
{
    return tb_stream_id_compare(&recent->floor, id) <= 0;
}


bool
tb_recent_allows(const tb_recent_t *recent, uint64_t key,
    const tb_stream_id_t *id)
{
    uint32_t  i;

    for (i = 0; i < TB_RECENT_SLOTS; i++) {
        if (recent->slots[i].key == key) {
            return tb_stream_id_compare(&recent->slots[i].id, id) <= 0;
        }
    }

    return true;
}


void
tb_recent_clear(tb_recent_t *recent)
{
    memset(recent, 0, sizeof(tb_recent_t));
}
