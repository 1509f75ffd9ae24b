
/*
 * Changes of a roster's servers at runtime.
 */


#include <string.h>

#include "lb_edit.h"
#include "lb_sync.h"


static uint32_t lb_edit_takes_over(lb_roster_t *roster,
    const lb_line_t *line);


uint32_t
lb_edit_find(lb_roster_t *roster, uint64_t id)
{
    uint32_t  i, used;

    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {

        if ((lb_roster_status(roster, i) & LB_USED)
            && lb_roster_identity(roster, i)->id == id)
        {
            return i;
        }
    }

    return LB_NONE;
}


uint32_t
lb_edit_find_address(lb_roster_t *roster, const void *address, size_t length)
{
    uint32_t        i, status, used;
    lb_identity_t  *identity;

    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);
        identity = lb_roster_identity(roster, i);

        if ((status & LB_USED) && !(status & LB_REMOVED)
            && identity->address_length == length
            && memcmp(identity->address, address, length) == 0)
        {
            return i;
        }
    }

    return LB_NONE;
}


bool
lb_edit_has_room(lb_roster_t *roster, const lb_line_t *line)
{
    uint32_t  i, old, used;

    used = atomic_load(&roster->used);

    if (used < roster->capacity) {
        return true;
    }

    for (i = 0; i < used; i++) {

        if (lb_roster_status(roster, i) == 0) {
            return true;
        }
    }

    old = lb_edit_takes_over(roster, line);

    return old != LB_NONE && (lb_roster_status(roster, old) & LB_BURIED);
}


uint32_t
lb_edit_add(lb_roster_t *roster, const lb_line_t *line)
{
    uint32_t        i, index, old, from, rank, used;
    lb_line_t       added;
    lb_identity_t  *identity;
    lb_identity_t   before;

    used = atomic_load(&roster->used);
    rank = 0;

    for (i = 0; i < used; i++) {

        if ((lb_roster_status(roster, i) & LB_USED)
            && lb_roster_server(roster, i)->rank >= rank)
        {
            rank = lb_roster_server(roster, i)->rank + 1;
        }
    }

    added = *line;
    old = lb_edit_takes_over(roster, line);

    if (old != LB_NONE) {

        /* from now on this server stands for the line of the deleted one */

        before = *lb_roster_identity(roster, old);
        lb_roster_identity(roster, old)->buried = false;

        added.host = before.host;
        added.host_length = before.host_length;

        if (lb_roster_status(roster, old) & LB_BURIED) {
            atomic_store(&lb_roster_server(roster, old)->status, 0);
        }
    }

    from = 0;
    index = lb_sync_slot(roster, &from);

    if (index == LB_NONE) {

        if (old != LB_NONE) {
            lb_roster_identity(roster, old)->buried = true;
        }

        return LB_NONE;
    }

    lb_sync_add(roster, index, &added, rank);

    identity = lb_roster_identity(roster, index);
    identity->from_line = (old != LB_NONE);

    if (old != LB_NONE) {
        identity->weight = before.weight;
        identity->max_conns = before.max_conns;
        identity->max_fails = before.max_fails;
        identity->fail_timeout = before.fail_timeout;
        identity->status = before.status;
    }

    return index;
}


/* a server of that address that was deleted and stands for its line */

static uint32_t
lb_edit_takes_over(lb_roster_t *roster, const lb_line_t *line)
{
    uint32_t        i, used;
    lb_identity_t  *identity;

    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        identity = lb_roster_identity(roster, i);

        if ((lb_roster_status(roster, i) & (LB_BURIED | LB_REMOVED))
            && identity->buried
            && identity->address_length == line->address_length
            && memcmp(identity->address, line->address, line->address_length)
               == 0)
        {
            return i;
        }
    }

    return LB_NONE;
}


