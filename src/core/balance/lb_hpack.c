
/*
 * Reading header blocks of HTTP/2.
 *
 * The Huffman code is a canonical one: its codes follow from their lengths, so
 * these are all that is kept here of the table of RFC 7541, appendix B.
 */


#include <string.h>

#include "src/core/balance/lb_hpack.h"


#define LB_HPACK_EOS       256

/* what an entry costs beyond its texts */
#define LB_HPACK_OVERHEAD  32

/* entries of the static table, of which the index is counted from 1 */
#define LB_HPACK_STATIC                                                      \
    (sizeof(lb_hpack_static) / sizeof(lb_hpack_static[0]))

/* no number of a block that makes sense is larger */
#define LB_HPACK_NUMBER    0xfffff


typedef struct {
    const char           *name;
    const char           *value;
} lb_hpack_static_t;


/* what is left of a block */

typedef struct {
    const unsigned char  *p;
    const unsigned char  *end;
} lb_hpack_rest_t;


typedef struct {
    const unsigned char  *name;
    size_t                name_length;
    const unsigned char  *value;
    size_t                value_length;
} lb_hpack_field_t;


static const uint8_t  lb_hpack_lengths[LB_HPACK_SYMBOLS] = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28,
    28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12,
    13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6,
    7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6,
    6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14,
    13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21,
    20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21,
    23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23,
    22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22,
    25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
    27, 27, 27, 26, 30
};


static const lb_hpack_static_t  lb_hpack_static[] = {
    { ":authority", "" },
    { ":method", "GET" },
    { ":method", "POST" },
    { ":path", "/" },
    { ":path", "/index.html" },
    { ":scheme", "http" },
    { ":scheme", "https" },
    { ":status", "200" },
    { ":status", "204" },
    { ":status", "206" },
    { ":status", "304" },
    { ":status", "400" },
    { ":status", "404" },
    { ":status", "500" },
    { "accept-charset", "" },
    { "accept-encoding", "gzip, deflate" },
    { "accept-language", "" },
    { "accept-ranges", "" },
    { "accept", "" },
    { "access-control-allow-origin", "" },
    { "age", "" },
    { "allow", "" },
    { "authorization", "" },
    { "cache-control", "" },
    { "content-disposition", "" },
    { "content-encoding", "" },
    { "content-language", "" },
    { "content-length", "" },
    { "content-location", "" },
    { "content-range", "" },
    { "content-type", "" },
    { "cookie", "" },
    { "date", "" },
    { "etag", "" },
    { "expect", "" },
    { "expires", "" },
    { "from", "" },
    { "host", "" },
    { "if-match", "" },
    { "if-modified-since", "" },
    { "if-none-match", "" },
    { "if-range", "" },
    { "if-unmodified-since", "" },
    { "last-modified", "" },
    { "link", "" },
    { "location", "" },
    { "max-forwards", "" },
    { "proxy-authenticate", "" },
    { "proxy-authorization", "" },
    { "range", "" },
    { "referer", "" },
    { "refresh", "" },
    { "retry-after", "" },
    { "server", "" },
    { "set-cookie", "" },
    { "strict-transport-security", "" },
    { "transfer-encoding", "" },
    { "user-agent", "" },
    { "vary", "" },
    { "via", "" },
    { "www-authenticate", "" },
};


static bool lb_hpack_indexed(lb_hpack_t *hpack, uint32_t index,
    lb_hpack_field_t *field);
static bool lb_hpack_literal(lb_hpack_t *hpack, lb_hpack_rest_t *rest,
    unsigned prefix, lb_hpack_field_t *field);
static bool lb_hpack_number(lb_hpack_rest_t *rest, unsigned prefix,
    uint32_t *number);
static bool lb_hpack_text(lb_hpack_t *hpack, lb_hpack_rest_t *rest,
    unsigned char *text, size_t *length);
static bool lb_hpack_huffman(lb_hpack_t *hpack, const unsigned char *coded,
    size_t n, unsigned char *text, size_t *length);
static void lb_hpack_add(lb_hpack_t *hpack, const lb_hpack_field_t *field);
static void lb_hpack_evict(lb_hpack_t *hpack, uint32_t limit);


