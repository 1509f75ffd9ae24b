
/*
 * The strict reader of clients: yajl's callbacks, which find out what member
 * a value belongs to and put up with nothing else.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/limit/tb_client.h"
#include "src/core/limit/tb_client_member.h"


static int tb_client_set_id(tb_client_reader_t *reader, const char *id,
    size_t len);
static int tb_client_wrong(tb_client_reader_t *reader, const char *value);
static int tb_client_unknown(tb_client_reader_t *reader, const char *name,
    size_t len);
static int tb_client_complete(tb_client_reader_t *reader);
static int tb_client_misplaced(tb_client_reader_t *reader);

static int tb_client_on_null(void *ctx);
static int tb_client_on_boolean(void *ctx, int value);
static int tb_client_on_number(void *ctx, const char *text, size_t len);
static int tb_client_on_string(void *ctx, const unsigned char *text,
    size_t len);
static int tb_client_on_start_map(void *ctx);
static int tb_client_on_map_key(void *ctx, const unsigned char *name,
    size_t len);
static int tb_client_on_end_map(void *ctx);
static int tb_client_on_start_array(void *ctx);


#define TB_CLIENT_BOTH  (TB_CLIENT_CAPACITY | TB_CLIENT_RATE)

const tb_client_form_t  tb_client_create = {
    TB_CLIENT_ID | TB_CLIENT_BOTH, TB_CLIENT_ID | TB_CLIENT_BOTH, 0, 0
};

const tb_client_form_t  tb_client_bulk = {
    TB_CLIENT_ID | TB_CLIENT_BOTH, TB_CLIENT_ID | TB_CLIENT_BOTH, 1, 0
};

const tb_client_form_t  tb_client_limits = {
    TB_CLIENT_BOTH, TB_CLIENT_BOTH, 0, 0
};

const tb_client_form_t  tb_client_change = {
    TB_CLIENT_BOTH | TB_CLIENT_TOKENS, 0, 0, 1
};

const tb_client_form_t  tb_client_state = {
    TB_CLIENT_TOKENS | TB_CLIENT_AT, TB_CLIENT_TOKENS | TB_CLIENT_AT, 0, 0
};


static const yajl_callbacks  tb_client_callbacks = {
    .yajl_null = tb_client_on_null,
    .yajl_boolean = tb_client_on_boolean,
    .yajl_number = tb_client_on_number,
    .yajl_string = tb_client_on_string,
    .yajl_start_map = tb_client_on_start_map,
    .yajl_map_key = tb_client_on_map_key,
    .yajl_end_map = tb_client_on_end_map,
    .yajl_start_array = tb_client_on_start_array
};


void
tb_client_init(tb_client_reader_t *reader, const tb_client_form_t *form,
    tb_client_each_pt each, void *data)
{
    memset(reader, 0, offsetof(tb_client_reader_t, json));

    reader->form = form;
    reader->each = each;
    reader->data = data;

    /* one level too many, so that the message is about the member */

    gw_json_init(&reader->json, &tb_client_callbacks, reader, 3);
}


int
tb_client_feed(tb_client_reader_t *reader, const void *text, size_t len)
{
    return gw_json_feed(&reader->json, text, len);
}


int
tb_client_finish(tb_client_reader_t *reader)
{
    return gw_json_finish(&reader->json);
}


int
tb_client_read(tb_client_reader_t *reader, const tb_client_form_t *form,
    const void *text, size_t len)
{
    tb_client_init(reader, form, NULL, NULL);

    if (tb_client_feed(reader, text, len) != 0) {
        return -1;
    }

    return tb_client_finish(reader);
}


void
tb_client_fail(tb_client_reader_t *reader, const char *fmt, ...)
{
    char     text[GW_JSON_ERROR_SIZE];
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (reader->is_array) {
        gw_json_fail(&reader->json, "[%zu]: %s",
                     reader->in_object ? reader->index : reader->count, text);

    } else {
        gw_json_fail(&reader->json, "%s", text);
    }
}


int
tb_client_check_tokens(uint64_t tokens, uint32_t capacity, char *buf,
    size_t size)
{
    char  number[GW_NUMBER_SIZE];

    if (tokens <= capacity * TB_TOKEN) {
        return 0;
    }

    (void) tb_client_print_tokens(number, tokens);
    (void) snprintf(buf, size, "tokens is %s, must be a number from 0 to the "
                    "capacity, here %u", number, (unsigned) capacity);

    return -1;
}


static int
tb_client_set_id(tb_client_reader_t *reader, const char *id, size_t len)
{
    char            quoted[GW_JSON_QUOTE_SIZE];
    gw_id_status_t  status;

    status = gw_id_check(id, len);

    if (status != GW_ID_OK) {
        tb_client_fail(reader, "client_id \"%s\" %s",
                       gw_json_quote(quoted, id, len), gw_id_error(status));
        return 0;
    }

    memcpy(reader->client.id, id, len);
    reader->client.id[len] = '\0';
    reader->client.id_len = len;
    reader->client.members |= TB_CLIENT_ID;

    return 1;
}


/* Says that a value is wrong for where it stands; always 0. */

