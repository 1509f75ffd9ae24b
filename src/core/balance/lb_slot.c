
/*
 * Slots of a roster: finding a free one, making the server of a line in it,
 * and telling what the line says from what was changed at runtime.
 */


#include <string.h>

#include "src/core/balance/lb_cells.h"
#include "src/core/balance/lb_health.h"
#include "src/core/balance/lb_sid.h"
#include "src/core/balance/lb_slot.h"


static void lb_slot_name(lb_identity_t *identity, const lb_line_t *line);
static void lb_slot_sid(lb_roster_t *roster, uint32_t index,
    const lb_line_t *line);


uint32_t *
lb_slot_space(lb_roster_t *roster)
{
    uint32_t  *seen;

    seen = (uint32_t *) ((unsigned char *) roster + roster->seen);
    memset(seen, 0, roster->capacity * sizeof(uint32_t));

    return seen;
}


uint32_t
lb_slot_next(lb_roster_t *roster, uint32_t *from)
{
    uint32_t  i, used;

    used = lb_roster_used(roster);

    for (i = *from; i < used; i++) {

        if (lb_roster_status(roster, i) == 0) {
            *from = i + 1;
            return i;
        }
    }

    if (used == roster->capacity) {
        return LB_NONE;
    }

    gw_store_release(&roster->used, used + 1);

    *from = used + 1;

    return used;
}


uint32_t
lb_slot_take(lb_roster_t *roster, const lb_line_t *line, uint32_t *from)
{
    uint32_t  index;

    index = lb_slot_removed(roster, line);

    return (index != LB_NONE) ? index : lb_slot_next(roster, from);
}


uint32_t
lb_slot_removed(lb_roster_t *roster, const lb_line_t *line)
{
    uint32_t        i, used;
    lb_identity_t  *identity;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        identity = lb_roster_identity(roster, i);

        if ((lb_roster_status(roster, i) & LB_REMOVED) && !identity->tombstone
            && lb_roster_same(identity, line))
        {
            return i;
        }
    }

    return LB_NONE;
}


/*
 * The slot is free, or its server is removed, until its status is written,
 * last.  Requests on a removed one go on reading its address.
 */

void
lb_slot_add(lb_roster_t *roster, uint32_t index, const lb_line_t *line,
    uint32_t rank)
{
    uint32_t        i;
    lb_server_t    *server;
    lb_identity_t  *identity;

    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);

    if (lb_roster_status(roster, index) & LB_REMOVED) {
        identity->reason_length = 0;
        identity->reason_status = 0;
        identity->leaving = false;
        identity->replaced = false;
        identity->drained = false;

    } else {
        memset(identity, 0, sizeof(lb_identity_t));
        lb_slot_name(identity, line);
    }

    identity->id = line->id;

    if (line->id == 0) {
        identity->id = atomic_fetch_add_explicit(&roster->id_next, 1,
                                                 memory_order_acq_rel) + 1;

    } else {
        lb_slot_id(roster, line->id);
    }

    lb_slot_line(roster, index, line);

    gw_store_relaxed(&server->weight, line->weight);
    gw_store_relaxed(&server->max_conns, line->max_conns);
    gw_store_relaxed(&server->max_fails, line->max_fails);
    gw_store_relaxed(&server->fail_timeout, line->fail_timeout);
    gw_store_relaxed(&server->rank, rank);
    gw_store_relaxed(&server->retry_at, 0);
    gw_store_relaxed(&server->failed_at, 0);
    gw_store_relaxed(&server->reported_at, 0);
    gw_store_relaxed(&server->requests, 0);
    gw_store_relaxed(&server->failures, 0);
    gw_store_relaxed(&server->latency, 0);
    gw_store_relaxed(&server->since, 0);
    gw_store_relaxed(&server->slow_from, 0);
    gw_store_relaxed(&server->drain_until, line->drain_until);
    gw_store_relaxed(&server->ejections, 0);
    gw_store_relaxed(&server->ejected_until, 0);
    gw_store_relaxed(&server->listed, LB_UNLISTED);
    gw_store_relaxed(&server->seed,
                     lb_cells_seed(line->name, line->name_length,
                                   line->host, line->host_length));

    lb_window_clear(&server->fails);
    lb_window_clear(&server->errors);

    for (i = 0; i < LB_ANSWERS; i++) {
        gw_store_relaxed(&server->answers[i], 0);
    }

    gw_store_relaxed(&server->health, line->pending ? LB_HEALTH_NEW : 0);
    gw_store_relaxed(&server->check_time, 0);
    gw_store_relaxed(&server->check_began, 0);
    gw_store_relaxed(&server->checked_at, 0);
    gw_store_relaxed(&server->checks[false], 0);
    gw_store_relaxed(&server->checks[true], 0);

    gw_store_release(&server->status,
                     LB_USED | line->status
                     | (line->pending ? LB_UNHEALTHY : 0));
}


