
/*
 * What the values in a file of clients come to.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/tb_snapshot_value.h"


void
tb_snapshot_wrong(tb_snapshot_t *s, const char *fmt, ...)
{
    va_list  args;

    if (s->wrong[0] == '\0') {
        va_start(args, fmt);
        (void) vsnprintf(s->wrong, sizeof(s->wrong), fmt, args);
        va_end(args);
    }
}


int
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
        gw_json_fail(&s->json, "\"zone\" is %s, must be a name", value);
        return 0;

    case TB_SNAPSHOT_JOURNAL:
        gw_json_fail(&s->json, "\"journal\" is %s, must be a number from 1 "
                     "to 2^53", value);
        return 0;

    case TB_SNAPSHOT_CLIENTS:
        gw_json_fail(&s->json, "\"clients\" is %s, must be an array", value);
        return 0;

    default:
        gw_json_fail(&s->json, "it is %s, must be an object with "
                     "\"clients\"", value);
        return 0;
    }
}


int
tb_snapshot_name(tb_snapshot_t *s, const char *name, size_t len)
{
    char      quoted[GW_JSON_QUOTE_SIZE];
    unsigned  place;

    if (len == 4 && memcmp(name, "zone", 4) == 0) {
        place = TB_SNAPSHOT_ZONE;

    } else if (len == 7 && memcmp(name, "journal", 7) == 0) {
        place = TB_SNAPSHOT_JOURNAL;

    } else if (len == 7 && memcmp(name, "clients", 7) == 0) {
        place = TB_SNAPSHOT_CLIENTS;

    } else {
        gw_json_fail(&s->json, "unknown member \"%s\", allowed: zone, "
                     "journal, clients", gw_json_quote(quoted, name, len));
        return 0;
    }

    if (s->seen & place) {
        gw_json_fail(&s->json, "\"%.*s\" is there twice", (int) len, name);
        return 0;
    }

    s->seen |= place;
    s->place = place;

    return 1;
}


void
tb_snapshot_id(tb_snapshot_t *s, const char *id, size_t len)
{
    char            quoted[GW_JSON_QUOTE_SIZE];
    gw_id_status_t  status;

    status = gw_id_check(id, len);

    if (status != GW_ID_OK) {
        tb_snapshot_wrong(s, "client_id \"%s\" %s",
                          gw_json_quote(quoted, id, len),
                          gw_id_error(status));
        return;
    }

    memcpy(s->client.id, id, len);
    s->client.id[len] = '\0';
    s->client.id_len = len;
    s->client.members |= TB_CLIENT_ID;
}


void
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
