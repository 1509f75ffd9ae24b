
/*
 * The strict reader of files of clients, as callbacks of yajl.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/tb_client_member.h"
#include "src/core/tb_snapshot.h"


/* what the next value belongs to, and as bits what has been there */
#define TB_SNAPSHOT_TOP      0u
#define TB_SNAPSHOT_ZONE     1u
#define TB_SNAPSHOT_JOURNAL  2u
#define TB_SNAPSHOT_CLIENTS  4u
#define TB_SNAPSHOT_LIST     8u         /* the entries */
#define TB_SNAPSHOT_ENTRY    16u        /* a member of an entry */
#define TB_SNAPSHOT_MEMBER   32u        /* a name in the outer object */

#define TB_SNAPSHOT_MEMBERS  (TB_CLIENT_ID|TB_CLIENT_CAPACITY|TB_CLIENT_RATE)
#define TB_SNAPSHOT_NESTED   4


static void tb_snapshot_wrong(tb_snapshot_t *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int tb_snapshot_scalar(tb_snapshot_t *s, const char *value);
static int tb_snapshot_name(tb_snapshot_t *s, const char *name, size_t len);
static void tb_snapshot_id(tb_snapshot_t *s, const char *id, size_t len);
static void tb_snapshot_entry(tb_snapshot_t *s);

static int tb_snapshot_on_null(void *ctx);
static int tb_snapshot_on_boolean(void *ctx, int value);
static int tb_snapshot_on_number(void *ctx, const char *text, size_t len);
static int tb_snapshot_on_string(void *ctx, const unsigned char *text,
    size_t len);
static int tb_snapshot_on_start_map(void *ctx);
static int tb_snapshot_on_map_key(void *ctx, const unsigned char *name,
    size_t len);
static int tb_snapshot_on_end_map(void *ctx);
static int tb_snapshot_on_start_array(void *ctx);
static int tb_snapshot_on_end_array(void *ctx);


static const yajl_callbacks  tb_snapshot_callbacks = {
    .yajl_null = tb_snapshot_on_null,
    .yajl_boolean = tb_snapshot_on_boolean,
    .yajl_number = tb_snapshot_on_number,
    .yajl_string = tb_snapshot_on_string,
    .yajl_start_map = tb_snapshot_on_start_map,
    .yajl_map_key = tb_snapshot_on_map_key,
    .yajl_end_map = tb_snapshot_on_end_map,
    .yajl_start_array = tb_snapshot_on_start_array,
    .yajl_end_array = tb_snapshot_on_end_array
};


void
tb_snapshot_init(tb_snapshot_t *s, tb_snapshot_each_pt each, void *data)
{
    memset(s, 0, offsetof(tb_snapshot_t, json));

    s->line = 1;
    s->each = each;
    s->data = data;

    tb_json_init(&s->json, &tb_snapshot_callbacks, s,
                 3 + TB_SNAPSHOT_NESTED);
}


int
tb_snapshot_feed(tb_snapshot_t *s, const char *text, size_t len)
{
    size_t       part;
    const char  *nl;

    /* a line at a time, so that an error is known to be in this one */

    while (len > 0) {
        nl = memchr(text, '\n', len);
        part = nl ? (size_t) (nl - text) + 1 : len;

        if (tb_json_feed(&s->json, (const unsigned char *) text, part) != 0) {
            return -1;
        }

        s->line += nl != NULL;
        text += part;
        len -= part;
    }

    return 0;
}


int
tb_snapshot_finish(tb_snapshot_t *s)
{
    if (tb_json_finish(&s->json) != 0) {
        return -1;
    }

    if (!(s->seen & TB_SNAPSHOT_CLIENTS)) {
        tb_json_fail(&s->json, "\"clients\" is missing, must be an array");
        return -1;
    }

    return 0;
}


size_t
tb_snapshot_write_begin(char *buf, const char *zone, size_t len,
    uint64_t journal)
{
    char                  *p;
    const unsigned char  *c, *end;

    if (len == 0) {
        return (size_t) sprintf(buf, "{\"journal\":%llu,\"clients\":[",
                                (unsigned long long) journal);
    }

    p = buf + sprintf(buf, "{\"zone\":\"");
    end = (const unsigned char *) zone + len;

    for (c = (const unsigned char *) zone; c < end; c++) {
        if (*c < 0x20 || *c == '"' || *c == '\\') {
            p += sprintf(p, "\\u%04x", *c);

        } else {
            *p++ = (char) *c;
        }
    }

    p += sprintf(p, "\",\"journal\":%llu,\"clients\":[",
                 (unsigned long long) journal);

    return (size_t) (p - buf);
}


size_t
tb_snapshot_write_client(char *buf, const char *id, size_t len,
    uint32_t capacity, uint64_t rate, bool first)
{
    char                  *p;
    const unsigned char  *c, *end;

    p = buf + sprintf(buf, "%s\n{\"client_id\":\"", first ? "" : ",");
    end = (const unsigned char *) id + len;

    for (c = (const unsigned char *) id; c < end; c++) {
        if (*c < 0x20 || *c == '"' || *c == '\\') {
            p += sprintf(p, "\\u%04x", *c);

        } else {
            *p++ = (char) *c;
        }
    }

    p += sprintf(p, "\",");

    /* what follows is a limits object without its brace */

    len = tb_client_print_limits(p - 1, capacity, rate);
    p[-1] = ',';

    return (size_t) (p - 1 - buf) + len;
}


size_t
tb_snapshot_write_end(char *buf)
{
    return (size_t) sprintf(buf, "\n]}\n");
}


/* The first thing that is wrong with an entry. */

static void
tb_snapshot_wrong(tb_snapshot_t *s, const char *fmt, ...)
{
    va_list  args;

    if (s->wrong[0] == '\0') {
        va_start(args, fmt);
        (void) vsnprintf(s->wrong, sizeof(s->wrong), fmt, args);
        va_end(args);
    }
}


/* A value that cannot be right where it stands; 1: reading goes on. */

static int
tb_snapshot_scalar(tb_snapshot_t *s, const char *value)
{
    const tb_client_member_t  *m;

    if (s->nested > 0) {
        return 1;
    }

    switch (s->place) {

    case TB_SNAPSHOT_ENTRY:
        m = tb_client_member(s->member);

        if (m != NULL && s->member != 0) {
            tb_snapshot_wrong(s, "%s is %s, must be %s", m->name, value,
                              m->allowed);
        }

        return 1;

    case TB_SNAPSHOT_LIST:
        tb_snapshot_wrong(s, "a client is %s, must be an object", value);
        tb_snapshot_entry(s);
        return 1;

    case TB_SNAPSHOT_ZONE:
        tb_json_fail(&s->json, "\"zone\" is %s, must be a name", value);
        return 0;

    case TB_SNAPSHOT_JOURNAL:
        tb_json_fail(&s->json, "\"journal\" is %s, must be a number from 1 "
                     "to 2^53", value);
        return 0;

    case TB_SNAPSHOT_CLIENTS:
        tb_json_fail(&s->json, "\"clients\" is %s, must be an array", value);
        return 0;

    default:
        tb_json_fail(&s->json, "it is %s, must be an object with "
                     "\"clients\"", value);
        return 0;
    }
}


/* A name in the outer object. */

static int
tb_snapshot_name(tb_snapshot_t *s, const char *name, size_t len)
{
    char      quoted[TB_JSON_QUOTE_SIZE];
    unsigned  place;

    if (len == 4 && memcmp(name, "zone", 4) == 0) {
        place = TB_SNAPSHOT_ZONE;

    } else if (len == 7 && memcmp(name, "journal", 7) == 0) {
        place = TB_SNAPSHOT_JOURNAL;

    } else if (len == 7 && memcmp(name, "clients", 7) == 0) {
        place = TB_SNAPSHOT_CLIENTS;

    } else {
        tb_json_fail(&s->json, "unknown member \"%s\", allowed: zone, "
                     "journal, clients", tb_json_quote(quoted, name, len));
        return 0;
    }

    if (s->seen & place) {
        tb_json_fail(&s->json, "\"%.*s\" is there twice", (int) len, name);
        return 0;
    }

    s->seen |= place;
    s->place = place;

    return 1;
}


static void
tb_snapshot_id(tb_snapshot_t *s, const char *id, size_t len)
{
    char            quoted[TB_JSON_QUOTE_SIZE];
    tb_id_status_t  status;

    status = tb_id_check(id, len);

    if (status != TB_ID_OK) {
        tb_snapshot_wrong(s, "client_id \"%s\" %s",
                          tb_json_quote(quoted, id, len),
                          tb_id_error(status));
        return;
    }

    memcpy(s->client.id, id, len);
    s->client.id[len] = '\0';
    s->client.id_len = len;
    s->client.members |= TB_CLIENT_ID;
}


static void
tb_snapshot_entry(tb_snapshot_t *s)
{
    unsigned                   missing;
    const tb_client_member_t  *m;

    missing = TB_SNAPSHOT_MEMBERS & ~s->client.members;

    if (missing != 0) {
        m = tb_client_member(missing & -missing);
        tb_snapshot_wrong(s, "%s is missing, must be %s", m->name,
                          m->allowed);
    }

    s->each(s, s->data);

    s->count++;
    s->wrong[0] = '\0';
    memset(&s->client, 0, sizeof(tb_client_t));
}


static int
tb_snapshot_on_null(void *ctx)
{
    return tb_snapshot_scalar(ctx, "null");
}


static int
tb_snapshot_on_boolean(void *ctx, int value)
{
    return tb_snapshot_scalar(ctx, value ? "true" : "false");
}


static int
tb_snapshot_on_number(void *ctx, const char *text, size_t len)
{
    tb_snapshot_t  *s = ctx;

    char      quoted[TB_JSON_QUOTE_SIZE];
    uint64_t  value;

    if (s->nested == 0 && s->place == TB_SNAPSHOT_ENTRY && s->member != 0
        && tb_client_set_number(&s->client, s->member, text, len))
    {
        return 1;
    }

    if (s->nested == 0 && s->place == TB_SNAPSHOT_JOURNAL
        && tb_number_read(text, len, 1, UINT64_C(1) << 53, &value)
           == TB_NUMBER_EXACT
        && value != 0)
    {
        s->journal = value;
        s->place = TB_SNAPSHOT_MEMBER;
        return 1;
    }

    return tb_snapshot_scalar(s, tb_json_quote(quoted, text, len));
}


static int
tb_snapshot_on_string(void *ctx, const unsigned char *text, size_t len)
{
    tb_snapshot_t  *s = ctx;

    char  quoted[TB_JSON_QUOTE_SIZE], value[TB_JSON_QUOTE_SIZE + 2];

    if (s->nested == 0 && s->place == TB_SNAPSHOT_ENTRY
        && s->member == TB_CLIENT_ID)
    {
        tb_snapshot_id(s, (const char *) text, len);
        return 1;
    }

    if (s->nested == 0 && s->place == TB_SNAPSHOT_ZONE && len > 0
        && len <= TB_SNAPSHOT_ZONE_MAX)
    {
        memcpy(s->zone, text, len);
        s->zone_len = len;
        s->place = TB_SNAPSHOT_MEMBER;
        return 1;
    }

    (void) snprintf(value, sizeof(value), "\"%s\"",
                    tb_json_quote(quoted, text, len));

    return tb_snapshot_scalar(s, value);
}


static int
tb_snapshot_on_start_map(void *ctx)
{
    tb_snapshot_t  *s = ctx;

    if (s->nested == 0 && s->place == TB_SNAPSHOT_TOP) {
        s->place = TB_SNAPSHOT_MEMBER;
        return 1;
    }

    if (s->nested == 0 && s->place == TB_SNAPSHOT_LIST) {
        s->place = TB_SNAPSHOT_ENTRY;
        return 1;
    }

    if (!tb_snapshot_scalar(s, "an object")) {
        return 0;
    }

    s->nested++;

    return 1;
}


static int
tb_snapshot_on_map_key(void *ctx, const unsigned char *name, size_t len)
{
    tb_snapshot_t  *s = ctx;

    char                       quoted[TB_JSON_QUOTE_SIZE];
    char                       allowed[TB_CLIENT_NAMES_SIZE];
    const tb_client_member_t  *m;

    if (s->nested > 0) {
        return 1;
    }

    if (s->place != TB_SNAPSHOT_ENTRY) {
        return tb_snapshot_name(s, (const char *) name, len);
    }

    m = tb_client_member_named((const char *) name, len);
    s->member = 0;

    if (m == NULL || !(m->bit & TB_SNAPSHOT_MEMBERS)) {
        tb_client_names(allowed, TB_SNAPSHOT_MEMBERS);
        tb_snapshot_wrong(s, "unknown member \"%s\", allowed: %s",
                          tb_json_quote(quoted, name, len), allowed);
        return 1;
    }

    if (s->client.members & m->bit) {
        tb_snapshot_wrong(s, "%s is there twice", m->name);
    }

    s->member = m->bit;

    return 1;
}


static int
tb_snapshot_on_end_map(void *ctx)
{
    tb_snapshot_t  *s = ctx;

    if (s->nested > 0) {
        s->nested--;

    } else if (s->place == TB_SNAPSHOT_ENTRY) {
        s->place = TB_SNAPSHOT_LIST;
        tb_snapshot_entry(s);
    }

    return 1;
}


static int
tb_snapshot_on_start_array(void *ctx)
{
    tb_snapshot_t  *s = ctx;

    if (s->nested == 0 && s->place == TB_SNAPSHOT_CLIENTS) {
        s->place = TB_SNAPSHOT_LIST;
        return 1;
    }

    if (!tb_snapshot_scalar(s, "an array")) {
        return 0;
    }

    s->nested++;

    return 1;
}


static int
tb_snapshot_on_end_array(void *ctx)
{
    tb_snapshot_t  *s = ctx;

    if (s->nested > 0) {
        s->nested--;

    } else if (s->place == TB_SNAPSHOT_LIST) {
        s->place = TB_SNAPSHOT_MEMBER;
    }

    return 1;
}
