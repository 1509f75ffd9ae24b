
/*
 * The members of a server: what they are called, what they may be, and how
 * they are read.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/balance/lb_entry_member.h"
#include "src/core/text/gw_number.h"


static bool lb_entry_set_text(char *buf, size_t *length, const char *text,
    size_t len);
static bool lb_entry_set_state(lb_entry_t *entry, const char *text,
    size_t len);
static uint64_t lb_entry_unit(const char **p, const char *end);


const char *const  lb_entry_states[] = { "up", "draining", "disabled" };

const char *const  lb_entry_arrays[] = { "servers", "lines", "names" };


static const lb_entry_member_t  lb_entry_members[] = {
    { "id", LB_ENTRY_ID, "an integer from 1 to 9007199254740991" },
    { "address", LB_ENTRY_ADDRESS,
      "a string of 1 to 264 printable characters, such as "
      "\"10.0.0.7:8080\"" },
    { "name", LB_ENTRY_NAME,
      "a string of 1 to 264 printable characters" },
    { "weight", LB_ENTRY_WEIGHT, "an integer from 1 to 4294967295" },
    { "max_conns", LB_ENTRY_MAX_CONNS,
      "an integer from 0 to 4294967295" },
    { "max_fails", LB_ENTRY_MAX_FAILS,
      "an integer from 0 to 2147483647" },
    { "fail_timeout", LB_ENTRY_FAIL_TIMEOUT,
      "a time such as \"10s\", or a number of seconds, up to 2147483647" },
    { "backup", LB_ENTRY_BACKUP, "true or false" },
    { "state", LB_ENTRY_STATE, "\"up\", \"draining\" or \"disabled\"" },
    { NULL, 0, NULL }
};


const lb_entry_member_t *
lb_entry_member(unsigned bit)
{
    const lb_entry_member_t  *m;

    for (m = lb_entry_members; m->name != NULL; m++) {

        if (m->bit == bit) {
            break;
        }
    }

    return m;
}


const lb_entry_member_t *
lb_entry_member_named(const char *name, size_t len)
{
    const lb_entry_member_t  *m;

    for (m = lb_entry_members; m->name != NULL; m++) {

        if (strlen(m->name) == len && memcmp(m->name, name, len) == 0) {
            return m;
        }
    }

    return NULL;
}


bool
lb_entry_array_named(const char *name, size_t len, lb_entry_array_t *array)
{
    unsigned  i;

    for (i = 0; i < LB_ENTRY_ARRAYS; i++) {

        if (strlen(lb_entry_arrays[i]) == len
            && memcmp(lb_entry_arrays[i], name, len) == 0)
        {
            *array = (lb_entry_array_t) i;
            return true;
        }
    }

    return false;
}


void
lb_entry_names(char buf[LB_ENTRY_NAMES_SIZE], unsigned members)
{
    size_t                    n;
    const lb_entry_member_t  *m;

    n = 0;
    buf[0] = '\0';

    for (m = lb_entry_members; m->name != NULL; m++) {

        if (members & m->bit) {
            n += (size_t) snprintf(buf + n, LB_ENTRY_NAMES_SIZE - n, "%s%s",
                                   n > 0 ? ", " : "", m->name);
        }
    }
}


bool
lb_entry_set_number(lb_entry_t *entry, unsigned member, const char *text,
    size_t len)
{
    uint64_t            max, scale, value;
    gw_number_status_t  status;

    scale = 1;

    switch (member) {

    case LB_ENTRY_ID:
        max = LB_ENTRY_ID_MAX;
        break;

    case LB_ENTRY_WEIGHT:
    case LB_ENTRY_MAX_CONNS:
        max = UINT32_MAX;
        break;

    case LB_ENTRY_MAX_FAILS:
        max = INT32_MAX;
        break;

    case LB_ENTRY_FAIL_TIMEOUT:
        scale = 1000;
        max = LB_ENTRY_TIME_MAX * scale;
        break;

    default:
        return false;
    }

    status = gw_number_read(text, len, scale, max, &value);

    if (status != GW_NUMBER_EXACT) {
        return false;
    }

    switch (member) {

    case LB_ENTRY_ID:
        entry->id = value;
        break;

    case LB_ENTRY_WEIGHT:
        entry->weight = (uint32_t) value;
        break;

    case LB_ENTRY_MAX_CONNS:
        entry->max_conns = (uint32_t) value;
        break;

    case LB_ENTRY_MAX_FAILS:
        entry->max_fails = (uint32_t) value;
        break;

    default: /* LB_ENTRY_FAIL_TIMEOUT */
        entry->fail_timeout = value;
        break;
    }

    if (value == 0 && (member & (LB_ENTRY_ID | LB_ENTRY_WEIGHT))) {
        return false;
    }

    entry->members |= member;

    return true;
}


