
/*
 * Servers that stand for a name.
 */


#include <string.h>

#include "src/core/balance/lb_edit.h"
#include "src/core/balance/lb_name.h"
#include "src/core/balance/lb_slot.h"


static const lb_name_t *lb_name_of(const lb_identity_t *identity,
    const lb_name_t *names, uint32_t n);
static void lb_name_settings(lb_roster_t *roster, uint32_t index,
    const lb_name_t *name);
static void lb_name_disown(lb_roster_t *roster, uint32_t index);
static const lb_line_t *lb_name_record(const lb_answer_t *answer,
    const lb_identity_t *identity);
static bool lb_name_is_current(const lb_identity_t *identity,
    const lb_line_t *line);


void
lb_name_line(const lb_name_t *name, uint32_t weight, bool backup,
    lb_line_t *line)
{
    *line = name->line;
    line->resolved = true;

    if (!name->service) {
        return;
    }

    if (line->weight == 1 && weight > 1) {
        line->weight = weight;
    }

    if (backup) {
        line->status |= LB_BACKUP;
    }
}


void
lb_name_sync(lb_roster_t *roster, const lb_name_t *names, uint32_t n)
{
    uint32_t          i, status, used;
    lb_identity_t    *identity;
    const lb_name_t  *name;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);
        identity = lb_roster_identity(roster, i);
        name = lb_name_of(identity, names, n);

        if (!(status & LB_USED) || (status & LB_REMOVED)) {

            if (name != NULL) {
                lb_slot_clear_tombstone(roster, i);
            }

            continue;
        }

        if (name != NULL && (identity->resolved || identity->from_line)) {
            lb_name_settings(roster, i, name);

        } else if (identity->resolved) {
            lb_name_disown(roster, i);
        }
    }

    for (i = 0; i < n && lb_name_is_known(roster, &names[i]); i++) {
        /* void */
    }

    gw_store_release(&roster->awaited, i < n);
}


static const lb_name_t *
lb_name_of(const lb_identity_t *identity, const lb_name_t *names, uint32_t n)
{
    uint32_t  i;

    for (i = 0; i < n; i++) {

        if (names[i].line.host_length == identity->host_length
            && memcmp(names[i].line.host, identity->host,
                      identity->host_length) == 0)
        {
            return &names[i];
        }
    }

    return NULL;
}


/* what its record has said of it stays until the next answer */

static void
lb_name_settings(lb_roster_t *roster, uint32_t index, const lb_name_t *name)
{
    char            sid[LB_SID_MAX];
    lb_line_t       line;
    lb_identity_t  *identity;

    identity = lb_roster_identity(roster, index);
    memcpy(sid, identity->sid, LB_SID_MAX);

    lb_name_line(name, identity->weight, (identity->status & LB_BACKUP) != 0,
                 &line);

    line.sid = sid;
    line.sid_length = identity->sid_length;

    lb_slot_follow(roster, index, &line);
}


/* it is one of a line now, and none that was changed at runtime */

static void
lb_name_disown(lb_roster_t *roster, uint32_t index)
{
    lb_server_t    *server;
    lb_identity_t  *identity;

    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);

    identity->resolved = false;
    identity->from_line = true;

    identity->weight = gw_load_relaxed(&server->weight);
    identity->max_conns = gw_load_relaxed(&server->max_conns);
    identity->max_fails = gw_load_relaxed(&server->max_fails);
    identity->fail_timeout = gw_load_relaxed(&server->fail_timeout);
    identity->status = gw_load_acquire(&server->status) & LB_WANTED;
}


bool
lb_name_owns(lb_roster_t *roster, uint32_t index, const lb_name_t *name)
{
    uint32_t        status;
    lb_identity_t  *identity;

    status = lb_roster_status(roster, index);
    identity = lb_roster_identity(roster, index);

    return (status & LB_USED) && !(status & LB_REMOVED)
           && identity->resolved && lb_name_of(identity, name, 1) != NULL;
}


bool
lb_name_is_known(lb_roster_t *roster, const lb_name_t *name)
{
    uint32_t  i, used;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {

        if (lb_name_owns(roster, i, name)) {
            return true;
        }
    }

    return false;
}


uint32_t
lb_name_find(lb_roster_t *roster, const lb_line_t *line)
{
    uint32_t        i, status, used;
    lb_identity_t  *identity;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);
        identity = lb_roster_identity(roster, i);

        if ((status & LB_USED) && !(status & LB_REMOVED)
            && identity->resolved && lb_roster_same(identity, line))
        {
            return i;
        }
    }

    return LB_NONE;
}


bool
lb_name_differs(lb_roster_t *roster, const lb_answer_t *answer)
{
    uint32_t          i, status, used;
    lb_identity_t    *identity;
    const lb_line_t  *line;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {

        if (!lb_name_owns(roster, i, answer->name)) {
            continue;
        }

        status = lb_roster_status(roster, i);
        identity = lb_roster_identity(roster, i);
        line = lb_name_record(answer, identity);

        if (line == NULL) {

            if (!answer->partial && !(status & LB_REPLACED)) {
                return true;
            }

        } else if ((status & LB_REPLACED)
                   || !lb_name_is_current(identity, line))
        {
            return true;
        }
    }

    for (i = 0; i < answer->n; i++) {

        if (lb_name_find(roster, &answer->lines[i]) == LB_NONE
            && lb_edit_has_room(roster, &answer->lines[i]))
        {
            return true;
        }
    }

    return false;
}


void
lb_name_follow(lb_roster_t *roster, const lb_answer_t *answer)
{
    uint32_t          i, used;
    const lb_line_t  *line;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {

        if (!lb_name_owns(roster, i, answer->name)) {
            continue;
        }

        line = lb_name_record(answer, lb_roster_identity(roster, i));

        if (line != NULL) {
            lb_slot_follow(roster, i, line);

        } else if (!answer->partial) {
            atomic_fetch_or_explicit(&lb_roster_server(roster, i)->status,
                                     LB_REPLACED, memory_order_acq_rel);
        }
    }
}


static const lb_line_t *
lb_name_record(const lb_answer_t *answer, const lb_identity_t *identity)
{
    uint32_t  i;

    for (i = 0; i < answer->n; i++) {

        if (lb_roster_same(identity, &answer->lines[i])) {
            return &answer->lines[i];
        }
    }

    return NULL;
}


static bool
lb_name_is_current(const lb_identity_t *identity, const lb_line_t *line)
{
    return identity->weight == line->weight
           && identity->max_conns == line->max_conns
           && identity->max_fails == line->max_fails
           && identity->fail_timeout == line->fail_timeout
           && identity->status == line->status;
}
