
/*
 * Files of clients, which people edit: whatever is in one, every entry that
 * is given out is in range and printable, and reads back the same.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/tb_snapshot.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_clients_file_again(tb_snapshot_t *s, void *data)
{
    const tb_client_t  *c = data;

    fuzz_check(s->wrong[0] == '\0');
    fuzz_check(s->client.id_len == c->id_len);
    fuzz_check(memcmp(s->client.id, c->id, c->id_len) == 0);
    fuzz_check(s->client.capacity == c->capacity);
    fuzz_check(s->client.rate == c->rate);
}


static void
fuzz_clients_file_each(tb_snapshot_t *s, void *data)
{
    char                  text[3 * TB_SNAPSHOT_LINE_SIZE];
    size_t                len;
    const tb_client_t    *c;
    static tb_snapshot_t  again;

    (void) data;

    if (s->wrong[0] != '\0') {
        return;
    }

    c = &s->client;

    fuzz_check(gw_id_check(c->id, c->id_len) == GW_ID_OK);
    fuzz_check(c->capacity >= 1 && c->capacity <= TB_CAPACITY_MAX);
    fuzz_check(c->rate >= TB_RATE_MIN && c->rate <= TB_RATE_MAX);

    len = tb_snapshot_write_begin(text, c->id, c->id_len, 1);
    len += tb_snapshot_write_client(text + len, c->id, c->id_len,
                                    c->capacity, c->rate, true);
    len += tb_snapshot_write_end(text + len);

    tb_snapshot_init(&again, fuzz_clients_file_again, &s->client);
    fuzz_check(tb_snapshot_feed(&again, text, len) == 0);
    fuzz_check(tb_snapshot_finish(&again) == 0);
    fuzz_check(again.count == 1 && again.zone_len == c->id_len);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static tb_snapshot_t  s;

    tb_snapshot_init(&s, fuzz_clients_file_each, NULL);

    if (tb_snapshot_feed(&s, (const char *) data, size) != 0
        || tb_snapshot_finish(&s) != 0)
    {
        fuzz_check(s.json.error[0] != '\0');
        fuzz_check(s.line >= 1);
    }

    return 0;
}