static int
tb_client_wrong(tb_client_reader_t *reader, const char *value)
{
    const tb_client_member_t  *m;

    if (!reader->in_object) {
        return tb_client_misplaced(reader);
    }

    m = tb_client_member(reader->member);

    tb_client_fail(reader, "%s is %s, must be %s", m->name, value,
                   m->allowed);

    return 0;
}


static int
tb_client_unknown(tb_client_reader_t *reader, const char *name, size_t len)
{
    char         quoted[GW_JSON_QUOTE_SIZE], allowed[TB_CLIENT_NAMES_SIZE];
    const char  *why;

    static const char  id[] = "client_id";

    /* a form without an id is for a client that has been named already */

    why = (len == sizeof(id) - 1 && memcmp(name, id, len) == 0)
          ? ", the client is named outside of the body" : "";

    tb_client_names(allowed, reader->form->accept);
    tb_client_fail(reader, "unknown member \"%s\"%s, allowed: %s",
                   gw_json_quote(quoted, name, len), why, allowed);

    return 0;
}


/* The object has ended: is everything there, and does it fit together? */

static int
tb_client_complete(tb_client_reader_t *reader)
{
    char                       text[GW_JSON_ERROR_SIZE];
    unsigned                   missing;
    const tb_client_t         *c;
    const tb_client_member_t  *m;

    c = &reader->client;
    missing = reader->form->require & ~c->members;

    if (missing != 0) {
        m = tb_client_member(missing & -missing);
        tb_client_fail(reader, "%s is missing, must be %s", m->name,
                       m->allowed);
        return 0;
    }

    if (reader->form->some && c->members == 0) {
        tb_client_fail(reader, "nothing to change, must have capacity, "
                       "rate_per_sec or tokens");
        return 0;
    }

    if ((c->members & TB_CLIENT_TOKENS) && (c->members & TB_CLIENT_CAPACITY)
        && tb_client_check_tokens(c->tokens, c->capacity, text,
                                  sizeof(text)) != 0)
    {
        tb_client_fail(reader, "%s", text);
        return 0;
    }

    return 1;
}


/* A value that is not in an object. */

static int
tb_client_misplaced(tb_client_reader_t *reader)
{
    tb_client_fail(reader, "must be a JSON object%s",
                   (reader->form->array && !reader->is_array)
                   ? " or an array of objects" : "");

    return 0;
}


static int
tb_client_on_null(void *ctx)
{
    tb_client_reader_t  *reader = ctx;

    return tb_client_wrong(reader, "null");
}


static int
tb_client_on_boolean(void *ctx, int value)
{
    tb_client_reader_t  *reader = ctx;

    return tb_client_wrong(reader, value ? "true" : "false");
}


static int
tb_client_on_number(void *ctx, const char *text, size_t len)
{
    tb_client_reader_t  *reader = ctx;

    char  quoted[GW_JSON_QUOTE_SIZE];

    if (reader->in_object
        && tb_client_set_number(&reader->client, reader->member, text, len))
    {
        return 1;
    }

    return tb_client_wrong(reader, gw_json_quote(quoted, text, len));
}


static int
tb_client_on_string(void *ctx, const unsigned char *text, size_t len)
{
    tb_client_reader_t  *reader = ctx;

    char  quoted[GW_JSON_QUOTE_SIZE], value[GW_JSON_QUOTE_SIZE + 2];

    if (reader->in_object && reader->member == TB_CLIENT_ID) {
        return tb_client_set_id(reader, (const char *) text, len);
    }

    (void) snprintf(value, sizeof(value), "\"%s\"",
                    gw_json_quote(quoted, text, len));

    return tb_client_wrong(reader, value);
}


static int
tb_client_on_start_map(void *ctx)
{
    tb_client_reader_t  *reader = ctx;

    if (reader->in_object) {
        return tb_client_wrong(reader, "an object");
    }

    memset(&reader->client, 0, sizeof(tb_client_t));

    reader->in_object = 1;
    reader->index = reader->count;

    return 1;
}


static int
tb_client_on_map_key(void *ctx, const unsigned char *name, size_t len)
{
    tb_client_reader_t  *reader = ctx;

    const tb_client_member_t  *m;

    m = tb_client_member_named((const char *) name, len);

    if (m == NULL || !(reader->form->accept & m->bit)) {
        return tb_client_unknown(reader, (const char *) name, len);
    }

    if (reader->client.members & m->bit) {
        tb_client_fail(reader, "%s is there twice", m->name);
        return 0;
    }

    reader->member = m->bit;

    return 1;
}


static int
tb_client_on_end_map(void *ctx)
{
    tb_client_reader_t  *reader = ctx;

    if (!tb_client_complete(reader)) {
        return 0;
    }

    if (reader->each != NULL && reader->each(reader, reader->data) != 0) {
        return 0;
    }

    reader->in_object = 0;
    reader->count++;

    return 1;
}


static int
tb_client_on_start_array(void *ctx)
{
    tb_client_reader_t  *reader = ctx;

    if (reader->in_object) {
        return tb_client_wrong(reader, "an array");
    }

    if (!reader->form->array || reader->is_array) {
        return tb_client_misplaced(reader);
    }

    reader->is_array = 1;

    return 1;
}
