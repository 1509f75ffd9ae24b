
/*
 * The strict reader of servers: yajl's callbacks, which find out what member
 * a value belongs to and put up with nothing else.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/balance/lb_entry.h"
#include "src/core/balance/lb_entry_member.h"


/* lb_entry_reader_t.level of a list; a single object begins at the third */

#define LB_ENTRY_OUTSIDE  0
#define LB_ENTRY_TOP      1
#define LB_ENTRY_ARRAY    2
#define LB_ENTRY_OBJECT   3


static int lb_entry_wrong(lb_entry_reader_t *reader, const char *value);
static int lb_entry_misplaced(lb_entry_reader_t *reader);
static int lb_entry_complete(lb_entry_reader_t *reader);

static int lb_entry_on_null(void *ctx);
static int lb_entry_on_boolean(void *ctx, int value);
static int lb_entry_on_number(void *ctx, const char *text, size_t len);
static int lb_entry_on_string(void *ctx, const unsigned char *text,
    size_t len);
static int lb_entry_on_start_map(void *ctx);
static int lb_entry_on_map_key(void *ctx, const unsigned char *name,
    size_t len);
static int lb_entry_on_end_map(void *ctx);
static int lb_entry_on_start_array(void *ctx);
static int lb_entry_on_end_array(void *ctx);


const lb_entry_form_t  lb_entry_new = {
    LB_ENTRY_ADDRESS | LB_ENTRY_SETTINGS, LB_ENTRY_ADDRESS, false, false
};

const lb_entry_form_t  lb_entry_change = {
    LB_ENTRY_SETTINGS, 0, true, false
};

const lb_entry_form_t  lb_entry_file = {
    LB_ENTRY_ADDRESS | LB_ENTRY_NAME | LB_ENTRY_ID | LB_ENTRY_SETTINGS,
    LB_ENTRY_ADDRESS, false, true
};


static const yajl_callbacks  lb_entry_callbacks = {
    .yajl_null = lb_entry_on_null,
    .yajl_boolean = lb_entry_on_boolean,
    .yajl_number = lb_entry_on_number,
    .yajl_string = lb_entry_on_string,
    .yajl_start_map = lb_entry_on_start_map,
    .yajl_map_key = lb_entry_on_map_key,
    .yajl_end_map = lb_entry_on_end_map,
    .yajl_start_array = lb_entry_on_start_array,
    .yajl_end_array = lb_entry_on_end_array
};


void
lb_entry_init(lb_entry_reader_t *reader, const lb_entry_form_t *form,
    lb_entry_each_pt each, void *data)
{
    memset(reader, 0, offsetof(lb_entry_reader_t, json));

    reader->form = form;
    reader->each = each;
    reader->data = data;

    /* one level too many, so that the message is about the member */

    gw_json_init(&reader->json, &lb_entry_callbacks, reader,
                 form->list ? 4 : 2);
}


int
lb_entry_feed(lb_entry_reader_t *reader, const void *text, size_t len)
{
    return gw_json_feed(&reader->json, text, len);
}


int
lb_entry_finish(lb_entry_reader_t *reader)
{
    return gw_json_finish(&reader->json);
}


void
lb_entry_fail(lb_entry_reader_t *reader, const char *fmt, ...)
{
    char     text[GW_JSON_ERROR_SIZE];
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (reader->form->list && reader->level >= LB_ENTRY_ARRAY) {
        gw_json_fail(&reader->json, "%s[%zu]: %s",
                     lb_entry_arrays[reader->array], reader->count, text);

    } else {
        gw_json_fail(&reader->json, "%s", text);
    }
}


/* Says that a value is wrong for where it stands; always 0. */

static int
lb_entry_wrong(lb_entry_reader_t *reader, const char *value)
{
    const lb_entry_member_t  *m;

    if (reader->level != LB_ENTRY_OBJECT) {
        return lb_entry_misplaced(reader);
    }

    m = lb_entry_member(reader->member);

    lb_entry_fail(reader, "%s is %s, must be %s", m->name, value,
                  m->allowed);

    return 0;
}


/* A value that is not in a server's object. */

static int
lb_entry_misplaced(lb_entry_reader_t *reader)
{
    if (reader->level == LB_ENTRY_ARRAY) {
        lb_entry_fail(reader, "must be an object");

    } else if (reader->form->list) {
        lb_entry_fail(reader, "must be an object with \"servers\", an array "
                      "of objects");

    } else {
        lb_entry_fail(reader, "must be a JSON object");
    }

    return 0;
}


static int
lb_entry_complete(lb_entry_reader_t *reader)
{
    char                      names[LB_ENTRY_NAMES_SIZE];
    unsigned                  missing;
    const lb_entry_member_t  *m;

    missing = reader->form->require & ~reader->entry.members;

    if (missing != 0) {
        m = lb_entry_member(missing & -missing);
        lb_entry_fail(reader, "%s is missing, must be %s", m->name,
                      m->allowed);
        return 0;
    }

    if (reader->form->some && reader->entry.members == 0) {
        lb_entry_names(names, reader->form->accept);
        lb_entry_fail(reader, "nothing to change, must have one of %s",
                      names);
        return 0;
    }

    return 1;
}