void
lb_hpack_init(lb_hpack_t *hpack)
{
    uint32_t  code;
    uint16_t  place;
    unsigned  i, length;

    hpack->n = 0;
    hpack->used = 0;
    hpack->limit = LB_HPACK_TABLE;

    code = 0;
    place = 0;

    for (length = 0; length < LB_HPACK_BITS; length++) {
        code <<= 1;

        hpack->first[length] = code;
        hpack->offset[length] = place;

        for (i = 0; i < LB_HPACK_SYMBOLS; i++) {

            if (lb_hpack_lengths[i] == length) {
                hpack->symbols[place++] = (uint16_t) i;
                code++;
            }
        }

        hpack->count[length] = (uint16_t) (place - hpack->offset[length]);
    }
}


bool
lb_hpack_read(lb_hpack_t *hpack, const unsigned char *block, size_t length,
    lb_hpack_pt field, void *data)
{
    bool              ok;
    uint32_t          number;
    unsigned char     c;
    lb_hpack_rest_t   rest = { block, block + length };
    lb_hpack_field_t  found;

    while (rest.p < rest.end) {
        c = *rest.p;

        if ((c & 0xe0) == 0x20) {

            if (!lb_hpack_number(&rest, 5, &number)
                || number > LB_HPACK_TABLE)
            {
                return false;
            }

            hpack->limit = number;
            lb_hpack_evict(hpack, number);
            continue;
        }

        if (c & 0x80) {
            ok = lb_hpack_number(&rest, 7, &number)
                 && lb_hpack_indexed(hpack, number, &found);

        } else {
            ok = lb_hpack_literal(hpack, &rest, (c & 0x40) ? 6 : 4, &found);
        }

        if (!ok) {
            return false;
        }

        field(data, found.name, found.name_length, found.value,
              found.value_length);

        if ((c & 0xc0) == 0x40) {
            lb_hpack_add(hpack, &found);
        }
    }

    return true;
}


static bool
lb_hpack_indexed(lb_hpack_t *hpack, uint32_t index, lb_hpack_field_t *field)
{
    uint32_t                  i, at;
    const lb_hpack_entry_t   *entry;
    const lb_hpack_static_t  *fixed;

    if (index == 0 || index > LB_HPACK_STATIC + hpack->n) {
        return false;
    }

    if (index <= LB_HPACK_STATIC) {
        fixed = &lb_hpack_static[index - 1];

        field->name = (const unsigned char *) fixed->name;
        field->name_length = strlen(fixed->name);
        field->value = (const unsigned char *) fixed->value;
        field->value_length = strlen(fixed->value);

        return true;
    }

    /* the one added last has the lowest index */

    at = 0;
    index = hpack->n - (uint32_t) (index - LB_HPACK_STATIC);

    for (i = 0; i < index; i++) {
        at += (uint32_t) hpack->entries[i].name_length
              + hpack->entries[i].value_length;
    }

    entry = &hpack->entries[index];

    field->name = hpack->table + at;
    field->name_length = entry->name_length;
    field->value = hpack->table + at + entry->name_length;
    field->value_length = entry->value_length;

    return true;
}


/* The name may be in the table, which is about to change: it is copied. */

static bool
lb_hpack_literal(lb_hpack_t *hpack, lb_hpack_rest_t *rest, unsigned prefix,
    lb_hpack_field_t *field)
{
    uint32_t  index;

    if (!lb_hpack_number(rest, prefix, &index)) {
        return false;
    }

    if (index != 0) {

        if (!lb_hpack_indexed(hpack, index, field)) {
            return false;
        }

        memcpy(hpack->name, field->name, field->name_length);

    } else if (!lb_hpack_text(hpack, rest, hpack->name, &field->name_length)) {
        return false;
    }

    field->name = hpack->name;
    field->value = hpack->value;

    return lb_hpack_text(hpack, rest, hpack->value, &field->value_length);
}


