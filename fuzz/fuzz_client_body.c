
/*
 * Bodies of the clients API.  The first byte chooses the form, the kind of zone
 * and the size of the pieces; what is accepted must be in range and read back
 * the same.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "src/core/limit/tb_client.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* The number of clients, and a sum over all of them. */

typedef struct {
    size_t    count;
    uint64_t  sum;
} fuzz_client_seen_t;


static void
fuzz_client_check(const tb_client_t *c)
{
    fuzz_check(!(c->members & TB_CLIENT_ID)
               || gw_id_check(c->id, c->id_len) == GW_ID_OK);
    fuzz_check(!(c->members & TB_CLIENT_CAPACITY)
               || (c->capacity >= 1 && c->capacity <= TB_CAPACITY_MAX));
    fuzz_check(!(c->members & TB_CLIENT_RATE)
               || (c->rate >= 1 && c->rate <= TB_RATE_MAX));
    fuzz_check(!(c->members & TB_CLIENT_TOKENS)
               || (c->tokens >= 0
                   && c->tokens <= (int64_t) (TB_CAPACITY_MAX * TB_TOKEN)));
    fuzz_check(!(c->members & TB_CLIENT_QUOTA)
               || (c->quota >= 1 && c->quota <= TB_CAPACITY_MAX));
    fuzz_check(!(c->members & TB_CLIENT_INFLIGHT)
               || (c->inflight >= 1 && c->inflight <= TB_CAPACITY_MAX));
    fuzz_check(!(c->members & TB_CLIENT_PLAN)
               || tb_plan_is_name(c->plan, c->plan_len));
}


static int
fuzz_client_each(gw_record_t *reader, void *data)
{
    const tb_client_t   *c;
    fuzz_client_seen_t  *seen = data;

    c = reader->record;
    fuzz_client_check(c);

    seen->count++;
    seen->sum = seen->sum * 31 + c->rate + c->capacity + c->quota
                + c->inflight + (uint64_t) c->tokens + c->plan_len
                + c->id_len + c->blocked + 2 * c->unlimited;

    return 0;
}


static int
fuzz_client_read(const gw_record_form_t *form, const uint8_t *data,
    size_t size, size_t piece, fuzz_client_seen_t *seen)
{
    int                         rc;
    size_t                      i, n;
    tb_client_t                 client;
    static gw_record_t          reader;

    memset(seen, 0, sizeof(*seen));
    gw_record_init(&reader, form, &client, fuzz_client_each, seen);

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
    fuzz_check(reader.json.arena.used <= GW_JSON_READ_ARENA - 1024);

    return rc;
}


static const gw_record_form_t *
fuzz_client_form(const tb_client_forms_t *forms, unsigned n)
{
    switch (n) {

    case 0:
        return &forms->create;

    case 1:
        return &forms->bulk;

    case 2:
        return &forms->replace;

    default:
        return &forms->change;
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                            whole, pieces;
    size_t                         piece;
    fuzz_client_seen_t             a, b;
    const gw_record_form_t        *form;
    static tb_client_forms_t       kinds[4];

    if (size == 0) {
        return 0;
    }

    if (kinds[0].unit == 0) {
        tb_client_forms_init(&kinds[0], TB_KIND_RATE, 1);
        tb_client_forms_init(&kinds[1], TB_KIND_RATE, 1000);
        tb_client_forms_init(&kinds[2], TB_KIND_QUOTA, 7);
        tb_client_forms_init(&kinds[3], TB_KIND_INFLIGHT, 1);
    }

    form = fuzz_client_form(&kinds[data[0] >> 2 & 3], data[0] & 3);
    piece = 1 + (data[0] >> 4);

    whole = fuzz_client_read(form, data + 1, size - 1, size, &a);
    pieces = fuzz_client_read(form, data + 1, size - 1, piece, &b);

    fuzz_check(whole == pieces);
    fuzz_check(whole != 0 || (a.count == b.count && a.sum == b.sum));

    return 0;
}