static int
lb_entry_on_null(void *ctx)
{
    lb_entry_reader_t  *reader = ctx;

    return lb_entry_wrong(reader, "null");
}


static int
lb_entry_on_boolean(void *ctx, int value)
{
    lb_entry_reader_t  *reader = ctx;

    if (reader->level == LB_ENTRY_OBJECT
        && reader->member == LB_ENTRY_BACKUP)
    {
        reader->entry.backup = (value != 0);
        reader->entry.members |= LB_ENTRY_BACKUP;
        return 1;
    }

    return lb_entry_wrong(reader, value ? "true" : "false");
}


static int
lb_entry_on_number(void *ctx, const char *text, size_t len)
{
    lb_entry_reader_t  *reader = ctx;

    char  quoted[GW_JSON_QUOTE_SIZE];

    if (reader->level == LB_ENTRY_OBJECT
        && lb_entry_set_number(&reader->entry, reader->member, text, len))
    {
        return 1;
    }

    return lb_entry_wrong(reader, gw_json_quote(quoted, text, len));
}


static int
lb_entry_on_string(void *ctx, const unsigned char *text, size_t len)
{
    lb_entry_reader_t  *reader = ctx;

    char  quoted[GW_JSON_QUOTE_SIZE], value[GW_JSON_QUOTE_SIZE + 2];

    if (reader->level == LB_ENTRY_OBJECT
        && lb_entry_set_string(&reader->entry, reader->member,
                               (const char *) text, len))
    {
        return 1;
    }

    (void) snprintf(value, sizeof(value), "\"%s\"",
                    gw_json_quote(quoted, text, len));

    return lb_entry_wrong(reader, value);
}


static int
lb_entry_on_start_map(void *ctx)
{
    lb_entry_reader_t  *reader = ctx;

    switch (reader->level) {

    case LB_ENTRY_OUTSIDE:

        if (reader->form->list) {
            reader->level = LB_ENTRY_TOP;
            return 1;
        }

        break;

    case LB_ENTRY_ARRAY:
        break;

    default:
        return lb_entry_wrong(reader, "an object");
    }

    memset(&reader->entry, 0, sizeof(lb_entry_t));

    reader->level = LB_ENTRY_OBJECT;

    return 1;
}


static int
lb_entry_on_map_key(void *ctx, const unsigned char *name, size_t len)
{
    lb_entry_reader_t  *reader = ctx;

    char                      quoted[GW_JSON_QUOTE_SIZE];
    char                      allowed[LB_ENTRY_NAMES_SIZE];
    bool                      twice;
    const lb_entry_member_t  *m;

    if (reader->level == LB_ENTRY_TOP) {

        if (!lb_entry_array_named((const char *) name, len,
                                  &reader->array))
        {
            lb_entry_fail(reader, "unknown member \"%s\", allowed: servers, "
                          "lines, names", gw_json_quote(quoted, name, len));
            return 0;
        }

        twice = reader->listed & (1u << reader->array);
        reader->listed |= 1u << reader->array;
        reader->count = 0;

    } else {
        m = lb_entry_member_named((const char *) name, len);

        if (m == NULL || !(reader->form->accept & m->bit)) {
            lb_entry_names(allowed, reader->form->accept);
            lb_entry_fail(reader, "unknown member \"%s\", allowed: %s",
                          gw_json_quote(quoted, name, len), allowed);
            return 0;
        }

        twice = (reader->entry.members & m->bit);
        reader->member = m->bit;
    }

    if (twice) {
        lb_entry_fail(reader, "%s is there twice",
                      gw_json_quote(quoted, name, len));
        return 0;
    }

    return 1;
}


static int
lb_entry_on_end_map(void *ctx)
{
    lb_entry_reader_t  *reader = ctx;

    if (reader->level == LB_ENTRY_TOP) {

        if (!(reader->listed & (1u << LB_ENTRY_SERVERS))) {
            return lb_entry_misplaced(reader);
        }

        reader->level = LB_ENTRY_OUTSIDE;

        return 1;
    }

    if (!lb_entry_complete(reader)) {
        return 0;
    }

    if (reader->each != NULL && reader->each(reader, reader->data) != 0) {
        return 0;
    }

    reader->level = reader->form->list ? LB_ENTRY_ARRAY : LB_ENTRY_OUTSIDE;
    reader->count++;

    return 1;
}


static int
lb_entry_on_start_array(void *ctx)
{
    lb_entry_reader_t  *reader = ctx;

    if (reader->level != LB_ENTRY_TOP) {
        return lb_entry_wrong(reader, "an array");
    }

    reader->level = LB_ENTRY_ARRAY;

    return 1;
}


static int
lb_entry_on_end_array(void *ctx)
{
    lb_entry_reader_t  *reader = ctx;

    reader->level = LB_ENTRY_TOP;

    return 1;
}