bool
lb_entry_set_string(lb_entry_t *entry, unsigned member, const char *text,
    size_t len)
{
    bool  ok;

    switch (member) {

    case LB_ENTRY_ADDRESS:
        ok = lb_entry_set_text(entry->address, &entry->address_length, text,
                               len);
        break;

    case LB_ENTRY_NAME:
        ok = lb_entry_set_text(entry->name, &entry->name_length, text, len);
        break;

    case LB_ENTRY_FAIL_TIMEOUT:
        ok = (lb_entry_time(text, len, &entry->fail_timeout) == 0);
        break;

    case LB_ENTRY_STATE:
        ok = lb_entry_set_state(entry, text, len);
        break;

    default:
        return false;
    }

    if (ok) {
        entry->members |= member;
    }

    return ok;
}


static bool
lb_entry_set_text(char *buf, size_t *length, const char *text, size_t len)
{
    size_t  i;

    if (len == 0 || len > LB_ENTRY_TEXT_MAX) {
        return false;
    }

    for (i = 0; i < len; i++) {

        if ((unsigned char) text[i] <= ' ' || text[i] == 0x7f) {
            return false;
        }
    }

    memcpy(buf, text, len);
    *length = len;

    return true;
}


static bool
lb_entry_set_state(lb_entry_t *entry, const char *text, size_t len)
{
    unsigned  i;

    /* as a request, the verb will do */

    if (len == sizeof("drain") - 1 && memcmp(text, "drain", len) == 0) {
        len = strlen(lb_entry_states[LB_ENTRY_DRAIN]);
        text = lb_entry_states[LB_ENTRY_DRAIN];
    }

    for (i = 0; i < 3; i++) {

        if (strlen(lb_entry_states[i]) == len
            && memcmp(lb_entry_states[i], text, len) == 0)
        {
            entry->state = (lb_entry_state_t) i;
            return true;
        }
    }

    return false;
}


int
lb_entry_time(const char *text, size_t len, uint64_t *ms)
{
    uint64_t     max, n, total, unit;
    const char  *p, *end;

    p = text;
    end = text + len;
    total = 0;
    max = (uint64_t) LB_ENTRY_TIME_MAX * 1000;

    if (len == 0) {
        return -1;
    }

    while (p < end) {

        if (*p < '0' || *p > '9') {
            return -1;
        }

        for (n = 0; p < end && *p >= '0' && *p <= '9'; p++) {
            n = n * 10 + (uint64_t) (*p - '0');

            if (n > max) {
                return -1;
            }
        }

        unit = lb_entry_unit(&p, end);

        if (unit == 0 || n > max / unit || total + n * unit > max) {
            return -1;
        }

        total += n * unit;
    }

    *ms = total;

    return 0;
}


/* the unit at *p, which is moved behind it, in ms; 0 if it is none */

static uint64_t
lb_entry_unit(const char **p, const char *end)
{
    if (*p == end) {
        return 1000;
    }

    switch (*(*p)++) {

    case 'm':
        if (*p < end && **p == 's') {
            (*p)++;
            return 1;
        }

        return 60000;

    case 's':
        return 1000;

    case 'h':
        return 3600000;

    case 'd':
        return 86400000;

    default:
        return 0;
    }
}
