
/*
 * The strict reader of records: yajl's callbacks, which find out what member
 * a value belongs to and put up with nothing else.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/text/gw_id.h"
#include "src/core/text/gw_record.h"


/* gw_record_t.place; those inside of an array are last */

#define GW_RECORD_OUTSIDE  0
#define GW_RECORD_TOP      1        /* in the object of arrays */
#define GW_RECORD_ARRAY    2
#define GW_RECORD_OBJECT   3


static int gw_record_wrong(gw_record_t *reader, const char *value);
static int gw_record_misplaced(gw_record_t *reader);
static int gw_record_name(gw_record_t *reader, const char *name, size_t len);
static int gw_record_array(gw_record_t *reader, const char *name,
    size_t len);
static int gw_record_complete(gw_record_t *reader);
static bool gw_record_skips(gw_record_t *reader);

static int gw_record_on_null(void *ctx);
static int gw_record_on_boolean(void *ctx, int value);
static int gw_record_on_number(void *ctx, const char *text, size_t len);
static int gw_record_on_string(void *ctx, const unsigned char *text,
    size_t len);
static int gw_record_on_start_map(void *ctx);
static int gw_record_on_map_key(void *ctx, const unsigned char *name,
    size_t len);
static int gw_record_on_end_map(void *ctx);
static int gw_record_on_start_array(void *ctx);
static int gw_record_on_end_array(void *ctx);


static const yajl_callbacks  gw_record_callbacks = {
    .yajl_null = gw_record_on_null,
    .yajl_boolean = gw_record_on_boolean,
    .yajl_number = gw_record_on_number,
    .yajl_string = gw_record_on_string,
    .yajl_start_map = gw_record_on_start_map,
    .yajl_map_key = gw_record_on_map_key,
    .yajl_end_map = gw_record_on_end_map,
    .yajl_start_array = gw_record_on_start_array,
    .yajl_end_array = gw_record_on_end_array
};


void
gw_record_init(gw_record_t *reader, const gw_record_form_t *form,
    void *record, gw_record_each_pt each, void *data)
{
    memset(reader, 0, offsetof(gw_record_t, json));
    memset(record, 0, form->size);

    reader->form = form;
    reader->record = record;
    reader->each = each;
    reader->data = data;

    /* one level too many, so that the message is about the member */

    gw_json_init(&reader->json, &gw_record_callbacks, reader,
                 form->arrays != NULL ? 4 : 3);
}


int
gw_record_feed(gw_record_t *reader, const void *text, size_t len)
{
    return gw_json_feed(&reader->json, text, len);
}


int
gw_record_finish(gw_record_t *reader)
{
    return gw_json_finish(&reader->json);
}


int
gw_record_read(gw_record_t *reader, const gw_record_form_t *form,
    void *record, const void *text, size_t len)
{
    gw_record_init(reader, form, record, NULL, NULL);

    if (gw_record_feed(reader, text, len) != 0) {
        return -1;
    }

    return gw_record_finish(reader);
}


void
gw_record_fail(gw_record_t *reader, const char *fmt, ...)
{
    char     text[GW_JSON_ERROR_SIZE];
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (reader->is_array && reader->place >= GW_RECORD_ARRAY) {
        gw_json_fail(&reader->json, "%s[%zu]: %s", reader->form->arrays != NULL
                     ? reader->form->arrays[reader->array] : "",
                     reader->count, text);

    } else {
        gw_json_fail(&reader->json, "%s", text);
    }
}


/* Says that a value is wrong for where it stands; always 0. */

static int
gw_record_wrong(gw_record_t *reader, const char *value)
{
    char  allowed[GW_MEMBER_NAMES_SIZE];

    if (reader->place != GW_RECORD_OBJECT) {
        return gw_record_misplaced(reader);
    }

    gw_record_fail(reader, "%s is %s, must be %s", reader->member->name,
                   value, gw_member_allowed(allowed, reader->member));

    return 0;
}