static bool
lb_hpack_number(lb_hpack_rest_t *rest, unsigned prefix, uint32_t *number)
{
    uint32_t       mask, n;
    unsigned       shift;
    unsigned char  c;

    if (rest->p == rest->end) {
        return false;
    }

    mask = ((uint32_t) 1 << prefix) - 1;
    n = *rest->p++ & mask;

    if (n == mask) {

        for (shift = 0; /* void */ ; shift += 7) {

            if (rest->p == rest->end || shift > 21) {
                return false;
            }

            c = *rest->p++;
            n += (uint32_t) (c & 0x7f) << shift;

            if (!(c & 0x80)) {
                break;
            }
        }
    }

    *number = n;

    return n <= LB_HPACK_NUMBER;
}


static bool
lb_hpack_text(lb_hpack_t *hpack, lb_hpack_rest_t *rest, unsigned char *text,
    size_t *length)
{
    bool                  coded;
    uint32_t              n;
    const unsigned char  *p;

    coded = (rest->p < rest->end && (*rest->p & 0x80));

    if (!lb_hpack_number(rest, 7, &n) || n > (size_t) (rest->end - rest->p)) {
        return false;
    }

    p = rest->p;
    rest->p += n;

    if (coded) {
        return lb_hpack_huffman(hpack, p, n, text, length);
    }

    if (n > LB_HPACK_TEXT) {
        return false;
    }

    memcpy(text, p, n);
    *length = n;

    return true;
}


static bool
lb_hpack_huffman(lb_hpack_t *hpack, const unsigned char *coded, size_t n,
    unsigned char *text, size_t *length)
{
    size_t    i, out;
    uint32_t  code, symbol;
    unsigned  bits;

    out = 0;
    code = 0;
    bits = 0;

    for (i = 0; i < 8 * n; i++) {
        code = code << 1 | (coded[i / 8] >> (7 - i % 8) & 1);

        if (++bits == LB_HPACK_BITS) {
            return false;
        }

        if (code < hpack->first[bits]
            || code - hpack->first[bits] >= hpack->count[bits])
        {
            continue;
        }

        symbol = hpack->symbols[hpack->offset[bits] + code
                                - hpack->first[bits]];

        if (symbol == LB_HPACK_EOS || out == LB_HPACK_TEXT) {
            return false;
        }

        text[out++] = (unsigned char) symbol;
        code = 0;
        bits = 0;
    }

    *length = out;

    /* it is filled up with less than a byte of ones */

    return bits < 8 && code == ((uint32_t) 1 << bits) - 1;
}


/* one that is larger than the table leaves it empty */

static void
lb_hpack_add(lb_hpack_t *hpack, const lb_hpack_field_t *field)
{
    uint32_t  size;

    size = (uint32_t) (field->name_length + field->value_length)
           + LB_HPACK_OVERHEAD;

    if (size > hpack->limit) {
        lb_hpack_evict(hpack, 0);
        return;
    }

    lb_hpack_evict(hpack, hpack->limit - size);

    memcpy(hpack->table + hpack->used, field->name, field->name_length);
    hpack->used += (uint32_t) field->name_length;

    memcpy(hpack->table + hpack->used, field->value, field->value_length);
    hpack->used += (uint32_t) field->value_length;

    hpack->entries[hpack->n].name_length = (uint16_t) field->name_length;
    hpack->entries[hpack->n].value_length = (uint16_t) field->value_length;
    hpack->n++;
}


/* removes the oldest entries until the table has that size at most */

static void
lb_hpack_evict(lb_hpack_t *hpack, uint32_t limit)
{
    uint32_t  i, bytes;

    bytes = 0;

    for (i = 0; i < hpack->n; i++) {

        if (hpack->used - bytes + LB_HPACK_OVERHEAD * (hpack->n - i) <= limit)
        {
            break;
        }

        bytes += (uint32_t) hpack->entries[i].name_length
                 + hpack->entries[i].value_length;
    }

    if (i == 0) {
        return;
    }

    hpack->n -= i;
    hpack->used -= bytes;

    memmove(hpack->table, hpack->table + bytes, hpack->used);
    memmove(hpack->entries, hpack->entries + i,
            hpack->n * sizeof(lb_hpack_entry_t));
}
