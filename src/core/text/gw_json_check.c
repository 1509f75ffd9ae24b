
/*
 * The check of JSON text that runs ahead of yajl: a state machine of one
 * byte a step.
 */


#include <string.h>

#include "src/core/text/gw_id.h"
#include "src/core/text/gw_json_check.h"


typedef enum {
    GW_JSON_BETWEEN = 0,   /* outside of strings */
    GW_JSON_STRING,
    GW_JSON_ESCAPE,        /* after a backslash */
    GW_JSON_HEX1,          /* after "\u" ... */
    GW_JSON_HEX2,
    GW_JSON_HEX3,
    GW_JSON_HEX4           /* ... and three digits */
} gw_json_state_t;


static int gw_json_check_byte(gw_json_check_t *check, unsigned char c);
static int gw_json_check_between(gw_json_check_t *check, unsigned char c);
static int gw_json_check_string(gw_json_check_t *check, unsigned char c);
static int gw_json_check_hex(gw_json_check_t *check, unsigned char c);
static size_t gw_json_check_utf8(gw_json_check_t *check,
    const unsigned char *data, size_t len);
static int gw_json_refuse(gw_json_check_t *check, const char *reason);


size_t
gw_json_check(gw_json_check_t *check, const unsigned char *data, size_t len)
{
    size_t  i, n;

    for (i = 0; i < len; i += n) {

        if (check->npartial != 0 || data[i] >= 0x80) {
            n = gw_json_check_utf8(check, data + i, len - i);

            if (n == 0) {
                return i;
            }

        } else {
            n = 1;
        }

        if (!gw_json_check_byte(check, data[i])) {
            return i;
        }
    }

    return len;
}


static int
gw_json_check_byte(gw_json_check_t *check, unsigned char c)
{
    switch ((gw_json_state_t) check->state) {

    case GW_JSON_BETWEEN:
        return gw_json_check_between(check, c);

    case GW_JSON_STRING:
        return gw_json_check_string(check, c);

    case GW_JSON_ESCAPE:
        check->scalar++;
        check->unit = 0;
        check->state = (c == 'u') ? GW_JSON_HEX1 : GW_JSON_STRING;

        if (check->high && c != 'u') {
            return gw_json_refuse(check, "half a surrogate pair in a string");
        }

        return 1;

    case GW_JSON_HEX1:
    case GW_JSON_HEX2:
    case GW_JSON_HEX3:
    case GW_JSON_HEX4:
        check->scalar++;
        return gw_json_check_hex(check, c);
    }

    return 0;
}


static int
gw_json_check_between(gw_json_check_t *check, unsigned char c)
{
    switch (c) {

    case '"':
        check->state = GW_JSON_STRING;
        check->scalar = 0;
        return 1;

    case '{':
    case '[':
        check->scalar = 0;

        if (check->depth++ == check->depth_max) {
            return gw_json_refuse(check, "nested too deeply");
        }

        return 1;

    case '}':
    case ']':
        check->scalar = 0;
        check->depth -= (check->depth > 0);
        return 1;

    case ' ':
    case '\t':
    case '\r':
    case '\n':
    case ',':
    case ':':
        check->scalar = 0;
        return 1;

    default:
        if (check->scalar++ == GW_JSON_SCALAR_MAX) {
            return gw_json_refuse(check, "a number is too long");
        }

        return 1;
    }
}


static int
gw_json_check_string(gw_json_check_t *check, unsigned char c)
{
    if (check->high && c != '\\') {
        return gw_json_refuse(check, "half a surrogate pair in a string");
    }

    if (c == '"') {
        check->state = GW_JSON_BETWEEN;
        check->scalar = 0;
        return 1;
    }

    /* the longest sequence and escape are added after this was looked at */

    if (check->scalar++ >= GW_JSON_SCALAR_MAX) {
        return gw_json_refuse(check, "a string is too long");
    }

    if (c == '\\') {
        check->state = GW_JSON_ESCAPE;
    }

    return 1;
}


/* One digit of "\uXXXX"; yajl stops at what is none. */

static int
gw_json_check_hex(gw_json_check_t *check, unsigned char c)
{
    unsigned char  lower;

    lower = c | 0x20;

    if (c >= '0' && c <= '9') {
        check->unit = check->unit << 4 | (unsigned) (c - '0');

    } else if (lower >= 'a' && lower <= 'f') {
        check->unit = check->unit << 4 | (unsigned) (lower - 'a' + 10);

    } else {
        check->state = GW_JSON_STRING;
        return 1;
    }

    if (check->state != GW_JSON_HEX4) {
        check->state++;
        return 1;
    }

    check->state = GW_JSON_STRING;

    if (check->unit == 0) {
        return gw_json_refuse(check, "a NUL (\\u0000) in a string");
    }

    if (check->high != ((check->unit & 0xfc00) == 0xdc00)) {
        return gw_json_refuse(check, "half a surrogate pair in a string");
    }

    check->high = (check->unit & 0xfc00) == 0xd800;

    return 1;
}


/*
 * The bytes of one UTF-8 sequence, or of the part of it that is there; 0 if
 * it is none.  What is cut by the end of a piece is kept for the next one.
 */

static size_t
gw_json_check_utf8(gw_json_check_t *check, const unsigned char *data,
    size_t len)
{
    int            n;
    size_t         kept, more;
    unsigned char  seq[4];

    kept = check->npartial;
    more = (len < 4 - kept) ? len : 4 - kept;

    memcpy(seq, check->partial, kept);
    memcpy(seq + kept, data, more);

    n = gw_utf8_sequence(seq, kept + more);

    if (n == 0) {
        (void) gw_json_refuse(check, "invalid UTF-8");
        return 0;
    }

    if (n < 0) {
        memcpy(check->partial, seq, kept + more);
        check->npartial = kept + more;
        check->scalar += more;
        return more;
    }

    check->npartial = 0;
    more = (size_t) n - kept;
    check->scalar += more;

    return more;
}


static int
gw_json_refuse(gw_json_check_t *check, const char *reason)
{
    check->reason = reason;

    return 0;
}