/* A value that is not in a record. */

static int
gw_record_misplaced(gw_record_t *reader)
{
    const gw_record_form_t  *form;

    form = reader->form;

    if (form->arrays != NULL && reader->place < GW_RECORD_ARRAY) {
        gw_record_fail(reader, "must be an object with \"%s\", an array of "
                       "objects", form->arrays[0]);

    } else {
        gw_record_fail(reader, "must be a JSON object%s",
                       (form->array && !reader->is_array)
                       ? " or an array of objects" : "");
    }

    return 0;
}


static int
gw_record_name(gw_record_t *reader, const char *name, size_t len)
{
    char                     quoted[GW_JSON_QUOTE_SIZE];
    char                     allowed[GW_MEMBER_NAMES_SIZE];
    const gw_member_t       *m;
    const gw_record_form_t  *form;

    form = reader->form;
    m = gw_member_named(form->table, name, len);

    if (m == NULL || !((form->accept | form->ignore) & m->bit)) {
        gw_record_fail(reader, "unknown member \"%s\"%s%s, allowed: %s",
                       gw_json_quote(quoted, name, len),
                       (m != NULL && m->absent != NULL) ? ", " : "",
                       (m != NULL && m->absent != NULL) ? m->absent : "",
                       gw_member_names(allowed, form->table, form->accept));
        return 0;
    }

    if (reader->named & m->bit) {
        gw_record_fail(reader, "%s is there twice", m->name);
        return 0;
    }

    reader->named |= m->bit;
    reader->member = m;

    return 1;
}


/* The name of an array, in the object of arrays. */

static int
gw_record_array(gw_record_t *reader, const char *name, size_t len)
{
    char      quoted[GW_JSON_QUOTE_SIZE], names[GW_MEMBER_NAMES_SIZE];
    size_t    n;
    unsigned  i;

    n = 0;

    for (i = 0; reader->form->arrays[i] != NULL; i++) {
        n += (size_t) snprintf(names + n, sizeof(names) - n, "%s%s",
                               n > 0 ? ", " : "", reader->form->arrays[i]);

        if (strlen(reader->form->arrays[i]) == len
            && memcmp(reader->form->arrays[i], name, len) == 0)
        {
            break;
        }
    }

    if (reader->form->arrays[i] == NULL) {
        gw_record_fail(reader, "unknown member \"%s\", allowed: %s",
                       gw_json_quote(quoted, name, len), names);
        return 0;
    }

    if (reader->arrays & (1u << i)) {
        gw_record_fail(reader, "%s is there twice", reader->form->arrays[i]);
        return 0;
    }

    reader->arrays |= 1u << i;
    reader->array = i;
    reader->count = 0;

    return 1;
}


/* The record has ended: is everything there? */

static int
gw_record_complete(gw_record_t *reader)
{
    char                     text[GW_MEMBER_NAMES_SIZE];
    unsigned                 missing;
    const gw_member_t       *m;
    const gw_record_form_t  *form;

    form = reader->form;
    missing = form->require & ~*(unsigned *) reader->record;

    if (missing != 0) {
        for (m = form->table; !(m->bit & missing); m++) { /* void */ }

        gw_record_fail(reader, "%s is missing, must be %s", m->name,
                       gw_member_allowed(text, m));
        return 0;
    }

    if (form->some && *(unsigned *) reader->record == 0) {
        gw_record_fail(reader, "nothing to change, must have one of %s",
                       gw_member_names(text, form->table, form->accept));
        return 0;
    }

    return form->check == NULL || form->check(reader) == 0;
}


/* Whether the value that comes belongs to a member that is ignored. */

static bool
gw_record_skips(gw_record_t *reader)
{
    return reader->place == GW_RECORD_OBJECT
           && (reader->form->ignore & reader->member->bit);
}


static int
gw_record_on_null(void *ctx)
{
    gw_record_t  *reader = ctx;

    return gw_record_skips(reader) || gw_record_wrong(reader, "null");
}


