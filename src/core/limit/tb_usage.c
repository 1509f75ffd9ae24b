
/*
 * A scanner of JSON that knows depth, strings and a few names, and one of
 * server-sent events around it.
 */


#include <string.h>

#include "src/core/limit/tb_usage.h"


#define TB_USAGE_NUMBER_MAX  UINT64_C(1000000000000000)


/* Where the scanner is. */

enum {
    TB_USAGE_VALUE = 0,            /* between values */
    TB_USAGE_STRING,
    TB_USAGE_KEY,                  /* in a name that may mean something */
    TB_USAGE_DIGITS                /* in a number that means something */
};

/* What an object is, or what a member with a name is. */

enum {
    TB_USAGE_OTHER = 0,
    TB_USAGE_OUTER,                /* not in another object */
    TB_USAGE_INNER,                /* an object that may have a usage */
    TB_USAGE_OBJECT,               /* a usage */
    TB_USAGE_FIRST                 /* and from here a number in it */
};

/* What a line is. */

enum {
    TB_USAGE_FIELD = 0,            /* its name is not complete */
    TB_USAGE_EVENT,
    TB_USAGE_DATA,
    TB_USAGE_IGNORED
};


static const struct {
    const char  *name;
    uint8_t      member;
} tb_usage_names[] = {
    { "usage", TB_USAGE_OBJECT },
    { "usageMetadata", TB_USAGE_OBJECT },
    { "message", TB_USAGE_INNER },
    { "response", TB_USAGE_INNER },
    { "prompt_tokens", TB_USAGE_FIRST + TB_USAGE_INPUT },
    { "input_tokens", TB_USAGE_FIRST + TB_USAGE_INPUT },
    { "promptTokenCount", TB_USAGE_FIRST + TB_USAGE_INPUT },
    { "completion_tokens", TB_USAGE_FIRST + TB_USAGE_OUTPUT },
    { "output_tokens", TB_USAGE_FIRST + TB_USAGE_OUTPUT },
    { "candidatesTokenCount", TB_USAGE_FIRST + TB_USAGE_OUTPUT },
    { "total_tokens", TB_USAGE_FIRST + TB_USAGE_TOTAL },
    { "totalTokenCount", TB_USAGE_FIRST + TB_USAGE_TOTAL }
};


static void tb_usage_reset(tb_usage_t *u);
static void tb_usage_events(tb_usage_t *u, const char *p, const char *end);
static bool tb_usage_is_text(const tb_usage_t *u, const char *p,
    const char *next, const char *end);
static bool tb_usage_names_it(const char *p, const char *end);
static const char *tb_usage_field(tb_usage_t *u, const char *p,
    const char *end);
static void tb_usage_name(tb_usage_t *u, const char *p, const char *end);
static void tb_usage_event(tb_usage_t *u);
static void tb_usage_json(tb_usage_t *u, const char *p, const char *end);
static const char *tb_usage_between(tb_usage_t *u, const char *p,
    const char *end);
static const char *tb_usage_string(tb_usage_t *u, const char *p,
    const char *end);
static const char *tb_usage_key(tb_usage_t *u, const char *p,
    const char *end);
static const char *tb_usage_digits(tb_usage_t *u, const char *p,
    const char *end);
static void tb_usage_open(tb_usage_t *u, bool object);
static uint8_t tb_usage_scope(const tb_usage_t *u);
static inline bool tb_usage_begins(const tb_usage_t *u, const char *name);


void
tb_usage_init(tb_usage_t *u, bool events)
{
    memset(u, 0, sizeof(*u));

    u->events = events;
}


void
tb_usage_feed(tb_usage_t *u, const char *p, size_t len)
{
    if (u->events) {
        tb_usage_events(u, p, p + len);

    } else {
        tb_usage_json(u, p, p + len);
    }
}


bool
tb_usage_get(const tb_usage_t *u, tb_usage_number_t which, uint64_t *number)
{
    *number = u->number[which];

    if (u->known[which]) {
        return true;
    }

    *number = u->number[TB_USAGE_INPUT] + u->number[TB_USAGE_OUTPUT];

    return which == TB_USAGE_TOTAL && u->known[TB_USAGE_INPUT]
           && u->known[TB_USAGE_OUTPUT];
}


/* A new text begins: the data of another event. */

static void
tb_usage_reset(tb_usage_t *u)
{
    u->depth = 0;
    u->state = TB_USAGE_VALUE;
    u->member = TB_USAGE_OTHER;
    u->named = false;
    u->escaped = false;
}