void
lb_edit_change(lb_roster_t *roster, uint32_t index, const lb_entry_t *entry)
{
    uint32_t      keep, set;
    lb_entry_t    wanted;
    lb_server_t  *server;

    lb_edit_entry(roster, index, &wanted);
    lb_edit_merge(&wanted, entry);

    server = lb_roster_server(roster, index);

    server->weight = wanted.weight;
    server->max_conns = wanted.max_conns;

    if (server->max_fails != wanted.max_fails
        || server->fail_timeout != wanted.fail_timeout)
    {
        lb_window_clear(&server->fails);
        server->max_fails = wanted.max_fails;
        server->fail_timeout = wanted.fail_timeout;

        if (wanted.max_fails == 0 || wanted.fail_timeout == 0) {
            atomic_fetch_and(&server->status, ~(uint32_t) LB_FAILED);
        }
    }

    set = lb_edit_status(&wanted);
    keep = ~(uint32_t) (LB_BACKUP | LB_DISABLED | LB_DRAINING) | set;

    atomic_fetch_or(&server->status, set);
    atomic_fetch_and(&server->status, keep);
}


void
lb_edit_remove(lb_roster_t *roster, uint32_t index)
{
    lb_identity_t  *identity;

    identity = lb_roster_identity(roster, index);
    identity->buried = identity->from_line;
    identity->leaving = true;

    atomic_fetch_or(&lb_roster_server(roster, index)->status, LB_REMOVED);
}


void
lb_edit_entry(lb_roster_t *roster, uint32_t index, lb_entry_t *entry)
{
    uint32_t        status;
    lb_server_t    *server;
    lb_identity_t  *identity;

    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);
    status = lb_roster_status(roster, index);

    memset(entry, 0, sizeof(lb_entry_t));

    entry->members = LB_ENTRY_ADDRESS | LB_ENTRY_ID | LB_ENTRY_SETTINGS;

    entry->id = identity->id;
    entry->weight = server->weight;
    entry->max_conns = server->max_conns;
    entry->max_fails = server->max_fails;
    entry->fail_timeout = server->fail_timeout;

    if (entry->fail_timeout > (uint64_t) LB_ENTRY_TIME_MAX * 1000) {
        entry->fail_timeout = (uint64_t) LB_ENTRY_TIME_MAX * 1000;
    }

    entry->backup = (status & LB_BACKUP) != 0;
    entry->state = (status & LB_DISABLED) ? LB_ENTRY_DISABLED
                   : (status & LB_DRAINING) ? LB_ENTRY_DRAIN : LB_ENTRY_UP;

    entry->address_length = identity->name_length;
    memcpy(entry->address, identity->name, identity->name_length);

    if (identity->host_length != identity->name_length
        || memcmp(identity->host, identity->name, identity->name_length) != 0)
    {
        entry->members |= LB_ENTRY_NAME;
        entry->name_length = identity->host_length;
        memcpy(entry->name, identity->host, identity->host_length);
    }
}


void
lb_edit_merge(lb_entry_t *entry, const lb_entry_t *change)
{
    if (change->members & LB_ENTRY_WEIGHT) {
        entry->weight = change->weight;
    }

    if (change->members & LB_ENTRY_MAX_CONNS) {
        entry->max_conns = change->max_conns;
    }

    if (change->members & LB_ENTRY_MAX_FAILS) {
        entry->max_fails = change->max_fails;
    }

    if (change->members & LB_ENTRY_FAIL_TIMEOUT) {
        entry->fail_timeout = change->fail_timeout;
    }

    if (change->members & LB_ENTRY_BACKUP) {
        entry->backup = change->backup;
    }

    if (change->members & LB_ENTRY_STATE) {
        entry->state = change->state;
    }
}


uint32_t
lb_edit_status(const lb_entry_t *entry)
{
    return (entry->backup ? LB_BACKUP : 0)
           | (entry->state == LB_ENTRY_DISABLED ? LB_DISABLED : 0)
           | (entry->state == LB_ENTRY_DRAIN ? LB_DRAINING : 0);
}
