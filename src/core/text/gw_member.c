
/*
 * The members of a record.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/text/gw_id.h"
#include "src/core/text/gw_member.h"
#include "src/core/text/gw_number.h"
#include "src/core/text/gw_time.h"


static void gw_member_store(const gw_member_t *m, void *record,
    uint64_t value);
static uint64_t gw_member_load(const gw_member_t *m, const void *record);
static bool gw_member_set_word(const gw_member_t *m, void *record,
    const char *text, size_t len);
static bool gw_member_is_visible(const char *text, size_t len);
static void gw_member_write_value(yajl_gen gen, const gw_member_t *m,
    const void *record);
static void gw_member_write_string(yajl_gen gen, const char *text,
    size_t len);


const gw_member_t *
gw_member_named(const gw_member_t *table, const char *name, size_t len)
{
    const gw_member_t  *m;

    for (m = table; m->name != NULL; m++) {
        if (strlen(m->name) == len && memcmp(m->name, name, len) == 0) {
            return m;
        }
    }

    return NULL;
}


const char *
gw_member_names(char buf[GW_MEMBER_NAMES_SIZE], const gw_member_t *table,
    unsigned bits)
{
    size_t              n;
    const gw_member_t  *m;

    n = 0;
    buf[0] = '\0';

    for (m = table; m->name != NULL; m++) {
        if ((bits & m->bit) && n < GW_MEMBER_NAMES_SIZE) {
            n += (size_t) snprintf(buf + n, GW_MEMBER_NAMES_SIZE - n, "%s%s",
                                   n > 0 ? ", " : "", m->name);
        }
    }

    return buf;
}


const char *
gw_member_allowed(char buf[GW_MEMBER_NAMES_SIZE], const gw_member_t *m)
{
    if (m->allowed != NULL) {
        return m->allowed;
    }

    if (m->kind == GW_MEMBER_FLAG) {
        return "true or false";
    }

    if (m->unit > 1) {
        (void) snprintf(buf, GW_MEMBER_NAMES_SIZE,
                        "a multiple of %llu from %llu to %llu",
                        (unsigned long long) m->unit,
                        (unsigned long long) m->min * m->unit,
                        (unsigned long long) m->max * m->unit);
        return buf;
    }

    (void) snprintf(buf, GW_MEMBER_NAMES_SIZE,
                    "an integer from %llu to %llu",
                    (unsigned long long) m->min, (unsigned long long) m->max);

    return buf;
}


bool
gw_member_set_flag(const gw_member_t *m, void *record, bool value)
{
    if (m->kind != GW_MEMBER_FLAG) {
        return false;
    }

    gw_member_store(m, record, value);

    return true;
}


bool
gw_member_set_number(const gw_member_t *m, void *record, const char *text,
    size_t len)
{
    bool                minus;
    uint64_t            max, parts, scale, unit, value;
    gw_number_status_t  status;

    if (m->kind > GW_MEMBER_TIME) {
        return false;
    }

    /* halves are read, so that the nearest integer is known */

    parts = (m->kind == GW_MEMBER_NEAREST) ? 2 : 1;
    scale = (m->scale != 0) ? m->scale : 1;
    unit = (m->unit != 0) ? m->unit : 1;
    minus = (m->debt != 0 && len > 0 && text[0] == '-');
    max = minus ? m->debt : m->max;
    value = 0;

    status = gw_number_read(text + minus, len - minus, parts * scale,
                            parts * max * unit, &value);

    if (status != GW_NUMBER_EXACT
        && (status != GW_NUMBER_FLOOR || (m->kind != GW_MEMBER_FLOOR
                                          && m->kind != GW_MEMBER_NEAREST)))
    {
        return false;
    }

    if (minus) {
        value += (status == GW_NUMBER_FLOOR);
        value = (value + unit - 1) / unit;

        gw_member_store(m, record, 0 - value);
        return true;
    }

    if (m->kind == GW_MEMBER_INTEGER && value % unit != 0) {
        return false;
    }

    value = (value + (parts - 1) * unit) / (parts * unit);

    if (value < m->min) {
        return false;
    }

    gw_member_store(m, record, value);

    return true;
}


