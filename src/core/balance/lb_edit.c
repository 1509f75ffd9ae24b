
/*
 * Changes of a roster's servers at runtime.
 */


#include <string.h>

#include "src/core/balance/lb_edit.h"
#include "src/core/balance/lb_slot.h"


static void lb_edit_names(lb_identity_t *identity, lb_entry_t *entry);
static void lb_edit_timeout(lb_entry_t *entry, uint64_t ms);
static void lb_edit_flags(lb_entry_t *entry, uint32_t status);


uint32_t
lb_edit_find(lb_roster_t *roster, uint64_t id)
{
    uint32_t  i, used;

    used = lb_roster_used(roster);

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

    used = lb_roster_used(roster);

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
    uint32_t  i, used;

    used = lb_roster_used(roster);

    if (used < roster->capacity) {
        return true;
    }

    for (i = 0; i < used; i++) {

        if (lb_roster_status(roster, i) == 0) {
            return true;
        }
    }

    return lb_edit_takes_over(roster, line) != LB_NONE
           || lb_slot_removed(roster, line) != LB_NONE;
}


uint32_t
lb_edit_add(lb_roster_t *roster, const lb_line_t *line)
{
    uint32_t        i, index, old, from, other, rank, used;
    lb_line_t       added;
    lb_identity_t  *identity;
    lb_identity_t   before;

    used = lb_roster_used(roster);
    rank = 0;

    for (i = 0; i < used; i++) {
        other = gw_load_relaxed(&lb_roster_server(roster, i)->rank);

        if ((lb_roster_status(roster, i) & LB_USED) && other >= rank) {
            rank = other + 1;
        }
    }

    added = *line;
    old = lb_edit_takes_over(roster, line);

    if (old != LB_NONE) {

        /* from now on this server stands for the line of the deleted one */

        before = *lb_roster_identity(roster, old);
        lb_roster_identity(roster, old)->tombstone = false;

        added.host = before.host;
        added.host_length = before.host_length;

        if (lb_roster_status(roster, old) & LB_TOMBSTONE) {
            gw_store_release(&lb_roster_server(roster, old)->status, 0);
        }
    }

    from = 0;
    index = lb_slot_take(roster, &added, &from);

    if (index == LB_NONE) {

        if (old != LB_NONE) {
            lb_roster_identity(roster, old)->tombstone = true;
        }

        return LB_NONE;
    }

    lb_slot_add(roster, index, &added, rank);

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


uint32_t
lb_edit_returns(lb_roster_t *roster, const lb_line_t *line)
{
    uint32_t  index;

    index = lb_edit_takes_over(roster, line);

    if (index != LB_NONE && (lb_roster_status(roster, index) & LB_REMOVED)) {
        return index;
    }

    return lb_slot_removed(roster, line);
}


uint32_t
lb_edit_takes_over(lb_roster_t *roster, const lb_line_t *line)
{
    uint32_t        i, used;
    lb_identity_t  *identity;

    used = line->resolved ? 0 : lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        identity = lb_roster_identity(roster, i);

        if ((lb_roster_status(roster, i) & (LB_TOMBSTONE | LB_REMOVED))
            && identity->tombstone
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
    lb_line_t   line;
    lb_entry_t  wanted;

    lb_edit_entry(roster, index, &wanted);
    lb_edit_merge(&wanted, entry);

    memset(&line, 0, sizeof(lb_line_t));

    line.weight = wanted.weight;
    line.max_conns = wanted.max_conns;
    line.max_fails = wanted.max_fails;
    line.fail_timeout = wanted.fail_timeout;
    line.status = lb_edit_status(&wanted);
    line.drain_until = (wanted.members & LB_ENTRY_DRAIN_UNTIL)
                       ? wanted.drain_until : 0;

    if (line.drain_until != 0) {
        gw_store_release(&roster->drains, 1);
    }

    lb_slot_set(lb_roster_server(roster, index), &line);
}


void
lb_edit_remove(lb_roster_t *roster, uint32_t index)
{
    lb_identity_t  *identity;

    identity = lb_roster_identity(roster, index);
    identity->tombstone = identity->from_line;
    identity->leaving = true;
    identity->drained = (lb_roster_server(roster, index)->drain_until != 0);

    atomic_fetch_or_explicit(&lb_roster_server(roster, index)->status,
                             LB_REMOVED, memory_order_seq_cst);
}


bool
lb_edit_is_drained(lb_roster_t *roster, uint32_t index, uint64_t now)
{
    uint32_t   status;
    uint64_t   until;
    lb_load_t  load;

    status = lb_roster_status(roster, index);
    until = gw_load_acquire(&lb_roster_server(roster, index)->drain_until);

    if ((status & (LB_USED | LB_DRAINING | LB_REMOVED))
            != (LB_USED | LB_DRAINING)
        || until == 0)
    {
        return false;
    }

    load = lb_roster_load(roster);

    return now >= until || lb_load_active(&load, index) == 0;
}


uint32_t
lb_edit_drained(lb_roster_t *roster, uint64_t now, uint32_t *from)
{
    uint32_t  i, used;

    if (gw_load_acquire(&roster->drains) == 0) {
        return LB_NONE;
    }

    used = lb_roster_used(roster);

    for (i = *from; i < used; i++) {

        if (lb_edit_is_drained(roster, i, now)) {
            *from = i + 1;
            return i;
        }
    }

    return LB_NONE;
}


void
lb_edit_entry(lb_roster_t *roster, uint32_t index, lb_entry_t *entry)
{
    lb_server_t    *server;
    lb_identity_t  *identity;

    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);

    lb_edit_names(identity, entry);

    entry->members |= LB_ENTRY_ID;
    entry->id = identity->id;

    entry->weight = gw_load_relaxed(&server->weight);
    entry->max_conns = gw_load_relaxed(&server->max_conns);
    entry->max_fails = gw_load_relaxed(&server->max_fails);

    lb_edit_timeout(entry, gw_load_relaxed(&server->fail_timeout));
    lb_edit_flags(entry, lb_roster_status(roster, index));

    if (gw_load_relaxed(&server->drain_until) != 0) {
        entry->members |= LB_ENTRY_DRAIN_UNTIL;
        entry->drain_until = gw_load_relaxed(&server->drain_until);
    }
}


bool
lb_edit_line(lb_roster_t *roster, uint32_t index, lb_entry_t *entry)
{
    bool            has;
    uint32_t        status;
    lb_identity_t  *identity;

    identity = lb_roster_identity(roster, index);
    status = lb_roster_status(roster, index);

    has = (status & (LB_REMOVED | LB_TOMBSTONE)) ? identity->tombstone
                                              : identity->from_line
                                                || identity->resolved;

    if (status == 0 || !has) {
        return false;
    }

    lb_edit_names(identity, entry);

    entry->weight = identity->weight;
    entry->max_conns = identity->max_conns;
    entry->max_fails = identity->max_fails;

    lb_edit_timeout(entry, identity->fail_timeout);
    lb_edit_flags(entry, identity->status);

    return true;
}


static void
lb_edit_names(lb_identity_t *identity, lb_entry_t *entry)
{
    memset(entry, 0, sizeof(lb_entry_t));

    entry->members = LB_ENTRY_ADDRESS | LB_ENTRY_SETTINGS;

    entry->address_length = identity->name_length;
    memcpy(entry->address, identity->name, identity->name_length);

    if (identity->host_length != identity->name_length
        || memcmp(identity->host, identity->name, identity->name_length) != 0)
    {
        entry->members |= LB_ENTRY_NAME;
        entry->name_length = identity->host_length;
        memcpy(entry->name, identity->host, identity->host_length);
    }

    if (identity->resolved) {
        entry->members |= LB_ENTRY_RESOLVED;
        entry->resolved = true;
    }
}


static void
lb_edit_timeout(lb_entry_t *entry, uint64_t ms)
{
    entry->fail_timeout = (ms > (uint64_t) LB_ENTRY_TIME_MAX * 1000)
                          ? (uint64_t) LB_ENTRY_TIME_MAX * 1000 : ms;
}


static void
lb_edit_flags(lb_entry_t *entry, uint32_t status)
{
    entry->backup = (status & LB_BACKUP) != 0;
    entry->state = (status & LB_DISABLED) ? LB_ENTRY_DISABLED
                   : (status & LB_DRAINING) ? LB_ENTRY_DRAIN : LB_ENTRY_UP;
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
        entry->drain_until = change->drain_until;
        entry->members &= ~(unsigned) LB_ENTRY_DRAIN_UNTIL;
        entry->members |= change->members & LB_ENTRY_DRAIN_UNTIL;
    }
}


uint32_t
lb_edit_status(const lb_entry_t *entry)
{
    return (entry->backup ? LB_BACKUP : 0)
           | (entry->state == LB_ENTRY_DISABLED ? LB_DISABLED : 0)
           | (entry->state == LB_ENTRY_DRAIN ? LB_DRAINING : 0);
}
