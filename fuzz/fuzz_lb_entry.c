
/*
 * Servers as JSON: bodies of the upstreams API, and state files.  The first
 * byte chooses the form and the size of the pieces; what is accepted must be
 * in range, and what is written of it must read back the same.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/balance/lb_entry.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


typedef struct {
    size_t         length;
    unsigned char  text[8192];
} fuzz_lb_entry_text_t;


typedef struct {
    size_t         count;
    uint64_t       sum;
} fuzz_lb_entry_seen_t;


static void
fuzz_lb_entry_print(void *ctx, const char *data, size_t len)
{
    fuzz_lb_entry_text_t  *text = ctx;

    fuzz_check(len <= sizeof(text->text) - text->length);

    memcpy(text->text + text->length, data, len);
    text->length += len;
}


static int
fuzz_lb_entry_again(gw_record_t *reader, void *data)
{
    fuzz_check(memcmp(reader->record, data, sizeof(lb_entry_t)) == 0);

    return 0;
}


static int
fuzz_lb_entry_each(gw_record_t *reader, void *data)
{
    yajl_gen                    gen;
    lb_entry_t                  entry, copy;
    gw_json_arena_t             arena;
    fuzz_lb_entry_seen_t       *seen = data;
    fuzz_lb_entry_text_t        text;
    static gw_record_t          again;
    static union {
        long double             align;
        unsigned char           data[GW_JSON_WRITE_ARENA];
    } memory;

    memcpy(&entry, reader->record, sizeof(lb_entry_t));

    fuzz_check(!(entry.members & LB_ENTRY_WEIGHT) || entry.weight > 0);
    fuzz_check(!(entry.members & LB_ENTRY_ID)
               || (entry.id > 0 && entry.id <= LB_ENTRY_ID_MAX));
    fuzz_check(entry.fail_timeout <= (uint64_t) LB_ENTRY_TIME_MAX * 1000);
    fuzz_check(entry.address_length <= LB_ENTRY_TEXT_MAX);
    fuzz_check(entry.name_length <= LB_ENTRY_TEXT_MAX);

    seen->count++;
    seen->sum = seen->sum * 31 + entry.weight + entry.max_conns
                + entry.fail_timeout + entry.address_length + entry.members;

    if (!(entry.members & LB_ENTRY_ADDRESS)) {
        return 0;
    }

    text.length = 0;
    fuzz_lb_entry_print(&text, "{\"servers\":[", 12);

    gen = gw_json_writer(&arena, memory.data, fuzz_lb_entry_print, &text);
    fuzz_check(gen != NULL);

    (void) yajl_gen_map_open(gen);
    gw_member_write(gen, lb_entry_members, &entry);
    (void) yajl_gen_map_close(gen);
    fuzz_lb_entry_print(&text, "]}", 2);

    gw_record_init(&again, &lb_entry_file, &copy, fuzz_lb_entry_again,
                   &entry);
    fuzz_check(gw_record_feed(&again, text.text, text.length) == 0);
    fuzz_check(gw_record_finish(&again) == 0);

    return 0;
}


static int
fuzz_lb_entry_read(const gw_record_form_t *form, const uint8_t *data,
    size_t size, size_t piece, fuzz_lb_entry_seen_t *seen)
{
    int                         rc;
    size_t                      i, n;
    lb_entry_t                  entry;
    static gw_record_t          reader;

    memset(seen, 0, sizeof(*seen));
    gw_record_init(&reader, form, &entry, fuzz_lb_entry_each, seen);

    rc = 0;

    for (i = 0; i < size && rc == 0; i += n) {
        n = (size - i < piece) ? size - i : piece;
        rc = gw_record_feed(&reader, data + i, n);
    }

    if (rc == 0) {
        rc = gw_record_finish(&reader);
    }

    fuzz_check((rc == 0) == (reader.json.error[0] == '\0'));
    fuzz_check(strlen(reader.json.error) < GW_JSON_ERROR_SIZE);

    return rc;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                             whole, pieces;
    fuzz_lb_entry_seen_t            a, b;
    const gw_record_form_t         *form;
    static const gw_record_form_t *const  forms[] = {
        &lb_entry_new, &lb_entry_change, &lb_entry_file, &lb_entry_file
    };

    if (size == 0) {
        return 0;
    }

    form = forms[data[0] & 3];

    whole = fuzz_lb_entry_read(form, data + 1, size - 1, size, &a);
    pieces = fuzz_lb_entry_read(form, data + 1, size - 1, 1 + (data[0] >> 2),
                                &b);

    fuzz_check(whole == pieces);
    fuzz_check(whole != 0 || (a.count == b.count && a.sum == b.sum));

    return 0;
}