static void
tb_usage_events(tb_usage_t *u, const char *p, const char *end)
{
    const char  *next;

    while (p < end) {

        if (u->line == TB_USAGE_FIELD) {
            p = tb_usage_field(u, p, end);
            continue;
        }

        next = memchr(p, '\n', (size_t) (end - p));

        if (u->line == TB_USAGE_EVENT) {
            tb_usage_name(u, p, next ? next : end);

            if (next != NULL) {
                tb_usage_event(u);
            }

        } else if (u->line == TB_USAGE_DATA && !u->skip
                   && !tb_usage_is_text(u, p, next, end))
        {
            tb_usage_json(u, p, next ? next : end);
        }

        if (next == NULL) {
            return;
        }

        p = next + 1;
        u->line = TB_USAGE_FIELD;
        u->len = 0;
    }
}


/*
 * Whether all of an event's data is the rest of a line, from p to next, that
 * has nothing of interest.
 */

static bool
tb_usage_is_text(const tb_usage_t *u, const char *p, const char *next,
    const char *end)
{
    if (next == NULL || u->depth != 0) {
        return false;
    }

    return next - p >= 6 && next + 1 < end
           && (next[1] == '\n' || next[1] == '\r')
           && !tb_usage_names_it(p, next);
}


/*
 * Whether "usage is anywhere in it, with the quote (R. Horspool, "Practical
 * fast searching in strings", 1980).
 */

static bool
tb_usage_names_it(const char *p, const char *end)
{
    /* how far the last place of a byte in the text is from its end, from 6 */

    static const uint8_t  place[128] = {
        ['"'] = 1, ['u'] = 2, ['s'] = 3, ['a'] = 4, ['g'] = 5
    };

    for (end -= 6; p <= end; /* void */) {

        if (p[5] == 'e' && memcmp(p, "\"usage", 6) == 0) {
            return true;
        }

        p += 6 - place[p[5] & 127];
    }

    return false;
}


/* The name of a line's field, and the colon; an empty line ends an event. */

static const char *
tb_usage_field(tb_usage_t *u, const char *p, const char *end)
{
    if (u->len == 0 && end - p >= 5 && memcmp(p, "data:", 5) == 0) {
        u->line = TB_USAGE_DATA;
        return p + 5;
    }

    for ( /* void */ ; p < end; p++) {

        if (*p == '\n') {
            if (u->len == 0) {
                u->skip = false;
                tb_usage_reset(u);
            }

            u->len = 0;

            return p + 1;

        } else if (*p == ':') {
            u->line = TB_USAGE_IGNORED;

            if (u->len == 4 && memcmp(u->name, "data", 4) == 0) {
                u->line = TB_USAGE_DATA;

            } else if (u->len == 5 && memcmp(u->name, "event", 5) == 0) {
                u->line = TB_USAGE_EVENT;
            }

            u->len = 0;

            return p + 1;

        } else if (*p != '\r' && u->len < TB_USAGE_NAME) {
            u->name[u->len++] = *p;
        }
    }

    return p;
}


/* A part of the name of an event. */

static void
tb_usage_name(tb_usage_t *u, const char *p, const char *end)
{
    size_t  n;

    if (u->len == 0 && p < end && *p == ' ') {
        p++;
    }

    n = TB_USAGE_NAME - u->len;
    n = n < (size_t) (end - p) ? n : (size_t) (end - p);

    memcpy(u->name + u->len, p, n);
    u->len += (uint8_t) n;
}


/* Events of these dialects that are text, or parts of it, say no usage. */

static void
tb_usage_event(tb_usage_t *u)
{
    u->skip = tb_usage_begins(u, "content_block_")
              || tb_usage_begins(u, "ping")
              || (tb_usage_begins(u, "response.")
                  && !tb_usage_begins(u, "response.completed")
                  && !tb_usage_begins(u, "response.incomplete")
                  && !tb_usage_begins(u, "response.failed"));
}


static void
tb_usage_json(tb_usage_t *u, const char *p, const char *end)
{
    while (p < end) {

        switch (u->state) {

        case TB_USAGE_STRING:
            p = tb_usage_string(u, p, end);
            break;

        case TB_USAGE_KEY:
            p = tb_usage_key(u, p, end);
            break;

        case TB_USAGE_DIGITS:
            p = tb_usage_digits(u, p, end);
            break;

        default:
            p = tb_usage_between(u, p, end);
        }
    }
}


/* Up to a string, or a number that is of interest. */