static void
lb_slot_name(lb_identity_t *identity, const lb_line_t *line)
{
    identity->address_length = (uint16_t) line->address_length;
    identity->name_length = (uint16_t) line->name_length;
    identity->host_length = (uint16_t) line->host_length;

    memcpy(identity->address, line->address, line->address_length);
    memcpy(identity->name, line->name, line->name_length);
    memcpy(identity->host, line->host, line->host_length);
}


void
lb_slot_set_tombstone(lb_roster_t *roster, uint32_t index,
    const lb_line_t *line)
{
    lb_identity_t  *identity;

    identity = lb_roster_identity(roster, index);

    memset(identity, 0, sizeof(lb_identity_t));

    lb_slot_name(identity, line);
    lb_slot_line(roster, index, line);

    identity->tombstone = true;

    gw_store_release(&lb_roster_server(roster, index)->status, LB_TOMBSTONE);
}


void
lb_slot_clear_tombstone(lb_roster_t *roster, uint32_t index)
{
    lb_roster_identity(roster, index)->tombstone = false;

    if (lb_roster_status(roster, index) & LB_TOMBSTONE) {
        gw_store_release(&lb_roster_server(roster, index)->status, 0);
    }
}


void
lb_slot_id(lb_roster_t *roster, uint64_t id)
{
    if (id <= LB_ID_COUNTED && id > gw_load_acquire(&roster->id_next)) {
        gw_store_release(&roster->id_next, id);
    }
}


void
lb_slot_line(lb_roster_t *roster, uint32_t index, const lb_line_t *line)
{
    lb_identity_t  *identity;

    identity = lb_roster_identity(roster, index);

    lb_slot_sid(roster, index, line);

    identity->from_line = !line->resolved;
    identity->resolved = line->resolved;
    identity->weight = line->weight;
    identity->max_conns = line->max_conns;
    identity->max_fails = line->max_fails;
    identity->fail_timeout = line->fail_timeout;
    identity->status = line->status;
}


static void
lb_slot_sid(lb_roster_t *roster, uint32_t index, const lb_line_t *line)
{
    lb_server_t    *server;
    lb_identity_t  *identity;

    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);

    identity->sid_length = (uint16_t) line->sid_length;

    if (line->sid_length == 0) {
        gw_store_relaxed(&server->sid, 0);
        return;
    }

    memcpy(identity->sid, line->sid, line->sid_length);
    gw_store_relaxed(&server->sid, lb_sid_hash(line->sid, line->sid_length));
}


void
lb_slot_set(lb_server_t *server, const lb_line_t *line)
{
    gw_store_relaxed(&server->weight, line->weight);
    gw_store_relaxed(&server->max_conns, line->max_conns);

    if (gw_load_relaxed(&server->max_fails) != line->max_fails
        || gw_load_relaxed(&server->fail_timeout) != line->fail_timeout)
    {
        lb_window_clear(&server->fails);
        gw_store_relaxed(&server->max_fails, line->max_fails);
        gw_store_relaxed(&server->fail_timeout, line->fail_timeout);

        if (line->max_fails == 0 || line->fail_timeout == 0) {
            atomic_fetch_and_explicit(&server->status, ~(uint32_t) LB_FAILED,
                                      memory_order_acq_rel);
        }
    }

    gw_store_relaxed(&server->drain_until,
                     (line->status & LB_DRAINING) ? line->drain_until : 0);

    atomic_fetch_or_explicit(&server->status, line->status,
                             memory_order_acq_rel);
    atomic_fetch_and_explicit(&server->status,
                              ~(uint32_t) LB_WANTED | line->status,
                              memory_order_acq_rel);
}


