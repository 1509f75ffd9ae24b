
/*
 * The strict reader of files of clients, as callbacks of yajl.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/tb_snapshot_value.h"


#define TB_SNAPSHOT_NESTED  4      /* levels inside a wrong value */


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

    gw_json_init(&s->json, &tb_snapshot_callbacks, s,
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

        if (gw_json_feed(&s->json, (const unsigned char *) text, part) != 0) {
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
    if (gw_json_finish(&s->json) != 0) {
        return -1;
    }

    if (!(s->seen & TB_SNAPSHOT_CLIENTS)) {
        gw_json_fail(&s->json, "\"clients\" is missing, must be an array");
        return -1;
    }

    return 0;
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

    char      quoted[GW_JSON_QUOTE_SIZE];
    uint64_t  value;

    if (s->nested == 0 && s->place == TB_SNAPSHOT_ENTRY && s->member != 0
        && tb_client_set_number(&s->client, s->member, text, len))
    {
        return 1;
    }

    if (s->nested == 0 && s->place == TB_SNAPSHOT_JOURNAL
        && gw_number_read(text, len, 1, UINT64_C(1) << 53, &value)
           == GW_NUMBER_EXACT
        && value != 0)
    {
        s->journal = value;
        s->place = TB_SNAPSHOT_MEMBER;
        return 1;
    }

    return tb_snapshot_scalar(s, gw_json_quote(quoted, text, len));
}


static int
tb_snapshot_on_string(void *ctx, const unsigned char *text, size_t len)
{
    tb_snapshot_t  *s = ctx;

    char  quoted[GW_JSON_QUOTE_SIZE], value[GW_JSON_QUOTE_SIZE + 2];

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
                    gw_json_quote(quoted, text, len));

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

    char                       quoted[GW_JSON_QUOTE_SIZE];
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
                          gw_json_quote(quoted, name, len), allowed);
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
