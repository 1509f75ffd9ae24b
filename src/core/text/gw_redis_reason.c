
/*
 * Reasons.  Redis 7 and Valkey put the script behind the text:
 *
 *     OOM command not allowed ... script: 5d60...1a0f, on @user_script:33.
 *
 * and Redis 6 before it, once for each level of call:
 *
 *     ERR Error running script (call to f_5d60...1a0f): @user_script:33:
 *     @user_script: 33: -OOM command not allowed ...
 */


#include "src/core/text/gw_redis_reason.h"

#include <stdint.h>
#include <string.h>


#define GW_REDIS_HEX     "0123456789abcdef"
#define GW_REDIS_DIGITS  "0123456789"

/* bytes of a secret that give it away */
#define GW_REDIS_SECRET  16


static const char *gw_redis_reason_begin(const char *p, const char *end);
static const char *gw_redis_reason_place(const char *p, const char *end);
static const char *gw_redis_reason_end(const char *p, const char *end);
static const char *gw_redis_find(const char *p, const char *end,
    const char *what, size_t len);
static const char *gw_redis_skip(const char *p, const char *end,
    const char *set);
static bool gw_redis_begins(const char *p, const char *end,
    const char *what);


void
gw_redis_reason(char *buf, size_t size, const char *text, size_t len)
{
    char         c;
    size_t       n;
    const char  *end;

    end = text + len;
    text = gw_redis_reason_begin(text, end);
    end = gw_redis_reason_end(text, end);

    n = 0;

    while (text < end && n + 1 < size) {
        c = *text++;
        buf[n++] = (c >= ' ' && c <= '~') ? c : '?';
    }

    while (n > 0 && buf[n - 1] == ' ') {
        n--;
    }

    buf[n] = '\0';
}


const char *
gw_redis_reason_auth(const char *text, size_t len)
{
    size_t  i;

    static const char *const  known[] = {
        "WRONGPASS",
        "NOAUTH",
        "NOPERM",
        "LOADING",
        "MASTERDOWN",
        "BUSY",
        "DENIED",
        "ERR unknown command",
        "ERR invalid password",
        "ERR wrong number of arguments",
        "ERR Client sent AUTH, but no password is set",
        "ERR AUTH <password> called without any password configured",
        "ERR max number of clients reached"
    };

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (gw_redis_begins(text, text + len, known[i])) {
            return known[i];
        }
    }

    return "AUTH was refused";
}


void
gw_redis_reason_hide(char *text, const char *secret)
{
    char        *p;
    size_t       len;
    const char  *end;

    len = (secret != NULL) ? strlen(secret) : 0;

    if (len == 0) {
        return;
    }

    if (len > GW_REDIS_SECRET) {
        len = GW_REDIS_SECRET;
    }

    end = text + strlen(text);
    p = text + (gw_redis_find(text, end, secret, len) - text);

    if (p < end) {
        *p = '\0';
    }
}


bool
gw_redis_reason_is(const char *reason, const char *code)
{
    size_t  len;

    len = strlen(code);

    return strncmp(reason, code, len) == 0
           && (reason[len] == '\0' || reason[len] == ' ');
}


/* Where the text begins behind the script's name and line. */

static const char *
gw_redis_reason_begin(const char *p, const char *end)
{
    const char  *next;

    static const char  running[] = "ERR Error running script (call to ";

    if (gw_redis_begins(p, end, running)) {
        next = gw_redis_find(p, end, "): ", 3);
        p = (next < end) ? next + 3 : p;
    }

    while ((next = gw_redis_reason_place(p, end)) != p) {
        p = next;
    }

    return (p < end && *p == '-') ? p + 1 : p;
}


/* Skips "@user_script:33: ", with or without a space before the number. */

static const char *
gw_redis_reason_place(const char *p, const char *end)
{
    const char  *next, *number;

    next = (p < end && *p == '@') ? p + 1 : p;

    if (!gw_redis_begins(next, end, "user_script:")) {
        return p;
    }

    number = gw_redis_skip(next + sizeof("user_script:") - 1, end, " ");
    next = gw_redis_skip(number, end, GW_REDIS_DIGITS);

    if (next == number || !gw_redis_begins(next, end, ": ")) {
        return p;
    }

    return next + 2;
}


/* Where the script, or what was sent, begins behind the text. */

static const char *
gw_redis_reason_end(const char *p, const char *end)
{
    const char  *hex, *script;

    static const char  args[] = ", with args beginning with";
    static const char  mark[] = " script: ";

    end = gw_redis_find(p, end, args, sizeof(args) - 1);
    script = gw_redis_find(p, end, mark, sizeof(mark) - 1);

    if (script == end) {
        return end;
    }

    hex = script + sizeof(mark) - 1;

    return (gw_redis_skip(hex, end, GW_REDIS_HEX) - hex >= 40) ? script : end;
}


/* Where what begins, or end. */

static const char *
gw_redis_find(const char *p, const char *end, const char *what, size_t len)
{
    for ( /* void */ ; (size_t) (end - p) >= len; p++) {
        if (memcmp(p, what, len) == 0) {
            return p;
        }
    }

    return end;
}


static const char *
gw_redis_skip(const char *p, const char *end, const char *set)
{
    while (p < end && *p != '\0' && strchr(set, *p) != NULL) {
        p++;
    }

    return p;
}


static bool
gw_redis_begins(const char *p, const char *end, const char *what)
{
    size_t  len;

    len = strlen(what);

    return (size_t) (end - p) >= len && memcmp(p, what, len) == 0;
}