void
lb_slot_follow(lb_roster_t *roster, uint32_t index, const lb_line_t *line)
{
    lb_line_t       wanted;
    lb_server_t    *server;
    lb_identity_t  *identity;

    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);

    wanted = *line;

    if (gw_load_acquire(&roster->kept)) {
        lb_slot_keep(server, identity, &wanted);

    } else {
        lb_slot_differ(server, identity, &wanted);
    }

    atomic_fetch_and_explicit(&server->status, ~(uint32_t) LB_REPLACED,
                              memory_order_acq_rel);

    lb_slot_set(server, &wanted);
    lb_slot_line(roster, index, line);
}


bool
lb_slot_is_changed(lb_server_t *server, const lb_identity_t *identity)
{
    return gw_load_relaxed(&server->weight) != identity->weight
           || gw_load_relaxed(&server->max_conns) != identity->max_conns
           || gw_load_relaxed(&server->max_fails) != identity->max_fails
           || gw_load_relaxed(&server->fail_timeout) != identity->fail_timeout
           || ((gw_load_acquire(&server->status) ^ identity->status)
               & LB_WANTED);
}


void
lb_slot_keep(lb_server_t *server, const lb_identity_t *identity,
    lb_line_t *line)
{
    uint32_t  changed, status;

    status = gw_load_acquire(&server->status) & LB_WANTED;
    changed = status ^ identity->status;

    /* the state is one setting, whatever bits it is made of */

    if (changed & LB_STATE) {
        changed |= LB_STATE;
    }

    if (gw_load_relaxed(&server->weight) != identity->weight) {
        line->weight = gw_load_relaxed(&server->weight);
    }

    if (gw_load_relaxed(&server->max_conns) != identity->max_conns) {
        line->max_conns = gw_load_relaxed(&server->max_conns);
    }

    if (gw_load_relaxed(&server->max_fails) != identity->max_fails) {
        line->max_fails = gw_load_relaxed(&server->max_fails);
    }

    if (gw_load_relaxed(&server->fail_timeout) != identity->fail_timeout) {
        line->fail_timeout = gw_load_relaxed(&server->fail_timeout);
    }

    line->status = (status & changed) | (line->status & ~changed);
    line->drain_until = gw_load_relaxed(&server->drain_until);
}


void
lb_slot_differ(lb_server_t *server, const lb_identity_t *identity,
    lb_line_t *line)
{
    uint32_t  changed, status;

    status = gw_load_acquire(&server->status) & LB_WANTED;
    changed = identity->status ^ line->status;

    if (line->weight == identity->weight) {
        line->weight = gw_load_relaxed(&server->weight);
    }

    if (line->max_conns == identity->max_conns) {
        line->max_conns = gw_load_relaxed(&server->max_conns);
    }

    if (line->max_fails == identity->max_fails
        && line->fail_timeout == identity->fail_timeout)
    {
        line->max_fails = gw_load_relaxed(&server->max_fails);
        line->fail_timeout = gw_load_relaxed(&server->fail_timeout);
    }

    line->status = (status & ~changed) | (line->status & changed);
    line->drain_until = gw_load_relaxed(&server->drain_until);
}


bool
lb_slot_is_line(lb_roster_t *roster, uint32_t index)
{
    uint32_t  status;

    status = lb_roster_status(roster, index);

    return (status & LB_USED) && !(status & LB_REMOVED)
           && lb_roster_identity(roster, index)->from_line;
}


bool
lb_slot_stands(lb_roster_t *roster, uint32_t index)
{
    uint32_t  status;

    status = lb_roster_status(roster, index);

    if (status & LB_REMOVED) {
        return lb_roster_identity(roster, index)->tombstone;
    }

    return (status & (LB_USED | LB_TOMBSTONE)) != 0;
}
