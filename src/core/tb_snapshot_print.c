
/*
 * Files of clients as they are written.
 */


#include <stdio.h>

#include "src/core/tb_snapshot.h"


static char *tb_snapshot_print_text(char *p, const char *text, size_t len);


size_t
tb_snapshot_write_begin(char *buf, const char *zone, size_t len,
    uint64_t journal)
{
    char  *p;

    p = buf;
    *p++ = '{';

    if (len > 0) {
        p += sprintf(p, "\"zone\":");
        p = tb_snapshot_print_text(p, zone, len);
        *p++ = ',';
    }

    p += sprintf(p, "\"journal\":%llu,\"clients\":[",
                 (unsigned long long) journal);

    return (size_t) (p - buf);
}


size_t
tb_snapshot_write_client(char *buf, const char *id, size_t len,
    uint32_t capacity, uint64_t rate, bool first)
{
    char  *p;

    p = buf + sprintf(buf, "%s\n{\"client_id\":", first ? "" : ",");
    p = tb_snapshot_print_text(p, id, len);

    /* what follows is an object of limits, a comma for its brace */

    len = tb_client_print_limits(p, capacity, rate);
    *p = ',';

    return (size_t) (p - buf) + len;
}


size_t
tb_snapshot_write_end(char *buf)
{
    return (size_t) sprintf(buf, "\n]}\n");
}


/* A JSON string; returns where it ends. */

static char *
tb_snapshot_print_text(char *p, const char *text, size_t len)
{
    size_t         i;
    unsigned char  c;

    *p++ = '"';

    for (i = 0; i < len; i++) {
        c = (unsigned char) text[i];

        if (c < 0x20 || c == '"' || c == '\\') {
            p += sprintf(p, "\\u%04x", c);

        } else {
            *p++ = text[i];
        }
    }

    *p++ = '"';

    return p;
}