bool
gw_member_set_string(const gw_member_t *m, void *record, const char *text,
    size_t len)
{
    bool      ok;
    char     *p;
    uint64_t  ms;

    switch (m->kind) {

    case GW_MEMBER_TIME:

        if (gw_time_read(text, len, m->max, &ms) != 0 || ms < m->min) {
            return false;
        }

        gw_member_store(m, record, ms);
        return true;

    case GW_MEMBER_WORD:
        return gw_member_set_word(m, record, text, len);

    case GW_MEMBER_ID:
        ok = (gw_id_check(text, len) == GW_ID_OK);
        break;

    case GW_MEMBER_TEXT:
        ok = gw_member_is_visible(text, len);
        break;

    default:
        return false;
    }

    if (!ok || len >= m->size) {
        return false;
    }

    p = (char *) record + m->offset;

    memcpy(p, text, len);
    p[len] = '\0';

    memcpy((char *) record + m->length, &len, sizeof(size_t));

    *(unsigned *) record |= m->bit;

    return true;
}


void
gw_member_write(yajl_gen gen, const gw_member_t *table, const void *record)
{
    const gw_member_t  *m;

    for (m = table; m->name != NULL; m++) {
        if (*(const unsigned *) record & m->bit) {
            gw_member_write_string(gen, m->name, strlen(m->name));
            gw_member_write_value(gen, m, record);
        }
    }
}


static void
gw_member_store(const gw_member_t *m, void *record, uint64_t value)
{
    bool      flag;
    void     *field;
    uint32_t  word;

    field = (char *) record + m->offset;

    if (m->kind == GW_MEMBER_FLAG) {
        flag = (value != 0);
        memcpy(field, &flag, sizeof(bool));

    } else if (m->size == sizeof(uint32_t)) {
        word = (uint32_t) value;
        memcpy(field, &word, sizeof(uint32_t));

    } else {
        memcpy(field, &value, sizeof(uint64_t));
    }

    *(unsigned *) record |= m->bit;
}


static uint64_t
gw_member_load(const gw_member_t *m, const void *record)
{
    bool         flag;
    uint32_t     word;
    uint64_t     value;
    const void  *field;

    field = (const char *) record + m->offset;

    if (m->kind == GW_MEMBER_FLAG) {
        memcpy(&flag, field, sizeof(bool));
        return flag;
    }

    if (m->size == sizeof(uint32_t)) {
        memcpy(&word, field, sizeof(uint32_t));
        return word;
    }

    memcpy(&value, field, sizeof(uint64_t));

    return value;
}


static bool
gw_member_set_word(const gw_member_t *m, void *record, const char *text,
    size_t len)
{
    const gw_word_t  *w;

    for (w = m->words; w->word != NULL; w++) {
        if (strlen(w->word) == len && memcmp(w->word, text, len) == 0) {
            gw_member_store(m, record, w->value);
            return true;
        }
    }

    return false;
}


static bool
gw_member_is_visible(const char *text, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if ((unsigned char) text[i] <= ' ' || text[i] == 0x7f) {
            return false;
        }
    }

    return len > 0;
}


static void
gw_member_write_value(yajl_gen gen, const gw_member_t *m, const void *record)
{
    char              text[GW_NUMBER_SIZE];
    size_t            len;
    uint64_t          value;
    const char       *string;
    const gw_word_t  *w;

    if (m->kind >= GW_MEMBER_ID) {
        string = (const char *) record + m->offset;
        memcpy(&len, (const char *) record + m->length, sizeof(size_t));
        gw_member_write_string(gen, string, len);
        return;
    }

    value = gw_member_load(m, record);

    switch (m->kind) {

    case GW_MEMBER_FLAG:
        (void) yajl_gen_bool(gen, value != 0);
        break;

    case GW_MEMBER_WORD:

        for (w = m->words; w->value != value; w++) { /* void */ }

        gw_member_write_string(gen, w->word, strlen(w->word));
        break;

    case GW_MEMBER_TIME:
        gw_member_write_string(gen, text, gw_time_print(text, value));
        break;

    default:
        value *= (m->unit != 0) ? m->unit : 1;

        len = m->print != NULL ? m->print(text, value)
                               : gw_number_print(text, value, 0);

        (void) yajl_gen_number(gen, text, len);
        break;
    }
}


static void
gw_member_write_string(yajl_gen gen, const char *text, size_t len)
{
    (void) yajl_gen_string(gen, (const unsigned char *) text, len);
}