static const char *
tb_usage_between(tb_usage_t *u, const char *p, const char *end)
{
    while (p < end) {

        switch (*p++) {

        case '"':
            u->state = u->named ? TB_USAGE_KEY : TB_USAGE_STRING;
            u->len = 0;

            return p;

        case '{':
            tb_usage_open(u, true);
            break;

        case '[':
            tb_usage_open(u, false);
            break;

        case '}':
        case ']':
            u->depth -= u->depth > 0;
            u->named = false;
            u->member = TB_USAGE_OTHER;
            break;

        case ',':
            u->named = tb_usage_scope(u) != TB_USAGE_OTHER;
            u->member = TB_USAGE_OTHER;
            break;

        case ':':
            u->named = false;
            break;

        case '0': case '1': case '2': case '3': case '4':
        case '5': case '6': case '7': case '8': case '9':

            if (u->member >= TB_USAGE_FIRST
                && tb_usage_scope(u) == TB_USAGE_OBJECT)
            {
                u->state = TB_USAGE_DIGITS;
                u->digits = 0;

                return p - 1;
            }

            break;

        case '-':
            u->member = TB_USAGE_OTHER;
            break;

        default:
            break;
        }
    }

    return p;
}


/* A string of which only the end is of interest. */

static const char *
tb_usage_string(tb_usage_t *u, const char *p, const char *end)
{
    const char  *from, *quote;

    if (u->escaped) {
        u->escaped = false;
        p++;
    }

    while (p < end) {
        from = p;
        quote = memchr(p, '"', (size_t) (end - p));

        /* an odd number of backslashes makes it a part of the string */

        for (p = quote ? quote : end; p > from && p[-1] == '\\'; p--) {
            u->escaped = !u->escaped;
        }

        if (quote == NULL) {
            return end;
        }

        p = quote + 1;

        if (!u->escaped) {
            u->state = TB_USAGE_VALUE;
            return p;
        }

        u->escaped = false;
    }

    return p;
}


static const char *
tb_usage_key(tb_usage_t *u, const char *p, const char *end)
{
    size_t  i;

    for ( /* void */ ; p < end; p++) {

        if (*p == '\\') {

            /* no name that means anything: the rest is passed over */

            u->member = TB_USAGE_OTHER;
            u->named = false;
            u->state = TB_USAGE_STRING;

            return p;
        }

        if (*p == '"') {
            u->member = TB_USAGE_OTHER;
            u->state = TB_USAGE_VALUE;

            for (i = 0; i < sizeof(tb_usage_names) / sizeof(tb_usage_names[0]);
                 i++)
            {
                if (strlen(tb_usage_names[i].name) == u->len
                    && memcmp(tb_usage_names[i].name, u->name, u->len) == 0)
                {
                    u->member = tb_usage_names[i].member;
                    break;
                }
            }

            return p + 1;
        }

        if (u->len < TB_USAGE_NAME) {
            u->name[u->len++] = *p;
        }
    }

    return p;
}


/* Whole numbers only: what has a fraction or an exponent is none. */

static const char *
tb_usage_digits(tb_usage_t *u, const char *p, const char *end)
{
    for ( /* void */ ; p < end && *p >= '0' && *p <= '9'; p++) {
        u->digits = u->digits * 10 + (uint64_t) (*p - '0');

        if (u->digits > TB_USAGE_NUMBER_MAX) {
            u->digits = TB_USAGE_NUMBER_MAX;
        }
    }

    if (p == end) {
        return p;
    }

    if (*p != '.' && *p != 'e' && *p != 'E') {
        u->number[u->member - TB_USAGE_FIRST] = u->digits;
        u->known[u->member - TB_USAGE_FIRST] = true;
    }

    u->member = TB_USAGE_OTHER;
    u->state = TB_USAGE_VALUE;

    return p;
}


/* An object or array that is in what there is, as the last name says. */

static void
tb_usage_open(tb_usage_t *u, bool object)
{
    uint8_t  outer, scope;

    outer = tb_usage_scope(u);
    scope = TB_USAGE_OTHER;

    if (object) {

        if (u->depth == 0 || (u->depth == 1 && u->scope[0] == TB_USAGE_OTHER))
        {
            scope = TB_USAGE_OUTER;

        } else if (outer == TB_USAGE_OUTER
                   && (u->member == TB_USAGE_INNER
                       || u->member == TB_USAGE_OBJECT))
        {
            scope = u->member;

        } else if (outer == TB_USAGE_INNER && u->member == TB_USAGE_OBJECT) {
            scope = TB_USAGE_OBJECT;
        }
    }

    if (u->depth < sizeof(u->scope)) {
        u->scope[u->depth] = scope;
    }

    u->depth++;
    u->named = scope != TB_USAGE_OTHER;
    u->member = TB_USAGE_OTHER;
}


static uint8_t
tb_usage_scope(const tb_usage_t *u)
{
    return u->depth > 0 && u->depth <= sizeof(u->scope)
           ? u->scope[u->depth - 1] : TB_USAGE_OTHER;
}


static inline bool
tb_usage_begins(const tb_usage_t *u, const char *name)
{
    return u->len >= strlen(name) && memcmp(u->name, name, strlen(name)) == 0;
}