static int
gw_record_on_boolean(void *ctx, int value)
{
    gw_record_t  *reader = ctx;

    return gw_record_skips(reader)
           || (reader->place == GW_RECORD_OBJECT
               && gw_member_set_flag(reader->member, reader->record,
                                     value != 0))
           || gw_record_wrong(reader, value ? "true" : "false");
}


static int
gw_record_on_number(void *ctx, const char *text, size_t len)
{
    gw_record_t  *reader = ctx;

    char  quoted[GW_JSON_QUOTE_SIZE];

    return gw_record_skips(reader)
           || (reader->place == GW_RECORD_OBJECT
               && gw_member_set_number(reader->member, reader->record, text,
                                       len))
           || gw_record_wrong(reader, gw_json_quote(quoted, text, len));
}


static int
gw_record_on_string(void *ctx, const unsigned char *text, size_t len)
{
    gw_record_t  *reader = ctx;

    char  quoted[GW_JSON_QUOTE_SIZE], value[GW_JSON_QUOTE_SIZE + 2];

    if (gw_record_skips(reader)
        || (reader->place == GW_RECORD_OBJECT
            && gw_member_set_string(reader->member, reader->record,
                                    (const char *) text, len)))
    {
        return 1;
    }

    (void) gw_json_quote(quoted, text, len);

    if (reader->place == GW_RECORD_OBJECT
        && reader->member->kind == GW_MEMBER_ID)
    {
        gw_record_fail(reader, "%s \"%s\" %s", reader->member->name, quoted,
                       gw_id_error(gw_id_check((const char *) text, len)));
        return 0;
    }

    (void) snprintf(value, sizeof(value), "\"%s\"", quoted);

    return gw_record_wrong(reader, value);
}


static int
gw_record_on_start_map(void *ctx)
{
    gw_record_t  *reader = ctx;

    switch (reader->place) {

    case GW_RECORD_OUTSIDE:

        if (reader->form->arrays != NULL) {
            reader->place = GW_RECORD_TOP;
            return 1;
        }

        break;

    case GW_RECORD_ARRAY:
        break;

    default:
        return gw_record_wrong(reader, "an object");
    }

    memset(reader->record, 0, reader->form->size);

    reader->named = 0;
    reader->place = GW_RECORD_OBJECT;

    return 1;
}


static int
gw_record_on_map_key(void *ctx, const unsigned char *name, size_t len)
{
    gw_record_t  *reader = ctx;

    return reader->place == GW_RECORD_TOP
           ? gw_record_array(reader, (const char *) name, len)
           : gw_record_name(reader, (const char *) name, len);
}


static int
gw_record_on_end_map(void *ctx)
{
    gw_record_t  *reader = ctx;

    if (reader->place == GW_RECORD_TOP) {

        if (!(reader->arrays & 1)) {
            return gw_record_misplaced(reader);
        }

        reader->place = GW_RECORD_OUTSIDE;

        return 1;
    }

    if (!gw_record_complete(reader)
        || (reader->each != NULL && reader->each(reader, reader->data) != 0))
    {
        return 0;
    }

    reader->place = reader->is_array ? GW_RECORD_ARRAY : GW_RECORD_OUTSIDE;
    reader->count++;

    return 1;
}


static int
gw_record_on_start_array(void *ctx)
{
    gw_record_t  *reader = ctx;

    if (reader->place == GW_RECORD_TOP
        || (reader->place == GW_RECORD_OUTSIDE && reader->form->array))
    {
        reader->place = GW_RECORD_ARRAY;
        reader->is_array = true;

        return 1;
    }

    return gw_record_wrong(reader, "an array");
}


static int
gw_record_on_end_array(void *ctx)
{
    gw_record_t  *reader = ctx;

    reader->place = (reader->form->arrays != NULL) ? GW_RECORD_TOP
                                                   : GW_RECORD_OUTSIDE;

    return 1;
}
